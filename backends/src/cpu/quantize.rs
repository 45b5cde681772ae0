//! Rows of activations as int8 codes, where an operator's fused quantisation asks for them.

use super::simd::{Simd, SimdSlices};
use crate::format::ActivationScale;

/// Quantises a row as [`quantize_activations`](crate::format::quantize_activations) defines it and
/// returns its scale. What is longer of `codes` becomes 0.
#[inline(always)]
pub(super) fn quantize_row<S: Simd>(s: S, x: &[f32], scale: ActivationScale, codes: &mut [i8]) -> f32 {
    let (codes, padding) = codes.split_at_mut(x.len());
    padding.fill(0);
    let largest = s.max_magnitude_of(x);
    let (scale, factor) = match scale {
        _ if !largest.is_finite() => (f32::NAN, None),
        ActivationScale::PerTensor(scale) => (scale, Some(1.0 / scale)),
        ActivationScale::PerToken => {
            let factor = 127.0 / largest;
            if factor.is_finite() { (largest / 127.0, Some(factor)) } else { (0.0, None) }
        }
    };
    match factor {
        Some(factor) => s.quantize(x, factor, codes),
        None => codes.fill(0),
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::super::simd::{Isa, Kernel};
    use super::*;
    use crate::format::{ActivationCodes, quantize_activations};

    struct Quantize<'a>(&'a [f32], ActivationScale, &'a mut [i8]);

    impl Kernel for Quantize<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            quantize_row(s, self.0, self.1, self.2)
        }
    }

    #[test]
    fn codes_are_those_of_the_definition() {
        let wave: Vec<f32> = (0..77).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let mut broken = wave.clone();
        broken[70] = f32::INFINITY;
        for x in [wave, broken, vec![0.0; 77]] {
            for scale in [ActivationScale::PerToken, ActivationScale::PerTensor(0.01)] {
                let mut expected = ActivationCodes::new();
                quantize_activations(&x, 77, scale, &mut expected).unwrap();
                for isa in Isa::available() {
                    let mut codes = [1; 128];
                    let got = isa.run(Quantize(&x, scale, &mut codes));
                    assert_eq!(codes, expected.codes());
                    assert_eq!(got.to_bits(), expected.scales()[0].to_bits());
                }
            }
        }
    }
}
