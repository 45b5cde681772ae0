//! The surroundings that chat templates are written for: those of the Python library.

use std::collections::HashSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use minijinja_contrib::globals;

use super::TemplateError;
use super::{json, python};

pub(super) const NAME: &str = "chat_template";

/// The deepest nesting of calls. A template's own macros recurse over JSON at most; the limit keeps a call's
/// stack well within the smallest thread's.
const DEEPEST_CALLS: usize = 200;

/// What `raise_exception` in a template raised.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

/// An environment that holds the template `source` under [`NAME`], and the names that the template reads
/// without having set them.
pub(super) fn with_template(
    source: String,
) -> Result<(Environment<'static>, HashSet<String>), TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| TemplateError::from_engine(&error))?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_recursion_limit(DEEPEST_CALLS);
    environment.set_unknown_method_callback(python::method);
    environment.remove_global("debug");
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("cycler", globals::cycler);
    environment.add_function("joiner", globals::joiner);
    environment
        .add_filter("tojson", |value: &Value, indent, kwargs: Kwargs| json::tojson(value, indent, &kwargs));
    environment.add_filter("trim", trim);
    environment.add_test("sequence", is_sequence);
    environment.add_test("iterable", is_iterable);
    environment.add_template_owned(NAME, source).map_err(|error| TemplateError::from_engine(&error))?;
    let template = environment.get_template(NAME).map_err(|error| TemplateError::from_engine(&error))?;
    let reads = template.undeclared_variables(false);
    Ok((environment, reads))
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    let message = message.to_string();
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn trim(text: &Value, characters: Option<&str>) -> String {
    match text.as_str() {
        Some(text) => python::strip(text, characters, true, true),
        None => python::strip(&text.to_string(), characters, true, true),
    }
}

/// In Python strings and dictionaries, too, have a length and items.
fn is_sequence(value: &Value) -> bool {
    value.is_undefined() || matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map)
}

/// The engine takes nothing for an empty list, Python does not.
fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}
