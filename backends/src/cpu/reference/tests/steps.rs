//! Steps that follow one another: decoding, page copies, running ahead, profiles, observers.

use super::*;
use crate::cpu::reference::{NodeEvent, Observer};
use crate::plan::{Op, ValueId};
use crate::{PageCopy, Runner};

fn logits(runner: &mut ReferenceRunner, sequence: SequenceStep) -> Vec<f32> {
    runner.step(&batch(vec![sequence])).unwrap().logits.remove(0)
}

#[test]
fn decoding_in_steps_equals_reading_at_once_on_any_pages() {
    let tokens = [3, 1, 4, 1, 5, 9, 2, 6, 5, 35];
    let whole = logits(&mut prepared(), ask(&tokens, 0, &[0, 1, 2]));
    assert_eq!(whole.len(), 10 * VOCABULARY);
    let mut runner = prepared();
    let pages = [7, 2, 4];
    let mut parts = logits(&mut runner, ask(&tokens[..3], 0, &pages[..1]));
    parts.extend(logits(&mut runner, ask(&tokens[3..6], 3, &pages[..2])));
    for i in 6..10 {
        let used = (i + 1_usize).div_ceil(4);
        parts.extend(logits(&mut runner, ask(&tokens[i..=i], i as u32, &pages[..used])));
    }
    assert_eq!(parts, whole);
}

#[test]
fn a_copied_page_goes_on_by_itself() {
    let mut runner = prepared();
    logits(&mut runner, ask(&[1, 2, 3, 4, 5, 6], 0, &[0, 1]));
    runner.copy_pages(&[PageCopy { from: 1, to: 5 }]).unwrap();
    let copied = logits(&mut runner, ask(&[7], 6, &[0, 5]));
    // The original is untouched by what was written to the copy.
    let original = logits(&mut runner, ask(&[30], 6, &[0, 1]));
    let whole = |last| {
        let logits = logits(&mut prepared(), ask(&[1, 2, 3, 4, 5, 6, last], 0, &[0, 1]));
        logits[6 * VOCABULARY..].to_vec()
    };
    assert_eq!(copied, whole(7));
    assert_eq!(original, whole(30));
}

#[test]
fn copies_happen_one_after_another() {
    let mut runner = prepared();
    logits(&mut runner, ask(&[1, 2, 3, 4], 0, &[0]));
    runner.copy_pages(&[PageCopy { from: 0, to: 1 }, PageCopy { from: 1, to: 2 }]).unwrap();
    let (first, last) = (ask(&[7], 4, &[0, 6]), ask(&[7], 4, &[2, 6]));
    assert_eq!(logits(&mut runner, first), logits(&mut runner, last));
}

/// Options under which the history matters and chance does too.
fn lively(seed: u64) -> Sampling {
    Sampling {
        temperature: 3.0,
        top_k: 30,
        top_p: 0.98,
        repetition_penalty: 1.3,
        frequency_penalty: 0.5,
        seed,
        ..Sampling::greedy()
    }
}

#[test]
fn running_ahead_draws_the_tokens_of_explicit_steps() {
    const STEPS: u32 = 12;
    let pages = |last: u32, pool: [u32; 4]| pool[..(last as usize + 1).div_ceil(4)].to_vec();
    let pools = [[0, 1, 2, 3], [4, 5, 6, 7]];
    let seeds = [1, 2];

    // One step at a time, each token named and put into the history.
    let mut runner = prepared();
    let mut histories = [vec![3_u32], vec![8]];
    for i in 0..STEPS {
        let sequence = |s: usize| {
            let sampling = Sampling { history: histories[s].clone(), ..lively(seeds[s]) };
            let last = Tokens::Ids(vec![*histories[s].last().unwrap()]);
            draw(last, i, &pages(i, pools[s]), &sampling)
        };
        let output = runner.step(&batch(vec![sequence(0), sequence(1)])).unwrap();
        for (history, token) in histories.iter_mut().zip(output.tokens) {
            history.push(token.unwrap());
        }
    }

    // Each step submitted before the last was collected, and the sequences changing places.
    let mut runner = prepared();
    let mut known = [vec![3_u32], vec![8]];
    let place = |i: u32, s: usize| if i.is_multiple_of(3) { s } else { 1 - s };
    let submit = |runner: &mut ReferenceRunner, known: &[Vec<u32>; 2], i: u32| {
        let sequence = |s: usize| {
            let sampling = Sampling { history: known[s].clone(), ..lively(seeds[s]) };
            let tokens = match i {
                0 => Tokens::Ids(known[s].clone()),
                _ => Tokens::Sampled(place(i - 1, s) as u32),
            };
            draw(tokens, i, &pages(i, pools[s]), &sampling)
        };
        let order = if place(i, 0) == 0 { [0, 1] } else { [1, 0] };
        runner.submit(&batch(order.map(sequence).to_vec())).unwrap()
    };
    let mut ahead = submit(&mut runner, &known, 0);
    for i in 1..=STEPS {
        // All tokens but the one that nobody has read yet are in `known`.
        let next = (i < STEPS).then(|| submit(&mut runner, &known, i));
        let output = runner.collect(ahead).unwrap();
        for (s, known) in known.iter_mut().enumerate() {
            known.push(output.tokens[place(i - 1, s)].unwrap());
        }
        match next {
            Some(ticket) => ahead = ticket,
            None => break,
        }
    }
    assert_eq!(known, histories);
    let distinct = histories[0].iter().collect::<std::collections::BTreeSet<_>>();
    assert!(distinct.len() > 5, "{histories:?} would not tell a wrong draw from a right one");
}

#[test]
fn a_draw_does_not_depend_on_its_neighbours_or_on_how_it_was_reached() {
    let options = lively(77);
    let prompt = [5, 6, 7, 8, 9];
    let at_once = draw(Tokens::Ids(prompt.to_vec()), 0, &[0, 1], &options);
    let alone = prepared().step(&batch(vec![at_once.clone()])).unwrap().tokens;
    let mut runner = prepared();
    let first = SequenceStep { logits: LogitRows::None, ..ask(&prompt[..4], 0, &[3]) };
    let others = vec![ask(&[1, 2], 0, &[7]), first];
    let output = runner.step(&batch(others)).unwrap();
    assert_eq!(output.tokens, [None, None]);
    assert_eq!((output.logits[0].len(), output.logits[1].len()), (2 * VOCABULARY, 0));
    let last = draw(Tokens::Ids(prompt[4..].to_vec()), 4, &[3, 4], &options);
    let neighbours = vec![ask(&[1], 2, &[7]), last];
    let output = runner.step(&batch(neighbours)).unwrap();
    assert_eq!(output.tokens, [None, alone[0]]);
    assert_eq!(output.logits[1], [0.0; 0]);
}

#[test]
fn nothing_asked_is_a_normal_step() {
    let mut runner = prepared();
    let quiet = SequenceStep { logits: LogitRows::None, ..ask(&[1, 2, 3], 0, &[0]) };
    let output = runner.step(&batch(vec![quiet])).unwrap();
    assert_eq!((output.tokens, output.logits), (vec![None], vec![vec![]]));
    let last = SequenceStep { logits: LogitRows::Last, ..ask(&[4, 5], 3, &[0, 1]) };
    let whole = logits(&mut prepared(), ask(&[1, 2, 3, 4, 5], 0, &[0, 1]));
    assert_eq!(logits(&mut runner, last), whole[4 * VOCABULARY..]);
}

/// A plan whose logits, and the draws from them, have a row per token.
fn unselected() -> Plan {
    let mut plan = PlanBuilder::new();
    let table = plan.matrix("embedding", VOCABULARY, 16, WeightFormat::F32);
    let x = plan.embed(table);
    let logits = plan.linear(x, table);
    plan.hand_out_logits(logits);
    let token = plan.sample(logits);
    plan.tap(token);
    plan.finish().unwrap()
}

#[test]
fn logits_of_all_rows_are_cut_by_sequence_and_sampled_at_its_end() {
    let greedy = Sampling::greedy();
    let best = |row: &[f32]| (0..VOCABULARY).fold(0, |b, i| if row[i] > row[b] { i } else { b }) as u32;
    let mut runner = prepared_with(unselected(), CACHE);
    let all = SequenceStep { sample: Some(greedy.clone()), ..ask(&[4, 5], 0, &[]) };
    let last = SequenceStep { logits: LogitRows::Last, ..ask(&[6, 7, 8], 0, &[]) };
    let output = runner.step(&batch(vec![all, last, draw(Tokens::Ids(vec![9]), 3, &[], &greedy)])).unwrap();
    let row = |token| logits(&mut prepared_with(unselected(), CACHE), ask(&[token], 0, &[]));
    assert_eq!(output.logits, [[row(4), row(5)].concat(), row(8), vec![]]);
    let tokens = [Some(best(&row(5))), None, Some(best(&row(9)))];
    assert_eq!(output.tokens, tokens);
    let tapped = [0, tokens[0].unwrap(), 0, 0, 0, tokens[2].unwrap()].map(|token| token as f32);
    assert_eq!(output.taps[0].data, tapped);
}

#[test]
fn profiles_are_of_the_step_collected_last() {
    let mut runner = prepared();
    logits(&mut runner, ask(&[1], 0, &[0]));
    assert_eq!(runner.profile(), None);
    runner.set_profiling(true);
    logits(&mut runner, ask(&[1], 0, &[0]));
    let profile = runner.profile().unwrap();
    assert_eq!(profile.seconds.len(), runner.plan().nodes.len());
    assert!(profile.seconds.iter().all(|s| *s >= 0.0) && profile.seconds.iter().sum::<f64>() > 0.0);
    runner.set_profiling(false);
    logits(&mut runner, ask(&[1], 0, &[0]));
    assert_eq!(runner.profile(), None);
}

#[test]
fn memory_is_what_was_planned() {
    let runner = prepared();
    let planned = runner.plan().footprint(&CACHE, &options(CACHE).limits);
    assert_eq!((runner.memory().weights, runner.memory().cache), (planned.weights, planned.cache));
    assert!(runner.memory().activations > planned.activations, "nothing is shared here, and it is f64");
}

/// Adds to the first element that one node writes, and notes what it saw.
struct Nudge {
    node: usize,
    by: f64,
    seen: Vec<usize>,
}

impl Observer for Nudge {
    fn after(&mut self, mut event: NodeEvent<'_>) {
        self.seen.push(event.index);
        assert_eq!(event.tokens, [11, 12, 13]);
        assert_eq!(event.layout.rows(), 3);
        for operand in event.node().op.inputs() {
            let rows = event.values().rows(event.plan.values[operand.value.index()].shape.rows);
            assert_eq!(event.operand(operand).len(), rows * operand.width);
            assert!(event.output_mut(operand.value).is_none(), "inputs are not to be changed");
        }
        if let Op::StoreKv(store) = &event.node().op {
            let kept = event.caches[store.cache.index()].keys.load(&[4], 0, 0..3).unwrap();
            for (kept, key) in kept.iter().zip(event.operand(store.key)) {
                assert!((kept - key).abs() <= key.abs() / 2048.0);
            }
        }
        if event.index == self.node {
            let output: ValueId = event.node().op.outputs()[0];
            event.output_mut(output).unwrap()[0] += self.by;
        }
    }
}

#[test]
fn an_observer_sees_every_node_and_what_it_changes_is_used() {
    let asked = batch(vec![ask(&[11, 12, 13], 0, &[4])]);
    let nodes = model().nodes.len();
    let observed = |by| {
        let mut nudge = Nudge { node: 0, by, seen: vec![] };
        let output = prepared().step_observed(&asked, &mut nudge).unwrap();
        assert_eq!(nudge.seen, (0..nodes).collect::<Vec<_>>());
        output
    };
    let plain = prepared().step(&asked).unwrap();
    assert_eq!(observed(0.0), plain);
    let nudged = observed(0.5);
    // The first token's embedding reaches all three rows, the later ones through the cache.
    for (nudged, plain) in nudged.logits[0].chunks(VOCABULARY).zip(plain.logits[0].chunks(VOCABULARY)) {
        assert_ne!(nudged, plain);
    }
}
