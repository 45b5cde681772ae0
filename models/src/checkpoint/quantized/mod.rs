//! Checkpoints that are quantised already.
//!
//! Weights that one of our own formats can hold are repacked into it number by number, nothing is rounded
//! twice. Asked for any other format, or where no format fits, they are widened to f32 row by row and packed
//! anew, which is told by a [`Notice`](super::Notice). What is understood:
//!
//! | made by | stored as | format |
//! |---|---|---|
//! | bitsandbytes, 4 bits | `X.weight` (U8), `X.weight.absmax`, `X.weight.quant_state.…` | `nf4`; scales rounded to f16 |
//! | compressed-tensors, `int-quantized` | `X.weight` (I8), `X.weight_scale`, at times `X.input_scale` | `w8a8` |
//! | GPTQ and AWQ (gemm), 4 bits | `X.qweight` (I32), `X.qzeros`, `X.scales`, at times `X.g_idx` | `int4` |
//! | Inglenook | `X` (U8), `X.scales`; see [`own`] | any |
//!
//! Everything else is refused by the name of its method.

mod bitsandbytes;
mod config;
mod int4;
mod int8;
pub(super) mod own;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use ingle_backends::WeightError;
use ingle_backends::format::{FormatError, PackedBuilder, PackedMatrix, WeightFormat};
use rayon::prelude::*;

use super::convert::{self, Dense, moved_down};
use super::dtype::Dtype;
use super::source::Found;
use super::{Checkpoint, TensorInfo};

pub use config::Quantization;
pub(super) use config::read_config;

/// Weights that are widened to f32 at a time.
const WIDENED: usize = 1 << 20;

/// A matrix whose weights are stored as codes.
pub(super) trait QuantizedTensor: Sync {
    /// What it is stored as, for messages.
    fn scheme(&self) -> &'static str;

    fn rows(&self) -> usize;

    fn cols(&self) -> usize;

    /// The format that takes its codes as they are, or why there is none.
    fn format(&self) -> Result<WeightFormat, String>;

    /// Whether this format must not be made from it, although others may.
    fn refuses(&self, _: WeightFormat) -> bool {
        false
    }

    /// Some rows as they are, where they are stored in just this format.
    fn packed(&self, _: &Range<usize>, _: WeightFormat) -> Option<Result<PackedMatrix, FormatError>> {
        None
    }

    /// The codes of a row, repacked, and its scales; false if just this row does not fit the format.
    fn repack(&self, row: usize, codes: &mut [u8], scales: &mut [u8]) -> bool;

    /// The weights of a row.
    fn widen(&self, row: usize, out: &mut [f32]);
}

/// Some rows in a format, and why they had to be rounded once more, if they had to.
pub(super) fn pack(
    tensor: &str,
    stored: &dyn QuantizedTensor,
    rows: &Range<usize>,
    format: WeightFormat,
) -> Result<(PackedMatrix, Option<String>), WeightError> {
    let failed =
        |fault| WeightError::Format { tensor: tensor.to_owned(), source: moved_down(fault, rows.start) };
    if let Some(packed) = stored.packed(rows, format) {
        return packed.map(|matrix| (matrix, None)).map_err(failed);
    }
    let reason = match stored.format() {
        Ok(fits) if same_codes(fits, format) => return repack(stored, rows, format).map_err(failed),
        Ok(fits) => format!("{format} was asked for, not {fits}"),
        Err(fault) if stored.refuses(format) => {
            let fault = format!("it is stored as {}, and cannot become {format}: {fault}", stored.scheme());
            return Err(WeightError::Unsupported { tensor: tensor.to_owned(), fault });
        }
        Err(reason) => reason,
    };
    pack_anew(stored, rows, format).map(|matrix| (matrix, Some(reason))).map_err(failed)
}

/// Whether the codes of the stored format are those of the one asked for too.
fn same_codes(stored: WeightFormat, asked: WeightFormat) -> bool {
    match (stored, asked) {
        // How activations get their scale does not matter to the weights.
        (WeightFormat::W8a8(_), WeightFormat::W8a8(_)) => true,
        // A group may be cut into smaller ones with the same scale.
        (WeightFormat::Int4(stored), WeightFormat::Int4(asked)) => asked.size() <= stored.size(),
        _ => stored == asked,
    }
}

fn pack_anew(
    stored: &dyn QuantizedTensor,
    rows: &Range<usize>,
    format: WeightFormat,
) -> Result<PackedMatrix, FormatError> {
    let cols = stored.cols();
    let mut builder = PackedBuilder::new(format, rows.len(), cols)?;
    let rows_at_once = (WIDENED / cols).clamp(1, rows.len());
    let mut widened = vec![0.0; rows_at_once * cols];
    for first in rows.clone().step_by(rows_at_once) {
        let part = &mut widened[..rows_at_once.min(rows.end - first) * cols];
        part.par_chunks_exact_mut(cols).enumerate().for_each(|(row, out)| stored.widen(first + row, out));
        builder.append_f32(part)?;
    }
    builder.finish()
}

fn repack(
    stored: &dyn QuantizedTensor,
    rows: &Range<usize>,
    format: WeightFormat,
) -> Result<(PackedMatrix, Option<String>), FormatError> {
    let cols = stored.cols();
    let odd_rows = AtomicUsize::new(0);
    let mut builder = PackedBuilder::new(format, rows.len(), cols)?;
    builder.append_packed(rows.len(), |index, codes, scales| {
        if !stored.repack(rows.start + index, codes, scales) {
            let mut widened = vec![0.0; cols];
            stored.widen(rows.start + index, &mut widened);
            let row = PackedMatrix::quantize(format, 1, cols, &widened);
            let row = row.map_err(|fault| moved_down(fault, index))?;
            codes.copy_from_slice(row.codes());
            scales.copy_from_slice(row.scales());
            odd_rows.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    let odd_rows = odd_rows.into_inner();
    let reason = format!("{odd_rows} of its rows hold a code or a scale that {format} does not have");
    Ok((builder.finish()?, (odd_rows > 0).then_some(reason)))
}

/// A tensor as it is stored.
pub(super) enum Stored<'a> {
    Dense(Found<'a>, Dense),
    Quantized(Box<dyn QuantizedTensor + 'a>),
}

impl Checkpoint {
    /// Finds out how a tensor is stored.
    pub(super) fn stored(&self, tensor: &str) -> Result<Stored<'_>, WeightError> {
        let packed = || self.find(&format!("{}.qweight", tensor.strip_suffix(".weight")?));
        let missing = || WeightError::Missing(tensor.to_owned());
        let found = self.find(tensor).or_else(packed).ok_or_else(missing)?;
        if let Some(dtype) = Dense::of(found.info.dtype) {
            return Ok(Stored::Dense(found, dtype));
        }
        let parts = Parts { checkpoint: self, tensor, found };
        let quantized: Option<Box<dyn QuantizedTensor>> = match found.info.dtype {
            Dtype::U8 => match own::Own::find(&parts)? {
                Some(found) => Some(Box::new(found) as _),
                None => bitsandbytes::FourBits::find(&parts)?.map(|found| Box::new(found) as _),
            },
            Dtype::I8 => int8::Int8::find(&parts)?.map(|found| Box::new(found) as _),
            Dtype::I32 => int4::Int4::find(&parts)?.map(|found| Box::new(found) as _),
            _ => None,
        };
        quantized.map(Stored::Quantized).ok_or_else(|| {
            let method = self.quantization.as_ref().map(|q| format!(" by {q}")).unwrap_or_default();
            parts.unsupported(format!(
                "it is stored as {}{method} in {}, which cannot be read",
                found.info.dtype,
                found.file.path.display()
            ))
        })
    }

    /// The format that holds a tensor's numbers as they are stored, or else the nearest: what to ask for
    /// where nothing speaks for another one.
    pub fn stored_format(&self, tensor: &str) -> Result<WeightFormat, WeightError> {
        Ok(match self.stored(tensor)? {
            Stored::Dense(_, dtype) => dtype.format(),
            Stored::Quantized(stored) => stored.format().unwrap_or(WeightFormat::F16),
        })
    }

    /// How the checkpoint says it has been quantised.
    pub fn quantization(&self) -> Option<&Quantization> {
        self.quantization.as_ref()
    }
}

/// A quantised tensor's main part, from which the others are found.
pub(super) struct Parts<'a, 't> {
    checkpoint: &'a Checkpoint,
    /// What messages call it.
    tensor: &'t str,
    found: Found<'a>,
}

impl<'a> Parts<'a, '_> {
    fn main(&self) -> (&'a TensorInfo, &'a [u8]) {
        (self.found.info, bytes_of(self.found))
    }

    /// The tensor's name with `.weight` or `.qweight` replaced, as it is in the files.
    fn beside(&self, ending: &str) -> String {
        let name = self.found.name;
        let stem = name.strip_suffix(".weight").or(name.strip_suffix(".qweight")).unwrap_or(name);
        format!("{stem}{ending}")
    }

    /// The tensor of just this name.
    fn part(&self, name: &str) -> Option<Found<'a>> {
        self.checkpoint.find_exact(name)
    }

    fn wanted(&self, name: &str) -> Result<Found<'a>, WeightError> {
        self.part(name).ok_or_else(|| self.damaged(format!("`{name}`, which belongs to it, is missing")))
    }

    /// All numbers of a dense tensor.
    fn numbers(&self, name: &str, found: Found<'a>) -> Result<Vec<f32>, WeightError> {
        let dtype = Dense::of(found.info.dtype).ok_or_else(|| {
            self.unsupported(format!("`{name}`, which belongs to it, is stored as {}", found.info.dtype))
        })?;
        convert::vector(name, dtype, bytes_of(found))
    }

    fn damaged(&self, fault: String) -> WeightError {
        WeightError::Damaged { tensor: self.tensor.to_owned(), fault }
    }

    fn unsupported(&self, fault: String) -> WeightError {
        WeightError::Unsupported { tensor: self.tensor.to_owned(), fault }
    }
}

fn bytes_of(found: Found<'_>) -> &[u8] {
    found.file.bytes().get(found.info.range.clone()).unwrap_or_default()
}
