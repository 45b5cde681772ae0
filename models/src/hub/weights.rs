//! What a model's folder holds, as far as the headers of its files tell: whether it is complete, how many
//! numbers there are and of which type.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fetch::length;
use super::names::{INDEX, WHOLE, is_safe_path};

/// Largest header and index that are read; the format's own limit.
const LARGEST_HEADER: u64 = 100_000_000;

/// The weights of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Weights {
    /// How many numbers there are.
    pub(super) elements: u64,
    /// The type that most bytes are of, such as `BF16`.
    pub(super) dtype: Option<String>,
}

/// The files that an index lists.
pub(super) fn shards(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("not an index: {error}"))?;
    let files: BTreeSet<_> = index.weight_map.into_values().collect();
    match files.iter().find(|name| !is_safe_path(name) || name.contains('/')) {
        Some(name) => Err(format!("the index names `{name}`, which is no file of this folder")),
        None if files.is_empty() => Err("the index lists nothing".to_owned()),
        None => Ok(files),
    }
}

/// The files that hold a folder's weights, or what is missing of the model.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    if length(&folder.join("config.json")).is_none() {
        return Err("config.json is missing".to_owned());
    }
    if length(&folder.join(WHOLE)).is_some() {
        return Ok(vec![folder.join(WHOLE)]);
    }
    let path = folder.join(INDEX);
    let Some(bytes) = length(&path) else {
        return Err(format!("there is neither {WHOLE} nor {INDEX}"));
    };
    if bytes > LARGEST_HEADER {
        return Err(format!("{INDEX} is too large"));
    }
    let index = fs::read(&path).map_err(|error| format!("{INDEX}: {error}"))?;
    let files = shards(&index).map_err(|fault| format!("{INDEX}: {fault}"))?;
    let missing: Vec<_> = files.iter().filter(|name| length(&folder.join(name)).is_none()).collect();
    match missing.as_slice() {
        [] => Ok(files.iter().map(|name| folder.join(name)).collect()),
        [name] => Err(format!("{name} is missing")),
        [name, rest @ ..] => Err(format!("{name} and {} more are missing", rest.len())),
    }
}

/// Reads the headers of files.
pub(super) fn weights(files: &[PathBuf]) -> Result<Weights, String> {
    let mut elements = 0_u64;
    let mut by_type = BTreeMap::<String, u64>::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let tensors = header(path).map_err(|fault| format!("{name}: {fault}"))?;
        for (dtype, count, bytes) in tensors {
            elements = elements.saturating_add(count);
            let sum = by_type.entry(dtype).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    let dtype = by_type.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(dtype, _)| dtype);
    Ok(Weights { elements, dtype })
}

/// The type, the elements and the bytes of each tensor of a file.
fn header(path: &Path) -> Result<Vec<(String, u64, u64)>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let total = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| "the file is too short".to_owned())?;
    let length = u64::from_le_bytes(length);
    let after = total.saturating_sub(8);
    if length > LARGEST_HEADER || length > after {
        return Err("the header reaches beyond the file; it is no safetensors file, or cut short".to_owned());
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(|error| error.to_string())?;
    let tensors: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| format!("the header cannot be read: {error}"))?;
    let data = after - length;
    let mut found = vec![];
    for (name, tensor) in tensors.iter().filter(|(name, _)| *name != "__metadata__") {
        let tensor = read_tensor(tensor).ok_or_else(|| format!("`{name}` is not described properly"))?;
        let (dtype, count, start, end) = tensor;
        if start > end || end > data {
            return Err(format!("`{name}` lies outside of the file, which may be cut short"));
        }
        found.push((dtype, count, end - start));
    }
    Ok(found)
}

fn read_tensor(tensor: &Value) -> Option<(String, u64, u64, u64)> {
    let dtype = tensor.get("dtype")?.as_str()?.to_owned();
    let sizes = tensor.get("shape")?.as_array()?.iter();
    let count = sizes.map(Value::as_u64).try_fold(1_u64, |product, size| product.checked_mul(size?))?;
    let offset = |at: usize| tensor.get("data_offsets")?.get(at)?.as_u64();
    Some((dtype, count, offset(0)?, offset(1)?))
}
