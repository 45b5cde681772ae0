//! The file of what was measured.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::ops::{MatvecShape, SHAPES};
use super::Subject;
use crate::kept;

const FILE: &str = "tuning.json";
/// Of the file's form.
const VERSION: u32 = 1;
/// What the only operator goes by that has shapes to choose from.
const OPERATOR: &str = "linear";

/// Where something was measured, and with which kernels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::wgpu) struct Place {
    pub(super) device: String,
    pub(super) driver: String,
    pub(super) tier: String,
    /// The fingerprint of the shaders.
    pub(super) kernels: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    place: Place,
    operator: String,
    format: String,
    at_once: u32,
    rows: u32,
    cols: u32,
    /// The shape written out; `None` where the usual one is the best.
    shape: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    entries: Vec<Entry>,
}

impl Entry {
    fn is_about(&self, place: &Place, subject: &Subject) -> bool {
        self.place == *place
            && self.operator == OPERATOR
            && self.format == subject.format
            && (self.at_once, self.rows, self.cols) == (subject.at_once, subject.rows, subject.cols)
    }

    fn is_like(&self, other: &Self) -> bool {
        Self { shape: None, ..self.clone() } == Self { shape: None, ..other.clone() }
    }

    /// Measured on the same device and driver with other kernels.
    fn is_outdated_by(&self, place: &Place) -> bool {
        self.place.kernels != place.kernels
            && (&self.place.device, &self.place.driver) == (&place.device, &place.driver)
    }
}

/// The shape that is written out like this, if there still is one.
fn shape_called(text: &str) -> Option<MatvecShape> {
    SHAPES.iter().copied().find(|shape| format!("{shape:?}") == text)
}

/// What was measured, in memory and in the file.
#[derive(Debug)]
pub(in crate::wgpu) struct Memory {
    path: PathBuf,
    entries: Vec<Entry>,
    /// Whether there is something that the file does not have.
    changed: bool,
}

impl Memory {
    /// What the file in this folder holds. A damaged one holds nothing: everything in it can be measured again.
    pub(in crate::wgpu) fn open(folder: &Path) -> Self {
        let mut memory = Self { path: folder.join(FILE), entries: vec![], changed: false };
        memory.entries = memory.read();
        memory
    }

    fn read(&self) -> Vec<Entry> {
        let file: Option<File> = kept::read(&self.path).unwrap_or_default();
        let mut entries = file.filter(|file| file.version == VERSION).map_or(vec![], |file| file.entries);
        // A shape that is no longer there says nothing.
        entries.retain(|entry| entry.shape.as_deref().is_none_or(|text| shape_called(text).is_some()));
        entries
    }

    fn find(&self, place: &Place, subject: &Subject) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_about(place, subject))
    }

    pub(super) fn knows(&self, place: &Place, subject: &Subject) -> bool {
        self.find(place, subject).is_some()
    }

    /// The shape to use in place of the usual one.
    pub(super) fn shape(&self, place: &Place, subject: &Subject) -> Option<MatvecShape> {
        self.find(place, subject)?.shape.as_deref().and_then(shape_called)
    }

    pub(super) fn note(&mut self, place: &Place, subject: &Subject, shape: Option<MatvecShape>) {
        self.entries.retain(|entry| !entry.is_about(place, subject) && !entry.is_outdated_by(place));
        let Subject { format, at_once, rows, cols } = *subject;
        self.entries.push(Entry {
            place: place.clone(),
            operator: OPERATOR.to_owned(),
            format: format.to_owned(),
            at_once,
            rows,
            cols,
            shape: shape.map(|shape| format!("{shape:?}")),
        });
        self.changed = true;
    }

    /// Writes the file, with what another process has measured meanwhile. That it cannot be written is no fault of a plan's: the
    /// next start measures again.
    pub(super) fn save(&mut self) {
        if !self.changed {
            return;
        }
        for other in self.read() {
            let superseded = |entry: &Entry| entry.is_like(&other) || other.is_outdated_by(&entry.place);
            if !self.entries.iter().any(superseded) {
                self.entries.push(other);
            }
        }
        let file = File { version: VERSION, entries: self.entries.clone() };
        self.changed = kept::write(&self.path, &file).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WeightFormat;

    fn place(driver: &str, kernels: &str) -> Place {
        let tier = "base".to_owned();
        Place { device: "it".to_owned(), driver: driver.to_owned(), tier, kernels: kernels.to_owned() }
    }

    #[test]
    fn what_was_measured_is_remembered_where_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let subject = |rows| Subject::new(WeightFormat::Nf4, 2, rows, 64);
        let here = place("1", "a");
        let mut memory = Memory::open(folder.path());
        memory.note(&here, &subject(10), Some(SHAPES[3]));
        memory.note(&here, &subject(20), None);
        memory.save();
        // Another process, with a driver of its own.
        let mut other = Memory::open(folder.path());
        other.note(&place("2", "a"), &subject(10), Some(SHAPES[1]));
        other.save();
        memory.note(&here, &subject(30), Some(SHAPES[0]));
        memory.save();
        let memory = Memory::open(folder.path());
        assert_eq!(memory.shape(&here, &subject(10)), Some(SHAPES[3]));
        assert_eq!(memory.shape(&here, &subject(30)), Some(SHAPES[0]));
        assert_eq!(memory.shape(&place("2", "a"), &subject(10)), Some(SHAPES[1]));
        assert!(memory.knows(&here, &subject(20)) && memory.shape(&here, &subject(20)).is_none());
        assert!(!memory.knows(&place("1", "b"), &subject(10)));
        assert!(!memory.knows(&here, &Subject::new(WeightFormat::Nf4, 4, 10, 64)));
        assert!(!memory.knows(&here, &Subject::new(WeightFormat::F16, 2, 10, 64)));
        // New kernels take the place of old ones on the same driver.
        let mut memory = memory;
        memory.note(&place("1", "b"), &subject(10), None);
        memory.save();
        let memory = Memory::open(folder.path());
        assert!(!memory.knows(&here, &subject(10)) && memory.knows(&place("2", "a"), &subject(10)));
    }

    #[test]
    fn files_that_are_damaged_or_from_elsewhere_hold_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let here = place("1", "a");
        let subject = Subject::new(WeightFormat::F16, 1, 5, 5);
        for text in ["", "{", "[]", "{\"version\": 9, \"entries\": []}"] {
            std::fs::write(&path, text).unwrap();
            let mut memory = Memory::open(folder.path());
            assert!(!memory.knows(&here, &subject), "{text}");
            memory.note(&here, &subject, Some(SHAPES[2]));
            memory.save();
            assert_eq!(Memory::open(folder.path()).shape(&here, &subject), Some(SHAPES[2]));
        }
        // A shape that no longer exists is measured anew.
        let text = std::fs::read_to_string(&path).unwrap().replace(&format!("{:?}", SHAPES[2]), "round");
        std::fs::write(&path, text).unwrap();
        assert!(!Memory::open(folder.path()).knows(&here, &subject));
        // A folder that cannot be there.
        let mut memory = Memory::open(&path);
        memory.note(&here, &subject, None);
        memory.save();
        assert!(memory.knows(&here, &subject));
    }
}
