//! `config.json` and `generation_config.json`: the raw configuration of a checkpoint.
//!
//! [`Config`] is what the files say; what it means for the computation is the business of the families
//! in [`arch`](crate::arch). Nothing here panics or overflows, whatever a file contains.

mod effects;
mod error;
mod fields;
mod generation;
mod rope;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use serde_json::{Map, Value};

pub use error::{ConfigError, Unsupported};
pub use fields::Fields;
pub use generation::Generation;
pub(crate) use rope::{RopeDefaults, rotation};

/// No configuration comes near; something that large is not one.
const LARGEST_FILE: u64 = 64 << 20;

/// The configuration of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    values: Map<String, Value>,
    pub generation: Generation,
}

impl Config {
    /// Reads `config.json` of a folder, and `generation_config.json` where there is one.
    pub fn open(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join("config.json");
        let fault = |fault: &str| ConfigError::Unreadable { path: path.clone(), fault: fault.to_owned() };
        let config = read(&path)?.ok_or_else(|| fault("there is no such file"))?;
        let generation = read(&folder.join("generation_config.json"))?;
        Self::parse(&config, generation.as_deref())
    }

    /// Parses the contents of `config.json` and, where there is one, of `generation_config.json`.
    pub fn parse(config: &str, generation: Option<&str>) -> Result<Self, ConfigError> {
        let values = object("config.json", config)?;
        let generation = match generation {
            Some(text) => object("generation_config.json", text)?,
            None => Map::new(),
        };
        let generation = Fields::new("generation_config.json", generation);
        let mut places = vec![Fields::new("config.json", values.clone())];
        places.extend(places[0].optional_object("text_config")?);
        let generation = Generation::read(&generation, &places)?;
        Ok(Self { values, generation })
    }

    /// The keys of `config.json`.
    pub fn fields(&self) -> Fields {
        Fields::new("config.json", self.values.clone())
    }

    /// The name of the model's class, such as `LlamaForCausalLM`.
    pub fn architecture(&self) -> Option<&str> {
        self.values.get("architectures")?.get(0)?.as_str()
    }

    /// The name of the family, such as `llama`.
    pub fn model_type(&self) -> Option<&str> {
        self.values.get("model_type")?.as_str()
    }

    /// What the weights were stored in, such as `bfloat16`; `dtype` now, `torch_dtype` formerly.
    pub fn dtype(&self) -> Option<&str> {
        let text = self.values.get("text_config").and_then(Value::as_object);
        let name = stored_as(&self.values).or_else(|| stored_as(text?))?;
        Some(name.strip_prefix("torch.").unwrap_or(name))
    }

    /// How the weights were quantised, as the file says it.
    pub fn quantization(&self) -> Option<&Value> {
        let text = self.values.get("text_config").and_then(Value::as_object);
        let keys = ["quantization_config", "compression_config"];
        let objects = [Some(&self.values), text];
        let mut found = objects.into_iter().flatten().flat_map(|object| keys.map(|key| object.get(key)));
        found.find_map(|value| value.filter(|value| !value.is_null()))
    }
}

fn stored_as(values: &Map<String, Value>) -> Option<&str> {
    values.get("dtype").or_else(|| values.get("torch_dtype"))?.as_str()
}

/// The text of a file; none where there is no such file.
fn read(path: &Path) -> Result<Option<String>, ConfigError> {
    let unreadable = |fault: String| ConfigError::Unreadable { path: path.to_owned(), fault };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut text = String::new();
    let read = file.take(LARGEST_FILE).read_to_string(&mut text);
    let bytes = read.map_err(|error| unreadable(error.to_string()))?;
    if bytes as u64 == LARGEST_FILE {
        return Err(unreadable(format!("more than {} MiB are no configuration", LARGEST_FILE >> 20)));
    }
    Ok(Some(text))
}

fn object(file: &str, text: &str) -> Result<Map<String, Value>, ConfigError> {
    // Some editors put a byte order mark first, which JSON does not know.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text)
        .map_err(|error| ConfigError::Json { file: file.to_owned(), fault: error.to_string() })
}
