//! Comparisons on a tiny model: several sets of kernels and formats of the CPU side by side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::find_device;
use inglenook::measure::compare::{Comparison, Contestant, Options, Outcome, compare};
use inglenook::measure::{MeasureError, Stage, Status, unwatched};
use inglenook::model::{Model, WeightChoice};
use tempfile::TempDir;

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A model's folder with the tiny tokenizer of words.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
        fs::copy(fixtures("tests/fixtures/models/llama").join(file), folder.path().join(file)).unwrap();
    }
    let tokenizer = fixtures("models/tests/fixtures/tokenizers/words/tokenizer.json");
    fs::copy(tokenizer, folder.path().join("tokenizer.json")).unwrap();
    folder
}

fn contestant(weights: &str) -> Contestant {
    let format: WeightFormat = weights.parse().unwrap();
    Contestant::new(find_device("cpu").unwrap(), WeightChoice::Format(format))
}

fn options(model: &Model) -> Options {
    Options { generate: 12, repeats: 2, chunk: 4, ..Options::raw(model, "the cat sat on the mat").unwrap() }
}

fn measured(comparison: &Comparison, place: usize) -> &inglenook::measure::compare::Measured {
    match &comparison.entries[place].outcome {
        Outcome::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn formats_and_kernels_are_compared_with_the_first() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let portable = Contestant { tier: Some("portable".to_owned()), ..contestant("f32") };
    let coarse = Contestant { cache: CacheFormat::Int8, ..contestant("nf4") };
    let contestants = [contestant("f32"), portable, coarse, contestant("f32")];
    let options = options(&model);
    let mut told = vec![];
    let comparison = compare(&model, &contestants, &options, &mut unwatched, &mut |place, entry| {
        told.push((place, entry.label.clone()));
    })
    .unwrap();

    assert_eq!(comparison.reference, Some(0));
    assert!(!comparison.cancelled);
    let labels: Vec<&str> = comparison.entries.iter().map(|entry| entry.label.as_str()).collect();
    assert_eq!(labels, ["cpu:0 f32", "cpu:0 f32, portable", "cpu:0 nf4, int8 cache", "cpu:0 f32 (2)"]);
    assert_eq!(told.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(), labels);
    assert_eq!(comparison.entries[1].tier, "portable");
    assert_eq!(comparison.entries[2].weights, "nf4");

    for place in 0..contestants.len() {
        let one = measured(&comparison, place);
        assert_eq!((one.decode.samples.len(), one.first_token_seconds.samples.len()), (2, 2));
        assert!(one.decode.median() > 0.0 && one.prefill.median() > 0.0 && one.repeatable);
        assert!(one.peaks.operations_per_second.unwrap() > 0.0 && one.share_of_bandwidth() > 0.0);
        assert_eq!(one.text, one.pieces.concat());
        let shares: f64 = one.decode_operators.iter().map(|operator| operator.share).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
        assert!(one.decode_operators.iter().all(|o| o.floor_seconds.unwrap() >= 0.0));
        assert!(!one.prefill_operators.is_empty());
        let reference = measured(&comparison, 0).agreement.tokens.iter().map(|t| t.token);
        assert!(one.agreement.tokens.iter().map(|t| t.token).eq(reference), "all read the same");
        assert!(one.agreement.tokens.iter().all(|token| token.top.len() == 5));
    }
    // The reference and the same once more agree in everything.
    for place in [0, 3] {
        let one = measured(&comparison, place);
        assert_eq!(one.first_difference, None);
        assert!(one.agreement.same_top >= 1.0 && one.agreement.largest_divergence < 1e-12);
        assert!(one.agreement.tokens.iter().all(|token| token.difference == 0.0));
        // What is written greedily is what is most likely along it.
        assert!(one.agreement.tokens.iter().all(|token| token.top[0].token == token.token));
    }
    // Other instructions round otherwise in f32, four bits round visibly.
    let (portable, coarse) = (&measured(&comparison, 1).agreement, &measured(&comparison, 2).agreement);
    assert!(portable.mean_divergence < 1e-6, "{}", portable.mean_divergence);
    assert!(coarse.mean_divergence > portable.mean_divergence);
    let fewer = measured(&comparison, 2).bytes_per_token;
    assert!(fewer < measured(&comparison, 0).bytes_per_token / 2.0);
    assert_eq!(Comparison::from_json(&comparison.json().unwrap()).unwrap(), comparison);
}

#[test]
fn one_that_fails_is_told_of_and_the_others_go_on() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let broken = Contestant { tier: Some("abacus".to_owned()), ..contestant("f32") };
    let contestants = [broken, contestant("f32")];
    let comparison = compare(&model, &contestants, &options(&model), &mut unwatched, &mut |_, _| {}).unwrap();
    let Outcome::Failed { reason } = &comparison.entries[0].outcome else { panic!("{comparison:?}") };
    assert!(reason.contains("abacus"), "{reason}");
    assert_eq!(comparison.reference, Some(1));
    assert!(comparison.speed_table().rows[0][1].contains("abacus"));
}

#[test]
fn it_stops_before_the_next_step_wherever_it_is() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let contestants = [contestant("f32"), contestant("int8")];
    let options = options(&model);
    let stop_at = |wanted: usize, stage: Stage| {
        let mut after = 0;
        let mut watch = |status: &Status<'_>| {
            after += usize::from(after > 0);
            if (status.subject, status.stage) == (wanted, stage) && (status.done > 0 || status.total < 2) {
                after += 1;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let comparison = compare(&model, &contestants, &options, &mut watch, &mut |_, _| {}).unwrap();
        assert_eq!(after, 1, "{stage:?}: nothing is asked after that");
        assert!(comparison.cancelled, "{stage:?}");
        assert_eq!(comparison.entries[wanted].outcome, Outcome::NotRun, "{stage:?}");
        comparison
    };
    for stage in [Stage::WarmingUp, Stage::Run(2), Stage::Profiling, Stage::Agreement] {
        let comparison = stop_at(0, stage);
        assert_eq!(comparison.reference, None, "{stage:?}");
    }
    let comparison = stop_at(1, Stage::Run(1));
    assert_eq!(comparison.reference, Some(0));
    assert!(matches!(comparison.entries[0].outcome, Outcome::Done(_)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let good = options(&model);
    let refused = |contestants: &[Contestant], options: &Options| {
        let error = compare(&model, contestants, options, &mut unwatched, &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, MeasureError::Settings(_)), "{error}");
    };
    refused(&[], &good);
    let one = [contestant("f32")];
    refused(&one, &Options { tokens: vec![], ..good.clone() });
    refused(&one, &Options { generate: 1, ..good.clone() });
    refused(&one, &Options { repeats: 0, ..good.clone() });
    let mut penalized = good;
    penalized.sampling.repetition_penalty = 1.1;
    refused(&one, &penalized);
}
