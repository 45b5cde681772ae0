//! Every instruction set × format × odd shape against a plain loop in f64.

#![allow(clippy::float_cmp, reason = "what is compared so is exact")]

use crate::cpu::simd::Isa;
use crate::format::{
    ActivationCodes, ActivationScale, Int4Group, Int8Group, PackedMatrix, WeightFormat, quantize_activations,
};

use super::{
    Activations, Epilogue, LinearError, LinearScratch, QuantizedActivations, linear, linear_quantized,
};

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
    WeightFormat::W8a8(ActivationScale::PerTensor(0.01)),
];

/// Deterministic numbers, roughly normal with deviation 1.
fn noise(seed: usize, len: usize) -> Vec<f32> {
    let mut state = (seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (uniform() + uniform() + uniform() + uniform()) * 1.732).collect()
}

/// A product in f64, and for each result the tolerance.
///
/// The numbers multiplied are the unpacked weights and the f32 activations, both exact here. What remains is the
/// rounding of f32: at most two per term (the weight times its scale, the product), and one per addition. Each
/// is at most u = 2⁻²⁴ of its result. As the roundings are independent, their sum grows like a random walk over
/// partial sums, which themselves grow like one: k steps, each within u·‖x∘w‖₂, where ‖x∘w‖₂ is the root of the sum of squared
/// terms, make u·√k·‖x∘w‖₂; three times that is never exceeded in practice, and 4 roundings more cover short sums.
fn expected(x: &[f32], matrix: &PackedMatrix, m: usize) -> Vec<(f64, f64)> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let (view, unit) = (matrix.view(), f64::from(f32::EPSILON) / 2.0);
    let mut results = Vec::new();
    let weights: Vec<f64> =
        (0..rows).flat_map(|n| (0..cols).map(move |k| (n, k))).map(|(n, k)| view.weight(n, k)).collect();
    for x in x.chunks(cols).take(m) {
        for w in weights.chunks(cols) {
            let (mut sum, mut squares) = (0.0, 0.0);
            for (x, w) in x.iter().zip(w) {
                let term = f64::from(*x) * w;
                sum += term;
                squares += term * term;
            }
            results.push((sum, 3.0 * unit * (cols as f64 + 4.0).sqrt() * f64::sqrt(squares) + 1e-30));
        }
    }
    results
}

/// The product of codes by definition, to the bit.
fn expected_codes(x: &ActivationCodes, matrix: &PackedMatrix) -> Vec<f32> {
    let crate::format::ViewData::W8a8 { codes, scales, .. } = matrix.view().data else { unreachable!() };
    let rows = x.codes().chunks(x.stride()).zip(x.scales());
    rows.flat_map(|(x, x_scale)| {
        codes.chunks(x.len()).zip(scales).map(move |(w, scale)| {
            let sum: i32 = x.iter().zip(w).map(|(x, w)| i32::from(*x) * i32::from(*w)).sum();
            sum as f32 * x_scale * scale
        })
    })
    .collect()
}

fn run(isa: Isa, x: &[f32], m: usize, matrix: &PackedMatrix, epilogue: Epilogue<'_>, out: &mut [f32]) {
    let activations = Activations::new(x, m, matrix.cols());
    linear(isa, activations, matrix.view(), epilogue, out, &mut LinearScratch::default()).unwrap();
}

/// Checks one format on every instruction set for some shapes, and returns the largest share of a tolerance used.
fn check(format: WeightFormat, ms: &[usize], ns: &[usize], ks: &[usize]) -> f64 {
    let mut used = 0.0_f64;
    for (n, k) in ns.iter().flat_map(|n| ks.iter().map(move |k| (*n, *k))) {
        let matrix = PackedMatrix::quantize(format, n, k, &noise(n * 1000 + k, n * k)).unwrap();
        let largest = ms.iter().max().unwrap();
        let x = noise(n + 1000 * k, largest * k);
        let floats = expected(&x, &matrix, *largest);
        for m in ms {
            let mut codes = Vec::new();
            if let WeightFormat::W8a8(scale) = format {
                let mut quantized = ActivationCodes::new();
                quantize_activations(&x[..m * k], k, scale, &mut quantized).unwrap();
                codes = expected_codes(&quantized, &matrix);
            }
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; m * n];
                run(isa, &x, *m, &matrix, Epilogue::default(), &mut out);
                if !codes.is_empty() {
                    assert_eq!(out, codes, "{isa}, {format}, m {m}, n {n}, k {k}");
                    continue;
                }
                for (at, (found, (sum, tolerance))) in out.iter().zip(&floats).enumerate() {
                    let share = (f64::from(*found) - sum).abs() / tolerance;
                    assert!(
                        share <= 1.0,
                        "{isa}, {format}, m {m}, n {n}, k {k}: result {at} is {found}, not {sum}: {share}"
                    );
                    used = used.max(share);
                }
            }
        }
    }
    used
}

#[test]
fn every_format_on_every_instruction_set_in_odd_shapes() {
    for format in FORMATS {
        let used = check(format, &[1, 2, 3, 8, 9, 17, 64], &[1, 5, 33], &[1, 63, 64, 65, 130, 500]);
        println!("{format}: {:.0} % of the tolerance used", 100.0 * used);
    }
}

#[test]
fn every_count_of_rows_around_the_tiles() {
    for format in FORMATS {
        let ms: Vec<usize> = (1..=20).collect();
        check(format, &ms, &[13], &[192]);
    }
}

#[test]
fn rows_longer_than_a_tile_is_deep() {
    for format in FORMATS {
        check(format, &[1, 4, 10], &[6], &[1024, 2300, 4160, 8200]);
    }
}

#[test]
fn a_matrix_that_many_tasks_share() {
    for format in FORMATS {
        check(format, &[1, 5, 12], &[1000], &[320]);
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let pools =
        [1, 2, 5].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for format in FORMATS {
        let (n, k) = (700, 200);
        let matrix = PackedMatrix::quantize(format, n, k, &noise(7, n * k)).unwrap();
        for m in [1, 3, 8, 11, 40] {
            let x = noise(m, m * k);
            for isa in Isa::available() {
                let results = pools.each_ref().map(|pool| {
                    let mut out = vec![0.0; m * n];
                    pool.install(|| run(isa, &x, m, &matrix, Epilogue::default(), &mut out));
                    out
                });
                assert_eq!(results[0], results[1], "{isa}, {format}, m {m}");
                assert_eq!(results[0], results[2], "{isa}, {format}, m {m}");
            }
        }
    }
}

#[test]
fn rows_of_activations_do_not_influence_each_other_or_the_rows_of_weights() {
    // A result must not depend on where in a tile or a task it is computed.
    for format in FORMATS {
        let (n, k, m) = (50, 200, 23);
        let matrix = PackedMatrix::quantize(format, n, k, &noise(3, n * k)).unwrap();
        let x = noise(4, m * k);
        for isa in Isa::available() {
            let mut whole = vec![0.0; m * n];
            run(isa, &x, m, &matrix, Epilogue::default(), &mut whole);
            let mut part = vec![0.0; 9 * 7];
            let rows: Vec<u32> = (14..23).collect();
            linear(
                isa,
                Activations::gathered(&x, k, &rows),
                matrix.view_rows(31..38).unwrap(),
                Epilogue::default(),
                &mut part,
                &mut LinearScratch::default(),
            )
            .unwrap();
            for (i, part) in part.chunks(7).enumerate() {
                assert_eq!(part, &whole[(14 + i) * n + 31..][..7], "{isa}, {format}");
            }
        }
    }
}

#[test]
fn bias_and_residual() {
    for format in FORMATS {
        for (m, k) in [(1, 100), (4, 100), (12, 100), (12, 1500), (9, 4500), (1, 4500)] {
            let n = 19;
            let matrix = PackedMatrix::quantize(format, n, k, &noise(5, n * k)).unwrap();
            let (x, bias, residual) = (noise(6, m * k), noise(7, n), noise(8, m * n));
            for isa in Isa::available() {
                let mut plain = vec![0.0; m * n];
                run(isa, &x, m, &matrix, Epilogue::default(), &mut plain);
                let mut out = residual.clone();
                run(isa, &x, m, &matrix, Epilogue { bias: Some(&bias), add: true }, &mut out);
                let mut biased = vec![f32::NAN; m * n];
                run(isa, &x, m, &matrix, Epilogue { bias: Some(&bias), add: false }, &mut biased);
                for at in 0..m * n {
                    let sum = plain[at] + bias[at % n];
                    // The order of the additions differs where rows are longer than a tile is deep.
                    assert!((biased[at] - sum).abs() < 1e-4, "{isa}, {format}: {} {sum}", biased[at]);
                    let sum = sum + residual[at];
                    assert!((out[at] - sum).abs() < 1e-4, "{isa}, {format}: {} {sum}", out[at]);
                }
            }
        }
    }
}

#[test]
fn quantised_activations_give_the_same_bits_as_quantising_here() {
    let (n, k, m) = (37, 150, 12);
    let scale = ActivationScale::PerToken;
    let matrix = PackedMatrix::quantize(WeightFormat::W8a8(scale), n, k, &noise(1, n * k)).unwrap();
    let mut x = noise(2, m * k);
    // A row of zeros, a row too small for a scale, and rows that are broken.
    x[..k].fill(0.0);
    x[k..2 * k].fill(1e-40);
    x[2 * k + 3] = f32::NAN;
    x[3 * k + 140] = f32::INFINITY;
    let mut quantized = ActivationCodes::new();
    quantize_activations(&x, k, scale, &mut quantized).unwrap();
    for isa in Isa::available() {
        for (first, rows) in [(0, m), (0, 1), (1, 1), (2, 1), (4, 1), (4, 3)] {
            let mut here = vec![0.0; rows * n];
            run(isa, &x[first * k..], rows, &matrix, Epilogue::default(), &mut here);
            let mut before = vec![0.0; rows * n];
            let picked: Vec<u32> = (first as u32..(first + rows) as u32).collect();
            let (codes, scales) = (quantized.codes(), quantized.scales());
            let activations = QuantizedActivations::gathered(codes, scales, quantized.stride(), &picked);
            let scratch = &mut LinearScratch::default();
            linear_quantized(isa, activations, matrix.view(), Epilogue::default(), &mut before, scratch)
                .unwrap();
            for (row, (here, before)) in here.chunks(n).zip(before.chunks(n)).enumerate() {
                if matches!(first + row, 2 | 3) {
                    assert!(here.iter().chain(before).all(|y| y.is_nan()), "{isa}");
                } else {
                    assert_eq!(here, before, "{isa}");
                }
            }
        }
    }
}

#[test]
fn the_largest_codes_sum_exactly() {
    // 255 · 127 in four neighbours is beyond 16 bits, which an instruction that saturates would show.
    let (n, k) = (5, 9000);
    let format = WeightFormat::W8a8(ActivationScale::PerTensor(1.0));
    for sign in [1.0, -1.0] {
        let matrix = PackedMatrix::quantize(format, n, k, &vec![sign; n * k]).unwrap();
        for isa in Isa::available() {
            for m in [1, 7, 10] {
                let mut out = vec![0.0; m * n];
                run(isa, &vec![127.0; m * k], m, &matrix, Epilogue::default(), &mut out);
                let scale = 1.0_f32 / 127.0;
                let exact = (127 * 127 * k as i32) as f32 * scale * sign;
                assert!(out.iter().all(|y| *y == exact), "{isa}: {} {exact}", out[0]);
            }
        }
    }
}

#[test]
fn infinite_neighbours_do_not_leak_into_the_end_of_a_row() {
    // Rows are not padded in memory: the vector after a row's end belongs to the next row.
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Bf16] {
        let (n, k) = (3, 70);
        let matrix = PackedMatrix::quantize(format, n, k, &vec![1.0; n * k]).unwrap();
        let mut view = matrix.view();
        let mut f32s = vec![1.0_f32; n * k];
        f32s[k..2 * k].fill(f32::INFINITY);
        if format == WeightFormat::F32 {
            view.data = crate::format::ViewData::F32(&f32s);
        }
        for isa in Isa::available() {
            for m in [1, 2, 9] {
                let (x, mut out) = (vec![1.0; m * k], vec![0.0; m * n]);
                let scratch = &mut LinearScratch::default();
                linear(isa, Activations::new(&x, m, k), view, Epilogue::default(), &mut out, scratch)
                    .unwrap();
                for out in out.chunks(n) {
                    assert_eq!((out[0], out[2]), (70.0, 70.0), "{isa}, {format}");
                }
            }
        }
    }
}

#[test]
fn nothing_to_do_and_wrong_shapes() {
    let isa = Isa::detect();
    let scratch = &mut LinearScratch::default();
    let matrix = PackedMatrix::quantize(WeightFormat::F32, 3, 4, &[1.0; 12]).unwrap();
    let view = matrix.view();
    let none = Epilogue::default();
    linear(isa, Activations::new(&[], 0, 4), view, none, &mut [], scratch).unwrap();
    linear(isa, Activations::gathered(&[1.0; 4], 4, &[]), view, none, &mut [], scratch).unwrap();
    let x = [1.0; 8];
    let mut out = [0.0; 6];
    let short = linear(isa, Activations::new(&x[..7], 2, 4), view, none, &mut out, scratch);
    assert!(matches!(short, Err(LinearError::TooShort { what: "activations", needed: 8, found: 7 })));
    let short = linear(isa, Activations::new(&x, 2, 4), view, none, &mut out[..5], scratch);
    assert!(matches!(short, Err(LinearError::TooShort { what: "output", .. })));
    let epilogue = Epilogue { bias: Some(&[1.0, 2.0]), add: false };
    let short = linear(isa, Activations::new(&x, 2, 4), view, epilogue, &mut out, scratch);
    assert!(matches!(short, Err(LinearError::TooShort { what: "bias", .. })));
    let outside = Activations::gathered(&x, 4, &[2]);
    assert!(linear(isa, outside, view, none, &mut out, scratch).is_err());
    let mut broken = view;
    broken.rows = 4;
    assert!(matches!(
        linear(isa, Activations::new(&x, 1, 4), broken, none, &mut out, scratch),
        Err(LinearError::Weights(_))
    ));
    let codes = QuantizedActivations::new(&[1; 8], &[1.0; 2], 2, 4);
    let refused = linear_quantized(isa, codes, view, none, &mut out, scratch);
    assert!(matches!(refused, Err(LinearError::NotW8a8)));
}
