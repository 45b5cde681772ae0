//! What a format costs: how much worse a model knows a text in it, and how far its opinions are from those of a base.
//!
//! The text is read in windows as [`score`](crate::score) defines. The base, as a rule f16 on the CPU, reads it first, and all its
//! logits are kept in a file ([`Base`]), so that any number of contestants can be set beside it one after another, and again another
//! day. Divergences and probabilities are computed in f64.

mod base;
mod codebooks;
#[cfg(test)]
mod tests;

use std::time::Instant;

use ingle_backends::plan::{BatchLimits, FusionSet};
use serde::{Deserialize, Serialize};

pub use base::{Base, Passage};
pub use codebooks::{Codebooks, QuantizingError, on_normal_weights, on_weights_of};

use super::compare::Contestant;
use super::table::{number, percent};
use super::watch::Watcher;
use super::{Distribution, Machine, MeasureError, Stage, Table, Watch};
use crate::model::{LoadOptions, LoadedModel, Model, WeightChoice};
use crate::score::{Score, rows_per_step, told_by};

/// Rows of a step at most.
const ROWS: usize = 512;

/// The quality of a model in several formats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub model: String,
    /// What the base was, such as `cpu:0 f16`.
    pub base: String,
    pub base_perplexity: f64,
    pub tokens: usize,
    pub window: usize,
    pub entries: Vec<Entry>,
    pub cancelled: bool,
}

/// A contestant, and its quality or why it has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub label: String,
    pub device_name: String,
    pub tier: String,
    pub quality: Option<Quality>,
    pub failure: Option<String>,
}

/// What was found of a contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub tokens: usize,
    pub perplexity: f64,
    /// The standard error of the perplexity, if tokens were independent.
    pub perplexity_error: f64,
    /// Kullback–Leibler divergence from the base, in nats; and the standard error of its mean.
    pub mean_divergence: f64,
    pub divergence_error: f64,
    /// A hundredth of all tokens diverge by more.
    pub divergence_p99: f64,
    /// Share of places where both find the same token the most likely.
    pub same_top: f64,
    /// Root of the mean square of the difference in probability of the text's token.
    pub rms_probability_difference: f64,
    pub seconds: f64,
    pub weight_bytes: u64,
    pub bits_per_weight: f64,
    pub cache_bytes_per_token: u64,
}

/// Weights in a folder, on a device and in formats: what is set beside a base.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The base's own model, or the same one with its weights in another form.
    pub model: &'a Model,
    pub contestant: Contestant,
    /// What it is called.
    pub label: String,
}

impl<'a> Subject<'a> {
    /// The base's own model.
    pub fn of(model: &'a Model, contestant: Contestant) -> Self {
        Self { model, label: contestant.label(), contestant }
    }

    /// Weights in a folder of their own, as they are stored there; they are called by its name.
    pub fn stored(model: &'a Model, contestant: Contestant) -> Self {
        let contestant = Contestant { weights: WeightChoice::Stored, embedding: None, ..contestant };
        Self { model, label: contestant.label_as(&model.name()), contestant }
    }
}

/// Reads a passage with a contestant and keeps all logits as a base, in a file of this name or in one that goes with the base.
pub fn base_of(
    model: &Model,
    contestant: &Contestant,
    passage: &Passage,
    path: Option<&std::path::Path>,
    watch: &mut Watch<'_>,
) -> Result<Base, MeasureError> {
    let mut watcher = Watcher::new(watch, 1);
    passage.check()?;
    let mut loaded = load(model, contestant, passage, &mut watcher)?;
    let mut writer =
        base::Writer::create(path, &model.name(), &contestant.label(), passage, width(&loaded)?)?;
    read(&mut loaded, passage, &mut watcher, |_, logits| writer.row(logits))?;
    writer.finish()
}

/// Sets subjects beside a base. One that fails is told of, and does not end it.
pub fn quality(
    base: &mut Base,
    subjects: &[Subject<'_>],
    watch: &mut Watch<'_>,
    finished: &mut dyn FnMut(usize, &Entry),
) -> Result<Report, MeasureError> {
    let mut watcher = Watcher::new(watch, subjects.len());
    let mut report = Report {
        machine: Machine::here(),
        model: base.model().to_owned(),
        base: base.label().to_owned(),
        base_perplexity: f64::NAN,
        tokens: base.passage().scored(),
        window: base.passage().windows.len,
        entries: vec![],
        cancelled: false,
    };
    report.base_perplexity = base.perplexity()?;
    for (place, subject) in subjects.iter().enumerate() {
        watcher.subject(place);
        let mut entry = Entry {
            label: subject.label.clone(),
            device_name: subject.contestant.device.info.name.clone(),
            tier: String::new(),
            quality: None,
            failure: None,
        };
        match of(subject, base, &mut entry, &mut watcher) {
            Ok(quality) => entry.quality = Some(quality),
            Err(MeasureError::Cancelled) => {
                report.cancelled = true;
                break;
            }
            Err(error) => entry.failure = Some(error.to_string()),
        }
        finished(place, &entry);
        report.entries.push(entry);
    }
    Ok(report)
}

fn load(
    model: &Model,
    contestant: &Contestant,
    passage: &Passage,
    watcher: &mut Watcher<'_, '_>,
) -> Result<LoadedModel, MeasureError> {
    let plan = model.plan(contestant.weights, contestant.embedding, FusionSet::none())?.0;
    let vocabulary = crate::score::width(&plan).ok_or_else(no_logits)?;
    let rows = rows_per_step(vocabulary, ROWS);
    let options = LoadOptions {
        weights: contestant.weights,
        embedding: contestant.embedding,
        cache: contestant.cache,
        context: Some(passage.windows.len),
        tier: contestant.tier.clone(),
        fusion: if contestant.fusion { FusionSet::all() } else { FusionSet::none() },
        limits: BatchLimits { rows, selected: rows, sequences: 1 },
        ..LoadOptions::default()
    };
    Ok(watcher.loading(|progress| model.prepare(&contestant.device, &options, progress))?)
}

fn no_logits() -> MeasureError {
    MeasureError::Settings("the model gives no logits".to_owned())
}

fn width(loaded: &LoadedModel) -> Result<usize, MeasureError> {
    crate::score::width(loaded.plan()).ok_or_else(no_logits)
}

/// Reads all windows of a passage, and hands out every token that can be told, with the logits that tell it.
fn read(
    loaded: &mut LoadedModel,
    passage: &Passage,
    watcher: &mut Watcher<'_, '_>,
    mut each: impl FnMut(u32, &[f32]) -> Result<(), MeasureError>,
) -> Result<(), MeasureError> {
    watcher.stage(Stage::Scoring, passage.scored())?;
    let options = loaded.options();
    let (cache, rows) = (options.cache, options.limits.rows.min(options.limits.selected));
    for window in passage.windows.of(&passage.tokens) {
        told_by(loaded.runner.as_mut(), cache, rows, passage.windows.begin, window, |token, logits| {
            watcher.beat(1)?;
            each(token, logits)
        })?;
    }
    Ok(())
}

fn of(
    subject: &Subject<'_>,
    base: &mut Base,
    entry: &mut Entry,
    watcher: &mut Watcher<'_, '_>,
) -> Result<Quality, MeasureError> {
    let passage = base.passage().clone();
    let mut loaded = load(subject.model, &subject.contestant, &passage, watcher)?;
    entry.tier.clone_from(&loaded.kernels.tier);
    if width(&loaded)? != base.vocabulary() {
        let fault = format!(
            "the base has logits of {} tokens, and the model of {}",
            base.vocabulary(),
            width(&loaded)?
        );
        return Err(MeasureError::Settings(fault));
    }
    let mut sums = Sums::default();
    let mut rows = base.rows()?;
    // Only what the contestant takes counts as its time.
    let mut beside = std::time::Duration::ZERO;
    let start = Instant::now();
    read(&mut loaded, &passage, watcher, |token, logits| {
        let begun = Instant::now();
        sums.add(token, &Distribution::of(rows.next()?), &Distribution::of(logits));
        beside += begun.elapsed();
        Ok(())
    })?;
    let seconds = start.elapsed().saturating_sub(beside).as_secs_f64();
    let plan = loaded.plan();
    let weights: usize = plan.matrices.iter().map(|matrix| matrix.rows * matrix.cols).sum();
    let matrix_bytes: u64 = plan.matrices.iter().map(ingle_backends::plan::Matrix::bytes).sum();
    let cache = loaded.options().cache;
    let per_token = plan.caches.iter().map(|of_layer| of_layer.layout(&cache).bytes_per_token() as u64);
    Ok(sums.quality(Sizes {
        seconds,
        weight_bytes: loaded.footprint.weights,
        bits_per_weight: 8.0 * matrix_bytes as f64 / weights.max(1) as f64,
        cache_bytes_per_token: per_token.sum(),
    }))
}

/// What goes into a [`Quality`] beside the sums.
#[derive(Clone, Copy)]
struct Sizes {
    seconds: f64,
    weight_bytes: u64,
    bits_per_weight: f64,
    cache_bytes_per_token: u64,
}

/// What is added up over the tokens.
#[derive(Debug, Default)]
struct Sums {
    score: Score,
    divergences: Vec<f64>,
    same_top: usize,
    squares: f64,
}

impl Sums {
    fn add(&mut self, token: u32, base: &Distribution, own: &Distribution) {
        self.score.add(-own.log_probability(token));
        self.divergences.push(base.divergence_to(own));
        self.same_top += usize::from(base.best() == own.best());
        let difference = own.log_probability(token).exp() - base.log_probability(token).exp();
        self.squares += difference * difference;
    }

    fn quality(mut self, sizes: Sizes) -> Quality {
        let count = self.divergences.len();
        let mean = self.divergences.iter().sum::<f64>() / count as f64;
        let variance = self.divergences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / count as f64;
        self.divergences.sort_by(f64::total_cmp);
        let p99 = (count * 99).div_ceil(100).saturating_sub(1);
        Quality {
            tokens: count,
            perplexity: self.score.perplexity(),
            perplexity_error: self.score.standard_error(),
            mean_divergence: mean,
            divergence_error: (variance / count as f64).sqrt(),
            divergence_p99: self.divergences.get(p99).copied().unwrap_or(f64::NAN),
            same_top: self.same_top as f64 / count as f64,
            rms_probability_difference: (self.squares / count as f64).sqrt(),
            seconds: sizes.seconds,
            weight_bytes: sizes.weight_bytes,
            bits_per_weight: sizes.bits_per_weight,
            cache_bytes_per_token: sizes.cache_bytes_per_token,
        }
    }
}

impl Report {
    pub fn table(&self) -> Table {
        let header = [
            "contestant",
            "perplexity",
            "against the base",
            "mean divergence, nats",
            "p99",
            "same most likely token",
            "RMS Δp",
            "bits/weight",
            "weights, MB",
            "cache, bytes/token",
            "seconds",
        ];
        let title = format!(
            "{}: quality over {} tokens in windows of {}; the base, {}, has a perplexity of {:.4}",
            self.model, self.tokens, self.window, self.base, self.base_perplexity
        );
        let mut table = Table::new(title, &header);
        for entry in &self.entries {
            let mut row = vec![entry.label.clone()];
            match (&entry.quality, &entry.failure) {
                (Some(quality), _) => row.extend(self.cells(quality)),
                (None, failure) => {
                    row.push(format!("failed: {}", failure.as_deref().unwrap_or("for no reason given")));
                }
            }
            row.resize(header.len(), String::new());
            table.push(row);
        }
        table
    }

    fn cells(&self, quality: &Quality) -> Vec<String> {
        let change = quality.perplexity / self.base_perplexity - 1.0;
        vec![
            format!("{:.4} ± {}", quality.perplexity, number(quality.perplexity_error)),
            format!("{:+.3} %", 100.0 * change),
            format!("{} ± {}", number(quality.mean_divergence), number(quality.divergence_error)),
            number(quality.divergence_p99),
            format!("{:.2} %", 100.0 * quality.same_top),
            percent(Some(quality.rms_probability_difference)),
            format!("{:.2}", quality.bits_per_weight),
            number(quality.weight_bytes as f64 / 1e6),
            quality.cache_bytes_per_token.to_string(),
            number(quality.seconds),
        ]
    }

    pub fn markdown(&self) -> String {
        let stopped = if self.cancelled { "It was stopped before it was done.\n\n" } else { "" };
        format!("{}.\n\n{stopped}{}", self.machine.line(), self.table().markdown(2))
    }
}
