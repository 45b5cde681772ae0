//! What the desk tells the window.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use inglenook::Device;
use inglenook::backend::plan::{Footprint, Plan};
use inglenook::backend::{DeviceInfo, Unavailable};
use inglenook::chat::Ending;
use inglenook::models::config::Generation;
use inglenook::verdict::TierVerdict;

use super::OpenOrder;
use crate::conversation::{ConversationId, MessageId};

/// Something that has happened.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The devices of this machine, best first, and those that one might expect and cannot have.
    Devices(Vec<DeviceCard>, Vec<Unavailable>),
    Loading(Loading),
    /// A model is ready.
    Opened(Arc<Facts>),
    /// A model could not be opened, for this reason.
    NotOpened {
        folder: PathBuf,
        device: String,
        reason: String,
    },
    /// There is no model any more: as asked, or since another wish came before it was loaded.
    Closed,
    /// Something that the user should know, in the words of whoever found it out.
    Told(String),
    /// A device failed for good, for this reason; what it wrote goes on on the CPU.
    GivenUp {
        device: String,
        reason: String,
    },
    /// Something that happened to a reply.
    Reply {
        conversation: ConversationId,
        reply: MessageId,
        step: Step,
    },
}

/// What happens to a reply, in order. The last is `Ended` or `Failed`.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It is known what the model will read.
    Prompt {
        tokens: usize,
        seed: u64,
        forgotten: usize,
    },
    Reading {
        done: usize,
        total: usize,
        reused: usize,
    },
    /// More text; `tokens` were written so far.
    Text {
        answer: String,
        thinking: String,
        tokens: usize,
    },
    /// The device was lost; the model is being loaded again.
    Lost(String),
    Restored(Duration),
    /// It goes on with the model as it is loaded now.
    Moved,
    Ended(Ending, Totals),
    Failed(String, Totals),
}

/// What a reply took, over all engines that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) prompt_tokens: usize,
    pub(crate) reused_tokens: usize,
    pub(crate) tokens: usize,
    /// From the order to the first token.
    pub(crate) first_token: Option<Duration>,
    pub(crate) prompt_rate: f64,
    pub(crate) rate: f64,
}

/// How far loading is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loading {
    pub(crate) model: String,
    /// Empty until one is chosen.
    pub(crate) device: String,
    pub(crate) doing: String,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// A device and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct DeviceCard {
    pub(crate) device: Device,
    pub(crate) verdicts: Vec<TierVerdict>,
    /// Why it was given up the last time that something was to be loaded on it.
    pub(crate) trouble: Option<String>,
}

/// What there is to know of the model that is open.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// What was asked for.
    pub(crate) order: OpenOrder,
    pub(crate) name: String,
    pub(crate) family: &'static str,
    pub(crate) device: DeviceInfo,
    pub(crate) tier: String,
    pub(crate) weights: String,
    pub(crate) weights_reason: String,
    pub(crate) cache: String,
    pub(crate) context: usize,
    pub(crate) context_reason: String,
    pub(crate) footprint: Footprint,
    pub(crate) loading: Duration,
    /// How its makers suggest to write with it.
    pub(crate) makers: Generation,
    pub(crate) plan: Arc<Plan>,
}
