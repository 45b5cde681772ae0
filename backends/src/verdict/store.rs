//! The file of verdicts.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Note;
use crate::kept;
use crate::{Backend, DeviceInfo};

const FILE: &str = "verdicts.json";
/// Of the file's form.
const VERSION: u32 = 1;

/// What a verdict is about, but for the check. Another driver or other kernels make another key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    backend: String,
    device: String,
    driver: String,
    tier: String,
    revision: String,
}

impl Key {
    pub(super) fn new(backend: &dyn Backend, device: &DeviceInfo, tier: &str) -> Self {
        // What a driver offers decides which kernels it gets, and is not always in its version.
        let limit = |limit: Option<u64>| limit.map_or("any".to_owned(), |bytes| bytes.to_string());
        Self {
            backend: backend.name().to_owned(),
            device: format!("{} {}", device.vendor, device.name),
            driver: format!(
                "{}; {}; {} and {}",
                device.driver,
                device.features.join(", "),
                limit(device.limits.buffer),
                limit(device.limits.binding)
            ),
            tier: tier.to_owned(),
            revision: backend.revision(),
        }
    }

    /// The same of other kernels, which nobody will ask for again.
    fn outdates(&self, other: &Self) -> bool {
        self.revision != other.revision
            && Self { revision: String::new(), ..self.clone() }
                == Self { revision: String::new(), ..other.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Passed,
    Failed {
        case: String,
        what: String,
    },
    /// A check that began so often and was not ended.
    Begun {
        times: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    key: Key,
    check: String,
    outcome: Outcome,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    entries: Vec<Entry>,
}

/// The verdicts, in memory and in the file.
#[derive(Debug)]
pub(super) struct Store {
    path: Option<PathBuf>,
    entries: Vec<Entry>,
    notes: Vec<Note>,
    /// Whether somebody was told that the file cannot be written.
    told: bool,
}

impl Store {
    pub(super) fn new(folder: Option<&Path>) -> Self {
        let mut store = Self {
            path: folder.map(|folder| folder.join(FILE)),
            entries: vec![],
            notes: vec![],
            told: false,
        };
        match store.read() {
            Ok(entries) => store.entries = entries,
            Err(why) => store.notes.push(Note::NotKept(format!("{why}; everything is checked anew"))),
        }
        store
    }

    /// What the file holds. One of another version holds nothing.
    fn read(&self) -> Result<Vec<Entry>, String> {
        let Some(path) = &self.path else { return Ok(vec![]) };
        let file: Option<File> = kept::read(path)?;
        Ok(file.filter(|file| file.version == VERSION).map_or(vec![], |file| file.entries))
    }

    pub(super) fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    pub(super) fn of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (&'a str, &'a Outcome)> {
        let ours = self.entries.iter().filter(move |entry| entry.key == *key);
        ours.map(|entry| (entry.check.as_str(), &entry.outcome))
    }

    pub(super) fn get(&self, key: &Key, check: &str) -> Option<&Outcome> {
        let entry = self.entries.iter().find(|entry| entry.key == *key && entry.check == check);
        entry.map(|entry| &entry.outcome)
    }

    pub(super) fn set(&mut self, key: &Key, check: &str, outcome: Outcome) {
        self.entries.retain(|entry| !(key.outdates(&entry.key) || entry.key == *key && entry.check == check));
        self.entries.push(Entry { key: key.clone(), check: check.to_owned(), outcome });
    }

    /// Writes the file, with what another process has found out meanwhile.
    pub(super) fn save(&mut self) {
        let Some(path) = self.path.clone() else { return };
        // A damaged file has nothing to add.
        for other in self.read().unwrap_or_default() {
            let known = |entry: &Entry| entry.key == other.key && entry.check == other.check;
            let superseded = |entry: &Entry| known(entry) || entry.key.outdates(&other.key);
            if !self.entries.iter().any(superseded) {
                self.entries.push(other);
            }
        }
        let mut entries = self.entries.clone();
        entries.retain(|entry| entry.outcome != Outcome::Begun { times: 0 });
        if let Err(why) = kept::write(&path, &File { version: VERSION, entries })
            && !std::mem::replace(&mut self.told, true)
        {
            self.notes.push(Note::NotKept(format!("{why}; the next start checks again")));
        }
    }

    /// Forgets everything, in memory and in the file.
    pub(super) fn forget(&mut self) -> Result<(), String> {
        self.entries.clear();
        let Some(path) = &self.path else { return Ok(()) };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("{}: {error}", path.display()))
            }
            _ => Ok(()),
        }
    }
}
