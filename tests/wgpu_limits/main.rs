//! GPUs that are smaller than those at hand: every wgpu device, opened as if it had less, held to the oracle.
//!
//! Matrices that a kernel cannot be shown whole are cut by rows. What cannot be cut is refused before anything is loaded,
//! by name, with what would work. Each device is tried with its best kernels and with those that every device has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod cases;

use std::sync::Arc;

use cases::TINY;
use ingle_backends::conformance::{CaseSpec, Conformance, Group, catalogue};
use ingle_backends::format::{CacheFormat, WeightFormat};
use ingle_backends::plan::{
    BatchLimits, ExpertOutput, FusionSet, LinearWeights, Plan, PlanBuilder, PlanError, Scoring,
};
use ingle_backends::wgpu::{LimitOverrides, WgpuBackend};
use ingle_backends::{
    Backend, BackendError, CacheOptions, DeviceId, DeviceInfo, PrepareOptions, ProgressFn, Runner,
    SyntheticWeights, Unavailable, WeightSource, no_progress,
};
use inglenook::models::{Architecture, WeightFormats};

const MIB: u64 = 1 << 20;

/// Devices with their best tier and their plainest.
struct BestAndPlainest(WgpuBackend);

impl Backend for BestAndPlainest {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let mut devices = self.0.devices();
        for device in &mut devices {
            device.tiers.drain(1..device.tiers.len().saturating_sub(1).max(1));
        }
        devices
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        self.0.unavailable()
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        self.0.measure_bandwidth(device)
    }

    fn revision(&self) -> String {
        self.0.revision()
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        self.0.prepare(device, plan, weights, options, progress)
    }
}

/// Runs cases on devices with these limits; every device has to take every case.
fn conforms(limits: LimitOverrides, cases: &[CaseSpec]) {
    let backend = BestAndPlainest(WgpuBackend::with_limits(limits));
    let devices = backend.devices();
    if devices.is_empty() {
        println!("not run: no GPU, not even a software one");
        return;
    }
    for device in devices {
        let (binding, buffer) = (device.limits.binding.unwrap(), device.limits.buffer.unwrap());
        assert!(limits.binding.is_none_or(|wish| binding <= wish), "{binding} bytes of a binding");
        assert!(limits.buffer.is_none_or(|wish| buffer <= wish), "{buffer} bytes of a buffer");
    }
    let mut run = Conformance::new(vec![&backend]);
    // What the environment demands is demanded where all backends run.
    run.expected = vec![];
    let start = std::time::Instant::now();
    let report = run.run_cases(cases).unwrap();
    println!("{report}{limits:?} in {:.1} s", start.elapsed().as_secs_f64());
    let problems = report.problems();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Some cases of the usual catalogue: each operator that reads weights or memory by the limits of the device.
fn usual() -> Vec<CaseSpec> {
    let wanted: [(Group, &[&str]); 7] = [
        (Group::Linear, &["linear/wide", "linear/large, small and zero rows", "linear/w8a8 130×127"]),
        (Group::Embed, &["embed/nf4 1000×192 times 1", "embed/f16 1000×192 times 1"]),
        (Group::Experts, &["experts/nf4 with bias", "experts/f16 with bias"]),
        (Group::Rows, &["rows/logits nf4 and tokens", "rows/tied head"]),
        (Group::Attention, &["attention/two layers f16", "attention/two layers int8"]),
        (Group::Sample, &["sample/large logits", "sample/100 sequences"]),
        (
            Group::Sequences,
            &["sequences/llama-like nf4, cache int8, fused", "sequences/mixture-like f32, cache f16, fused"],
        ),
    ];
    let mut cases = vec![];
    for (group, names) in wanted {
        let found = catalogue(group).into_iter().filter(|case| names.contains(&case.name.as_str()));
        let before = cases.len();
        cases.extend(found);
        assert_eq!(cases.len() - before, names.len(), "{group} has no longer all of {names:?}");
    }
    cases
}

/// What every GPU with WebGPU has.
#[test]
fn bindings_of_128_mib() {
    let limits = LimitOverrides { binding: Some(128 * MIB), ..LimitOverrides::default() };
    let beyond = cases::large((128 * MIB / 4096) as usize + 1000);
    conforms(limits, &usual().into_iter().chain([beyond]).collect::<Vec<_>>());
}

/// Less than any GPU has.
#[test]
fn the_smallest_of_everything() {
    let limits = LimitOverrides {
        binding: Some(32 * MIB),
        buffer: Some(256 * MIB),
        storage_buffers: Some(8),
        workgroup_memory: Some(16 << 10),
    };
    let beyond = cases::large((32 * MIB / 4096) as usize + 1000);
    conforms(limits, &usual().into_iter().chain([beyond]).collect::<Vec<_>>());
}

/// So little that every matrix is cut, also in the middle of an expert.
#[test]
fn matrices_in_pieces() {
    let limits =
        LimitOverrides { binding: Some(TINY), storage_buffers: Some(8), ..LimitOverrides::default() };
    conforms(limits, &cases::cut());
    // Where buffers are smaller than what a kernel could be shown of one, they decide.
    let limits = LimitOverrides { binding: Some(MIB), buffer: Some(TINY), ..LimitOverrides::default() };
    let some = cases::cut()
        .into_iter()
        .filter(|case| ["logits", "llama"].iter().any(|name| case.name.contains(name)));
    let some = some.collect::<Vec<_>>();
    assert_eq!(some.len(), 2);
    conforms(limits, &some);
}

#[test]
fn what_cannot_be_cut_is_refused_by_name() -> Result<(), PlanError> {
    let limits = LimitOverrides { binding: Some(TINY), ..LimitOverrides::default() };
    let backend = WgpuBackend::with_limits(limits);
    let devices = backend.devices();
    if devices.is_empty() {
        println!("not run: no GPU, not even a software one");
    }
    for device in devices {
        for Refused { plan, options, subject, remedy } in refused()? {
            let weights = SyntheticWeights { seed: 1 };
            let error = backend.prepare(&device.id, plan, &weights, &options, &mut no_progress).unwrap_err();
            let BackendError::TooLarge { what, needed, limit, advice, .. } = &error else {
                panic!("{subject}: {error:?}")
            };
            assert!(needed > limit && *limit == TINY, "{error}");
            assert!(what.contains(subject) && advice.contains(remedy), "{subject}, {remedy}: {error}");
            println!("{error}");
        }
        // None of it harmed the device.
        let (plan, options) = (product(64, 64)?, options(8, 1));
        let weights = SyntheticWeights { seed: 1 };
        backend.prepare(&device.id, plan, &weights, &options, &mut no_progress).unwrap();
    }
    Ok(())
}

/// A plan and options that are too large for tiny bindings, what is to be named, and what is to be advised.
struct Refused {
    plan: Arc<Plan>,
    options: PrepareOptions,
    subject: &'static str,
    remedy: &'static str,
}

fn refused() -> Result<Vec<Refused>, PlanError> {
    // A binding holds 32,768 numbers.
    let refused = |plan, options, subject, remedy| Refused { plan, options, subject, remedy };
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 400 };
    Ok(vec![
        refused(product(2, 40_000)?, options(1, 1), "one row of `blocks.3.up`", "fewer bits"),
        refused(product(700, 8)?, options(64, 1), "of 64 rows", "at most 46 rows"),
        refused(wide_experts()?, options(1, 1), "the vector `experts.bias`", "another device"),
        refused(talker()?, PrepareOptions { cache, ..options(8, 1) }, "400 pages", "pages"),
        refused(talker()?, options(8, 8), "biased and counted tokens", "smaller steps"),
        refused(product(1, 1)?, options(600, 1), "packed activations", "smaller steps"),
    ])
}

fn options(rows: usize, sequences: usize) -> PrepareOptions {
    let cache = CacheOptions { format: CacheFormat::F16, page_tokens: 16, pages: 4 };
    PrepareOptions { cache, limits: BatchLimits { rows, selected: sequences, sequences }, tier: None }
}

/// A product of `n` features of `k` columns.
fn product(n: usize, k: usize) -> Result<Arc<Plan>, PlanError> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", k);
    let matrix = plan.matrix("blocks.3.up", n, k, WeightFormat::F32);
    let y = plan.linear(x, matrix);
    plan.tap(y);
    plan.finish().map(Arc::new)
}

/// Experts with more biases together than any row has results.
fn wide_experts() -> Result<Arc<Plan>, PlanError> {
    let mut plan = PlanBuilder::new();
    let (x, logits) = (plan.input("x", 8), plan.input("logits", 6));
    let how = ExpertOutput {
        top_k: 2,
        scoring: Scoring::Softmax,
        renormalize: true,
        factor: 1.0,
        selection_bias: None,
    };
    let routed = plan.route(logits, how);
    let weights = LinearWeights {
        matrix: plan.matrix("experts", 36_000, 8, WeightFormat::F32),
        bias: Some(plan.vector("experts.bias", 36_000)),
    };
    let y = plan.expert_linear(x, routed, 6, weights);
    plan.tap(y);
    plan.finish().map(Arc::new)
}

/// A whole model.
fn talker() -> Result<Arc<Plan>, PlanError> {
    let plan = cases::llama().plan(&WeightFormats::usual(WeightFormat::Nf4).into())?;
    Ok(Arc::new(plan.fused(FusionSet::all())?))
}
