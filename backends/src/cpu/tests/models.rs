//! Small models of many kinds against the oracle.

use super::*;
use crate::cpu::Isa;
use crate::format::{ActivationScale, Int8Group};
use crate::plan::FusionSet;

/// Steps of all kinds: a prompt, a prompt beside a decode, several decodes.
fn logits_of(runner: &mut dyn Runner) -> Vec<f32> {
    let mut all = vec![];
    let steps = [
        vec![ask(&text(41, 1), 0, 0)],
        vec![ask(&[7], 41, 0), ask(&text(23, 2), 0, 10)],
        vec![ask(&[9], 42, 0), ask(&[11, 12, 13], 23, 10), ask(&text(3, 3), 0, 20)],
        vec![ask(&[9], 43, 0), ask(&[3], 26, 10), ask(&[5], 3, 20)],
    ];
    for (index, sequences) in steps.into_iter().enumerate() {
        // Pages are listed backwards from the sequence's last, so all steps of one must have as many.
        let sequences = sequences.into_iter().map(|sequence| {
            let first = *sequence.pages.last().unwrap();
            let pages = (first..first + 10).take(sequence.pages.len()).collect();
            SequenceStep { pages, ..sequence }
        });
        let output = runner.step(&batch(sequences.collect())).unwrap();
        assert!(output.tokens.iter().all(Option::is_none), "step {index} was asked for no token");
        all.extend(output.logits.concat());
    }
    all
}

fn check(model: Model, cache: CacheFormat, tolerance: f32) {
    let plan = model.plan();
    let expected = logits_of(&mut *oracle(&plan, &options(cache)));
    let fused = plan.fused(FusionSet::all()).unwrap();
    for isa in Isa::available() {
        let options = PrepareOptions { tier: Some(isa.name().to_owned()), ..options(cache) };
        for (name, plan) in [("plain", &plan), ("fused", &fused)] {
            let got = logits_of(&mut *cpu(plan, &options));
            let distance = distance(&got, &expected);
            assert!(distance < tolerance, "{} {cache} {name} {isa}: {distance:e}", model.format);
        }
    }
}

#[test]
fn weight_formats() {
    for (format, tolerance) in [
        (WeightFormat::F32, 1e-3),
        (WeightFormat::F16, 1e-3),
        (WeightFormat::Bf16, 1e-3),
        (WeightFormat::Int8(Int8Group::G32), 1e-3),
        (WeightFormat::Int8(Int8Group::G64), 1e-3),
        (WeightFormat::Nf4, 1e-3),
        // A code may round the other way, which is a hundredth of the largest element.
        (WeightFormat::W8a8(ActivationScale::PerToken), 2e-2),
        (WeightFormat::W8a8(ActivationScale::PerTensor(0.02)), 2e-2),
    ] {
        check(Model { format, ..Model::default() }, CacheFormat::F16, tolerance);
    }
}

#[test]
fn int8_cache() {
    check(Model::default(), CacheFormat::Int8, 1e-2);
    check(Model { head_dim: 32, heads: 8, ..Model::default() }, CacheFormat::Int8, 1e-2);
}

#[test]
fn heads_of_all_shapes() {
    for (heads, kv_heads, head_dim) in [(1, 1, 16), (3, 3, 20), (6, 2, 64), (7, 1, 48), (16, 1, 128)] {
        let layout = if heads % 2 == 0 { RopeLayout::Halves } else { RopeLayout::Interleaved };
        check(Model { heads, kv_heads, head_dim, layout, ..Model::default() }, CacheFormat::F16, 1e-3);
    }
}

#[test]
fn windows_caps_sinks_and_biases() {
    for window in [None, Some(1), Some(5), Some(30)] {
        let model = Model { window, softcap: Some(20.0), sinks: true, biases: true, ..Model::default() };
        check(model, CacheFormat::F16, 1e-3);
    }
}

#[test]
fn experts() {
    for scoring in [Scoring::Softmax, Scoring::Sigmoid] {
        for format in [WeightFormat::Nf4, WeightFormat::F32] {
            check(Model { experts: Some(scoring), format, ..Model::default() }, CacheFormat::F16, 2e-3);
        }
    }
}
