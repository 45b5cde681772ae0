//! Rendering a conversation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use chrono::NaiveDateTime;
use minijinja::{Error, ErrorKind, Value};
use serde_json::{Map, Value as Json, json};

use super::{ChatTemplate, ContentForm, SystemSupport, TemplateError, deep, environment};
use crate::text::guard::{PromptGuard, unguarded};
use crate::text::message::Message;

/// Instructions of the template engine. Known templates take at most 150 for a message, but one looks back from
/// each message to the first, and is content with this for more than a thousand messages.
const FUEL: u64 = 8_000_000;

/// No model's context holds a prompt of this many bytes.
pub(super) const LARGEST_PROMPT: usize = 1 << 27;

/// What to render, and with what.
#[derive(Debug, Clone, Default)]
pub struct RenderRequest<'a> {
    pub messages: &'a [Message],
    /// Ends the prompt with the beginning of a reply.
    pub add_generation_prompt: bool,
    /// `bos_token` and its like: [`Tokenizer::template_tokens`](crate::text::Tokenizer::template_tokens).
    pub tokens: Option<&'a BTreeMap<String, String>>,
    /// Further variables: `enable_thinking`, `date_string`. They win over everything else.
    pub variables: Map<String, Json>,
    /// The time that templates are told, where it is not to be the clock's.
    pub now: Option<NaiveDateTime>,
    /// Keeps what is written in messages from being read as special tokens. Leave it out only where the
    /// prompt is not encoded.
    pub guard: Option<&'a PromptGuard>,
}

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    prompt: String,
    /// The system message was put into the first user message, since the template takes none.
    pub system_folded: bool,
    /// The prompt ends inside the model's thinking: the reply begins with thoughts, without an opening mark.
    pub thinking_open: bool,
}

impl Rendered {
    /// The prompt for [`Tokenizer::encode_prompt`](crate::text::Tokenizer::encode_prompt), guards included.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// The prompt for people to read.
    pub fn text(&self) -> Cow<'_, str> {
        unguarded(&self.prompt)
    }
}

impl ChatTemplate {
    /// Renders a conversation. A leading system message that the template cannot take goes into the first user
    /// message.
    pub fn render(&self, request: &RenderRequest<'_>) -> Result<Rendered, TemplateError> {
        let folded = match &self.system {
            SystemSupport::Folded { .. } => fold_system(request.messages),
            SystemSupport::Native => None,
        };
        let messages = folded.as_deref().unwrap_or(request.messages);
        let prompt = self.render_as(messages, request, self.form)?;
        let open = self.marks.open.trim();
        let thinking_open = request.add_generation_prompt && prompt.trim_end().ends_with(open);
        Ok(Rendered { prompt, system_folded: folded.is_some(), thinking_open })
    }

    pub(super) fn render_as(
        &self,
        messages: &[Message],
        request: &RenderRequest<'_>,
        form: ContentForm,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Json> = messages.iter().map(|m| fields(m, form, request.guard)).collect();
        deep::run(|| self.run(&messages, request))
    }

    fn run(&self, messages: &[Json], request: &RenderRequest<'_>) -> Result<String, TemplateError> {
        let mut variables: BTreeMap<String, Value> = BTreeMap::new();
        variables.insert("strftime_now".into(), strftime_now(request.now));
        for (name, token) in request.tokens.into_iter().flatten() {
            variables.insert(name.clone(), Value::from(token.as_str()));
        }
        variables.insert("messages".into(), messages.iter().map(value).collect());
        variables.insert("tools".into(), Value::from(()));
        variables.insert("documents".into(), Value::from(()));
        variables.insert("add_generation_prompt".into(), Value::from(request.add_generation_prompt));
        variables.extend(request.variables.iter().map(|(name, json)| (name.clone(), value(json))));
        let engine_error = |error: minijinja::Error| TemplateError::from_engine(&error);
        let template = self.environment.get_template(environment::NAME).map_err(engine_error)?;
        let mut output = Limited(Vec::new());
        template.render_captured_to(Value::from(variables), &mut output).map_err(engine_error)?;
        // The engine writes strings, so these bytes are text.
        Ok(String::from_utf8(output.0).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    pub(super) fn set_fuel(&mut self, share: u64) {
        self.environment.set_fuel(Some(FUEL / share));
    }
}

/// The messages with a leading system message put into the first user message, or `None` if there is none.
fn fold_system(messages: &[Message]) -> Option<Vec<Message>> {
    let (system, rest) = messages.split_first().filter(|(first, _)| first.role == "system")?;
    let mut messages = rest.to_vec();
    match messages.first_mut().filter(|first| first.role == "user") {
        Some(user) if system.content.trim().is_empty() || user.content.is_empty() => {
            user.content = format!("{}{}", system.content.trim(), user.content);
        }
        Some(user) => user.content = format!("{}\n\n{}", system.content, user.content),
        None => messages.insert(0, Message::user(system.content.clone())),
    }
    Some(messages)
}

/// A message as the Python library gives it to a template: fields that are null are left out, and reasoning
/// is there under the two names that templates look for.
fn fields(message: &Message, form: ContentForm, guard: Option<&PromptGuard>) -> Json {
    let content = match form {
        ContentForm::Text => json!(message.content),
        ContentForm::Parts => json!([{ "type": "text", "text": message.content }]),
    };
    let mut given = Map::new();
    given.insert("role".into(), json!(message.role));
    given.insert("content".into(), content);
    if let Some(reasoning) = &message.reasoning {
        given.insert("reasoning_content".into(), json!(reasoning));
    }
    given.extend(message.extra.clone());
    given.retain(|_, value| !value.is_null());
    let names = ["reasoning_content", "thinking", "reasoning"];
    if let Some(reasoning) = names.iter().find_map(|name| given.get(*name)).cloned() {
        let mut with_reasoning = Map::new();
        with_reasoning.insert("thinking".into(), reasoning.clone());
        with_reasoning.extend(given);
        with_reasoning.insert("reasoning_content".into(), reasoning);
        given = with_reasoning;
    }
    let mut given = Json::Object(given);
    if let Some(guard) = guard {
        guard_strings(&mut given, guard);
    }
    given
}

fn guard_strings(value: &mut Json, guard: &PromptGuard) {
    match value {
        Json::String(text) => {
            if let Cow::Owned(guarded) = guard.guard(text) {
                *text = guarded;
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| guard_strings(item, guard)),
        Json::Object(fields) => fields.values_mut().for_each(|field| guard_strings(field, guard)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

/// JSON as the template engine's values.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value).collect::<Vec<_>>()),
        Json::Object(fields) => {
            Value::from_pairs(fields.iter().map(|(name, field)| (name.as_str(), value(field))))
        }
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(integer)) => Value::from(integer),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
    }
}

fn strftime_now(now: Option<NaiveDateTime>) -> Value {
    Value::from_function(move |format: &str| {
        let now = now.unwrap_or_else(|| chrono::Local::now().naive_local());
        let mut text = String::new();
        // A format that chrono does not know fails to be written, where `to_string` would panic.
        write!(text, "{}", now.format(format)).map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, format!("{format:?} is not a format of dates"))
        })?;
        Ok::<_, Error>(text)
    })
}

/// Collects output up to [`LARGEST_PROMPT`].
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST_PROMPT {
            return Err(io::Error::other("the prompt is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
