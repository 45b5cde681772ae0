//! The models that are on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use ingle_backends::format::WeightFormat;

use super::cache::{ModelFolder, entries, models};
use super::weights::{weight_files, weights};
use super::{HubError, Settings};
use crate::arch::{WeightFormats, from_config};
use crate::config::Config;

/// How deep below a given folder models are looked for: `folder/owner/model`.
const DEPTH: usize = 2;

/// A model on this machine.
#[derive(Clone, Debug)]
pub struct LocalModel {
    /// `owner/model`, or the name of the folder.
    pub name: String,
    /// The branch or tag, or the commit, where the model is in the cache.
    pub revision: Option<String>,
    pub path: PathBuf,
    /// The family that the configuration names, known here or not.
    pub family: Option<String>,
    /// Bytes of the files.
    pub bytes: u64,
    /// How many numbers the model has. Not known of weights that were packed in ways of their own.
    pub parameters: Option<u64>,
    /// The type of most of its numbers as stored, such as `BF16`.
    pub dtype: Option<String>,
    pub state: ModelState,
}

/// Whether a model can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// It is complete and of a known family.
    Supported,
    /// It is complete and cannot be run here, with the reason.
    Unsupported(String),
    /// Something is missing or damaged.
    Broken(String),
}

/// The models of this user's cache and of other folders, by name.
pub fn list(folders: &[PathBuf]) -> Result<Vec<LocalModel>, HubError> {
    list_in(&Settings::from_environment()?.cache, folders)
}

/// The models of a cache and of other folders, by name. A folder that is given may be a model or hold
/// models.
pub fn list_in(cache: &Path, folders: &[PathBuf]) -> Result<Vec<LocalModel>, HubError> {
    let mut found = vec![];
    for (name, folder) in models(cache) {
        found.extend(cached(name.as_str(), &folder));
    }
    for folder in folders {
        fs::read_dir(folder).map_err(|error| HubError::file(folder, &error))?;
        collect(folder, DEPTH, &mut found);
    }
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    found.dedup_by(|a, b| a.path == b.path);
    Ok(found)
}

/// The commits of a model in the cache.
fn cached(name: &str, folder: &ModelFolder) -> Vec<LocalModel> {
    let references = folder.references();
    let snapshots = folder.snapshots().into_iter();
    let described = snapshots.map(|snapshot| {
        let reference = references.iter().find(|(_, commit)| *commit == snapshot.commit);
        let short = || snapshot.commit.chars().take(12).collect();
        let revision = reference.map_or_else(short, |(reference, _)| reference.clone());
        LocalModel { revision: Some(revision), ..describe(name.to_owned(), snapshot.path) }
    });
    described.collect()
}

/// The models in a folder.
fn collect(folder: &Path, depth: usize, found: &mut Vec<LocalModel>) {
    if folder.join("config.json").is_file() {
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(describe(name, absolute));
    } else if depth > 0 {
        for entry in entries(folder).filter(|entry| entry.path().is_dir()) {
            collect(&entry.path(), depth - 1, found);
        }
    }
}

/// Looks at one model.
fn describe(name: String, path: PathBuf) -> LocalModel {
    let mut model = LocalModel {
        name,
        revision: None,
        bytes: bytes_in(&path, DEPTH),
        path,
        family: None,
        parameters: None,
        dtype: None,
        state: ModelState::Supported,
    };
    let config = Config::open(&model.path);
    model.family = config.as_ref().ok().and_then(|config| Some(config.model_type()?.to_owned()));
    let stored = weight_files(&model.path).and_then(|files| weights(&files));
    let (config, stored) = match (config, stored) {
        (Ok(config), Ok(stored)) => (config, stored),
        (_, Err(fault)) => return LocalModel { state: ModelState::Broken(fault), ..model },
        (Err(error), _) => return LocalModel { state: ModelState::Broken(error.to_string()), ..model },
    };
    model.dtype = stored.dtype;
    match from_config(&config) {
        Ok(architecture) => {
            // Packed codes are fewer numbers than the model has.
            let plan = || architecture.plan(&WeightFormats::uniform(WeightFormat::F16).into()).ok();
            model.parameters = match config.quantization() {
                Some(_) => plan().map(|plan| plan.matrices.iter().map(|m| (m.rows * m.cols) as u64).sum()),
                None => Some(stored.elements),
            };
        }
        Err(error) => {
            model.parameters = config.quantization().is_none().then_some(stored.elements);
            model.state = ModelState::Unsupported(error.to_string());
        }
    }
    model
}

/// The bytes of the files in a folder, with those that links lead to.
fn bytes_in(folder: &Path, depth: usize) -> u64 {
    let of = |entry: fs::DirEntry| match fs::metadata(entry.path()) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(metadata) if metadata.is_dir() && depth > 0 => bytes_in(&entry.path(), depth - 1),
        _ => 0,
    };
    entries(folder).map(of).sum()
}
