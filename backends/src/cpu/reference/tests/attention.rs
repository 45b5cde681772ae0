//! Attention through a plan against a direct reading of its formula.

use super::*;
use crate::Runner;
use crate::cpu::reference::testing::{assert_close, prepare};
use crate::plan::{Attention, Columns, Op, RotateQuery, StoreKv};
use crate::{InputRows, WeightMap};

const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DIM: usize = 4;

/// A plan over given q, k and v.
struct Given {
    plan: PlanBuilder,
    q: Columns,
    k: Columns,
    v: Columns,
}

impl Given {
    fn new() -> Self {
        let mut plan = PlanBuilder::new();
        let q = plan.input("q", HEADS * DIM);
        let (k, v) = (plan.input("k", KV_HEADS * DIM), plan.input("v", KV_HEADS * DIM));
        Self { plan, q, k, v }
    }

    /// Rows of numbers that f16 holds exactly, of which `skip` are left out at the beginning.
    fn batch(&self, rows: usize, skip: usize, pages: &[u32]) -> Batch {
        let numbers = |input: Columns| {
            let number = |i: usize| ((i * 37 + input.value.index() * 11) % 64) as f32 / 16.0 - 2.0;
            let data = (skip * input.width..(skip + rows) * input.width).map(number).collect();
            InputRows { value: input.value, data }
        };
        let sequence = SequenceStep { logits: LogitRows::None, ..ask(&vec![0; rows], skip as u32, pages) };
        Batch { sequences: vec![sequence], inputs: [self.q, self.k, self.v].map(numbers).to_vec() }
    }
}

/// `softmax(cap(scale · q·kᵀ)) · v` by its formula, without any care for overflow.
fn formula(
    batch: &Batch,
    window: usize,
    scale: f64,
    cap: Option<f64>,
    sinks: Option<[f64; HEADS]>,
) -> Vec<f64> {
    let [q, k, v] = [0, 1, 2].map(|i| &batch.inputs[i].data);
    let at = |x: &[f32], width: usize, row: usize, i: usize| f64::from(x[row * width + i]);
    let rows = q.len() / (HEADS * DIM);
    let mut out = vec![];
    for row in 0..rows {
        for head in 0..HEADS {
            let kv = head / (HEADS / KV_HEADS);
            let weight = |seen: usize| {
                let product = (0..DIM)
                    .map(|i| {
                        at(q, HEADS * DIM, row, head * DIM + i) * at(k, KV_HEADS * DIM, seen, kv * DIM + i)
                    })
                    .sum::<f64>();
                let score = scale * product;
                cap.map_or(score, |c| c * (score / c).tanh()).exp()
            };
            let seen = (row + 1).saturating_sub(window)..=row;
            let total = seen.clone().map(weight).sum::<f64>() + sinks.map_or(0.0, |s| s[head].exp());
            for i in 0..DIM {
                let value = |seen| at(v, KV_HEADS * DIM, seen, kv * DIM + i);
                out.push(seen.clone().map(|s| weight(s) / total * value(s)).sum());
            }
        }
    }
    out
}

fn run(given: Given, attention: Attention, weights: &WeightMap, pages: &[u32]) -> (Vec<f64>, Batch) {
    let batch = given.batch(11, 0, pages);
    let Given { mut plan, k, v, .. } = given;
    let attended = plan.attend(k, v, attention);
    plan.tap(attended);
    let mut runner = prepare(&Arc::new(plan.finish().unwrap()), weights, CACHE);
    let output = runner.step(&batch).unwrap();
    (output.taps[0].data.iter().map(|x| f64::from(*x)).collect(), batch)
}

fn plain(given: &Given, cache: crate::plan::CacheId) -> Attention {
    Attention {
        query: given.q,
        cache,
        heads: HEADS,
        scale: 0.5,
        window: None,
        softcap: None,
        sinks: None,
        output: given.q.value,
    }
}

#[test]
fn grouped_heads_windows_softcaps_and_sinks_follow_the_formula() {
    let sinks = [0.5_f32, -1.0, 2.0, 0.0];
    for window in [None, Some(1), Some(3), Some(4), Some(11), Some(100)] {
        for softcap in [None, Some(1.5)] {
            for with_sinks in [false, true] {
                let mut given = Given::new();
                let mut weights = WeightMap::default();
                weights.insert("sinks", 1, sinks.to_vec());
                let cache = given.plan.cache(KV_HEADS, DIM);
                let sinks_id = with_sinks.then(|| given.plan.vector("sinks", HEADS));
                let attention = Attention { window, softcap, sinks: sinks_id, ..plain(&given, cache) };
                let (got, batch) = run(given, attention, &weights, &[2, 0, 5]);
                let expected = formula(
                    &batch,
                    window.map_or(usize::MAX, |w| w as usize),
                    0.5,
                    softcap.map(f64::from),
                    with_sinks.then(|| sinks.map(f64::from)),
                );
                // Taps are f32.
                assert_close(&got, &expected, 1e-6);
            }
        }
    }
}

#[test]
fn a_step_goes_on_where_the_cache_ends() {
    let mut given = Given::new();
    let cache = given.plan.cache(KV_HEADS, DIM);
    let attention = Attention { window: Some(6), ..plain(&given, cache) };
    let (whole, parts) = (given.batch(11, 0, &[0, 1, 2]), [(5, 0), (1, 5), (5, 6)]);
    let parts = parts.map(|(rows, skip)| {
        let pages = [7, 3, 4];
        given.batch(rows, skip, &pages[..(rows + skip).div_ceil(4)])
    });
    let Given { mut plan, k, v, .. } = given;
    let attended = plan.attend(k, v, attention);
    plan.tap(attended);
    let mut runner = prepare(&Arc::new(plan.finish().unwrap()), &WeightMap::default(), CACHE);
    let whole = runner.step(&whole).unwrap().taps.remove(0).data;
    let parts = parts.iter().flat_map(|part| runner.step(part).unwrap().taps.remove(0).data);
    assert_eq!(parts.collect::<Vec<_>>(), whole);
}

#[test]
fn rotation_on_the_way_into_the_cache_is_the_rotation_before_it() {
    let spec = RopeSpec::new(DIM, 100.0);
    let finish = |fused: bool| {
        let mut given = Given::new();
        let cache = given.plan.cache(KV_HEADS, DIM);
        let rope = given.plan.rope_spec(spec.clone());
        let batch = given.batch(6, 0, &[1, 4]);
        let attention = plain(&given, cache);
        let Given { mut plan, q, k, v } = given;
        let attended = if fused {
            let shape = crate::plan::Shape::rows_of(crate::plan::Rows::Tokens, HEADS * DIM);
            let query = plan.value("query", shape);
            let rotate = Some(RotateQuery { rope, query: q, output: query.value });
            plan.push("store", Op::StoreKv(StoreKv { key: k, value: v, cache, rotate }));
            let attended = plan.value("attended", shape);
            plan.push("attend", Op::Attention(Attention { query, output: attended.value, ..attention }));
            attended
        } else {
            let (query, key) = (plan.rope(q, rope), plan.rope(k, rope));
            plan.attend(key, v, Attention { query, ..attention })
        };
        plan.tap(attended);
        let mut runner = prepare(&Arc::new(plan.finish().unwrap()), &WeightMap::default(), CACHE);
        runner.step(&batch).unwrap().taps.remove(0).data
    };
    assert_eq!(finish(true), finish(false));
}

#[test]
fn two_sequences_see_only_their_own_pages() {
    let together = prepared().step(&batch(vec![ask(&[1, 2, 3, 4, 5], 0, &[6, 1]), ask(&[9, 8], 0, &[0])]));
    let alone = |tokens: &[u32], pages: &[u32]| prepared().step(&batch(vec![ask(tokens, 0, pages)])).unwrap();
    let together = together.unwrap().logits;
    assert_eq!(together[0], alone(&[1, 2, 3, 4, 5], &[0, 1]).logits[0]);
    assert_eq!(together[1], alone(&[9, 8], &[3]).logits[0]);
}

#[test]
fn two_sequences_may_read_the_same_page() {
    let mut runner = prepared();
    let prompt = runner.step(&batch(vec![ask(&[1, 2, 3, 4], 0, &[5])])).unwrap();
    assert_eq!(prompt.logits[0].len(), 4 * VOCABULARY);
    let branches = vec![ask(&[7], 4, &[5, 0]), ask(&[8, 9], 4, &[5, 1])];
    let branches = runner.step(&batch(branches)).unwrap().logits;
    let whole = |tokens: &[u32]| {
        let logits = prepared().step(&batch(vec![ask(tokens, 0, &[2, 3])])).unwrap().logits.remove(0);
        logits[4 * VOCABULARY..].to_vec()
    };
    assert_eq!(branches[0], whole(&[1, 2, 3, 4, 7]));
    assert_eq!(branches[1], whole(&[1, 2, 3, 4, 8, 9]));
}

#[test]
fn an_int8_cache_is_near_an_f16_one_and_not_the_same() {
    let tokens = (0..13).collect::<Vec<_>>();
    let logits = |format| {
        let mut runner = prepared_with(model(), CacheOptions { format, ..CACHE });
        runner.step(&batch(vec![ask(&tokens, 0, &[0, 1, 2, 3])])).unwrap().logits.remove(0)
    };
    let (f16, int8) = (logits(CacheFormat::F16), logits(CacheFormat::Int8));
    let largest = f16.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
    let apart = f16.iter().zip(&int8).fold(0.0_f32, |max, (a, b)| max.max((a - b).abs()));
    assert!(apart > 0.0 && apart < 0.02 * largest, "{apart} of {largest}");
}
