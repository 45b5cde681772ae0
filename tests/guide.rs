//! The small models of `models/guide`: the tiny one says what the reference says, in the form that it was trained with.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::path::{Path, PathBuf};

use inglenook::backend::plan::{BatchLimits, FusionSet};
use inglenook::backend::{BackendError, no_progress};
use inglenook::chat::{Conversation, Overflow, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::Request;
use inglenook::find_device;
use inglenook::model::{LoadOptions, LoadedModel, Model};
use inglenook::score::logits_of;
use serde_json::Value;

const CONTEXT: usize = 512;

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn tiny() -> Model {
    Model::open(&path("models/guide/tiny")).unwrap()
}

/// What `models/guide/golden.py` wrote.
fn golden() -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(path("tests/fixtures/guide-tiny.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn load(model: &Model, fusion: FusionSet) -> LoadedModel {
    let limits = BatchLimits { rows: 64, selected: 64, sequences: 2 };
    let options = LoadOptions { fusion, limits, ..LoadOptions::default() };
    model.prepare(&find_device("cpu").unwrap(), &options, &mut no_progress).unwrap()
}

/// The tokens of a message as the model is shown it.
fn prompt(model: &Model, ask: &str) -> Vec<u32> {
    let mut conversation = Conversation::new(None);
    conversation.say(ask);
    conversation.prompt(model.text().unwrap(), CONTEXT, 1, Overflow::Stop).unwrap().tokens
}

#[test]
fn prompts_have_the_form_that_it_was_trained_with() {
    let model = tiny();
    for case in golden() {
        assert_eq!(prompt(&model, case["ask"].as_str().unwrap()), ids(&case["prompt"]));
    }
    // Both ends of a text are known: a reply's, and that of a whole document.
    assert_eq!(model.text().unwrap().end_tokens, [0, 2]);
}

#[test]
fn replies_are_those_of_the_reference() {
    let model = tiny();
    let text = model.text().unwrap();
    let engine = load(&model, FusionSet::all()).into_engine().unwrap();
    let session = engine.session();
    for case in golden() {
        let wanted = ids(&case["reply"]);
        for _ in 0..2 {
            let request = Request {
                max_tokens: wanted.len(),
                stop_tokens: text.end_tokens.clone(),
                ..Request::new(ids(&case["prompt"]))
            };
            let (mut written, mut words) = (vec![], String::new());
            for event in TextReply::new(session.generate(request), text, ReplyOptions::default()) {
                match event {
                    ReplyEvent::Token(token) => written.push(token.id),
                    ReplyEvent::Text { text, .. } => words += &text,
                    ReplyEvent::Failed(error) => panic!("{error}"),
                    _ => {}
                }
            }
            assert_eq!(written, wanted, "{words}");
            assert_eq!(words, case["text"].as_str().unwrap());
        }
    }
}

#[test]
fn logits_are_those_of_the_reference() {
    let model = tiny();
    let mut loaded = load(&model, FusionSet::none());
    let cache = loaded.options().cache;
    for case in golden() {
        let mut last = vec![];
        logits_of(loaded.runner.as_mut(), cache, 64, &ids(&case["prompt"]), |_, logits| {
            last = logits.to_vec();
            Ok::<_, BackendError>(())
        })
        .unwrap();
        let wanted: Vec<f64> =
            case["logits"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(last.len(), wanted.len());
        // What differs is the cache: keys and values are kept in f16, each off by 2⁻¹¹ of itself at most. Each of the
        // three layers adds such a share, and the largest logit says how large what they add up is.
        let largest = wanted.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        for (ours, reference) in last.iter().zip(&wanted) {
            let off = (f64::from(*ours) - reference).abs();
            assert!(off <= largest / 2048.0 * 3.0, "{ours} {reference}: {off} of {largest}");
        }
    }
}
