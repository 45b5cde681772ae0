//! Trying shapes: a plan of nothing but products, each with a shape of its own, whose nodes the device's clock times.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::gpu::Gpu;
use super::super::ops::{MatvecShape, SHAPES};
use super::super::prepare::Room;
use super::super::runner::WgpuRunner;
use super::super::weights::{DeviceMatrix, DeviceWeights};
use super::{Class, Shapes, WORTH_IT};
use crate::conformance::Random;
use crate::format::CacheFormat;
use crate::plan::{BatchLimits, Op, PlanBuilder};
use crate::{
    BackendError, Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, Progress, ProgressFn, Runner,
    SequenceStep, Tokens,
};

/// Bytes of different matrices that are read before one is read again: beyond what caches hold.
const SWEEP: u64 = 160 << 20;
/// Bytes that a step may read: it is one submission, which a slow device must end before its driver calls it hung.
const STEP: u64 = 1 << 30;
/// Steps after the first: at least the one number, and more up to the other while there is time.
const LEAST_STEPS: usize = 2;
const MOST_STEPS: usize = 6;
const PATIENCE: Duration = Duration::from_millis(60);
/// Standard deviations of a sum's error, times two kernels, times how much more a row may weigh than the average one.
const SLACK: f64 = 6.0 * 2.0 * 16.0;

/// Measures products with one number of rows of activations.
pub(super) struct Trial<'a> {
    pub(super) gpu: &'a Gpu,
    pub(super) at_once: u32,
    /// What progress is told of.
    pub(super) total_bytes: u64,
}

/// A product in a plan that is measured.
#[derive(Clone, Copy)]
struct Product<'c> {
    class: &'c Class,
    copy: usize,
    shape: MatvecShape,
    tapped: bool,
}

/// A plan of products that is ready to be stepped.
struct Bench {
    runner: WgpuRunner,
    batch: Batch,
    /// The nodes before the first product.
    inputs: usize,
}

/// What was seen of one shape beside the usual one.
struct Seen {
    /// Its time as a share of the usual one's.
    share: f64,
    /// Whether it gave the same results; true where that was not looked at.
    same: bool,
}

impl Trial<'_> {
    /// For each class the shape to be used in place of the usual one, if there is one that is faster.
    pub(super) fn run(
        &self,
        classes: &[&Class],
        progress: &mut ProgressFn<'_>,
    ) -> Result<Vec<Option<MatvecShape>>, BackendError> {
        let most = self.gpu.capabilities.invocations;
        let shapes: Vec<MatvecShape> =
            SHAPES.iter().copied().filter(|shape| shape.lanes * shape.teams <= most).collect();
        let others = |class: &Class| {
            let suits =
                |shape: &MatvecShape| shape.suits(class.format, self.at_once) && *shape != self.usual(class);
            shapes.iter().copied().filter(suits).collect::<Vec<_>>()
        };
        let candidates: Vec<Vec<MatvecShape>> = classes.iter().map(|class| others(class)).collect();
        let seen = self.compare(classes, &candidates, false, progress)?;
        let best = |(seen, candidates): (&Vec<Seen>, &Vec<MatvecShape>)| {
            let best = seen.iter().zip(candidates).min_by(|a, b| a.0.share.total_cmp(&b.0.share));
            best.filter(|(seen, _)| seen.share < WORTH_IT).map(|(_, shape)| vec![*shape]).unwrap_or_default()
        };
        // What seemed faster has to be so again, and to be right.
        let winners: Vec<Vec<MatvecShape>> = seen.iter().zip(&candidates).map(best).collect();
        let again = self.compare(classes, &winners, true, progress)?;
        let confirmed = |(seen, winners): (&Vec<Seen>, &Vec<MatvecShape>)| {
            let seen = seen.first().filter(|seen| seen.share < WORTH_IT && seen.same);
            seen.and_then(|_| winners.first().copied())
        };
        Ok(again.iter().zip(&winners).map(confirmed).collect())
    }

    fn usual(&self, class: &Class) -> MatvecShape {
        MatvecShape::usual(&self.gpu.capabilities, class.format, self.at_once, class.rows)
    }

    /// Measures candidates, each beside the usual shape, with as many at a time as a step may read.
    fn compare(
        &self,
        classes: &[&Class],
        candidates: &[Vec<MatvecShape>],
        check: bool,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Vec<Vec<Seen>>, BackendError> {
        let copies = copies(classes);
        let sweep: u64 =
            classes.iter().zip(&copies).map(|(class, copies)| class.bytes * *copies as u64).sum();
        let together = (STEP / sweep.max(1)).saturating_sub(1).clamp(1, SHAPES.len() as u64) as usize;
        let most = candidates.iter().map(Vec::len).max().unwrap_or(0);
        let mut seen: Vec<Vec<Seen>> = classes.iter().map(|_| vec![]).collect();
        for first in (0..most).step_by(together) {
            let some =
                |all: &Vec<MatvecShape>| all.iter().skip(first).take(together).copied().collect::<Vec<_>>();
            let some: Vec<Vec<MatvecShape>> = candidates.iter().map(some).collect();
            let mut products: Vec<Vec<Product<'_>>> = vec![];
            // The usual shape first, then one candidate after another, each through all matrices.
            for place in 0..=together {
                for (index, class) in classes.iter().enumerate() {
                    let shape = match place.checked_sub(1) {
                        None => Some(self.usual(class)).filter(|_| !some[index].is_empty()),
                        Some(place) => some[index].get(place).copied(),
                    };
                    let product = |(copy, shape)| Product { class, copy, shape, tapped: check && copy == 0 };
                    products.push(
                        shape
                            .into_iter()
                            .flat_map(|shape| (0..copies[index]).map(move |copy| (copy, shape)))
                            .map(product)
                            .collect(),
                    );
                }
            }
            let (seconds, results) = self.measure(&products, progress)?;
            for (index, class) in classes.iter().enumerate() {
                for place in 1..=some[index].len() {
                    let (usual, own) = (index, place * classes.len() + index);
                    let same = !check || same(&results[usual], &results[own], class.cols);
                    let share = seconds[own] / seconds[usual];
                    // A clock that stood still tells nothing.
                    let share = if share > 0.0 { share } else { f64::INFINITY };
                    seen[index].push(Seen { share, same });
                }
            }
        }
        Ok(seen)
    }

    /// The mean seconds of each group of products, and what the tapped one of it gave.
    fn measure(
        &self,
        groups: &[Vec<Product<'_>>],
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Vec<f64>, Vec<Vec<f32>>), BackendError> {
        let all: Vec<Product<'_>> = groups.iter().flatten().copied().collect();
        if all.is_empty() {
            return Ok((vec![f64::NAN; groups.len()], vec![vec![]; groups.len()]));
        }
        let mut bench = self.bench(&all, progress)?;
        bench.runner.set_profiling(true);
        // The first step is slower: kernels arrive on the device.
        let output = bench.runner.step(&bench.batch)?;
        let mut taps = output.taps.into_iter().map(|tap| tap.data);
        let results = groups.iter().map(|group| {
            let tapped = group.iter().any(|product| product.tapped);
            if tapped { taps.next().unwrap_or_default() } else { vec![] }
        });
        let results: Vec<Vec<f32>> = results.collect();
        let mut best = vec![f64::INFINITY; all.len()];
        let begun = Instant::now();
        for step in 0..MOST_STEPS {
            if step >= LEAST_STEPS && begun.elapsed() > PATIENCE {
                break;
            }
            self.tell(progress)?;
            bench.runner.step(&bench.batch)?;
            let Some(profile) = bench.runner.profile() else {
                return Ok((self.by_the_wall(groups, progress)?, results));
            };
            for (best, seconds) in best.iter_mut().zip(profile.seconds.iter().skip(bench.inputs)) {
                *best = best.min(*seconds);
            }
        }
        let mut best = best.into_iter();
        let mean =
            |group: &Vec<Product<'_>>| best.by_ref().take(group.len()).sum::<f64>() / group.len() as f64;
        Ok((groups.iter().map(mean).collect(), results))
    }

    /// The same on a device without a clock: whole steps of one group each.
    fn by_the_wall(
        &self,
        groups: &[Vec<Product<'_>>],
        progress: &mut ProgressFn<'_>,
    ) -> Result<Vec<f64>, BackendError> {
        let mut seconds = vec![];
        for group in groups {
            if group.is_empty() {
                seconds.push(f64::NAN);
                continue;
            }
            let quiet: Vec<Product<'_>> =
                group.iter().map(|product| Product { tapped: false, ..*product }).collect();
            let mut bench = self.bench(&quiet, progress)?;
            let mut best = f64::INFINITY;
            for step in 0..=LEAST_STEPS {
                self.tell(progress)?;
                let begun = Instant::now();
                bench.runner.step(&bench.batch)?;
                if step > 0 {
                    best = best.min(begun.elapsed().as_secs_f64() / group.len() as f64);
                }
            }
            seconds.push(best);
        }
        Ok(seconds)
    }

    fn tell(&self, progress: &mut ProgressFn<'_>) -> Result<(), BackendError> {
        let doing = format!("tuning kernels, products of {} rows", self.at_once);
        let total_bytes = self.total_bytes;
        match progress(&Progress { doing: &doing, done_bytes: total_bytes, total_bytes }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackendError::Cancelled),
        }
    }

    /// Makes a plan of products, and a runner with the shapes that they ask for.
    fn bench(&self, products: &[Product<'_>], progress: &mut ProgressFn<'_>) -> Result<Bench, BackendError> {
        let mut plan = PlanBuilder::new();
        let mut inputs = vec![];
        for cols in products.iter().map(|product| product.class.cols) {
            if !inputs.iter().any(|(known, _)| *known == cols) {
                inputs.push((cols, plan.input(&format!("x{cols}"), cols as usize)));
            }
        }
        let mut matrices: Vec<DeviceMatrix> = vec![];
        for (index, product) in products.iter().enumerate() {
            let Class { rows, cols, format, matrices: copies, .. } = product.class;
            let matrix = plan.matrix(format!("w{index}"), *rows as usize, *cols as usize, *format);
            matrices.push(copies[product.copy].clone());
            for (_, x) in inputs.iter().filter(|(known, _)| known == cols) {
                let y = plan.linear(*x, matrix);
                if product.tapped {
                    plan.tap(y);
                }
            }
        }
        let plan = Arc::new(plan.finish()?);
        let mut shapes = products.iter().map(|product| product.shape);
        let of_node = |node: &crate::plan::Node| match &node.op {
            Op::Linear(_) => shapes.next(),
            _ => None,
        };
        let shapes = Shapes::Trial(plan.nodes.iter().map(of_node).collect());
        let rows = self.at_once as usize;
        let mut random = Random::named("tuning");
        let numbers = |(value, cols): (crate::plan::ValueId, u32)| InputRows {
            value,
            data: (0..rows * cols as usize).map(|_| random.symmetric(1.0) as f32).collect(),
        };
        let input_rows = plan.inputs().zip(inputs.iter().map(|(cols, _)| *cols)).map(numbers).collect();
        let sequence = SequenceStep {
            tokens: Tokens::Ids(vec![0; rows]),
            start: 0,
            pages: vec![],
            logits: LogitRows::None,
            sample: None,
        };
        let options = PrepareOptions {
            cache: CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 1 },
            limits: BatchLimits { rows, selected: 1, sequences: 1 },
            tier: None,
        };
        let room = Room::new(self.gpu, plan, options)?;
        let weights = DeviceWeights { matrices, vectors: vec![] };
        let runner = room.runner(weights, &shapes, &mut |_, _| self.tell(progress))?;
        Ok(Bench {
            runner,
            batch: Batch { sequences: vec![sequence], inputs: input_rows },
            inputs: inputs.len(),
        })
    }
}

/// How many matrices of each class are read in turn: all of them, or as many as caches cannot hold.
fn copies(classes: &[&Class]) -> Vec<usize> {
    let mut copies = vec![1; classes.len()];
    let mut bytes: u64 = classes.iter().map(|class| class.bytes).sum();
    loop {
        let before = bytes;
        for (class, copies) in classes.iter().zip(&mut copies) {
            if *copies < class.matrices.len() && bytes < SWEEP {
                *copies += 1;
                bytes += class.bytes;
            }
        }
        if bytes == before {
            return copies;
        }
    }
}

/// Whether two kernels give the same sums of `cols` products, but for the order of additions.
///
/// With activations of any sign the partial sums of a row are about as large as its result, so that each of the roundings
/// is a unit roundoff of that, and together they deviate by the square root of their number.
fn same(a: &[f32], b: &[f32], cols: u32) -> bool {
    let squares: f64 = a.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let size = (squares / a.len().max(1) as f64).sqrt();
    let unit = f64::from(f32::EPSILON) / 2.0;
    let tolerance = SLACK * f64::from(cols).sqrt() * unit * size;
    a.len() == b.len()
        && !a.is_empty()
        && a.iter().zip(b).all(|(a, b)| (f64::from(*a) - f64::from(*b)).abs() <= tolerance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_the_same_but_for_rounding() {
        let mut random = Random::named("sums");
        let y: Vec<f32> = (0..500).map(|_| random.symmetric(3.0) as f32).collect();
        assert!(same(&y, &y, 4096));
        let rounded: Vec<f32> = y.iter().map(|y| y * (1.0 + 4.0 * f32::EPSILON)).collect();
        assert!(same(&y, &rounded, 4096));
        let mut wrong = y.clone();
        // The share of a row's result that its last eight columns of 4096 have.
        wrong[499] += 1.7 * (8.0_f32 / 4096.0).sqrt();
        assert!(!same(&y, &wrong, 4096));
        wrong[499] = f32::NAN;
        assert!(!same(&y, &wrong, 4096) && !same(&wrong, &y, 4096) && !same(&y, &y[1..], 4096));
        assert!(!same(&[], &[], 64));
    }
}
