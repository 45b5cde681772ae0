//! Compiled kernels, each in a file of its own, kept from one start to the next.

use std::fs;
use std::path::{Path, PathBuf};

use crate::kept;

/// Begins a file, so that nothing else is taken for one.
const MAGIC: &[u8; 16] = b"inglenook-cuda-1";

/// A folder of cubins. Those of other sources are of no use any more, so each state of the sources has a folder, and opening one
/// removes the others.
#[derive(Debug)]
pub(super) struct CubinStore {
    folder: PathBuf,
}

impl CubinStore {
    pub(super) fn open(cache: &Path) -> Self {
        let kernels = cache.join("kernels");
        let folder = kernels.join(crate::revisions::CUDA_KERNELS);
        for entry in fs::read_dir(&kernels).into_iter().flatten().flatten() {
            if entry.path() != folder {
                // What cannot be removed only takes room.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Self { folder }
    }

    fn path(&self, key: u64) -> PathBuf {
        self.folder.join(format!("{key:016x}.cubin"))
    }

    /// What was kept; `None` where there is nothing, or nothing sound.
    pub(super) fn get(&self, key: u64) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path(key)).ok()?;
        kept::unseal(MAGIC, &bytes).map(<[u8]>::to_vec)
    }

    /// Keeps a cubin. Where that fails, the next start compiles again.
    pub(super) fn put(&self, key: u64, cubin: &[u8]) {
        let _ = kept::write_bytes(&self.path(key), &kept::seal(MAGIC, cubin));
    }

    /// Forgets one that a driver would not take.
    pub(super) fn remove(&self, key: u64) {
        let _ = fs::remove_file(self.path(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_unless_it_was_damaged_or_is_of_other_sources() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("kernels/0123/4567.cubin");
        fs::create_dir_all(old.parent().unwrap()).unwrap();
        fs::write(&old, b"old").unwrap();
        let store = CubinStore::open(folder.path());
        assert!(!old.exists());
        assert_eq!(store.get(7), None);
        store.put(7, b"cubin");
        assert_eq!(CubinStore::open(folder.path()).get(7).unwrap(), b"cubin");
        let path = store.path(7);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(store.get(7), None);
        store.remove(7);
        assert!(!path.exists());
    }
}
