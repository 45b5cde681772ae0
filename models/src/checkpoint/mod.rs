//! A model folder as it is downloaded, as a source of weights.
//!
//! [`Checkpoint::open`] takes a folder with `model.safetensors`, or with `model.safetensors.index.json` and
//! the files it lists, maps the files into memory and checks all that their headers claim. From then on it
//! hands out tensors, quantised to whatever is asked for, straight from the mapped rows; with a
//! [`ConvertedCache`] what has been quantised once is read back the next time.
//!
//! **Names.** A tensor is looked up by its exact name first. If there is none, the same name with the
//! prefixes of other kinds of checkpoints is tried: `model.`, `language_model.model.`,
//! `model.language_model.`, `language_model.` and none, in this order.
//!
//! **Shapes.** A matrix is a tensor of two dimensions, or one of three, [experts, rows, columns], whose
//! experts then lie below one another. A vector is a tensor with at most one dimension longer than 1.
//!
//! **Quantised already.** Codes that a format of ours can hold are repacked as they are; [`Quantization`] and
//! [`Checkpoint::stored_format`] tell what to ask for.
//!
//! **Files that change meanwhile.** A mapped file shows what is on disk now. So before each piece the file's
//! size and time are compared with those at opening; a file that has been changed or cut short is refused by
//! name. What cannot be caught is a file that is cut short *while* a piece of it is read, or while a dense
//! matrix that is used where it is mapped is being computed with: reading beyond the new end then ends the
//! process with a bus error. Replacing a file by renaming another onto it, as downloaders do, is harmless:
//! the mapping keeps the old one.

mod cache;
mod convert;
mod dtype;
mod error;
mod export;
mod file;
mod header;
mod index;
mod mapping;
mod names;
mod quantized;
mod rescaled;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use file::WeightFile;
use index::Files;

pub use cache::{CacheCheck, CacheError, CacheReport, ConvertedCache};
pub use dtype::Dtype;
pub use error::{CheckpointError, FileFault, IndexFault, Notice, TensorFault};
pub use export::{Export, ExportError, Exported, Form, Role, Target};
pub use header::{Header, TensorInfo};
pub use index::ShardIndex;
pub use quantized::Quantization;
pub use rescaled::{Rescaled, Rescaling};

/// The weights of a model folder.
pub struct Checkpoint {
    files: Vec<WeightFile>,
    /// Which of the files holds each tensor.
    tensors: BTreeMap<String, usize>,
    cache: Option<ConvertedCache>,
    quantization: Option<Quantization>,
    notices: Mutex<Vec<Notice>>,
}

impl Checkpoint {
    /// Opens a model folder.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let opened = match index::find_files(folder)? {
            Files::Whole(path) => Self::of_whole(WeightFile::open(path)?),
            Files::Sharded { index_file, index } => Self::of_shards(folder, index_file, &index)?,
        };
        Ok(Self { quantization: quantized::read_config(folder)?, ..opened })
    }

    /// The weights in the bytes of one safetensors file, which messages call `name`.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        Ok(Self::of_whole(WeightFile::in_memory(PathBuf::from(name), bytes)?))
    }

    fn of(files: Vec<WeightFile>, tensors: BTreeMap<String, usize>) -> Self {
        Self { files, tensors, cache: None, quantization: None, notices: Mutex::default() }
    }

    fn of_whole(file: WeightFile) -> Self {
        let tensors = file.header.tensors.keys().map(|name| (name.clone(), 0)).collect();
        Self::of(vec![file], tensors)
    }

    fn of_shards(folder: &Path, index_file: PathBuf, index: &ShardIndex) -> Result<Self, CheckpointError> {
        let mut files = Vec::new();
        let mut places = BTreeMap::new();
        for shard in index.shards().into_keys() {
            places.insert(shard, files.len());
            files.push(WeightFile::open(folder.join(shard))?);
        }
        let mut tensors = BTreeMap::new();
        for (tensor, shard) in &index.tensors {
            let place = places.get(shard.as_str()).copied().unwrap_or(usize::MAX);
            let holds = files.get(place).is_some_and(|file| file.header.tensors.contains_key(tensor));
            if !holds {
                let fault = IndexFault::ShardLacks { tensor: tensor.clone(), shard: shard.clone() };
                return Err(CheckpointError::Index { file: index_file, fault });
            }
            tensors.insert(tensor.clone(), place);
        }
        Ok(Self::of(files, tensors))
    }

    /// Keeps converted weights, and uses those that are kept.
    #[must_use]
    pub fn with_cache(self, cache: ConvertedCache) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// The cache, if there is one.
    pub fn cache(&self) -> Option<&ConvertedCache> {
        self.cache.as_ref()
    }

    /// What has come up since this was last asked, in the order in which it did.
    pub fn take_notices(&self) -> Vec<Notice> {
        std::mem::take(&mut self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All tensors by name, with what the files say of them.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.tensors.iter().filter_map(|(name, file)| {
            Some((name.as_str(), self.files.get(*file)?.header.tensors.get(name)?))
        })
    }

    /// Bytes of all tensors as they are stored.
    pub fn bytes(&self) -> u64 {
        self.tensors().map(|(_, info)| info.range.len() as u64).sum()
    }

    /// What the files say of a tensor, found as it is for loading.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.find(name).map(|found| found.info)
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.files.iter().map(|file| &file.path).collect();
        write!(f, "Checkpoint({} tensors of {files:?})", self.tensors.len())
    }
}
