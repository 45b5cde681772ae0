//! Experiments: what a design is expected to be worth, by the cost model, beside what it is worth on this machine.
//!
//! Each puts a few *variants* of the same model side by side on one device: formats of weights or of the cache, operators fused or
//! apart, pages of the cache this way or that. All variants are loaded at once and take turns, step by step, at each of several sizes
//! (rows of a step, or tokens of context), so that whatever else the machine does disturbs all of them alike; a *gain* is the median of
//! what the first variant took over what another took, turn by turn. What is expected of it is the ratio of their floors: each operator
//! takes the time that its bytes or its operations need at the device's measured peaks, whichever is longer
//! ([`operators::floor`](super::operators::floor)).
//!
//! What comes out is a [`Report`], plain data with a table, a plot and [`Claim`]s for each device: what was expected, why, what was
//! found, and whether that is the same within a stated margin. Claims can fail, and say so; a failed one is a result like any other.

mod export;
mod judge;
mod run;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;
use std::str::FromStr;

use ingle_backends::WeightSource;
use ingle_backends::format::{CacheFormat, Int4Group, Int8Group, WeightFormat};
use ingle_backends::plan::{FusionSet, Plan};
use serde::{Deserialize, Serialize};

pub use run::run;
pub use types::{Claim, Curve, Part, Point, Report, Timed};

use super::MeasureError;
use super::steps::{Phase, Step};

/// The experiments there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    WeightOnly,
    W8a8,
    Fusion,
    Pages,
    Cache,
}

/// What grows from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    Rows,
    Context,
}

impl Axis {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Context => "context",
        }
    }
}

impl Experiment {
    pub const ALL: [Self; 5] = [Self::WeightOnly, Self::W8a8, Self::Fusion, Self::Pages, Self::Cache];

    /// What a user types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WeightOnly => "weight-only",
            Self::W8a8 => "w8a8",
            Self::Fusion => "fusion",
            Self::Pages => "pages",
            Self::Cache => "cache",
        }
    }

    /// What it asks.
    pub const fn question(self) -> &'static str {
        match self {
            Self::WeightOnly => {
                "how much sooner is a token there with smaller weights, and at which batch does the gain end?"
            }
            Self::W8a8 => "what are products of int8 worth against f16, from few rows of a prompt to many?",
            Self::Fusion => "what are fused operators worth against the same ones apart?",
            Self::Pages => "what does a cache in pages cost against one that lies in one piece?",
            Self::Cache => "what is an int8 cache worth against f16, from short contexts to long ones?",
        }
    }

    /// What is expected, and why.
    pub const fn expectation(self) -> &'static str {
        match self {
            Self::WeightOnly => {
                "memory limits a step of few rows, so it gains what is read less; all these formats are multiplied as floats, so the \
                 gain ends where f16 reaches the device's ridge"
            }
            Self::W8a8 => {
                "few rows gain half the bytes; many gain what products of int8 are quicker than those of f16 in the same kernels' best \
                 case, less what is not a product"
            }
            Self::Fusion => {
                "what lies between operators is neither written nor read again, and fewer of them are launched: never slower, and for \
                 many rows as much quicker as the bytes say"
            }
            Self::Pages => {
                "the same bytes are read, and a table of 4 bytes per page: attention takes a tenth longer at most, and a step hardly so"
            }
            Self::Cache => {
                "attention over a long context is limited by reading the cache, so it gains what is read less; a step gains as much of \
                 that as the cache is of its bytes"
            }
        }
    }

    pub const fn axis(self) -> Axis {
        match self {
            Self::WeightOnly | Self::W8a8 | Self::Fusion => Axis::Rows,
            Self::Pages | Self::Cache => Axis::Context,
        }
    }

    /// Rows, or tokens of context, where nobody asks for others.
    pub const fn usual_sizes(self) -> &'static [usize] {
        match self {
            Self::WeightOnly => &[1, 2, 4, 8, 16, 32, 64],
            Self::W8a8 => &[1, 8, 16, 32, 64, 128, 256, 512],
            Self::Fusion => &[1, 4, 16, 64],
            Self::Pages | Self::Cache => &[256, 1024, 4096],
        }
    }

    /// Whether it looks at attention by itself, since a step would hide it.
    pub const fn looks_at_attention(self) -> bool {
        matches!(self, Self::Pages | Self::Cache)
    }

    /// Whether it varies the format of the weights, which then cannot be chosen.
    pub const fn varies_weights(self) -> bool {
        matches!(self, Self::WeightOnly | Self::W8a8)
    }

    /// The formats that stand against f16, where nobody asks for others.
    pub const fn usual_formats() -> [WeightFormat; 3] {
        [WeightFormat::Int8(Int8Group::G64), WeightFormat::Nf4, WeightFormat::Int4(Int4Group::G128)]
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Experiment {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|experiment| experiment.name() == name);
        named.ok_or_else(|| {
            format!("there is no experiment `{name}`; there are {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// A model whose plan can be had in any format.
pub trait Subject {
    fn name(&self) -> String;

    fn plan(&self, weights: WeightFormat, fusion: FusionSet) -> Result<Plan, MeasureError>;

    fn weights(&self) -> &dyn WeightSource;
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub experiment: Experiment,
    /// Rows of a step, or tokens of context, growing.
    pub sizes: Vec<usize>,
    /// Where rows grow, the tokens in the cache of each sequence before a step that writes.
    pub context: usize,
    /// Where the context grows, the sequences side by side.
    pub batch: usize,
    /// Turns that count; one more goes before them.
    pub repeats: usize,
    /// What stands against f16 in `weight-only`.
    pub formats: Vec<WeightFormat>,
    /// The format of the weights where an experiment is not about it.
    pub weights: WeightFormat,
    /// The format of the cache where an experiment is not about it.
    pub cache: CacheFormat,
    pub tier: Option<String>,
}

/// Tokens in the cache and sequences in a step where an experiment is not about them.
const CONTEXT: usize = 128;
const BATCH: usize = 1;

impl Request {
    /// An experiment as it is by default, on weights of this format where it is not about them.
    pub fn new(experiment: Experiment, weights: WeightFormat) -> Self {
        Self {
            experiment,
            sizes: experiment.usual_sizes().to_vec(),
            context: CONTEXT,
            batch: BATCH,
            repeats: 5,
            formats: Experiment::usual_formats().to_vec(),
            weights,
            cache: CacheFormat::F16,
            tier: None,
        }
    }

    fn check(&self) -> Result<(), MeasureError> {
        let growing = self.sizes.windows(2).all(|pair| pair[0] < pair[1]);
        let fault = if self.sizes.is_empty() || self.sizes[0] == 0 || !growing {
            "the sizes are whole numbers from 1 on that grow"
        } else if self.repeats == 0 {
            "one turn at least has to be measured"
        } else if self.context == 0 || self.batch == 0 {
            "a token that is written has something before it, in one sequence at least"
        } else if self.batch != BATCH && self.experiment.axis() == Axis::Rows {
            "the sizes are numbers of sequences or rows here, so the batch is not given"
        } else if self.context != CONTEXT && !self.takes_context() {
            "the context is what the sizes are about, or there is none, so it is not given"
        } else if self.experiment == Experiment::WeightOnly && self.formats.is_empty() {
            "a format at least has to stand against f16"
        } else {
            return Ok(());
        };
        Err(MeasureError::Settings(fault.to_owned()))
    }

    /// Whether each sequence has a context of a length that is given.
    fn takes_context(&self) -> bool {
        self.experiment != Experiment::W8a8 && self.experiment.axis() == Axis::Rows
    }

    fn step(&self, size: usize) -> Step {
        match (self.experiment, self.experiment.axis()) {
            (Experiment::W8a8, _) => Step { phase: Phase::Prefill, rows: size, context: 0 },
            (_, Axis::Rows) => Step { phase: Phase::Decode, rows: size, context: self.context },
            (_, Axis::Context) => Step { phase: Phase::Decode, rows: self.batch, context: size },
        }
    }

    /// What is the same in all variants.
    fn conditions(&self) -> String {
        let about_weights = self.experiment.varies_weights();
        let weights = if about_weights { String::new() } else { format!(", weights in {}", self.weights) };
        let cache = match self.experiment {
            Experiment::Cache => String::new(),
            _ => format!(", cache in {}", self.cache),
        };
        let step = match (self.experiment, self.experiment.axis()) {
            (Experiment::W8a8, _) => "the rows are tokens of a prompt".to_owned(),
            (_, Axis::Rows) => {
                format!("the rows are sequences that get a token each, after {} tokens", self.context)
            }
            (_, Axis::Context) => format!("{} sequences get a token each", self.batch),
        };
        format!("{step}{weights}{cache}; medians of {} turns, and half of their spread", self.repeats)
    }
}
