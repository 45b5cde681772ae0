//! Messages, and what is known of how they came about.

use serde::{Deserialize, Serialize};

use super::{MessageId, Moment};

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Assistant,
}

/// How far a message is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageState {
    /// It is growing.
    Writing,
    /// It is complete.
    Finished,
    /// It ended where the reply was as long as it may be, or the context full.
    CutOff,
    /// The user stopped it.
    Stopped,
    /// The program ended while it was growing.
    Interrupted,
    /// It could not be written on, for this reason.
    Failed(String),
}

/// What is known of a reply. Parts of it are known when it begins and others when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Statistics {
    pub(crate) model: String,
    /// As `ingle devices` names it.
    pub(crate) device: String,
    pub(crate) device_name: String,
    pub(crate) weights: String,
    pub(crate) cache: String,
    pub(crate) seed: u64,
    pub(crate) prompt_tokens: usize,
    /// Tokens of the prompt that did not have to be computed.
    pub(crate) reused_tokens: usize,
    /// Tokens of the reply.
    pub(crate) tokens: usize,
    pub(crate) tokens_per_second: f32,
    pub(crate) prompt_tokens_per_second: f32,
    pub(crate) milliseconds_to_first_token: f32,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    /// The one that it follows.
    pub(crate) parent: Option<MessageId>,
    pub(crate) role: Role,
    pub(crate) text: String,
    /// What the model thought before it answered.
    pub(crate) thinking: String,
    pub(crate) state: MessageState,
    /// Replies have these.
    pub(crate) statistics: Option<Statistics>,
    pub(crate) created: Moment,
}

impl Message {
    /// A complete one, as of now.
    pub(crate) fn new(parent: Option<MessageId>, role: Role, text: String) -> Self {
        Self {
            id: MessageId::fresh(),
            parent,
            role,
            text,
            thinking: String::new(),
            state: MessageState::Finished,
            statistics: None,
            created: Moment::now(),
        }
    }
}
