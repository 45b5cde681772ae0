//! The life of a runner: chunks, running ahead, mistakes, memory, determinism.

use super::*;
use crate::{BackendError, BatchError, PageCopy};

fn last_logits(runner: &mut dyn Runner, sequence: SequenceStep) -> Vec<f32> {
    let step = SequenceStep { logits: LogitRows::Last, ..sequence };
    runner.step(&batch(vec![step])).unwrap().logits.remove(0)
}

/// Pages in the order of their numbers, so that a sequence's list only grows.
fn grow(tokens: &[u32], start: u32) -> SequenceStep {
    let step = ask(tokens, start, 3);
    SequenceStep { pages: step.pages.iter().rev().copied().collect(), ..step }
}

#[test]
fn prompts_in_chunks_equal_prompts_at_once() {
    let plan = Model::default().plan();
    let tokens = text(90, 4);
    let whole = last_logits(&mut *cpu(&plan, &options(CacheFormat::F16)), grow(&tokens, 0));
    for chunk in [1, 7, 16, 64] {
        let mut runner = cpu(&plan, &options(CacheFormat::F16));
        let mut logits = vec![];
        for (index, tokens) in tokens.chunks(chunk).enumerate() {
            logits = last_logits(&mut *runner, grow(tokens, (index * chunk) as u32));
        }
        assert!(distance(&logits, &whole) < 1e-3, "chunks of {chunk}");
    }
}

#[test]
fn the_same_steps_give_the_same_bits() {
    let plan = Model { softcap: Some(30.0), ..Model::default() }.plan();
    let run = |threads: usize| {
        let weights = SyntheticWeights::default();
        let device = DeviceId { backend: "cpu", index: 0 };
        let backend = CpuBackend::with_threads(threads);
        let plan = Arc::new(plan.clone());
        let mut runner =
            backend.prepare(&device, plan, &weights, &options(CacheFormat::F16), &mut no_progress).unwrap();
        let first = last_logits(&mut *runner, grow(&text(100, 1), 0));
        let second = last_logits(&mut *runner, grow(&[1], 100));
        [first, second].concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    for threads in [1, 2, 3] {
        assert_eq!(run(threads), run(threads));
    }
}

#[test]
fn running_ahead_draws_what_waiting_would() {
    let plan = Model::default().plan();
    for temperature in [0.0, 0.8] {
        let sample = Some(sampled(temperature));
        let first = SequenceStep { sample: sample.clone(), logits: LogitRows::None, ..grow(&text(5, 1), 0) };
        let mut waiting = cpu(&plan, &options(CacheFormat::F16));
        let mut expected = vec![waiting.step(&batch(vec![first.clone()])).unwrap().tokens[0].unwrap()];
        for start in 5..20 {
            let token = *expected.last().unwrap();
            let step = SequenceStep { sample: sample.clone(), ..grow(&[token], start) };
            expected.push(waiting.step(&batch(vec![step])).unwrap().tokens[0].unwrap());
        }
        let mut ahead = cpu(&plan, &options(CacheFormat::F16));
        let mut tickets = vec![ahead.submit(&batch(vec![first])).unwrap()];
        let mut drawn = vec![];
        for start in 5..20 {
            let step = SequenceStep {
                tokens: Tokens::Sampled(0),
                sample: sample.clone(),
                logits: LogitRows::None,
                ..grow(&[0], start)
            };
            tickets.push(ahead.submit(&batch(vec![step])).unwrap());
            drawn.push(ahead.collect(tickets.remove(0)).unwrap().tokens[0].unwrap());
        }
        drawn.push(ahead.collect(tickets.remove(0)).unwrap().tokens[0].unwrap());
        assert_eq!(drawn, expected);
    }
}

#[test]
fn draws_are_those_of_the_oracle() {
    let plan = Model::default().plan();
    let (mut fast, mut exact) =
        (cpu(&plan, &options(CacheFormat::F16)), oracle(&plan, &options(CacheFormat::F16)));
    for seed in 0..40 {
        let sampling = Sampling {
            temperature: 0.5 + seed as f32 / 20.0,
            top_k: [0, 5, 40][seed as usize % 3],
            top_p: [1.0, 0.9, 0.5][seed as usize / 3 % 3],
            min_p: [0.0, 0.05][seed as usize % 2],
            repetition_penalty: 1.3,
            frequency_penalty: 0.2,
            seed,
            bias: vec![(4, -3.0), (9, f32::NEG_INFINITY)],
            history: text(30, 7),
            ..Sampling::greedy()
        };
        let step = SequenceStep { sample: Some(sampling), ..grow(&text(9, seed as u32), 0) };
        let (a, b) = (fast.step(&batch(vec![step.clone()])), exact.step(&batch(vec![step])));
        assert_eq!(a.unwrap().tokens, b.unwrap().tokens, "seed {seed}");
    }
}

#[test]
fn mistakes_leave_the_runner_as_it_was() {
    let plan = Model::default().plan();
    let mut runner = cpu(&plan, &options(CacheFormat::F16));
    let expected = last_logits(&mut *runner, grow(&text(9, 1), 0));
    let beyond = grow(&[VOCABULARY as u32], 0);
    let error = runner.submit(&batch(vec![beyond])).unwrap_err();
    assert!(matches!(error, BackendError::Batch(BatchError::TokenOutOfRange { .. })));
    let ahead = SequenceStep { tokens: Tokens::Sampled(0), ..grow(&[0], 9) };
    assert!(runner.submit(&batch(vec![ahead])).is_err());
    assert!(runner.submit(&batch(vec![])).is_err());
    assert!(runner.copy_pages(&[PageCopy { from: 0, to: 64 }]).is_err());
    assert_eq!(last_logits(&mut *runner, grow(&text(9, 1), 0)), expected);
}

#[test]
fn logits_that_are_not_finite_draw_nothing() {
    let plan = Model::default().plan();
    let mut runner = cpu(&plan, &options(CacheFormat::F16));
    // A bias that forbids all tokens leaves none that is finite.
    let bias = (0..VOCABULARY as u32).map(|token| (token, f32::NEG_INFINITY)).collect();
    let sample = Some(Sampling { bias, ..Sampling::greedy() });
    let step = SequenceStep { sample, ..grow(&[1, 2], 0) };
    let error = runner.step(&batch(vec![step])).unwrap_err();
    assert!(matches!(error, BackendError::NotFinite { sequence: 0 }));
    assert_eq!(last_logits(&mut *runner, grow(&[1, 2], 0)).len(), VOCABULARY);
}

#[test]
fn copied_pages_go_on_as_the_original() {
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        let plan = Model::default().plan();
        let mut runner = cpu(&plan, &options(format));
        last_logits(&mut *runner, grow(&text(12, 1), 0));
        runner.copy_pages(&[PageCopy { from: 4, to: 40 }]).unwrap();
        let copy = SequenceStep { pages: vec![3, 40], ..grow(&[8], 12) };
        let original = last_logits(&mut *runner, grow(&[8], 12));
        assert_eq!(last_logits(&mut *runner, copy), original);
    }
}

#[test]
fn a_cache_beyond_all_memory_is_refused() {
    let plan = Arc::new(Model::default().plan());
    let device = DeviceId { backend: "cpu", index: 0 };
    let prepare = |pages: usize, tier: Option<&str>| {
        let mut options = options(CacheFormat::F16);
        options.cache.pages = pages;
        options.tier = tier.map(str::to_owned);
        let weights = SyntheticWeights::default();
        CpuBackend::default().prepare(&device, Arc::clone(&plan), &weights, &options, &mut no_progress)
    };
    // 2³⁰ pages are terabytes; 2⁴⁰ cannot even be numbered.
    match prepare(1 << 30, None) {
        Err(BackendError::OutOfMemory { advice, .. }) => assert!(advice.contains("pages"), "{advice}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("was granted"),
    }
    assert!(matches!(prepare(1 << 40, None), Err(BackendError::CacheOptions(_))));
    assert!(matches!(prepare(4, Some("sse9")), Err(BackendError::UnknownTier { .. })));
    assert!(prepare(4, Some("portable")).is_ok());
}

#[test]
fn profiles_have_a_time_for_each_node() {
    let plan = Model::default().plan();
    let mut runner = cpu(&plan, &options(CacheFormat::F16));
    assert_eq!(runner.profile(), None);
    runner.set_profiling(true);
    last_logits(&mut *runner, grow(&[1], 0));
    assert_eq!(runner.profile().unwrap().seconds.len(), plan.nodes.len());
    runner.set_profiling(false);
    last_logits(&mut *runner, grow(&[1], 0));
    assert_eq!(runner.profile(), None);
}

#[test]
fn long_contexts_are_cut_into_parts_and_put_together() {
    // One row, one key head: too few tasks for the threads, so positions are shared out.
    let model = Model { heads: 4, kv_heads: 1, sinks: true, ..Model::default() };
    let plan = model.plan();
    let mut large = options(CacheFormat::F16);
    large.cache.pages = 320;
    let tokens = text(2100, 3);
    let run = |mut runner: Box<dyn Runner>| {
        for (index, tokens) in tokens.chunks(100).enumerate() {
            let step = SequenceStep { logits: LogitRows::None, ..grow(tokens, index as u32 * 100) };
            runner.step(&batch(vec![step])).unwrap();
        }
        last_logits(&mut *runner, grow(&[5], 2100))
    };
    let distance = distance(&run(cpu(&plan, &large)), &run(oracle(&plan, &large)));
    assert!(distance < 1e-3, "{distance:e}");
}
