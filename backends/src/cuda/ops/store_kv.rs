//! Keys and values into the cache, and the rotations on the way.

use bytemuck::{Pod, Zeroable};

use super::rope::{Rotation, heads_in_quads};
use crate::cuda::build::{Build, DeviceOperand, Launch};
#[cfg(test)]
use crate::cuda::capabilities::Capabilities;
use crate::cuda::kernels::Kernel;
use crate::format::CacheFormat;
use crate::{BackendError, plan};

/// Threads of a block, each warp of which takes a head.
const THREADS: u32 = 128;
/// The longest head that `kv/store.cu` and the kernels of attention take.
pub(super) const LONGEST_HEAD: usize = 256;

/// The parameters of `kv/store.cu`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Params {
    key: u64,
    value: u64,
    query: u64,
    rotated: u64,
    keys: u64,
    values: u64,
    key_scales: u64,
    value_scales: u64,
    key_stride: u32,
    value_stride: u32,
    query_stride: u32,
    kv_heads: u32,
    heads: u32,
    dim: u32,
    vector_bytes: u32,
    page_tokens: u32,
    rotation: Rotation,
    quads: u32,
    padding: u32,
}

pub(super) fn store_kv(build: &mut Build<'_>, op: &plan::StoreKv) -> Result<(), BackendError> {
    let (key, value) = (build.operand(op.key), build.operand(op.value));
    let cache = build.cache(op.cache).clone();
    let layout = cache.layout;
    if layout.head_dim > LONGEST_HEAD {
        return Err(build.unsupported(format!(
            "attention heads of {} elements; the longest have {LONGEST_HEAD}",
            layout.head_dim
        )));
    }
    let dim = layout.head_dim as u32;
    let query = op.rotate.as_ref().map(|rotate| build.operand(rotate.query));
    let rotation = op.rotate.as_ref().map(|rotate| Rotation::new(build, rotate.rope));
    let quads =
        [Some(&key), Some(&value), query.as_ref()].into_iter().flatten().all(|o| heads_in_quads(o, dim))
            && rotation.is_none_or(|rotation| rotation.in_quads());
    let params = Params {
        key: key.address(),
        value: value.address(),
        query: query.as_ref().map_or(0, DeviceOperand::address),
        rotated: op.rotate.as_ref().map_or(0, |rotate| build.value(rotate.output).address()),
        keys: cache.keys.codes.address(),
        values: cache.values.codes.address(),
        key_scales: cache.keys.scales_address(),
        value_scales: cache.values.scales_address(),
        key_stride: key.stride,
        value_stride: value.stride,
        query_stride: query.as_ref().map_or(0, |query| query.stride),
        kv_heads: layout.kv_heads as u32,
        heads: query.as_ref().map_or(0, |query| query.width / dim),
        dim,
        vector_bytes: cache.vector_bytes,
        page_tokens: layout.page_tokens as u32,
        rotation: rotation.unwrap_or_default(),
        quads: u32::from(quads),
        padding: 0,
    };
    let parts = (2 * params.kv_heads + params.heads).div_ceil(THREADS / 32);
    let kernel = kernel(layout.format == CacheFormat::Int8);
    build.launch(Launch::new(kernel, &params, THREADS, move |step| {
        (step.rows > 0).then_some([step.rows, parts, 1])
    }));
    Ok(())
}

fn kernel(int8: bool) -> Kernel {
    Kernel::new("kv/store", "store").define("INT8", u32::from(int8))
}

#[cfg(test)]
pub(super) fn variants(_: &Capabilities) -> Vec<Kernel> {
    vec![kernel(false), kernel(true)]
}
