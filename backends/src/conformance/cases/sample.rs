//! Drawing tokens: greedy and not, every filter and penalty, small vocabularies and large ones.

use crate::batch::{Batch, LogitRows, SequenceStep, Tokens};
use crate::conformance::case::{Case, CaseSpec, Group, NO_CACHE, Step, input_rows};
use crate::conformance::random::Random;
use crate::plan::{Plan, PlanBuilder, PlanError};
use crate::sampling::Sampling;
use crate::weights::WeightMap;

/// Not greedy, nothing else.
fn warm() -> Sampling {
    Sampling { temperature: 0.9, ..Sampling::greedy() }
}

/// What varies, by name. History and seeds are filled in for each sequence.
fn options(vocabulary: usize) -> Vec<(&'static str, Sampling)> {
    let last = vocabulary as u32 - 1;
    vec![
        ("greedy", Sampling::greedy()),
        (
            "greedy with penalties",
            Sampling {
                repetition_penalty: 1.3,
                presence_penalty: 0.4,
                frequency_penalty: 0.2,
                ..Sampling::greedy()
            },
        ),
        ("greedy with bias", Sampling { bias: vec![(last, 2.5), (0, -1.0)], ..Sampling::greedy() }),
        ("warm", warm()),
        ("hot", Sampling { temperature: 3.0, ..warm() }),
        ("nearly greedy", Sampling { temperature: 0.01, ..warm() }),
        ("top-k 1", Sampling { top_k: 1, ..warm() }),
        ("top-k 5", Sampling { top_k: 5, ..warm() }),
        ("top-k 256", Sampling { top_k: 256, ..warm() }),
        ("top-p", Sampling { top_p: 0.8, ..warm() }),
        ("tiny top-p", Sampling { top_p: 1e-6, ..warm() }),
        ("min-p", Sampling { min_p: 0.1, ..warm() }),
        ("min-p 1", Sampling { min_p: 1.0, ..warm() }),
        ("all filters", Sampling { top_k: 40, top_p: 0.95, min_p: 0.05, ..warm() }),
        ("repetition below 1", Sampling { repetition_penalty: 0.8, ..warm() }),
        ("frequency", Sampling { frequency_penalty: -0.3, presence_penalty: 0.1, ..warm() }),
        (
            "forbidden",
            Sampling {
                bias: if vocabulary > 1 { vec![(0, f32::NEG_INFINITY), (last, 1.5)] } else { vec![] },
                ..warm()
            },
        ),
        (
            "everything",
            Sampling {
                top_k: 40,
                top_p: 0.9,
                min_p: 0.02,
                repetition_penalty: 1.1,
                presence_penalty: 0.2,
                frequency_penalty: 0.1,
                bias: vec![(0, 1.0), (last, -1.0), (0, 0.5)],
                ..warm()
            },
        ),
    ]
}

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for vocabulary in [1, 7, 300, 5000] {
        for (name, options) in options(vocabulary) {
            let name = format!("{name} of {vocabulary}");
            cases.push(CaseSpec::new(Group::Sample, name, move |random| {
                draws(vocabulary, &options, Logits::Ordinary, random)
            }));
        }
        for (name, options) in [
            ("greedy", Sampling::greedy()),
            ("warm", warm()),
            ("top-k", Sampling { top_k: 9, ..warm() }),
            ("min-p", Sampling { min_p: 0.5, ..warm() }),
        ] {
            let tied = options.clone();
            cases.push(CaseSpec::new(Group::Sample, format!("ties {name} of {vocabulary}"), move |random| {
                draws(vocabulary, &tied, Logits::Tied, random)
            }));
            cases.push(CaseSpec::new(
                Group::Sample,
                format!("equal {name} of {vocabulary}"),
                move |random| draws(vocabulary, &options, Logits::Equal, random),
            ));
        }
    }
    // As large as models have them, and no multiple of anything.
    for name in ["greedy with penalties", "warm", "hot", "top-p", "all filters"] {
        let found = options(70_001).into_iter().find(|(other, _)| *other == name);
        if let Some((name, options)) = found {
            cases.push(CaseSpec::new(Group::Sample, format!("{name} of 70001"), move |random| {
                let one = |random: &mut Random| vec![sequence(70_001, 1, &options, random)];
                let batches = (0..3).map(|_| one(random)).collect();
                case_of(70_001, batches, Logits::Ordinary, random)
            }));
        }
    }
    cases.push(CaseSpec::new(Group::Sample, "large logits", |random| {
        draws(300, &Sampling { top_p: 0.9, ..warm() }, Logits::Large, random)
    }));
    cases.push(CaseSpec::new(Group::Sample, "100 sequences", hundred));
    cases
}

/// What logits are like.
#[derive(Clone, Copy, Debug)]
enum Logits {
    Ordinary,
    /// Few different numbers.
    Tied,
    /// One number.
    Equal,
    /// Far from 0, as some models make them.
    Large,
}

impl Logits {
    fn make(self, count: usize, random: &mut Random) -> Vec<f32> {
        let mut logits = random.normals(count, 2.0);
        for l in &mut logits {
            match self {
                Self::Ordinary => {}
                Self::Tied => *l = l.round(),
                Self::Equal => *l = -1.25,
                Self::Large => *l = 30.0 * *l + 500.0,
            }
        }
        logits
    }
}

fn plan(vocabulary: usize) -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("logits", vocabulary);
    let selected = plan.select_rows(x);
    plan.hand_out_logits(selected);
    plan.sample(selected);
    plan.finish()
}

/// A sequence that draws, at a position and with a seed of its own.
fn sequence(vocabulary: usize, rows: usize, options: &Sampling, random: &mut Random) -> SequenceStep {
    let ids = (0..rows).map(|_| random.below(vocabulary) as u32).collect::<Vec<_>>();
    let mut options = options.clone();
    options.seed = random.bits();
    if options.penalizes() {
        // Some tokens often, and the step's own, so that nobody has any to add.
        let few = 1 + vocabulary / 3;
        options.history = (0..12).map(|_| random.below(few.min(9)) as u32).chain(ids.clone()).collect();
    }
    SequenceStep {
        tokens: Tokens::Ids(ids),
        start: random.below(5000) as u32,
        pages: vec![],
        logits: LogitRows::None,
        sample: Some(options),
    }
}

fn case_of(
    vocabulary: usize,
    batches: Vec<Vec<SequenceStep>>,
    logits: Logits,
    random: &mut Random,
) -> Result<Case, PlanError> {
    let plan = plan(vocabulary)?;
    let steps = batches.into_iter().map(|sequences| {
        let rows = sequences.iter().map(|s| s.tokens.len()).sum();
        let inputs = input_rows(&plan, rows, &mut |count| logits.make(count, random));
        Step::Run(Batch { sequences, inputs })
    });
    let steps = steps.collect();
    Ok(Case::new(plan, WeightMap::default(), NO_CACHE, steps))
}

/// Several sequences, some with several rows and some that draw nothing, over several steps.
fn draws(
    vocabulary: usize,
    options: &Sampling,
    logits: Logits,
    random: &mut Random,
) -> Result<Case, PlanError> {
    let mut batches = vec![];
    for _ in 0..4 {
        let mut batch = vec![];
        for rows in [1, 3, 1, 1, 2] {
            let mut sequence = sequence(vocabulary, rows, options, random);
            sequence.logits = [LogitRows::None, LogitRows::Last, LogitRows::All][random.below(3)];
            if batch.len() == 2 {
                sequence.sample = None;
            }
            batch.push(sequence);
        }
        batches.push(batch);
    }
    case_of(vocabulary, batches, logits, random)
}

/// A hundred sequences, each with options of its own.
fn hundred(random: &mut Random) -> Result<Case, PlanError> {
    let all = options(300);
    let one = |i: usize, random: &mut Random| sequence(300, 1, &all[i % all.len()].1, random);
    let batches = (0..2).map(|_| (0..100).map(|i| one(i, random)).collect()).collect();
    case_of(300, batches, Logits::Ordinary, random)
}
