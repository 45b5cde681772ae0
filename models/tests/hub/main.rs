//! Downloads from a server on this machine, which drops connections, lies and forgets; and the list of
//! what is there afterwards. No other machine is asked anything.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod failures;
mod library;
mod look;
mod pull;
mod server;
mod settings;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ingle_models::hub::{HubError, Progress, Pulled, Request, Settings, pull};
use tempfile::TempDir;

use server::{Files, Server};

const WEIGHTS: &str = "model.safetensors";

/// A safetensors file with one tensor of so many numbers.
fn weights(numbers: usize) -> Vec<u8> {
    let header =
        format!(r#"{{"w":{{"dtype":"F32","shape":[{numbers}],"data_offsets":[0,{}]}}}}"#, numbers * 4);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    // Every piece differs from every other, so that none can stand in for another.
    file.extend((0..numbers as u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()));
    file
}

fn config() -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/models/llama3/config.json");
    fs::read_to_string(root).unwrap()
}

/// A model as it lies on a hub, with much that nobody needs here.
fn model() -> Files {
    Files::default()
        .with(".gitattributes", "*.bin filter=lfs")
        .with("README.md", "a model")
        .with("config.json", config())
        .with("generation_config.json", "{}")
        .with("tokenizer.json", "{\"a\": 1}")
        .with("chat_template.jinja", "")
        .with(WEIGHTS, weights(300_000))
        .with("consolidated.safetensors", weights(10))
        .with("pytorch_model.bin", [1; 100])
        .with("model-q4.gguf", [2; 100])
        .with("onnx/config.json", "{}")
}

/// A cache in a folder of its own, and a server.
struct Setup {
    folder: TempDir,
    settings: Settings,
}

impl Setup {
    fn new(server: &Server) -> Self {
        let folder = TempDir::new().unwrap();
        let mut settings = Settings::new(server.address.clone(), folder.path().join("hub"));
        settings.first_pause = Duration::from_millis(1);
        settings.attempts = 4;
        Self { folder, settings }
    }

    fn pull(&self) -> Result<Pulled, HubError> {
        self.pull_watched(|_| ControlFlow::Continue(()))
    }

    fn pull_watched(
        &self,
        mut watcher: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Pulled, HubError> {
        pull(&self.settings, &request(), &mut watcher)
    }

    fn model_folder(&self) -> PathBuf {
        self.settings.cache.join("models--owner--model")
    }

    fn blob(&self, checksum: &str) -> PathBuf {
        self.model_folder().join("blobs").join(checksum)
    }

    /// The files of the snapshot.
    fn snapshot(&self) -> Vec<String> {
        names(&self.model_folder().join("snapshots").join(server::COMMIT))
    }

    fn blobs(&self) -> Vec<String> {
        names(&self.model_folder().join("blobs"))
    }
}

fn request() -> Request {
    Request { model: "owner/model".to_owned(), ..Request::default() }
}

/// The names in a folder, in order; none where there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
