//! Which shape of the streaming kernel is the fastest for a matrix: tried on the device, with the model's own weights, and
//! remembered.
//!
//! `shaders/linear/matvec.wesl` and `row.wesl` come in a few declared shapes ([`SHAPES`]). Which of them reads a matrix fastest depends on the
//! device and its driver, the format, how many rows of activations are multiplied at once, and how many rows and columns the matrix
//! has ([`Subject`]). When a plan is prepared on a GPU, what is not known of its matrices is measured, those first that weigh
//! most, within a budget of time ([`BUDGET`]); what is left waits for the next start. The model's own matrices are streamed one after
//! another, many times what caches hold, as in a step that writes a token.
//!
//! A shape other than the usual one is taken only if it was faster by more than noise, twice, and if it gives the same results as
//! the usual one within what the order of additions explains. So a wrong measurement costs a little speed and nothing else.
//!
//! **Determinism.** What is remembered decides which kernels run, and kernels differ in the last bits of their sums. The same
//! device with the same file gives the same kernels; a start that measures may give others than the one before.
//! `INGLE_WGPU_TUNE=0` takes the usual shapes always. Software devices are not measured: they are for tests, and slow.
//!
//! `memory` is the file, `trial` the measuring. Neither knows what a shape consists of: it is known by how it is written out.

mod memory;
#[cfg(test)]
mod tests;
mod trial;

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::gpu::Gpu;
use super::ops::{MatvecShape, SHAPES};
use super::shaders::fingerprint;
use super::weights::{DeviceMatrix, DeviceWeights};
use crate::format::WeightFormat;
use crate::plan::{Op, Plan};
use crate::{BackendError, DeviceKind, PrepareOptions, ProgressFn};

pub(super) use memory::Memory;
use memory::Place;
use trial::Trial;

/// How long a start may be held up. What has begun is ended, so that it can be a little more.
const BUDGET: Duration = Duration::from_millis(1500);
/// A shape is taken if it takes less than this share of the usual one's time.
const WORTH_IT: f64 = 0.97;
/// Matrices of one kind that weigh less together are read in no time whatever the shape.
const LIGHT: u64 = 16 << 20;
/// Rows of activations that the streaming kernel takes at once.
const AT_ONCE: [u32; 4] = [1, 2, 4, 8];

/// What a user sets to switch measuring on and off.
const VARIABLE: &str = "INGLE_WGPU_TUNE";
/// What a user sets to force a shape by its place in the list.
const SHAPE_VARIABLE: &str = "INGLE_WGPU_MATVEC";

/// On which devices kernels are measured. It is remembered in the cache folder; without one, nothing is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tuning {
    /// On real ones, unless `INGLE_WGPU_TUNE=0`.
    #[default]
    Usual,
    Off,
    /// On software ones too, and however small a model is: for tests.
    Always,
}

impl Tuning {
    /// What the environment makes of it.
    pub(super) fn settled(self) -> Result<Self, BackendError> {
        match (self, env::var(VARIABLE).as_deref()) {
            (Self::Usual, Ok("0")) => Ok(Self::Off),
            (Self::Usual, Ok(value)) if !matches!(value, "" | "1") => Err(BackendError::Setting {
                variable: VARIABLE,
                value: value.to_owned(),
                expected: "0 (kernels are not measured) or 1 (they are, as is usual)".to_owned(),
            }),
            (other, _) => Ok(other),
        }
    }

    pub(super) fn measures(self, kind: DeviceKind) -> bool {
        match self {
            Self::Off => false,
            Self::Always => true,
            Self::Usual => matches!(kind, DeviceKind::Discrete | DeviceKind::Integrated),
        }
    }

    /// Bytes from which on matrices of one kind are worth it.
    const fn light(self) -> u64 {
        if matches!(self, Self::Always) { 0 } else { LIGHT }
    }
}

/// Whether somebody forces a shape; what names none is an error.
pub(super) fn forced() -> Result<bool, BackendError> {
    let Some(value) = env::var(SHAPE_VARIABLE).ok().filter(|value| !value.is_empty()) else {
        return Ok(false);
    };
    if value.parse::<usize>().is_ok_and(|index| index < SHAPES.len()) {
        return Ok(true);
    }
    let mut expected = format!("a number from 0 to {}:", SHAPES.len() - 1);
    for (index, shape) in SHAPES.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(expected, "\n  {index:2}  {shape:?}");
    }
    Err(BackendError::Setting { variable: SHAPE_VARIABLE, value, expected })
}

/// What a shape is the fastest for: a product with so many rows of activations, and with rows of a matrix that one kernel sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    format: &'static str,
    at_once: u32,
    rows: u32,
    cols: u32,
}

impl Subject {
    pub(super) const fn new(format: WeightFormat, at_once: u32, rows: u32, cols: u32) -> Self {
        Self { format: format.name(), at_once, rows, cols }
    }
}

/// The shapes that are not the usual ones.
#[derive(Debug)]
pub(super) enum Shapes {
    Measured(HashMap<Subject, MatvecShape>),
    /// By the nodes of a plan that is there to be measured.
    Trial(Vec<Option<MatvecShape>>),
}

impl Default for Shapes {
    fn default() -> Self {
        Self::Measured(HashMap::new())
    }
}

impl Shapes {
    pub(super) fn of(&self, node: Option<usize>, subject: &Subject) -> Option<MatvecShape> {
        match self {
            Self::Measured(shapes) => shapes.get(subject).copied(),
            Self::Trial(shapes) => shapes.get(node?).copied().flatten(),
        }
    }
}

/// Matrices of one kind: what one of them shows holds for all.
struct Class {
    format: WeightFormat,
    rows: u32,
    cols: u32,
    /// Bytes of one.
    bytes: u64,
    /// The most rows of activations that a step has for them.
    most: u32,
    matrices: Vec<DeviceMatrix>,
}

impl Class {
    const fn subject(&self, at_once: u32) -> Subject {
        Subject::new(self.format, at_once, self.rows, self.cols)
    }

    fn weight(&self) -> u64 {
        self.bytes * self.matrices.len() as u64
    }

    /// Whether steps have so many rows that the kernel for `at_once` of them is used.
    const fn needs(&self, at_once: u32) -> bool {
        self.most > at_once / 2
    }
}

/// Measures on a device.
pub(super) struct Tuner<'a> {
    gpu: &'a Gpu,
    place: Place,
    tuning: Tuning,
    begun: Instant,
}

impl<'a> Tuner<'a> {
    pub(super) fn new(gpu: &'a Gpu, info: &wgpu::AdapterInfo, tuning: Tuning) -> Self {
        let place = Place {
            device: format!("{} {:#06x} {:?}", info.name, info.vendor, info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
            tier: gpu.capabilities.tier.name().to_owned(),
            kernels: format!("{:016x}", fingerprint(&["linear/", "lib/"])),
        };
        Self { gpu, place, tuning, begun: Instant::now() }
    }

    /// The shapes for the products of a plan.
    pub(super) fn shapes(
        &self,
        memory: &mut Memory,
        plan: &Plan,
        options: &PrepareOptions,
        weights: &DeviceWeights,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Shapes, BackendError> {
        let classes = classes(plan, options, weights);
        for at_once in AT_ONCE {
            let mut unknown: Vec<&Class> = classes
                .iter()
                .filter(|class| class.needs(at_once) && class.weight() >= self.tuning.light())
                .filter(|class| !memory.knows(&self.place, &class.subject(at_once)))
                .collect();
            unknown.sort_by_key(|class| std::cmp::Reverse(class.weight()));
            // Formats apart, since each compiles kernels of its own.
            while let Some(first) = unknown.first() {
                let format = first.format.name();
                let (together, rest): (Vec<_>, Vec<_>) =
                    unknown.into_iter().partition(|class| class.format.name() == format);
                unknown = rest;
                if self.tuning == Tuning::Usual && self.begun.elapsed() > BUDGET {
                    break;
                }
                let trial = Trial { gpu: self.gpu, at_once, total_bytes: plan.weight_bytes() };
                match trial.run(&together, progress) {
                    Ok(found) => {
                        for (class, shape) in together.iter().zip(found) {
                            memory.note(&self.place, &class.subject(at_once), shape);
                        }
                    }
                    // Nobody asked for this, and the usual shapes do without. What ends the start ends it here too.
                    Err(error @ (BackendError::Cancelled | BackendError::DeviceLost { .. })) => {
                        return Err(error);
                    }
                    Err(_) => break,
                }
            }
        }
        memory.save();
        let mut shapes = HashMap::new();
        for subject in classes.iter().flat_map(|class| AT_ONCE.map(|at_once| class.subject(at_once))) {
            if let Some(shape) = memory.shape(&self.place, &subject) {
                shapes.insert(subject, shape);
            }
        }
        Ok(Shapes::Measured(shapes))
    }
}

/// The matrices that products read, by their kinds.
fn classes(plan: &Plan, options: &PrepareOptions, weights: &DeviceWeights) -> Vec<Class> {
    let mut classes: Vec<Class> = vec![];
    for node in &plan.nodes {
        let Op::Linear(op) = &node.op else { continue };
        let matrix = &weights.matrices[op.matrix.index()];
        let shape = plan.shape(op.input);
        let most = (options.limits.rows_of(shape.rows) * shape.slots) as u32;
        for shard in &matrix.shards {
            let bytes = shard.codes.size + shard.scales.as_ref().map_or(0, |scales| scales.size);
            let alone = DeviceMatrix {
                rows: shard.rows,
                shards: vec![super::weights::Shard { first_row: 0, ..shard.clone() }],
                ..matrix.clone()
            };
            let same = |class: &&mut Class| {
                (class.format.name(), class.rows, class.cols)
                    == (matrix.format.name(), shard.rows, matrix.cols)
            };
            if let Some(class) = classes.iter_mut().find(same) {
                class.most = class.most.max(most);
                class.matrices.push(alone);
            } else {
                let (format, rows, cols) = (matrix.format, shard.rows, matrix.cols);
                classes.push(Class { format, rows, cols, bytes, most, matrices: vec![alone] });
            }
        }
    }
    classes
}
