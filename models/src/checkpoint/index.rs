//! The index of a model in several files, and which files of a folder make up the model.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::error::{CheckpointError, IndexFault};
use super::header::Pairs;

const WHOLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Largest index that is read. Those of the largest models have a few million bytes.
const INDEX_LIMIT: usize = 100_000_000;

/// Endings of files that hold weights in formats that are not read.
const UNSUPPORTED: [&str; 9] = ["bin", "gguf", "ggml", "pt", "pth", "ckpt", "h5", "msgpack", "npz"];

/// Which file of a model holds each tensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardIndex {
    /// File name of each tensor's file.
    pub tensors: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Reads and checks the text of an index.
    pub fn read(text: &[u8]) -> Result<Self, IndexFault> {
        #[derive(Deserialize)]
        struct Raw {
            weight_map: Pairs<String>,
        }
        if text.len() > INDEX_LIMIT {
            return Err(IndexFault::TooLarge { len: text.len() as u64, limit: INDEX_LIMIT });
        }
        let text = str::from_utf8(text).map_err(|_| IndexFault::NotUtf8)?;
        let raw: Raw = serde_json::from_str(text).map_err(|e| IndexFault::NotJson(e.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (tensor, shard) in raw.weight_map.0 {
            if !is_plain_name(&shard) {
                return Err(IndexFault::ShardName { tensor, shard });
            }
            if tensors.contains_key(&tensor) {
                return Err(IndexFault::DuplicateName(tensor));
            }
            tensors.insert(tensor, shard);
        }
        if tensors.is_empty() { Err(IndexFault::Empty) } else { Ok(Self { tensors }) }
    }

    /// The files, each once, and one tensor of each.
    pub fn shards(&self) -> BTreeMap<&str, &str> {
        self.tensors.iter().rev().map(|(tensor, shard)| (shard.as_str(), tensor.as_str())).collect()
    }
}

/// Whether this names a file in the same folder: an index from the internet must not reach elsewhere.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    // Separators and drives of other systems are refused too, so that a model means the same everywhere.
    one && !name.contains(['/', '\\', ':', '\0'])
}

/// The files of a model.
pub(super) enum Files {
    Whole(PathBuf),
    Sharded { index_file: PathBuf, index: ShardIndex },
}

/// Finds out which files of a folder make up its model. A single whole file comes before an index.
pub(super) fn find_files(folder: &Path) -> Result<Files, CheckpointError> {
    let names = names_in(folder)?;
    if names.contains(OsStr::new(WHOLE)) {
        return Ok(Files::Whole(folder.join(WHOLE)));
    }
    if names.contains(OsStr::new(INDEX)) {
        let file = folder.join(INDEX);
        let index = ShardIndex::read(&read_limited(&file)?)
            .and_then(|index| check_shards_exist(&index, folder).map(|()| index))
            .map_err(|fault| CheckpointError::Index { file: file.clone(), fault })?;
        return Ok(Files::Sharded { index_file: file, index });
    }
    let with_ending = |endings: &[&str]| {
        let ends = |name: &&std::ffi::OsString| {
            let ending = Path::new(name).extension().map(|e| e.to_string_lossy().to_lowercase());
            ending.is_some_and(|ending| endings.contains(&ending.as_str()))
        };
        names.iter().filter(ends).map(|name| name.to_string_lossy().into_owned()).collect()
    };
    Err(CheckpointError::NoWeights {
        folder: folder.to_owned(),
        unsupported: with_ending(&UNSUPPORTED),
        nameless: with_ending(&["safetensors"]),
    })
}

fn names_in(folder: &Path) -> Result<BTreeSet<std::ffi::OsString>, CheckpointError> {
    let failed = |source: io::Error| CheckpointError::Read { path: folder.to_owned(), source };
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CheckpointError::NoFolder(folder.to_owned()));
        }
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_dir() => return Err(CheckpointError::NotAFolder(folder.to_owned())),
        Ok(_) => {}
    }
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>().map_err(failed)
}

/// All of a text file, unless it is too large to be an index.
fn read_limited(file: &Path) -> Result<Vec<u8>, CheckpointError> {
    let failed = |source| CheckpointError::Read { path: file.to_owned(), source };
    if !fs::metadata(file).map_err(failed)?.is_file() {
        return Err(CheckpointError::NotAFile(file.to_owned()));
    }
    let mut text = Vec::new();
    let mut limited = fs::File::open(file).map_err(failed)?.take(INDEX_LIMIT as u64 + 1);
    limited.read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

/// A missing file is told by the index that wants it; one that is there but cannot be read is told when it
/// is opened.
fn check_shards_exist(index: &ShardIndex, folder: &Path) -> Result<(), IndexFault> {
    for (shard, tensor) in index.shards() {
        let found = fs::symlink_metadata(folder.join(shard));
        if found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let (tensor, shard) = (tensor.to_owned(), shard.to_owned());
            return Err(IndexFault::MissingShard { tensor, shard });
        }
    }
    Ok(())
}
