//! Dense rows: f32, f16 and bf16, the row padded to 4 bytes with zeros.

use bytemuck::{AnyBitPattern, NoUninit};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{FormatError, WeightFormat};

/// A type in which a dense matrix may be stored, or from which one may be packed.
pub(super) trait DenseElement: AnyBitPattern + NoUninit + Send + Sync {
    /// The format that stores this type.
    const FORMAT: WeightFormat;

    /// Rounds each of `values` to this type.
    fn narrow(values: &[f32], out: &mut [Self]);

    /// Widens each of `values` to f32, which loses nothing.
    fn widen(values: &[Self], out: &mut [f32]);

    /// Widens one value.
    fn to_f32(self) -> f32;

    /// Whether this is a number.
    fn is_finite(self) -> bool;
}

impl DenseElement for f32 {
    const FORMAT: WeightFormat = WeightFormat::F32;

    fn narrow(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }

    fn widen(values: &[Self], out: &mut [f32]) {
        out.copy_from_slice(values);
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl DenseElement for f16 {
    const FORMAT: WeightFormat = WeightFormat::F16;

    fn narrow(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }

    fn widen(values: &[Self], out: &mut [f32]) {
        values.convert_to_f32_slice(out);
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

impl DenseElement for bf16 {
    const FORMAT: WeightFormat = WeightFormat::Bf16;

    fn narrow(values: &[f32], out: &mut [Self]) {
        out.convert_from_f32_slice(values);
    }

    fn widen(values: &[Self], out: &mut [f32]) {
        values.convert_to_f32_slice(out);
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

/// Rounds a row of weights into `codes`, which is the row and its padding.
pub(super) fn quantize_row<T: DenseElement>(
    row: usize,
    weights: &[f32],
    codes: &mut [T],
) -> Result<(), FormatError> {
    let (values, padding) = codes.split_at_mut(weights.len());
    T::narrow(weights, values);
    padding.fill(T::zeroed());
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(col) => {
            let value = weights[col];
            Err(if value.is_finite() {
                FormatError::OutOfRange { row, col, value, format: T::FORMAT }
            } else {
                FormatError::NotFinite { row, col, value }
            })
        }
    }
}

/// Copies a row that is in the format already.
pub(super) fn copy_row<T: DenseElement>(
    row: usize,
    weights: &[T],
    codes: &mut [T],
) -> Result<(), FormatError> {
    let (values, padding) = codes.split_at_mut(weights.len());
    values.copy_from_slice(weights);
    padding.fill(T::zeroed());
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(col) => Err(FormatError::NotFinite { row, col, value: weights[col].to_f32() }),
    }
}
