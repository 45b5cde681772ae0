//! Rotary position embedding: one specification from which every backend gets the same angles.
//!
//! A rotation turns pairs of elements of each head by `position × inverse frequency`. All the schemes in
//! use differ only in the inverse frequencies and in a factor on the result, so both are computed here,
//! in f64, and a backend sees nothing but [`RopeSpec::inverse_frequencies`] and [`RopeSpec::magnitude`].

use std::f64::consts::PI;

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopeLayout {
    /// Element i with element `i + rotary_dim / 2`.
    Halves,
    /// Element `2i` with element `2i + 1`.
    Interleaved,
}

/// How a model trained on short contexts is stretched to long ones.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    None,
    /// Positions divided by `factor`.
    Linear {
        factor: f64,
    },
    /// Low frequencies divided by `factor`, high ones kept, a linear blend between.
    Llama3 {
        factor: f64,
        low_frequency: f64,
        high_frequency: f64,
        original_context: f64,
    },
    /// "NTK by parts": like `Llama3`, with the blend over dimensions and a factor on the result.
    /// `magnitude` overrides the paper's `0.1·ln(factor) + 1`; `truncate` rounds the blend's borders
    /// outwards to whole dimensions.
    Yarn {
        factor: f64,
        beta_fast: f64,
        beta_slow: f64,
        original_context: f64,
        magnitude: Option<f64>,
        truncate: bool,
    },
    /// A divisor for each frequency and a factor on the result, as stated by the checkpoint.
    PerFrequency {
        divisors: Vec<f64>,
        magnitude: f64,
    },
}

/// A rotation: `rotary_dim` leading elements of each head of `head_dim` are turned, the rest passes.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    pub head_dim: usize,
    pub rotary_dim: usize,
    pub layout: RopeLayout,
    pub base: f64,
    pub scaling: RopeScaling,
}

impl RopeSpec {
    /// The common case: the whole head, halves, unscaled.
    pub const fn new(head_dim: usize, base: f64) -> Self {
        Self { head_dim, rotary_dim: head_dim, layout: RopeLayout::Halves, base, scaling: RopeScaling::None }
    }

    /// What is wrong with the numbers, if anything.
    pub(super) fn fault(&self) -> Option<String> {
        if self.rotary_dim == 0 || !self.rotary_dim.is_multiple_of(2) || self.rotary_dim > self.head_dim {
            return Some(format!("rotary size {} does not fit heads of {}", self.rotary_dim, self.head_dim));
        }
        if let RopeScaling::PerFrequency { divisors, .. } = &self.scaling
            && divisors.len() != self.rotary_dim / 2
        {
            return Some(format!("{} divisors for {} frequencies", divisors.len(), self.rotary_dim / 2));
        }
        let sound = self.inverse_frequencies().iter().all(|f| f.is_finite() && *f >= 0.0);
        (!sound || !self.magnitude().is_finite())
            .then(|| format!("base {} with {:?} gives no finite frequencies", self.base, self.scaling))
    }

    /// Radians per position of each pair; `rotary_dim / 2` of them.
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        let pairs = self.rotary_dim / 2;
        let plain = (0..pairs).map(|i| self.base.powf(-2.0 * i as f64 / self.rotary_dim as f64));
        match &self.scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|f| f / factor).collect(),
            RopeScaling::Llama3 { factor, low_frequency, high_frequency, original_context } => plain
                .map(|f| {
                    let turns = original_context * f / (2.0 * PI);
                    let keep = ((turns - low_frequency) / (high_frequency - low_frequency)).clamp(0.0, 1.0);
                    blend(f, f / factor, keep)
                })
                .collect(),
            RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, truncate, .. } => {
                // The dimension whose wave makes `turns` turns over the original context.
                let dimension = |turns: f64| {
                    let wave = original_context / (turns * 2.0 * PI);
                    self.rotary_dim as f64 * wave.ln() / (2.0 * self.base.ln())
                };
                let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, high) = (low.max(0.0), high.min(self.rotary_dim as f64 - 1.0));
                let span = if high > low { high - low } else { 0.001 };
                plain
                    .enumerate()
                    .map(|(i, f)| {
                        let keep = 1.0 - ((i as f64 - low) / span).clamp(0.0, 1.0);
                        blend(f, f / factor, keep)
                    })
                    .collect()
            }
            RopeScaling::PerFrequency { divisors, .. } => plain.zip(divisors).map(|(f, d)| f / d).collect(),
        }
    }

    /// What every rotated element is multiplied by.
    pub fn magnitude(&self) -> f64 {
        match &self.scaling {
            RopeScaling::Yarn { magnitude: Some(magnitude), .. }
            | RopeScaling::PerFrequency { magnitude, .. } => *magnitude,
            RopeScaling::Yarn { factor, .. } if *factor > 1.0 => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        }
    }

    /// The two elements of pair `i`, counted within a head.
    pub const fn pair(&self, i: usize) -> (usize, usize) {
        match self.layout {
            RopeLayout::Halves => (i, i + self.rotary_dim / 2),
            RopeLayout::Interleaved => (2 * i, 2 * i + 1),
        }
    }

    /// Cosines and sines, times the magnitude, of every pair at one position, written behind one another.
    pub fn angles_at(inverse_frequencies: &[f64], magnitude: f64, position: u32, out: &mut [f32]) {
        let (cosines, sines) = out.split_at_mut(inverse_frequencies.len());
        for ((frequency, cosine), sine) in inverse_frequencies.iter().zip(cosines).zip(sines) {
            let (s, c) = (f64::from(position) * frequency).sin_cos();
            *cosine = (c * magnitude) as f32;
            *sine = (s * magnitude) as f32;
        }
    }
}

/// `keep` of `a` and the rest of `b`.
fn blend(a: f64, b: f64, keep: f64) -> f64 {
    keep * a + (1.0 - keep) * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unscaled_frequencies_are_powers_of_the_base() {
        let f = RopeSpec::new(8, 10_000.0).inverse_frequencies();
        for (got, expected) in f.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((got - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn llama3_scaling_keeps_fast_waves_and_slows_slow_ones() {
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_frequency: 1.0,
            high_frequency: 4.0,
            original_context: 8192.0,
        };
        let plain = RopeSpec::new(128, 500_000.0);
        let scaled = RopeSpec { scaling, ..plain.clone() }.inverse_frequencies();
        let plain = plain.inverse_frequencies();
        assert_eq!(scaled[0].to_bits(), plain[0].to_bits());
        assert!((scaled[63] - plain[63] / 8.0).abs() < 1e-18);
        assert!(scaled.windows(2).all(|w| w[1] < w[0]), "frequencies must stay in order");
        // The published table of this model at dimension 30, between the two borders.
        assert!(scaled[30] < plain[30] && scaled[30] > plain[30] / 8.0);
    }

    #[test]
    fn yarn_blends_between_its_borders_and_raises_the_magnitude() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            original_context: 32_768.0,
            magnitude: None,
            truncate: true,
        };
        let spec = RopeSpec { scaling, ..RopeSpec::new(128, 1_000_000.0) };
        let scaled = spec.inverse_frequencies();
        let plain = RopeSpec::new(128, 1_000_000.0).inverse_frequencies();
        assert_eq!(scaled[0].to_bits(), plain[0].to_bits());
        assert!((scaled[63] - plain[63] / 4.0).abs() < 1e-18);
        assert!((spec.magnitude() - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-15);
    }

    #[test]
    fn impossible_rotations_are_named() {
        assert!(RopeSpec { rotary_dim: 7, ..RopeSpec::new(8, 1e4) }.fault().is_some());
        assert!(RopeSpec { rotary_dim: 16, ..RopeSpec::new(8, 1e4) }.fault().is_some());
        assert!(RopeSpec::new(8, f64::NAN).fault().is_some());
        assert!(RopeSpec::new(8, 1e4).fault().is_none());
    }
}
