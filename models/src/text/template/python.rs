//! Methods of Python's strings, lists and dictionaries that templates call, beyond those that
//! `minijinja-contrib` knows or where it differs from Python.

use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let ours = match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or_default(), name, args),
        ValueKind::Seq => list_method(value, name, args),
        ValueKind::Map => map_method(value, name, args),
        _ => None,
    };
    ours.unwrap_or_else(|| pycompat::unknown_method_callback(state, value, name, args))
}

/// White space by Python's reckoning, which counts four separators that Unicode does not.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

pub(super) fn strip(text: &str, characters: Option<&str>, left: bool, right: bool) -> String {
    let strips = |c: char| characters.map_or_else(|| is_space(c), |set| set.contains(c));
    let text = if left { text.trim_start_matches(strips) } else { text };
    if right { text.trim_end_matches(strips) } else { text }.to_owned()
}

fn string_method(text: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "strip" => one(args, |set: Option<&str>| strip(text, set, true, true)),
        "lstrip" => one(args, |set: Option<&str>| strip(text, set, true, false)),
        "rstrip" => one(args, |set: Option<&str>| strip(text, set, false, true)),
        "removeprefix" => one(args, |prefix: &str| text.strip_prefix(prefix).unwrap_or(text).to_owned()),
        "removesuffix" => one(args, |suffix: &str| text.strip_suffix(suffix).unwrap_or(text).to_owned()),
        "partition" => one(args, |by: &str| match text.split_once(by) {
            Some((before, after)) => parts([before, by, after]),
            None => parts([text, "", ""]),
        }),
        "rpartition" => one(args, |by: &str| match text.rsplit_once(by) {
            Some((before, after)) => parts([before, by, after]),
            None => parts(["", "", text]),
        }),
        "rsplit" => from_args(args).and_then(|(by, most)| rsplit(text, by, most)),
        "splitlines" => one(args, |keep: Option<bool>| lines(text, keep.unwrap_or(false))),
        "index" => one(args, |what: &str| text.find(what)).and_then(|at| {
            let missing = || Error::new(ErrorKind::InvalidOperation, "substring not found");
            at.as_usize().map(|at| Value::from(text[..at].chars().count())).ok_or_else(missing)
        }),
        "casefold" => from_args(args).map(|()| Value::from(text.to_lowercase())),
        "ljust" | "rjust" | "center" => {
            from_args(args).map(|(width, fill): (usize, Option<char>)| pad(text, name, width, fill))
        }
        "zfill" => one(args, |width: usize| {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            let zeros = width.min(WIDEST).saturating_sub(text.chars().count());
            format!("{sign}{}{digits}", "0".repeat(zeros))
        }),
        _ => return None,
    })
}

fn list_method(list: &Value, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "index" => from_args(args).and_then(|(what,): (Value,)| {
            let missing = || Error::new(ErrorKind::InvalidOperation, format!("{what:?} is not in the list"));
            list.try_iter()?.position(|item| item == what).map(Value::from).ok_or_else(missing)
        }),
        "copy" => from_args(args).map(|()| list.clone()),
        "append" | "extend" | "insert" | "pop" | "remove" | "clear" | "sort" | "reverse" => Err(fixed(name)),
        _ => return None,
    })
}

fn map_method(map: &Value, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "copy" => from_args(args).map(|()| map.clone()),
        "pop" | "popitem" | "update" | "setdefault" | "clear" => Err(fixed(name)),
        _ => return None,
    })
}

/// The Python library, too, runs templates where nothing can be changed in place.
fn fixed(name: &str) -> Error {
    let message = format!("{name}() would change a value in place, which chat templates may not");
    Error::new(ErrorKind::UnknownMethod, message)
}

fn one<'a, T, R>(args: &'a [Value], work: impl FnOnce(T) -> R) -> Result<Value, Error>
where
    (T,): minijinja::value::FunctionArgs<'a, Output = (T,)>,
    R: Into<Value>,
{
    let (argument,) = from_args::<(T,)>(args)?;
    Ok(work(argument).into())
}

fn parts(parts: [&str; 3]) -> Value {
    Value::from(Tuple::from(parts.map(Value::from)))
}

fn rsplit(text: &str, by: Option<&str>, most: Option<i64>) -> Result<Value, Error> {
    let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX - 1);
    let mut pieces: Vec<&str> = Vec::new();
    match by {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(by) => pieces.extend(text.rsplitn(most + 1, by)),
        None => {
            let mut rest = text.trim_end_matches(is_space);
            while !rest.is_empty() && pieces.len() < most {
                let word = rest.rfind(is_space).map_or(0, |at| at + space_len(rest, at));
                pieces.push(&rest[word..]);
                rest = rest[..word].trim_end_matches(is_space);
            }
            if !rest.is_empty() {
                pieces.push(rest);
            }
        }
    }
    pieces.reverse();
    Ok(pieces.into_iter().map(Value::from).collect())
}

fn space_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn lines(text: &str, keep_ends: bool) -> Value {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, end) = match rest.find(ends) {
            Some(at) if rest[at..].starts_with("\r\n") => (at, at + 2),
            Some(at) => (at, at + space_len(rest, at)),
            None => (rest.len(), rest.len()),
        };
        lines.push(&rest[..if keep_ends { end } else { line }]);
        rest = &rest[end..];
    }
    lines.into_iter().map(Value::from).collect()
}

/// Far wider than any line, and small enough that a template cannot fill the memory with blanks.
const WIDEST: usize = 1 << 16;

fn pad(text: &str, name: &str, width: usize, fill: Option<char>) -> Value {
    let width = width.min(WIDEST);
    let missing = width.saturating_sub(text.chars().count());
    let left = match name {
        "ljust" => 0,
        "rjust" => missing,
        // Python gives the odd blank to the left where the width is odd as well.
        _ => missing / 2 + (missing & width & 1),
    };
    let fill = fill.unwrap_or(' ').to_string();
    Value::from(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
}
