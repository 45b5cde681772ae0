//! Chat templates: from a conversation to the one string that a model was trained to continue.
//!
//! A model brings its template, a small program in the Jinja language, as `chat_template.jinja` or inside
//! `tokenizer_config.json`. It is written for the Python library `transformers`, whose surroundings
//! [`environment`] rebuilds, and it is a stranger's code: it can compute strings and nothing else, and it is
//! stopped when it runs too long, calls itself too deeply or writes too much.
//!
//! What it cannot be kept from is building one huge string by doubling it. The engine's fuel counts instructions, not
//! what they make, and forty are enough; `+`, `~` and `{% set %}` blocks are instructions of its own that allocate their
//! result before anything of ours is asked. Filters and methods could be capped, but that would close the side doors of
//! an open house. It takes a limit in the engine, or a process of its own for rendering.

mod deep;
mod environment;
mod error;
mod json;
mod probe;
mod python;
mod render;
mod rewrite;

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use minijinja::Environment;
use serde_json::Value;

pub use error::TemplateError;
pub use render::{RenderRequest, Rendered};

use super::files::{read_json, read_text};
use super::thinking::ThinkingMarks;

/// Where a template came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TemplateOrigin {
    /// A file of its own.
    File(&'static str),
    /// `tokenizer_config.json`, under this name where it holds several.
    TokenizerConfig { name: Option<String> },
    /// Given by the caller.
    Given,
    /// The folder has none, and this is `ChatML`: worth telling the user, since the model may expect another.
    Fallback,
}

/// What becomes of a system message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SystemSupport {
    /// The template has a place for it.
    Native,
    /// The template refuses it, with this message, or drops it (`None`). It is put before the first user
    /// message instead.
    Folded { refusal: Option<String> },
}

/// How a template wants a message's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentForm {
    Text,
    /// A list of parts, of which ours is the only one: templates of models that also see.
    Parts,
}

/// A model's chat template, ready to render conversations.
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    origin: TemplateOrigin,
    marks: ThinkingMarks,
    thinks: bool,
    system: SystemSupport,
    form: ContentForm,
    /// The names that the template reads without having set them.
    reads: HashSet<String>,
}

/// The marks around thinking that models use. The first that a template mentions is its model's.
const KNOWN_MARKS: [(&str, &str); 7] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
];

/// Several times the size of the largest template that is known.
const LARGEST_SOURCE: usize = 1 << 17;

/// The form of prompt that most models without a template of their own can follow.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content \
                      + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}\
                      {{ '<|im_start|>assistant\n' }}{% endif %}";

impl ChatTemplate {
    /// The template of a Hugging Face folder: `chat_template.jinja`, else `chat_template` in
    /// `tokenizer_config.json`, else `chat_template.json`, else `ChatML` as a [fallback](TemplateOrigin::Fallback).
    pub fn from_folder(folder: &Path) -> Result<Self, TemplateError> {
        if let Some(source) = read_text(&folder.join("chat_template.jinja"))? {
            return Self::compile(&source, TemplateOrigin::File("chat_template.jinja"));
        }
        for file in ["tokenizer_config.json", "chat_template.json"] {
            let Some(config) = read_json(&folder.join(file))? else { continue };
            if let Some((name, source)) = choose(config.get("chat_template")) {
                let origin = match file {
                    "chat_template.json" => TemplateOrigin::File("chat_template.json"),
                    _ => TemplateOrigin::TokenizerConfig { name },
                };
                return Self::compile(source, origin);
            }
        }
        Self::chatml()
    }

    /// A template of the caller's own.
    pub fn from_source(source: &str) -> Result<Self, TemplateError> {
        Self::compile(source, TemplateOrigin::Given)
    }

    /// `ChatML`, for a model whose own template is missing or broken.
    pub fn chatml() -> Result<Self, TemplateError> {
        Self::compile(CHATML, TemplateOrigin::Fallback)
    }

    fn compile(source: &str, origin: TemplateOrigin) -> Result<Self, TemplateError> {
        if source.len() > LARGEST_SOURCE {
            return Err(TemplateError::TooLarge { bytes: source.len(), limit: LARGEST_SOURCE });
        }
        let (environment, reads) = deep::run(|| environment::with_template(rewrite::prepare(source)))?;
        let marks = KNOWN_MARKS.iter().find(|(open, close)| source.contains(open) || source.contains(close));
        let mut template = Self {
            environment,
            source: source.to_owned(),
            origin,
            marks: marks.map(|(open, close)| ThinkingMarks::new(open, close)).unwrap_or_default(),
            thinks: marks.is_some(),
            system: SystemSupport::Native,
            form: ContentForm::Text,
            reads,
        };
        template.probe();
        Ok(template)
    }

    /// The template as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn origin(&self) -> &TemplateOrigin {
        &self.origin
    }

    /// Whether the model brought no template and `ChatML` stands in.
    pub fn is_fallback(&self) -> bool {
        self.origin == TemplateOrigin::Fallback
    }

    pub fn system_support(&self) -> &SystemSupport {
        &self.system
    }

    /// The marks around this model's thinking, `<think>` where the template does not say.
    pub fn thinking_marks(&self) -> &ThinkingMarks {
        &self.marks
    }

    /// Whether the template knows of thinking at all.
    pub fn mentions_thinking(&self) -> bool {
        self.thinks
    }

    /// Whether a variable of this name could make a difference: `enable_thinking`, say.
    pub fn reads_variable(&self, name: &str) -> bool {
        self.reads.contains(name)
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("origin", &self.origin)
            .field("system", &self.system)
            .field("form", &self.form)
            .field("marks", &self.marks)
            .finish_non_exhaustive()
    }
}

/// The template for plain conversations among those that a configuration holds.
fn choose(field: Option<&Value>) -> Option<(Option<String>, &str)> {
    match field? {
        Value::String(source) => Some((None, source)),
        Value::Array(list) => {
            let entry = |entry: &'_ Value| entry.get("name").and_then(Value::as_str).map(str::to_owned);
            let chosen =
                list.iter().find(|e| entry(e).as_deref() == Some("default")).or_else(|| list.first())?;
            Some((entry(chosen), chosen.get("template")?.as_str()?))
        }
        Value::Object(named) => {
            let default = named.get_key_value("default").or_else(|| named.iter().next())?;
            Some((Some(default.0.clone()), default.1.as_str()?))
        }
        _ => None,
    }
}
