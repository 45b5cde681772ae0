//! What quantising does to weights: to normally distributed ones, and to those of a model, which nearly are.
//!
//! A linear quantiser spreads its levels evenly between the largest weights of a group. Normal weights crowd around zero, so most of
//! its levels lie where few weights are. The levels of `nf4` lie so that each is used by about as many weights as any other.

use std::collections::BTreeMap;

use ingle_backends::conformance::Random;
use ingle_backends::format::{FormatError, PackedMatrix, WeightFormat};
use ingle_backends::plan::{FusionSet, MatrixPart};
use ingle_backends::{MatrixRequest, WeightError, WeightSource};
use serde::{Deserialize, Serialize};

use crate::measure::table::{number, percent};
use crate::measure::{MeasureError, Table};
use crate::model::{LoadError, Model, WeightChoice};

const ROWS: usize = 64;
const COLS: usize = 4096;
/// Weights under one scale of the linear quantiser, as in `nf4`.
const GROUP: usize = 64;
/// Weights that are looked at together, and measured by their own standard deviation.
const BLOCK: usize = 1 << 20;

/// What some ways of quantising do to some weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Codebooks {
    /// Whose weights they are.
    pub weights: String,
    pub count: usize,
    /// Of how heavy tails the weights are: 3 where they are normally distributed.
    pub kurtosis: f64,
    pub errors: Vec<QuantizingError>,
}

/// How far a quantiser is off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantizingError {
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
pub fn on_normal_weights(formats: &[WeightFormat]) -> Result<Codebooks, FormatError> {
    let mut sums = Sums::new(formats);
    sums.add(ROWS, COLS, Random::new(4).normals(ROWS * COLS, 1.0))?;
    Ok(sums.result("normally distributed weights".to_owned()))
}

/// The same with the weights of all projections in a model's layers.
pub fn on_weights_of(model: &Model, formats: &[WeightFormat]) -> Result<Codebooks, MeasureError> {
    if let Some(by) = model.checkpoint.quantization() {
        return Err(MeasureError::Settings(format!(
            "{} is quantised already ({by}), and what is rounded again shows nothing; give the original",
            model.folder.display()
        )));
    }
    let plan = model.plan(WeightChoice::Format(WeightFormat::F32), None, FusionSet::none())?.0;
    let mut sums = Sums::new(formats);
    for matrix in &plan.matrices {
        let layers = matrix.parts.iter().filter(|part| part.tensor.contains(".layers."));
        for part in layers {
            sums.add_part(&*model.checkpoint, part, matrix.cols)
                .map_err(|source| LoadError::Weights { folder: model.folder.clone(), source })?;
        }
    }
    if sums.count == 0 {
        let fault = format!("{} has no weights of layers that could be looked at", model.folder.display());
        return Err(MeasureError::Settings(fault));
    }
    Ok(sums.result(format!("the layers of {}", model.name())))
}

/// What is added up over the weights.
struct Sums {
    count: usize,
    /// Fourth powers of the weights, in standard deviations.
    fourth: f64,
    /// The linear quantiser first.
    quantizers: Vec<(Option<WeightFormat>, Errors)>,
}

#[derive(Default)]
struct Errors {
    squares: f64,
    largest: f64,
    /// How often each level was used.
    levels: BTreeMap<i32, usize>,
}

impl Sums {
    fn new(formats: &[WeightFormat]) -> Self {
        let all = [None].into_iter().chain(formats.iter().copied().map(Some));
        Self { count: 0, fourth: 0.0, quantizers: all.map(|format| (format, Errors::default())).collect() }
    }

    /// Adds rows of a matrix.
    fn add_part(
        &mut self,
        source: &dyn WeightSource,
        part: &MatrixPart,
        cols: usize,
    ) -> Result<(), WeightError> {
        let failed = |source| WeightError::Format { tensor: part.tensor.clone(), source };
        let (end, rows_at_once) = (part.first_row + part.rows, (BLOCK / cols.max(1)).max(1));
        for first in (part.first_row..end).step_by(rows_at_once) {
            let rows = first..(first + rows_at_once).min(end);
            let count = rows.len();
            let request = MatrixRequest { tensor: &part.tensor, rows, cols, format: WeightFormat::F32 };
            let mut weights = vec![0.0; count * cols];
            source.matrix(&request)?.dequantize_rows(0..count, &mut weights).map_err(failed)?;
            self.add(count, cols, weights).map_err(failed)?;
        }
        Ok(())
    }

    /// Adds weights, which are divided by their standard deviation first.
    fn add(&mut self, rows: usize, cols: usize, mut weights: Vec<f32>) -> Result<(), FormatError> {
        let square = |weight: &f32| f64::from(*weight) * f64::from(*weight);
        let deviation = (weights.iter().map(square).sum::<f64>() / weights.len().max(1) as f64).sqrt();
        if deviation == 0.0 {
            return Ok(()); // nothing but zeros, which no quantiser changes
        }
        weights.iter_mut().for_each(|weight| *weight = (f64::from(*weight) / deviation) as f32);
        self.count += weights.len();
        self.fourth += weights.iter().map(square).map(|square| square * square).sum::<f64>();
        for (format, errors) in &mut self.quantizers {
            let decoded = match format {
                None => linear(cols, &weights),
                Some(format) => {
                    let packed = PackedMatrix::quantize(*format, rows, cols, &weights)?;
                    let mut decoded = vec![0.0; weights.len()];
                    packed.dequantize_rows(0..rows, &mut decoded)?;
                    decoded
                }
            };
            errors.add(cols, &weights, &decoded, matches!(format, None | Some(WeightFormat::Nf4)));
        }
        Ok(())
    }

    fn result(self, weights: String) -> Codebooks {
        let count = self.count.max(1) as f64;
        let error = |(format, errors): (Option<WeightFormat>, Errors)| QuantizingError {
            format: format.map_or("linear 4-bit, symmetric", WeightFormat::name).to_owned(),
            bits_per_weight: format.map_or(4.0 + 16.0 / GROUP as f64, WeightFormat::bits_per_weight),
            rms: (errors.squares / count).sqrt(),
            largest: errors.largest,
            evenness: errors.evenness(),
        };
        let errors = self.quantizers.into_iter().map(error).collect();
        Codebooks { weights, count: self.count, kurtosis: self.fourth / count, errors }
    }
}

/// The groups of each row.
fn groups(cols: usize, weights: &[f32]) -> impl Iterator<Item = &[f32]> {
    weights.chunks(cols.max(1)).flat_map(|row| row.chunks(GROUP))
}

fn largest_of(group: &[f32]) -> f32 {
    group.iter().fold(0.0, |max, w| w.abs().max(max))
}

/// Fifteen even levels from the largest magnitude of a group to its opposite.
fn linear(cols: usize, weights: &[f32]) -> Vec<f32> {
    let decode = |group: &[f32]| {
        let scale = largest_of(group) / 7.0;
        let level = |w: &f32| if scale == 0.0 { 0.0 } else { (w / scale).round_ties_even() * scale };
        group.iter().map(level).collect::<Vec<_>>()
    };
    groups(cols, weights).flat_map(decode).collect()
}

impl Errors {
    fn add(&mut self, cols: usize, weights: &[f32], decoded: &[f32], levels: bool) {
        for error in weights.iter().zip(decoded).map(|(w, d)| f64::from(w - d)) {
            self.squares += error * error;
            self.largest = self.largest.max(error.abs());
        }
        if !levels {
            return;
        }
        // Levels are the same share of the largest weight in every group.
        for group in groups(cols, decoded) {
            let largest = largest_of(group);
            for weight in group.iter().filter(|_| largest > 0.0) {
                // They are a twentieth apart at least.
                let level = (weight / largest * 1000.0).round() as i32;
                *self.levels.entry(level).or_insert(0) += 1;
            }
        }
    }

    fn evenness(&self) -> Option<f64> {
        let total = self.levels.values().sum::<usize>() as f64;
        let shares = self.levels.values().map(|count| *count as f64 / total);
        let entropy = shares.map(|p| -p * p.log2()).sum::<f64>();
        (total > 0.0).then_some(entropy / 4.0)
    }
}

impl Codebooks {
    /// The findings as a table.
    pub fn table(&self) -> Table {
        let header = [
            "format",
            "bits/weight",
            "RMS error, σ",
            "largest error, σ",
            "signal to noise, dB",
            "evenness of levels",
        ];
        let title = format!(
            "Quantising {} ({} numbers, kurtosis {:.2}; 3 is normal)",
            self.weights, self.count, self.kurtosis
        );
        let mut table = Table::new(title, &header);
        for one in &self.errors {
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
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ingle_backends::format::Int8Group;

    use super::*;

    const FORMATS: [WeightFormat; 3] =
        [WeightFormat::Nf4, WeightFormat::Int8(Int8Group::G64), WeightFormat::F32];

    #[test]
    fn levels_where_the_weights_are_are_nearer_to_them() {
        let found = on_normal_weights(&FORMATS).unwrap();
        let [linear, nf4, int8, f32] = &found.errors[..] else { panic!("{found:?}") };
        assert!(nf4.rms < 0.95 * linear.rms, "{found:?}");
        assert!(nf4.evenness > linear.evenness, "{found:?}");
        // 127 levels to a side instead of 7: errors are 18 times smaller.
        assert!((linear.rms / int8.rms / (127.0 / 7.0) - 1.0).abs() < 0.03, "{found:?}");
        assert!(f32.rms == 0.0 && f32.largest == 0.0);
        // The standard error of a kurtosis of n normal numbers is √(24/n), and five of them are never seen.
        assert!((found.kurtosis - 3.0).abs() < 5.0 * (24.0 / found.count as f64).sqrt(), "{found:?}");
        assert_eq!(found.table().rows.len(), 4);
    }

    #[test]
    fn a_models_own_weights_are_all_looked_at() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/guide/tiny");
        let model = Model::open_without_text(&tiny).unwrap();
        let found = on_weights_of(&model, &FORMATS).unwrap();
        let in_layers = |name: &str| name.contains(".layers.") && name.contains("proj");
        let tensors = model.checkpoint.tensors().filter(|(name, _)| in_layers(name));
        assert_eq!(found.count, tensors.map(|(_, info)| info.elements()).sum::<usize>());
        let [linear, nf4, _, f32] = &found.errors[..] else { panic!("{found:?}") };
        assert!(nf4.rms < linear.rms && f32.rms == 0.0, "{found:?}");
    }
}
