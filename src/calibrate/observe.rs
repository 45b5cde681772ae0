//! How large activations get while a text is read, and how large the weights are that read them.

use std::sync::Arc;

use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{BatchLimits, MatrixPart, Plan};
use ingle_backends::{
    CacheOptions, LogitRows, MatrixRequest, PrepareOptions, Runner, StepOutput, WeightError, WeightSource,
};

use super::folds::Site;
use super::{CalibrateError, stored_plan};
use crate::Device;
use crate::fit::cache_for;
use crate::measure::quality::Passage;
use crate::measure::{MeasureError, Stage, Watcher};
use crate::model::{LoadError, Model};
use crate::score::steps_of;

/// Rows of a step at most.
const ROWS: usize = 512;

/// Bytes of activations that a step hands out at most.
const STEP_BYTES: u64 = 64 << 20;

/// Weights that are held as f32 at a time.
const WIDENED: usize = 1 << 20;

/// A plan that is ready to read windows of a text.
pub(super) struct Prepared {
    runner: Box<dyn Runner>,
    cache: CacheOptions,
    rows: usize,
}

impl Prepared {
    pub(super) fn new(
        device: &Device,
        plan: Plan,
        source: &dyn WeightSource,
        limits: BatchLimits,
        passage: &Passage,
        watcher: &mut Watcher<'_, '_>,
    ) -> Result<Self, MeasureError> {
        let cache = cache_for(passage.windows.len, CacheFormat::F16);
        let mut options = PrepareOptions { cache, limits, tier: None };
        let (plan, rows) = (Arc::new(plan), limits.rows);
        let (runner, _) = watcher.loading(|progress| device.prepare(plan, source, &mut options, progress))?;
        Ok(Self { runner, cache, rows })
    }

    /// Reads all windows of a passage, and hands out what each step gave.
    pub(super) fn read<E: From<MeasureError>>(
        &mut self,
        passage: &Passage,
        logits: LogitRows,
        watcher: &mut Watcher<'_, '_>,
        mut each: impl FnMut(StepOutput) -> Result<(), E>,
    ) -> Result<(), E> {
        watcher.stage(Stage::Scoring, passage.tokens.len())?;
        for window in passage.windows.of(&passage.tokens) {
            let tokens: Vec<u32> = passage.windows.begin.iter().chain(window).copied().collect();
            // The failure of whoever looks at a step goes around the runner's own.
            let mut failure = None;
            let read = steps_of(self.runner.as_mut(), self.cache, self.rows, &tokens, logits, |_, output| {
                if let Err(error) = each(output) {
                    failure = Some(error);
                    return Err(MeasureError::Cancelled);
                }
                Ok::<_, MeasureError>(())
            });
            match (read, failure) {
                (_, Some(failure)) => return Err(failure),
                (read, None) => read?,
            }
            watcher.beat(window.len())?;
        }
        Ok(())
    }
}

/// For each site the largest magnitude of each channel, over all rows and slots of a text.
pub(super) fn observe(
    model: &Model,
    device: &Device,
    sites: &[Site],
    passage: &Passage,
    watcher: &mut Watcher<'_, '_>,
) -> Result<Vec<Vec<f32>>, CalibrateError> {
    let mut plan = stored_plan(model)?;
    plan.taps = sites.iter().map(|site| site.value).collect();
    let shape = |site: &Site| plan.values[site.value.index()].shape;
    let bytes: u64 = sites.iter().map(|site| shape(site).row_bytes()).sum();
    let rows = (STEP_BYTES / bytes.max(1)).clamp(1, ROWS as u64) as usize;
    let mut largest: Vec<Vec<f32>> = sites.iter().map(|site| vec![0.0; shape(site).width]).collect();
    let limits = BatchLimits { rows, selected: 1, sequences: 1 };
    let mut prepared = Prepared::new(device, plan, &*model.checkpoint, limits, passage, watcher)?;
    prepared.read(passage, LogitRows::None, watcher, |output| {
        for ((tap, largest), site) in output.taps.iter().zip(&mut largest).zip(sites) {
            if !tap.data.iter().all(|x| x.is_finite()) {
                return Err(CalibrateError::NotFinite(site.name.clone()));
            }
            raise(largest, &tap.data);
        }
        Ok(())
    })?;
    Ok(largest)
}

/// Raises each channel's largest magnitude to those of rows.
fn raise(largest: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(largest.len().max(1)) {
        for (largest, x) in largest.iter_mut().zip(row) {
            *largest = largest.max(x.abs());
        }
    }
}

/// For each site the largest magnitude of the weights that read each channel.
pub(super) fn weight_maxima(model: &Model, plan: &Plan, sites: &[Site]) -> Result<Vec<Vec<f32>>, LoadError> {
    let mut maxima = vec![];
    for site in sites {
        let mut largest = vec![0.0; plan.values[site.value.index()].shape.width];
        for part in site.readers.iter().flat_map(|matrix| &plan.matrices[matrix.index()].parts) {
            raise_by_weights(model, part, &mut largest)?;
        }
        maxima.push(largest);
    }
    Ok(maxima)
}

fn raise_by_weights(model: &Model, part: &MatrixPart, largest: &mut [f32]) -> Result<(), LoadError> {
    let cols = largest.len();
    let (end, rows_at_once) = (part.first_row + part.rows, (WIDENED / cols.max(1)).max(1));
    let failed = |source| LoadError::Weights { folder: model.folder.clone(), source };
    for first in (part.first_row..end).step_by(rows_at_once) {
        let piece = first..(first + rows_at_once).min(end);
        let count = piece.len();
        let request = MatrixRequest { tensor: &part.tensor, rows: piece, cols, format: WeightFormat::F32 };
        let matrix = model.checkpoint.matrix(&request).map_err(failed)?;
        let mut weights = vec![0.0; count * cols];
        matrix
            .dequantize_rows(0..count, &mut weights)
            .map_err(|source| failed(WeightError::Format { tensor: part.tensor.clone(), source }))?;
        raise(largest, &weights);
    }
    Ok(())
}
