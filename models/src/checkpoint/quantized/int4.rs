//! Groupwise int4 as GPTQ and AWQ store it.
//!
//! Both keep a matrix the other way round, with inputs as rows, and pack eight codes into each 32-bit word:
//! GPTQ eight inputs of one output, AWQ one input of eight outputs, these in an order of its own. Zero points
//! are packed by output in both; GPTQ's first version stores them less one. GPTQ may have sorted the inputs
//! before it formed groups ("act-order"), and then says which group each belongs to.

use half::f16;
use ingle_backends::WeightError;
use ingle_backends::format::{Int4Group, WeightFormat};

use super::super::dtype::Dtype;
use super::super::source::Found;
use super::{Parts, Quantization, QuantizedTensor, bytes_of};

/// Codes in a word.
const PACKED: usize = 8;

/// Which code of a word belongs to each of eight neighbouring outputs, in AWQ.
const AWQ_PLACE: [usize; PACKED] = [0, 4, 1, 5, 2, 6, 3, 7];

/// A matrix of int4 codes.
pub(super) struct Int4<'a> {
    layout: Layout,
    codes: &'a [[u8; 4]],
    zeros: &'a [[u8; 4]],
    /// What is to be added to a stored zero point.
    zero_offset: u8,
    /// A row per group.
    scales: Vec<f32>,
    /// Inputs that share a scale.
    group: usize,
    /// The group of each input, where they are not in order.
    order: Option<Vec<u32>>,
    rows: usize,
    cols: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    Gptq,
    Awq,
}

impl<'a> Int4<'a> {
    /// The matrix that these packed codes (`X.qweight`) belong to.
    pub(super) fn find(parts: &Parts<'a, '_>) -> Result<Option<Self>, WeightError> {
        let (layout, group, zero_offset) = match parts.checkpoint.quantization() {
            Some(Quantization::Gptq { group, zeros_less_one }) => {
                (Layout::Gptq, *group, u8::from(*zeros_less_one))
            }
            Some(Quantization::Awq { group }) => (Layout::Awq, *group, 0),
            _ => return Ok(None),
        };
        let (info, _) = parts.main();
        let &[first, second] = info.shape.as_slice() else { return Ok(None) };
        // Sizes that are in the file as words fit eightfold, or the product below does not match.
        let (cols, rows) = match layout {
            Layout::Gptq => (first.saturating_mul(PACKED), second),
            Layout::Awq => (first, second.saturating_mul(PACKED)),
        };
        if rows == 0 || cols == 0 || !rows.is_multiple_of(PACKED) {
            return Err(parts.damaged(format!("a matrix of {rows}×{cols} cannot be packed in words")));
        }
        let group = group.unwrap_or(cols);
        let groups = cols.div_ceil(group);
        let fitting = |suffix: &str, shape: [usize; 2]| {
            let name = parts.beside(suffix);
            let found = parts.wanted(&name)?;
            if found.info.shape == shape {
                return Ok((name, found));
            }
            Err(parts.damaged(format!("`{name}` is {:?}, not {shape:?}", found.info.shape)))
        };
        let (name, zeros) = fitting(".qzeros", [groups, rows / PACKED])?;
        let zeros = words(parts, &name, zeros)?;
        let (name, scales) = fitting(".scales", [groups, rows])?;
        let scales = parts.numbers(&name, scales)?;
        let order = if layout == Layout::Gptq { order(parts, cols, group)? } else { None };
        let codes = words(parts, parts.found.name, parts.found)?;
        Ok(Some(Self { layout, codes, zeros, zero_offset, scales, group, order, rows, cols }))
    }

    /// A code from among packed ones: eight neighbours are `place` of each other.
    fn nibble(words: &[[u8; 4]], word: usize, place: usize) -> u8 {
        let word = words.get(word).copied().unwrap_or_default();
        (u32::from_le_bytes(word) >> (4 * place)) as u8 & 15
    }

    fn code(&self, row: usize, col: usize) -> u8 {
        match self.layout {
            Layout::Gptq => Self::nibble(self.codes, col / PACKED * self.rows + row, col % PACKED),
            Layout::Awq => {
                let word = col * (self.rows / PACKED) + row / PACKED;
                Self::nibble(self.codes, word, AWQ_PLACE[row % PACKED])
            }
        }
    }

    /// Scale and zero point of a group.
    fn pair(&self, row: usize, group: usize) -> (f32, u8) {
        let place = if self.layout == Layout::Gptq { row % PACKED } else { AWQ_PLACE[row % PACKED] };
        let zero = Self::nibble(self.zeros, group * (self.rows / PACKED) + row / PACKED, place);
        let scale = self.scales.get(group * self.rows + row).copied().unwrap_or(f32::NAN);
        (scale, zero + self.zero_offset)
    }

    fn group_of(&self, col: usize) -> usize {
        let listed = self.order.as_ref().and_then(|order| order.get(col));
        listed.map_or(col / self.group, |group| *group as usize)
    }
}

/// The group of each input as listed; none where they are in order.
fn order(parts: &Parts<'_, '_>, cols: usize, group: usize) -> Result<Option<Vec<u32>>, WeightError> {
    let name = parts.beside(".g_idx");
    let Some(found) = parts.part(&name) else { return Ok(None) };
    let listed: Vec<_> = words(parts, &name, found)?.iter().map(|word| u32::from_le_bytes(*word)).collect();
    if listed.len() != cols || listed.iter().any(|of| *of as usize >= cols.div_ceil(group)) {
        return Err(parts.damaged(format!("`{name}` does not list a group for each of {cols} inputs")));
    }
    let in_order = listed.iter().enumerate().all(|(col, of)| *of as usize == col / group);
    Ok((!in_order).then_some(listed))
}

/// A tensor of 32-bit words.
fn words<'a>(parts: &Parts<'_, '_>, name: &str, found: Found<'a>) -> Result<&'a [[u8; 4]], WeightError> {
    if found.info.dtype == Dtype::I32 {
        return Ok(bytes_of(found).as_chunks().0);
    }
    Err(parts.unsupported(format!("`{name}` is stored as {}, not I32", found.info.dtype)))
}

impl QuantizedTensor for Int4<'_> {
    fn scheme(&self) -> &'static str {
        if self.layout == Layout::Gptq { "GPTQ with 4 bits" } else { "AWQ with 4 bits" }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn format(&self) -> Result<WeightFormat, String> {
        if self.order.is_some() {
            return Err("its inputs were sorted before they were grouped (act-order, desc_act)".to_owned());
        }
        // A larger group is several of ours with the same scale.
        let groups = [Int4Group::G128, Int4Group::G64, Int4Group::G32];
        let fits = groups
            .into_iter()
            .find(|ours| self.group.is_multiple_of(ours.size()) && self.cols.is_multiple_of(ours.size()));
        let reason = || format!("int4 has no groups of {} in {} columns", self.group, self.cols);
        fits.map(WeightFormat::Int4).ok_or_else(reason)
    }

    fn refuses(&self, format: WeightFormat) -> bool {
        self.order.is_some() && matches!(format, WeightFormat::Int4(_))
    }

    fn repack(&self, row: usize, codes: &mut [u8], scales: &mut [u8]) -> bool {
        let pairs = scales.as_chunks_mut::<4>().0;
        let ours = codes.len() * 2 / pairs.len().max(1);
        match self.layout {
            Layout::Gptq => {
                let words = self.codes.iter().skip(row).step_by(self.rows);
                for (codes, word) in codes.as_chunks_mut().0.iter_mut().zip(words) {
                    *codes = *word;
                }
            }
            Layout::Awq => {
                for (byte, col) in codes.iter_mut().zip((0..self.cols).step_by(2)) {
                    *byte = self.code(row, col) | (self.code(row, col + 1) << 4);
                }
            }
        }
        let mut fits = true;
        for (pair, first) in pairs.iter_mut().zip((0..self.cols).step_by(ours)) {
            let (exact, zero) = self.pair(row, first / self.group);
            let scale = f16::from_f32(exact);
            // Those that were f16 stay what they are; others lose no more than their last bits.
            fits &= (scale.to_f32() - exact).abs() <= exact.abs() / 1024.0;
            let ([a, b], [c, d]) = (scale.to_le_bytes(), f16::from(zero).to_le_bytes());
            *pair = [a, b, c, d];
        }
        fits
    }

    fn widen(&self, row: usize, out: &mut [f32]) {
        for (col, out) in out.iter_mut().enumerate() {
            let (scale, zero) = self.pair(row, self.group_of(col));
            *out = (f32::from(self.code(row, col)) - f32::from(zero)) * scale;
        }
    }
}
