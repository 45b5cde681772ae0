//! Conversations as files: JSON, which holds all there is of any number of them, and Markdown, which reads well and
//! holds what is shown of one.

mod json;
mod markdown;

use thiserror::Error;

pub(crate) use json::{from_json, to_json};
pub(crate) use markdown::{from_markdown, to_markdown};

/// Why a file cannot be taken in.
#[derive(Debug, Error)]
pub(crate) enum ImportError {
    #[error("this is no JSON: {0}")]
    Json(serde_json::Error),
    #[error("this is JSON, but not conversations that Inglenook has exported: {0}")]
    NotOurs(String),
    #[error(
        "this was exported by a newer Inglenook (format {found}; this one reads up to {known}); update it"
    )]
    Newer { found: u32, known: u32 },
    #[error("the conversation `{title}` is damaged: {what}")]
    Damaged { title: String, what: &'static str },
    #[error("this is no conversation that Inglenook has exported as Markdown: there is no message in it")]
    NoMessages,
}

/// Reads an exported file of either kind.
pub(crate) fn from_text(text: &str) -> Result<Vec<super::Conversation>, ImportError> {
    if text.trim_start().starts_with(['{', '[']) { from_json(text) } else { Ok(vec![from_markdown(text)?]) }
}
