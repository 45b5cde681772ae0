//! Models from a hub: downloading them, and finding those that are on this machine.
//!
//! [`look`] asks a server that speaks as `huggingface.co` does what a model is, and [`pull`] downloads it; [`library`] lists what
//! there is, and [`resolve`] makes a folder of the name that a user gives. The variables that set the server, the
//! token and the cache are in [`Settings`], and the cache is laid out as other programs lay it out, so
//! models are downloaded once for all of them.
//!
//! **What a pull promises.** A file appears under its name only after its checksum was right. What has
//! arrived stays when a connection drops, a user cancels or the machine goes down, and the next pull goes
//! on from there. The branch is noted last, so until a new version is complete the old one is used. Names
//! that a server gives never lead out of the model's folder. The token goes to the server of the settings
//! and nowhere that it redirects to.
//!
//! **What is downloaded.** The configuration, the tokenizer, the chat template and the weights in
//! safetensors: one file or those of the index. The same weights in other formats are left alone.
//!
//! **Why not `hf-hub`.** The crate knows the same server and cache. But as of 0.5 its blocking side checks
//! no checksums, appends a whole file to what was left where a server ignores ranges, cannot be cancelled,
//! reports failures without the file or what to do, knows neither `HF_TOKEN` nor `HF_HUB_CACHE`, and ends
//! the process where a link cannot be made. From 1.0 on it needs an asynchronous runtime. What is needed of
//! it is little, so this is that little, on the HTTP client that it uses too.

mod cache;
mod checksum;
mod client;
mod error;
mod fetch;
pub mod library;
mod look;
mod names;
mod progress;
mod pull;
mod settings;
mod weights;

use std::path::{Path, PathBuf};

use cache::ModelFolder;
use names::ModelName;

pub use error::HubError;
pub use look::{Offer, look};
pub use progress::{Progress, Stage, Watcher};
pub use pull::{Pulled, Request, pull};
pub use settings::Settings;

/// The folder of a model: that of the name where there is one, else the one in this user's cache.
///
/// A name may say a revision, as in `owner/model@v1.0`. Without one, the commit that `main` was at when it
/// was last downloaded is taken, or the newest that is complete.
pub fn resolve(name_or_path: &str) -> Result<PathBuf, HubError> {
    let path = Path::new(name_or_path);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    resolve_in(&Settings::from_environment()?.cache, name_or_path)
}

/// Like [`resolve`], in a given cache.
pub fn resolve_in(cache: &Path, name_or_path: &str) -> Result<PathBuf, HubError> {
    let path = Path::new(name_or_path);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    let (name, revision) = match name_or_path.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (name_or_path, None),
    };
    let not_here = || HubError::NotHere { name: name_or_path.to_owned(), cache: cache.to_owned() };
    // What looks like a path and is none is not worth a lecture on how models are named.
    let folder = ModelName::parse(name).map_err(|_| not_here())?;
    let folder = ModelFolder::new(cache, &folder);
    let mut candidates: Vec<_> = folder.snapshots();
    let main = folder.reference(match revision {
        Some(revision) if names::check_revision(revision).is_err() => return Err(not_here()),
        Some(revision) => revision,
        None => "main",
    });
    if let Some(revision) = revision {
        candidates.retain(|snapshot| match &main {
            Some(commit) => snapshot.commit == *commit,
            None => snapshot.commit.starts_with(revision),
        });
    }
    candidates.sort_by_key(|snapshot| Some(&snapshot.commit) != main.as_ref());
    let complete = candidates.iter().find(|snapshot| weights::weight_files(&snapshot.path).is_ok());
    match (complete, candidates.first()) {
        (Some(snapshot), _) => Ok(snapshot.path.clone()),
        (None, None) => Err(not_here()),
        (None, Some(snapshot)) => {
            let fault = weights::weight_files(&snapshot.path).err().unwrap_or_default();
            Err(HubError::Incomplete { name: name.to_owned(), fault })
        }
    }
}
