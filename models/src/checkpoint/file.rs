//! One safetensors file, memory-mapped.

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::error::{CheckpointError, FileFault};
use super::header::Header;
use super::mapping::Mapping;

/// Bytes that several owners may keep.
pub(super) type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A file whose header has been checked.
pub(super) struct WeightFile {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) bytes: SharedBytes,
    /// `None` for bytes in memory, which nobody can change.
    disk: Option<OnDisk>,
    identity: OnceLock<Option<blake3::Hash>>,
}

/// What tells whether a file has been changed since it was opened.
struct OnDisk {
    file: File,
    stamp: Stamp,
}

/// Size and times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) len: u64,
    pub(super) modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl WeightFile {
    /// Maps a file and checks its header.
    pub(super) fn open(path: PathBuf) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::Read { path: path.clone(), source };
        // Asked before it is opened: opening a pipe would wait for somebody to write into it.
        if !fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(CheckpointError::NotAFile(path));
        }
        let file = File::open(&path).map_err(failed)?;
        let stamp = Stamp::of(&file.metadata().map_err(failed)?);
        if stamp.len == 0 {
            // Not every system maps nothing.
            return Err(CheckpointError::File { file: path, fault: FileFault::TooShort(0) });
        }
        let bytes: SharedBytes = Arc::new(Mapping::of(&file).map_err(failed)?);
        Self::new(path, bytes, Some(OnDisk { file, stamp }))
    }

    /// A file in memory. `path` is what messages call it.
    pub(super) fn in_memory(path: PathBuf, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        Self::new(path, Arc::new(bytes), None)
    }

    fn new(path: PathBuf, bytes: SharedBytes, disk: Option<OnDisk>) -> Result<Self, CheckpointError> {
        match Header::read((*bytes).as_ref()) {
            Ok(header) => Ok(Self { path, header, bytes, disk, identity: OnceLock::new() }),
            Err(fault) => Err(CheckpointError::File { file: path, fault }),
        }
    }

    /// All of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Fails if the file is not what it was when it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), String> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let found = disk.file.metadata().map(|metadata| Stamp::of(&metadata));
        match found {
            Ok(stamp) if stamp == disk.stamp => Ok(()),
            Ok(stamp) => Err(format!(
                "{} has been changed since it was opened ({} bytes then, {} now)",
                self.path.display(),
                disk.stamp.len,
                stamp.len
            )),
            Err(error) => Err(format!("{} cannot be read any more: {error}", self.path.display())),
        }
    }

    /// What quickly tells this file from any other, and from itself after a change; `None` where there is
    /// nothing to go by, or where the file is so young that a change now would not show in its time.
    pub(super) fn identity(&self) -> Option<blake3::Hash> {
        *self.identity.get_or_init(|| self.find_identity())
    }

    fn find_identity(&self) -> Option<blake3::Hash> {
        /// The coarsest clock among common file systems.
        const CLOCK: std::time::Duration = std::time::Duration::from_secs(2);
        let disk = self.disk.as_ref()?;
        let modified = disk.stamp.modified?;
        if SystemTime::now().duration_since(modified).is_ok_and(|age| age < CLOCK) {
            return None;
        }
        let since_epoch = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let mut hash = blake3::Hasher::new_derive_key("inglenook 2025 identity of a weight file");
        hash.update(path_bytes(&fs::canonicalize(&self.path).ok()?).as_ref());
        hash.update(&[0]);
        hash.update(&disk.stamp.len.to_le_bytes());
        hash.update(&since_epoch.as_nanos().to_le_bytes());
        hash.update(&change_marks(&disk.file.metadata().ok()?));
        hash.update(self.bytes().get(..self.header.data_start)?);
        Some(hash.finalize())
    }
}

#[cfg(unix)]
fn path_bytes(path: &Path) -> impl AsRef<[u8]> {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec()
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> impl AsRef<[u8]> {
    path.to_string_lossy().into_owned().into_bytes()
}

/// Device, number and time of the last change of any kind, which unlike the time of modification nobody can
/// set back: a copy that keeps its source's time is still seen as another file.
#[cfg(unix)]
fn change_marks(metadata: &Metadata) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt;
    [metadata.dev(), metadata.ino(), metadata.ctime() as u64, metadata.ctime_nsec() as u64]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

#[cfg(not(unix))]
fn change_marks(metadata: &Metadata) -> Vec<u8> {
    let created = metadata.created().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    created.map_or(0, |time| time.as_nanos()).to_le_bytes().to_vec()
}
