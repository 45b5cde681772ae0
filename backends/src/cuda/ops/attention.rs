//! Attention over the paged cache: rows one by one, in shares where that keeps the device busy, or in tiles.

use bytemuck::{Pod, Zeroable};

use super::store_kv::LONGEST_HEAD;
use crate::cuda::build::{Build, Launch};
use crate::cuda::capabilities::{Capabilities, KernelTier};
use crate::cuda::kernels::Kernel;
use crate::format::CacheFormat;
use crate::gpu::tables::StepCounts;
use crate::{BackendError, plan};

/// Query heads and threads of a block of `attention/single`.
const HEADS: u32 = 8;
const SINGLE_THREADS: u32 = 128;
/// Blocks that a multiprocessor holds of either kernel.
const AT_ONCE: u32 = 2;
/// Positions that are worth a share also where the device is busy: no block is to take much longer than the others.
const LONG_SHARE: u32 = 4096;
/// Shares of that kind at most, so that what they leave stays small.
const MOST_LONG: u32 = 4096;
/// Blocks of positions that are worth a share where the device is not busy, and positions of a block of `attention/single` at least.
const SHARE_BLOCKS: u32 = 4;
const BLOCK: u32 = 16;
/// Positions that are worth a share of a tile, shares of a tile at most, and threads of the blocks that put them together.
const TILE_SHARE: u32 = 256;
const MOST_TILE_SHARES: u32 = 16;
const TOGETHER_THREADS: u32 = 1024;
/// Threads of a block of `attention/simt`, and rows of the tiles that it takes.
const SIMT_THREADS: u32 = 256;
const SIMT_TILE: u32 = 16;

/// `shaders/attention/params.cuh` has the same fields.
#[derive(Clone, Copy, Debug, Default, Pod, Zeroable)]
#[repr(C)]
struct Params {
    query: u64,
    keys: u64,
    values: u64,
    key_scales: u64,
    value_scales: u64,
    sinks: u64,
    output: u64,
    partials: u64,
    counters: u64,
    query_stride: u32,
    heads: u32,
    kv_heads: u32,
    group: u32,
    head_runs: u32,
    dim: u32,
    vector_bytes: u32,
    page_tokens: u32,
    window: u32,
    scale: f32,
    softcap: f32,
    head_shift: u32,
    tiles: u32,
    busy: u32,
    share_blocks: u32,
    aligned: u32,
}

/// What the kernels for an operator are compiled for.
#[derive(Clone, Copy, Debug)]
struct Variant {
    /// The head's elements, filled up.
    dim: u32,
    whole: bool,
    int8: bool,
    capped: bool,
}

/// What `attention/tile` is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Rows times heads.
    queries: u32,
    /// A tile has this power of two heads of each row.
    head_shift: u32,
    /// Positions at a time, and how often as many are under way.
    keys: u32,
    stages: u32,
}

pub(super) fn attention(build: &mut Build<'_>, op: &plan::Attention) -> Result<(), BackendError> {
    let cache = build.cache(op.cache).clone();
    let layout = cache.layout;
    if layout.head_dim > LONGEST_HEAD {
        return Err(build.unsupported(format!(
            "attention heads of {} elements; the longest have {LONGEST_HEAD}",
            layout.head_dim
        )));
    }
    let query = build.operand(op.query);
    let dim = layout.head_dim as u32;
    let params = Params {
        query: query.address(),
        keys: cache.keys.codes.address(),
        values: cache.values.codes.address(),
        key_scales: cache.keys.scales_address(),
        value_scales: cache.values.scales_address(),
        sinks: op.sinks.map_or(0, |sinks| build.vector(sinks)),
        output: build.value(op.output).address(),
        query_stride: query.stride,
        heads: op.heads as u32,
        kv_heads: layout.kv_heads as u32,
        group: (op.heads / layout.kv_heads) as u32,
        dim,
        vector_bytes: cache.vector_bytes,
        page_tokens: layout.page_tokens as u32,
        window: op.window.unwrap_or(u32::MAX),
        scale: op.scale,
        softcap: op.softcap.unwrap_or(0.0),
        aligned: u32::from(super::rope::heads_in_quads(&query, dim)),
        ..Params::default()
    };
    let variant = Variant::new(dim, layout.format == CacheFormat::Int8, op.softcap.is_some());
    if build.capabilities().tier() == KernelTier::Simt {
        simt(build, params, variant);
        return Ok(());
    }
    singles(build, params, variant)?;
    tiles(build, params, variant)
}

/// All rows, without matrix units.
fn simt(build: &mut Build<'_>, params: Params, variant: Variant) {
    let heads = params.heads;
    build.launch(Launch::new(simt_kernel(variant.int8), &params, SIMT_THREADS, move |step| {
        let rows = step.singles + SIMT_TILE * step.tiles16;
        (rows > 0).then_some([rows, heads, 1])
    }));
}

/// Rows that are few of their sequence.
fn singles(build: &mut Build<'_>, params: Params, variant: Variant) -> Result<(), BackendError> {
    let head_runs = params.group.div_ceil(HEADS);
    let busy = AT_ONCE * build.capabilities().multiprocessors;
    let shares = Shares { runs: params.kv_heads * head_runs, busy, window: params.window };
    let rows = (build.options.limits.rows as u32).next_power_of_two();
    let bytes = 4 * shares.most_left(rows) * u64::from(params.group.min(HEADS)) * u64::from(variant.dim + 4);
    let params = Params {
        head_runs,
        partials: build.scratch("shares of attention", bytes)?.address(),
        counters: build.scratch("finished shares of attention", shares.most_tasks(rows) * 4)?.address(),
        busy: shares.busy,
        share_blocks: SHARE_BLOCKS,
        ..params
    };
    build.launch(Launch::new(variant.single(), &params, SINGLE_THREADS, move |step| {
        (step.singles > 0).then_some([shares.of(step), shares.runs, step.singles])
    }));
    Ok(())
}

/// Rows that are many of their sequence.
fn tiles(build: &mut Build<'_>, params: Params, variant: Variant) -> Result<(), BackendError> {
    let tile = Tile::new(variant, params.group, build.capabilities());
    let head_runs = params.group.div_ceil(1 << tile.head_shift);
    let runs = params.kv_heads * head_runs;
    let busy = AT_ONCE * build.capabilities().multiprocessors;
    // What has several shares has at most `busy` of them in all.
    let bytes = 4 * u64::from(busy) * u64::from(tile.queries) * u64::from(variant.dim + 4);
    let params = Params {
        head_runs,
        head_shift: tile.head_shift,
        tiles: tile.list(),
        partials: build.scratch("shares of attention", bytes)?.address(),
        share_blocks: TILE_SHARE / tile.keys,
        ..params
    };
    let window = params.window;
    let grid = move |step: &StepCounts| {
        let count = [step.tiles16, step.tiles32, step.tiles64][tile.list() as usize];
        let worth = step.longest.min(window) / TILE_SHARE;
        let shares = (busy / (count * runs).max(1)).min(worth).clamp(1, MOST_TILE_SHARES);
        (count > 0).then_some([runs, count, shares])
    };
    let kernel = variant.tile("tile", &tile);
    build.launch(Launch::new(kernel, &params, tile.threads(), grid).shared(variant.tile_memory(&tile)));
    let kernel = variant.tile("put_together", &tile);
    build.launch(Launch::new(kernel, &params, TOGETHER_THREADS, move |step| {
        grid(step).filter(|[_, _, shares]| *shares > 1)
    }));
    Ok(())
}

/// Into how many shares the positions of single rows are cut at most; the kernel decides for each row how many it needs.
#[derive(Clone, Copy, Debug)]
struct Shares {
    /// Runs of heads: blocks per row and share.
    runs: u32,
    /// Blocks that keep the device busy.
    busy: u32,
    window: u32,
}

impl Shares {
    fn of(self, step: &StepCounts) -> u32 {
        let tasks = (step.singles * self.runs).max(1);
        let positions = step.longest.min(self.window);
        // Blocks beyond what is worth it would only be in the way.
        let worth = (self.busy / tasks).min(positions / (SHARE_BLOCKS * BLOCK));
        let long = (positions / LONG_SHARE).min(MOST_LONG / tasks);
        worth.max(long).max(1)
    }

    const fn most_tasks(self, rows: u32) -> u64 {
        rows as u64 * self.runs as u64
    }

    /// Shares of all tasks of any step of up to so many single rows. One share to a task leaves nothing.
    fn most_left(self, rows: u32) -> u64 {
        let left = |singles| {
            let of = self.of(&StepCounts { longest: u32::MAX, singles, ..StepCounts::default() });
            if of > 1 { u64::from(singles * self.runs) * u64::from(of) } else { 0 }
        };
        (0..=rows.ilog2()).map(|n| left(1 << n)).max().unwrap_or(0)
    }
}

impl Variant {
    fn new(dim: u32, int8: bool, capped: bool) -> Self {
        let padded = if dim <= 64 { 64 } else { dim.next_power_of_two() };
        Self { dim: padded, whole: dim == padded, int8, capped }
    }

    fn kernel(self, file: &'static str, entry: &'static str) -> Kernel {
        Kernel::new(file, entry)
            .define("DIM", self.dim)
            .define("WHOLE", u32::from(self.whole))
            .define("INT8", u32::from(self.int8))
            .define("CAPPED", u32::from(self.capped))
    }

    fn single(self) -> Kernel {
        self.kernel("attention/single", "single")
    }

    fn tile(self, entry: &'static str, tile: &Tile) -> Kernel {
        self.kernel("attention/tile", entry)
            .define("QUERIES", tile.queries)
            .define("KEYS", tile.keys)
            .define("STAGES", tile.stages)
    }

    /// Bytes of shared memory of a block of `attention/tile`.
    const fn tile_memory(self, tile: &Tile) -> u32 {
        let halves = if self.int8 { 2 * tile.keys * self.dim * 2 } else { 0 };
        let stage = 2 * tile.keys * self.dim * if self.int8 { 1 } else { 2 };
        tile.queries * self.dim * 2 + halves + tile.stages * stage
    }
}

impl Tile {
    /// As many queries as shared memory and registers have room for, of as many heads as share a key head.
    fn new(variant: Variant, group: u32, capabilities: &Capabilities) -> Self {
        /// What a block has beside its stages.
        const BESIDE: u32 = 4 << 10;
        // Lists are of tiles of at most 64 rows, so that one head alone has no more queries.
        let most = if variant.dim > 128 || group == 1 { 64 } else { 128 };
        let of = |(queries, keys, stages): (u32, u32, u32)| Self {
            queries,
            head_shift: group.ilog2().min(queries.ilog2() - 4),
            keys,
            stages,
        };
        // Best first. The first is so for two blocks in the shared memory of a multiprocessor of sm_90.
        let choices = [(128, 64, 2), (128, 32, 3), (64, 32, 3), (64, 32, 2), (32, 16, 2)].map(of);
        let arch = capabilities.target.arch;
        let suits = |tile: &&Self| {
            let wide_blocks = tile.keys < 64 || (arch == 90 && !variant.int8 && variant.dim == 128);
            // Where copies are not asynchronous, or registers few, more stages gain nothing.
            let deep = tile.stages < 3 || (arch >= 80 && variant.dim <= 128);
            let fits = variant.tile_memory(tile) + BESIDE <= capabilities.shared_memory;
            tile.queries <= most && wide_blocks && deep && fits
        };
        choices.iter().find(suits).copied().unwrap_or(choices[4])
    }

    /// Which of the lists of tiles: 16, 32 or 64 rows.
    const fn list(self) -> u32 {
        (self.queries >> self.head_shift).ilog2() - 4
    }

    const fn threads(self) -> u32 {
        if self.queries == 128 { 128 } else { 2 * self.queries }
    }
}

fn simt_kernel(int8: bool) -> Kernel {
    Kernel::new("attention/simt", "simt").define("INT8", u32::from(int8))
}

#[cfg(test)]
pub(super) fn variants(capabilities: &Capabilities) -> Vec<Kernel> {
    let mut variants = vec![];
    for int8 in [false, true] {
        variants.push(simt_kernel(int8));
        if capabilities.tier() == KernelTier::Simt {
            continue;
        }
        for dim in [64, 128, 256, 40, 80, 200] {
            for capped in [false, true] {
                let variant = Variant::new(dim, int8, capped);
                variants.push(variant.single());
                // Groups of one, and of several.
                let tiles = [1, 8].map(|group| Tile::new(variant, group, capabilities));
                variants.extend(tiles.iter().map(|tile| variant.tile("tile", tile)));
            }
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shares_leave_fits_for_every_step() {
        for (runs, busy) in [(8, 264), (1, 40), (32, 264), (2, 288)] {
            let shares = Shares { runs, busy, window: u32::MAX };
            for rows in [1, 4, 64, 1024] {
                for singles in (0..).map(|n| 1 << n).take_while(|singles| *singles <= rows) {
                    for longest in [64, 4096, 1 << 17] {
                        let counts = StepCounts { longest, singles, ..StepCounts::default() };
                        let of = shares.of(&counts);
                        let left = u64::from(singles * runs * of);
                        assert!(of == 1 || left <= shares.most_left(rows), "{counts:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_are_of_listed_rows_and_fit() {
        for (arch, shared_memory) in [(75, 64 << 10), (86, 99 << 10), (90, 227 << 10)] {
            let target = crate::cuda::capabilities::Target { arch, tier: KernelTier::Mma };
            let capabilities =
                Capabilities { target, multiprocessors: 40, shared_memory, early_launches: false };
            for dim in [8, 64, 80, 128, 200, 256] {
                for int8 in [false, true] {
                    for group in [1, 2, 3, 4, 7, 8, 16] {
                        let variant = Variant::new(dim, int8, false);
                        let tile = Tile::new(variant, group, &capabilities);
                        assert!([16, 32, 64].contains(&(tile.queries >> tile.head_shift)));
                        assert!(1 << tile.head_shift <= group);
                        assert!(variant.tile_memory(&tile) + 2048 <= shared_memory);
                    }
                }
            }
        }
    }
}
