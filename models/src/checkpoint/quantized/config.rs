//! What `config.json` says of how a checkpoint was quantised.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::super::error::CheckpointError;

/// Configurations have a few thousand bytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Who quantised a checkpoint, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantization {
    /// bitsandbytes with 4 bits; each tensor says the rest of itself.
    Bitsandbytes4,
    /// compressed-tensors with int8 codes; each tensor says the rest of itself.
    CompressedInt8,
    /// GPTQ with 4 bits. `group` inputs share a scale, or all of them.
    Gptq { group: Option<usize>, zeros_less_one: bool },
    /// AWQ with 4 bits, in the order of its matrix-matrix kernels.
    Awq { group: Option<usize> },
    /// Inglenook's own form; each file says the rest of itself.
    Own,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bitsandbytes4 => f.write_str("bitsandbytes with 4 bits"),
            Self::CompressedInt8 => f.write_str("compressed-tensors with int8"),
            Self::Gptq { .. } => f.write_str("gptq with 4 bits"),
            Self::Awq { .. } => f.write_str("awq with 4 bits"),
            Self::Own => f.write_str("Inglenook's own form"),
            Self::Other(method) => f.write_str(method),
        }
    }
}

/// Reads the configuration of a model folder; `None` if nothing has been quantised, or there is none.
pub(in super::super) fn read_config(folder: &Path) -> Result<Option<Quantization>, CheckpointError> {
    let file = folder.join("config.json");
    let mut text = String::new();
    let read = fs::File::open(&file).and_then(|file| file.take(CONFIG_LIMIT).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CheckpointError::Read { path: file, source }),
    }
    let config = serde_json::from_str(&text)
        .map_err(|fault| CheckpointError::Config { file, fault: format!("it is no JSON: {fault}") })?;
    Ok(Quantization::of(&config))
}

impl Quantization {
    /// What a whole configuration says.
    pub fn of(config: &Value) -> Option<Self> {
        let places = ["/quantization_config", "/text_config/quantization_config", "/compression_config"];
        let table =
            places.iter().find_map(|place| config.pointer(place).filter(|found| found.is_object()))?;
        let text = |name: &str| table.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| table.get(name).and_then(Value::as_i64);
        // -1 stands for all inputs.
        let group = number("group_size").and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
        let flag = |name: &str| table.get(name).and_then(Value::as_bool).unwrap_or_default();
        let method = match text("quant_method") {
            "" => "an unnamed method",
            method => method,
        };
        let or = |text: &str, usual: &str| if text.is_empty() { usual.to_owned() } else { text.to_owned() };
        let kind = match method {
            "gptq" => or(text("checkpoint_format"), "gptq"),
            _ => or(text("version"), "gemm"),
        };
        Some(match method {
            "bitsandbytes" if flag("load_in_4bit") => Self::Bitsandbytes4,
            "compressed-tensors" if text("format") == "int-quantized" => Self::CompressedInt8,
            "gptq" if number("bits") == Some(4) && !flag("is_marlin_format") && kind.starts_with("gptq") => {
                Self::Gptq { group, zeros_less_one: kind != "gptq_v2" }
            }
            "awq" if number("bits") == Some(4) && kind.eq_ignore_ascii_case("gemm") => Self::Awq { group },
            "inglenook" => Self::Own,
            "gptq" | "awq" => {
                Self::Other(format!("{method} with {} bits as {kind}", number("bits").unwrap_or(0)))
            }
            _ => Self::Other(match (text("format"), number("bits")) {
                ("", Some(bits)) => format!("{method} with {bits} bits"),
                ("", None) if flag("load_in_8bit") => format!("{method} with 8 bits"),
                ("", None) => method.to_owned(),
                (format, _) => format!("{method} as {format}"),
            }),
        })
    }
}
