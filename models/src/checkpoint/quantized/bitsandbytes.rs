//! Four bits as bitsandbytes stores them.
//!
//! The weights of a matrix, rows one after another, are cut into blocks of usually 64, which cross the ends
//! of rows where they must. Two codes share a byte, the first one in its high half. Each block has a
//! largest magnitude (`absmax`), stored as a number or again as a code of 8 bits with a scale per block of
//! blocks; codes stand for the entries of a table that is stored along. The sizes are in a piece of JSON that
//! is stored as a tensor of bytes.

use half::f16;
use ingle_backends::WeightError;
use ingle_backends::format::{NF4_CODEBOOK, WeightFormat};
use serde::Deserialize;

use super::super::dtype::Dtype;
use super::{Parts, QuantizedTensor, bytes_of};

/// Weights that share a scale in our own format.
const GROUP: usize = 64;

/// A matrix of four-bit codes.
pub(super) struct FourBits<'a> {
    codes: &'a [u8],
    table: [f32; 16],
    absmax: Absmax<'a>,
    block: usize,
    rows: usize,
    cols: usize,
}

/// The largest magnitude of each block.
enum Absmax<'a> {
    Numbers(Vec<f32>),
    /// table[code] × scale of the block of blocks + offset.
    Codes {
        codes: &'a [u8],
        table: Vec<f32>,
        scales: Vec<f32>,
        block: usize,
        offset: f32,
    },
}

/// What the stored piece of JSON says.
#[derive(Deserialize)]
struct State {
    blocksize: usize,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

impl<'a> FourBits<'a> {
    /// The matrix that this tensor is the codes of; none if it is no such thing.
    pub(super) fn find(parts: &Parts<'a, '_>) -> Result<Option<Self>, WeightError> {
        let name = parts.found.name;
        let state = ["nf4", "fp4"]
            .iter()
            .find_map(|kind| parts.part(&format!("{name}.quant_state.bitsandbytes__{kind}")));
        let Some(state) = state else { return Ok(None) };
        let state: State = serde_json::from_slice(bytes_of(state))
            .map_err(|fault| parts.damaged(format!("its quantisation state is not understood: {fault}")))?;
        let wrong = |what: &str| parts.damaged(format!("its {what} does not fit its quantisation state"));
        let &[rows, cols] = state.shape.as_slice() else { return Err(wrong("shape")) };
        let elements =
            rows.checked_mul(cols).filter(|elements| *elements > 0).ok_or_else(|| wrong("shape"))?;
        let (_, codes) = parts.main();
        if codes.len() != elements.div_ceil(2) {
            return Err(wrong("length"));
        }
        if state.blocksize == 0 {
            return Err(wrong("block size"));
        }
        let of = |suffix: &str| {
            let name = format!("{name}.{suffix}");
            parts.wanted(&name).and_then(|found| parts.numbers(&name, found))
        };
        let table = of("quant_map")?.try_into().map_err(|_| wrong("table of codes"))?;
        let found = parts.wanted(&format!("{name}.absmax"))?;
        let absmax = if found.info.dtype == Dtype::U8 {
            Absmax::Codes {
                codes: bytes_of(found),
                table: of("nested_quant_map")?,
                scales: of("nested_absmax")?,
                block: state
                    .nested_blocksize
                    .filter(|size| *size > 0)
                    .ok_or_else(|| wrong("block of scales"))?,
                offset: state.nested_offset.unwrap_or(0.0),
            }
        } else {
            Absmax::Numbers(of("absmax")?)
        };
        if !absmax.has(elements.div_ceil(state.blocksize)) {
            return Err(wrong("number of scales"));
        }
        Ok(Some(Self { codes, table, absmax, block: state.blocksize, rows, cols }))
    }

    fn code(&self, element: usize) -> u8 {
        let byte = self.codes.get(element / 2).copied().unwrap_or_default();
        if element.is_multiple_of(2) { byte >> 4 } else { byte & 15 }
    }
}

impl Absmax<'_> {
    /// Whether there is one for each of so many blocks.
    fn has(&self, blocks: usize) -> bool {
        match self {
            Self::Numbers(numbers) => numbers.len() == blocks,
            Self::Codes { codes, table, scales, block, offset } => {
                codes.len() == blocks
                    && table.len() == 256
                    && scales.len() == blocks.div_ceil(*block)
                    && offset.is_finite()
            }
        }
    }

    fn at(&self, index: usize) -> f32 {
        let found = match self {
            Self::Numbers(numbers) => numbers.get(index).copied(),
            Self::Codes { codes, table, scales, block, offset } => codes
                .get(index)
                .and_then(|code| Some(table.get(usize::from(*code))? * scales.get(index / block)? + offset)),
        };
        found.unwrap_or(f32::NAN)
    }
}

impl QuantizedTensor for FourBits<'_> {
    fn scheme(&self) -> &'static str {
        "bitsandbytes with 4 bits"
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn format(&self) -> Result<WeightFormat, String> {
        let same = self.table.iter().zip(NF4_CODEBOOK).all(|(a, b)| (a - b).abs() < 1e-6);
        if !same {
            return Err("its table of codes is not that of nf4".to_owned());
        }
        // Then no block ends within one of our groups, and no group crosses a row.
        if self.block.is_multiple_of(GROUP) && self.cols.is_multiple_of(GROUP) {
            return Ok(WeightFormat::Nf4);
        }
        Err(format!("blocks of {} do not end with the rows of {} columns", self.block, self.cols))
    }

    fn repack(&self, row: usize, codes: &mut [u8], scales: &mut [u8]) -> bool {
        let first = row * self.cols;
        let from = self.codes.get(first / 2..first / 2 + codes.len()).unwrap_or_default();
        for (code, from) in codes.iter_mut().zip(from) {
            *code = from.rotate_left(4);
        }
        let mut fits = true;
        for (group, out) in scales.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let scale = f16::from_f32(self.absmax.at((first + group * GROUP) / self.block));
            // Scales that were rounded themselves may have come out below zero.
            fits &= scale.is_finite() && scale.is_sign_positive();
            *out = scale.to_le_bytes();
        }
        fits
    }

    fn widen(&self, row: usize, out: &mut [f32]) {
        let first = row * self.cols;
        for (element, out) in (first..).zip(out) {
            let entry = self.table.get(usize::from(self.code(element))).copied().unwrap_or(f32::NAN);
            *out = entry * self.absmax.at(element / self.block);
        }
    }
}
