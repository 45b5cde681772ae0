//! Files that are written whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Writes a file beside its place and moves it there when it is complete; what fails leaves nothing behind.
///
/// A pipe or a device is written to as it is: moving a file there would put it in the device's place.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
        let mut file = BufWriter::new(File::options().write(true).open(path).with_context(failed)?);
        write(&mut file).with_context(failed)?;
        return file.flush().with_context(failed);
    }
    let partial = beside(path).with_context(failed)?;
    let whole = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(File::create(&partial)?);
        write(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(fs::rename(&partial, path)?)
    };
    let result = whole();
    if result.is_err() {
        // There may be nothing to remove.
        let _ = fs::remove_file(&partial);
    }
    result.with_context(failed)
}

/// A name of our own in the same folder.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let partial = format!(".{}.{}.partial", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(partial))
}

/// The text of a file, or of standard input where it is called `-`.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    if path == Path::new("-") {
        return io::read_to_string(io::stdin()).context("standard input cannot be read as text");
    }
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = std::env::temp_dir().join(format!("ingle-files-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("out");
        write_atomically(&path, |file| Ok(file.write_all(b"first")?)).unwrap();
        let failed = write_atomically(&path, |file| {
            file.write_all(b"second")?;
            anyhow::bail!("no more")
        });
        assert!(format!("{:#}", failed.unwrap_err()).contains("out cannot be written: no more"));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_device_stays_a_device() {
        use std::os::unix::fs::FileTypeExt;

        // One that may be lost, should this fail: a link to the device, not the device.
        let folder = std::env::temp_dir().join(format!("ingle-device-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let link = folder.join("null");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        write_atomically(&link, |file| Ok(file.write_all(b"gone")?)).unwrap();
        assert!(fs::metadata(&link).unwrap().file_type().is_char_device());
        fs::remove_dir_all(&folder).unwrap();
    }
}
