//! Each rewrite on the smallest plan that shows it; that results stay equal is shown by conformance.

use super::*;
use crate::format::{ActivationScale, WeightFormat};
use crate::plan::{Element, PlanBuilder, RopeSpec, Rows};

/// One layer of a Llama and a head.
fn layer(format: WeightFormat) -> Plan {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embed", 50, 64, WeightFormat::F16);
    let norms: Vec<_> = (0..3).map(|i| plan.vector(format!("norm{i}"), 64)).collect();
    let q = plan.matrix("q", 64, 64, format);
    let k = plan.matrix("k", 32, 64, format);
    let v = plan.matrix("v", 32, 64, format);
    let o = plan.matrix("o", 64, 64, format);
    let gate = plan.matrix("gate", 96, 64, format);
    let up = plan.matrix("up", 96, 64, format);
    let down = plan.matrix("down", 64, 96, format);
    let rope = plan.rope_spec(RopeSpec::new(16, 10_000.0));
    let cache = plan.cache(2, 16);

    let x = plan.embed(table);
    let h = plan.rms_norm(x, norms[0], 1e-5);
    let (q, k, v) = (plan.linear(h, q), plan.linear(h, k), plan.linear(h, v));
    let (q, k) = (plan.rope(q, rope), plan.rope(k, rope));
    let attended = plan.attention(q, k, v, cache, 4);
    let attended = plan.linear(attended, o);
    let x = plan.add(x, attended);
    let h = plan.rms_norm(x, norms[1], 1e-5);
    let (gate, up) = (plan.linear(h, gate), plan.linear(h, up));
    let h = plan.silu_mul(gate, up);
    let down = plan.linear(h, down);
    let x = plan.add(x, down);
    let h = plan.rms_norm(x, norms[2], 1e-5);
    let logits = plan.logits(h, table);
    plan.sample(logits);
    plan.finish().unwrap()
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.nodes.iter().map(|node| node.op.name()).collect()
}

fn with(fusions: &[Fusion]) -> FusionSet {
    fusions.iter().fold(FusionSet::none(), |set, f| set.with(*f))
}

#[test]
fn no_fusion_changes_nothing() {
    let plan = layer(WeightFormat::F16);
    assert_eq!(plan.fused(FusionSet::none()).unwrap(), plan);
}

#[test]
fn everything_together_leaves_a_short_layer() {
    let fused = layer(WeightFormat::W8a8(ActivationScale::PerToken)).fused(FusionSet::all()).unwrap();
    let expected = [
        "embed",
        "rms_norm",
        "linear", // q + k + v
        "store_kv",
        "attention",
        "select_rows",
        "select_rows",
        "linear", // o, with the residual
        "rms_norm",
        "linear", // gate + up
        "gated",
        "linear", // down, with the residual
        "rms_norm",
        "linear", // logits
        "sample",
    ];
    assert_eq!(names(&fused), expected);
    let int8 = fused.values.iter().filter(|v| v.shape.element == Element::Int8Rows).count();
    // Both norms before projections and the gated activation; the final norm feeds an f16 head, and
    // what attention gives is quantised by the projection itself.
    assert_eq!(int8, 3);
    assert_eq!(fused.matrices.len(), 5);
}

#[test]
fn projections_of_one_input_become_columns_of_one_matrix() {
    let fused = layer(WeightFormat::Nf4).fused(with(&[Fusion::MergeProjections])).unwrap();
    let qkv = fused.matrices.iter().find(|m| m.parts.len() == 3).unwrap();
    assert_eq!((qkv.rows, qkv.cols), (128, 64));
    let tensors: Vec<_> = qkv.parts.iter().map(|p| p.tensor.as_str()).collect();
    assert_eq!(tensors, ["q", "k", "v"]);
    let store = fused.nodes.iter().find_map(|n| match &n.op {
        Op::StoreKv(store) => Some(store.clone()),
        _ => None,
    });
    assert_eq!((store.as_ref().unwrap().value.first, store.unwrap().value.width), (96, 32));
}

#[test]
fn tied_or_tapped_projections_stay_apart() {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 8);
    let a = plan.matrix("a", 8, 8, WeightFormat::F16);
    let b = plan.matrix("b", 8, 8, WeightFormat::F16);
    let c = plan.matrix("c", 8, 8, WeightFormat::F16);
    let (y, z, w) = (plan.linear(x, a), plan.linear(x, b), plan.linear(x, c));
    let again = plan.linear(y, a);
    let sum = plan.add(again, w);
    plan.tap(z);
    plan.tap(sum);
    let plan = plan.finish().unwrap();
    assert_eq!(plan.fused(with(&[Fusion::MergeProjections])).unwrap(), plan);
}

#[test]
fn experts_are_merged_expert_by_expert() {
    use crate::plan::{ExpertOutput, MatrixPart, Scoring};
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 16);
    let parts = |kind: &str| {
        let part = |e| MatrixPart { tensor: format!("{kind}{e}"), first_row: 0, rows: 8 };
        (0..4).map(part).collect::<Vec<_>>()
    };
    let router = plan.matrix("router", 4, 16, WeightFormat::F32);
    let gate = plan.matrix_of(parts("gate"), 16, WeightFormat::Nf4);
    let up = plan.matrix_of(parts("up"), 16, WeightFormat::Nf4);
    let logits = plan.linear(x, router);
    let how = ExpertOutput {
        top_k: 2,
        scoring: Scoring::Softmax,
        renormalize: true,
        factor: 1.0,
        selection_bias: None,
    };
    let routed = plan.route(logits, how);
    let (gate, up) = (plan.expert_linear(x, routed, 4, gate), plan.expert_linear(x, routed, 4, up));
    let h = plan.silu_mul(gate, up);
    let y = plan.expert_combine(h, routed);
    let y = y_padded(&mut plan, y);
    let y = plan.add(x, y);
    plan.tap(y);
    let fused = plan.finish().unwrap().fused(FusionSet::all()).unwrap();
    let merged = fused.matrices.iter().find(|m| m.parts.len() > 1).unwrap();
    let tensors: Vec<_> = merged.parts.iter().map(|p| p.tensor.as_str()).collect();
    assert_eq!(tensors, ["gate0", "up0", "gate1", "up1", "gate2", "up2", "gate3", "up3"]);
    assert_eq!(merged.rows, 64);
}

/// Brings 8 columns back to 16.
fn y_padded(plan: &mut PlanBuilder, y: Operand) -> Operand {
    let wider = plan.matrix("wider", 16, 8, WeightFormat::F16);
    plan.linear(y, wider)
}

#[test]
fn additions_go_into_the_norm_where_no_projection_takes_them() {
    let mut plan = PlanBuilder::new();
    let (x, y) = (plan.input("x", 8), plan.input("y", 8));
    let w = plan.vector("w", 8);
    let sum = plan.add(x, y);
    let h = plan.rms_norm(sum, w, 1e-6);
    let out = plan.add(sum, h);
    plan.tap(out);
    let fused = plan.finish().unwrap().fused(with(&[Fusion::AddNorm])).unwrap();
    assert_eq!(names(&fused), ["input", "input", "rms_norm", "add"]);
    let Op::Norm(norm) = &fused.nodes[2].op else { unreachable!("the names say so") };
    assert!(norm.add.is_some() && norm.sum.is_some());
}

#[test]
fn scales_become_factors() {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 8);
    let w = plan.matrix("w", 8, 8, WeightFormat::F16);
    let y = plan.linear(x, w);
    let y = plan.scale(y, 0.5);
    let y = plan.add(x, y);
    plan.tap(y);
    let fused = plan.finish().unwrap().fused(FusionSet::all()).unwrap();
    assert_eq!(names(&fused), ["input", "linear"]);
    let Op::Linear(linear) = &fused.nodes[1].op else { unreachable!("the names say so") };
    assert!((linear.factor - 0.5).abs() < f32::EPSILON && linear.residual.is_some());
}

#[test]
fn only_selected_rows_go_through_the_end_of_the_last_layer() {
    let fused = layer(WeightFormat::F16).fused(with(&[Fusion::SelectEarly])).unwrap();
    let rows = |wanted: &str| {
        let node = fused.nodes.iter().find(|n| n.name == wanted).unwrap();
        fused.values[node.op.outputs()[0].index()].shape.rows
    };
    assert_eq!(rows("attention"), Rows::Tokens);
    assert_eq!(rows("o"), Rows::Selected);
    assert_eq!(rows("down"), Rows::Selected);
}

#[test]
fn a_value_that_nobody_reads_does_not_take_the_selection_along() {
    let mut plan = PlanBuilder::new();
    let x = plan.input("x", 8);
    let head = plan.matrix("head", 20, 8, WeightFormat::F16);
    let _unread = plan.scale(x, 2.0);
    plan.tap(x);
    plan.logits(x, head);
    let plan = plan.finish().unwrap();
    assert_eq!(plan.fused(FusionSet::all()), Ok(plan));
}
