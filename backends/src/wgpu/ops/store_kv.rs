//! Keys and values into the cache, and the rotations on the way.

use bytemuck::{Pod, Zeroable};

use super::rope;
use crate::format::CacheFormat;
use crate::plan;
use crate::plan::RopeLayout;
use crate::wgpu::build::{Binding, Build, Dispatch, spread};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::{Table, angles_of};

#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    key_first: u32,
    key_stride: u32,
    value_first: u32,
    value_stride: u32,
    query_first: u32,
    query_stride: u32,
    kv_heads: u32,
    heads: u32,
    dim: u32,
    vector_words: u32,
    page_tokens: u32,
    rotary: u32,
    interleaved: u32,
    words: u32,
    padding: [u32; 2],
}

pub(super) fn store_kv(build: &mut Build<'_>, op: &plan::StoreKv) {
    let (key, value) = (build.operand(op.key), build.operand(op.value));
    let cache = build.cache(op.cache).clone();
    let layout = cache.layout;
    let int8 = layout.format == CacheFormat::Int8;
    let mut params = Params {
        key_first: key.first,
        key_stride: key.stride,
        value_first: value.first,
        value_stride: value.stride,
        kv_heads: layout.kv_heads as u32,
        dim: layout.head_dim as u32,
        vector_words: cache.vector_words,
        page_tokens: layout.page_tokens as u32,
        words: (layout.head_dim.next_multiple_of(8) * layout.format.code_size() / 4) as u32,
        ..Params::default()
    };
    let mut merged = op.key.value == op.value.value;
    let mut query = None;
    if let Some(rotate) = &op.rotate {
        let spec = &build.plan.ropes[rotate.rope.index()];
        params.rotary = spec.rotary_dim as u32;
        params.interleaved = u32::from(spec.layout == RopeLayout::Interleaved);
        let operand = build.operand(rotate.query);
        let all_merged = merged && rotate.query.value == op.key.value;
        if int8 && !all_merged {
            // The bindings of all together are more than every device has.
            rope::rotate(build, &operand, rotate.rope, build.value(rotate.output));
        } else {
            merged = all_merged;
            params.query_first = operand.first;
            params.query_stride = operand.stride;
            params.heads = operand.width / params.dim.max(1);
            query = Some((operand.region, build.value(rotate.output)));
        }
    }
    let mut bindings = vec![
        Binding::Read(key.region),
        Binding::Read(build.table(Table::RowSlot)),
        Binding::ReadWrite(cache.keys.codes),
        Binding::ReadWrite(cache.values.codes),
    ];
    bindings.extend([cache.keys.scales, cache.values.scales].into_iter().flatten().map(Binding::ReadWrite));
    bindings.extend(op.rotate.as_ref().map(|rotate| Binding::Read(build.table(angles_of(rotate.rope)))));
    bindings.extend(query.iter().map(|(_, output)| Binding::ReadWrite(output.clone())));
    if !merged {
        bindings.push(Binding::Read(value.region));
        bindings.extend(query.iter().map(|(input, _)| Binding::Read(input.clone())));
    }
    let vectors = 2 * params.kv_heads + params.heads;
    build.dispatch(Dispatch {
        kernel: kernel(int8, op.rotate.is_some(), query.is_some(), merged),
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings,
        groups: Box::new(move |step| spread(step.rows * vectors)),
    });
}

#[allow(clippy::fn_params_excessive_bools, reason = "each is a feature of the kernel")]
fn kernel(int8: bool, rotate: bool, query: bool, merged: bool) -> Kernel {
    Kernel::new("kv/store")
        .with_if(int8, "int8")
        .with_if(rotate, "rotate")
        .with_if(query, "query")
        .with_if(merged, "merged")
}

pub(super) fn variants() -> Vec<Kernel> {
    let mut variants = vec![];
    for int8 in [false, true] {
        for (rotate, query) in [(false, false), (true, false), (true, true)] {
            let merged = [false, true].into_iter();
            // What `store_kv` splits up because of its bindings is no variant.
            let kernels = merged.filter(|merged| *merged || !(int8 && query));
            variants.extend(kernels.map(|merged| kernel(int8, rotate, query, merged)));
        }
    }
    variants
}
