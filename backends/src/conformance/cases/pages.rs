//! Copies of cache pages: a branch takes over what the trunk wrote, in every layer, before and after steps.

use crate::batch::{Batch, Tokens};
use crate::conformance::case::{
    Case, CaseSpec, Group, Growing, PageShuffle, Spread, Step, input_rows, random_weights,
};
use crate::conformance::random::Random;
use crate::format::CacheFormat;
use crate::plan::{Plan, PlanBuilder, PlanError};
use crate::{CacheOptions, PageCopy};

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for format in [CacheFormat::F16, CacheFormat::Int8] {
        for page_tokens in [1, 4, 16] {
            let cache = CacheOptions { format, page_tokens, pages: 60 };
            for ahead in [false, true] {
                let name = format!("{format} {page_tokens}{}", if ahead { " run ahead" } else { "" });
                cases.push(CaseSpec::new(Group::Pages, name, move |random| branch(cache, ahead, random)));
            }
        }
    }
    cases
}

fn plan() -> Result<Plan, PlanError> {
    let mut plan = PlanBuilder::new();
    let (a, b) = (plan.input("a", 4 * 16 + 2 * 32), plan.input("b", 3 * 24));
    let (first, second) = (plan.cache(2, 16), plan.cache(3, 8));
    let (q, k, v) = (a.columns(0, 64), a.columns(64, 32), a.columns(96, 32));
    let attended = plan.attention(q, k, v, first, 4);
    plan.tap(attended);
    let (q, k, v) = (b.columns(0, 24), b.columns(24, 24), b.columns(48, 24));
    let attended = plan.attention(q, k, v, second, 3);
    plan.tap(attended);
    plan.finish()
}

/// The trunk reads a prompt; a branch copies its pages, all of them and the last one half full; then both
/// go on, and the trunk overwrites nothing that the branch sees.
fn branch(cache: CacheOptions, ahead: bool, random: &mut Random) -> Result<Case, PlanError> {
    let plan = plan()?;
    let weights = random_weights(&plan, random, |_| Spread::Zero(1.0));
    let mut pool = PageShuffle::new(&cache, random);
    let (mut trunk, mut steps) = (Growing::default(), vec![]);
    let run = |sequences: Vec<crate::batch::SequenceStep>, random: &mut Random| {
        let rows = sequences.iter().map(|s| s.tokens.len()).sum();
        let batch =
            Batch { sequences, inputs: input_rows(&plan, rows, &mut |count| random.normals(count, 1.0)) };
        if ahead { Step::Ahead(batch) } else { Step::Run(batch) }
    };
    let tokens = |count: usize| Tokens::Ids(vec![0; count]);
    steps.push(run(vec![trunk.add(tokens(10), &mut pool)], random));
    let mut branches = vec![];
    for _ in 0..2 {
        let mut branch = Growing { length: trunk.length, pages: vec![] };
        let mut copies = vec![];
        for from in &trunk.pages {
            let Some(to) = pool.page() else { continue };
            copies.push(PageCopy { from: *from, to });
            branch.pages.push(to);
        }
        steps.push(Step::Copy(copies));
        steps.push(run(vec![trunk.add(tokens(3), &mut pool), branch.add(tokens(1), &mut pool)], random));
        branches.push(branch);
    }
    for _ in 0..2 {
        let mut sequences = vec![trunk.add(tokens(1), &mut pool)];
        sequences.extend(branches.iter_mut().map(|branch| branch.add(tokens(2), &mut pool)));
        steps.push(run(sequences, random));
    }
    // Copying nothing is allowed.
    steps.push(Step::Copy(vec![]));
    Ok(Case::new(plan, weights, cache, steps))
}
