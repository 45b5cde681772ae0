//! Writing a model folder with its matrices in other formats.
//!
//! The folder that comes out is complete: its weights, its configuration with what was done to them, and every
//! small file of the folder it was made from (tokenizer, chat template, licence). Loading it gives the numbers
//! that converting while loading would have given, bit by bit. Where a form that other programs read holds just
//! these numbers it is written ([`Form`]), else our own ([`own`](super::quantized::own)).
//!
//! Tensors are converted one after another and written straight to their places, so that no more than one
//! of them is in memory. Everything goes into a folder beside the one that is wanted, which gets its name
//! when it is complete; what fails, or is cancelled, leaves nothing behind.

mod encode;
mod folder;
mod form;
mod shards;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ingle_backends::format::WeightFormat;
use ingle_backends::{MatrixRequest, Progress, ProgressFn, WeightError, WeightSource};
use thiserror::Error;

use super::convert::Dense;
use super::quantized::Stored;
use super::source::Found;
use super::{Checkpoint, Rescaling};
use folder::PartialFolder;
use shards::Shard;

pub use form::Form;

/// A model folder that is to be written in other formats.
#[derive(Clone, Copy)]
pub struct Export<'a> {
    pub checkpoint: &'a Checkpoint,
    /// The folder it was opened from.
    pub folder: &'a Path,
    /// Matrices that are to be converted. All other tensors stay as they are.
    pub targets: &'a [Target],
    /// Vectors that the model needs, with their lengths: they stay as they are, but must be sound.
    pub vectors: &'a [(String, usize)],
    /// What is done to the weights before they are converted. Vectors that it replaces are written as f32; matrices that it scales
    /// must be among the targets.
    pub rescaling: &'a Rescaling,
    /// A file of weights is closed before it has more bytes than this, unless one tensor has.
    pub file_bytes: u64,
}

/// A matrix, and what it is to become.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What the model calls it.
    pub tensor: String,
    pub cols: usize,
    pub format: WeightFormat,
    pub role: Role,
}

/// What a matrix is for: other programs treat these differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A row for each token.
    Embedding,
    /// A projection within a layer.
    Layer,
    /// Any other projection, such as the head.
    Other,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Exported {
    pub form: Form,
    /// Why it is not a form that other programs read.
    pub reason: Option<String>,
    /// Files of weights.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes of the weights it was made from.
    pub bytes_before: u64,
}

/// Why a folder could not be written.
#[derive(Debug, Error)]
pub enum ExportError {
    #[error("{} is there already; nothing is written over", .0.display())]
    Exists(PathBuf),
    #[error("{} names no folder", .0.display())]
    NoName(PathBuf),
    #[error("{} cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{}: {fault}", path.display())]
    Config { path: PathBuf, fault: String },
    #[error("{}: {source}", folder.display())]
    Weights { folder: PathBuf, source: WeightError },
    #[error("{} is quantised already ({by}); weights are rounded once, so start from the original", folder.display())]
    Quantized { folder: PathBuf, by: String },
    #[error("it was cancelled, and nothing is left of it")]
    Cancelled,
}

/// A tensor that is to be written, and where it comes from.
pub(super) struct Item<'a> {
    found: Found<'a>,
    /// `None` for one that stays as it is.
    matrix: Option<Matrix<'a>>,
    /// What is written in its place, as f32.
    replaced: Option<&'a [f32]>,
}

/// A matrix as it lies in the files, and what it is to become.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    target: &'a Target,
    rows: usize,
    dtype: Dense,
    /// It is scaled, so that the files do not have what is written.
    scaled: bool,
}

impl Matrix<'_> {
    /// Whether what is written is not what the files have.
    fn is_changed(&self) -> bool {
        self.scaled || self.target.format != self.dtype.format()
    }
}

impl Export<'_> {
    /// What hubs and file systems take without complaint.
    pub const FILE_BYTES: u64 = 5_000_000_000;

    /// Writes the folder, which must not be there yet.
    pub fn write(&self, out: &Path, progress: &mut ProgressFn<'_>) -> Result<Exported, ExportError> {
        let partial = PartialFolder::beside(out)?;
        let items = self.items()?;
        let (form, reason) = form::choose(&items);
        let shards = shards::arrange(&items, form, self.file_bytes);
        let total = shards.iter().map(|shard| shard.len).sum();
        let mut done = 0;
        for shard in &shards {
            self.write_shard(&partial, shard, form, &mut |doing, bytes| {
                let go_on = progress(&Progress { doing, done_bytes: done, total_bytes: total });
                done += bytes;
                if go_on.is_break() { Err(ExportError::Cancelled) } else { Ok(()) }
            })?;
        }
        partial.write_index(&shards)?;
        partial.copy_others(self.folder)?;
        partial.write_config(self.folder, &items, form)?;
        partial.keep()?;
        let bytes_before = self.checkpoint.bytes();
        Ok(Exported { form, reason, files: shards.len(), bytes: total, bytes_before })
    }

    fn weights(&self, source: WeightError) -> ExportError {
        ExportError::Weights { folder: self.folder.to_owned(), source }
    }

    /// All tensors of the checkpoint, by name.
    fn items(&self) -> Result<Vec<Item<'_>>, ExportError> {
        let quantized = |by: String| ExportError::Quantized { folder: self.folder.to_owned(), by };
        if let Some(by) = self.checkpoint.quantization() {
            return Err(quantized(by.to_string()));
        }
        let (scaled, mut matrices) = (self.rescaling.matrices(), BTreeMap::new());
        for target in self.targets {
            let stored = self.checkpoint.stored(&target.tensor).map_err(|source| self.weights(source))?;
            let Stored::Dense(found, dtype) = stored else {
                return Err(quantized(format!("tensor `{}`", target.tensor)));
            };
            let rows = found.info.elements().checked_div(target.cols).unwrap_or(0);
            let scaled = scaled.contains(target.tensor.as_str());
            matrices.insert(found.name, Matrix { target, rows, dtype, scaled });
        }
        for (name, len) in self.vectors {
            self.checkpoint.vector(name, *len).map_err(|source| self.weights(source))?;
        }
        let mut replaced = BTreeMap::new();
        for (name, values) in self.rescaling.vectors() {
            let missing = || self.weights(WeightError::Missing(name.to_owned()));
            replaced.insert(self.checkpoint.find(name).ok_or_else(missing)?.name, values);
        }
        let names = self.checkpoint.tensors().map(|(name, _)| name);
        let items = names.filter_map(|name| {
            let found = self.checkpoint.find_exact(name)?;
            Some(Item { found, matrix: matrices.remove(name), replaced: replaced.remove(name) })
        });
        Ok(items.collect())
    }

    /// Writes one file of weights; `each` is told of every tensor before it is converted.
    fn write_shard(
        &self,
        partial: &PartialFolder,
        shard: &Shard<'_>,
        form: Form,
        each: &mut dyn FnMut(&str, u64) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let mut file = partial.create(shard)?;
        let source = self.rescaling.of(self.checkpoint);
        for (item, places) in &shard.items {
            let bytes = places.iter().map(|place| place.piece.len).sum();
            each(item.found.name, bytes)?;
            let changed = item.matrix.filter(Matrix::is_changed);
            let packed = changed.map(|matrix| {
                let Target { tensor, cols, format, .. } = matrix.target;
                let request = MatrixRequest { tensor, rows: 0..matrix.rows, cols: *cols, format: *format };
                source.matrix(&request).map(|packed| (matrix, packed))
            });
            let packed = packed.transpose().map_err(|source| self.weights(source))?;
            for place in places {
                let bytes = match (item.replaced, &packed) {
                    (Some(values), _) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                    (None, Some((matrix, packed))) => encode::bytes(&place.piece, packed, matrix, form),
                    (None, None) => {
                        let bytes = self.checkpoint.unconverted(item);
                        Cow::Borrowed(bytes.map_err(|source| self.weights(source))?)
                    }
                };
                file.write_at(place.start, &bytes)?;
            }
        }
        file.finish()
    }
}

impl Checkpoint {
    /// The bytes of a tensor that stays as it is; a matrix among them must be sound.
    fn unconverted<'a>(&self, item: &Item<'a>) -> Result<&'a [u8], WeightError> {
        if let Some(Matrix { target, rows, .. }) = item.matrix {
            let Target { tensor, cols, format, .. } = target;
            self.matrix(&MatrixRequest { tensor, rows: 0..rows, cols: *cols, format: *format })?;
        }
        let fault = |fault| WeightError::Damaged { tensor: item.found.name.to_owned(), fault };
        item.found.file.check_unchanged().map_err(fault)?;
        Ok(item.found.file.bytes().get(item.found.info.range.clone()).unwrap_or_default())
    }
}
