//! The folder of the cache: which files there are, and how they come and go.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{CacheError, CacheReport};

/// The subfolder that the cache keeps to.
const SUBFOLDER: &str = "converted-weights";
const BLOCK: &str = "safetensors";
const KNOWN: &str = "known";
const TEMPORARY: &str = "part";

/// A temporary file of this age has no writer any more: a block takes seconds.
const ABANDONED: Duration = Duration::from_secs(3600);

pub(super) struct Folder {
    path: PathBuf,
    /// Bytes that may still be written before the disk seems full.
    #[cfg(test)]
    pub(super) room: AtomicU64,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, CacheError> {
        let path = path.join(SUBFOLDER);
        fs::create_dir_all(&path).map_err(|source| CacheError { path: path.clone(), source })?;
        let folder = Self {
            path,
            #[cfg(test)]
            room: AtomicU64::new(u64::MAX),
        };
        folder.sweep()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the block of this key is, if it is there.
    pub(super) fn block(&self, key: &blake3::Hash) -> PathBuf {
        self.path.join(format!("{key}.{BLOCK}"))
    }

    /// Where the contents of the file with this identity are noted.
    pub(super) fn known(&self, identity: &blake3::Hash) -> PathBuf {
        self.path.join(format!("{identity}.{KNOWN}"))
    }

    /// Removes a file; one that cannot be removed is written over or found damaged again.
    #[allow(clippy::unused_self, reason = "only files of this folder are to be removed")]
    pub(super) fn remove(&self, path: &Path) {
        let _ = fs::remove_file(path);
    }

    /// Writes a file of several parts: either all of it is there in the end, or nothing.
    pub(super) fn store(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_extension(format!("{}-{number}.{TEMPORARY}", std::process::id()));
        let result = self.write(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
            // Some systems do not replace a file that is being read. Then somebody else has written the
            // same block meanwhile, as they are named after what they hold.
            if path.exists() {
                return Ok(());
            }
        }
        result
    }

    fn write(&self, temporary: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
        for part in parts {
            self.write_part(&mut file, part)?;
        }
        file.sync_all()
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self, reason = "the tests' disks have limits")]
    fn write_part(&self, file: &mut File, part: &[u8]) -> io::Result<()> {
        file.write_all(part)
    }

    #[cfg(test)]
    fn write_part(&self, file: &mut File, part: &[u8]) -> io::Result<()> {
        let room = self.room.load(Ordering::Relaxed);
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(part.len());
        file.write_all(&part[..fits])?;
        self.room.store(room - fits as u64, Ordering::Relaxed);
        if fits < part.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// The files that are blocks.
    pub(super) fn blocks(&self) -> Result<Vec<PathBuf>, CacheError> {
        let ours = self.files()?.into_iter();
        Ok(ours.filter(|(_, kind)| *kind == Kind::Block).map(|(path, _)| path).collect())
    }

    pub(super) fn report(&self) -> Result<CacheReport, CacheError> {
        let mut report = CacheReport::default();
        for (path, kind) in self.files()? {
            // A file that has gone meanwhile takes no space.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            report.add(kind, metadata.len());
        }
        Ok(report)
    }

    pub(super) fn clear(&self) -> Result<CacheReport, CacheError> {
        let mut report = CacheReport::default();
        let mut failure = None;
        for (path, kind) in self.files()? {
            let len = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            match fs::remove_file(&path) {
                Ok(()) => report.add(kind, len),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The others are removed all the same.
                Err(source) => failure = Some(CacheError { path, source }),
            }
        }
        failure.map_or(Ok(report), Err)
    }

    /// Removes what ended writers have left.
    fn sweep(&self) -> Result<(), CacheError> {
        for (path, kind) in self.files()? {
            let age = || SystemTime::now().duration_since(fs::metadata(&path).ok()?.modified().ok()?).ok();
            if kind == Kind::Temporary && age().is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// The files of the cache, and no others.
    fn files(&self) -> Result<Vec<(PathBuf, Kind)>, CacheError> {
        let failed = |source| CacheError { path: self.path.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(kind) = Kind::of(&name) {
                files.push((self.path.join(name), kind));
            }
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }
}

impl CacheReport {
    fn add(&mut self, kind: Kind, bytes: u64) {
        self.bytes += bytes;
        match kind {
            Kind::Block => self.blocks += 1,
            Kind::Temporary => self.leftovers += 1,
            Kind::Known => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Block,
    Known,
    Temporary,
}

impl Kind {
    fn of(name: &OsStr) -> Option<Self> {
        let (stem, ending) = name.to_str()?.split_once('.')?;
        if blake3::Hash::from_hex(stem).is_err() {
            return None;
        }
        match ending {
            BLOCK => Some(Self::Block),
            KNOWN => Some(Self::Known),
            _ => ending.ends_with(TEMPORARY).then_some(Self::Temporary),
        }
    }
}
