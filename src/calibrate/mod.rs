//! Calibrating w8a8: from a text to weights that lose less.
//!
//! int8 activations have one scale for a whole row, so a few channels that are far larger than the others take the steps away from
//! all of them. Weights have a scale per row of their matrix and seldom such channels. So part of the size is moved from the one to
//! the other: a channel of activations is divided by `s = max|x|^α / max|w|^(1−α)`, and the weights that read it are multiplied by
//! it, after which the model computes what it did (`folds.rs` says where that is possible). `max|x|` is seen while a text is read.
//!
//! The same text tells how large activations get, so that they can have one scale for good ([`Activations::Static`]) instead of
//! one that is found for each row.
//!
//! The result is a [`Rescaling`], which [`Model::quantize_rescaled`](crate::model::Model::quantize_rescaled) writes, and formats
//! with the scales of activations; a folder that was written so is loaded like any other.

mod folds;
mod graph;
mod observe;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use ingle_backends::format::{ActivationScale, WeightFormat};
use ingle_backends::plan::{FusionSet, MatrixId, Plan};
use ingle_models::WeightFormats;
use ingle_models::arch::FormatException;
use ingle_models::checkpoint::Rescaling;
use thiserror::Error;

use crate::Device;
use crate::measure::quality::Passage;
use crate::measure::{MeasureError, Watch, Watcher};
use crate::model::{LoadError, Model, WeightChoice};
use folds::Site;
use observe::{observe, weight_maxima};

/// Fewer tokens do not show how large activations get.
pub const FEWEST_TOKENS: usize = 256;

/// The largest code of an activation.
const LARGEST_CODE: f32 = 127.0;

/// How much of the size of activations the weights take over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha {
    /// None.
    Off,
    /// This share, from 0 to 1, as the exponent of `max|x|`.
    Fixed(f64),
    /// The best of a few, by the divergence from the unquantised model on the last part of the text.
    Search,
}

impl FromStr for Alpha {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "search" => Ok(Self::Search),
            number => match number.parse() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self::Fixed(share)),
                _ => Err("it must be a number from 0 to 1, or off, or search".to_owned()),
            },
        }
    }
}

/// Where activations have their scale from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// Each row from its own largest number, while it is computed.
    Token,
    /// All rows from the largest number of the text.
    Static,
}

impl FromStr for Activations {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "token" => Ok(Self::Token),
            "static" => Ok(Self::Static),
            _ => Err("it must be token or static".to_owned()),
        }
    }
}

/// What is to be found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    pub alpha: Alpha,
    pub activations: Activations,
}

/// A share that was tried, none where nothing was moved, and the mean divergence with it.
pub type Trial = (Option<f64>, f64);

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibrated {
    pub rescaling: Rescaling,
    /// The formats that were asked for, with the scales of activations where these are static.
    pub formats: WeightFormats,
    /// What the weights took over; none where nothing was moved.
    pub alpha: Option<f64>,
    /// What was tried, with the mean divergence in nats; empty where nothing was searched.
    pub tried: Vec<Trial>,
    /// Tokens that activations were seen of.
    pub tokens: usize,
    /// One for each input of w8a8 projections.
    pub inputs: Vec<Input>,
}

/// Activations that w8a8 projections read.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The projections, such as `layers.0.q_proj, k_proj, v_proj`.
    pub name: String,
    /// How many times the median channel the largest one was, and is after what was moved.
    pub before: f64,
    pub after: f64,
    /// Why nothing can be moved here.
    pub hindrance: Option<String>,
    /// The scale of activations, where it is static.
    pub scale: Option<f32>,
}

/// Why a model could not be calibrated.
#[derive(Debug, Error)]
pub enum CalibrateError {
    #[error(
        "calibration is for activations in int8, and the weights are to be {0}: ask for w8a8, or leave the calibration text out"
    )]
    NotW8a8(WeightFormat),
    #[error(
        "{0} has the scale of activations in its name, and calibration finds one for each input: ask for w8a8"
    )]
    ScaleGiven(WeightFormat),
    #[error("{} is quantised already ({by}); weights are rounded once, so start from the original", folder.display())]
    Quantized { folder: PathBuf, by: String },
    #[error(
        "the calibration text has {tokens} tokens, and at least {needed} are needed: give a few pages of what the model will be used for"
    )]
    TooShort { tokens: usize, needed: usize },
    #[error(
        "the model's activations are not finite at {0} while it reads the calibration text: its weights, or the device, are broken"
    )]
    NotFinite(String),
    #[error(transparent)]
    Measure(Box<MeasureError>),
}

impl<E: Into<MeasureError>> From<E> for CalibrateError {
    fn from(error: E) -> Self {
        Self::Measure(Box::new(error.into()))
    }
}

/// Reads a text with a model, and finds how its w8a8 projections lose least.
pub fn calibrate(
    model: &Model,
    device: &Device,
    formats: &WeightFormats,
    passage: &Passage,
    options: &Options,
    watch: &mut Watch<'_>,
) -> Result<Calibrated, CalibrateError> {
    let plan = target_plan(model, formats)?;
    passage.check()?;
    let seen = split(passage, options.alpha)?;
    let mut watcher = Watcher::new(watch, 1 + search::CANDIDATES.len());
    let sites = folds::sites(&plan);
    let activations = observe(model, device, &sites, &seen.calibrate, &mut watcher)?;
    let maxima = weight_maxima(model, &plan, &sites)?;
    let found = Found { model, plan: &plan, formats, sites: &sites, activations, maxima };
    let choose = |alpha| found.candidate(alpha, options.activations);
    let (candidate, tried) = match options.alpha {
        Alpha::Off => (choose(None)?, vec![]),
        Alpha::Fixed(alpha) => (choose(Some(alpha))?, vec![]),
        Alpha::Search => search::best(model, device, &seen.probe, choose, &mut watcher)?,
    };
    Ok(Calibrated {
        rescaling: candidate.rescaling,
        formats: candidate.formats,
        alpha: candidate.alpha,
        tried,
        tokens: seen.calibrate.tokens.len(),
        inputs: candidate.inputs,
    })
}

/// The plan in the formats that are asked for, unless they make no sense here.
fn target_plan(model: &Model, formats: &WeightFormats) -> Result<Plan, CalibrateError> {
    if let Some(by) = model.checkpoint.quantization() {
        return Err(CalibrateError::Quantized { folder: model.folder.clone(), by: by.to_string() });
    }
    let plan = model.unfused(formats)?;
    let mut of_matrices = plan.matrices.iter().map(|matrix| matrix.format);
    let given = |format: &WeightFormat| matches!(format, WeightFormat::W8a8(ActivationScale::PerTensor(_)));
    if let Some(format) = of_matrices.clone().find(given) {
        return Err(CalibrateError::ScaleGiven(format));
    }
    if !of_matrices.any(is_w8a8) {
        return Err(CalibrateError::NotW8a8(formats.layers));
    }
    Ok(plan)
}

const fn is_w8a8(format: WeightFormat) -> bool {
    matches!(format, WeightFormat::W8a8(_))
}

/// A text, and what of it is kept for comparing.
struct Seen {
    calibrate: Passage,
    probe: Passage,
}

/// Keeps the last quarter for comparing, where something is compared.
fn split(passage: &Passage, alpha: Alpha) -> Result<Seen, CalibrateError> {
    let (tokens, searches) = (passage.tokens.len(), alpha == Alpha::Search);
    let needed = if searches { 2 * FEWEST_TOKENS } else { FEWEST_TOKENS };
    if tokens < needed {
        return Err(CalibrateError::TooShort { tokens, needed });
    }
    let kept = if searches { tokens / 4 } else { 0 };
    let (calibrate, probe) = passage.tokens.split_at(tokens - kept);
    let of = |tokens: &[u32]| Passage { tokens: tokens.to_vec(), windows: passage.windows };
    Ok(Seen { calibrate: of(calibrate), probe: of(probe) })
}

/// A way to quantise.
struct Candidate {
    alpha: Option<f64>,
    rescaling: Rescaling,
    formats: WeightFormats,
    inputs: Vec<Input>,
}

/// All that was seen of a model, from which any candidate follows.
struct Found<'a> {
    model: &'a Model,
    plan: &'a Plan,
    formats: &'a WeightFormats,
    sites: &'a [Site],
    /// For each site the largest magnitude of each channel.
    activations: Vec<Vec<f32>>,
    /// For each site the largest magnitude of the weights that read each channel.
    maxima: Vec<Vec<f32>>,
}

impl Found<'_> {
    fn candidate(&self, alpha: Option<f64>, activations: Activations) -> Result<Candidate, CalibrateError> {
        let mut rescaling = Rescaling::default();
        let mut inputs = vec![];
        let mut scales = BTreeMap::new();
        for (site, (seen, weights)) in self.sites.iter().zip(self.activations.iter().zip(&self.maxima)) {
            let mut after = seen.clone();
            if let (Some(alpha), Ok(_)) = (alpha, &site.fold) {
                let factors = folds::factors(alpha, &site.folded(seen), &site.folded(weights));
                site.apply(self.plan, &factors, &*self.model.checkpoint, &mut rescaling)
                    .map_err(|source| LoadError::Weights { folder: self.model.folder.clone(), source })?;
                for (x, factor) in after.iter_mut().zip(site.spread(&factors)) {
                    *x /= factor;
                }
            }
            let largest = after.iter().copied().fold(0.0, f32::max);
            let scale = largest / LARGEST_CODE;
            // Where nothing but zero was seen, each row has to say.
            let scale = (activations == Activations::Static && scale.is_normal()).then_some(scale);
            if let Some(scale) = scale {
                scales.extend(site.w8a8(self.plan).map(|matrix| (matrix, scale)));
            }
            let hindrance = site.fold.as_ref().err().cloned();
            let (before, after) = (largest_of_median(seen), largest_of_median(&after));
            inputs.push(Input { name: site.name.clone(), before, after, hindrance, scale });
        }
        Ok(Candidate { alpha, rescaling, formats: self.with_scales(&scales), inputs })
    }

    /// The formats that were asked for, with a scale for each of these matrices.
    fn with_scales(&self, scales: &BTreeMap<MatrixId, f32>) -> WeightFormats {
        let mut formats = self.formats.clone();
        let with_scale = |(matrix, scale): (&MatrixId, &f32)| {
            let format = WeightFormat::W8a8(ActivationScale::PerTensor(*scale));
            let parts = &self.plan.matrices[matrix.index()].parts;
            parts
                .iter()
                .map(|part| FormatException { pattern: part.tensor.clone(), format })
                .collect::<Vec<_>>()
        };
        let mut exceptions: Vec<_> = scales.iter().flat_map(with_scale).collect();
        // The parts of a fused tensor read the same input.
        exceptions.dedup_by(|a, b| a == b);
        formats.exceptions.splice(0..0, exceptions);
        formats
    }
}

/// How many times the median the largest is.
fn largest_of_median(channels: &[f32]) -> f64 {
    let mut sorted: Vec<f32> = channels.to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let largest = sorted.last().copied().unwrap_or_default();
    if median > 0.0 { f64::from(largest / median) } else { f64::NAN }
}

/// The model as it is stored, to be looked at while it computes.
fn stored_plan(model: &Model) -> Result<Plan, LoadError> {
    Ok(model.plan(WeightChoice::Stored, None, FusionSet::none())?.0)
}
