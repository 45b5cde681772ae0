//! What goes wrong, and that the runner still works afterwards.

use std::ops::ControlFlow;

use super::*;
use crate::plan::{PlanError, Rows, Shape};
use crate::{
    Backend, BackendError, BatchError, DeviceId, InputRows, PageCopy, Progress, Runner, Ticket, WeightError,
    WeightMap,
};

fn refused(runner: &mut ReferenceRunner, sequences: Vec<SequenceStep>) -> BatchError {
    match runner.submit(&batch(sequences)) {
        Err(BackendError::Batch(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_batches_are_refused_and_change_nothing() {
    let greedy = Sampling::greedy();
    let expected = prepared().step(&batch(vec![ask(&[1, 2, 3], 0, &[0])])).unwrap();
    let mut runner = prepared();
    runner.step(&batch(vec![ask(&[1, 2], 0, &[0])])).unwrap();
    assert_eq!(refused(&mut runner, vec![]), BatchError::Empty);
    let bad = [
        ask(&[], 2, &[0]),
        ask(&[VOCABULARY as u32], 2, &[0]),
        ask(&[1; 33], 2, &[0; 9]),
        ask(&[1], 2, &[]),
        ask(&[1], 2, &[0, 1]),
        ask(&[1], 2, &[8]),
        ask(&[1], u32::MAX, &[0]),
        ask(&[1; 17], 2, &[0, 1, 2, 3, 4]),
        draw(Tokens::Sampled(0), 2, &[0], &greedy),
        draw(Tokens::Ids(vec![1]), 2, &[0], &Sampling { temperature: -1.0, ..greedy.clone() }),
        draw(Tokens::Ids(vec![1]), 2, &[0], &Sampling { history: vec![40], ..greedy.clone() }),
    ];
    for sequence in bad {
        refused(&mut runner, vec![sequence]);
    }
    let shared = refused(&mut runner, vec![ask(&[1], 2, &[0]), ask(&[1], 0, &[0])]);
    assert!(matches!(shared, BatchError::PageShared { page: 0, .. }));
    assert!(matches!(refused(&mut runner, vec![ask(&[1], 2, &[0]); 5]), BatchError::TooMany { .. }));
    let stray = InputRows { value: runner.plan().logits.unwrap(), data: vec![1.0] };
    let stray = Batch { sequences: vec![ask(&[1], 2, &[0])], inputs: vec![stray] };
    assert!(matches!(runner.submit(&stray), Err(BackendError::Batch(BatchError::Input { .. }))));
    let last = runner.step(&batch(vec![ask(&[3], 2, &[0])])).unwrap();
    assert_eq!(last.logits[0], expected.logits[0][2 * VOCABULARY..]);
}

#[test]
fn tickets_are_collected_in_order_and_two_wait_at_most() {
    let mut runner = prepared();
    let one = |start| batch(vec![ask(&[1], start, &[0])]);
    let first = runner.submit(&one(0)).unwrap();
    let second = runner.submit(&one(1)).unwrap();
    assert!(matches!(runner.submit(&one(2)), Err(BackendError::TooFarAhead)));
    let second_number = second.number();
    assert!(matches!(runner.collect(second), Err(BackendError::WrongTicket(n)) if n == second_number));
    runner.collect(first).unwrap();
    runner.collect(Ticket::new(second_number)).unwrap();
    assert!(matches!(runner.collect(Ticket::new(second_number)), Err(BackendError::WrongTicket(_))));
    assert!(runner.step(&one(2)).is_ok());
}

#[test]
fn pages_that_do_not_exist_are_not_copied() {
    let mut runner = prepared();
    let result = runner.copy_pages(&[PageCopy { from: 0, to: 1 }, PageCopy { from: 1, to: 8 }]);
    assert!(matches!(result, Err(BackendError::NoSuchPage { page: 8, pages: 8 })));
}

#[test]
fn logits_that_are_not_finite_are_an_error_of_the_step() {
    let mut plan = PlanBuilder::new();
    let logits = plan.input("logits", 4);
    plan.hand_out_logits(logits);
    plan.sample(logits);
    let mut runner = prepared_with(plan.finish().unwrap(), CACHE);
    let with = |rows: [f32; 8]| {
        let one = || draw(Tokens::Ids(vec![0]), 0, &[], &Sampling::greedy());
        let inputs = vec![InputRows { value: logits.value, data: rows.to_vec() }];
        Batch { sequences: vec![one(), one()], inputs }
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for broken in [
        [0.0, 1.0, 0.0, 0.0, 0.0, nan, 3.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0, inf, 3.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, -inf, -inf, -inf, -inf],
    ] {
        let error = runner.step(&with(broken)).unwrap_err();
        assert!(matches!(error, BackendError::NotFinite { sequence: 1 }), "{error}");
    }
    let good = with([0.0, 1.0, 0.0, 0.0, -inf, 2.0, 3.0, 0.0]);
    assert_eq!(runner.step(&good).unwrap().tokens, [Some(1), Some(2)]);
    // What the failed steps would have drawn is nobody's draw; that of the good one is.
    assert!(runner.step(&with(broken_row(nan))).is_err());
    let mut next = good.clone();
    next.sequences[0].tokens = Tokens::Sampled(1);
    assert_eq!(runner.step(&next).unwrap().tokens, [Some(1), Some(2)]);
}

fn broken_row(x: f32) -> [f32; 8] {
    [0.0, 1.0, 0.0, 0.0, x, 0.0, 0.0, 0.0]
}

#[test]
fn a_token_without_an_embedding_cannot_go_on() {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", 2, 1, WeightFormat::F32);
    let head = plan.matrix("head", 3, 1, WeightFormat::F32);
    let x = plan.embed(table);
    let logits = plan.logits(x, head);
    plan.sample(logits);
    let plan = Arc::new(plan.finish().unwrap());
    let mut weights = WeightMap::default();
    weights.insert("embedding", 1, vec![1.0, 1.0]);
    weights.insert("head", 1, vec![0.0, 1.0, 2.0]);
    let mut runner =
        ReferenceBackend.prepare_reference(plan, &weights, &options(CACHE), &mut no_progress).unwrap();
    let greedy = Sampling::greedy();
    let first = batch(vec![draw(Tokens::Ids(vec![1]), 0, &[], &greedy)]);
    assert_eq!(runner.step(&first).unwrap().tokens, [Some(2)]);
    let error = refused(&mut runner, vec![draw(Tokens::Sampled(0), 1, &[], &greedy)]);
    assert_eq!(error, BatchError::TokenOutOfRange { sequence: 0, token: 2, vocabulary: 2 });
    assert_eq!(runner.step(&first).unwrap().tokens, [Some(2)]);
}

fn preparing(
    plan: Plan,
    options: &PrepareOptions,
    progress: &mut crate::ProgressFn<'_>,
) -> Result<ReferenceRunner, BackendError> {
    ReferenceBackend.prepare_reference(Arc::new(plan), &SyntheticWeights::default(), options, progress)
}

#[test]
fn loading_reports_and_can_be_cancelled() {
    let mut seen = vec![];
    let mut watch = |p: &Progress<'_>| {
        seen.push((p.doing.to_owned(), p.done_bytes, p.total_bytes));
        ControlFlow::Continue(())
    };
    let runner = preparing(model(), &options(CACHE), &mut watch).unwrap();
    assert!(seen.is_sorted_by(|a, b| a.1 <= b.1));
    let (doing, done, total) = seen.last().unwrap();
    assert_eq!((doing.as_str(), done, *total), ("weights loaded", total, runner.memory().weights));
    assert!(seen.iter().any(|(doing, ..)| doing == "loading 1.down"));
    for stop_at in 0..seen.len() {
        let mut calls = 0;
        let mut cancel = |_: &Progress<'_>| {
            calls += 1;
            if calls > stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(matches!(preparing(model(), &options(CACHE), &mut cancel), Err(BackendError::Cancelled)));
    }
}

#[test]
fn what_cannot_be_prepared_is_named() {
    let error =
        |plan: Plan, options: PrepareOptions| preparing(plan, &options, &mut no_progress).unwrap_err();
    let tier = PrepareOptions { tier: Some("fast".to_owned()), ..options(CACHE) };
    assert!(matches!(error(model(), tier), BackendError::UnknownTier { .. }));
    let none = options(CacheOptions { pages: 0, ..CACHE });
    assert!(matches!(error(model(), none), BackendError::CacheOptions(_)));
    let huge = options(CacheOptions { pages: 1 << 31, page_tokens: 1 << 22, ..CACHE });
    assert!(matches!(error(model(), huge), BackendError::Format(_)));
    let mut absurd = options(CACHE);
    absurd.limits.rows = usize::MAX;
    assert!(matches!(error(model(), absurd), BackendError::Format(_)));
    let mut unsound = model();
    unsound.values[2].shape = Shape::rows_of(Rows::Selected, 3);
    assert!(matches!(error(unsound, options(CACHE)), BackendError::Plan(PlanError::Unsound { .. })));
    let empty = WeightMap::default();
    let missing =
        ReferenceBackend.prepare_reference(Arc::new(model()), &empty, &options(CACHE), &mut no_progress);
    assert!(matches!(missing, Err(BackendError::Weights(WeightError::Missing(_)))));
    let tier = PrepareOptions { tier: Some("reference".to_owned()), ..options(CACHE) };
    assert!(preparing(model(), &tier, &mut no_progress).is_ok());
}

#[test]
fn the_backend_has_one_device() {
    let devices = ReferenceBackend.devices();
    assert_eq!((devices.len(), devices[0].tiers.len()), (1, 1));
    assert_eq!(devices[0].id.to_string(), "reference:0");
    let prepare = |id: &DeviceId| {
        let weights = SyntheticWeights::default();
        ReferenceBackend.prepare(id, Arc::new(model()), &weights, &options(CACHE), &mut no_progress)
    };
    assert!(prepare(&devices[0].id).is_ok());
    assert!(ReferenceBackend.measure_bandwidth(&devices[0].id).unwrap() > 1e6);
    for id in [DeviceId { backend: "reference", index: 1 }, DeviceId { backend: "cpu", index: 0 }] {
        assert!(matches!(prepare(&id), Err(BackendError::UnknownDevice(_))));
        assert!(matches!(ReferenceBackend.measure_bandwidth(&id), Err(BackendError::UnknownDevice(_))));
    }
}
