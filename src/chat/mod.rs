//! Conversations: from messages to the tokens that a model reads, and from the tokens that it writes to text.
//!
//! [`Conversation::prompt`] renders the messages through the model's template, in which what people wrote
//! stays text, and says what it does when they are longer than the context ([`Overflow`]). [`TextReply`]
//! turns an engine's events into pieces of text as they come.

mod reply;

use std::ops::Range;

use ingle_models::text::{Message, RenderRequest, TemplateError, TokenizerError};
use thiserror::Error;

pub use reply::{Ending, ReplyEvent, ReplyOptions, TextReply};

use crate::model::ModelText;

/// What happens when a conversation is longer than the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Nothing more is written; the user decides.
    #[default]
    Stop,
    /// The oldest messages are no longer shown to the model. The system prompt always is.
    Slide,
}

/// Why there is no prompt.
#[derive(Debug, Error)]
pub enum ChatError {
    #[error("there is no message to reply to")]
    Empty,
    #[error(
        "the conversation has {tokens} tokens and the context holds {context}; shorten it, or start anew"
    )]
    TooLong { tokens: usize, context: usize },
    #[error("the last message and the system prompt alone have {tokens} tokens; the context holds {context}")]
    LastTooLong { tokens: usize, context: usize },
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// A prompt, ready for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    /// The reply begins inside the model's thinking.
    pub thinking_open: bool,
    /// The template takes no system message; it went into the first message of the user.
    pub system_folded: bool,
    /// Messages that the model was shown the last time and is not shown any more.
    pub dropped: Range<usize>,
}

/// A system prompt and the messages after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    pub system: Option<String>,
    messages: Vec<Message>,
    /// Messages from the start on that the model is not shown any more.
    forgotten: usize,
}

impl Conversation {
    /// An empty one.
    pub fn new(system: Option<String>) -> Self {
        Self { system, ..Self::default() }
    }

    /// One that goes on from messages, of which the model is not shown the first few any more.
    pub fn from_messages(system: Option<String>, messages: Vec<Message>, forgotten: usize) -> Self {
        let forgotten = forgotten.min(messages.len());
        Self { system, messages, forgotten }
    }

    /// All messages, those that the model is not shown any more too.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How many messages from the start on the model is not shown any more.
    pub const fn forgotten(&self) -> usize {
        self.forgotten
    }

    /// Adds what the user says.
    pub fn say(&mut self, text: impl Into<String>) {
        self.messages.push(Message::user(text));
    }

    /// Adds what the model replied.
    pub fn add_reply(&mut self, answer: impl Into<String>, thinking: &str) {
        let message = Message::assistant(answer);
        self.messages.push(if thinking.is_empty() { message } else { message.with_reasoning(thinking) });
    }

    /// Takes the last message away: an unanswered question, or a reply that is to be written again.
    pub fn take_back(&mut self) -> Option<Message> {
        let message = self.messages.pop();
        self.forgotten = self.forgotten.min(self.messages.len());
        message
    }

    /// Whether the last message is a reply.
    pub fn is_answered(&self) -> bool {
        self.messages.last().is_some_and(|message| message.role == "assistant")
    }

    /// The tokens that the model continues with its reply, in a context of so many, of which `reserve` are
    /// for the reply if the conversation can be cut.
    ///
    /// When messages are dropped, more than the least are: else each turn would drop some, and the model
    /// would read the whole conversation anew each time.
    pub fn prompt(
        &mut self,
        text: &ModelText,
        context: usize,
        reserve: usize,
        overflow: Overflow,
    ) -> Result<Prompt, ChatError> {
        if self.messages.is_empty() || self.is_answered() {
            return Err(ChatError::Empty);
        }
        let first = self.forgotten;
        let prompt = self.encode(text, first)?;
        // The reply needs one position at least.
        if prompt.tokens.len() < context && (overflow == Overflow::Stop || fits(&prompt, context, reserve)) {
            return Ok(prompt);
        }
        if overflow == Overflow::Stop {
            return Err(ChatError::TooLong { tokens: prompt.tokens.len(), context });
        }
        let mut last_tokens = prompt.tokens.len();
        let generous = reserve.max(context / 4);
        for start in (first + 1..self.messages.len()).filter(|start| self.messages[*start].role == "user") {
            let is_last = start + 1 == self.messages.len();
            let shorter = self.encode(text, start)?;
            last_tokens = shorter.tokens.len();
            let enough = fits(&shorter, context, generous) || (is_last && last_tokens < context);
            if enough {
                self.forgotten = start;
                return Ok(Prompt { dropped: first..start, ..shorter });
            }
        }
        // Only one message is left; it may do with less room for the reply.
        if first + 1 == self.messages.len() && prompt.tokens.len() < context {
            return Ok(prompt);
        }
        Err(ChatError::LastTooLong { tokens: last_tokens, context })
    }

    /// The prompt of the messages from `first` on.
    fn encode(&self, text: &ModelText, first: usize) -> Result<Prompt, ChatError> {
        let system = self.system.iter().map(Message::system);
        let messages: Vec<Message> = system.chain(self.messages[first..].iter().cloned()).collect();
        let rendered = text.template.render(&RenderRequest {
            messages: &messages,
            add_generation_prompt: true,
            tokens: Some(text.tokenizer.template_tokens()),
            guard: Some(&text.guard),
            ..RenderRequest::default()
        })?;
        // A model's own template writes the beginning token where the model wants one; the fallback cannot.
        let tokens = text.tokenizer.encode_prompt(rendered.prompt(), text.template.is_fallback())?;
        Ok(Prompt {
            tokens,
            thinking_open: rendered.thinking_open,
            system_folded: rendered.system_folded,
            dropped: first..first,
        })
    }
}

/// Whether a prompt leaves so much room for the reply.
const fn fits(prompt: &Prompt, context: usize, reserve: usize) -> bool {
    prompt.tokens.len().saturating_add(reserve) <= context
}
