//! Small files of findings that can be made again: taken in where they are sound, written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file holds; `None` where there is no file. An error says what is wrong with it.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(&error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// Writes findings as JSON, as [`write_bytes`] does.
pub(crate) fn write<T: Serialize>(path: &Path, contents: &T) -> Result<(), String> {
    let text = serde_json::to_vec_pretty(contents).map_err(|error| format!("{}: {error}", path.display()))?;
    write_bytes(path, &text)
}

/// As [`write_whole`]; an error names the file.
pub(crate) fn write_bytes(path: &Path, contents: &[u8]) -> Result<(), String> {
    write_whole(path, contents).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file beside its place and moves it there when it is complete; its folder is made if need be.
pub fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let whole = || -> io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::create(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    whole().inspect_err(|_| {
        // There may be nothing to remove.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole_or_said_to_be_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in/a/folder/list.json");
        assert_eq!(read::<Vec<u32>>(&path), Ok(None));
        write(&path, &vec![1, 2, 3]).unwrap();
        assert_eq!(read(&path), Ok(Some(vec![1, 2, 3])));
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(read::<Vec<u32>>(&path).unwrap_err().contains("list.json"), "cut at {end}");
        }
        // What cannot be written leaves nothing behind.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(write(&path, &vec![1]).unwrap_err().contains("list.json"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
