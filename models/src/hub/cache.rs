//! The cache folder, laid out as other programs do, so that each finds what another has downloaded.
//!
//! ```text
//! models--owner--name/
//!   blobs/<checksum>                 the contents
//!   blobs/<checksum>.incomplete      contents that are still arriving
//!   snapshots/<commit>/<file>        a link to a blob
//!   refs/<revision>                  the commit that a branch or a tag stood for
//! .locks/models--owner--name/<checksum>.lock
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::HubError;
use super::names::{ModelName, is_plain};

/// The folder of one model.
#[derive(Clone, Debug)]
pub(super) struct ModelFolder {
    cache: PathBuf,
    folder: String,
}

/// The files of one commit.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) commit: String,
    pub(super) path: PathBuf,
    pub(super) modified: Option<SystemTime>,
}

impl ModelFolder {
    pub(super) fn new(cache: &Path, name: &ModelName) -> Self {
        Self { cache: cache.to_owned(), folder: name.folder() }
    }

    fn path(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    pub(super) fn blob(&self, checksum: &str) -> PathBuf {
        self.path().join("blobs").join(checksum)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.path().join("snapshots").join(commit)
    }

    /// The commit that a branch or tag stood for when it was last downloaded.
    pub(super) fn reference(&self, revision: &str) -> Option<String> {
        let text = fs::read_to_string(self.path().join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_plain(commit).then(|| commit.to_owned())
    }

    /// All branches and tags that were downloaded, with their commits.
    pub(super) fn references(&self) -> Vec<(String, String)> {
        let mut found = vec![];
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            // `refs/pr/1` lies two folders down; nothing lies deeper than that.
            let depth = folder.matches('/').count();
            for entry in entries(&self.path().join("refs").join(&folder)) {
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() && depth < 4 {
                    folders.push(name + "/");
                } else if let Some(commit) = self.reference(&name) {
                    found.push((name, commit));
                }
            }
        }
        found.sort();
        found
    }

    /// All commits of which there are files, newest first.
    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let mut found: Vec<_> = entries(&self.path().join("snapshots"))
            .map(|entry| Snapshot {
                commit: entry.file_name().to_string_lossy().into_owned(),
                path: entry.path(),
                modified: entry.metadata().and_then(|metadata| metadata.modified()).ok(),
            })
            .filter(|snapshot| entries(&snapshot.path).next().is_some())
            .collect();
        found.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.modified));
        found
    }

    /// Notes the commit that a branch or tag stands for. A commit needs no note.
    pub(super) fn set_reference(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit || self.reference(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.path().join("refs").join(revision);
        let draft = with_ending(&path, "new");
        make_parent(&path)?;
        fs::write(&draft, commit).map_err(|error| HubError::file(&draft, &error))?;
        fs::rename(&draft, &path).map_err(|error| HubError::file(&path, &error))
    }

    /// Makes a blob appear as a file of a snapshot.
    pub(super) fn link(&self, checksum: &str, commit: &str, name: &str) -> Result<(), HubError> {
        let (blob, path) = (self.blob(checksum), self.snapshot(commit).join(name));
        make_parent(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(HubError::file(&path, &error)),
            _ => {}
        }
        // A relative link stays right when the cache is moved.
        let up = "../".repeat(2 + name.matches('/').count());
        let relative = PathBuf::from(format!("{up}blobs/{checksum}"));
        // Not every system and disk lets everybody make links; a file can always be moved.
        symbolic_link(&relative, &path)
            .or_else(|_| fs::hard_link(&blob, &path))
            .or_else(|_| fs::rename(&blob, &path))
            .map_err(|error| HubError::file(&path, &error))
    }

    /// Keeps other programs from downloading the same file at the same time. None where another one is
    /// doing so.
    pub(super) fn lock(&self, checksum: &str) -> Result<Option<Lock>, HubError> {
        let path = self.cache.join(".locks").join(&self.folder).join(format!("{checksum}.lock"));
        make_parent(&path)?;
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| HubError::file(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some network disks know no locks. The checksum still catches what two writers make.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                Ok(Some(Lock { _file: None }))
            }
            Err(TryLockError::Error(error)) => Err(HubError::file(&path, &error)),
        }
    }
}

/// Holds until it is dropped. The file stays: removing it would let two programs each hold one.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<File>,
}

/// The models of a cache.
pub(super) fn models(cache: &Path) -> Vec<(ModelName, ModelFolder)> {
    let mut found: Vec<_> = entries(cache)
        .filter_map(|entry| ModelName::of_folder(entry.file_name().to_str()?))
        .map(|name| (name.clone(), ModelFolder::new(cache, &name)))
        .collect();
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// What a folder holds; nothing where it cannot be read.
pub(super) fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

/// Makes the folder that a file is to lie in.
pub(super) fn make_parent(path: &Path) -> Result<(), HubError> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| HubError::file(parent, &error))
}

/// The path with another ending after its own.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(".");
    path.push(ending);
    PathBuf::from(path)
}

#[cfg(unix)]
fn symbolic_link(to: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(windows)]
fn symbolic_link(to: &Path, path: &Path) -> io::Result<()> {
    // Links are kept as they are written, and there slashes lead nowhere.
    let to = to.to_string_lossy().replace('/', "\\");
    std::os::windows::fs::symlink_file(to, path)
}

#[cfg(not(any(unix, windows)))]
fn symbolic_link(_to: &Path, _path: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
