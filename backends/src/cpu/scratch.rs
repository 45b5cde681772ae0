//! The memory that operators need beside their values: counted before anything is allocated, and reserved when a plan
//! is prepared, so that steps find it there.
//!
//! Some of it a runner has once, and some each thread keeps for the tasks that it is given. A backend's runners share its
//! threads, so a thread holds what the most demanding of them needs; each runner counts its own need in full.

use rayon::ThreadPool;

use super::attention::{AttentionScratch, AttentionSizes};
use super::linear::LinearSizes;
use super::moe::{ExpertScratch, ExpertSizes};
use super::rope::Rotation;
use super::sample::Sampler;
use super::share::reserve_scratch;
use super::simd::lines;
use super::values::{Buffer, grow, make_room};
use super::{Isa, LinearScratch};
use crate::CacheOptions;
use crate::format::FormatError;
use crate::plan::{BatchLimits, ExpertLinear, Footprint, Linear, Op, Operand, Plan};

/// Memory that operators keep from one step to the next.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) linear: LinearScratch,
    pub(super) attention: AttentionScratch,
    pub(super) experts: ExpertScratch,
    pub(super) router: Vec<f32>,
    pub(super) sampler: Sampler,
    /// A product on its way to a residual.
    pub(super) product: Buffer,
    /// For each row of the step, the cache page of its position and its place there.
    pub(super) places: Vec<(usize, usize)>,
}

impl Scratch {
    /// Memory for the largest step.
    pub(super) fn new(sizes: &ScratchSizes) -> Result<Self, FormatError> {
        let mut scratch = Self::default();
        scratch.linear.reserve(&sizes.linear)?;
        scratch.attention.reserve(&sizes.attention)?;
        scratch.experts.reserve(&sizes.experts)?;
        make_room(&mut scratch.router, sizes.router)?;
        scratch.sampler.reserve(sizes.vocabulary)?;
        grow(&mut scratch.product, lines(sizes.product))?;
        make_room(&mut scratch.places, sizes.places)?;
        Ok(scratch)
    }
}

/// How much of everything the largest step of a plan needs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ScratchSizes {
    linear: LinearSizes,
    attention: AttentionSizes,
    experts: ExpertSizes,
    /// Experts that a router scores.
    router: usize,
    vocabulary: usize,
    /// Floats of a product on its way to a residual.
    product: usize,
    places: usize,
    /// Floats of a row, or two, that a task takes apart.
    row: usize,
    /// Bytes of the angles of rotations.
    angles: u64,
}

impl ScratchSizes {
    pub(super) fn of(
        plan: &Plan,
        cache: &CacheOptions,
        limits: &BatchLimits,
        isa: Isa,
        threads: usize,
    ) -> Self {
        let mut sizes = Self { angles: Rotation::bytes(plan, limits.rows), ..Self::default() };
        for node in &plan.nodes {
            match &node.op {
                Op::Linear(o) => sizes.cover_linear(plan, limits, isa, o),
                Op::ExpertLinear(o) => sizes.cover_experts(plan, limits, isa, o),
                Op::Attention(o) => {
                    let layout = plan.caches[o.cache.index()].layout(cache);
                    sizes.attention.cover(o, &layout, limits, threads);
                }
                Op::StoreKv(o) => {
                    sizes.places = limits.rows;
                    sizes.cover_row(o.key.width);
                }
                Op::Norm(o) => sizes.cover_row(o.input.width.saturating_mul(2)),
                Op::Gated(o) => sizes.cover_row(o.gate.width),
                Op::Route(o) => sizes.router = sizes.router.max(o.logits.width),
                Op::Sample(o) => sizes.vocabulary = sizes.vocabulary.max(o.logits.width),
                _ => {}
            }
        }
        sizes
    }

    fn cover_row(&mut self, floats: usize) {
        self.row = self.row.max(floats);
    }

    #[allow(clippy::float_cmp, reason = "off is this very number")]
    fn cover_linear(&mut self, plan: &Plan, limits: &BatchLimits, isa: Isa, op: &Linear) {
        let matrix = &plan.matrices[op.matrix.index()];
        let rows = slot_rows(plan, limits, op.input);
        self.linear.cover(isa, matrix.format, matrix.cols, rows);
        if op.factor != 1.0 && op.residual.is_some() {
            self.product = self.product.max(rows.saturating_mul(matrix.rows));
        }
    }

    fn cover_experts(&mut self, plan: &Plan, limits: &BatchLimits, isa: Isa, op: &ExpertLinear) {
        let matrix = &plan.matrices[op.matrix.index()];
        let rows = slot_rows(plan, limits, op.chosen);
        let slots = rows.saturating_mul(op.chosen.width);
        // A row's experts are all different, so no expert has more rows than there are.
        self.linear.cover(isa, matrix.format, matrix.cols, rows);
        let products = rows.saturating_mul(matrix.rows / op.experts);
        self.experts.cover(ExpertSizes { experts: op.experts, slots, products });
    }

    /// Bytes that a runner takes with so many threads.
    pub(super) fn bytes(&self, threads: usize) -> u64 {
        let count = |entries: usize, bytes: usize| (entries as u64).saturating_mul(bytes as u64);
        let of_thread = self.linear.thread_bytes().saturating_add(self.attention.thread_bytes());
        let of_thread = of_thread.saturating_add(count(self.row, size_of::<f32>()));
        let parts = [
            self.linear.bytes(),
            self.attention.bytes(),
            self.experts.bytes(),
            Sampler::bytes(self.vocabulary),
            count(self.router, size_of::<f32>()),
            count(self.product, size_of::<f32>()),
            count(self.places, size_of::<(usize, usize)>()),
            self.angles,
            of_thread.saturating_mul(threads as u64),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Lets each thread of a pool have what it will keep.
    pub(super) fn reserve_on_threads(&self, pool: &ThreadPool) -> Result<(), FormatError> {
        let reserved = pool.broadcast(|_| {
            self.linear.reserve_on_thread()?;
            self.attention.reserve_on_thread()?;
            reserve_scratch(self.row)
        });
        reserved.into_iter().collect()
    }
}

/// Rows of an operand in the largest step, its slots counted as rows.
fn slot_rows(plan: &Plan, limits: &BatchLimits, operand: Operand) -> usize {
    let shape = plan.shape(operand);
    limits.rows_of(shape.rows).saturating_mul(shape.slots)
}

/// What a runner holds: what every backend does, and the operators' own memory.
pub(super) fn footprint(
    plan: &Plan,
    cache: &CacheOptions,
    limits: &BatchLimits,
    scratch: &ScratchSizes,
    threads: usize,
) -> Footprint {
    let planned = plan.footprint(cache, limits);
    Footprint { activations: planned.activations.saturating_add(scratch.bytes(threads)), ..planned }
}
