//! A fused plan is the same mathematics: the oracle must give the same numbers for it.

use super::*;
use crate::Runner;
use crate::format::ActivationScale;
use crate::plan::{ExpertOutput, Fusion, FusionSet, MatrixPart, Scoring};

/// A layer with separate projections and plain operators, and one with experts, both ready for every
/// rewrite.
fn unfused() -> Plan {
    let format = WeightFormat::W8a8(ActivationScale::PerToken);
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", VOCABULARY, 16, WeightFormat::F16);
    let rope = plan.rope_spec(RopeSpec::new(8, 10_000.0));
    let mut x = plan.embed(table);
    for layer in 0..2 {
        let name = |part: &str| format!("{layer}.{part}");
        let norms = [plan.vector(name("norm1"), 16), plan.vector(name("norm2"), 16)];
        let cache = plan.cache(1, 8);
        let h = plan.rms_norm(x, norms[0], 1e-6);
        let [q, k, v, out] = [("q", 16), ("k", 8), ("v", 8), ("out", 16)]
            .map(|(part, rows)| plan.matrix(name(part), rows, 16, format));
        let (q, k, v) = (plan.linear(h, q), plan.linear(h, k), plan.linear(h, v));
        let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
        let attended = plan.attention(q, k, v, cache, 2);
        let attended = plan.linear(attended, out);
        let attended = plan.scale(attended, 0.7);
        x = plan.add(x, attended);
        let h = plan.rms_norm(x, norms[1], 1e-6);
        let h = if layer == 0 {
            let (gate, up) =
                (plan.matrix(name("gate"), 24, 16, format), plan.matrix(name("up"), 24, 16, format));
            let down = plan.matrix(name("down"), 16, 24, format);
            let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
            let h = plan.silu_mul(gate, up);
            plan.linear(h, down)
        } else {
            experts(&mut plan, h)
        };
        x = plan.add(x, h);
    }
    let norm = plan.vector("norm", 16);
    let h = plan.rms_norm(x, norm, 1e-6);
    let logits = plan.logits(h, table);
    plan.sample(logits);
    plan.finish().unwrap()
}

fn experts(plan: &mut PlanBuilder, h: crate::plan::Columns) -> crate::plan::Columns {
    const EXPERTS: usize = 3;
    let router = plan.matrix("router", EXPERTS, 16, WeightFormat::F32);
    let logits = plan.linear(h, router);
    let how = ExpertOutput {
        top_k: 2,
        scoring: Scoring::Softmax,
        selection_bias: None,
        renormalize: true,
        factor: 1.5,
    };
    let routed = plan.route(logits, how);
    let mut of = |part: &str, rows, cols| {
        let part = |e| MatrixPart { tensor: format!("{part}.{e}"), first_row: 0, rows };
        plan.matrix_of((0..EXPERTS).map(part).collect(), cols, WeightFormat::Nf4)
    };
    let (gate, up, down) = (of("gate", 8, 16), of("up", 8, 16), of("down", 16, 8));
    let (gate, up) =
        (plan.expert_linear(h, routed, EXPERTS, gate), plan.expert_linear(h, routed, EXPERTS, up));
    let h = plan.silu_mul(gate, up);
    let h = plan.expert_linear(h, routed, EXPERTS, down);
    plan.expert_combine(h, routed)
}

/// All logits of a prompt, a mixed step and a draw.
fn results(plan: Plan) -> (Vec<f32>, Vec<Option<u32>>) {
    let mut runner = prepared_with(plan, CACHE);
    let first = runner.step(&batch(vec![ask(&[1, 2, 3, 4, 5], 0, &[3, 1])])).unwrap();
    let quiet = SequenceStep { logits: LogitRows::Last, ..ask(&[9, 8, 7], 0, &[0]) };
    let second = runner.step(&batch(vec![quiet, ask(&[6], 5, &[3, 1])])).unwrap();
    let warm = Sampling { temperature: 1.0, ..Sampling::greedy() };
    let ids = |token| Tokens::Ids(vec![token]);
    let last = vec![draw(ids(7), 6, &[3, 1], &warm), draw(ids(6), 3, &[0], &Sampling::greedy())];
    let last = runner.step(&batch(last)).unwrap();
    ([first.logits, second.logits].concat().concat(), last.tokens)
}

#[test]
fn every_rewrite_keeps_the_numbers() {
    let plan = unfused();
    let (logits, tokens) = results(plan.clone());
    assert_eq!(logits.len(), 7 * VOCABULARY);
    let alone = Fusion::ALL.map(|fusion| FusionSet::none().with(fusion));
    for set in alone.into_iter().chain([FusionSet::all()]) {
        let fused = plan.fused(set).unwrap();
        assert_ne!(fused, plan, "{set:?} found nothing to rewrite");
        let (fused_logits, fused_tokens) = results(fused);
        for (fused, plain) in fused_logits.iter().zip(&logits) {
            assert!((fused - plain).abs() <= 1e-6 * plain.abs().max(1.0), "{set:?}: {fused} and {plain}");
        }
        assert_eq!(fused_tokens, tokens, "{set:?}");
    }
}
