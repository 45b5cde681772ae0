//! What can go wrong with a download.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a model could not be downloaded or found.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("`{0}` is not the name of a model, such as `owner/model`")]
    ModelName(String),
    #[error("`{0}` is not the name of a revision: a branch, a tag or a commit")]
    RevisionName(String),
    #[error("the server offers a file named `{0}`, which could end up outside of the model's folder")]
    UnsafeFileName(String),
    #[error("the home folder is not known; set HF_HUB_CACHE to the folder that models are kept in")]
    NoCacheFolder,
    #[error("HF_HUB_OFFLINE is set, so nothing is downloaded; without it {address} would have been asked")]
    Offline { address: String },
    #[error("the server cannot be reached at {address}: {fault}")]
    Unreachable { address: String, fault: String },
    #[error("{model} needs permission: {}", permission(*.with_token, .page))]
    NeedsPermission { model: String, page: String, with_token: bool },
    #[error("there is no model {model} at {endpoint}{}", hidden(*.with_token))]
    NoModel { model: String, endpoint: String, with_token: bool },
    #[error("{model} has no revision `{revision}`")]
    NoRevision { model: String, revision: String },
    #[error("{model} has no file `{file}` at revision `{revision}`")]
    NoFile { model: String, revision: String, file: String },
    #[error("the server at {address} answered with status {status}")]
    Status { address: String, status: u16 },
    #[error("the server at {address} gave an answer that makes no sense: {fault}")]
    Answer { address: String, fault: String },
    #[error("the server gives no checksum of {file}, so it could not be verified and was not downloaded")]
    NoChecksum { file: String },
    #[error("{file} arrived damaged and was thrown away: its checksum is {found} and should be {expected}")]
    WrongChecksum { file: String, expected: String, found: String },
    #[error(
        "the download of {file} was interrupted {attempts} times in a row ({fault}); what has arrived is \
         kept, and the next attempt goes on from there"
    )]
    Interrupted { file: String, attempts: u32, fault: String },
    #[error("{model} has no weights that can be read here: {fault}")]
    NoWeights { model: String, fault: String },
    #[error("no file of {model} matches {patterns}")]
    NothingMatches { model: String, patterns: String },
    #[error("the disk is full: {path} could not be written")]
    DiskFull { path: PathBuf },
    #[error("{path} may not be written or read by this user")]
    NotAllowed { path: PathBuf },
    #[error("{path}: {fault}")]
    File { path: PathBuf, fault: String },
    #[error("the download was cancelled; what has arrived is kept")]
    Cancelled,
    #[error("`{name}` is neither a folder nor a model in {cache}; `ingle models pull {name}` downloads it")]
    NotHere { name: String, cache: PathBuf },
    #[error("{name} is not complete: {fault}; `ingle models pull {name}` downloads the rest")]
    Incomplete { name: String, fault: String },
}

impl HubError {
    /// What the system said about a file.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Self::NotAllowed { path },
            _ => Self::File { path, fault: error.to_string() },
        }
    }
}

fn permission(with_token: bool, page: &str) -> String {
    if with_token {
        format!("the token is not valid or not sufficient; ask for access on {page}")
    } else {
        format!(
            "accept its conditions on {page} and set HF_TOKEN to an access token of yours (private models \
             need one too)"
        )
    }
}

/// Servers do not tell strangers whether a private model exists.
fn hidden(with_token: bool) -> &'static str {
    if with_token { ", or the token gives no access to it" } else { "; if it is private, set HF_TOKEN" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_the_system_name_the_file() {
        let of = |kind: ErrorKind| HubError::file(Path::new("/cache/blob"), &kind.into());
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(of(kind), HubError::DiskFull { .. }));
        }
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(of(kind), HubError::NotAllowed { .. }));
        }
        for kind in [ErrorKind::StorageFull, ErrorKind::PermissionDenied, ErrorKind::NotADirectory] {
            assert!(of(kind).to_string().contains("/cache/blob"));
        }
    }
}
