//! The folder that is written: under a name of its own until it is complete.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::form::{self, Form};
use super::shards::Shard;
use super::{ExportError, Item};

const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";

/// Endings of files that hold weights, which are not copied.
const WEIGHTS: [&str; 13] = [
    "safetensors",
    "bin",
    "gguf",
    "ggml",
    "pt",
    "pth",
    "ckpt",
    "h5",
    "msgpack",
    "npz",
    "onnx",
    "part",
    "incomplete",
];

/// A folder that is removed unless it is kept.
pub(super) struct PartialFolder {
    path: PathBuf,
    out: PathBuf,
    kept: bool,
}

/// A file whose parts are written in any order.
pub(super) struct ShardFile {
    path: PathBuf,
    file: File,
}

impl PartialFolder {
    /// A folder beside the one that is wanted.
    pub(super) fn beside(out: &Path) -> Result<Self, ExportError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        // A link that leads nowhere is there, too.
        if fs::symlink_metadata(out).is_ok() {
            return Err(ExportError::Exists(out.to_owned()));
        }
        let name = out.file_name().ok_or_else(|| ExportError::NoName(out.to_owned()))?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id());
        let path = out.with_file_name(name);
        fs::create_dir(&path).map_err(|source| ExportError::Write { path: out.to_owned(), source })?;
        Ok(Self { path, out: out.to_owned(), kept: false })
    }

    /// Where a file will be: what messages call it.
    fn named(&self, name: impl AsRef<Path>) -> PathBuf {
        self.out.join(name)
    }

    /// A file of weights with its header.
    pub(super) fn create(&self, shard: &Shard<'_>) -> Result<ShardFile, ExportError> {
        let path = self.named(&shard.name);
        let create = || {
            let mut file =
                OpenOptions::new().write(true).create_new(true).open(self.path.join(&shard.name))?;
            file.set_len(shard.len)?;
            file.write_all(&shard.header)?;
            Ok(file)
        };
        match create() {
            Ok(file) => Ok(ShardFile { path, file }),
            Err(source) => Err(ExportError::Write { path, source }),
        }
    }

    /// Writes a small file.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(self.path.join(name))?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|source| ExportError::Write { path: self.named(name), source })
    }

    /// Which file holds each tensor, where there are several.
    pub(super) fn write_index(&self, shards: &[Shard<'_>]) -> Result<(), ExportError> {
        if shards.len() < 2 {
            return Ok(());
        }
        let mut places = Map::new();
        let mut total = 0;
        for shard in shards {
            total += shard.len - shard.header.len() as u64;
            for place in shard.items.iter().flat_map(|(_, places)| places) {
                places.insert(place.piece.name.clone(), json!(shard.name));
            }
        }
        let index = json!({"metadata": {"total_size": total}, "weight_map": places});
        self.write(INDEX, pretty(&index).as_bytes())
    }

    /// Copies the files that are no weights: tokenizer, chat template, licence.
    pub(super) fn copy_others(&self, from: &Path) -> Result<(), ExportError> {
        let failed = |path: &Path, source| ExportError::Read { path: path.to_owned(), source };
        for entry in fs::read_dir(from).map_err(|source| failed(from, source))? {
            let entry = entry.map_err(|source| failed(from, source))?;
            let (path, name) = (entry.path(), entry.file_name());
            // Links of the shared cache lead to the files themselves.
            let about = fs::metadata(&path).map_err(|source| failed(&path, source))?;
            if !about.is_file() || is_left_out(&name) {
                continue;
            }
            let mut source = File::open(&path).map_err(|source| failed(&path, source))?;
            let mut copy = || {
                let target = OpenOptions::new().write(true).create_new(true).open(self.path.join(&name));
                let mut target = target?;
                io::copy(&mut source, &mut target)?;
                target.sync_all()
            };
            copy().map_err(|source| ExportError::Write { path: self.named(&name), source })?;
        }
        Ok(())
    }

    /// Writes the configuration, with what was done to the weights.
    pub(super) fn write_config(
        &self,
        from: &Path,
        items: &[Item<'_>],
        form: Form,
    ) -> Result<(), ExportError> {
        let path = from.join(CONFIG);
        let text =
            fs::read_to_string(&path).map_err(|source| ExportError::Read { path: path.clone(), source })?;
        let mut config: Map<String, Value> = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|fault| ExportError::Config { path: path.clone(), fault: fault.to_string() })?;
        // The number type stays what it was: it says what is computed in, and some families compute other
        // numbers in another.
        if let Some(quantization) = form::config(form, items) {
            config.insert("quantization_config".to_owned(), quantization);
        }
        self.write(CONFIG, pretty(&Value::Object(config)).as_bytes())
    }

    /// Gives the folder its name.
    pub(super) fn keep(mut self) -> Result<(), ExportError> {
        // Renaming would replace an empty folder that has come up meanwhile.
        if fs::symlink_metadata(&self.out).is_ok() {
            return Err(ExportError::Exists(self.out.clone()));
        }
        fs::rename(&self.path, &self.out)
            .map_err(|source| ExportError::Write { path: self.out.clone(), source })?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed has a name that says what it is.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

impl ShardFile {
    pub(super) fn write_at(&mut self, start: u64, bytes: &[u8]) -> Result<(), ExportError> {
        let written = self.file.seek(SeekFrom::Start(start)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|source| self.failed(source))
    }

    pub(super) fn finish(self) -> Result<(), ExportError> {
        self.file.sync_all().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ExportError {
        ExportError::Write { path: self.path.clone(), source }
    }
}

/// Whether a file is hidden, holds weights or their index, or is written anew.
fn is_left_out(name: &OsStr) -> bool {
    let text = name.to_string_lossy();
    let ending = Path::new(name).extension().map(|ending| ending.to_string_lossy().to_lowercase());
    text.starts_with('.')
        || text == CONFIG
        || text.ends_with(".index.json")
        || ending.is_some_and(|ending| WEIGHTS.contains(&ending.as_str()))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
