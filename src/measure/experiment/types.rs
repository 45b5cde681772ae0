//! What an experiment gives: plain data.

use serde::{Deserialize, Serialize};

use super::Experiment;
use crate::measure::peaks::Peaks;
use crate::measure::{Machine, Series};

/// An experiment on one device or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub experiment: Experiment,
    pub model: String,
    /// What is the same in all variants.
    pub conditions: String,
    pub parts: Vec<Part>,
    /// Whether it was stopped before it was done; then the last part is missing.
    pub cancelled: bool,
}

/// What was found on a device, or why nothing was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub device: String,
    pub device_name: String,
    pub tier: String,
    /// What is to be known of the kernels: which were passed over, and why.
    #[serde(default)]
    pub notes: Vec<String>,
    pub failure: Option<String>,
    /// The variants; the others are set against the first.
    pub curves: Vec<Curve>,
    pub claims: Vec<Claim>,
}

/// A variant at all sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub label: String,
    /// With products in its format of weights.
    pub peaks: Peaks,
    /// Operators of its plan.
    pub operators: usize,
    /// Bytes that the runner holds for its cache, and those that the plan says.
    pub cache_bytes: u64,
    pub planned_cache_bytes: u64,
    /// Tokens of a page of its cache, and the bytes of one in one layer.
    pub page_tokens: usize,
    pub page_bytes: u64,
    pub points: Vec<Point>,
}

/// A variant at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Rows, or tokens of context.
    pub size: usize,
    pub step: Timed,
    /// The attention of all layers by itself, where it is looked at and the device has a clock for it.
    pub attention: Option<Timed>,
}

/// Something that was timed once in each turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    pub seconds: Series,
    pub bytes: f64,
    /// The least that the device's peaks allow.
    pub floor_seconds: f64,
}

impl Timed {
    /// How many times as quick as another it was: the median over the turns.
    pub fn gain_over(&self, other: &Self) -> f64 {
        let turns = other.seconds.samples.iter().zip(&self.seconds.samples);
        Series { samples: turns.map(|(other, own)| other / own).collect() }.median()
    }

    /// The same by the cost model.
    pub fn expected_gain_over(&self, other: &Self) -> f64 {
        other.floor_seconds / self.floor_seconds
    }
}

/// What was expected, and whether it was so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub expected: String,
    pub why: String,
    pub found: String,
    /// None where it could not be found out here.
    pub held: Option<bool>,
}

/// A gain at one size, and what is expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gain {
    pub(super) size: usize,
    pub(super) found: f64,
    pub(super) expected: f64,
}

impl Part {
    /// The first variant, and each of the others.
    pub(super) fn against_the_first(&self) -> impl Iterator<Item = (&Curve, &Curve)> {
        let split = self.curves.split_first().into_iter();
        split.flat_map(|(first, others)| others.iter().map(move |curve| (first, curve)))
    }
}

impl Curve {
    /// What its steps gain over those of another at each size.
    pub(super) fn gains_over(&self, other: &Self) -> Vec<Gain> {
        self.gains(other, |point| Some(&point.step))
    }

    /// What its attention gains, where that was timed.
    pub(super) fn attention_gains_over(&self, other: &Self) -> Vec<Gain> {
        self.gains(other, |point| point.attention.as_ref())
    }

    fn gains(&self, other: &Self, of: impl Fn(&Point) -> Option<&Timed>) -> Vec<Gain> {
        let points = self.points.iter().zip(&other.points);
        let gain = |(own, other): (&Point, &Point)| {
            let (size, own, other) = (own.size, of(own)?, of(other)?);
            Some(Gain { size, found: own.gain_over(other), expected: own.expected_gain_over(other) })
        };
        points.filter_map(gain).collect()
    }
}
