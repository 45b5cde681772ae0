//! Chat templates against the Python library's output, and templates that mean harm.
//!
//! `INGLE_CHAT_TEMPLATES=<folder of *.jinja>` checks real models' templates as well: those in `real.json` against
//! the outputs there, the others only for rendering or being refused with a reason, unless
//! `INGLE_CHAT_EXPECTED=<file>` names what `tests/reference/chat_templates.py folder` wrote of them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ingle_models::text::{
    ChatTemplate, Message, RenderRequest, Rendered, SystemSupport, TemplateError, TemplateOrigin,
};
use serde_json::{Map, Value};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

struct Case {
    name: String,
    messages: Vec<Message>,
    variables: Map<String, Value>,
    add_generation_prompt: bool,
}

fn cases() -> Vec<Case> {
    let message = |fields: &Value| {
        let mut extra = fields.as_object().unwrap().clone();
        let role = extra.shift_remove("role").unwrap();
        let content = extra.shift_remove("content").unwrap();
        let mut message = Message::new(role.as_str().unwrap(), content.as_str().unwrap());
        message.reasoning =
            extra.shift_remove("reasoning_content").map(|text| text.as_str().unwrap().to_owned());
        message.extra = extra;
        message
    };
    let case = |case: &Value| {
        let mut variables = case["variables"].as_object().unwrap().clone();
        Case {
            name: case["name"].as_str().unwrap().to_owned(),
            messages: case["messages"].as_array().unwrap().iter().map(message).collect(),
            add_generation_prompt: variables.remove("add_generation_prompt") != Some(Value::Bool(false)),
            variables,
        }
    };
    read(&fixtures().join("cases.json")).as_array().unwrap().iter().map(case).collect()
}

fn render(template: &ChatTemplate, case: &Case) -> Result<Rendered, TemplateError> {
    let tokens = BTreeMap::from([("bos_token", "<s>"), ("eos_token", "</s>")]);
    let tokens = tokens.into_iter().map(|(name, token)| (name.to_owned(), token.to_owned())).collect();
    let day = chrono::NaiveDate::from_ymd_opt(2025, 3, 7).unwrap();
    template.render(&RenderRequest {
        messages: &case.messages,
        add_generation_prompt: case.add_generation_prompt,
        tokens: Some(&tokens),
        variables: case.variables.clone(),
        now: day.and_hms_opt(15, 4, 5),
        guard: None,
    })
}

const LENIENT: &str = "ours renders, Python refuses";

/// What differs between our rendering and the expected one, if anything.
fn difference(ours: &Result<Rendered, TemplateError>, expected: Option<&str>) -> Option<String> {
    match (ours, expected) {
        // Python refuses a system message, or drops it, where we fold it.
        (Ok(ours), _) if ours.system_folded => None,
        (Ok(ours), Some(expected)) if ours.prompt() == expected => None,
        (Ok(ours), Some(expected)) => {
            let same = ours.prompt().chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
            let around = |text: &str| text.chars().skip(same.saturating_sub(40)).take(80).collect::<String>();
            Some(format!("from {same}: ours {:?}, expected {:?}", around(ours.prompt()), around(expected)))
        }
        (Ok(ours), None) => Some(format!("{LENIENT}: {:?}", ours.prompt())),
        (Err(error), Some(_)) => Some(format!("{error}")),
        (Err(_), None) => None,
    }
}

#[test]
fn own_templates_render_as_in_python() {
    let expected = read(&fixtures().join("expected.json"));
    let mut wrong = Vec::new();
    for (file, outputs) in expected.as_object().unwrap() {
        let source = fs::read_to_string(fixtures().join("templates").join(file)).unwrap();
        let template = ChatTemplate::from_source(&source).unwrap();
        for case in cases() {
            if let Some(text) = difference(&render(&template, &case), outputs[&case.name].as_str()) {
                wrong.push(format!("{file} {}: {text}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
#[ignore = "needs INGLE_CHAT_TEMPLATES, a folder of real chat templates"]
fn real_templates_render_as_in_python() {
    let folder = std::env::var("INGLE_CHAT_TEMPLATES").expect("INGLE_CHAT_TEMPLATES names a folder");
    let expected = std::env::var("INGLE_CHAT_EXPECTED").map_or(fixtures().join("real.json"), PathBuf::from);
    let expected = read(&expected);
    let mut wrong = Vec::new();
    let (mut templates, mut equal, mut lenient, mut refused) = (0, 0, 0, 0);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "jinja"));
    files.sort();
    for file in files {
        templates += 1;
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let template = match ChatTemplate::from_source(&fs::read_to_string(&file).unwrap()) {
            Ok(template) => template,
            Err(error) => {
                println!("{name}: refused: {error}");
                refused += 1;
                continue;
            }
        };
        println!("{name}: {template:?}");
        let turns = (0..500).flat_map(|_| [Message::user("Go on."), Message::assistant("Yes.")]);
        let messages: Vec<Message> = turns.chain(user("End.")).collect();
        let long = Case { name: String::new(), messages, variables: Map::new(), add_generation_prompt: true };
        if let Err(error) = render(&template, &long) {
            println!("  long conversation: {error}");
            assert!(!matches!(error, TemplateError::TooLong), "{name}");
        }
        for case in cases() {
            let ours = render(&template, &case);
            if let Err(error) = &ours {
                println!("  {}: {error}", case.name);
            }
            let Some(expected) = expected.get(&name) else { continue };
            match difference(&ours, expected[&case.name].as_str()) {
                None => equal += 1,
                // The engine takes `none` for an empty list where Python stops: templates that expect tools.
                Some(text) if text.starts_with(LENIENT) => lenient += 1,
                Some(text) => wrong.push(format!("{name} {}: {text}", case.name)),
            }
        }
    }
    println!(
        "{templates} templates, {refused} refused on loading, {equal} renderings as in Python, {lenient} that only we render"
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn user(text: &str) -> Vec<Message> {
    vec![Message::user(text)]
}

fn render_messages(template: &ChatTemplate, messages: &[Message]) -> Result<Rendered, TemplateError> {
    template.render(&RenderRequest { messages, add_generation_prompt: true, ..RenderRequest::default() })
}

#[test]
fn a_refused_system_message_is_folded_into_the_first_user_message() {
    let source = fs::read_to_string(fixtures().join("templates/alternating.jinja")).unwrap();
    let template = ChatTemplate::from_source(&source).unwrap();
    let refusal = Some("No system messages here".to_owned());
    assert_eq!(template.system_support(), &SystemSupport::Folded { refusal });
    let messages = [Message::system("Be brief."), Message::user("Hi")];
    let rendered = render_messages(&template, &messages).unwrap();
    assert!(rendered.system_folded);
    assert_eq!(rendered.prompt(), "<turn>user\nBe brief.\n\nHi</turn>\n<turn>model\n");
    assert!(!render_messages(&template, &user("Hi")).unwrap().system_folded);
}

#[test]
fn a_dropped_system_message_is_folded_too() {
    let template = "{% for m in messages if m.role != 'system' %}{{ m.content }}|{% endfor %}";
    let template = ChatTemplate::from_source(template).unwrap();
    assert_eq!(template.system_support(), &SystemSupport::Folded { refusal: None });
    let messages = [Message::system("S"), Message::user("U"), Message::assistant("A")];
    assert_eq!(render_messages(&template, &messages).unwrap().prompt(), "S\n\nU|A|");
}

#[test]
fn content_is_given_as_parts_where_a_template_wants_parts() {
    let template = "{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}";
    let template = ChatTemplate::from_source(template).unwrap();
    assert_eq!(render_messages(&template, &user("Hi")).unwrap().prompt(), "Hi");
}

#[test]
fn thinking_left_open_by_the_template_is_told() {
    let source = fs::read_to_string(fixtures().join("templates/thinking.jinja")).unwrap();
    let template = ChatTemplate::from_source(&source).unwrap();
    assert!(template.mentions_thinking() && template.reads_variable("enable_thinking"));
    for (flag, open) in [(true, true), (false, false)] {
        let messages = user("Hi");
        let request = RenderRequest {
            messages: &messages,
            add_generation_prompt: true,
            variables: Map::from_iter([("enable_thinking".to_owned(), Value::Bool(flag))]),
            ..RenderRequest::default()
        };
        assert_eq!(template.render(&request).unwrap().thinking_open, open);
    }
}

#[test]
fn templates_without_end_are_stopped() {
    let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x\
                  {% endfor %}{% endfor %}{% endfor %}";
    let silent = nested.replace('x', "{% set y = 1 %}");
    for source in [nested, &silent] {
        let template = ChatTemplate::from_source(source).unwrap();
        let start = Instant::now();
        let error = render_messages(&template, &user("Hi")).unwrap_err();
        assert!(matches!(error, TemplateError::TooLong), "{error}");
        println!("stopped after {:?}", start.elapsed());
    }
    let loud = "{% for a in range(9999) %}{% for b in range(9) %}{{ 'x' * 9999 }}{% endfor %}{% endfor %}";
    let template = ChatTemplate::from_source(loud).unwrap();
    let error = render_messages(&template, &user("Hi")).unwrap_err();
    assert!(matches!(error, TemplateError::TooMuch { .. }), "{error}");
}

#[test]
fn templates_that_call_themselves_without_end_are_stopped() {
    let macros = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}\n{{ f(0) }}";
    let two = "{% macro f() %}{% set x %}{{ g() }}{% endset %}{% endmacro %}{% macro g() %}\
               {% for i in [1] %}{{ f() }}{% endfor %}{% endmacro %}{{ f() }}";
    let callers = "{% macro f() %}{% call f() %}{% endcall %}{{ caller is defined }}{% endmacro %}{{ f() }}";
    let loops = "{% for x in [[[]]] recursive %}{{ loop([[x]]) }}{% endfor %}";
    let through_filter =
        "{% macro f() %}{{ [1]|map('upper')|list|length ~ f()|upper|trim }}{% endmacro %}{{ f() }}";
    for source in [macros, two, callers, loops, through_filter] {
        let template = ChatTemplate::from_source(source).unwrap();
        let error = render_messages(&template, &user("Hi")).unwrap_err();
        assert!(matches!(error, TemplateError::TooDeep { .. }), "{error:?}");
    }
}

#[test]
fn deep_nesting_in_the_source_is_refused() {
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(60_000), ")".repeat(60_000));
    let lists = format!("{{{{ {} }}}}", "[".repeat(60_000));
    let blocks = "{% if true %}".repeat(9_000);
    let minus = format!("{{{{ {}1 }}}}", "-".repeat(120_000));
    let nots = format!("{{{{ {}1 }}}}", "not ".repeat(30_000));
    for source in [parentheses, lists, blocks] {
        let error = ChatTemplate::from_source(&source).unwrap_err();
        assert!(matches!(error, TemplateError::Syntax { .. }), "{error}");
    }
    let else_ifs = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(10_000));
    for source in [minus, nots, else_ifs] {
        // Any answer will do, as long as there is one.
        let _ = ChatTemplate::from_source(&source).map(|t| render_messages(&t, &user("Hi")).map(drop));
    }
    let large = " ".repeat(1 << 18);
    assert!(matches!(ChatTemplate::from_source(&large), Err(TemplateError::TooLarge { .. })));
}

#[test]
fn long_chains_in_the_source_do_not_overflow_the_stack() {
    for (start, link) in
        [("1", " + 1"), ("'a'", " ~ 'a'"), ("'a'", "|trim"), ("messages", "[0]"), ("1", " == 1")]
    {
        let source = format!("{{{{ {start}{} }}}}", link.repeat(120_000 / link.len()));
        // Any answer will do, as long as there is one.
        let _ = ChatTemplate::from_source(&source).map(|t| render_messages(&t, &user("Hi")).map(drop));
    }
}

#[test]
fn values_nested_without_end_do_not_overflow_the_stack() {
    let nest = "{% set ns = namespace(x=[]) %}{% for a in range(9999) %}{% for b in range(9999) %}\
                {% set ns.x = [ns.x] %}{% endfor %}{% endfor %}";
    let shallower = nest.replace("9999", "980");
    for (source, end) in [
        (nest, ""),
        (&shallower, "{{ ns.x }}"),
        (&shallower, "{{ ns.x|tojson }}"),
        (&shallower, "{{ ns.x == [ns.x] }}"),
    ] {
        let template = ChatTemplate::from_source(&format!("{source}{end}")).unwrap();
        // Any answer will do, as long as there is one.
        let _ = render_messages(&template, &user("Hi"));
    }
}

#[test]
fn errors_name_the_line_and_the_reason() {
    let error = ChatTemplate::from_source("a\n\n{% if x %}\n{{ y | }}").unwrap_err();
    assert!(matches!(error, TemplateError::Syntax { line: 4, .. }), "{error}");

    let template = ChatTemplate::from_source("{{ raise_exception('no ' ~ messages|length) }}").unwrap();
    let error = render_messages(&template, &user("Hi")).unwrap_err();
    assert!(matches!(&error, TemplateError::Refused { message } if message == "no 1"), "{error}");

    for source in ["\n{{ 'a'|from_json }}", "\n{{ [].append(1) }}", "\n{{ nothing() }}", "\n{{ 1 is odder }}"]
    {
        let template = ChatTemplate::from_source(source);
        let error = match template {
            Ok(template) => render_messages(&template, &user("Hi")).unwrap_err(),
            Err(error) => error,
        };
        assert!(matches!(error, TemplateError::Unavailable { line: 2, .. }), "{error:?}");
    }

    let template = ChatTemplate::from_source("\n\n{{ messages[0].a.b }}").unwrap();
    let error = render_messages(&template, &user("Hi")).unwrap_err();
    assert!(matches!(error, TemplateError::Failed { line: 3, .. }), "{error:?}");

    let template = ChatTemplate::from_source("{{ strftime_now('%Q%') }}").unwrap();
    assert!(render_messages(&template, &user("Hi")).is_err());
}

#[test]
fn folders_give_their_template_in_the_order_of_the_python_library() {
    let folder = tempfile("order");
    let load = || ChatTemplate::from_folder(&folder).unwrap();
    let template = load();
    assert!(template.is_fallback());
    let messages = [Message::system("S"), Message::user("U")];
    assert_eq!(
        render_messages(&template, &messages).unwrap().prompt(),
        "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    );

    fs::write(folder.join("chat_template.json"), r#"{"chat_template": "one"}"#).unwrap();
    assert_eq!((load().source(), load().origin()), ("one", &TemplateOrigin::File("chat_template.json")));
    let named =
        r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    fs::write(folder.join("tokenizer_config.json"), named).unwrap();
    let name = Some("default".to_owned());
    assert_eq!((load().source(), load().origin()), ("d", &TemplateOrigin::TokenizerConfig { name }));
    fs::write(folder.join("tokenizer_config.json"), r#"{"chat_template": "two"}"#).unwrap();
    assert_eq!(load().source(), "two");
    fs::write(folder.join("chat_template.jinja"), "three\n").unwrap();
    assert_eq!(load().source(), "three\n");
    assert_eq!(render_messages(&load(), &user("Hi")).unwrap().prompt(), "three");

    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    fs::write(folder.join("tokenizer_config.json"), r#"{"chat_template": "tw"#).unwrap();
    let error = ChatTemplate::from_folder(&folder).unwrap_err().to_string();
    assert!(error.contains("tokenizer_config.json") && error.contains("truncated"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

fn tempfile(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ingle-templates-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}
