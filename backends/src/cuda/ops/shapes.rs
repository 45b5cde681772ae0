//! The shapes that kernels of products come in, and which is taken for what; measured, where figures decide.

use super::product::{chunk_scales, code_bits};
use crate::cuda::capabilities::Capabilities;
use crate::format::WeightFormat;

/// Numbers of rows that a launch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) below: u32,
    pub(super) up_to: u32,
}

impl Bounds {
    pub(super) const fn holds(self, rows: u32) -> bool {
        rows > self.below && rows <= self.up_to
    }
}

/// Shared memory that a kernel has whatever its shape, beside what it asks for: the table of nf4.
fn table_bytes(capabilities: &Capabilities, format: WeightFormat) -> u32 {
    match (format, capabilities.target.arch) {
        (WeightFormat::Nf4, 0..80) => 1 << 10,
        (WeightFormat::Nf4, _) => 32 << 10,
        _ => 0,
    }
}

/// What the driver keeps of a block's shared memory.
const RESERVED: u32 = 1 << 10;

/// What else a block has in shared memory, whatever it does.
fn fixed_bytes(capabilities: &Capabilities, format: WeightFormat) -> u32 {
    table_bytes(capabilities, format) + 256
}

/// Blocks that ask for so much shared memory which a multiprocessor has room for.
fn blocks_at_once(capabilities: &Capabilities, format: WeightFormat, shared: u32) -> u32 {
    (capabilities.shared_memory + RESERVED) / (shared + fixed_bytes(capabilities, format) + RESERVED)
}

/// A shape of `linear/stream.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamShape {
    pub(super) warps: u32,
    /// Teams of so many warps to a block, each with tiles of its own: they share the activations, and nf4's table.
    pub(super) teams: u32,
    /// Items that a warp has under way, and bytes of a row in each.
    pub(super) depth: u32,
    pub(super) chunk: u32,
    /// Blocks to a multiprocessor that registers are left for.
    pub(super) blocks: u32,
}

impl StreamShape {
    pub(super) fn new(capabilities: &Capabilities, format: WeightFormat) -> Self {
        let shape = Self { warps: 8, teams: 1, depth: 3, chunk: 64, blocks: 3 };
        let four_bits = matches!(format, WeightFormat::Nf4 | WeightFormat::Int4(_));
        match (capabilities.target.arch, capabilities.shared_memory >> 10) {
            // Copies are not asynchronous there, and shared memory is small.
            (0..80, _) => Self { depth: 2, blocks: 2, ..shape },
            (_, 0..160) => shape,
            (_, 160..200) if four_bits => shape,
            (_, 160..200) => Self { depth: 4, chunk: 128, ..shape },
            // Measured on an H200.
            _ if four_bits => Self { warps: 4, teams: 4, chunk: 128, blocks: 1, ..shape },
            _ if matches!(format, WeightFormat::W8a8(_)) => Self { depth: 4, chunk: 128, blocks: 2, ..shape },
            _ => Self { teams: 2, chunk: 128, blocks: 1, ..shape },
        }
    }

    pub(super) const fn threads(self) -> u32 {
        32 * self.warps * self.teams
    }

    /// Bytes of the rings of a block's warps, and of their sums.
    fn ring(self, format: WeightFormat) -> u32 {
        let item = 16 * (self.chunk + chunk_scales(format, self.chunk));
        self.warps * self.teams * (self.depth * item + 2 * 512)
    }

    /// Into how many parts K is cut so that a part of so many rows of activations fits, and the shared memory of a block then.
    pub(super) fn room(
        self,
        capabilities: &Capabilities,
        format: WeightFormat,
        row_bytes: u32,
        rows: u32,
    ) -> (u32, u32) {
        /// What a row may take at most, so that two blocks fit on a multiprocessor of a large device.
        const MOST: u32 = 64 << 10;
        let element = if matches!(format, WeightFormat::W8a8(_)) { 1 } else { 2 };
        let chunks = row_bytes / self.chunk;
        let chunk = self.chunk * 8 / code_bits(format) * element;
        let ring = self.ring(format);
        let left = capabilities.shared_memory.saturating_sub(ring + fixed_bytes(capabilities, format));
        let most = left.min(MOST.max((rows * 12) << 10));
        let bytes = |split: u32| rows * (chunks.div_ceil(split) * chunk + 64);
        let split = (1..chunks).find(|split| bytes(*split) <= most).unwrap_or(chunks);
        (split, ring + bytes(split))
    }

    /// Blocks that the device holds at once.
    pub(super) fn resident(self, capabilities: &Capabilities, format: WeightFormat, shared: u32) -> u32 {
        capabilities.multiprocessors * blocks_at_once(capabilities, format, shared).clamp(1, self.blocks)
    }
}

/// A shape of `linear/tiles_mma.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MmaShape {
    pub(super) rows: u32,
    pub(super) chunk: u32,
    pub(super) stages: u32,
}

impl MmaShape {
    /// Features of a tile.
    pub(super) const FEATURES: u32 = 128;

    /// The largest tile that so many rows fill and that has room. The largest of all is for where there are enough of them.
    pub(super) fn new(capabilities: &Capabilities, format: WeightFormat, rows: u32, features: u32) -> Self {
        let left = capabilities.shared_memory.saturating_sub(fixed_bytes(capabilities, format));
        let large = capabilities.shared_memory >= 200 << 10;
        let tiles = rows.div_ceil(128).saturating_mul(features.div_ceil(Self::FEATURES));
        let enough = tiles >= capabilities.multiprocessors;
        let largest = if enough { 128 } else { 64 };
        let tiles = [128, 64, 32, 16].into_iter().filter(|tile| *tile <= rows.clamp(16, largest));
        let mut shapes = tiles.flat_map(|rows| {
            let chunks = match rows {
                128 => [(64, 3), (64, 2), (64, 2)],
                // Measured on an H200: a stage more makes 8 to 20 % there, but not with int4.
                16 if large && !matches!(format, WeightFormat::Int4(_)) => [(128, 4), (128, 3), (64, 3)],
                _ => [(128, 3), (64, 3), (64, 2)],
            };
            chunks.map(|(chunk, stages)| Self { rows, chunk, stages })
        });
        let smallest = Self { rows: 16, chunk: 64, stages: 2 };
        shapes.find(|shape| shape.shared(format) <= left).unwrap_or(smallest)
    }

    pub(super) const fn threads(self) -> u32 {
        if self.rows >= 64 { 256 } else { 128 }
    }

    pub(super) fn shared(self, format: WeightFormat) -> u32 {
        let piece = if matches!(format, WeightFormat::W8a8(_)) { 16 } else { 8 };
        let pitch = self.chunk * 8 / code_bits(format) / piece * 16 + 64;
        self.stages * (Self::FEATURES * (self.chunk + chunk_scales(format, self.chunk)) + self.rows * pitch)
    }

    /// Blocks that share a tile's K, so that all multiprocessors have some work: two blocks each where they have room for two, or a large one.
    /// One more than there is room for takes half as long again.
    pub(super) fn split(
        self,
        capabilities: &Capabilities,
        format: WeightFormat,
        tiles: u32,
        row_bytes: u32,
    ) -> u32 {
        let chunks = row_bytes / self.chunk;
        let room = blocks_at_once(capabilities, format, self.shared(format));
        let blocks = capabilities.multiprocessors * room.clamp(1, 256 / self.threads());
        (blocks / tiles).min(chunks / 4).clamp(1, 8)
    }
}

/// A shape of `linear/tiles_wgmma.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TilesShape {
    pub(super) features: u32,
    pub(super) stages: u32,
}

impl TilesShape {
    pub(super) const ROWS: u32 = 128;
    pub(super) const THREADS: u32 = 384;
    pub(super) const SMALL: Self = Self { features: 128, stages: 6 };
    pub(super) const LARGE: Self = Self { features: 256, stages: 4 };
    /// From so many rows on large tiles are always taken.
    pub(super) const MANY_ROWS: u32 = 1024;

    /// For up to so many rows: small tiles where all clusters together are through with them earlier.
    pub(super) fn new(capabilities: &Capabilities, features: u32, rows: u32) -> Self {
        let clusters = (capabilities.multiprocessors / 2).max(1);
        let turns = |shape: Self| {
            let tiles = rows.div_ceil(2 * Self::ROWS).saturating_mul(features.div_ceil(shape.features));
            tiles.div_ceil(clusters).saturating_mul(shape.features)
        };
        let small = rows <= Self::MANY_ROWS && turns(Self::SMALL) < turns(Self::LARGE);
        if small { Self::SMALL } else { Self::LARGE }
    }

    /// Of the stages and of the passes of eight warps, with room to begin at a multiple of 1,024.
    pub(super) const fn shared(self) -> u32 {
        self.stages * STAGE_K * (Self::ROWS + self.features) + 8 * 16 * 36 * 4 + 1024
    }
}

/// Bytes of K in a stage.
const STAGE_K: u32 = 128;

/// A shape of `linear/split_wgmma.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SplitShape {
    pub(super) rows: u32,
    pub(super) features: u32,
    pub(super) stages: u32,
    /// Blocks of a cluster, which share a tile's K.
    pub(super) split: u32,
}

impl SplitShape {
    /// For so many rows; `None` where tiles do better. Measured on an H100 with 132 multiprocessors: two blocks share a tile's K where
    /// tiles are fewer than these, and more than 128 rows go through tiles where there are more.
    pub(super) fn new(capabilities: &Capabilities, features: u32, row_bytes: u32, rows: u32) -> Option<Self> {
        const FEATURES: u32 = 64;
        let (tile, stages) = match rows {
            0..=64 => (64, 6),
            65..=128 => (128, 4),
            129..=256 => (256, 5),
            _ => return None,
        };
        let few = features.div_ceil(FEATURES) < capabilities.multiprocessors;
        let split = if few && row_bytes >= 8 * STAGE_K { 2 } else { 1 };
        (few || rows <= 128).then_some(Self { rows: tile, features: FEATURES, stages, split })
    }

    pub(super) const fn threads(self) -> u32 {
        128 + 2 * self.rows
    }

    /// The larger of the ring and of the sums that meet in its place.
    pub(super) fn shared(self) -> u32 {
        let ring = self.stages * STAGE_K * (self.rows + self.features);
        ring.max(4 * self.rows * (self.features + 8)) + 1024
    }
}

/// Up to so many rows a device with warpgroups' units decodes codes on the way; f16 and w8a8 need no decoding.
pub(super) const fn few_for_mma(format: WeightFormat) -> u32 {
    match format {
        WeightFormat::F16 | WeightFormat::W8a8(_) => 0,
        _ => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::driver::DeviceFacts;
    use crate::format::{ActivationScale, Int4Group, Int8Group};

    /// Devices with as much shared memory as each generation has.
    fn devices() -> Vec<Capabilities> {
        let sizes = [(75, 64), (80, 163), (86, 99), (89, 99), (90, 227), (120, 99)];
        let device = |(arch, kib): (u32, u32)| {
            let facts = DeviceFacts {
                ordinal: 0,
                name: String::new(),
                capability: (arch / 10, arch % 10),
                multiprocessors: 40,
                shared_memory: kib << 10,
                total_memory: 8 << 30,
                integrated: false,
            };
            Capabilities::new(&facts, arch, 13_000)
        };
        sizes.map(device).to_vec()
    }

    const FORMATS: [WeightFormat; 7] = [
        WeightFormat::F16,
        WeightFormat::Bf16,
        WeightFormat::Int8(Int8Group::G32),
        WeightFormat::Nf4,
        WeightFormat::Int4(Int4Group::G32),
        WeightFormat::Int4(Int4Group::G128),
        WeightFormat::W8a8(ActivationScale::PerToken),
    ];

    #[test]
    fn every_shape_fits_every_device() {
        for device in devices() {
            for format in FORMATS {
                let all = |shared: u32, fixed: u32| {
                    assert!(shared + fixed <= device.shared_memory, "{format} sm_{}", device.target.arch);
                };
                for rows in [1, 2, 4, 8] {
                    for row_bytes in [128, 8192, 57_344] {
                        let shape = StreamShape::new(&device, format);
                        let (split, shared) = shape.room(&device, format, row_bytes, rows);
                        assert!(split >= 1 && split <= row_bytes / shape.chunk);
                        all(shared, fixed_bytes(&device, format));
                        assert!(shape.resident(&device, format, shared) >= device.multiprocessors);
                    }
                }
                for rows in [16, 32, 64, 128, u32::MAX] {
                    for features in [64, 100_000] {
                        let shape = MmaShape::new(&device, format, rows, features);
                        all(shape.shared(format), fixed_bytes(&device, format));
                    }
                }
            }
        }
    }

    #[test]
    fn shapes_of_warpgroups_fit() {
        let devices = devices();
        let hopper = devices.iter().find(|device| device.target.arch == 90).unwrap();
        for rows in [16, 64, 128, 256] {
            for features in [1, 4096, 100_000] {
                let Some(shape) = SplitShape::new(hopper, features, 4096, rows) else {
                    assert!(rows > 128);
                    continue;
                };
                assert!(shape.shared() <= hopper.shared_memory && shape.rows <= 256);
            }
        }
        assert_eq!(SplitShape::new(hopper, 64, 4096, 512), None);
        for shape in [TilesShape::SMALL, TilesShape::LARGE] {
            assert!(shape.shared() <= hopper.shared_memory);
        }
    }

    #[test]
    fn tiles_are_as_large_as_they_end_soonest() {
        let facts = DeviceFacts {
            ordinal: 0,
            name: String::new(),
            capability: (9, 0),
            multiprocessors: 132,
            shared_memory: 227 << 10,
            total_memory: 80 << 30,
            integrated: false,
        };
        let device = Capabilities::new(&facts, 90, 13_000);
        let large = |features, rows| TilesShape::new(&device, features, rows) == TilesShape::LARGE;
        // As measured on an H100.
        assert!(!large(4096, 512) && large(4096, 1024));
        assert!(large(11_008, 256) && !large(11_008, 512) && large(11_008, 1024));
        assert!(large(28_672, 256) && !large(28_672, 512) && large(28_672, 8192));
    }

    #[test]
    fn few_tiles_share_their_k() {
        let devices = devices();
        let hopper = devices.iter().find(|device| device.target.arch == 90).unwrap();
        let shape = MmaShape::new(hopper, WeightFormat::Nf4, 16, 4096);
        let split = |tiles, row_bytes| shape.split(hopper, WeightFormat::Nf4, tiles, row_bytes);
        assert_eq!([split(1, 1 << 20), split(1, 128), split(1000, 1 << 20)], [8, 1, 1]);
        // With nf4's table there is room for one block, with int8 for two; the device of this test has 40 multiprocessors.
        let int8 = WeightFormat::Int8(Int8Group::G64);
        let other = MmaShape::new(hopper, int8, 16, 4096).split(hopper, int8, 10, 1 << 20);
        assert_eq!((split(10, 1 << 20), other), (4, 8));
    }
}
