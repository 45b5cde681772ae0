//! w8a8: int8 weights with one f32 scale per row, and activations that are quantised to int8 as well.
//!
//! A product is a whole sum of int8 products, scaled once at the end:
//! `y = (Σ code_x × code_w, in i32) as f32 × scale_x × scale_w`.

use super::error::check_len;
use super::rounding::{largest_magnitude, round_to_code};
use super::weight_format::W8A8_PADDING;
use super::{ActivationScale, FormatError, WeightFormat};

/// Quantises a row of weights. `codes` is the row padded to 64, `scales` has one entry.
pub(super) fn quantize_row(
    row: usize,
    weights: &[f32],
    format: WeightFormat,
    codes: &mut [i8],
    scales: &mut [f32],
) -> Result<(), FormatError> {
    let [scale] = scales else {
        return check_len("scales of a row", 1, scales.len());
    };
    let largest = largest_magnitude(weights);
    if !largest.is_finite() {
        return Err(FormatError::not_finite(row, 0, weights));
    }
    *scale = scale_for(largest);
    if !(127.0 * *scale).is_finite() {
        return Err(FormatError::ScaleOutOfRange { row, group: 0, largest, format });
    }
    let (codes, padding) = codes.split_at_mut(weights.len());
    padding.fill(0);
    if *scale == 0.0 {
        codes.fill(0);
    } else {
        for (code, weight) in codes.iter_mut().zip(weights) {
            *code = round_to_code(weight / *scale);
        }
    }
    Ok(())
}

/// The scale of a row: max|w| / 127, or the next number up where f32's subnormals are too coarse for
/// the largest weight to lie within half a step of code 127.
fn scale_for(largest: f32) -> f32 {
    let nearest = largest / 127.0;
    if f64::from(largest) > 127.5 * f64::from(nearest) { nearest.next_up() } else { nearest }
}

/// Reads a row back; `scales` has one entry.
pub(super) fn dequantize_row(codes: &[i8], scales: &[f32], out: &mut [f32]) {
    if let [scale] = scales {
        for (out, code) in out.iter_mut().zip(codes) {
            *out = f32::from(*code) * scale;
        }
    }
}

/// Rows of activations as int8 codes, each row padded with zeros to 64, and one scale per row.
///
/// It is a buffer to be used again: [`ActivationCodes::reset`] keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct ActivationCodes {
    cols: usize,
    stride: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl ActivationCodes {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for `rows` rows of `cols` activations, all codes and scales zero.
    pub fn reset(&mut self, rows: usize, cols: usize) -> Result<(), FormatError> {
        let too_large = || FormatError::TooLarge { rows, cols };
        let stride = cols.checked_next_multiple_of(W8A8_PADDING).ok_or_else(too_large)?;
        let len = stride.checked_mul(rows).ok_or_else(too_large)?;
        self.codes.clear();
        self.scales.clear();
        let refused = |bytes| {
            move |_| FormatError::Allocation { bytes, source: std::io::ErrorKind::OutOfMemory.into() }
        };
        self.codes.try_reserve(len).map_err(refused(len))?;
        self.scales.try_reserve(rows).map_err(refused(rows.saturating_mul(4)))?;
        self.codes.resize(len, 0);
        self.scales.resize(rows, 0.0);
        self.cols = cols;
        self.stride = stride;
        Ok(())
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.scales.len()
    }

    /// Activations of a row, without the padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Codes of a row, with the padding.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// All codes, row after row, [`ActivationCodes::stride`] apart.
    pub fn codes(&self) -> &[i8] {
        &self.codes
    }

    /// The scale of each row.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Codes and scales to be written, for a faster quantiser. The padding must stay zero.
    pub fn parts_mut(&mut self) -> (&mut [i8], &mut [f32]) {
        (&mut self.codes, &mut self.scales)
    }
}

/// Quantises rows of `cols` activations. This is the definition; a faster one must give the same codes.
///
/// - Per token: scale = max|x| / 127, code = x × (127 / max|x|) rounded to the nearest, ties to even. A
///   row whose 127 / max|x| is not finite (all zeros, or below 4·10⁻³⁷) has scale 0 and codes 0.
/// - Per tensor: the given scale, code = x × (1 / scale) rounded likewise and clamped to ±127.
///
/// A row that holds NaN or infinity has codes 0 and scale NaN either way, so that what is computed from
/// it shows that it is broken.
pub fn quantize_activations(
    x: &[f32],
    cols: usize,
    scale: ActivationScale,
    out: &mut ActivationCodes,
) -> Result<(), FormatError> {
    scale.check()?;
    if cols == 0 {
        return check_len("activations", 0, x.len()).and_then(|()| out.reset(0, 0));
    }
    if !x.len().is_multiple_of(cols) {
        return Err(FormatError::PartialRow { len: x.len(), cols });
    }
    out.reset(x.len() / cols, cols)?;
    let rows = x.chunks_exact(cols).zip(out.codes.chunks_exact_mut(out.stride)).zip(&mut out.scales);
    for ((x, codes), row_scale) in rows {
        let largest = largest_magnitude(x);
        if !largest.is_finite() {
            *row_scale = f32::NAN;
            continue;
        }
        let factor = match scale {
            ActivationScale::PerToken => {
                let factor = 127.0 / largest;
                if !factor.is_finite() {
                    continue;
                }
                *row_scale = largest / 127.0;
                factor
            }
            ActivationScale::PerTensor(scale) => {
                *row_scale = scale;
                1.0 / scale
            }
        };
        for (code, x) in codes.iter_mut().zip(x) {
            *code = round_to_code(x * factor);
        }
    }
    Ok(())
}
