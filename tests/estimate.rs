//! What is said to fit is what is then allocated: 50 models of random sizes and formats on the CPU.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::sync::Arc;

use inglenook::backend::conformance::Random;
use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{BatchLimits, Function, RopeSpec};
use inglenook::backend::{CacheOptions, PrepareOptions, SyntheticWeights, no_progress};
use inglenook::estimate::{DeviceSpec, Efficiency, Question};
use inglenook::find_device;
use inglenook::fit::cache_for;
use inglenook::models::arch::Dimensions;
use inglenook::models::arch::llama::Llama;
use inglenook::models::{Architecture, WeightFormats};

/// A model of random sizes: small enough to be loaded in a moment, and so large that what a backend keeps for its own use is little
/// beside it, as it is with models that people run.
fn model(random: &mut Random) -> Llama {
    let kv_heads = 1 + random.below(3);
    let heads = kv_heads * (1 + random.below(3));
    let head_dim = 16 * (1 + random.below(6));
    Llama::from(Dimensions {
        hidden: 8 * (96 + random.below(48)),
        layers: 5 + random.below(4),
        heads,
        kv_heads,
        head_dim,
        feed_forward: 8 * (240 + random.below(120)),
        activation: Function::Silu,
        vocabulary: 500 + random.below(1000),
        context: 512,
        epsilon: 1e-5,
        rope: RopeSpec::new(head_dim, 10_000.0).into(),
        tied: random.below(2) == 0,
    })
}

#[test]
fn what_is_said_to_fit_is_what_is_allocated() {
    let device = find_device("cpu").unwrap();
    let mut random = Random::new(50);
    let formats = ["f32", "f16", "bf16", "int8", "int8-g128", "nf4", "int4", "w8a8"];
    let mut largest: f64 = 0.0;
    for case in 0..50 {
        let weights: WeightFormat = formats[random.below(formats.len())].parse().unwrap();
        let cache = if random.below(2) == 0 { CacheFormat::F16 } else { CacheFormat::Int8 };
        let (batch, context) = (1 + random.below(4), 16 + random.below(400));
        let model = model(&mut random);
        let plan = Arc::new(model.plan(&WeightFormats::usual(weights).into()).unwrap());

        let one = cache_for(context, cache);
        let options = PrepareOptions {
            cache: CacheOptions { pages: one.pages * batch, ..one },
            limits: BatchLimits { rows: batch, selected: batch, sequences: batch },
            tier: None,
        };
        let source = SyntheticWeights { seed: case };
        let runner = device
            .backend
            .prepare(&device.info.id, Arc::clone(&plan), &source, &options, &mut no_progress)
            .unwrap();
        let allocated = runner.memory().total();

        let verdict = |memory: f64| {
            let device = DeviceSpec {
                name: "as large as what was allocated".to_owned(),
                memory_bytes: memory as u64,
                bytes_per_second: 1e9,
                f16_operations_per_second: 1e9,
                int8_operations_per_second: None,
                link_bytes_per_second: 1e9,
            };
            let question = Question {
                plan: &plan,
                weights,
                cache,
                device: &device,
                devices: 1,
                context,
                batch: Some(batch),
                efficiency: Efficiency::default(),
            };
            let footprint = question.footprint(batch).total();
            (question.answer().fits, footprint)
        };
        let (fits, said) = verdict(1.02 * allocated as f64);
        largest = largest.max((said as f64 / allocated as f64 - 1.0).abs());
        assert!(fits, "case {case}: {said} bytes were said, {allocated} allocated");
        let (fits, _) = verdict(0.98 * allocated as f64);
        assert!(!fits, "case {case}: {said} bytes were said, {allocated} allocated");
    }
    println!("the largest difference is {:.3} %", 100.0 * largest);
}
