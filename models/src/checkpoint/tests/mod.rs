//! Checkpoints made on the spot: whole ones, ones in shards, and every way of being broken.

mod broken;
mod export;
mod mutation;
mod quantized;
mod weights;

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype as StDtype, TensorView};

/// A tensor to be written: name, type, shape, bytes.
pub(super) type Written = (&'static str, StDtype, Vec<usize>, Vec<u8>);

/// The bytes of a safetensors file, as the reference implementation writes it.
pub(super) fn file_of(tensors: &[Written]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

/// A file with this header and this much data.
pub(super) fn raw_file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Numbers that look like weights: of both signs, of many sizes.
pub(super) fn numbers(count: usize) -> Vec<f32> {
    let mut state = 0x1234_5678_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * next() * 0.25).collect()
}

pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(super) fn f16_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect()
}

pub(super) fn bf16_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect()
}

/// An f32 tensor.
pub(super) fn f32_tensor(name: &'static str, shape: &[usize]) -> Written {
    (name, StDtype::F32, shape.to_vec(), f32_bytes(&numbers(shape.iter().product())))
}

/// A folder with `a` and `b` in one file and `c` in another, and their index.
pub(super) fn write_sharded(folder: &Path) {
    let first = file_of(&[f32_tensor("model.a", &[4, 6]), f32_tensor("model.b", &[8])]);
    let second = file_of(&[f32_tensor("model.c", &[2, 3])]);
    fs::write(folder.join("model-00001-of-00002.safetensors"), first).unwrap();
    fs::write(folder.join("model-00002-of-00002.safetensors"), second).unwrap();
    write_index(folder, &[("model.a", 1), ("model.b", 1), ("model.c", 2)]);
}

pub(super) fn write_index(folder: &Path, tensors: &[(&str, usize)]) {
    let places: Vec<_> = tensors
        .iter()
        .map(|(name, shard)| format!(r#""{name}": "model-0000{shard}-of-00002.safetensors""#))
        .collect();
    let text = format!(r#"{{"metadata": {{"total_size": 1}}, "weight_map": {{{}}}}}"#, places.join(", "));
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}
