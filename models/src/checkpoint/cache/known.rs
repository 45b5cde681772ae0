//! Which contents the blocks of a file are known to have.
//!
//! One text file per identity, a line per block: where its rows start and end, the hash of their contents,
//! and a check of the line itself. Lines are appended each by one write, so several processes may add to the
//! same file; a line that was torn, damaged or lost only costs hashing the block again.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Lines are checked by this many digits.
const CHECK_DIGITS: usize = 16;

/// The contents of the blocks of one file.
pub(super) struct Known {
    path: PathBuf,
    contents: Mutex<HashMap<Range<usize>, blake3::Hash>>,
}

impl Known {
    /// Reads what is known; a file that is not there says nothing.
    pub(super) fn read(path: PathBuf) -> Self {
        let text = fs::read(&path).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
        let contents = Mutex::new(lines.filter_map(parse).collect());
        Self { path, contents }
    }

    pub(super) fn get(&self, range: &Range<usize>) -> Option<blake3::Hash> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(range).copied()
    }

    /// Adds a block, on disk too if wanted. A failure to write is left to show where blocks are written.
    pub(super) fn add(&self, range: &Range<usize>, hash: blake3::Hash, on_disk: bool) {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).insert(range.clone(), hash);
        if on_disk && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(&self.path) {
            // A torn line before this one must not take this one with it.
            let _ = file.write_all(format!("\n{}\n", line(range, &hash)).as_bytes());
        }
    }
}

fn line(range: &Range<usize>, hash: &blake3::Hash) -> String {
    let text = format!("{} {} {hash}", range.start, range.end);
    let check = blake3::hash(text.as_bytes()).to_hex();
    format!("{text} {}", &check[..CHECK_DIGITS])
}

fn parse(text: &str) -> Option<(Range<usize>, blake3::Hash)> {
    let mut words = text.split(' ');
    let range = words.next()?.parse().ok()?..words.next()?.parse().ok()?;
    let hash = blake3::Hash::from_hex(words.next()?).ok()?;
    (line(&range, &hash) == text).then_some((range, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_and_damaged_lines_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known");
        let (a, b, c) = (blake3::hash(b"a"), blake3::hash(b"b"), blake3::hash(b"c"));
        let known = Known::read(path.clone());
        known.add(&(0..10), a, true);
        known.add(&(10..20), b, true);
        let mut text = fs::read(&path).unwrap();
        text.truncate(text.len() - 5);
        text.extend_from_slice(&[0xff, 0xfe]);
        fs::write(&path, text).unwrap();
        Known::read(path.clone()).add(&(20..30), c, true);
        let known = Known::read(path.clone());
        assert_eq!(
            (known.get(&(0..10)), known.get(&(10..20)), known.get(&(20..30))),
            (Some(a), None, Some(c))
        );
        known.add(&(30..40), a, false);
        assert_eq!(known.get(&(30..40)), Some(a));
        assert_eq!(Known::read(path).get(&(30..40)), None);
    }
}
