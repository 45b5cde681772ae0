//! Rows in and out: embeddings in every format, and which rows' logits are handed out.

use super::FORMATS;
use crate::batch::{Batch, LogitRows, SequenceStep, Tokens};
use crate::conformance::case::{
    Case, CaseSpec, Group, NO_CACHE, Step, plain_rows, random_weights, usual_spread,
};
use crate::conformance::random::Random;
use crate::format::WeightFormat;
use crate::plan::{Plan, PlanBuilder, PlanError};
use crate::sampling::Sampling;

pub(super) fn embeddings() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for format in FORMATS {
        for (vocabulary, width) in [(1, 1), (7, 3), (300, 65), (1000, 192), (33, 2049)] {
            for factor in [1.0, 5.656_854] {
                let name = format!("{format} {vocabulary}×{width} times {factor}");
                cases.push(CaseSpec::new(Group::Embed, name, move |random| {
                    let mut plan = PlanBuilder::new();
                    let table = plan.matrix("embedding", vocabulary, width, format);
                    let x = plan.embed_scaled(table, factor);
                    plan.tap(x);
                    let plan = plan.finish()?;
                    let weights = random_weights(&plan, random, usual_spread);
                    let steps = [1, 3, 64, 130].map(|rows| {
                        let sequences = vec![tokens(rows, vocabulary, random)];
                        Step::Run(Batch { sequences, inputs: vec![] })
                    });
                    Ok(Case::new(plan, weights, NO_CACHE, steps.to_vec()))
                }));
            }
        }
    }
    cases
}

/// A sequence of random tokens, the last of the vocabulary among them.
fn tokens(rows: usize, vocabulary: usize, random: &mut Random) -> SequenceStep {
    let mut ids = (0..rows).map(|_| random.below(vocabulary) as u32).collect::<Vec<_>>();
    ids[rows / 2] = vocabulary as u32 - 1;
    SequenceStep { tokens: Tokens::Ids(ids), ..plain_rows(rows) }
}

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for format in [WeightFormat::F32, WeightFormat::F16, WeightFormat::Nf4] {
        for samples in [false, true] {
            let name = format!("logits {format}{}", if samples { " and tokens" } else { "" });
            cases.push(CaseSpec::new(Group::Rows, name, move |random| asked_for(format, samples, random)));
        }
    }
    cases.push(CaseSpec::new(Group::Rows, "tied head", |random| {
        let mut plan = PlanBuilder::new();
        let table = plan.matrix("embedding", 90, 40, WeightFormat::F16);
        let x = plan.embed(table);
        let logits = plan.logits(x, table);
        let capped = plan.softcap(logits, 3.0);
        plan.hand_out_logits(capped);
        plan.sample(capped);
        Ok(over_requests(plan.finish()?, true, random))
    }));
    cases.push(CaseSpec::new(Group::Rows, "selected rows go on", |random| {
        let mut plan = PlanBuilder::new();
        let table = plan.matrix("embedding", 90, 40, WeightFormat::F32);
        let (weight, head) = (plan.vector("norm", 40), plan.matrix("head", 90, 40, WeightFormat::F16));
        let x = plan.embed(table);
        plan.tap(x);
        let selected = plan.select_rows(x);
        plan.tap(selected);
        let y = plan.rms_norm(selected, weight, 1e-6);
        let y = plan.add(y, selected);
        plan.tap(y);
        let logits = plan.linear(y, head);
        plan.hand_out_logits(logits);
        Ok(over_requests(plan.finish()?, false, random))
    }));
    cases
}

fn asked_for(format: WeightFormat, samples: bool, random: &mut Random) -> Result<Case, PlanError> {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", 90, 40, WeightFormat::F32);
    let head = plan.matrix("head", 131, 40, format);
    let x = plan.embed(table);
    let logits = plan.logits(x, head);
    if samples {
        plan.sample(logits);
    }
    Ok(over_requests(plan.finish()?, samples, random))
}

/// Batches whose sequences ask for nothing, the last row or all rows, with and without a token.
fn over_requests(plan: Plan, samples: bool, random: &mut Random) -> Case {
    use LogitRows::{All, Last, None};
    let batches: [&[(usize, LogitRows, bool)]; 6] = [
        &[(5, None, false)],
        &[(1, Last, true)],
        &[(3, All, false), (4, None, true), (1, Last, false)],
        &[(2, None, false), (6, None, false), (3, All, true)],
        &[(1, None, true), (1, None, false), (1, All, true), (17, Last, true)],
        &[(9, None, false), (1, None, false)],
    ];
    let weights = random_weights(&plan, random, usual_spread);
    let steps = batches.map(|sequences| {
        let sequences = sequences.iter().map(|(rows, logits, sample)| SequenceStep {
            logits: *logits,
            sample: (samples && *sample).then(Sampling::greedy),
            ..tokens(*rows, 90, random)
        });
        Step::Run(Batch { sequences: sequences.collect(), inputs: vec![] })
    });
    Case::new(plan, weights, NO_CACHE, steps.to_vec())
}
