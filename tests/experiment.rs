//! Experiments on a tiny model, and what devices say of the time of single operators.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod tiny;

use std::ops::ControlFlow;
use std::sync::Arc;

use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{FusionSet, Op, Plan};
use inglenook::backend::wgpu::WgpuBackend;
use inglenook::backend::{
    Backend, Batch, DeviceKind, LogitRows, Runner, SequenceStep, SyntheticWeights, Tokens, WeightSource,
    no_progress,
};
use inglenook::find_device;
use inglenook::measure::experiment::{Experiment, Part, Report, Request, Subject, run};
use inglenook::measure::{MeasureError, Stage, unwatched};
use inglenook::models::{Architecture, WeightFormats};

use tiny::PAGE_TOKENS;

struct Tiny;

impl Subject for Tiny {
    fn name(&self) -> String {
        "tiny".to_owned()
    }

    fn plan(&self, weights: WeightFormat, fusion: FusionSet) -> Result<Plan, MeasureError> {
        Ok(tiny::architecture().plan(&WeightFormats::usual(weights).into())?.fused(fusion)?)
    }

    fn weights(&self) -> &dyn WeightSource {
        &SyntheticWeights { seed: 5 }
    }
}

fn request(experiment: Experiment) -> Request {
    let sizes = if experiment.looks_at_attention() { vec![20, 70] } else { vec![1, 5, 20] };
    let usual = Request::new(experiment, WeightFormat::F16);
    let context = match experiment {
        Experiment::WeightOnly | Experiment::Fusion => 20,
        // Their sizes are contexts, or they have none.
        Experiment::W8a8 | Experiment::Pages | Experiment::Cache => usual.context,
    };
    Request { sizes, context, repeats: 2, ..usual }
}

fn report(request: &Request) -> Report {
    let devices = [find_device("cpu").unwrap()];
    run(&devices, &Tiny, request, &mut unwatched, &mut |_| {}).unwrap()
}

#[test]
fn every_experiment_measures_judges_and_draws() {
    for experiment in Experiment::ALL {
        // Also with pages of another format where an experiment is not about it.
        let cache = if experiment == Experiment::Pages { CacheFormat::Int8 } else { CacheFormat::F16 };
        let request = Request { cache, ..request(experiment) };
        let report = report(&request);
        assert!(!report.cancelled);
        let [part] = report.parts.as_slice() else { panic!("{report:?}") };
        assert_eq!(part.failure, None);
        assert!(part.curves.len() >= 2 && !part.claims.is_empty(), "{part:?}");
        for curve in &part.curves {
            assert!(curve.points.iter().map(|point| point.size).eq(request.sizes.iter().copied()));
            for point in &curve.points {
                assert_eq!(point.step.seconds.samples.len(), 2);
                assert!(point.step.seconds.samples.iter().all(|seconds| *seconds > 0.0));
                assert!(point.step.floor_seconds > 0.0 && point.step.bytes > 0.0);
                let attention = point.attention.as_ref();
                assert_eq!(attention.is_some(), experiment.looks_at_attention(), "{experiment}: {point:?}");
                if let Some(attention) = attention {
                    assert!(attention.bytes < point.step.bytes && attention.seconds.samples.len() == 2);
                }
            }
        }
        // Every claim was told one way or the other: a CPU has a clock.
        assert!(part.claims.iter().all(|claim| claim.held.is_some()), "{:?}", part.claims);
        assert_eq!(report.tables()[0].rows.len(), request.sizes.len());
        let svg = report.plot().svg();
        assert!(svg.starts_with("<svg") && svg.matches("<circle").count() >= request.sizes.len(), "{svg}");
        assert_variants(experiment, part);
    }
}

/// The variants are what they are called.
fn assert_variants(experiment: Experiment, part: &Part) {
    let labels: Vec<&str> = part.curves.iter().map(|curve| curve.label.as_str()).collect();
    let bytes: Vec<f64> = part.curves.iter().map(|curve| curve.points[0].step.bytes).collect();
    let page_tokens: Vec<usize> = part.curves.iter().map(|curve| curve.page_tokens).collect();
    match experiment {
        Experiment::WeightOnly => {
            assert_eq!(labels, ["f16", "int8-g64", "nf4", "int4-g128"]);
            assert!(bytes[0] > bytes[1] && bytes[1] > bytes[2], "{bytes:?}");
        }
        Experiment::W8a8 => {
            assert_eq!(labels, ["f16", "w8a8"]);
            assert!(bytes[0] > bytes[1], "{bytes:?}");
        }
        Experiment::Fusion => assert!(part.curves[0].operators > part.curves[1].operators, "{part:?}"),
        Experiment::Pages => {
            assert_eq!(page_tokens, [71, 16, 16], "one page holds the longest context and a token");
        }
        Experiment::Cache => {
            let [f16, int8] = part.curves.as_slice() else { panic!("{part:?}") };
            assert!(f16.cache_bytes > int8.cache_bytes && f16.page_bytes > int8.page_bytes);
        }
    }
}

#[test]
fn it_stops_when_told_and_says_what_cannot_be() {
    let request = request(Experiment::Fusion);
    let devices = [find_device("cpu").unwrap()];
    let mut watch = |status: &inglenook::measure::Status<'_>| match status.stage {
        Stage::Run(2) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let stopped = run(&devices, &Tiny, &request, &mut watch, &mut |_| {}).unwrap();
    assert!(stopped.cancelled && stopped.parts.is_empty(), "{stopped:?}");

    let broken = Request { tier: Some("abacus".to_owned()), ..request.clone() };
    let mut told = vec![];
    let failed = run(&devices, &Tiny, &broken, &mut unwatched, &mut |part| told.push(part.clone())).unwrap();
    assert_eq!(failed.parts, told);
    assert!(failed.parts[0].failure.as_ref().unwrap().contains("abacus"), "{failed:?}");
    assert!(failed.parts[0].claims.is_empty());

    let mut small = find_device("cpu").unwrap();
    small.info.memory.available = Some(1000);
    let no_room = run(&[small], &Tiny, &request, &mut unwatched, &mut |_| {}).unwrap();
    let reason = no_room.parts[0].failure.as_ref().unwrap();
    assert!(reason.contains("2 variants") && reason.contains("more than is free"), "{reason}");

    let senseless = Request { repeats: 0, ..request };
    let refused = run(&devices, &Tiny, &senseless, &mut unwatched, &mut |_| {});
    assert!(matches!(refused, Err(MeasureError::Settings(_))));
}

/// A step of one sequence with so many tokens.
fn step(count: u32) -> Batch {
    let step = SequenceStep {
        tokens: Tokens::Ids((0..count).collect()),
        start: 0,
        pages: (0..count.div_ceil(PAGE_TOKENS as u32)).collect(),
        logits: LogitRows::Last,
        sample: None,
    };
    Batch { sequences: vec![step], inputs: vec![] }
}

/// The nodes that took time in a step.
fn took_time(runner: &mut dyn Runner, tokens: u32) -> Option<Vec<bool>> {
    runner.step(&step(tokens)).unwrap();
    runner.profile().map(|profile| profile.seconds.iter().map(|seconds| *seconds > 0.0).collect())
}

#[test]
fn what_one_row_takes_along_has_no_time_left_from_a_step_of_more() {
    let backend = WgpuBackend::default();
    let plan = tiny::plan();
    let mut clocks = 0;
    for device in backend.devices() {
        let options = tiny::options(16);
        let weights = SyntheticWeights { seed: 5 };
        let mut runner =
            backend.prepare(&device.id, Arc::clone(&plan), &weights, &options, &mut no_progress).unwrap();
        runner.set_profiling(true);
        let Some(fresh) = took_time(runner.as_mut(), 1) else { continue };
        clocks += 1;
        let many = took_time(runner.as_mut(), 20).unwrap();
        let again = took_time(runner.as_mut(), 1).unwrap();
        // One row takes along the normalisations before products of a layer, all but the one before the head. Others may take no time now
        // and then: a clock is coarse, and what disturbs a step can be longer than one of its kernels.
        let norms = (0..many.len()).filter(|node| matches!(plan.nodes[*node].op, Op::Norm(_)));
        let mut norms: Vec<usize> = norms.collect();
        norms.pop();
        assert!(norms.iter().any(|node| many[*node]), "{}: {norms:?} {many:?}", device.name);
        for one_row in [&fresh, &again] {
            assert!(norms.iter().all(|node| !one_row[*node]), "{}: {norms:?} {one_row:?}", device.name);
        }
    }
    let software = backend.devices().iter().filter(|device| device.kind == DeviceKind::Software).count();
    assert!(clocks > 0 || software == 0, "the drivers that compute on the CPU have clocks");
}

#[test]
fn what_an_experiment_does_not_look_at_is_not_silently_left_out() {
    let devices = [find_device("cpu").unwrap()];
    let context = Request { context: 20, ..request(Experiment::Pages) };
    let batch = Request { batch: 3, ..request(Experiment::W8a8) };
    for unused in [context, batch] {
        let refused = run(&devices, &Tiny, &unused, &mut unwatched, &mut |_| {});
        assert!(matches!(refused, Err(MeasureError::Settings(_))));
    }
}
