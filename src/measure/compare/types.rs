//! What a comparison found, as plain data.

use ingle_backends::plan::Footprint;
use serde::{Deserialize, Serialize};

use crate::measure::operators::OperatorTime;
use crate::measure::peaks::Peaks;
use crate::measure::power::Power;
use crate::measure::{Machine, Series};

/// The form of a kept comparison; another one cannot be read as this.
pub(super) const VERSION: u32 = 1;

/// What came out of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Of this form.
    pub version: u32,
    pub machine: Machine,
    pub model: String,
    /// As it was typed.
    pub prompt: String,
    pub prompt_tokens: usize,
    pub settings: Settings,
    /// The contestant whose text all of them read: the first that came to its end.
    pub reference: Option<usize>,
    /// In the order in which they were asked for.
    pub entries: Vec<Entry>,
    /// It was stopped; entries that did not come to their end say so.
    pub cancelled: bool,
}

/// What was the same for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Tokens written in each run.
    pub generate: usize,
    /// Runs that count; one more went before them.
    pub repeats: usize,
    /// Token rows of one step of the prompt.
    pub chunk: usize,
    pub temperature: f32,
    pub seed: u64,
}

/// A contestant and how it fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Short and different from all others, such as `cpu:0 int8-g64`.
    pub label: String,
    /// As `ingle devices` names it.
    pub device: String,
    pub device_name: String,
    pub driver: String,
    /// Empty until it was loaded, as are the formats.
    pub tier: String,
    pub weights: String,
    pub embedding: String,
    pub cache: String,
    pub fusion: bool,
    pub outcome: Outcome,
}

impl Entry {
    /// What was measured, where it came to its end.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Done(measured) => Some(measured),
            Outcome::NotRun | Outcome::Failed { .. } => None,
        }
    }
}

/// How a contestant fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its turn did not come, or was cut short.
    NotRun,
    Failed {
        reason: String,
    },
    Done(Box<Measured>),
}

/// Bytes on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub weights: u64,
    pub cache: u64,
    pub activations: u64,
}

impl From<Footprint> for Memory {
    fn from(footprint: Footprint) -> Self {
        let Footprint { weights, cache, activations } = footprint;
        Self { weights, cache, activations }
    }
}

impl Memory {
    pub const fn total(&self) -> u64 {
        self.weights.saturating_add(self.cache).saturating_add(self.activations)
    }
}

/// What was measured of a contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub loading_seconds: f64,
    pub memory: Memory,
    /// Seconds from the prompt to the first token.
    pub first_token_seconds: Series,
    /// Tokens per second.
    pub prefill: Series,
    pub decode: Series,
    /// Bytes that one token must move, in the middle of the text.
    pub bytes_per_token: f64,
    pub peaks: Peaks,
    /// What was written, up to and without the token that ends it.
    pub tokens: Vec<u32>,
    pub text: String,
    /// The pieces of the text that its tokens are, so that one of them can be marked.
    pub pieces: Vec<String>,
    /// The model ended it; else the runs were over.
    pub ended: bool,
    /// Every run wrote the same.
    pub repeatable: bool,
    /// The first token that differs from the reference's; none where all are the same.
    pub first_difference: Option<usize>,
    pub agreement: Agreement,
    /// Where the time of a decode step goes, and of one of the prompt; empty where the device has no clock for kernels.
    pub decode_operators: Vec<OperatorTime>,
    pub prefill_operators: Vec<OperatorTime>,
    /// What it took to write; comparisons that were kept before this was looked at have none.
    #[serde(default)]
    pub power: Power,
}

impl Measured {
    /// Bytes per second of the median decode step.
    pub fn bytes_per_second(&self) -> f64 {
        self.decode.median() * self.bytes_per_token
    }

    /// Of what a plain read of the device's memory reaches.
    pub fn share_of_bandwidth(&self) -> f64 {
        self.bytes_per_second() / self.peaks.bytes_per_second
    }
}

/// How far a contestant's opinions about the reference's tokens are from the reference's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Share of the places where both find the same token the most likely.
    pub same_top: f64,
    /// Mean of the Kullback–Leibler divergences from the reference, in nats.
    pub mean_divergence: f64,
    pub largest_divergence: f64,
    /// Root of the mean square of the difference in probability of the reference's token.
    pub rms_probability_difference: f64,
    /// One for each token of the reference.
    pub tokens: Vec<TokenAgreement>,
}

/// What a contestant thinks of one token of the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenAgreement {
    pub token: u32,
    pub text: String,
    pub log_probability: f64,
    /// Minus what the reference thinks of it.
    pub difference: f64,
    pub divergence: f64,
    /// Whether both find the same token the most likely.
    pub same_top: bool,
    /// What it finds most likely in this place, the best first.
    pub top: Vec<RankedToken>,
}

/// A token that might have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankedToken {
    pub token: u32,
    pub text: String,
    pub log_probability: f64,
}
