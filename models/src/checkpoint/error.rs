//! What can be wrong with a model folder, and what is worth telling although loading goes on.

use std::io;
use std::path::PathBuf;

use ingle_backends::format::WeightFormat;
use thiserror::Error;

/// Why a model folder could not be opened.
#[derive(Debug, Error)]
pub enum CheckpointError {
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is not a folder; a model is the folder that holds config.json and *.safetensors", .0.display())]
    NotAFolder(PathBuf),
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a plain file", .0.display())]
    NotAFile(PathBuf),
    #[error("{}", no_weights(folder, unsupported, nameless))]
    NoWeights {
        folder: PathBuf,
        /// Weights in formats that are not read.
        unsupported: Vec<String>,
        /// Safetensors files that neither have the name of a whole model nor are in an index.
        nameless: Vec<String>,
    },
    #[error("{}: {fault}", file.display())]
    File { file: PathBuf, fault: FileFault },
    #[error("{}: {fault}", file.display())]
    Index { file: PathBuf, fault: IndexFault },
    #[error("{}: {fault}", file.display())]
    Config { file: PathBuf, fault: String },
}

fn no_weights(folder: &std::path::Path, unsupported: &[String], nameless: &[String]) -> String {
    let start =
        format!("{} holds neither model.safetensors nor model.safetensors.index.json", folder.display());
    if !nameless.is_empty() {
        return format!("{start}; it does hold {}, which no index lists", some_of(nameless));
    }
    if !unsupported.is_empty() {
        return format!(
            "{start}; it does hold {}, but only safetensors files are read, not .bin, .pt or .gguf",
            some_of(unsupported)
        );
    }
    start
}

/// The first few of many names.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let list = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{list} and {} more", names.len() - SHOWN) } else { list }
}

/// What is wrong with one safetensors file.
#[derive(Debug, Error)]
pub enum FileFault {
    #[error("it has {0} bytes, too few for a safetensors file: it is truncated")]
    TooShort(usize),
    #[error(
        "its header is said to have {len} bytes, more than the {limit} that are allowed: this is no safetensors file"
    )]
    HeaderTooLong { len: u64, limit: usize },
    #[error(
        "its header of {len} bytes reaches beyond its {file_len} bytes: it is truncated, or no safetensors file"
    )]
    HeaderOutside { len: u64, file_len: usize },
    #[error("its header is not UTF-8")]
    HeaderNotUtf8,
    #[error("its header is not a table of tensors in JSON: {0}")]
    HeaderNotJson(String),
    #[error("it has two tensors named `{0}`")]
    DuplicateName(String),
    #[error("tensor `{tensor}` {fault}")]
    Tensor { tensor: String, fault: TensorFault },
    #[error("its last {0} bytes belong to no tensor")]
    Unclaimed(usize),
}

/// What is wrong with one tensor's entry in a header.
#[derive(Debug, Error)]
pub enum TensorFault {
    #[error("has the unknown type {0:?}")]
    UnknownDtype(String),
    #[error("has the shape {0:?}, which no machine can address")]
    TooLarge(Vec<u64>),
    #[error("ends at byte {end} of the data, before its start at {start}")]
    Reversed { start: u64, end: u64 },
    #[error("ends at byte {end} of the data, of which the file has only {data_len}: it is truncated")]
    Outside { end: u64, data_len: usize },
    #[error("takes {claimed} bytes, but {shape:?} of {dtype} are {needed}")]
    Size { claimed: u64, needed: usize, shape: Vec<usize>, dtype: &'static str },
    #[error("overlaps tensor `{0}`")]
    Overlap(String),
    #[error("follows {0} bytes that belong to no tensor")]
    Gap(usize),
}

/// What is wrong with the index of a model in several files.
#[derive(Debug, Error)]
pub enum IndexFault {
    #[error("it has {len} bytes, more than the {limit} that are allowed")]
    TooLarge { len: u64, limit: usize },
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it is no index in JSON: {0}")]
    NotJson(String),
    #[error("it lists no tensors")]
    Empty,
    #[error("it lists tensor `{0}` twice")]
    DuplicateName(String),
    #[error("it places tensor `{tensor}` in {shard:?}, which is not the name of a file beside it")]
    ShardName { tensor: String, shard: String },
    #[error(
        "it places tensor `{tensor}` in {shard}, which is not there: has all of the model been downloaded?"
    )]
    MissingShard { tensor: String, shard: String },
    #[error("it places tensor `{tensor}` in {shard}, which does not hold it")]
    ShardLacks { tensor: String, shard: String },
}

/// Something that did not stop the loading, yet is worth telling.
#[derive(Debug, Error)]
pub enum Notice {
    /// From here on nothing more is written to the cache; loading goes on without.
    #[error("converted weights are not kept: {} cannot be written: {source}", path.display())]
    CacheNotWritten { path: PathBuf, source: io::Error },
    /// A damaged entry is made anew.
    #[error("{} was damaged ({fault}) and is made anew", path.display())]
    CacheDamaged { path: PathBuf, fault: String },
    /// Weights that were quantised already are quantised once more.
    #[error("tensor `{tensor}`, stored as {scheme}, is rounded again to {format}: {reason}")]
    RoundedAgain { tensor: String, scheme: &'static str, format: WeightFormat, reason: String },
}

impl Notice {
    /// Whether this says of the same tensor what has just been said.
    pub(super) fn repeats(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::RoundedAgain { tensor, .. }, Self::RoundedAgain { tensor: before, .. }) => {
                tensor == before
            }
            _ => false,
        }
    }
}
