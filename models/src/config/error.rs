//! What is wrong with a configuration, in the words of its own keys.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;
use thiserror::Error;

/// Why a configuration gives no model.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("{}: {fault}", path.display())]
    Unreadable { path: PathBuf, fault: String },
    #[error("{file}: not a JSON object: {fault}")]
    Json { file: String, fault: String },
    #[error("{place}: key `{key}` is missing; {needed} is needed")]
    Missing { place: String, key: String, needed: String },
    #[error("{place}: key `{key}` is {found}; {needed} is needed")]
    Value { place: String, key: String, found: String, needed: String },
    #[error("not supported: {}", list(.0))]
    Unsupported(Vec<Unsupported>),
}

/// A key whose value asks for something that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    pub place: String,
    pub key: String,
    pub found: String,
    /// What would be supported.
    pub supported: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` is {} (supported: {})", self.place, self.key, self.found, self.supported)
    }
}

fn list(keys: &[Unsupported]) -> String {
    keys.iter().map(Unsupported::to_string).collect::<Vec<_>>().join("; ")
}

/// A value as JSON, shortened where it would flood a message.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 80;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
