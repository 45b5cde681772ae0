//! Rotation: every scaling, both layouts, whole and part of the head, near and far positions.

use crate::batch::Batch;
use crate::conformance::case::{Case, CaseSpec, Group, NO_CACHE, Step, input_rows, plain_rows};
use crate::conformance::random::Random;
use crate::plan::{PlanBuilder, PlanError, RopeLayout, RopeScaling, RopeSpec};
use crate::weights::WeightMap;

fn scalings(pairs: usize) -> Vec<(&'static str, RopeScaling)> {
    let yarn = |magnitude, truncate| RopeScaling::Yarn {
        factor: 4.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        original_context: 4096.0,
        magnitude,
        truncate,
    };
    vec![
        ("unscaled", RopeScaling::None),
        ("linear", RopeScaling::Linear { factor: 8.0 }),
        (
            "llama3",
            RopeScaling::Llama3 {
                factor: 8.0,
                low_frequency: 1.0,
                high_frequency: 4.0,
                original_context: 8192.0,
            },
        ),
        ("yarn", yarn(None, true)),
        ("yarn with magnitude", yarn(Some(0.75), false)),
        (
            "per frequency",
            RopeScaling::PerFrequency {
                divisors: (0..pairs).map(|i| 1.0 + 0.3 * i as f64).collect(),
                magnitude: 1.19,
            },
        ),
    ]
}

pub(super) fn cases() -> Vec<CaseSpec> {
    let mut cases = vec![];
    for (head_dim, rotary_dim) in [(8, 8), (64, 64), (80, 32), (128, 128), (96, 24), (2, 2)] {
        for (name, scaling) in scalings(rotary_dim / 2) {
            for layout in [RopeLayout::Halves, RopeLayout::Interleaved] {
                let spec =
                    RopeSpec { head_dim, rotary_dim, layout, base: 500_000.0, scaling: scaling.clone() };
                let name = format!("{name} {layout:?} {rotary_dim} of {head_dim}");
                cases.push(CaseSpec::new(Group::Rope, name, move |random| case(&spec, random)));
            }
        }
    }
    cases
}

/// Whole values and columns of a wider one, at positions from 0 to the end of a long context.
fn case(spec: &RopeSpec, random: &mut Random) -> Result<Case, PlanError> {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 3 * spec.head_dim);
    let qkv = plan.input("qkv", 7 * spec.head_dim + 3);
    let rope = plan.rope_spec(spec.clone());
    for input in [x, qkv.columns(0, 4 * spec.head_dim), qkv.columns(4 * spec.head_dim, 2 * spec.head_dim)] {
        let y = plan.rope(input, rope);
        plan.tap(y);
    }
    let plan = plan.finish()?;
    let starts: [(u32, usize); 6] = [(0, 9), (131_071, 1), (1, 1), (8191, 3), (100_003, 2), (77, 17)];
    let steps = [&starts[..], &starts[1..2], &starts[..1]].map(|starts| {
        let rows = starts.iter().map(|(_, rows)| rows).sum();
        let sequences = starts.iter().map(|(start, rows)| {
            let mut step = plain_rows(*rows);
            step.start = *start;
            step
        });
        let sequences = sequences.collect();
        Step::Run(Batch { sequences, inputs: input_rows(&plan, rows, &mut |n| random.normals(n, 1.0)) })
    });
    Ok(Case::new(plan, WeightMap::default(), NO_CACHE, steps.to_vec()))
}
