//! Checksums of files: SHA-256 of large ones, and of small ones what git calls their object's name.

use std::fmt;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What a file's contents must add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    Sha256(String),
    /// SHA-1 of `blob`, the length, a zero byte and the contents.
    GitObject(String),
}

impl Checksum {
    /// Tells the kinds apart by their lengths.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            64 if hexadecimal => Some(Self::Sha256(text)),
            40 if hexadecimal => Some(Self::GitObject(text)),
            _ => None,
        }
    }

    /// Its digits, which also name the file in the cache.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::GitObject(text) => text,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Adds up contents as they arrive.
#[derive(Clone)]
pub(super) enum Summer {
    Sha256(Sha256),
    GitObject(Sha1),
}

impl Summer {
    /// Adds up contents of a known length the way that a checksum was made.
    pub(super) fn new(like: &Checksum, bytes: u64) -> Self {
        match like {
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
            Checksum::GitObject(_) => {
                Self::GitObject(Sha1::new().chain_update(format!("blob {bytes}\0").as_bytes()))
            }
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::GitObject(sum) => sum.update(bytes),
        }
    }

    pub(super) fn finish(self) -> String {
        let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(sum) => digits(&sum.finalize()),
            Self::GitObject(sum) => digits(&sum.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_known_contents() {
        for (contents, checksum) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            ("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ] {
            let expected = Checksum::parse(checksum).unwrap();
            let mut summer = Summer::new(&expected, contents.len() as u64);
            summer.add(contents.as_bytes());
            assert_eq!(summer.finish(), expected.as_str());
        }
        assert_eq!(Checksum::parse("d41d8cd98f00b204e9800998ecf8427e"), None);
        assert_eq!(Checksum::parse(&"../".repeat(20)[..40]), None);
    }
}
