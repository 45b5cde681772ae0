//! Why a model could not be opened or loaded; each message names the file or the option.

use std::path::{Path, PathBuf};

use ingle_backends::plan::PlanError;
use ingle_backends::{BackendError, WeightError};
use ingle_models::ConfigError;
use ingle_models::checkpoint::{CacheError, CheckpointError};
use ingle_models::text::{TemplateError, TokenizerError};
use thiserror::Error;

use super::preflight::Shortage;
use crate::verdict::VerdictError;

/// What is wrong with a model folder.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error("{}{source}", at(folder, source))]
    Config { folder: PathBuf, source: ConfigError },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("{}: {source}", folder.display())]
    Template { folder: PathBuf, source: TemplateError },
    #[error(transparent)]
    ConvertedCache(#[from] CacheError),
    #[error("{} is loaded already: where converted weights are kept has to be said before that", .0.display())]
    InUse(PathBuf),
    #[error("{} was opened without its tokenizer", .0.display())]
    OpenedWithoutText(PathBuf),
}

impl ModelError {
    pub(super) fn config(folder: &Path, source: ConfigError) -> Self {
        Self::Config { folder: folder.to_owned(), source }
    }
}

/// The folder, where an error does not name the whole path itself.
fn at(folder: &Path, source: &ConfigError) -> String {
    match source {
        ConfigError::Unreadable { .. } => String::new(),
        _ => format!("{}: ", folder.display()),
    }
}

/// Why a model could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("{}: {source}", folder.display())]
    Weights { folder: PathBuf, source: WeightError },
    #[error("{} makes no plan: {source}", folder.display())]
    Plan { folder: PathBuf, source: PlanError },
    #[error("the model has no weights with a name like `{pattern}`; there is, for one, `{example}`")]
    NoSuchTensor { pattern: String, example: String },
    #[error("a context of {context} tokens is not possible; it can be from 1 to {longest}")]
    Context { context: usize, longest: usize },
    #[error(transparent)]
    DoesNotFit(Box<Shortage>),
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// No kernels of the device compute rightly.
    #[error(transparent)]
    Kernels(VerdictError),
}

impl From<VerdictError> for LoadError {
    fn from(error: VerdictError) -> Self {
        match error {
            VerdictError::Backend(error) => Self::Backend(error),
            other => Self::Kernels(other),
        }
    }
}
