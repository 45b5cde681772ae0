//! Measuring on whatever device there is: that the choice is a valid one, is remembered, and changes no results.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::conformance::Random;
use crate::plan::{BatchLimits, PlanBuilder};
use crate::wgpu::WgpuBackend;
use crate::{
    Backend, Batch, CacheOptions, DeviceId, InputRows, LogitRows, Progress, SequenceStep, SyntheticWeights,
    Tokens,
};

/// Two products of one kind and one of another.
fn plan() -> Arc<Plan> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 320);
    for (tensor, rows) in [("a", 192), ("b", 192), ("c", 67)] {
        let matrix = plan.matrix(tensor, rows, 320, WeightFormat::Nf4);
        let y = plan.linear(x, matrix);
        plan.tap(y);
    }
    Arc::new(plan.finish().unwrap())
}

fn options() -> PrepareOptions {
    PrepareOptions {
        cache: CacheOptions::default(),
        limits: BatchLimits { rows: 2, selected: 1, sequences: 1 },
        tier: None,
    }
}

/// What a backend computes for `rows` rows, and what it said meanwhile.
fn results(backend: &WgpuBackend, device: &DeviceId, rows: usize) -> (Vec<Vec<f32>>, Vec<String>) {
    let plan = plan();
    let mut said = vec![];
    let mut listen = |progress: &Progress<'_>| {
        said.push(progress.doing.to_owned());
        ControlFlow::Continue(())
    };
    let weights = SyntheticWeights::default();
    let mut runner = backend.prepare(device, Arc::clone(&plan), &weights, &options(), &mut listen).unwrap();
    let mut random = Random::named("rows");
    let data = (0..rows * 320).map(|_| random.symmetric(1.0) as f32).collect();
    let inputs = plan.inputs().map(|value| InputRows { value, data: Vec::clone(&data) }).collect();
    let (tokens, pages) = (Tokens::Ids(vec![0; rows]), vec![]);
    let sequence = SequenceStep { tokens, start: 0, pages, logits: LogitRows::None, sample: None };
    let output = runner.step(&Batch { sequences: vec![sequence], inputs }).unwrap();
    (output.taps.into_iter().map(|tap| tap.data).collect(), said)
}

fn measuring(folder: &Path) -> WgpuBackend {
    WgpuBackend::with_cache(Some(folder.to_owned())).tuned(Tuning::Always)
}

fn tunes(said: &[String]) -> bool {
    said.iter().any(|doing| doing.starts_with("tuning kernels"))
}

#[test]
fn what_is_measured_is_remembered_and_changes_no_results() {
    let folder = tempfile::tempdir().unwrap();
    let Some(device) = WgpuBackend::default().devices().into_iter().next().map(|device| device.id) else {
        println!("not run: there is no device");
        return;
    };
    let (plain, said) = results(&WgpuBackend::default(), &device, 2);
    assert!(!tunes(&said), "without a folder nothing is measured: {said:?}");
    let backend = measuring(folder.path());
    let (first, said) = results(&backend, &device, 2);
    assert!(tunes(&said), "{said:?}");
    let agree = |a: &[Vec<f32>], b: &[Vec<f32>]| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            let far = a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() > 1e-4 * a.abs().max(1.0)).count();
            assert!(a.len() == b.len() && far == 0, "{far} of {}", a.len());
        }
    };
    agree(&plain, &first);
    // Two kinds of matrices in two regimes of rows are known, with shapes that there are or none.
    let path = folder.path().join("tuning.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = file["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 4, "{text}");
    let valid = |entry: &serde_json::Value| match entry["shape"].as_str() {
        None => entry["shape"].is_null(),
        Some(shape) => SHAPES.iter().any(|known| format!("{known:?}") == shape),
    };
    assert!(entries.iter().all(valid), "{text}");
    // Neither this process nor the next measures again, and the same file gives the same bits.
    for backend in [backend, measuring(folder.path())] {
        let (again, said) = results(&backend, &device, 2);
        assert!(!tunes(&said), "{said:?}");
        assert_eq!(again, first);
    }
    // A forced file: every shape is used, and none computes anything else.
    for shape in SHAPES {
        let mut file = file.clone();
        for entry in file["entries"].as_array_mut().unwrap() {
            entry["shape"] = format!("{shape:?}").into();
        }
        std::fs::write(&path, file.to_string()).unwrap();
        for rows in [1, 2] {
            let (forced, said) = results(&measuring(folder.path()), &device, rows);
            assert!(!tunes(&said), "{said:?}");
            let plain: Vec<Vec<f32>> = plain.iter().map(|y| y[..y.len() / 2 * rows].to_vec()).collect();
            agree(&plain, &forced);
        }
    }
    // What is damaged is measured anew and written anew.
    std::fs::write(&path, "{\"version\": 1, \"entr").unwrap();
    let (anew, said) = results(&measuring(folder.path()), &device, 2);
    assert!(tunes(&said), "{said:?}");
    agree(&plain, &anew);
    assert!(serde_json::from_str::<serde_json::Value>(&std::fs::read_to_string(&path).unwrap()).is_ok());
}

#[test]
fn software_devices_are_left_alone_unless_somebody_insists() {
    assert!(!Tuning::Usual.measures(DeviceKind::Software));
    assert!(Tuning::Usual.measures(DeviceKind::Discrete) && Tuning::Usual.measures(DeviceKind::Integrated));
    assert!(Tuning::Always.measures(DeviceKind::Software) && !Tuning::Off.measures(DeviceKind::Discrete));
}
