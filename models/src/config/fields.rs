//! Reading keys of a JSON object, with errors that name the file, the key, what was found and what is
//! needed.
//!
//! A reader remembers which keys were asked for, so that keys which change the computation and which
//! nobody asked for can be refused ([`Fields::refuse_unread`]).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::effects;
use super::error::{ConfigError, Unsupported, shown};

/// A JSON object and where it stands.
#[derive(Debug)]
pub struct Fields {
    place: String,
    values: Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl Fields {
    pub(super) fn new(place: impl Into<String>, values: Map<String, Value>) -> Self {
        Self { place: place.into(), values, read: RefCell::default() }
    }

    /// Where the object stands, such as `config.json: text_config`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Lets the keys that are absent have the values that their family gives them. A key that is
    /// present and `null` stays `null`.
    #[must_use]
    pub fn with_defaults(mut self, defaults: Value) -> Self {
        if let Value::Object(defaults) = defaults {
            for (key, value) in defaults {
                self.values.entry(key).or_insert(value);
            }
        }
        self
    }

    /// Gives a key a value.
    #[must_use]
    pub fn with_value(mut self, key: &str, value: Value) -> Self {
        self.values.insert(key.to_owned(), value);
        self
    }

    /// The value of a key; none where it is absent or `null`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.read.borrow_mut().insert(key.to_owned());
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it `null`.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// A whole number within a range.
    pub fn size(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let needed = whole(&range);
        self.optional_size(key, range)?.ok_or_else(|| self.missing(key, needed))
    }

    /// A whole number within a range, where given.
    pub fn optional_size(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        size.map(Some).ok_or_else(|| self.wrong(key, whole(&range)))
    }

    /// A number within a range, where given.
    pub fn optional_number(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let number = value.as_f64().filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| self.wrong(key, real(&range)))
    }

    /// A number within a range.
    pub fn number(&self, key: &str, range: RangeInclusive<f64>) -> Result<f64, ConfigError> {
        let needed = real(&range);
        self.optional_number(key, range)?.ok_or_else(|| self.missing(key, needed))
    }

    /// Numbers within a range, exactly so many.
    pub fn numbers(
        &self,
        key: &str,
        count: usize,
        range: RangeInclusive<f64>,
    ) -> Result<Vec<f64>, ConfigError> {
        let needed = || format!("a list of {count}, each {}", real(&range));
        let value = self.get(key).ok_or_else(|| self.missing(key, needed()))?;
        let in_range = |v: &Value| v.as_f64().filter(|n| range.contains(n));
        let numbers: Option<Vec<f64>> = value.as_array().and_then(|list| list.iter().map(in_range).collect());
        numbers.filter(|list| list.len() == count).ok_or_else(|| self.wrong(key, needed()))
    }

    /// Whole numbers within a range; none where the key is absent.
    pub fn sizes(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<Vec<usize>>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let in_range =
            |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        let sizes: Option<Vec<usize>> = value.as_array().and_then(|list| list.iter().map(in_range).collect());
        let needed = || format!("a list of whole numbers from {} to {}", range.start(), range.end());
        sizes.map(Some).ok_or_else(|| self.wrong(key, needed()))
    }

    /// `true` or `false`; `false` where absent.
    pub fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false".to_owned()))
    }

    /// A string, where given.
    pub fn optional_text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string".to_owned()))
    }

    /// Strings; none where the key is absent.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let texts: Option<Vec<&str>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        texts.map(Some).ok_or_else(|| self.wrong(key, "a list of strings".to_owned()))
    }

    /// An object within this one, where given.
    pub fn optional_object(&self, key: &str) -> Result<Option<Self>, ConfigError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let object = value.as_object().ok_or_else(|| self.wrong(key, "an object".to_owned()))?;
        Ok(Some(Self::new(format!("{}: {key}", self.place), object.clone())))
    }

    /// The error for a key that must be there.
    pub fn missing(&self, key: &str, needed: impl Into<String>) -> ConfigError {
        ConfigError::Missing { place: self.place.clone(), key: key.to_owned(), needed: needed.into() }
    }

    /// The error for a key whose value makes no sense.
    pub fn wrong(&self, key: &str, needed: impl Into<String>) -> ConfigError {
        let (place, key, found) = (self.place.clone(), key.to_owned(), self.found(key));
        ConfigError::Value { place, key, found, needed: needed.into() }
    }

    /// The error for a key whose value makes sense and is not supported.
    pub fn unsupported(&self, key: &str, supported: impl Into<String>) -> ConfigError {
        ConfigError::Unsupported(vec![self.refused(key, supported)])
    }

    /// Refuses the keys that are known to change the computation, say something, and were not read.
    pub fn refuse_unread(&self) -> Result<(), ConfigError> {
        let read = self.read.borrow();
        let ignored = self.values.iter().filter(|(key, _)| !read.contains(*key));
        let refused: Vec<_> = ignored
            .filter_map(|(key, value)| {
                let supported = effects::needed(key, value)?;
                Some(self.refused(key, supported))
            })
            .collect();
        if refused.is_empty() { Ok(()) } else { Err(ConfigError::Unsupported(refused)) }
    }

    fn refused(&self, key: &str, supported: impl Into<String>) -> Unsupported {
        let (place, found) = (self.place.clone(), self.found(key));
        Unsupported { place, key: key.to_owned(), found, supported: supported.into() }
    }

    fn found(&self, key: &str) -> String {
        self.values.get(key).map_or_else(|| "absent".to_owned(), shown)
    }
}

fn whole(range: &RangeInclusive<usize>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

fn real(range: &RangeInclusive<f64>) -> String {
    format!("a number from {} to {}", brief(*range.start()), brief(*range.end()))
}

/// A number without the zeros that nobody counts.
fn brief(number: f64) -> String {
    let size = number.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) { format!("{number:e}") } else { number.to_string() }
}
