//! Which share of the size of activations the weights should take over: a few are tried.

use ingle_backends::plan::{BatchLimits, FusionSet, Plan};
use ingle_backends::{LogitRows, WeightSource};

use super::observe::Prepared;
use super::{CalibrateError, Candidate, Trial};
use crate::Device;
use crate::measure::quality::Passage;
use crate::measure::{Distribution, MeasureError, Watcher};
use crate::model::{Model, WeightChoice};
use crate::score::{rows_per_step, width};

/// What is tried. The divergence changes slowly between them.
pub(super) const CANDIDATES: [Option<f64>; 6] =
    [None, Some(0.35), Some(0.5), Some(0.65), Some(0.75), Some(0.85)];

/// Tokens that are compared at most.
const TOKENS: usize = 1024;

/// Bytes of logits that are kept at most.
const BYTES: usize = 256 << 20;

/// Rows of a step at most.
const ROWS: usize = 256;

/// The candidate whose opinions are nearest to those of the unquantised model, and how near each one's are.
pub(super) fn best(
    model: &Model,
    device: &Device,
    probe: &Passage,
    candidate: impl Fn(Option<f64>) -> Result<Candidate, CalibrateError>,
    watcher: &mut Watcher<'_, '_>,
) -> Result<(Candidate, Vec<Trial>), CalibrateError> {
    let plan = model.plan(WeightChoice::Stored, None, FusionSet::all())?.0;
    let Some(vocabulary) = width(&plan) else {
        return Err(MeasureError::Settings("the model gives no logits".to_owned()).into());
    };
    let count = TOKENS.min(BYTES / (size_of::<f32>() * vocabulary.max(1))).max(1);
    let tokens = probe.tokens.iter().copied().take(count).collect();
    let probe = Passage { tokens, windows: probe.windows };
    let mut base = vec![];
    read(device, plan, &*model.checkpoint, &probe, vocabulary, watcher, |logits| base.push(logits.to_vec()))?;
    let mut tried = vec![];
    let mut best: Option<(Candidate, f64)> = None;
    for (place, alpha) in CANDIDATES.into_iter().enumerate() {
        watcher.subject(1 + place);
        let candidate = candidate(alpha)?;
        let plan = model.unfused(&candidate.formats)?.fused(FusionSet::all())?;
        let source = candidate.rescaling.of(&*model.checkpoint);
        let (mut sum, mut rows) = (0.0, base.iter());
        read(device, plan, &source, &probe, vocabulary, watcher, |logits| {
            if let Some(base) = rows.next() {
                sum += Distribution::of(base).divergence_to(&Distribution::of(logits));
            }
        })?;
        let divergence = sum / base.len().max(1) as f64;
        tried.push((alpha, divergence));
        // What is not a number is no better than anything.
        if best.as_ref().is_none_or(|(_, least)| divergence < *least || least.is_nan()) {
            best = Some((candidate, divergence));
        }
    }
    match best {
        Some((_, least)) if !least.is_finite() => Err(CalibrateError::NotFinite("its logits".to_owned())),
        Some((candidate, _)) => Ok((candidate, tried)),
        None => Err(MeasureError::Settings("nothing was tried".to_owned()).into()),
    }
}

/// Reads a passage and hands out the logits of each of its positions.
fn read(
    device: &Device,
    plan: Plan,
    source: &dyn WeightSource,
    probe: &Passage,
    vocabulary: usize,
    watcher: &mut Watcher<'_, '_>,
    mut each: impl FnMut(&[f32]),
) -> Result<(), MeasureError> {
    let rows = rows_per_step(vocabulary, ROWS);
    let limits = BatchLimits { rows, selected: rows, sequences: 1 };
    let mut prepared = Prepared::new(device, plan, source, limits, probe, watcher)?;
    prepared.read(probe, LogitRows::All, watcher, |output| {
        let logits = output.logits.first().map(Vec::as_slice).unwrap_or_default();
        logits.chunks_exact(vocabulary.max(1)).for_each(&mut each);
        Ok(())
    })
}
