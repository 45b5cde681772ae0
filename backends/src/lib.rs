//! The contract between the engine and whatever carries out its plans.
//!
//! A [`Backend`] finds devices and *prepares* a [`Plan`] on one of them; the [`Runner`] it
//! returns *steps* the plan, batch after batch. Both are trait objects, because the user picks a backend
//! while the program runs. This page is the specification: what every backend guarantees, and what the
//! conformance tests ([`conformance`]) hold it to.
//!
//! # Life of a runner
//!
//! 1. [`Backend::devices`] lists what is there. It never fails: a driver that does not answer is a device
//!    that is not listed, with the reason in [`Backend::unavailable`].
//! 2. [`Backend::prepare`] takes a plan that [`plan::check`](plan::check::check) found sound, asks the
//!    [`WeightSource`] for each tensor once, a piece at a time, and reports [`Progress`]. The callback
//!    may answer [`ControlFlow::Break`](std::ops::ControlFlow); then `prepare` lets go of everything and returns
//!    [`BackendError::Cancelled`]. Memory is reserved here and nowhere else: after `prepare`, a step
//!    allocates nothing on the device. Of the host it asks for the tables of its batch and for its results, a few
//!    numbers for each row, sequence and page, and nothing that operators work in.
//! 3. [`Runner::submit`] starts a step and [`Runner::collect`] waits for its results. At most one more
//!    step may be submitted before the last is collected ([`STEPS_UNDER_WAY`]), and tickets are collected in order. That is how
//!    an engine *runs ahead*: the next step names its tokens as
//!    [`Tokens::Sampled`], the draws of a sequence in the step before, which nobody has read yet.
//!    A backend without a queue of its own does the work in `submit`, and [`Runner::queues`] tells the engine
//!    so: it runs ahead only where that gains something. A runner may be dropped with steps on their way.
//! 4. [`Runner::copy_pages`] copies cache pages (the engine's copy on write), ordered with the steps.
//! 5. Dropping a runner frees everything that it holds.
//!
//! Batches are checked before anything runs ([`Batch::check`]); an [`BatchError`] leaves the runner as it
//! was.
//!
//! # Layouts
//!
//! * Values are rows × slots × columns, columns fastest ([`plan::Shape`]).
//! * Weights are in the formats of [`mod@format`], columns fastest.
//! * The cache of a layer is pages of `page_tokens` tokens: keys and values apart, each in the order
//!   page, head, token, element ([`format::CacheLayout`]). A sequence's position p is in entry
//!   `p / page_tokens` of its page table. The engine owns the book-keeping; a backend only reads tables.
//!
//! # Aliasing
//!
//! Values whose lives do not overlap may share memory ([`plan::MemoryPlan`]); an operator's output may
//! take over the memory of an input that dies there only where [`plan::Op::in_place`] names it.
//! Two sequences of a batch may read the same page; a page that a step writes belongs to one sequence.
//!
//! # Precision
//!
//! * Operands of products are what the format says they are: weights decode to f32 exactly as
//!   [`mod@format`] defines (for `w8a8` so do activations, in the stated rounding). A backend may round
//!   the activations of f16, bf16 and weight-only products to f16 or bf16 where its matrix units need
//!   it, and says so in [`Numerics::operand_unit`]; so may it round their decoded weights, except those of f32
//!   matrices, and says so in [`Numerics::weight_unit`]. It never rounds them further. In attention, queries and shares are
//!   such activations, and what an int8 cache holds is such a weight. Where weights are integer codes, activations may
//!   enter as whole multiples of 2⁻²¹ of the largest of at most 16 neighbours, if their products with the codes are then
//!   added up exactly: adding up sixteen products in f32 loses about as much.
//! * Sums are accumulated in f32 or better, or exactly (int32). Results between operators are f32, or of
//!   the precision stated in [`Numerics::value_unit`].
//! * Angles of rotations are computed in f64 on the host.
//! * Infinities and NaN of a plan's values are passed on, not hidden; sampling from logits of which the
//!   largest is not finite is an error ([`BackendError::NotFinite`]).
//!
//! # Determinism
//!
//! The same plan, weights, options and batches on the same device give the same bits. The result of a
//! row may depend on how many rows share its step, since kernels differ by their regime of rows, but
//! never on timing. Sampling is seeded and counted ([`sampling`]), not stateful.
//!
//! # Errors
//!
//! No backend panics, exits the process, or returns garbage. What can go wrong is [`BackendError`]: each
//! names the device or tensor, what was wrong and what would work. After [`BackendError::DeviceLost`]
//! a runner refuses every call with the same error; the engine prepares a new one and goes on from the
//! tokens it knows. After any other error of `submit` or `collect` the runner is still usable, but cache pages written
//! by that step hold nothing to rely on.

pub mod batch;
pub mod conformance;
pub mod cpu;
pub mod cuda;
mod device;
mod error;
pub mod format;
mod gpu;
pub mod kept;
mod load;
mod pages;
pub mod plan;
mod revisions;
mod room;
pub mod sampling;
pub mod verdict;
mod weights;
pub mod wgpu;

use std::fmt;
use std::sync::Arc;

pub use batch::{Batch, BatchError, BatchLayout, InputRows, LogitRows, SequenceStep, Tokens};
pub use device::{DeviceId, DeviceInfo, DeviceKind, DeviceLimits, DeviceMemory, Numerics, Tier, Unavailable};
pub use error::BackendError;
pub use weights::{MatrixRequest, SyntheticWeights, WeightError, WeightMap, WeightSource};

use format::CacheFormat;
use plan::{BatchLimits, Footprint, Plan, ValueId};

/// A way to run plans: finds its devices and prepares plans on them.
pub trait Backend: Send + Sync {
    /// `cpu`, `wgpu`, `cuda`: what a user types.
    fn name(&self) -> &'static str;

    /// The devices that can be used now.
    fn devices(&self) -> Vec<DeviceInfo>;

    /// Why devices that one might expect are not listed.
    fn unavailable(&self) -> Vec<Unavailable>;

    /// Measures how many bytes per second a plain read of the device's memory reaches: the floor under
    /// every step. Takes about a second.
    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError>;

    /// Bytes that are allocated on a device that is in use, by all runners together, where its driver's allocator tells.
    fn allocated_bytes(&self, _device: &DeviceId) -> Option<u64> {
        None
    }

    /// Names the state of the kernels. It is another one whenever what they compute may be, so that whatever was found out about
    /// them holds for as long as it stays.
    fn revision(&self) -> String;

    /// The tier that the environment forces where [`PrepareOptions::tier`] names none.
    fn forced_tier(&self) -> Option<String> {
        None
    }

    /// Loads the weights and reserves everything that steps will need.
    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError>;
}

/// A prepared plan on a device.
pub trait Runner: Send {
    /// Starts a step.
    fn submit(&mut self, batch: &Batch) -> Result<Ticket, BackendError>;

    /// Whether `submit` returns before its step is done. Then an engine submits the next step before it
    /// collects the last, so that the device need not wait for it; else that would only delay tokens.
    fn queues(&self) -> bool {
        false
    }

    /// Waits for the results of a submitted step; tickets are collected in order.
    fn collect(&mut self, ticket: Ticket) -> Result<StepOutput, BackendError>;

    /// Copies cache pages in all layers, after the steps submitted before and before those after.
    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), BackendError>;

    /// Switches the measuring of times per node on or off; off is the default and costs nothing.
    fn set_profiling(&mut self, on: bool);

    /// The time that each node took in the last collected step, where profiling is on.
    fn profile(&self) -> Option<Profile>;

    /// What it holds on the device.
    fn memory(&self) -> Footprint;

    /// How precisely it computes: what tolerances are derived from.
    fn numerics(&self) -> Numerics;

    /// Submits and collects.
    fn step(&mut self, batch: &Batch) -> Result<StepOutput, BackendError> {
        let ticket = self.submit(batch)?;
        self.collect(ticket)
    }
}

/// What is decided when a plan is prepared.
#[derive(Clone, Debug, PartialEq)]
pub struct PrepareOptions {
    pub cache: CacheOptions,
    /// The largest batch that will be submitted.
    pub limits: BatchLimits,
    /// Uses this tier of kernels instead of the best one.
    pub tier: Option<String>,
}

/// The paged cache of a runner. All layers have the same number of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    pub format: CacheFormat,
    pub page_tokens: usize,
    pub pages: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { format: CacheFormat::F16, page_tokens: 16, pages: 256 }
    }
}

/// Receives progress and says whether to go on.
pub type ProgressFn<'a> = dyn FnMut(&Progress<'_>) -> std::ops::ControlFlow<()> + 'a;

/// How far `prepare` has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress<'a> {
    /// What is being done, such as `loading model.layers.3.mlp.up_proj.weight`.
    pub doing: &'a str,
    /// Bytes of weights on the device, out of `total_bytes`.
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// Goes on whatever happens: for callers without a progress bar.
pub fn no_progress(_: &Progress<'_>) -> std::ops::ControlFlow<()> {
    std::ops::ControlFlow::Continue(())
}

/// Steps that may be under way at once: one, and one ahead of it.
pub const STEPS_UNDER_WAY: usize = 2;

/// A submitted step.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    /// For backends: the n-th step of a runner.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    pub const fn number(&self) -> u64 {
        self.0
    }
}

/// A copy of one cache page, in every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCopy {
    pub from: u32,
    pub to: u32,
}

/// What a step gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepOutput {
    /// For each sequence of the batch, the token that was drawn for it, where it asked for one.
    pub tokens: Vec<Option<u32>>,
    /// For each sequence of the batch, the rows of logits it asked for, behind one another.
    pub logits: Vec<Vec<f32>>,
    /// The tapped values, in the plan's order.
    pub taps: Vec<Tap>,
}

/// A value handed out: all its rows and slots. Indices are given as numbers, int8 rows decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    pub value: ValueId,
    pub data: Vec<f32>,
}

/// Seconds that each node of the plan took in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub seconds: Vec<f64>,
    pub clocks: Clocks,
}

/// Where the clocks were that a profile was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// Between the nodes, which so follow one another a little later than in a step without clocks.
    BetweenNodes,
    /// Around the step's beginnings, each of which has one node more than the one before: a node's time is what the step takes longer with
    /// it, with all that runs at the same time as its neighbours.
    OfBeginnings,
}

impl fmt::Debug for dyn Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backend({})", self.name())
    }
}

impl fmt::Debug for dyn Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Runner({:?})", self.memory())
    }
}
