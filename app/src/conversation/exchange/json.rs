//! Conversations as JSON, with all versions of all messages.
//!
//! Messages are numbered from 0 in each conversation, oldest first, so that a file says nothing of the numbers that
//! they have here, and may be taken in beside what is there already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ImportError;
use crate::conversation::{
    Conversation, ConversationId, Head, Message, MessageId, MessageState, Moment, Role, SamplingSettings,
    Statistics,
};

const FORMAT: &str = "inglenook-conversations";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    conversations: Vec<Written>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    title: String,
    #[serde(default)]
    title_given: bool,
    #[serde(default)]
    pinned: bool,
    created: Moment,
    changed: Moment,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    sampling: SamplingSettings,
    messages: Vec<WrittenMessage>,
}

#[derive(Serialize, Deserialize)]
struct WrittenMessage {
    /// The number of the message that it follows.
    parent: Option<usize>,
    /// It is the one that is shown of those with the same parent.
    chosen: bool,
    role: Role,
    text: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    thinking: String,
    state: MessageState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    statistics: Option<Statistics>,
    created: Moment,
}

/// What is needed to tell whose file it is, before the rest is looked at.
#[derive(Deserialize)]
struct Label {
    format: String,
    version: u32,
}

/// All there is of some conversations.
pub(crate) fn to_json<'a>(
    conversations: impl IntoIterator<Item = &'a Conversation>,
) -> Result<String, serde_json::Error> {
    let conversations = conversations.into_iter().map(written).collect();
    serde_json::to_string_pretty(&File { format: FORMAT.to_owned(), version: VERSION, conversations })
}

fn written(conversation: &Conversation) -> Written {
    let numbers: BTreeMap<MessageId, usize> =
        conversation.messages().enumerate().map(|(number, message)| (message.id, number)).collect();
    let chosen: Vec<MessageId> = conversation.chosen().collect();
    let message = |message: &Message| WrittenMessage {
        parent: message.parent.and_then(|parent| numbers.get(&parent).copied()),
        chosen: chosen.contains(&message.id),
        role: message.role,
        text: message.text.clone(),
        thinking: message.thinking.clone(),
        state: message.state.clone(),
        statistics: message.statistics.clone(),
        created: message.created,
    };
    let head = conversation.head().clone();
    Written {
        title: head.title,
        title_given: head.title_given,
        pinned: head.pinned,
        created: head.created,
        changed: head.changed,
        system: head.system,
        sampling: head.sampling,
        messages: conversation.messages().map(message).collect(),
    }
}

/// Conversations from such a file, under numbers of their own.
pub(crate) fn from_json(text: &str) -> Result<Vec<Conversation>, ImportError> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(ImportError::Json)?;
    let not_ours = |error: serde_json::Error| ImportError::NotOurs(error.to_string());
    let label = Label::deserialize(&value).map_err(not_ours)?;
    if label.format != FORMAT {
        return Err(ImportError::NotOurs(format!("its format is `{}`", label.format)));
    }
    if label.version > VERSION {
        return Err(ImportError::Newer { found: label.version, known: VERSION });
    }
    let file: File = serde_json::from_value(value).map_err(not_ours)?;
    file.conversations.into_iter().map(read).collect()
}

fn read(written: Written) -> Result<Conversation, ImportError> {
    let damaged = |what| ImportError::Damaged { title: written.title.clone(), what };
    let head = Head {
        id: ConversationId::fresh(),
        title: written.title.clone(),
        title_given: written.title_given,
        pinned: written.pinned,
        created: written.created,
        changed: written.changed,
        system: written.system,
        sampling: written.sampling,
    };
    let ids: Vec<MessageId> = written.messages.iter().map(|_| MessageId::fresh()).collect();
    let mut messages = Vec::with_capacity(ids.len());
    let mut chosen = vec![];
    for (number, message) in written.messages.into_iter().enumerate() {
        if message.parent.is_some_and(|parent| parent >= number) {
            return Err(damaged("a message follows one that is not before it"));
        }
        if message.chosen {
            chosen.push(ids[number]);
        }
        messages.push(Message {
            id: ids[number],
            parent: message.parent.map(|parent| ids[parent]),
            role: message.role,
            text: message.text,
            thinking: message.thinking,
            // Nobody writes on in a file.
            state: if message.state == MessageState::Writing {
                MessageState::Interrupted
            } else {
                message.state
            },
            statistics: message.statistics,
            created: message.created,
        });
    }
    Conversation::from_parts(head, messages, chosen).ok_or_else(|| damaged("its messages make no tree"))
}
