//! What must go red, and what must not.

use half::f16;

use super::super::*;
use super::{Fault, Faulty};
use crate::cpu::reference::ReferenceBackend;
use crate::format::{Bytes, PackedMatrix};
use crate::plan::{Function, Op};
use crate::sampling::Sampling;
use crate::{Batch, Numerics, StepOutput, Tokens};

/// How many cases ran and how many failed.
fn failures(fault: Fault, group: Group, only: &str) -> (usize, Vec<Failure>) {
    let backend = Faulty(fault);
    let run = Conformance {
        backends: vec![&backend],
        known_failures: vec![],
        only: Some(only.to_owned()),
        expected: vec![],
    };
    let report = run.run(&[group]).unwrap();
    let found = report.group(0, group).unwrap();
    assert!(found.cases > 0, "{only} names no case");
    assert_eq!(report.problems().is_empty(), found.failures.is_empty());
    (found.cases, found.failures.clone())
}

/// Every case must go red.
fn all_fail(fault: Fault, group: Group, only: &str) {
    let (cases, failures) = failures(fault, group, only);
    assert_eq!(failures.len(), cases, "{only}: of {cases}, only {failures:?}");
}

/// At least one must.
fn some_fail(fault: Fault, group: Group, only: &str) {
    let (cases, failures) = failures(fault, group, only);
    assert!(!failures.is_empty(), "{only}: none of {cases}");
}

/// The oracle beside itself: nothing differs but what fusion reorders.
fn agrees(groups: &[Group]) {
    let mut run = Conformance::new(vec![&ReferenceBackend]);
    run.expected = ExpectedTarget::list("reference/reference");
    let report = run.run(groups).unwrap();
    println!("{report}");
    assert_eq!(report.problems(), Vec::<String>::new());
    for group in &report.targets[0].groups {
        assert!(group.largest_share < 0.01, "{report}");
        assert_eq!(group.close_calls, 0, "{report}");
    }
}

#[test]
fn the_oracle_agrees_with_itself_in_products() {
    agrees(&[Group::Linear, Group::Embed]);
}

#[test]
fn the_oracle_agrees_with_itself_in_rows() {
    agrees(&[Group::Norm, Group::Rope, Group::Elementwise, Group::Experts, Group::Rows, Group::Sample]);
}

#[test]
fn the_oracle_agrees_with_itself_in_attention() {
    agrees(&[Group::Attention, Group::Pages]);
}

#[test]
fn the_oracle_agrees_with_itself_in_whole_models() {
    agrees(&[Group::Sequences, Group::Random]);
}

#[test]
fn the_oracle_takes_misuse_well() {
    agrees(&[Group::Misuse]);
}

/// A first number that is none.
fn nan(output: &mut StepOutput, _: u64) {
    if let Some(data) = numbers(output) {
        data[0] = f32::NAN;
    }
}

/// The taps that hold numbers, or else the logits.
fn numbers(output: &mut StepOutput) -> Option<&mut Vec<f32>> {
    let taps = output.taps.iter_mut().map(|tap| &mut tap.data);
    taps.chain(&mut output.logits).find(|data| !data.is_empty())
}

#[test]
fn wrong_numbers_are_found() {
    let one = |output: &mut StepOutput, _| {
        // One element, by a thousandth of the largest.
        let data = numbers(output);
        let largest = data.as_ref().map_or(0.0, |d| d.iter().fold(0.0f32, |m, x| m.max(x.abs())));
        if let Some(last) = data.and_then(|d| d.last_mut()) {
            *last += 1e-3 * largest;
        }
    };
    let tail = |output: &mut StepOutput, _| {
        // The last column of each tap: what a kernel leaves out that works by whole tiles.
        for tap in &mut output.taps {
            if let Some(last) = tap.data.last_mut() {
                *last = 0.0;
            }
        }
    };
    let infinite = |output: &mut StepOutput, _| {
        if let Some(data) = numbers(output) {
            data[0] = f32::NEG_INFINITY;
        }
    };
    let short = |output: &mut StepOutput, _| {
        if let Some(data) = numbers(output) {
            data.pop();
        }
    };
    let untapped = |output: &mut StepOutput, _| output.taps.clear();
    let halves = |output: &mut StepOutput, _| {
        let data = output.taps.iter_mut().flat_map(|tap| &mut tap.data);
        data.for_each(|x| *x = f16::from_f32(*x).to_f32());
    };
    let faults: [fn(&mut StepOutput, u64); 4] = [nan, infinite, short, untapped];
    for output in faults {
        let fault = Fault { output: Some(output), ..Fault::default() };
        all_fail(fault, Group::Linear, "linear/f16 *");
        all_fail(fault, Group::Norm, "norm/Rms *");
        all_fail(fault, Group::Attention, "attention/4:1 *");
        all_fail(fault, Group::Elementwise, "elementwise/gated Silu *");
        all_fail(fault, Group::Rope, "rope/yarn *");
        all_fail(fault, Group::Embed, "embed/nf4 *");
    }
    for output in [one, tail, halves] {
        let fault = Fault { output: Some(output), ..Fault::default() };
        all_fail(fault, Group::Linear, "linear/f16 *×*5*");
        all_fail(fault, Group::Rope, "rope/llama3 *");
        some_fail(fault, Group::Elementwise, "elementwise/add*");
        some_fail(fault, Group::Norm, "norm/*");
        some_fail(fault, Group::Attention, "attention/*of 16*");
        some_fail(fault, Group::Experts, "experts/f16*");
    }
    let fault = Fault { output: Some(one), ..Fault::default() };
    some_fail(fault, Group::Sequences, "sequences/llama-like f16*");
    some_fail(fault, Group::Random, "random/1*");
}

#[test]
fn wrong_weights_are_found() {
    let swapped_scales = |matrix: PackedMatrix| {
        let per_row = matrix.format().scale_bytes_per_row(matrix.cols());
        let mut scales = matrix.scales().to_vec();
        // The first two groups of each row take each other's scale.
        for row in scales.chunks_mut(per_row.max(1)).filter(|row| row.len() >= 4) {
            let (first, second) = row.split_at_mut(2);
            first.swap_with_slice(&mut second[..2]);
        }
        rebuilt(&matrix, matrix.codes(), &scales)
    };
    let lost_tail = |matrix: PackedMatrix| {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let mut values = vec![0.0; rows * cols];
        matrix.dequantize_rows(0..rows, &mut values).unwrap();
        values.chunks_mut(cols).for_each(|row| row[cols - 1] = 0.0);
        PackedMatrix::quantize(matrix.format(), rows, cols, &values).unwrap()
    };
    let one_code = |matrix: PackedMatrix| {
        let mut codes = matrix.codes().to_vec();
        let last_row = codes.len() - matrix.format().row_bytes(matrix.cols());
        codes[last_row] ^= 0x12;
        rebuilt(&matrix, &codes, matrix.scales())
    };
    for format in ["int8-g32", "int8-g64", "nf4"] {
        let fault = Fault { weights: Some(swapped_scales), ..Fault::default() };
        all_fail(fault, Group::Linear, &format!("linear/{format} 130×127*"));
        all_fail(fault, Group::Linear, &format!("linear/{format} 67×300*"));
        all_fail(fault, Group::Embed, &format!("embed/{format} 1000×192*"));
        some_fail(fault, Group::Experts, &format!("experts/{format}*"));
    }
    for format in ["f32", "f16", "bf16", "int8-g128", "w8a8"] {
        let fault = Fault { weights: Some(lost_tail), ..Fault::default() };
        all_fail(fault, Group::Linear, &format!("linear/{format} 33×65"));
        all_fail(fault, Group::Linear, &format!("linear/{format} 67×300"));
        all_fail(fault, Group::Experts, &format!("experts/{format}"));
        some_fail(fault, Group::Sequences, &format!("sequences/llama-like {format}*"));
        let fault = Fault { weights: Some(one_code), ..Fault::default() };
        if format != "f32" {
            all_fail(fault, Group::Linear, &format!("linear/{format} 33×65"));
        }
    }
    let bias_lost = |vector: &mut Vec<f32>| {
        let last = vector.len() - 1;
        vector[last] = 0.0;
    };
    let fault = Fault { vectors: Some(bias_lost), ..Fault::default() };
    all_fail(fault, Group::Linear, "linear/* Bias");
    all_fail(fault, Group::Norm, "norm/Rms 130");
    all_fail(fault, Group::Attention, "attention/sinks*");
}

fn rebuilt(matrix: &PackedMatrix, codes: &[u8], scales: &[u8]) -> PackedMatrix {
    let (codes, scales) = (Bytes::copy_of(codes).unwrap(), Bytes::copy_of(scales).unwrap());
    PackedMatrix::from_parts(matrix.format(), matrix.rows(), matrix.cols(), codes, scales).unwrap()
}

#[test]
fn wrong_attributes_are_found() {
    let check = |group: Group, only: &str, plan: fn(&mut Op)| {
        all_fail(Fault { plan: Some(plan), ..Fault::default() }, group, only);
    };
    check(Group::Attention, "attention/window 5*", |op| {
        if let Op::Attention(a) = op {
            a.window = a.window.map(|w| w + 1);
        }
    });
    check(Group::Attention, "attention/softcap*", |op| {
        if let Op::Attention(a) = op {
            a.softcap = None;
        }
    });
    check(Group::Attention, "attention/sinks*", |op| {
        if let Op::Attention(a) = op {
            a.sinks = None;
        }
    });
    check(Group::Attention, "attention/rotate*", |op| {
        if let Op::StoreKv(o) = op {
            std::mem::swap(&mut o.key, &mut o.value);
        }
    });
    check(Group::Linear, "linear/* Factor", |op| {
        if let Op::Linear(o) = op {
            o.factor = o.factor.next_up() * 1.0001;
        }
    });
    check(Group::Linear, "linear/* Residual*", |op| {
        if let Op::Linear(o) = op {
            o.residual = None;
        }
    });
    check(Group::Linear, "linear/* Columns", |op| {
        if let Op::Linear(o) = op {
            o.input.first -= 1;
        }
    });
    check(Group::Norm, "norm/*large epsilon", |op| {
        if let Op::Norm(o) = op {
            o.epsilon = 0.49;
        }
    });
    check(Group::Norm, "norm/*offset", |op| {
        if let Op::Norm(o) = op {
            o.weight_offset = 0.0;
        }
    });
    check(Group::Norm, "norm/*add", |op| {
        if let Op::Norm(o) = op {
            o.add = None;
        }
    });
    check(Group::Elementwise, "elementwise/activate Gelu *", |op| {
        if let Op::Activate(o) = op {
            o.function = Function::GeluTanh;
        }
    });
    check(Group::Experts, "experts/route*renormalized*", |op| {
        if let Op::Route(o) = op {
            o.factor *= 1.000_1;
        }
    });
    check(Group::Experts, "experts/f16*", |op| {
        if let Op::ExpertCombine(o) = op {
            o.residual = None;
        }
    });
    let base = Fault { rope: Some(|spec| spec.base *= 1.000_01), ..Fault::default() };
    all_fail(base, Group::Rope, "rope/unscaled*4 of 64");
    let sines =
        Fault { batch: Some(|b| b.sequences.iter_mut().for_each(|s| s.start += 1)), ..Fault::default() };
    all_fail(sines, Group::Rope, "rope/*");
}

#[test]
fn wrong_tables_are_found() {
    let swapped = |batch: &mut Batch| {
        for sequence in &mut batch.sequences {
            let last = sequence.pages.len() - 1;
            sequence.pages.swap(0, last);
        }
    };
    let fault = Fault { batch: Some(swapped), ..Fault::default() };
    // The oracle writes through the same table, so only what an earlier step wrote is misread.
    some_fail(fault, Group::Attention, "attention/*pages of 4");
    some_fail(fault, Group::Attention, "attention/shared prefix*");
    all_fail(Fault { ignores_copies: true, ..Fault::default() }, Group::Pages, "pages/*");
    let stale = |batch: &mut Batch| {
        for rows in &mut batch.inputs {
            let last = rows.data.len() - 1;
            rows.data[last] = 0.0;
        }
    };
    all_fail(Fault { batch: Some(stale), ..Fault::default() }, Group::Attention, "attention/100 sequences*");
    let other_token = |batch: &mut Batch| {
        for sequence in &mut batch.sequences {
            if let Tokens::Ids(ids) = &mut sequence.tokens {
                ids[0] = (ids[0] + 1) % 7;
            }
        }
    };
    all_fail(Fault { batch: Some(other_token), ..Fault::default() }, Group::Embed, "embed/*7×3*");
}

#[test]
fn wrong_draws_are_found() {
    let next = |output: &mut StepOutput, _| {
        output.tokens.iter_mut().flatten().for_each(|token| *token = (*token + 1) % 5000);
    };
    all_fail(Fault { output: Some(next), ..Fault::default() }, Group::Sample, "sample/*");
    let none = |output: &mut StepOutput, _| output.tokens.fill(None);
    all_fail(Fault { output: Some(none), ..Fault::default() }, Group::Sample, "sample/*");
    let change = |group: &str, batch: fn(&mut Sampling)| {
        let mut changed = 0;
        let (cases, failures) = {
            // A change of all options, applied to each sequence that draws.
            thread_local!(static CHANGE: std::cell::Cell<Option<fn(&mut Sampling)>> = const { std::cell::Cell::new(None) });
            CHANGE.set(Some(batch));
            let apply = |batch: &mut Batch| {
                let options = batch.sequences.iter_mut().filter_map(|s| s.sample.as_mut());
                options.for_each(|o| CHANGE.get().into_iter().for_each(|change| change(o)));
            };
            failures(Fault { batch: Some(apply), ..Fault::default() }, Group::Sample, group)
        };
        changed += failures.len();
        assert!(changed > 0, "{group}: none of {cases}");
    };
    change("sample/warm of 300", |o| o.seed += 1);
    change("sample/top-k 5 of 300", |o| o.top_k = 0);
    change("sample/top-p of 300", |o| o.top_p = 1.0);
    change("sample/min-p of 300", |o| o.min_p = 0.0);
    change("sample/greedy with bias of 7", |o| o.bias.clear());
    change("sample/greedy with penalties of 7", |o| o.history.clear());
    change("sample/hot of 300", |o| o.temperature = 2.9);
    let higher = |output: &mut StepOutput, _| {
        // Of equal logits the second is no answer.
        output.tokens.iter_mut().flatten().for_each(|token| *token = u32::from(*token == 0));
    };
    let fault = Fault { output: Some(higher), ..Fault::default() };
    all_fail(fault, Group::Sample, "sample/equal greedy of 7");
}

#[test]
fn bad_manners_are_found() {
    all_fail(Fault { refuses: true, ..Fault::default() }, Group::Norm, "norm/Rms*heads*");
    let (_, failures) = failures(Fault { panics: true, ..Fault::default() }, Group::Norm, "norm/Rms 64");
    assert!(failures[0].what.contains("panicked: on purpose"), "{failures:?}");
    // Bits that differ from run to run, well within any tolerance.
    let restless = |output: &mut StepOutput, _| {
        use std::sync::atomic::{AtomicU32, Ordering};
        static CALLS: AtomicU32 = AtomicU32::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        if let Some(logit) = output.logits.iter_mut().flatten().next() {
            *logit = f32::from_bits(logit.to_bits() ^ (call >> 1 & 1));
        }
    };
    let fault = Fault { output: Some(restless), ..Fault::default() };
    let (_, found) = self::failures(fault, Group::Sequences, "sequences/llama-like f32*fused");
    assert!(found.iter().any(|f| f.what.contains("other bits")), "{found:?}");
}

#[test]
fn rounding_is_allowed_as_far_as_it_is_declared() {
    // Results rounded to f16 fail a device that claims f32, and pass one that says so.
    let halves = |output: &mut StepOutput, _| {
        let data = output.taps.iter_mut().flat_map(|tap| &mut tap.data);
        data.for_each(|x| *x = f16::from_f32(*x).to_f32());
    };
    let honest = Numerics { value_unit: 1.0 / 2048.0, ..Numerics::F32 };
    let fault = Fault { output: Some(halves), numerics: Some(honest), ..Fault::default() };
    let (_, failures) = failures(fault, Group::Linear, "linear/f16 33×65");
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn known_failures_must_go_on_failing() {
    let broken = Faulty(Fault { output: Some(nan), ..Fault::default() });
    let sound = Faulty(Fault::default());
    let known = KnownFailure {
        backend: "reference",
        device: "CPU*",
        driver: "*",
        tier: "reference",
        cases: "norm/Rms 6*",
        reason: "the first number is lost",
    };
    let run = |backend: &Faulty, known: KnownFailure| {
        let run = Conformance {
            backends: vec![backend],
            known_failures: vec![known],
            only: Some("norm/Rms 64".to_owned()),
            expected: ExpectedTarget::list("reference/reference,cuda/base"),
        };
        run.run(&[Group::Norm]).unwrap()
    };
    let missing = "cuda/base must be tested and is not there";
    let report = run(&broken, known);
    assert_eq!(report.problems(), [missing]);
    let group = report.group(0, Group::Norm).unwrap();
    assert_eq!((group.cases, group.known_failures.len()), (1, 1));
    let problems = run(&sound, known).problems();
    assert!(problems.len() == 2 && problems[1].contains("known to fail"), "{problems:?}");
    for elsewhere in [
        KnownFailure { tier: "other", ..known },
        KnownFailure { device: "GeForce*", ..known },
        KnownFailure { backend: "cpu", ..known },
        KnownFailure { cases: "norm/Layer*", ..known },
    ] {
        assert_eq!(run(&broken, elsewhere).problems().len(), 2);
        assert_eq!(run(&sound, elsewhere).problems(), [missing]);
    }
    let table = report.to_string();
    assert!(table.contains("a GPU: not run: none is plugged in") && table.contains(missing), "{table}");
}

#[test]
fn names_are_unique_and_known_failures_name_cases() {
    let mut names = Group::ALL.into_iter().flat_map(catalogue).map(|spec| spec.name).collect::<Vec<_>>();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(count > 500, "{count}");
    for known in KNOWN_FAILURES {
        let names_one = names.iter().any(|name| super::super::known_failures::matches(known.cases, name));
        assert!(names_one || known.cases.starts_with("misuse/"), "{known:?}");
    }
}
