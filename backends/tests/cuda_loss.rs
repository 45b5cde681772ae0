//! A CUDA device that is lost because a kernel faulted. A process of its own, since drivers may give it no context afterwards.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::sync::Arc;

use ingle_backends::cuda::CudaBackend;
use ingle_backends::format::WeightFormat;
use ingle_backends::plan::{BatchLimits, PlanBuilder};
use ingle_backends::{
    Backend, BackendError, Batch, CacheOptions, InputRows, LogitRows, PrepareOptions, SequenceStep,
    SyntheticWeights, Tokens, no_progress,
};

fn is_lost<T>(result: Result<T, BackendError>, device: &str) -> bool {
    matches!(result, Err(BackendError::DeviceLost { device: lost, .. }) if lost.starts_with(device))
}

#[test]
fn who_uses_a_lost_device_is_told_and_nobody_else_is_harmed() {
    let backend = CudaBackend::default();
    let Some(device) = backend.devices().into_iter().next().map(|device| device.id) else {
        println!("not run: {:?}", backend.unavailable());
        return;
    };
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 256);
    let w = plan.matrix("w", 256, 256, WeightFormat::F16);
    let y = plan.linear(x, w);
    plan.tap(y);
    let plan = Arc::new(plan.finish().unwrap());
    let limits = BatchLimits { rows: 4, selected: 1, sequences: 1 };
    let options = PrepareOptions { cache: CacheOptions::default(), limits, tier: None };
    let tokens = Tokens::Ids(vec![0]);
    let sequence = SequenceStep { tokens, start: 0, pages: vec![], logits: LogitRows::None, sample: None };
    let inputs = plan.inputs().map(|value| InputRows { value, data: vec![0.5; 256] }).collect();
    let batch = Batch { sequences: vec![sequence], inputs };
    let weights = SyntheticWeights { seed: 1 };
    let prepare = || backend.prepare(&device, Arc::clone(&plan), &weights, &options, &mut no_progress);

    let mut runner = prepare().unwrap();
    let before = runner.step(&batch).unwrap();
    let ticket = runner.submit(&batch).unwrap();
    backend.lose_device(&device);
    let name = device.to_string();
    assert!(is_lost(runner.collect(ticket), &name));
    for _ in 0..2 {
        assert!(is_lost(runner.submit(&batch), &name) && is_lost(runner.copy_pages(&[]), &name));
    }
    // With the old runner still there, and without.
    for old in [None, Some(runner)] {
        drop(old);
        match prepare() {
            Ok(mut again) => assert_eq!(again.step(&batch).unwrap(), before),
            Err(error) => {
                println!("{error}");
                assert!(error.to_string().contains("start the program again"), "{error}");
                assert!(is_lost::<()>(Err(error), &name));
            }
        }
    }
}
