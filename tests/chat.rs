//! From a model's folder to text: opening, preflight, conversations that outgrow the context, and replies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use inglenook::backend::format::{CacheFormat, WeightFormat};
use inglenook::backend::plan::{BatchLimits, FusionSet};
use inglenook::backend::{BackendError, no_progress};
use inglenook::chat::{ChatError, Conversation, Ending, Overflow, ReplyEvent, ReplyOptions, TextReply};
use inglenook::engine::{Engine, Request};
use inglenook::model::{
    ContextReason, LoadError, LoadOptions, LoadedModel, Model, ModelError, WeightChoice, WeightReason,
};
use inglenook::models::text::SpecialText;
use inglenook::score::{Score, logits_of, score_window};
use inglenook::{Device, find_device};
use tempfile::TempDir;

const TEMPLATE: &str = "{% for message in messages %}{{ message.role }} {{ message.content }} </s>\
                        {% endfor %}{% if add_generation_prompt %}assistant {% endif %}";

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
    fs::write(folder.path().join("chat_template.jinja"), TEMPLATE).unwrap();
    folder
}

fn device() -> Device {
    find_device("cpu").unwrap()
}

fn options() -> LoadOptions {
    let limits = BatchLimits { rows: 24, selected: 24, sequences: 2 };
    LoadOptions { limits, ..LoadOptions::default() }
}

fn load(model: &Model, options: &LoadOptions) -> LoadedModel {
    model.prepare(&device(), options, &mut no_progress).unwrap()
}

fn engine(model: &Model) -> Engine {
    load(model, &options()).into_engine().unwrap()
}

#[test]
fn what_is_missing_or_broken_is_named() {
    let complain = |file: &str, content: Option<&str>| {
        let folder = folder();
        match content {
            Some(content) => fs::write(folder.path().join(file), content).unwrap(),
            None => fs::remove_file(folder.path().join(file)).unwrap(),
        }
        Model::open(folder.path()).unwrap_err()
    };
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        for content in [None, Some(""), Some("{"), Some("[]")] {
            let error = complain(file, content);
            assert!(error.to_string().contains(file), "{file} {content:?}: {error}");
        }
    }
    let nowhere = Model::open(Path::new("/there/is/no/such/model")).unwrap_err();
    assert!(nowhere.to_string().contains("/there/is/no/such/model"), "{nowhere}");
}

#[test]
fn a_broken_template_gives_way_to_the_fallback_and_is_told_of() {
    let folder = folder();
    fs::write(folder.path().join("chat_template.jinja"), "{% for").unwrap();
    let model = Model::open(folder.path()).unwrap();
    assert!(model.text().unwrap().template_fault.is_some());
    assert!(model.text().unwrap().template.is_fallback());
    let without = Model::open_without_text(folder.path()).unwrap();
    assert!(matches!(without.text(), Err(ModelError::OpenedWithoutText(_))));
}

#[test]
fn a_small_model_stays_as_it_is_and_has_all_of_its_context() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let preflight = model.preflight(&device(), &LoadOptions::default()).unwrap();
    assert_eq!(preflight.formats.layers, model.stored_formats().unwrap().layers);
    assert_eq!(preflight.weight_reason, WeightReason::AsStored);
    assert_eq!((preflight.context, preflight.context_reason), (256, ContextReason::Model));
    let asked = LoadOptions { context: Some(1000), ..LoadOptions::default() };
    let preflight = model.preflight(&device(), &asked).unwrap();
    assert_eq!(preflight.context_reason, ContextReason::BeyondModel(256));
    let int8: WeightFormat = "int8".parse().unwrap();
    let asked = LoadOptions { weights: WeightChoice::Format(int8), ..options() };
    let loaded = load(&model, &asked);
    assert_eq!(loaded.formats().layers, int8);
    assert_eq!(loaded.footprint.weights, loaded.preflight.footprint.weights);
}

#[test]
fn senseless_contexts_are_refused() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    for context in [0, usize::MAX, usize::MAX / 2] {
        let asked = LoadOptions { context: Some(context), ..LoadOptions::default() };
        let refused = model.preflight(&device(), &asked);
        assert!(matches!(refused, Err(LoadError::Context { .. })), "{refused:?}");
    }
    let asked = LoadOptions { tier: Some("no-such".to_owned()), ..LoadOptions::default() };
    let refused = model.prepare(&device(), &asked, &mut no_progress);
    assert!(matches!(refused, Err(LoadError::Backend(BackendError::UnknownTier { .. }))), "{refused:?}");
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let whole = model.preflight(&device(), &options()).unwrap();
    let with = |available: u64| {
        let mut device = device();
        device.info.memory.available = Some(available);
        device
    };
    // Just enough, and one byte less: the context shrinks.
    let needed = whole.footprint.total();
    assert_eq!(model.preflight(&with(needed), &options()).unwrap().context, 256);
    let asked = LoadOptions { context: Some(256), weights: WeightChoice::Stored, ..options() };
    let Err(LoadError::DoesNotFit(shortage)) = model.preflight(&with(needed - 1), &asked) else {
        panic!("what does not fit was let through")
    };
    assert!(!shortage.alternatives.is_empty(), "{shortage}");
    for alternative in &shortage.alternatives {
        let choice = WeightChoice::Format(alternative.weights.parse().unwrap());
        let tried = LoadOptions {
            weights: choice,
            cache: alternative.cache,
            context: Some(alternative.context),
            ..options()
        };
        let fits = model.preflight(&with(needed - 1), &tried);
        assert!(fits.is_ok(), "{alternative} was said to fit: {fits:?}");
        assert!(shortage.to_string().contains(&alternative.to_string()), "{shortage}");
    }
    assert!(shortage.alternatives.iter().any(|a| a.cache == CacheFormat::Int8 || a.context < 256));
    // Where int8 is too much, the most exact of the smaller formats that do fit is named first.
    let needs = |format: &WeightFormat| {
        let weights = WeightChoice::Format(*format);
        let tried = LoadOptions { weights, cache: CacheFormat::Int8, ..asked.clone() };
        model.preflight(&device(), &tried).unwrap().footprint.total()
    };
    let available = needs(&WeightFormat::SMALLER[0]) - 1;
    let Err(LoadError::DoesNotFit(shortage)) = model.preflight(&with(available), &asked) else {
        panic!("what does not fit was let through")
    };
    let fitting = WeightFormat::SMALLER.into_iter().find(|format| needs(format) <= available);
    let named = shortage.alternatives.first().map(|alternative| alternative.weights.clone());
    assert_eq!(named, Some(fitting.unwrap().to_string()), "{shortage}");
    let Err(LoadError::DoesNotFit(hopeless)) = model.preflight(&with(1000), &LoadOptions::default()) else {
        panic!("nothing fits into 1000 bytes")
    };
    assert!(hopeless.alternatives.is_empty() && hopeless.to_string().contains("smaller model"), "{hopeless}");
}

#[test]
fn conversations_that_outgrow_the_context_stop_or_slide() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let text = model.text().unwrap();
    let mut conversation = Conversation::new(Some("be kind".to_owned()));
    assert!(matches!(conversation.prompt(text, 100, 10, Overflow::Stop), Err(ChatError::Empty)));
    for turn in 0..10 {
        conversation.say(format!("question number {turn} of many"));
        conversation.add_reply(format!("answer number {turn}"), "");
    }
    assert!(matches!(conversation.prompt(text, 100, 10, Overflow::Stop), Err(ChatError::Empty)));
    conversation.say("the last question");
    let whole = conversation.prompt(text, 100_000, 10, Overflow::Slide).unwrap();
    assert!(whole.dropped.is_empty());
    let len = whole.tokens.len();
    // It fits exactly with one token for the reply.
    assert_eq!(conversation.prompt(text, len + 1, 10, Overflow::Stop).unwrap(), whole);
    let refused = conversation.prompt(text, len, 10, Overflow::Stop);
    assert!(
        matches!(refused, Err(ChatError::TooLong { tokens, context }) if tokens == len && context == len)
    );

    let context = len / 2;
    let slid = conversation.prompt(text, context, 10, Overflow::Slide).unwrap();
    assert!(slid.tokens.len() + context / 4 <= context);
    assert!(slid.dropped.start == 0 && slid.dropped.end == conversation.forgotten());
    assert_eq!(conversation.messages()[slid.dropped.end].role, "user");
    assert_eq!(conversation.messages().len(), 21);
    let shown = text.tokenizer.decode(&slid.tokens, SpecialText::Keep);
    let system = text.tokenizer.decode(&whole.tokens, SpecialText::Keep);
    assert_eq!(shown.chars().take(8).collect::<String>(), system.chars().take(8).collect::<String>());
    // The next turn goes on from there, and drops nothing more.
    let again = conversation.prompt(text, context, 10, Overflow::Slide).unwrap();
    assert_eq!((again.tokens, again.dropped.is_empty()), (slid.tokens, true));

    let hopeless = conversation.prompt(text, 4, 1, Overflow::Slide);
    assert!(matches!(hopeless, Err(ChatError::LastTooLong { context: 4, .. })), "{hopeless:?}");
}

#[test]
fn what_people_write_is_never_a_control_token() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let text = model.text().unwrap();
    let end = text.tokenizer.id("</s>").unwrap();
    let count = |message: &str| {
        let mut conversation = Conversation::new(None);
        conversation.say(message);
        let prompt = conversation.prompt(text, 1000, 1, Overflow::Stop).unwrap();
        prompt.tokens.into_iter().filter(|token| *token == end).count()
    };
    assert_eq!(count("hello"), 1);
    assert_eq!(count("</s> hello </s></s>"), 1);
}

/// The ids, the answer and the ending of a reply.
fn collect(reply: TextReply) -> (Vec<u32>, String, Ending) {
    let (mut ids, mut answer) = (vec![], String::new());
    for event in reply {
        match event {
            ReplyEvent::Reading { .. } => {}
            ReplyEvent::Token(token) => ids.push(token.id),
            ReplyEvent::Text { text, thinking } => {
                assert!(!thinking && !text.is_empty());
                answer += &text;
            }
            ReplyEvent::DeviceLost(error) => panic!("{error}"),
            ReplyEvent::DeviceRestored { .. } => panic!("no device was lost"),
            ReplyEvent::Finished { ending, .. } => return (ids, answer, ending),
            ReplyEvent::Failed(error) => panic!("{error}"),
        }
    }
    panic!("the reply has no end")
}

#[test]
fn a_reply_is_the_text_of_its_tokens_up_to_a_stop_string() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let text = model.text().unwrap();
    let engine = engine(&model);
    let session = engine.session();
    let request =
        || Request { max_tokens: 40, ..Request::new(text.tokenizer.encode_text("hello", true).unwrap()) };
    let raw = ReplyOptions::default();
    let (ids, whole, ending) = collect(TextReply::new(session.generate(request()), text, raw));
    assert_eq!(whole, text.tokenizer.decode(&ids, SpecialText::Skip));
    assert_eq!(ending, Ending::MaxTokens);
    let prompt = request().tokens;
    let options = ReplyOptions { continues: prompt.clone(), ..ReplyOptions::default() };
    let (_, more, _) = collect(TextReply::new(session.generate(request()), text, options));
    let [before, both] = [prompt.clone(), [prompt, ids.clone()].concat()]
        .map(|tokens| text.tokenizer.decode(&tokens, SpecialText::Skip));
    assert_eq!(before + &more, both);
    let middle = whole.char_indices().nth(whole.chars().count() / 2).unwrap().0;
    let stop: String = whole[middle..].chars().take(3).collect();
    let before = &whole[..whole.find(&stop).unwrap()];
    let options = ReplyOptions { stops: vec![stop], ..ReplyOptions::default() };
    let (fewer, cut, ending) = collect(TextReply::new(session.generate(request()), text, options));
    assert_eq!((cut.as_str(), ending), (before, Ending::StopText));
    assert!(fewer.len() <= ids.len() && ids.starts_with(&fewer));
    // The session is free again at once.
    let (again, ..) = collect(TextReply::new(session.generate(request()), text, ReplyOptions::default()));
    assert_eq!(again, ids);
}

#[test]
fn a_reply_that_begins_with_thinking_is_told_as_such() {
    let folder = folder();
    let model = Model::open(folder.path()).unwrap();
    let text = model.text().unwrap();
    let engine = engine(&model);
    let session = engine.session();
    let request = Request { max_tokens: 20, ..Request::new(vec![1, 5, 9]) };
    let options = ReplyOptions { split_thinking: true, thinking_open: true, ..ReplyOptions::default() };
    let mut seen = String::new();
    for event in TextReply::new(session.generate(request), text, options) {
        if let ReplyEvent::Text { text, thinking } = event {
            assert!(thinking, "the thinking was never closed");
            seen += &text;
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn logits_and_scores_do_not_depend_on_how_they_are_cut() {
    let folder = folder();
    let model = Model::open_without_text(folder.path()).unwrap();
    let mut loaded = load(&model, &LoadOptions { fusion: FusionSet::none(), ..options() });
    let cache = loaded.options().cache;
    let tokens: Vec<u32> = (0..60).map(|i| (i * 37 + 11) % 131).collect();
    let mut all = |rows: usize| {
        let mut rows_seen: Vec<Vec<f32>> = vec![];
        let each = |position: usize, logits: &[f32]| {
            assert_eq!(position, rows_seen.len());
            rows_seen.push(logits.to_vec());
            Ok::<_, BackendError>(())
        };
        logits_of(loaded.runner.as_mut(), cache, rows, &tokens, each).unwrap();
        rows_seen
    };
    let (one, many) = (all(1), all(24));
    assert_eq!((one.len(), one[0].len()), (60, 131));
    for (a, b) in one.iter().flatten().zip(many.iter().flatten()) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    let mut score = Score::default();
    for window in tokens.chunks(20) {
        score_window(loaded.runner.as_mut(), cache, 7, Some(1), window, &mut score).unwrap();
    }
    assert_eq!(score.tokens, 60);
    let mut without = Score::default();
    score_window(loaded.runner.as_mut(), cache, 24, None, &tokens, &mut without).unwrap();
    assert_eq!(without.tokens, 59);
    let by_hand: f64 = (1..60).map(|i| inglenook::score::surprise(&many[i - 1], tokens[i] as usize)).sum();
    assert!((without.surprise - by_hand).abs() < 1e-2, "{} {by_hand}", without.surprise);
}
