//! Why something could not be measured.

use std::path::PathBuf;

use ingle_backends::BackendError;
use ingle_backends::plan::PlanError;
use ingle_models::text::TokenizerError;
use thiserror::Error;

use crate::chat::ChatError;
use crate::model::{LoadError, ModelError};
use crate::verdict::VerdictError;

#[derive(Debug, Error)]
pub enum MeasureError {
    #[error("it was stopped before it was done")]
    Cancelled,
    /// What is asked for makes no sense, or not with this model.
    #[error("{0}")]
    Settings(String),
    #[error(transparent)]
    Backend(BackendError),
    #[error(transparent)]
    Kernels(Box<VerdictError>),
    #[error(transparent)]
    Load(Box<LoadError>),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Prompt(#[from] ChatError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file of base logits cannot be read or written.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    /// A file of base logits is none, or is about something else.
    #[error("{}: {fault}", path.display())]
    Base { path: PathBuf, fault: String },
}

impl From<BackendError> for MeasureError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::Cancelled => Self::Cancelled,
            error => Self::Backend(error),
        }
    }
}

impl From<VerdictError> for MeasureError {
    fn from(error: VerdictError) -> Self {
        match error {
            VerdictError::Backend(error) => error.into(),
            error => Self::Kernels(Box::new(error)),
        }
    }
}

impl From<LoadError> for MeasureError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Backend(error) => error.into(),
            error => Self::Load(Box::new(error)),
        }
    }
}
