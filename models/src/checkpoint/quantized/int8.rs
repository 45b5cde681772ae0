//! int8 codes with a scale per row or for all of them, as compressed-tensors stores them.

use ingle_backends::WeightError;
use ingle_backends::format::{ActivationScale, WeightFormat};

use super::{Parts, QuantizedTensor};

/// A matrix of int8 codes.
pub(super) struct Int8<'a> {
    codes: &'a [u8],
    /// One per row, or just one.
    scales: Vec<f32>,
    activation: ActivationScale,
    rows: usize,
    cols: usize,
}

impl<'a> Int8<'a> {
    /// The matrix that this tensor is the codes of; none if it is no such thing.
    pub(super) fn find(parts: &Parts<'a, '_>) -> Result<Option<Self>, WeightError> {
        let name = parts.beside(".weight_scale");
        let Some(found) = parts.part(&name) else { return Ok(None) };
        let (info, codes) = parts.main();
        let &[rows, cols] = info.shape.as_slice() else { return Ok(None) };
        let scales = parts.numbers(&name, found)?;
        if scales.len() != rows && scales.len() != 1 {
            let fault =
                format!("{} scales for {rows} rows: only scales of whole rows are read", scales.len());
            return Err(parts.unsupported(fault));
        }
        for shifted in [".weight_zero_point", ".input_zero_point"] {
            let name = parts.beside(shifted);
            // A zero point of zero is none.
            if parts.part(&name).is_some_and(|found| super::bytes_of(found).iter().any(|byte| *byte != 0)) {
                return Err(parts.unsupported(format!("its codes are not centred on zero (`{name}`)")));
            }
        }
        let name = parts.beside(".input_scale");
        let activation = match parts.part(&name).map(|found| parts.numbers(&name, found)).transpose()? {
            None => ActivationScale::PerToken,
            Some(scale) => match scale.as_slice() {
                [scale] => ActivationScale::PerTensor(*scale),
                other => return Err(parts.unsupported(format!("`{name}` holds {} numbers", other.len()))),
            },
        };
        activation.check().map_err(|fault| parts.damaged(format!("`{name}`: {fault}")))?;
        Ok(Some(Self { codes, scales, activation, rows, cols }))
    }

    fn row(&self, row: usize) -> (&[i8], f32) {
        let codes = self.codes.get(row * self.cols..(row + 1) * self.cols).unwrap_or_default();
        let scale = self.scales.get(row).or(self.scales.first()).copied().unwrap_or(f32::NAN);
        (bytemuck::cast_slice(codes), scale)
    }
}

impl QuantizedTensor for Int8<'_> {
    fn scheme(&self) -> &'static str {
        "int8 with a scale per row"
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn format(&self) -> Result<WeightFormat, String> {
        Ok(WeightFormat::W8a8(self.activation))
    }

    fn repack(&self, row: usize, codes: &mut [u8], scales: &mut [u8]) -> bool {
        let (from, scale) = self.row(row);
        codes[..from.len()].copy_from_slice(bytemuck::cast_slice(from));
        scales.copy_from_slice(&scale.to_le_bytes());
        // -128 has no counterpart, so our own format does without it.
        scale.is_sign_positive() && !from.contains(&i8::MIN)
    }

    fn widen(&self, row: usize, out: &mut [f32]) {
        let (codes, scale) = self.row(row);
        for (out, code) in out.iter_mut().zip(codes) {
            *out = f32::from(*code) * scale;
        }
    }
}
