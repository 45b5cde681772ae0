//! Codes and scales just as a format of ours has them: what [`export`](super::super::Export) writes where no
//! form that other programs read can hold the same numbers.
//!
//! This is the definition of the form. A matrix `X` of `rows` × `cols` weights (the experts of a tensor of
//! three dimensions below one another) is two tensors of the same file:
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `X` | U8 | [rows, bytes of the codes of a row] |
//! | `X.scales` | F16; F32 for `w8a8` | [rows, scales of a row] |
//!
//! laid out as [`ingle_backends::format`] defines. The file's metadata hold the version of the form, 1, under
//! `inglenook.weights`, and under the name of each such matrix what it is: format, rows and columns, such as
//! `int8-g64 4096 11008`. So a file explains itself; `config.json` only says that there are such matrices,
//! by `"quant_method": "inglenook"`.

use ingle_backends::WeightError;
use ingle_backends::format::{Bytes, FormatError, PackedMatrix, WeightFormat};

use super::super::dtype::Dtype;
use super::super::source::{Found, rows_of};
use super::{Parts, QuantizedTensor, Range, same_codes};

/// Where a file's metadata have the version of the form.
pub(in super::super) const VERSION_KEY: &str = "inglenook.weights";

/// The version of the form that is written, and the only one that is read.
pub(in super::super) const VERSION: &str = "1";

/// What a file's metadata say of a matrix.
pub(in super::super) fn description(format: WeightFormat, rows: usize, cols: usize) -> String {
    format!("{format} {rows} {cols}")
}

/// The name of the tensor that holds a matrix's scales.
pub(in super::super) fn scales_of(name: &str) -> String {
    format!("{name}.scales")
}

/// The type of a format's scales.
pub(in super::super) fn scale_type(format: WeightFormat) -> Dtype {
    if matches!(format, WeightFormat::W8a8(_)) { Dtype::F32 } else { Dtype::F16 }
}

/// A matrix in a format of ours. Its contents are not checked before they are asked for.
pub(super) struct Own {
    matrix: PackedMatrix,
}

impl Own {
    /// The matrix that this tensor is the codes of; none if it is no such thing.
    pub(super) fn find(parts: &Parts<'_, '_>) -> Result<Option<Self>, WeightError> {
        let metadata = &parts.found.file.header.metadata;
        let (Some(version), Some(text)) = (metadata.get(VERSION_KEY), metadata.get(parts.found.name)) else {
            return Ok(None);
        };
        if version != VERSION {
            let fault =
                format!("it was written in version {version:?} of Inglenook's own form, not {VERSION}");
            return Err(parts.unsupported(fault));
        }
        let unknown = || parts.damaged(format!("{text:?} is no format with rows and columns"));
        let words: Vec<&str> = text.split(' ').collect();
        let [format, rows, cols] = words.as_slice() else { return Err(unknown()) };
        let number = |text: &str| text.parse().map_err(|_| unknown());
        let format: WeightFormat = format.parse().map_err(|_| unknown())?;
        let (rows, cols) = (number(rows)?, number(cols)?);
        if format.scales_per_row(1) == 0 {
            return Err(unknown());
        }
        let name = scales_of(parts.found.name);
        let scales = parts.wanted(&name)?;
        if scales.info.dtype != scale_type(format) {
            return Err(parts.damaged(format!("`{name}` is stored as {}", scales.info.dtype)));
        }
        let share = |found: Found<'_>| Bytes::shared(found.file.bytes.clone(), found.info.range.clone());
        let matrix = share(parts.found).and_then(|codes| {
            let scales = share(scales)?;
            PackedMatrix::from_parts(format, rows, cols, codes, scales)
        });
        let matrix = matrix.map_err(|fault| parts.damaged(fault.to_string()))?;
        Ok(Some(Self { matrix }))
    }

    /// Whether rows hold what packing could have made.
    fn is_sound(&self, rows: Range<usize>) -> bool {
        rows_of(&self.matrix, rows).and_then(|rows| rows.check_contents()).is_ok()
    }
}

impl QuantizedTensor for Own {
    fn scheme(&self) -> &'static str {
        "Inglenook's own form"
    }

    fn rows(&self) -> usize {
        self.matrix.rows()
    }

    fn cols(&self) -> usize {
        self.matrix.cols()
    }

    fn format(&self) -> Result<WeightFormat, String> {
        Ok(self.matrix.format())
    }

    fn packed(&self, rows: &Range<usize>, format: WeightFormat) -> Option<Result<PackedMatrix, FormatError>> {
        let stored = self.matrix.format();
        let same = same_codes(stored, format)
            && stored.scales_per_row(self.cols()) == format.scales_per_row(self.cols());
        same.then(|| {
            let rows = rows_of(&self.matrix, rows.clone())?;
            let (codes, scales) = (rows.codes().clone(), rows.scales().clone());
            let matrix = PackedMatrix::from_parts(format, rows.rows(), rows.cols(), codes, scales)?;
            matrix.check_contents().map(|()| matrix)
        })
    }

    /// Only for smaller groups than those stored: their scales are copies.
    fn repack(&self, row: usize, codes: &mut [u8], scales: &mut [u8]) -> bool {
        let Ok(from) = rows_of(&self.matrix, row..row + 1) else { return false };
        if codes.len() != from.codes().len() || !self.is_sound(row..row + 1) {
            return false;
        }
        codes.copy_from_slice(from.codes());
        let (pairs, stored) = (scales.as_chunks_mut::<4>().0, from.scales().as_chunks::<4>().0);
        let shares = pairs.len() / stored.len().max(1);
        for (pairs, stored) in pairs.chunks_mut(shares.max(1)).zip(stored) {
            pairs.fill(*stored);
        }
        true
    }

    fn widen(&self, row: usize, out: &mut [f32]) {
        if self.matrix.view().row_f32(row, out).is_err() {
            // Whoever packs it will refuse it.
            out.fill(f32::NAN);
        }
    }
}
