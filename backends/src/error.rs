//! What can go wrong between `prepare` and the last step.

use thiserror::Error;

use crate::batch::BatchError;
use crate::format::FormatError;
use crate::plan::PlanError;
use crate::weights::WeightError;

/// Each names the device or tensor, what was wrong, and what would work.
#[derive(Debug, Error)]
pub enum BackendError {
    #[error("there is no device `{0}`; `ingle devices` lists those there are")]
    UnknownDevice(String),
    #[error("there is no device of the backend `{backend}` on this machine: {reason}")]
    NoDevices { backend: String, reason: String },
    #[error("{device} has no kernels of tier `{tier}`; it has {available}")]
    UnknownTier { device: String, tier: String, available: String },
    #[error("{device} cannot run {what}")]
    Unsupported { device: String, what: String },
    #[error("{what} needs {needed} bytes, {available} are available on {device}; {advice}")]
    OutOfMemory { device: String, what: String, needed: u64, available: u64, advice: String },
    /// More than a kernel can be shown at once, which no free memory helps with.
    #[error("{what} takes {needed} bytes, and a kernel on {device} sees at most {limit} at once; {advice}")]
    TooLarge { device: String, what: String, needed: u64, limit: u64, advice: Box<str> },
    #[error("{device} was lost: {reason}")]
    DeviceLost { device: String, reason: String },
    /// The driver or the layer above it refused something that should have worked.
    #[error("{device}: {message}")]
    Driver { device: String, message: String },
    /// A variable of the environment that says nothing sensible.
    #[error("the environment variable {variable} is `{value}`; it can be {expected}")]
    Setting { variable: &'static str, value: String, expected: String },
    #[error("loading was cancelled")]
    Cancelled,
    #[error("step {0} is not the next to be collected")]
    WrongTicket(u64),
    #[error("two steps are under way; collect one first")]
    TooFarAhead,
    #[error("there is no cache page {page}; the cache has {pages}")]
    NoSuchPage { page: u32, pages: usize },
    #[error(
        "the logits of sequence {sequence} are not finite: the weights or the cache are damaged, or the model overflows in this format"
    )]
    NotFinite { sequence: usize },
    #[error("the cache options are not usable: {0}")]
    CacheOptions(String),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Weights(#[from] WeightError),
    #[error(transparent)]
    Format(#[from] FormatError),
}
