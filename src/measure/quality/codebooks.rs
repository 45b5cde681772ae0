//! What quantising does to weights that are normally distributed, as those of trained models nearly are.
//!
//! A linear quantiser spreads its levels evenly between the largest weights of a group. Normal weights crowd around zero, so most of
//! its levels lie where few weights are. The levels of `nf4` lie so that each is used by about as many weights as any other.

use ingle_backends::conformance::Random;
use ingle_backends::format::{FormatError, PackedMatrix, WeightFormat};
use serde::{Deserialize, Serialize};

use crate::measure::Table;
use crate::measure::table::{number, percent};

const ROWS: usize = 64;
const COLS: usize = 4096;
/// Weights under one scale of the linear quantiser, as in `nf4`.
const GROUP: usize = 64;

/// How far a quantiser is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NormalError {
    pub format: String,
    pub bits_per_weight: f64,
    /// Root of the mean square error, in standard deviations of the weights.
    pub rms: f64,
    pub largest: f64,
    /// How evenly its sixteen levels are used: the entropy of the levels, of that of sixteen equally frequent ones. None where the levels
    /// are more, or lie elsewhere in each group.
    pub evenness: Option<f64>,
}

/// Quantises normal weights in each format, and with a linear 4-bit quantiser of symmetric levels for comparison.
pub fn on_normal_weights(formats: &[WeightFormat]) -> Result<Vec<NormalError>, FormatError> {
    let weights = Random::new(4).normals(ROWS * COLS, 1.0);
    let mut found = vec![linear(&weights)];
    for format in formats {
        let packed = PackedMatrix::quantize(*format, ROWS, COLS, &weights)?;
        let mut decoded = vec![0.0; weights.len()];
        packed.dequantize_rows(0..ROWS, &mut decoded)?;
        let levels = *format == WeightFormat::Nf4;
        found.push(error_of(format.name(), format.bits_per_weight(), levels, &weights, &decoded));
    }
    Ok(found)
}

/// Fifteen even levels from the largest magnitude of a group to its opposite.
fn linear(weights: &[f32]) -> NormalError {
    let decoded: Vec<f32> = weights
        .chunks(GROUP)
        .flat_map(|group| {
            let scale = group.iter().fold(0.0f32, |max, w| max.max(w.abs())) / 7.0;
            group.iter().map(move |w| (w / scale).round_ties_even() * scale)
        })
        .collect();
    error_of("linear 4-bit, symmetric", 4.0 + 16.0 / GROUP as f64, true, weights, &decoded)
}

fn error_of(
    format: &str,
    bits_per_weight: f64,
    levels: bool,
    weights: &[f32],
    decoded: &[f32],
) -> NormalError {
    let errors = || weights.iter().zip(decoded).map(|(w, d)| f64::from(w - d));
    let rms = (errors().map(|error| error * error).sum::<f64>() / weights.len() as f64).sqrt();
    let largest = errors().map(f64::abs).fold(0.0, f64::max);
    let evenness = levels.then(|| evenness(decoded));
    NormalError { format: format.to_owned(), bits_per_weight, rms, largest, evenness }
}

/// The entropy of the levels of a group, which are the same share of its largest weight in every group.
fn evenness(decoded: &[f32]) -> f64 {
    let mut counts = std::collections::BTreeMap::new();
    for group in decoded.chunks(GROUP) {
        let largest = group.iter().fold(0.0f32, |max, w| max.max(w.abs()));
        for weight in group {
            // Levels are a twentieth apart at least.
            let level = (weight / largest * 1000.0).round() as i32;
            *counts.entry(level).or_insert(0usize) += 1;
        }
    }
    let total = decoded.len() as f64;
    let entropy: f64 = counts.values().map(|count| *count as f64 / total).map(|p| -p * p.log2()).sum();
    entropy / 4.0
}

/// The findings as a table.
pub fn normal_table(found: &[NormalError]) -> Table {
    let header = [
        "format",
        "bits/weight",
        "RMS error, σ",
        "largest error, σ",
        "signal to noise, dB",
        "evenness of levels",
    ];
    let mut table = Table::new("Quantising normally distributed weights", &header);
    for one in found {
        table.push(vec![
            one.format.clone(),
            format!("{:.2}", one.bits_per_weight),
            number(one.rms),
            number(one.largest),
            format!("{:.1}", -20.0 * one.rms.log10()),
            percent(one.evenness),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use ingle_backends::format::Int8Group;

    use super::*;

    #[test]
    fn levels_where_the_weights_are_are_nearer_to_them() {
        let formats = [WeightFormat::Nf4, WeightFormat::Int8(Int8Group::G64), WeightFormat::F32];
        let found = on_normal_weights(&formats).unwrap();
        let [linear, nf4, int8, f32] = &found[..] else { panic!("{found:?}") };
        assert!(nf4.rms < 0.95 * linear.rms, "{found:?}");
        assert!(nf4.evenness > linear.evenness, "{found:?}");
        // 127 levels to a side instead of 7: errors are 18 times smaller.
        assert!((linear.rms / int8.rms / (127.0 / 7.0) - 1.0).abs() < 0.03, "{found:?}");
        assert!(f32.rms == 0.0 && f32.largest == 0.0);
        assert_eq!(normal_table(&found).rows.len(), 4);
    }
}
