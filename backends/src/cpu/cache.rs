//! The paged cache: its pools in memory, writing to it, and copying its pages.

use bytemuck::{AnyBitPattern, NoUninit};
use half::f16;
use memmap2::MmapMut;

use super::rope::Rotation;
use super::share::{GRAIN, with_scratch};
use super::simd::{Isa, Kernel, LANES, Simd, SimdSlices};
use super::values::{FloatRows, refused};
use crate::format::{CacheFormat, CacheLayout};
use crate::plan::Plan;
use crate::{BackendError, CacheOptions, PageCopy};

/// The keys or the values of one layer.
pub(super) struct Pool {
    codes: Option<MmapMut>,
    scales: Option<MmapMut>,
}

impl Pool {
    /// What was asked of the system.
    fn size(&self) -> u64 {
        [&self.codes, &self.scales].into_iter().flatten().map(|memory| memory.len() as u64).sum()
    }
}

/// The cache of one layer.
pub(super) struct LayerCache {
    pub(super) layout: CacheLayout,
    pub(super) keys: Pool,
    pub(super) values: Pool,
}

/// Zeroed memory that the system provides page by page as it is touched, so that a large cache costs what is used of it.
fn map(bytes: usize) -> Result<Option<MmapMut>, BackendError> {
    if bytes == 0 {
        return Ok(None);
    }
    if isize::try_from(bytes).is_err() {
        return Err(refused(bytes).into());
    }
    let map = MmapMut::map_anon(bytes).map_err(|_| refused(bytes))?;
    #[cfg(target_os = "linux")]
    {
        // Only advice: pages of a sequence lie anywhere, so small ones would miss the translation cache.
        let _ = map.advise(memmap2::Advice::HugePage);
    }
    Ok(Some(map))
}

/// A map, which begins at a page of the system, as numbers.
fn elements<T: AnyBitPattern>(map: Option<&MmapMut>) -> &[T] {
    map.map_or(&[], |map| bytemuck::cast_slice(map))
}

/// A map as numbers to be written.
fn elements_mut<T: AnyBitPattern + NoUninit>(map: Option<&mut MmapMut>) -> &mut [T] {
    map.map_or(&mut [], |map| bytemuck::cast_slice_mut(map))
}

impl Pool {
    fn new(layout: &CacheLayout, pages: usize) -> Result<Self, BackendError> {
        Ok(Self {
            codes: map(layout.code_bytes_per_page().saturating_mul(pages))?,
            scales: map(layout.scale_bytes_per_page().saturating_mul(pages))?,
        })
    }

    /// The codes of a pool of halves.
    pub(super) fn halves(&self) -> &[f16] {
        elements(self.codes.as_ref())
    }

    /// The codes of an int8 pool.
    pub(super) fn bytes(&self) -> &[i8] {
        elements(self.codes.as_ref())
    }

    /// The scales of an int8 pool.
    pub(super) fn scales(&self) -> &[f16] {
        elements(self.scales.as_ref())
    }

    fn copy_page(&mut self, layout: &CacheLayout, copy: PageCopy) {
        let parts = [
            (&mut self.codes, layout.code_bytes_per_page()),
            (&mut self.scales, layout.scale_bytes_per_page()),
        ];
        for (map, bytes) in parts {
            if let Some(map) = map {
                let from = copy.from as usize * bytes;
                map.copy_within(from..from + bytes, copy.to as usize * bytes);
            }
        }
    }

    /// Stores the heads of a row in the place of its token.
    fn store(&mut self, isa: Isa, layout: &CacheLayout, (page, token): (usize, usize), row: &[f32]) {
        for (head, x) in row.chunks_exact(layout.head_dim).enumerate() {
            let first = layout.element_index(page, head, token);
            let place = first..first + layout.head_dim;
            match layout.format {
                CacheFormat::F16 => {
                    let out = &mut elements_mut(self.codes.as_mut())[place];
                    isa.run_float(StoreHalves { x, out });
                }
                CacheFormat::Int8 => {
                    let out = &mut elements_mut(self.codes.as_mut())[place];
                    let scale = isa.run_float(StoreCodes { x, out });
                    elements_mut(self.scales.as_mut())[layout.vector_index(page, head, token)] = scale;
                }
            }
        }
    }
}

impl LayerCache {
    /// The caches of a plan, empty.
    pub(super) fn all_of(plan: &Plan, options: &CacheOptions) -> Result<Vec<Self>, BackendError> {
        let layer = |layout: CacheLayout| {
            let (keys, values) = (Pool::new(&layout, options.pages)?, Pool::new(&layout, options.pages)?);
            Ok(Self { layout, keys, values })
        };
        plan.caches.iter().map(|cache| layer(cache.layout(options))).collect()
    }

    /// The memory that it takes.
    pub(super) fn size(&self) -> u64 {
        self.keys.size() + self.values.size()
    }

    pub(super) fn copy_page(&mut self, copy: PageCopy) {
        self.keys.copy_page(&self.layout, copy);
        self.values.copy_page(&self.layout, copy);
    }

    /// Stores the rows of a step; `rotation`, where given, turns the keys.
    pub(super) fn store(
        &mut self,
        isa: Isa,
        places: &[(usize, usize)],
        keys: FloatRows<'_>,
        values: FloatRows<'_>,
        rotation: Option<&Rotation>,
    ) {
        let Self { layout, keys: key_pool, values: value_pool } = self;
        let layout = &*layout;
        let mut store_keys = || match rotation {
            None => store_rows(isa, layout, key_pool, places, keys),
            Some(rotation) => with_scratch(keys.width(), |turned| {
                for (row, place) in places.iter().enumerate() {
                    rotation.rotate_row(isa, row, keys.row(row), turned);
                    key_pool.store(isa, layout, *place, turned);
                }
            }),
        };
        let mut store_values = || store_rows(isa, layout, value_pool, places, values);
        if places.len() * keys.width() > GRAIN {
            rayon::join(store_keys, store_values);
        } else {
            store_keys();
            store_values();
        }
    }
}

fn store_rows(
    isa: Isa,
    layout: &CacheLayout,
    pool: &mut Pool,
    places: &[(usize, usize)],
    rows: FloatRows<'_>,
) {
    for (row, place) in places.iter().enumerate() {
        pool.store(isa, layout, *place, rows.row(row));
    }
}

/// Rounds a head vector to halves.
struct StoreHalves<'a> {
    x: &'a [f32],
    out: &'a mut [f16],
}

impl Kernel for StoreHalves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let ((x, x_tail), (out, out_tail)) = (self.x.as_chunks::<LANES>(), self.out.as_chunks_mut::<LANES>());
        for (x, out) in x.iter().zip(out) {
            s.store_f16(s.load(x), out);
        }
        if !x_tail.is_empty() {
            let mut last = [f16::ZERO; LANES];
            s.store_f16(s.load_partial(x_tail), &mut last);
            out_tail.copy_from_slice(&last[..x_tail.len()]);
        }
    }
}

/// Quantises a head vector as [`encode_int8`](crate::format::encode_int8) defines it; returns its scale.
struct StoreCodes<'a> {
    x: &'a [f32],
    out: &'a mut [i8],
}

impl Kernel for StoreCodes<'_> {
    type Output = f16;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f16 {
        let scale = f16::from_f32(s.max_magnitude_of(self.x) / 127.0);
        if !scale.is_finite() || scale == f16::ZERO {
            self.out.fill(0);
            return if scale.is_finite() { f16::ZERO } else { f16::NAN };
        }
        let divisor = s.splat(scale.to_f32());
        let ((x, x_tail), (out, out_tail)) = (self.x.as_chunks::<LANES>(), self.out.as_chunks_mut::<LANES>());
        for (x, out) in x.iter().zip(out) {
            s.store_i8(s.div(s.load(x), divisor), out);
        }
        if !x_tail.is_empty() {
            let mut last = [0; LANES];
            s.store_i8(s.div(s.load_partial(x_tail), divisor), &mut last);
            out_tail.copy_from_slice(&last[..x_tail.len()]);
        }
        scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{encode_f16, encode_int8};

    fn pool(format: CacheFormat, head_dim: usize) -> (CacheLayout, Pool) {
        let layout = CacheLayout { format, kv_heads: 2, head_dim, page_tokens: 4 };
        let pool = Pool::new(&layout, 3).unwrap();
        (layout, pool)
    }

    #[test]
    fn what_is_stored_is_what_the_format_defines() {
        let head_dim = 20;
        let mut row: Vec<f32> = (0..40).map(|i| (i as f32 * 0.9).sin() * 70.0).collect();
        row[35] = 1e9; // The second head is beyond f16, and its scale as well.
        for isa in Isa::available() {
            let (layout, mut halves) = pool(CacheFormat::F16, head_dim);
            let (_, mut codes) = pool(CacheFormat::Int8, head_dim);
            halves.store(isa, &layout, (2, 1), &row);
            let layout8 = CacheLayout { format: CacheFormat::Int8, ..layout };
            codes.store(isa, &layout8, (2, 1), &row);
            for head in 0..2 {
                let x = &row[head * head_dim..][..head_dim];
                let (mut expected, mut expected8) = (vec![f16::ZERO; head_dim], vec![0; head_dim]);
                encode_f16(x, &mut expected).unwrap();
                let scale = encode_int8(x, &mut expected8).unwrap();
                let first = layout.element_index(2, head, 1);
                assert_eq!(halves.halves()[first..][..head_dim], expected);
                assert_eq!(codes.bytes()[first..][..head_dim], expected8);
                assert_eq!(codes.scales()[layout.vector_index(2, head, 1)].to_bits(), scale.to_bits());
            }
        }
    }

    #[test]
    fn pages_are_copied_whole() {
        let (layout, mut pool) = pool(CacheFormat::Int8, 16);
        pool.store(Isa::Portable, &layout, (1, 3), &[2.0; 32]);
        pool.copy_page(&layout, PageCopy { from: 1, to: 0 });
        assert_eq!(pool.bytes()[layout.element_index(0, 1, 3)], 127);
        assert_eq!(pool.scales()[layout.vector_index(0, 1, 3)], f16::from_f32(2.0 / 127.0));
        assert_eq!(pool.bytes()[layout.element_index(0, 1, 2)], 0);
    }

    #[test]
    fn memory_that_cannot_be_is_refused() {
        assert!(map(usize::MAX).is_err());
        assert!(map(isize::MAX as usize).is_err());
    }
}
