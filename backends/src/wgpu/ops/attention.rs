//! Attention over the paged cache: rows one by one or in tiles, on matrix units where there are any; long contexts in shares.

use bytemuck::{Pod, Zeroable};

use crate::format::CacheFormat;
use crate::wgpu::build::{Binding, Build, Dispatch};
use crate::wgpu::shaders::Kernel;
use crate::wgpu::tables::{StepCounts, Table};
use crate::{BackendError, plan};

/// Query heads that a workgroup of `attention/single` takes.
const HEADS: u32 = 4;
/// Queries that a workgroup of `attention/tile` and of `attention/units` takes.
const QUERIES: u32 = 64;
/// The longest head that `attention/units` takes, and the workgroup memory that it needs.
const UNITS_LONGEST_HEAD: u32 = 128;
const UNITS_MEMORY: u32 = 46 << 10;
/// The longest head: what fits the workgroup memory that every device has.
const LONGEST_HEAD: usize = 256;
/// Up to so many positions, waiting for memory takes longer than reading keys and values again for each head.
const FEW_POSITIONS: u32 = 512;
/// Positions that are worth a workgroup of their own: a block of `attention/single`.
const SHARE: u32 = 128;
/// Shares that `attention/reduce` has room for.
const MAX_SHARES: u32 = 128;
/// Workgroups that a device is to have in order to be busy: two for each processor of the largest.
const BUSY: u32 = 288;

/// `shaders/attention/params.wesl` has the same fields.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    query_first: u32,
    query_stride: u32,
    heads: u32,
    kv_heads: u32,
    group: u32,
    head_runs: u32,
    dim: u32,
    chunks: u32,
    vector_stride: u32,
    page_tokens: u32,
    window: u32,
    scale: f32,
    softcap: f32,
    head_shift: u32,
    tiles: u32,
    padding: u32,
}

/// What the kernels of one operator have in common.
struct Attention {
    params: Params,
    int8: bool,
    query: crate::wgpu::values::Region,
    /// Pools of keys and values, then their scales if they have any.
    pools: Vec<Binding>,
    scales: Vec<Binding>,
    table: Binding,
    sinks: Option<Binding>,
    output: Binding,
}

pub(super) fn attention(build: &mut Build<'_>, op: &plan::Attention) -> Result<(), BackendError> {
    let cache = build.cache(op.cache).clone();
    let layout = cache.layout;
    if layout.head_dim > LONGEST_HEAD {
        return Err(BackendError::Unsupported {
            device: build.gpu.open.name.clone(),
            what: format!("attention heads of {} elements; the longest have {LONGEST_HEAD}", layout.head_dim),
        });
    }
    let query = build.operand(op.query);
    let int8 = layout.format == CacheFormat::Int8;
    let group = (op.heads / layout.kv_heads) as u32;
    let params = Params {
        query_first: query.first,
        query_stride: query.stride,
        heads: op.heads as u32,
        kv_heads: layout.kv_heads as u32,
        group,
        dim: layout.head_dim as u32,
        chunks: layout.head_dim.div_ceil(8) as u32,
        vector_stride: cache.vector_words / if int8 { 2 } else { 4 },
        page_tokens: layout.page_tokens as u32,
        window: op.window.unwrap_or(u32::MAX),
        scale: op.scale,
        softcap: op.softcap.unwrap_or(0.0),
        ..Params::default()
    };
    let attention = Attention {
        params,
        int8,
        query: query.region,
        pools: vec![Binding::Read(cache.keys.codes), Binding::Read(cache.values.codes)],
        scales: [cache.keys.scales, cache.values.scales].into_iter().flatten().map(Binding::Read).collect(),
        table: Binding::Read(build.table(Table::Attention)),
        sinks: op.sinks.map(|sinks| Binding::Read(build.vector(sinks))),
        output: Binding::ReadWrite(build.value(op.output)),
    };
    attention.singles(build)?;
    attention.tiles(build);
    Ok(())
}

impl Attention {
    /// The bindings of a kernel that reads the cache.
    fn bindings(&self, output: &Binding, sinks: Option<&Binding>) -> Vec<Binding> {
        let mut bindings = vec![Binding::Read(self.query.clone())];
        bindings
            .extend(self.pools.iter().chain([&self.table, output]).chain(&self.scales).chain(sinks).cloned());
        bindings
    }

    /// Rows that are few of their sequence: whole, or in shares that are put together afterwards.
    fn singles(&self, build: &mut Build<'_>) -> Result<(), BackendError> {
        let subgroup = build.capabilities().subgroups.is_some();
        let head_runs = self.params.group.div_ceil(HEADS);
        let params = Params { head_runs, ..self.params };
        let bytes = bytemuck::bytes_of(&params).to_vec();
        let (runs, heads) = (params.kv_heads * head_runs, params.heads);
        let shares = Shares { runs, heads, window: params.window };
        build.dispatch(Dispatch {
            kernel: head(subgroup, self.int8, self.sinks.is_some()),
            params: bytes.clone(),
            bindings: self.bindings(&self.output, self.sinks.as_ref()),
            groups: Box::new(move |step| shares.by_heads(step).then_some([step.singles, heads, 1])),
        });
        build.dispatch(Dispatch {
            kernel: single(subgroup, self.int8, self.sinks.is_some(), false),
            params: bytes.clone(),
            bindings: self.bindings(&self.output, self.sinks.as_ref()),
            groups: Box::new(move |step| {
                (step.singles > 0 && shares.of(step) == 1).then_some([step.singles, runs, 1])
            }),
        });
        let quads = u64::from(2 * params.chunks + 1);
        // Each workgroup leaves sums for its heads.
        let bytes_needed = 16 * (1 + u64::from(BUSY) * u64::from(HEADS) * quads);
        let partials = build.scratch("shares of attention", bytes_needed)?;
        build.dispatch(Dispatch {
            kernel: single(subgroup, self.int8, false, true),
            params: bytes.clone(),
            bindings: self.bindings(&Binding::ReadWrite(partials.clone()), None),
            groups: Box::new(move |step| {
                let shares = shares.of(step);
                (shares > 1).then_some([step.singles, runs, shares])
            }),
        });
        let mut bindings = vec![Binding::Read(partials), self.table.clone(), self.output.clone()];
        bindings.extend(self.sinks.clone());
        build.dispatch(Dispatch {
            kernel: reduce(self.sinks.is_some()),
            params: bytes,
            bindings,
            groups: Box::new(move |step| (shares.of(step) > 1).then_some([step.singles, heads, 1])),
        });
        Ok(())
    }

    /// Rows that are many of their sequence.
    fn tiles(&self, build: &mut Build<'_>) {
        // As many heads as share a key head, so that small tiles of rows do.
        let head_shift = self.params.group.ilog2().min(2);
        let tiles = 2 - head_shift;
        let head_runs = self.params.group.div_ceil(1 << head_shift);
        let params = Params { head_runs, head_shift, tiles, ..self.params };
        let aligned = [params.query_first, params.query_stride, params.dim].iter().all(|n| n % 4 == 0);
        let runs = params.kv_heads * head_runs;
        let units = params.dim <= UNITS_LONGEST_HEAD && build.capabilities().has_matrix_units(UNITS_MEMORY);
        let kernel = if units { units_kernel } else { tile };
        build.dispatch(Dispatch {
            kernel: kernel(self.int8, self.sinks.is_some(), aligned, params.dim),
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: self.bindings(&self.output, self.sinks.as_ref()),
            groups: Box::new(move |step| {
                let count = [step.tiles16, step.tiles32, step.tiles64][tiles as usize];
                (count > 0).then_some([count, runs, 1])
            }),
        });
        debug_assert_eq!(QUERIES >> head_shift, 16 << tiles);
    }
}

/// How single rows are gone about.
#[derive(Clone, Copy, Debug)]
struct Shares {
    /// Workgroups per row.
    runs: u32,
    heads: u32,
    window: u32,
}

impl Shares {
    /// Whether each head has a workgroup of its own.
    fn by_heads(self, step: &StepCounts) -> bool {
        let positions = step.longest.min(self.window);
        step.singles > 0 && positions <= FEW_POSITIONS && step.singles * self.heads <= 2 * BUSY
    }

    /// Into how many shares the positions are cut; 0 where that is not what is done.
    fn of(self, step: &StepCounts) -> u32 {
        if self.by_heads(step) {
            return 0;
        }
        let positions = step.longest.min(self.window);
        let busy = BUSY / (step.singles * self.runs).max(1);
        if step.singles == 0 { 0 } else { busy.min(positions.div_ceil(SHARE)).clamp(1, MAX_SHARES) }
    }
}

#[allow(clippy::fn_params_excessive_bools, reason = "each is a feature of the kernel")]
fn single(subgroup: bool, int8: bool, sinks: bool, split: bool) -> Kernel {
    Kernel::new("attention/single")
        .with_if(subgroup, "subgroup")
        .with_if(int8, "int8")
        .with_if(sinks, "sinks")
        .with_if(split, "split")
}

fn head(subgroup: bool, int8: bool, sinks: bool) -> Kernel {
    Kernel::new("attention/head").with_if(subgroup, "subgroup").with_if(int8, "int8").with_if(sinks, "sinks")
}

fn reduce(sinks: bool) -> Kernel {
    Kernel::new("attention/reduce").with_if(sinks, "sinks")
}

fn tile(int8: bool, sinks: bool, aligned: bool, dim: u32) -> Kernel {
    Kernel::new("attention/tile")
        .with_if(int8, "int8")
        .with_if(sinks, "sinks")
        .with_if(aligned, "aligned")
        .with_if(dim > 64, "over_64")
        .with_if(dim > 128, "over_128")
}

/// For heads of at most [`UNITS_LONGEST_HEAD`].
fn units_kernel(int8: bool, sinks: bool, aligned: bool, dim: u32) -> Kernel {
    Kernel::new("attention/units")
        .with_if(int8, "int8")
        .with_if(sinks, "sinks")
        .with_if(aligned, "aligned")
        .with_if(dim > 64, "over_64")
}

pub(super) fn variants() -> Vec<Kernel> {
    let mut variants = vec![reduce(false), reduce(true)];
    for int8 in [false, true] {
        for subgroup in [false, true] {
            let kinds = [(false, false), (true, false), (false, true)];
            variants.extend(kinds.map(|(sinks, split)| single(subgroup, int8, sinks, split)));
            variants.extend([false, true].map(|sinks| head(subgroup, int8, sinks)));
        }
        for sinks in [false, true] {
            for aligned in [false, true] {
                variants.extend([64, 128, 256].map(|dim| tile(int8, sinks, aligned, dim)));
                variants.extend([64, UNITS_LONGEST_HEAD].map(|dim| units_kernel(int8, sinks, aligned, dim)));
            }
        }
    }
    variants
}
