//! Converted weights kept on disk, so that a model that has been quantised once starts fast.
//!
//! **What is kept.** Tensors are cut into blocks of rows of at most [`BLOCK_ELEMENTS`] weights, and each
//! converted block is a file of its own: no file is ever changed or grown, any number of processes may
//! read and write at once, and what is damaged or lost costs one block. Only quantised formats are kept;
//! converting one dense format to another takes no longer than reading the result.
//!
//! **What a block is known by.** Its file is named after a BLAKE3 hash of the *contents* of the rows it was
//! made from, with their type, shape, the target format and [`FORMAT_VERSION`]. So two models never get
//! each other's weights however their files are named, dated or moved about, fine-tunes that share a tensor
//! share its block, and a downloaded copy is recognised. Hashing a whole model takes about as long as
//! reading it, though, so the hash of each block is also noted under the quick *identity* of its file: path,
//! size, times, place on disk and header. If the identity is known, the rows are not read at all;
//! if not (the file is new, has been moved or touched), its blocks are hashed, and found by content again.
//! They are hashed before they are converted rather than meanwhile, for if the block is found there is
//! nothing to convert.
//!
//! **Safety.** A block is written to a temporary file beside its place, flushed to disk and renamed. Its
//! header repeats its name and holds a checksum of its data; a file that does not agree with its header, byte
//! by byte, is not used but made again. If writing fails, as on a full disk, the remains are removed, the
//! fault is reported as a [`Notice`], and loading goes on without writing more.

mod entry;
mod folder;
mod known;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ingle_backends::WeightError;
use ingle_backends::format::{PackedMatrix, WeightFormat};
use thiserror::Error;

use super::convert::DenseRows;
use super::error::Notice;
use super::file::WeightFile;
use entry::{Entry, EntryFault};
use folder::Folder;
use known::Known;

/// Weights of a block at most. It is what the CPU backend asks for in one piece, so that a piece is a block.
const BLOCK_ELEMENTS: usize = 16 << 20;

/// Tensors with fewer weights are converted each time: that is faster than opening a file.
const SMALLEST: usize = 1 << 16;

/// Counts the changes to how weights are packed. A change makes all blocks that are kept worthless.
const FORMAT_VERSION: u32 = 1;

/// Why a cache folder cannot be used.
#[derive(Debug, Error)]
#[error("the folder for converted weights, {}, cannot be used: {source}", path.display())]
pub struct CacheError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// How far a kept block is trusted when it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheCheck {
    /// Its data are read and compared with their checksum.
    #[default]
    Checksum,
    /// Its header and its size are compared, the data are not read. For disks that can be trusted.
    Sizes,
}

/// What a cache folder holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheReport {
    /// Converted blocks.
    pub blocks: usize,
    /// Bytes of everything that belongs to the cache.
    pub bytes: u64,
    /// Files that writers left behind when they were ended.
    pub leftovers: usize,
}

/// A folder of converted weights.
pub struct ConvertedCache {
    folder: Folder,
    check: CacheCheck,
    smallest: usize,
    block_elements: usize,
    /// Cleared by the first write that fails.
    writable: AtomicBool,
    /// What is known of each file, by its identity.
    known: Mutex<HashMap<blake3::Hash, Arc<Known>>>,
}

impl ConvertedCache {
    /// Uses a folder, which is made if it is not there. The cache keeps to a subfolder of it.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let folder = Folder::open(folder)?;
        let writable = AtomicBool::new(true);
        let (check, known) = (CacheCheck::default(), Mutex::default());
        Ok(Self { folder, check, smallest: SMALLEST, block_elements: BLOCK_ELEMENTS, writable, known })
    }

    /// Changes how far kept blocks are trusted.
    #[must_use]
    pub fn with_check(self, check: CacheCheck) -> Self {
        Self { check, ..self }
    }

    /// Changes from how many weights on a tensor is kept.
    #[must_use]
    pub fn with_smallest(self, elements: usize) -> Self {
        Self { smallest: elements, ..self }
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What there is.
    pub fn report(&self) -> Result<CacheReport, CacheError> {
        self.folder.report()
    }

    /// Removes everything that the cache has written, and nothing else; says what that was.
    ///
    /// Blocks that are in use stay readable for whoever uses them where the system allows it, and cannot be
    /// removed where it does not.
    pub fn clear(&self) -> Result<CacheReport, CacheError> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.folder.clear()
    }

    /// Reads every block in full, removes those that are damaged, and says which they were.
    pub fn check_contents(&self) -> Result<Vec<Notice>, CacheError> {
        let mut notices = Vec::new();
        for path in self.folder.blocks()? {
            if let Err(EntryFault::Damaged(fault)) =
                Entry::open(&path).and_then(|opened| Entry::check_contents(opened, &path))
            {
                self.folder.remove(&path);
                notices.push(Notice::CacheDamaged { path, fault });
            }
        }
        Ok(notices)
    }

    /// Whether the blocks of such a tensor are kept.
    pub(super) fn keeps(&self, elements: usize, format: WeightFormat) -> bool {
        let dense = matches!(format, WeightFormat::F32 | WeightFormat::F16 | WeightFormat::Bf16);
        !dense && elements >= self.smallest
    }

    /// Rows of a block of such a tensor.
    pub(super) fn rows_per_block(&self, cols: usize) -> usize {
        (self.block_elements / cols.max(1)).max(1)
    }

    /// Whether new blocks are still being written.
    pub(super) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// A block in a format: as kept, or else converted and kept.
    pub(super) fn block(
        &self,
        file: &WeightFile,
        rows: &DenseRows<'_>,
        format: WeightFormat,
        notices: &mut Vec<Notice>,
    ) -> Result<PackedMatrix, WeightError> {
        let known = self.known_of(file);
        let content = known.as_ref().and_then(|known| known.get(&rows.range));
        let hash = content.unwrap_or_else(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update_rayon(rows.bytes());
            hasher.finalize()
        });
        let entry = Entry::new(&hash, rows, format);
        let path = self.folder.block(&entry.key());
        match entry.load(&path, self.check) {
            Ok(matrix) => {
                self.note(known.as_deref(), rows, hash, content.is_some());
                return Ok(matrix);
            }
            Err(EntryFault::Absent) => {}
            Err(EntryFault::Damaged(fault)) => {
                self.folder.remove(&path);
                notices.push(Notice::CacheDamaged { path: path.clone(), fault });
            }
        }
        let matrix = rows.pack(format)?;
        // A file that changes between the two readings would leave a block that its name does not describe.
        let unchanged = file.check_unchanged().is_ok();
        if unchanged && self.is_writable() {
            match self.folder.store(&path, &entry.parts(&matrix).slices()) {
                Ok(()) => self.note(known.as_deref(), rows, hash, content.is_some()),
                Err(source) => {
                    self.writable.store(false, Ordering::Relaxed);
                    notices.push(Notice::CacheNotWritten { path, source });
                }
            }
        }
        Ok(matrix)
    }

    /// What is known of a file's blocks; nothing for a file without an identity.
    fn known_of(&self, file: &WeightFile) -> Option<Arc<Known>> {
        let identity = file.identity()?;
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            all.entry(identity).or_insert_with(|| Arc::new(Known::read(self.folder.known(&identity))));
        Some(Arc::clone(known))
    }

    /// Notes the contents of a block for the next start.
    fn note(&self, known: Option<&Known>, rows: &DenseRows<'_>, hash: blake3::Hash, already: bool) {
        if let Some(known) = known.filter(|_| !already) {
            known.add(&rows.range, hash, self.is_writable());
        }
    }
}
