//! Notes of what an operation has changed: all that a store has to know.

use super::{ConversationId, Message, MessageId, MessageState, Moment, SamplingSettings, Statistics};

/// What there is to a conversation besides its messages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) id: ConversationId,
    pub(crate) title: String,
    /// The user gave the title; else it follows from the first message.
    pub(crate) title_given: bool,
    pub(crate) pinned: bool,
    pub(crate) created: Moment,
    pub(crate) changed: Moment,
    pub(crate) system: Option<String>,
    pub(crate) sampling: SamplingSettings,
}

/// A change of a conversation. Applied in order, changes make of a kept conversation what it is now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// A new conversation, or another head of one.
    Head(Head),
    /// A new message, or one that was brought back.
    Message { conversation: ConversationId, message: Message },
    /// A reply has become so much longer.
    Grown { conversation: ConversationId, message: MessageId, text: String, thinking: String },
    /// A reply has ended.
    Ended { conversation: ConversationId, message: MessageId, state: MessageState, statistics: Statistics },
    /// A message was chosen among its versions.
    Chosen { conversation: ConversationId, child: MessageId },
    /// Messages are gone: one, and all that followed it.
    Removed { conversation: ConversationId, messages: Vec<MessageId> },
}

impl Change {
    /// Whether nothing is lost if it is stored a little later, together with what follows.
    pub(crate) const fn can_wait(&self) -> bool {
        matches!(self, Self::Grown { .. })
    }
}
