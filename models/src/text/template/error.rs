//! What can go wrong with a chat template.

use std::error::Error as _;

use minijinja::ErrorKind;

use super::environment::Raised;
use crate::text::files::FileError;

/// Why a template could not be loaded or a conversation not be rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the chat template is not valid: line {line}: {message}")]
    Syntax { line: usize, message: String },
    #[error("the chat template refuses this conversation: {message}")]
    Refused { message: String },
    #[error("the chat template uses what is not available: line {line}: {message}")]
    Unavailable { line: usize, message: String },
    #[error("the chat template fails: line {line}: {message}")]
    Failed { line: usize, message: String },
    #[error("the chat template was stopped: it runs without end, or far too long")]
    TooLong,
    #[error("the chat template was stopped: it calls itself too deeply (line {line})")]
    TooDeep { line: usize },
    #[error("the chat template has {bytes} bytes, more than the {limit} that are read")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the chat template could not be run: {message}")]
    Engine { message: String },
    #[error("the chat template was stopped: it wrote more than {limit} bytes")]
    TooMuch { limit: usize },
}

impl TemplateError {
    pub(super) fn from_engine(error: &minijinja::Error) -> Self {
        if let Some(raised) = raised(error) {
            return Self::Refused { message: raised.0.clone() };
        }
        // An error inside a macro or an import is the source of the one outside; the innermost one says what.
        let mut inner = error;
        while let Some(source) = inner.source().and_then(|s| s.downcast_ref::<minijinja::Error>()) {
            inner = source;
        }
        let line = inner.line().or(error.line()).unwrap_or(0);
        let message = match inner.detail() {
            Some(detail) => format!("{}: {detail}", inner.kind()),
            None => inner.kind().to_string(),
        };
        match inner.kind() {
            ErrorKind::OutOfFuel => Self::TooLong,
            ErrorKind::WriteFailure => Self::TooMuch { limit: super::render::LARGEST_PROMPT },
            ErrorKind::SyntaxError | ErrorKind::BadEscape => Self::Syntax { line, message },
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod
            | ErrorKind::TemplateNotFound
            | ErrorKind::BadInclude => Self::Unavailable { line, message },
            ErrorKind::InvalidOperation if inner.detail() == Some("recursion limit exceeded") => {
                Self::TooDeep { line }
            }
            _ => Self::Failed { line, message },
        }
    }
}

fn raised(error: &minijinja::Error) -> Option<&Raised> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(raised) = error.downcast_ref::<Raised>() {
            return Some(raised);
        }
        source = error.source();
    }
    None
}
