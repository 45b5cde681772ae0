//! Tests of the formats: what is stored, how far it may be from what was given, and what is refused.

mod activations;
mod building;
mod cache_pages;
mod exact_bytes;
mod refusals;
mod round_trip;

use proptest::prelude::*;

use super::{ActivationScale, Int4Group, Int8Group, PackedMatrix, WeightFormat};

/// Every format there is.
const FORMATS: [WeightFormat; 11] = [
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
];

/// Shapes whose rows end just before, at and just after the end of a group, a pad or a pair.
const SHAPES: [(usize, usize); 11] =
    [(1, 1), (1, 63), (3, 65), (5, 129), (2, 64), (4, 128), (1, 2), (7, 31), (3, 32), (2, 255), (700, 97)];

fn any_format() -> impl Strategy<Value = WeightFormat> {
    prop_oneof![
        4 => proptest::sample::select(&FORMATS[..]),
        1 => (1e-6_f32..1e3).prop_map(|scale| WeightFormat::W8a8(ActivationScale::PerTensor(scale))),
    ]
}

/// A weight between -1 and 1, sometimes exactly an end or zero.
fn any_unit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -1.0_f32..=1.0,
        1 => Just(0.0_f32),
        1 => Just(-0.0_f32),
        1 => Just(1.0_f32),
        1 => Just(-1.0_f32),
    ]
}

/// Rows, columns and weights. Each stretch of 32 weights has a magnitude of its own, from f32's smallest
/// subnormals to near f16's largest number, so that scales meet every kind of number.
fn any_matrix() -> impl Strategy<Value = (usize, usize, Vec<f32>)> {
    (1_usize..6, 1_usize..200).prop_flat_map(|(rows, cols)| {
        let stretches = (rows * cols).div_ceil(32);
        let exponents = prop_oneof![-149_i32..=15, -30_i32..=-8, Just(0_i32)];
        (
            Just(rows),
            Just(cols),
            proptest::collection::vec(any_unit(), rows * cols),
            proptest::collection::vec(exponents, stretches),
        )
            .prop_map(|(rows, cols, units, exponents)| {
                let weights = units.chunks(32).zip(exponents).flat_map(|(units, exponent)| {
                    units.iter().map(move |unit| (f64::from(*unit) * f64::from(exponent).exp2()) as f32)
                });
                (rows, cols, weights.collect())
            })
    })
}

/// Weights like those of a trained layer, the same each time.
fn plain_weights(rows: usize, cols: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..rows * cols).map(|_| (uniform() + uniform() + uniform()) * 0.05).collect()
}

/// The whole matrix as f32.
fn dequantized(matrix: &PackedMatrix) -> Vec<f32> {
    let mut out = vec![f32::NAN; matrix.rows() * matrix.cols()];
    matrix.dequantize_rows(0..matrix.rows(), &mut out).unwrap();
    out
}

/// Whether two slices hold the same numbers, bit by bit.
fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
