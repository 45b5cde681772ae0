//! What is tried, operator by operator: each file declares its cases as data.

mod attention;
mod elementwise;
mod experts;
mod linear;
mod norm;
mod pages;
mod random_plans;
mod rope;
mod rows;
mod sample;
mod sequences;

use super::case::Case;
use super::case::{CaseSpec, Group};
use super::random::Random;
use crate::CacheOptions;
use crate::format::{ActivationScale, Int4Group, Int8Group, WeightFormat};
use crate::plan::{Attention, Cache, PlanError, RopeLayout};

/// All cases of a group. Misuse is not made of cases; see its own file.
pub fn catalogue(group: Group) -> Vec<CaseSpec> {
    match group {
        Group::Embed => rows::embeddings(),
        Group::Norm => norm::cases(),
        Group::Linear => linear::cases(),
        Group::Rope => rope::cases(),
        Group::Attention => attention::cases(),
        Group::Elementwise => elementwise::cases(),
        Group::Experts => experts::cases(),
        Group::Rows => rows::cases(),
        Group::Sample => sample::cases(),
        Group::Pages => pages::cases(),
        Group::Sequences => sequences::cases(),
        Group::Random => random_plans::cases(),
        Group::Misuse => vec![],
    }
}

/// A product with as many features as vocabularies have tokens.
pub(super) fn many_features(format: WeightFormat) -> CaseSpec {
    linear::many_features(format)
}

/// Attention with the heads and attributes of a plan's own.
pub(super) fn attention_like(
    op: &Attention,
    shape: Cache,
    rotate: Option<RopeLayout>,
    cache: &CacheOptions,
) -> CaseSpec {
    attention::like(op, shape, rotate, cache)
}

/// A conversation with a tiny model: what misuse is tried on.
pub(super) fn small_conversation(random: &mut Random) -> Result<Case, PlanError> {
    sequences::small_conversation(random)
}

/// The form of a format that there are cases for: a static scale may be any number.
pub(super) const fn catalogued(format: WeightFormat) -> WeightFormat {
    match format {
        WeightFormat::W8a8(ActivationScale::PerTensor(_)) => STATIC,
        other => other,
    }
}

const STATIC: WeightFormat = WeightFormat::W8a8(ActivationScale::PerTensor(0.05));

/// Every weight format. The static scale makes activations beyond ±6.35 clamp, which some do.
const FORMATS: [WeightFormat; 12] = [
    WeightFormat::F32,
    WeightFormat::F16,
    WeightFormat::Bf16,
    WeightFormat::Int8(Int8Group::G32),
    WeightFormat::Int8(Int8Group::G64),
    WeightFormat::Int8(Int8Group::G128),
    WeightFormat::Nf4,
    WeightFormat::Int4(Int4Group::G32),
    WeightFormat::Int4(Int4Group::G64),
    WeightFormat::Int4(Int4Group::G128),
    WeightFormat::W8a8(ActivationScale::PerToken),
    STATIC,
];

/// The regimes of rows: one, a few, and tiles, full ones and not.
const ROWS: [usize; 7] = [1, 2, 3, 8, 17, 64, 200];
