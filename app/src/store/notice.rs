//! What a user has to know of how things are kept.

use std::path::PathBuf;

use thiserror::Error;

/// Something to say aloud.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Notice {
    #[error("{why}. Conversations work, but nothing is kept when this window closes.")]
    NotKept { why: WhyNotKept },
    #[error(
        "The conversations' database was damaged ({what}). It is kept as {}; {rescued} conversations could be taken over \
         into a new one, {lost} could not.",
        kept_as.display()
    )]
    Damaged { kept_as: PathBuf, what: String, rescued: usize, lost: usize },
    #[error(
        "Nothing can be saved at the moment: {why}. It is tried again until it works; keep this window open."
    )]
    NotSaved { file: PathBuf, why: WhyNotSaved },
    #[error("Everything is saved again.")]
    SavedAgain,
    #[error("One change could not be saved ({what}); all others are.")]
    Refused { what: String },
    #[error("{} was not read: {why}", path.display())]
    NotImported { path: PathBuf, why: String },
    #[error("{} was not written: {why}", path.display())]
    NotExported { path: PathBuf, why: String },
    #[error("This could not be read from the database: {what}")]
    NotRead { what: String },
}

/// Why nothing is kept at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum WhyNotKept {
    #[error("There is no folder for data on this system; INGLE_DATA names one")]
    NoFolder,
    #[error("The folder {} cannot be used: {why}", folder.display())]
    Folder { folder: PathBuf, why: String },
    #[error("{} is read-only; make it writable, or name another folder with INGLE_DATA", file.display())]
    ReadOnly { file: PathBuf },
    #[error("Another Inglenook window is using {}; close one of them", file.display())]
    InUse { file: PathBuf },
    #[error(
        "{} was written by a newer Inglenook (version {found}; this one knows {known}); update it",
        file.display()
    )]
    Newer { file: PathBuf, found: u32, known: u32 },
    #[error("{} cannot be opened: {why}", file.display())]
    Cannot { file: PathBuf, why: String },
}

/// Why nothing can be written for now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum WhyNotSaved {
    #[error("the disk is full")]
    DiskFull,
    #[error("the database has become read-only")]
    ReadOnly,
    #[error("{0}")]
    Other(String),
}
