//! Whole models against the reference implementation: tiny checkpoints of every family, on every backend and device that is there,
//! prompts in one piece and in several.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod support;

use ingle_backends::cpu::CpuBackend;
use ingle_backends::cpu::reference::ReferenceBackend;
use ingle_backends::cuda::CudaBackend;
use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{FusionSet, Plan};
use ingle_backends::wgpu::WgpuBackend;
use ingle_backends::{Backend, DeviceKind, LogitRows};
use ingle_models::arch::{PlanOptions, WeightFormats, from_config};
use support::{Fixture, Session, Target};

/// How far the oracle's logits may lie from the reference, both being computed in f64 from the same
/// numbers and handed out in f32: two units in the last place of logits up to 32.
const ORACLE: f32 = 4e-6;

/// How far logits computed in f32 may lie from the reference.
///
/// What f32 rounds is small beside what the cache rounds, but it moves some keys and values over the
/// border between two halves, which then are off by a whole step. All of them being off by up to half a
/// step moves the logits by the distance between the two references; some of them by a whole one, by
/// less than half of that.
fn single(fixture: &Fixture) -> f32 {
    const SUMS: f32 = 1e-3;
    SUMS.max(0.5 * rounding_of_the_cache(fixture))
}

/// How far logits may lie from the reference where operands of products are rounded to halves.
///
/// What the cache rounds are two tensors of a layer. Matrix units round at most what enters its products: four rows of activations, up to seven
/// matrices, queries and the shares of attention. None of these moves the logits by more than the cache's two do together.
fn half(fixture: &Fixture) -> f32 {
    const ROUNDED: f32 = 13.0 / 2.0;
    single(fixture) + ROUNDED * rounding_of_the_cache(fixture)
}

/// What rounding keys and values to halves does to the logits.
fn rounding_of_the_cache(fixture: &Fixture) -> f32 {
    let apart = |name: &str| {
        let (rounded, exact) = (fixture.logits.get(name), fixture.logits.get(&format!("exact_{name}")));
        distance(rounded, exact)
    };
    apart("short").max(apart("long"))
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn plan(fixture: &Fixture, context: usize, fusion: FusionSet) -> Plan {
    let architecture = from_config(&fixture.config).unwrap();
    let formats = WeightFormats::uniform(WeightFormat::F32);
    let options = PlanOptions { formats, context: Some(context) };
    architecture.plan(&options).unwrap().fused(fusion).unwrap()
}

/// The largest distance between two lists of logits, which must be within the tolerance.
fn close(got: &[f32], expected: &[f32], tolerance: f32, what: &str) -> f32 {
    assert_eq!(got.len(), expected.len(), "{what}");
    let apart = distance(got, expected);
    assert!(apart <= tolerance, "{what}: logits are {apart} apart, {tolerance} allowed");
    apart
}

fn agrees(fixture: &Fixture, target: Target<'_>, fusion: FusionSet, tolerance: f32) {
    let what = format!("{} on {} ({})", fixture.name, target.device, target.tier.name);
    let expected = |name: &str| fixture.logits.get(name);

    let short = &fixture.short;
    let mut session = Session::start(target, plan(fixture, short.context(), fusion), &fixture.weights);
    let (logits, token) = session.add(&short.tokens, LogitRows::All);
    let short_apart = close(&logits, expected("short"), tolerance, &format!("{what}, short prompt"));
    assert_eq!(session.go_on(token, short.greedy.len()), short.greedy, "{what}, short prompt");

    let long = &fixture.long;
    let mut long_apart = 0f32;
    for pieces in [vec![100], vec![1, 40, 59], vec![33, 33, 33, 1]] {
        let what = format!("{what}, long prompt in pieces of {pieces:?}");
        let mut session = Session::start(target, plan(fixture, long.context(), fusion), &fixture.weights);
        let mut rest = long.tokens.as_slice();
        let mut last = (vec![], 0);
        for piece in pieces {
            let (tokens, later) = rest.split_at(piece);
            last = session.add(tokens, LogitRows::Last);
            rest = later;
        }
        assert!(rest.is_empty());
        long_apart = long_apart.max(close(&last.0, expected("long"), tolerance, &what));
        assert_eq!(session.go_on(last.1, long.greedy.len()), long.greedy, "{what}");
    }
    let share = 100.0 * short_apart.max(long_apart) / tolerance;
    println!(
        "{what}: {share:.0}% of the tolerance ({short_apart:.1e} and {long_apart:.1e} of {tolerance:.1e})"
    );
}

/// Every family, on a backend's first device with its best kernels, fused and apart.
fn all_agree(backend: &dyn Backend, tolerance: impl Fn(&Fixture) -> f32) {
    let device = backend.devices().remove(0);
    let target = Target { backend, device: &device.id, tier: &device.tiers[0] };
    for fixture in Fixture::all() {
        for fusion in [FusionSet::none(), FusionSet::all()] {
            agrees(&fixture, target, fusion, tolerance(&fixture));
        }
    }
}

#[test]
fn every_family_computes_what_its_reference_computes() {
    all_agree(&ReferenceBackend, |_| ORACLE);
}

#[test]
fn the_fast_backend_computes_what_the_reference_computes() {
    all_agree(&CpuBackend::with_threads(1), single);
}

/// In every tier of real GPUs, and the best one of those that are only software, which take their time.
fn on_gpus(backend: &dyn Backend) {
    for device in backend.devices() {
        let tiers = if device.kind == DeviceKind::Software { &device.tiers[..1] } else { &device.tiers };
        for tier in tiers {
            let rounds = tier.numerics.operand_unit > 0.0 || tier.numerics.weight_unit > 0.0;
            let target = Target { backend, device: &device.id, tier };
            for fixture in Fixture::all() {
                let tolerance = if rounds { half(&fixture) } else { single(&fixture) };
                agrees(&fixture, target, FusionSet::all(), tolerance);
            }
        }
    }
}

#[test]
fn wgpu_computes_what_the_reference_computes() {
    on_gpus(&WgpuBackend::default());
}

#[test]
fn cuda_computes_what_the_reference_computes() {
    on_gpus(&CudaBackend::default());
}

#[test]
fn rounding_the_cache_to_halves_changes_little() {
    // A hundred times less than the logits are apart from one another.
    for fixture in Fixture::all() {
        let rounding = rounding_of_the_cache(&fixture);
        assert!(rounding < 0.05, "{}: {rounding}", fixture.name);
    }
}

#[test]
fn both_spellings_of_a_configuration_are_one_architecture() {
    for fixture in Fixture::all() {
        let (new, old) = (from_config(&fixture.config).unwrap(), from_config(&fixture.legacy).unwrap());
        assert_eq!(format!("{new:?}"), format!("{old:?}"), "{}", fixture.name);
        assert_eq!(fixture.config.dtype(), fixture.legacy.dtype(), "{}", fixture.name);
        assert_eq!(fixture.config.generation, fixture.legacy.generation, "{}", fixture.name);
        assert_eq!(fixture.config.generation.end_tokens, [2], "{}", fixture.name);
    }
}

#[test]
fn every_tensor_of_a_checkpoint_is_used() {
    for fixture in Fixture::all() {
        let plan = plan(&fixture, 64, FusionSet::none());
        let used = plan.matrices.iter().flat_map(|m| &m.parts).map(|part| part.tensor.clone());
        let used = used.chain(plan.vectors.iter().flat_map(|v| &v.parts).map(|part| part.0.clone()));
        let used: std::collections::HashSet<_> =
            used.flat_map(|name| ingle_models::arch::spellings(&name)).collect();
        let seen = ["vision_tower.", "multi_modal_projector."];
        let text = fixture.weights.names().filter(|name| !seen.iter().any(|part| name.starts_with(part)));
        let unused: Vec<_> = text.filter(|name| !used.contains(*name)).collect();
        assert!(unused.is_empty(), "{}: {unused:?}", fixture.name);
    }
}
