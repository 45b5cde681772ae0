//! Reading the small JSON files of a model folder, with errors that say which file and what is wrong.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Nothing that belongs to a tokenizer is near this size; a larger file is something else under its name.
const LARGEST_FILE: u64 = 1 << 29;

/// What is wrong with a file of a model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    #[error("{} is missing{hint}", path.display())]
    Missing { path: PathBuf, hint: String },
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has {bytes} bytes, far too many for such a file", path.display())]
    TooLarge { path: PathBuf, bytes: u64 },
    #[error("{} is a Git LFS pointer: the file itself has not been downloaded", path.display())]
    LfsPointer { path: PathBuf },
    #[error("{} ends too early, at line {line}: the file is truncated or still being written", path.display())]
    Truncated { path: PathBuf, line: usize },
    #[error("{} is not valid JSON: {message}", path.display())]
    NotJson { path: PathBuf, message: String },
    #[error("{} is not valid UTF-8 (first bad byte at {offset})", path.display())]
    NotText { path: PathBuf, offset: usize },
    #[error("{}: {message}", path.display())]
    Content { path: PathBuf, message: String },
}

impl FileError {
    /// The file that the error is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path, .. }
            | Self::Unreadable { path, .. }
            | Self::TooLarge { path, .. }
            | Self::LfsPointer { path }
            | Self::Truncated { path, .. }
            | Self::NotJson { path, .. }
            | Self::NotText { path, .. }
            | Self::Content { path, .. } => path,
        }
    }

    pub(crate) fn content(path: &Path, message: impl Into<String>) -> Self {
        Self::Content { path: path.into(), message: message.into() }
    }
}

/// The bytes of `folder/name`, or `None` where there is no such file.
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.into(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(about) if about.len() > LARGEST_FILE => {
            return Err(FileError::TooLarge { path: path.into(), bytes: about.len() });
        }
        Ok(_) => {}
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    if bytes.starts_with(b"version https://git-lfs") {
        return Err(FileError::LfsPointer { path: path.into() });
    }
    Ok(Some(bytes))
}

pub(crate) fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    let Some(bytes) = read_bytes(path)? else { return Ok(None) };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
        Err(error) => Err(FileError::NotText { path: path.into(), offset: error.utf8_error().valid_up_to() }),
    }
}

/// A JSON file, or `None` where there is no such file.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, FileError> {
    read_bytes(path)?.map(|bytes| parse_json(path, &bytes)).transpose()
}

pub(crate) fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value, FileError> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_eof() {
            FileError::Truncated { path: path.into(), line: error.line() }
        } else {
            FileError::NotJson { path: path.into(), message: error.to_string() }
        }
    })
}
