//! One block of converted weights as a file: a safetensors file of codes and scales, so that other tools
//! can look into it.
//!
//! The header can be told in advance but for the checksum of the data. So a file is sound if its header is,
//! byte by byte, the one that would be written, its length is what the header says, and the checksum holds.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use ingle_backends::format::{ActivationScale, Bytes, PackedMatrix, WeightFormat};

use super::super::convert::DenseRows;
use super::super::error::CheckpointError;
use super::super::file::WeightFile;
use super::{CacheCheck, FORMAT_VERSION};

/// Why a block cannot be loaded.
#[derive(Debug)]
pub(super) enum EntryFault {
    Absent,
    Damaged(String),
}

/// What a block is, apart from its data.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Names contents, type and shape of the source, and the format.
    key: blake3::Hash,
    format: WeightFormat,
    rows: usize,
    cols: usize,
}

/// The bytes of a file: header, codes, scales.
pub(super) struct Parts<'a> {
    header: Vec<u8>,
    matrix: &'a PackedMatrix,
}

impl Entry {
    /// The entry for rows with these contents.
    pub(super) fn new(content: &blake3::Hash, rows: &DenseRows<'_>, format: WeightFormat) -> Self {
        let mut hash = blake3::Hasher::new_derive_key("inglenook 2025 block of converted weights");
        hash.update(content.as_bytes());
        for size in [FORMAT_VERSION as usize, rows.rows, rows.cols] {
            hash.update(&(size as u64).to_le_bytes());
        }
        hash.update(format!("{:?} {}", rows.dtype, stored_name(format)).as_bytes());
        Self { key: hash.finalize(), format, rows: rows.rows, cols: rows.cols }
    }

    pub(super) fn key(&self) -> blake3::Hash {
        self.key
    }

    /// The entry that a file claims to hold.
    pub(super) fn open(path: &Path) -> Result<(Self, WeightFile), EntryFault> {
        let file = open_file(path)?;
        let metadata = &file.header.metadata;
        let text = |name| metadata.get(name).map(String::as_str).unwrap_or_default();
        let number = |name| text(name).parse().unwrap_or(0);
        let key = blake3::Hash::from_hex(text("key"));
        let (Ok(key), Ok(format)) = (key, text("format").parse()) else {
            return Err(EntryFault::Damaged("its header names no block".to_owned()));
        };
        Ok((Self { key, format, rows: number("rows"), cols: number("cols") }, file))
    }

    /// Fails unless this is the entry that belongs at `path`, whole and sound.
    pub(super) fn check_contents((entry, file): (Self, WeightFile), path: &Path) -> Result<(), EntryFault> {
        if path.file_stem().is_none_or(|stem| *stem != *entry.key.to_string()) {
            return Err(EntryFault::Damaged("its header names another block".to_owned()));
        }
        let matrix = entry.matrix(&file, CacheCheck::Checksum)?;
        matrix.check_contents().map_err(|fault| EntryFault::Damaged(fault.to_string()))
    }

    /// The block, if it is kept in this file.
    pub(super) fn load(&self, path: &Path, check: CacheCheck) -> Result<PackedMatrix, EntryFault> {
        self.matrix(&open_file(path)?, check)
    }

    fn matrix(&self, file: &WeightFile, check: CacheCheck) -> Result<PackedMatrix, EntryFault> {
        let damaged = |fault: &str| EntryFault::Damaged(fault.to_owned());
        let checksum = file.header.metadata.get("checksum").map(String::as_str).unwrap_or_default();
        let Ok(checksum) = blake3::Hash::from_hex(checksum) else {
            return Err(damaged("its header has no checksum"));
        };
        let (header, data) = file.bytes().split_at_checked(file.header.data_start).unwrap_or_default();
        if header != self.header(&checksum) {
            return Err(damaged("its header is not that of this block"));
        }
        if check == CacheCheck::Checksum && hash_of(&[data]) != checksum {
            return Err(damaged("its data do not agree with their checksum"));
        }
        let start = file.header.data_start;
        let codes_end = start + self.codes_len();
        let share = |range| Bytes::shared(Arc::clone(&file.bytes), range);
        share(start..codes_end)
            .and_then(|codes| Ok((codes, share(codes_end..file.bytes().len())?)))
            .and_then(|(codes, scales)| {
                PackedMatrix::from_parts(self.format, self.rows, self.cols, codes, scales)
            })
            .map_err(|fault| EntryFault::Damaged(fault.to_string()))
    }

    fn codes_len(&self) -> usize {
        self.format.row_bytes(self.cols).saturating_mul(self.rows)
    }

    /// What is written to the file of this block.
    pub(super) fn parts<'a>(&self, matrix: &'a PackedMatrix) -> Parts<'a> {
        let checksum = hash_of(&[matrix.codes(), matrix.scales()]);
        Parts { header: self.header(&checksum), matrix }
    }

    /// The header of the file, with the length before it.
    fn header(&self, checksum: &blake3::Hash) -> Vec<u8> {
        let Self { key, format, rows, cols } = self;
        let row_codes = format.row_bytes(*cols);
        let codes = self.codes_len();
        let row_scales = format.scales_per_row(*cols);
        let end = codes.saturating_add(format.scale_bytes_per_row(*cols).saturating_mul(*rows));
        let scale_type = if matches!(format, WeightFormat::W8a8(_)) { "F32" } else { "F16" };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            r#"{{"__metadata__":{{"key":"{key}","format":"{}","version":"{FORMAT_VERSION}","#,
            stored_name(*format)
        );
        let _ = write!(text, r#""rows":"{rows}","cols":"{cols}","checksum":"{checksum}"}},"#);
        let _ = write!(
            text,
            r#""codes":{{"dtype":"U8","shape":[{rows},{row_codes}],"data_offsets":[0,{codes}]}},"#
        );
        let _ = write!(
            text,
            r#""scales":{{"dtype":"{scale_type}","shape":[{rows},{row_scales}],"data_offsets":[{codes},{end}]}}}}"#
        );
        // The data start at a multiple of 8, so that they can be used where they are mapped.
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }
}

impl<'a> Parts<'a> {
    pub(super) fn slices(&'a self) -> [&'a [u8]; 3] {
        [&self.header, self.matrix.codes(), self.matrix.scales()]
    }
}

/// The name of a format as far as codes and scales depend on it: how activations get their scale does not
/// change the weights.
fn stored_name(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::W8a8(_) => WeightFormat::W8a8(ActivationScale::PerToken).name(),
        other => other.name(),
    }
}

fn open_file(path: &Path) -> Result<WeightFile, EntryFault> {
    WeightFile::open(path.to_owned()).map_err(|error| match error {
        CheckpointError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            EntryFault::Absent
        }
        CheckpointError::Read { source, .. } => EntryFault::Damaged(source.to_string()),
        CheckpointError::File { fault, .. } => EntryFault::Damaged(fault.to_string()),
        other => EntryFault::Damaged(other.to_string()),
    })
}

fn hash_of(parts: &[&[u8]]) -> blake3::Hash {
    let mut hash = blake3::Hasher::new();
    for part in parts {
        hash.update_rayon(part);
    }
    hash.finalize()
}
