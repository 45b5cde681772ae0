//! A reply as text: token by token from the engine, piece by piece to whoever reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ingle_backends::BackendError;
use ingle_models::text::{ReplyPiece, SpecialText, StreamDecoder, ThinkingSplitter};

use crate::engine::{
    EngineError, Event, FinishReason, Finished, GeneratedToken, Reply, StopScanner, Timings,
};
use crate::model::ModelText;

/// How a reply's tokens become text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyOptions {
    /// The tokens whose text the reply goes on from, where it is to be read as one with it: else the reply
    /// is a text of its own, which begins without the space that separates words.
    pub continues: Vec<u32>,
    /// The text ends before any of these.
    pub stops: Vec<String>,
    /// Thinking is told from the answer; without, all text is answer.
    pub split_thinking: bool,
    /// The prompt ended inside the thinking.
    pub thinking_open: bool,
}

/// What happens to a reply, in order.
#[derive(Clone, Debug)]
pub enum ReplyEvent {
    /// So many tokens of the prompt are read.
    Reading {
        done: usize,
        total: usize,
        reused: usize,
    },
    /// A token was written; the text that it makes certain follows.
    Token(GeneratedToken),
    Text {
        text: String,
        thinking: bool,
    },
    /// The device was lost, for this reason. The model is being loaded again, and the reply will go on.
    DeviceLost(Arc<BackendError>),
    /// The model is loaded again, which took so long; the reply goes on.
    DeviceRestored {
        loading: Duration,
    },
    Finished {
        ending: Ending,
        timings: Timings,
    },
    Failed(EngineError),
}

/// Why a reply ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model said that it was done, by this token.
    StopToken(u32),
    /// A stop string was written.
    StopText,
    MaxTokens,
    /// The conversation is as long as the context.
    ContextFull,
    Cancelled,
}

impl Ending {
    /// One word for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::StopToken(_) => "stop-token",
            Self::StopText => "stop-text",
            Self::MaxTokens => "max-tokens",
            Self::ContextFull => "context-full",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A reply on its way, as text: an iterator that ends after `Finished` or `Failed`.
#[derive(Debug)]
pub struct TextReply {
    reply: Reply,
    text: Option<Pipeline>,
    ready: VecDeque<ReplyEvent>,
    stopped: bool,
}

/// What a token goes through on its way to the reader.
#[derive(Debug)]
struct Pipeline {
    decoder: StreamDecoder,
    scanner: StopScanner,
    splitter: Option<ThinkingSplitter>,
}

impl TextReply {
    /// Follows a reply.
    pub fn new(reply: Reply, model: &ModelText, options: ReplyOptions) -> Self {
        let marks = model.template.thinking_marks();
        let specials = if options.split_thinking {
            // Where the marks are tokens of their own, the splitter must see them.
            let ids = [&marks.open, &marks.close].into_iter().filter_map(|m| model.tokenizer.id(m.trim()));
            SpecialText::Only(ids.collect())
        } else {
            SpecialText::Skip
        };
        let splitter =
            options.split_thinking.then(|| ThinkingSplitter::new(marks.clone(), options.thinking_open));
        let mut decoder = model.tokenizer.stream_decoder(specials);
        for token in &options.continues {
            // Whoever asks has this text already.
            decoder.push(*token);
        }
        let pipeline = Pipeline { decoder, scanner: StopScanner::new(options.stops), splitter };
        Self { reply, text: Some(pipeline), ready: VecDeque::new(), stopped: false }
    }

    /// Stops the reply before the next token.
    pub fn cancel(&self) {
        self.reply.cancel();
    }

    /// A handle that can cancel from elsewhere, such as a signal handler.
    pub fn canceller(&self) -> impl Fn() + Send + Sync + 'static {
        self.reply.canceller()
    }

    /// The next event if there is one now; for windows, which must not wait.
    pub fn poll(&mut self) -> Option<ReplyEvent> {
        while self.ready.is_empty() {
            let event = self.reply.poll()?;
            self.take(event);
        }
        self.ready.pop_front()
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Reading { done, total, reused } => {
                self.ready.push_back(ReplyEvent::Reading { done, total, reused });
            }
            // What is written after a stop string, before the engine hears of it, is nobody's.
            Event::Token(_) if self.stopped => {}
            Event::Token(token) => {
                let id = token.id;
                self.ready.push_back(ReplyEvent::Token(token));
                self.stopped = self.text.as_mut().is_some_and(|text| text.push(id, &mut self.ready));
                if self.stopped {
                    self.reply.cancel();
                }
            }
            Event::DeviceLost(error) => self.ready.push_back(ReplyEvent::DeviceLost(error)),
            Event::DeviceRestored { loading } => self.ready.push_back(ReplyEvent::DeviceRestored { loading }),
            Event::Finished(Finished { reason, timings }) => {
                let found = self.finish_text();
                let ending = match reason {
                    _ if self.stopped || found => Ending::StopText,
                    FinishReason::StopToken(token) => Ending::StopToken(token),
                    FinishReason::MaxTokens => Ending::MaxTokens,
                    FinishReason::ContextFull => Ending::ContextFull,
                    FinishReason::Cancelled => Ending::Cancelled,
                };
                self.ready.push_back(ReplyEvent::Finished { ending, timings });
            }
            Event::Failed(error) => {
                self.finish_text();
                self.ready.push_back(ReplyEvent::Failed(error));
            }
        }
    }

    /// Hands out what was held back; says whether a stop string was in it.
    fn finish_text(&mut self) -> bool {
        self.text.take().is_some_and(|text| text.finish(&mut self.ready))
    }
}

impl Iterator for TextReply {
    type Item = ReplyEvent;

    fn next(&mut self) -> Option<ReplyEvent> {
        while self.ready.is_empty() {
            let event = self.reply.next()?;
            self.take(event);
        }
        self.ready.pop_front()
    }
}

impl Pipeline {
    /// Takes a token; says whether its text ends the reply.
    fn push(&mut self, id: u32, ready: &mut VecDeque<ReplyEvent>) -> bool {
        let text = self.decoder.push(id);
        let pieces = self.scanner.push(&text);
        show(&mut self.splitter, &pieces.text, ready);
        pieces.stopped
    }

    /// Ends the text; says whether a stop string was in the rest.
    fn finish(mut self, ready: &mut VecDeque<ReplyEvent>) -> bool {
        let pieces = self.scanner.push(&self.decoder.finish());
        show(&mut self.splitter, &pieces.text, ready);
        show(&mut self.splitter, &self.scanner.finish(), ready);
        if let Some(splitter) = self.splitter {
            ready.extend(splitter.finish().into_iter().map(as_event));
        }
        pieces.stopped
    }
}

fn show(splitter: &mut Option<ThinkingSplitter>, text: &str, ready: &mut VecDeque<ReplyEvent>) {
    if text.is_empty() {
        return;
    }
    match splitter {
        Some(splitter) => ready.extend(splitter.push(text).into_iter().map(as_event)),
        None => ready.push_back(ReplyEvent::Text { text: text.to_owned(), thinking: false }),
    }
}

fn as_event(piece: ReplyPiece) -> ReplyEvent {
    match piece {
        ReplyPiece::Thinking(text) => ReplyEvent::Text { text, thinking: true },
        ReplyPiece::Answer(text) => ReplyEvent::Text { text, thinking: false },
    }
}
