//! The small models of `models/guide`: the tiny one says what the reference says, in the form that it was trained with, and the
//! built-in one is unpacked whole whatever became of its files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use inglenook::backend::plan::{BatchLimits, FusionSet};
use inglenook::backend::{BackendError, no_progress};
use inglenook::chat::{Conversation, Overflow, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::Request;
use inglenook::find_device;
use inglenook::model::builtin::{BuiltinError, NAME, unpack_into};
use inglenook::model::{LoadOptions, LoadedModel, Model};
use inglenook::score::logits_of;
use serde_json::Value;

const CONTEXT: usize = 512;

/// Files of the built-in model.
const FILES: usize = 5;

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn tiny() -> Model {
    Model::open(&path("models/guide/tiny")).unwrap()
}

/// What `models/guide/golden.py` wrote.
fn golden() -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(path("tests/fixtures/guide-tiny.json")).unwrap()).unwrap()
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

fn weights(folder: &Path) -> PathBuf {
    folder.join("model.safetensors")
}

#[test]
fn it_is_unpacked_once_and_opens() {
    let place = tempfile::tempdir().unwrap();
    let folder = unpack_into(place.path()).unwrap();
    let model = Model::open(&folder).unwrap();
    assert_eq!(model.name(), NAME);
    assert!(model.text().unwrap().template_fault.is_none());
    assert!(!model.text().unwrap().template.is_fallback());
    let written = fs::metadata(weights(&folder)).unwrap().modified().unwrap();
    assert_eq!(unpack_into(place.path()).unwrap(), folder);
    assert_eq!(fs::metadata(weights(&folder)).unwrap().modified().unwrap(), written);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), FILES);
}

#[test]
fn damage_is_mended() {
    let place = tempfile::tempdir().unwrap();
    let folder = unpack_into(place.path()).unwrap();
    let path = weights(&folder);
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for damaged in [&[][..], &whole[..whole.len() / 2], &changed] {
        fs::write(&path, damaged).unwrap();
        unpack_into(place.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    fs::remove_file(folder.join("tokenizer.json")).unwrap();
    Model::open(&unpack_into(place.path()).unwrap()).unwrap();
    // Nothing is left beside what was mended.
    assert_eq!(fs::read_dir(&folder).unwrap().count(), FILES);
}

#[test]
fn a_place_that_is_no_folder_is_named() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let error = unpack_into(&file).unwrap_err();
    assert!(matches!(&error, BuiltinError::Write { path, .. } if path.starts_with(&file)), "{error}");
    assert!(error.to_string().contains("name another"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_is_named_unless_all_is_there() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().unwrap();
    let folder = unpack_into(place.path()).unwrap();
    let read_only = fs::Permissions::from_mode(0o555);
    fs::set_permissions(&folder, read_only).unwrap();
    // All is there, so nothing has to be written.
    unpack_into(place.path()).unwrap();
    // Whoever may write everywhere cannot see the rest of this.
    if fs::write(folder.join("probe"), "").is_err() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(weights(&folder)).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
        let error = unpack_into(place.path()).unwrap_err();
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        assert!(error.to_string().contains("writable"), "{error}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk_is_told_with_the_room_that_is_needed() {
    let error = BuiltinError::Write { path: "x".into(), source: std::io::ErrorKind::StorageFull.into() };
    assert!(error.to_string().contains("free ") && error.to_string().contains(" MB there"), "{error}");
}
