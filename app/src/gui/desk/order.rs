//! What is asked of the desk.

use std::path::PathBuf;

use inglenook::backend::format::CacheFormat;
use inglenook::model::WeightChoice;

use super::follow::Written;
use crate::cli::SamplingArguments;
use crate::conversation::{ConversationId, MessageId, Role, SamplingSettings};

/// Something to do.
pub(super) enum Order {
    Devices,
    /// Opens a model; the number says for which wish.
    Open(OpenOrder, u64),
    Close(u64),
    Reply(Box<ReplyOrder>),
    /// Goes on with a reply that another engine began.
    GoOn(Box<Written>),
    /// Goes on with a reply whose device failed, on the CPU if need be; the text says how it failed.
    Rescue(Box<Written>, String),
    Stop(MessageId),
    Quit,
}

/// Which model, where, and how it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenOrder {
    pub(crate) folder: PathBuf,
    /// As `ingle devices` names it, or `auto`.
    pub(crate) device: String,
    pub(crate) weights: WeightChoice,
    pub(crate) cache: CacheFormat,
    /// Tokens that a conversation can have; by default what is usual.
    pub(crate) context: Option<usize>,
}

impl OpenOrder {
    /// A model in a folder, on the best device, kept as is usual.
    pub(crate) fn usual(folder: PathBuf) -> Self {
        Self {
            folder,
            device: "auto".to_owned(),
            weights: WeightChoice::Auto,
            cache: CacheFormat::F16,
            context: None,
        }
    }
}

/// A message, as the model is to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) role: Role,
    pub(crate) text: String,
    pub(crate) thinking: String,
}

/// A reply that is wanted.
#[derive(Clone, Debug)]
pub(crate) struct ReplyOrder {
    pub(crate) conversation: ConversationId,
    pub(crate) reply: MessageId,
    pub(crate) system: Option<String>,
    /// The conversation up to the message that is to be replied to.
    pub(crate) turns: Vec<Turn>,
    /// Messages from the start on that the model was not shown the last time.
    pub(crate) forgotten: usize,
    pub(crate) sampling: SamplingSettings,
}

impl From<&SamplingSettings> for SamplingArguments {
    fn from(settings: &SamplingSettings) -> Self {
        Self {
            temperature: settings.temperature,
            top_k: settings.top_k,
            top_p: settings.top_p,
            min_p: settings.min_p,
            repeat_penalty: settings.repeat_penalty,
            presence_penalty: settings.presence_penalty,
            frequency_penalty: settings.frequency_penalty,
            penalty_window: settings.penalty_window,
            seed: settings.seed,
            max_tokens: settings.max_tokens,
            stop: settings.stops.clone(),
            stop_token: vec![],
        }
    }
}
