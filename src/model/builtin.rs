//! The model that comes with the program. Its files are part of the binary, and are unpacked into the user's cache folder
//! when they are first wanted, so that it is loaded like any other model.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ingle_backends::kept;
use thiserror::Error;

use crate::folders;

/// The model's name, which is that of its folder too.
pub const NAME: &str = "inglenook-guide";

/// A file of the model's folder.
struct Part {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! part {
    ($name:literal) => {
        Part {
            name: $name,
            bytes: include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/models/guide/inglenook-guide/",
                $name
            )),
        }
    };
}

/// The folder's files, as `models/guide` has them.
static PARTS: [Part; 5] = [
    part!("config.json"),
    part!("generation_config.json"),
    part!("tokenizer.json"),
    part!("tokenizer_config.json"),
    part!("model.safetensors"),
];

/// Why the built-in model cannot be used.
#[derive(Debug, Error)]
pub enum BuiltinError {
    #[error("there is no cache folder to unpack the built-in model into: {VARIABLE} names one")]
    NoFolder,
    #[error("the built-in model cannot be unpacked ({}): {}: {source}", advice(source), path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What says where programs keep what they can make again.
const VARIABLE: &str = if cfg!(windows) {
    "the variable LOCALAPPDATA"
} else if cfg!(target_os = "macos") {
    "the variable HOME"
} else {
    "the variable XDG_CACHE_HOME"
};

/// What a user can do where a file cannot be written.
fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let bytes: usize = PARTS.iter().map(|part| part.bytes.len()).sum();
            format!("free {} MB there, or name another folder with {VARIABLE}", bytes.div_ceil(1_000_000))
        }
        _ => format!("make that folder writable, or name another with {VARIABLE}"),
    }
}

/// The model's folder, unpacked if it is not there yet or not as it should be.
pub fn folder() -> Result<PathBuf, BuiltinError> {
    unpack_into(&home().ok_or(BuiltinError::NoFolder)?)
}

/// Whether a folder is one that [`folder`] unpacks, in this version of the program or another.
pub fn is_inside(path: &Path) -> bool {
    home().is_some_and(|home| path.starts_with(home))
}

fn home() -> Option<PathBuf> {
    folders::cache_folder().map(|cache| cache.join("builtin"))
}

/// The same below another folder. Each version of the program has its own there, so that two of them can be in use at once.
pub fn unpack_into(folder: &Path) -> Result<PathBuf, BuiltinError> {
    let folder = folder.join(env!("CARGO_PKG_VERSION")).join(NAME);
    for part in &PARTS {
        let path = folder.join(part.name);
        // What cannot be read cannot be used, so why it cannot is told by the attempt to write it anew.
        if !is_same(&path, part.bytes).unwrap_or(false) {
            kept::write_whole(&path, part.bytes).map_err(|source| BuiltinError::Write { path, source })?;
        }
    }
    Ok(folder)
}

/// Whether a file holds just these bytes. All are looked at: that takes some milliseconds, and no damage goes unseen.
fn is_same(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if fs::metadata(path)?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    for chunk in bytes.chunks(buffer.len()) {
        let read = &mut buffer[..chunk.len()];
        file.read_exact(read)?;
        if read != chunk {
            return Ok(false);
        }
    }
    Ok(true)
}
