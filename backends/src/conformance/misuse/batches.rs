//! Batches that cannot be run.

use super::{Check, Verdict, Victim, check, must_fail};
use crate::BackendError;
use crate::batch::{Batch, BatchError, InputRows, LogitRows, Tokens};
use crate::conformance::case::{Case, NO_CACHE, Step, input_batch, plain_rows};
use crate::conformance::random::Random;
use crate::conformance::run::prepare;
use crate::conformance::target::Target;
use crate::plan::PlanBuilder;
use crate::sampling::Sampling;
use crate::weights::WeightMap;

type Spoil = fn(&mut Batch);
type Right = fn(&BatchError) -> bool;

/// Ways to spoil the first batch of the conversation (11 tokens in 3 pages of 4, one sequence).
fn spoilt() -> Vec<(&'static str, Spoil, Right)> {
    vec![
        ("no sequences", |b| b.sequences.clear(), |e| matches!(e, BatchError::Empty)),
        (
            "no tokens",
            |b| b.sequences[0].tokens = Tokens::Ids(vec![]),
            |e| matches!(e, BatchError::NoTokens(0)),
        ),
        (
            "too many rows",
            |b| {
                b.sequences[0].tokens = Tokens::Ids(vec![1; 64]);
                b.sequences[0].pages = (0..16).collect();
                b.sequences[0].logits = LogitRows::None;
            },
            |e| matches!(e, BatchError::TooMany { what: "token rows", .. }),
        ),
        (
            "too many sequences",
            |b| {
                let one = b.sequences[0].clone();
                b.sequences = vec![one; 50];
            },
            |e| matches!(e, BatchError::TooMany { what: "sequences", .. }),
        ),
        (
            "too many selected rows",
            |b| {
                b.sequences[0].tokens = Tokens::Ids(vec![1; 12]);
                b.sequences[0].logits = LogitRows::All;
            },
            |e| matches!(e, BatchError::TooMany { what: "rows with logits", .. }),
        ),
        (
            "too few pages",
            |b| b.sequences[0].pages.truncate(2),
            |e| matches!(e, BatchError::PageCount { .. }),
        ),
        ("too many pages", |b| b.sequences[0].pages.push(39), |e| matches!(e, BatchError::PageCount { .. })),
        ("no pages", |b| b.sequences[0].pages.clear(), |e| matches!(e, BatchError::PageCount { .. })),
        (
            "a page out of range",
            |b| b.sequences[0].pages[1] = 40,
            |e| matches!(e, BatchError::PageOutOfRange { page: 40, pages: 40, .. }),
        ),
        (
            "the largest page",
            |b| b.sequences[0].pages[2] = u32::MAX,
            |e| matches!(e, BatchError::PageOutOfRange { page: u32::MAX, .. }),
        ),
        (
            "a page twice in one table",
            |b| b.sequences[0].pages[2] = b.sequences[0].pages[0],
            |e| matches!(e, BatchError::PageShared { .. }),
        ),
        (
            "a written page shared by two",
            |b| {
                let mut other = b.sequences[0].clone();
                other.tokens = Tokens::Ids(vec![1]);
                other.start = 10;
                other.logits = LogitRows::None;
                b.sequences[0].tokens = Tokens::Ids(vec![1; 10]);
                b.sequences[0].logits = LogitRows::None;
                b.sequences.push(other);
            },
            |e| matches!(e, BatchError::PageShared { .. }),
        ),
        (
            "a stray input",
            |b| b.inputs.push(InputRows { value: crate::plan::ValueId(0), data: vec![1.0] }),
            |e| matches!(e, BatchError::Input { .. }),
        ),
    ]
}

/// Tokens and positions that cannot be.
fn spoilt_tokens() -> Vec<(&'static str, Spoil, Right)> {
    vec![
        (
            "a token out of the vocabulary",
            |b| b.sequences[0].tokens = Tokens::Ids(vec![97; 11]),
            |e| matches!(e, BatchError::TokenOutOfRange { token: 97, vocabulary: 97, .. }),
        ),
        (
            "the largest token",
            |b| b.sequences[0].tokens = Tokens::Ids(vec![u32::MAX; 11]),
            |e| matches!(e, BatchError::TokenOutOfRange { token: u32::MAX, .. }),
        ),
        (
            "a draw that nobody made",
            |b| b.sequences[0].tokens = Tokens::Sampled(77),
            |e| matches!(e, BatchError::NoSuchDraw { sequence: 0, draw: 77 }),
        ),
        (
            "positions beyond counting",
            |b| b.sequences[0].start = u32::MAX - 5,
            |e| matches!(e, BatchError::PositionOverflow { .. }),
        ),
    ]
}

/// Options that make no sense.
fn bad_options() -> Vec<(&'static str, Sampling)> {
    let good = Sampling { temperature: 1.0, ..Sampling::greedy() };
    vec![
        ("a temperature that is no number", Sampling { temperature: f32::NAN, ..good.clone() }),
        ("a negative temperature", Sampling { temperature: -0.5, ..good.clone() }),
        ("an infinite temperature", Sampling { temperature: f32::INFINITY, ..good.clone() }),
        ("a top-p of 0", Sampling { top_p: 0.0, ..good.clone() }),
        ("a top-p above 1", Sampling { top_p: 1.5, ..good.clone() }),
        ("a negative min-p", Sampling { min_p: -0.1, ..good.clone() }),
        ("a repetition penalty of 0", Sampling { repetition_penalty: 0.0, ..good.clone() }),
        ("an infinite penalty", Sampling { frequency_penalty: f32::NEG_INFINITY, ..good.clone() }),
        ("a bias that is no number", Sampling { bias: vec![(1, f32::NAN)], ..good.clone() }),
        ("a bias out of the vocabulary", Sampling { bias: vec![(97, 1.0)], ..good.clone() }),
        ("a history out of the vocabulary", Sampling { history: vec![1, 97], ..good }),
    ]
}

pub(super) fn checks() -> Vec<(String, Check)> {
    let mut checks = vec![];
    for (name, spoil, right) in spoilt().into_iter().chain(spoilt_tokens()) {
        checks.push(check(name, move |target, victim| {
            let mut bad = victim.batch(0);
            spoil(&mut bad);
            victim.goes_on_after(target, |runner| {
                must_fail(name, runner.step(&bad), |e| matches!(e, BackendError::Batch(e) if right(e)))
            })
        }));
    }
    for (name, options) in bad_options() {
        checks.push(check(name, move |target, victim| {
            let mut bad = victim.batch(0);
            bad.sequences[0].sample = Some(options.clone());
            victim.goes_on_after(target, |runner| {
                must_fail(name, runner.step(&bad), |e| {
                    matches!(e, BackendError::Batch(BatchError::Sampling { sequence: 0, .. }))
                })
            })
        }));
    }
    checks.push(check("what the plan does not give", nothing_to_give));
    checks.push(check("inputs of a wrong size", wrong_inputs));
    checks
}

/// A plan without logits is asked for logits and for a token.
fn nothing_to_give(target: &Target<'_>, _: &Victim) -> Verdict {
    let case = input_case()?;
    let mut runner = prepare(target, &case).map_err(|e| e.to_string())?;
    let nothing = |e: &BackendError| matches!(e, BackendError::Batch(BatchError::NothingToSelect(0)));
    let Some(good) = case.batches().next() else { return Err("no batch".to_owned()) };
    let mut bad = good.clone();
    bad.sequences[0].logits = LogitRows::Last;
    must_fail("logits of a plan without any", runner.step(&bad), nothing)?;
    let mut bad = good.clone();
    bad.sequences[0].sample = Some(Sampling::greedy());
    must_fail("a token of a plan without any", runner.step(&bad), nothing)?;
    doubled(good, &runner.step(good).map_err(|e| e.to_string())?.taps[0].data)
}

fn wrong_inputs(target: &Target<'_>, _: &Victim) -> Verdict {
    let case = input_case()?;
    let mut runner = prepare(target, &case).map_err(|e| e.to_string())?;
    let wrong = |e: &BackendError| matches!(e, BackendError::Batch(BatchError::Input { .. }));
    let Some(good) = case.batches().next() else { return Err("no batch".to_owned()) };
    let spoils: [fn(&mut Batch); 4] = [
        |b| b.inputs.clear(),
        |b| b.inputs[0].data.truncate(5),
        |b| b.inputs[0].data.push(1.0),
        |b| b.sequences.push(plain_rows(1)),
    ];
    for spoil in spoils {
        let mut bad = good.clone();
        spoil(&mut bad);
        must_fail("a wrong input", runner.step(&bad), wrong)?;
        doubled(good, &runner.step(good).map_err(|e| e.to_string())?.taps[0].data)?;
    }
    Ok(())
}

/// Input rows, doubled.
pub(super) fn input_case() -> Result<Case, String> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 5);
    let y = plan.scale(x, 2.0);
    plan.tap(y);
    let plan = plan.finish().map_err(|e| e.to_string())?;
    let mut random = Random::named("doubled");
    let batch = input_batch(&plan, 3, |count| random.normals(count, 1.0));
    let mut case = Case::new(plan, WeightMap::default(), NO_CACHE, vec![Step::Run(batch)]);
    case.limits.sequences = 2;
    case.limits.rows = 8;
    Ok(case)
}

fn doubled(batch: &Batch, got: &[f32]) -> Verdict {
    let right = batch.inputs[0].data.iter().map(|x| 2.0 * x).collect::<Vec<_>>();
    if got == right { Ok(()) } else { Err(format!("then {got:?}, not {right:?}")) }
}
