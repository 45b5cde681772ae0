//! Memory-mapping a file: the one place of this crate that needs `unsafe`.
#![allow(unsafe_code, reason = "mapping a file is unsafe, because somebody else may change the file")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// The bytes of a file, read from disk as they are touched.
pub(super) struct Mapping(Mmap);

impl Mapping {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the bytes are only ever read as plain numbers, of which every bit pattern is one, so a
        // file that somebody overwrites meanwhile gives wrong weights but breaks nothing. Where somebody
        // cuts it short, touching the pages that are gone ends the process by a signal; the owner of the
        // mapping compares the file's size and time with those it had before each piece that it reads,
        // which leaves that to files cut short within the moments of one piece.
        unsafe { Mmap::map(file) }.map(Self)
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
