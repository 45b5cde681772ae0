//! The paged cache on the device: for each layer a pool of keys and one of values.
//!
//! The order is that of [`CacheLayout`], page, head, token, element; but every head vector begins at a multiple of 16 bytes, so
//! that it can be read as `vec4<u32>` and no two vectors share a word, and the scales of `int8` are f32 (of numbers that f16
//! has), so that tokens can be written side by side without minding their neighbours.

use super::gpu::Gpu;
use super::values::{Region, STORAGE};
use crate::format::{CacheFormat, CacheLayout};
use crate::plan::Plan;
use crate::{BackendError, CacheOptions};

/// One layer's pools.
#[derive(Clone, Debug)]
pub(crate) struct DeviceCache {
    pub(crate) layout: CacheLayout,
    /// Words (u32) from one head vector to the next, a multiple of 4.
    pub(crate) vector_words: u32,
    pub(crate) keys: Pool,
    pub(crate) values: Pool,
}

/// Keys or values: the codes (halves, two to a word, or bytes, four to a word; what fills up a vector is never read), and for
/// `int8` the scales (f32) in the order page, head, token.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) codes: Region,
    pub(crate) scales: Option<Region>,
}

impl DeviceCache {
    /// The pools of all layers.
    pub(crate) fn all_of(gpu: &Gpu, plan: &Plan, options: &CacheOptions) -> Result<Vec<Self>, BackendError> {
        plan.caches.iter().map(|cache| Self::new(gpu, cache.layout(options), options.pages)).collect()
    }

    fn new(gpu: &Gpu, layout: CacheLayout, pages: usize) -> Result<Self, BackendError> {
        let vector = (layout.head_dim * layout.format.code_size()).next_multiple_of(16);
        let vectors = layout.vectors_per_page();
        let pool = || {
            let codes = Self::buffer(gpu, "a layer's cache", vectors.saturating_mul(vector), pages)?;
            let scales = match layout.format {
                CacheFormat::F16 => None,
                CacheFormat::Int8 => {
                    Some(Self::buffer(gpu, "the scales of a layer's cache", 4 * vectors, pages)?)
                }
            };
            Ok::<_, BackendError>(Pool { codes, scales })
        };
        Ok(Self { layout, vector_words: (vector / 4) as u32, keys: pool()?, values: pool()? })
    }

    /// The pools and how many bytes a page takes in each.
    pub(crate) fn pools(&self) -> impl Iterator<Item = (&Region, u64)> {
        let vectors = self.layout.vectors_per_page() as u64;
        let code_bytes = vectors * 4 * u64::from(self.vector_words);
        [&self.keys, &self.values].into_iter().flat_map(move |pool| {
            [Some((&pool.codes, code_bytes)), pool.scales.as_ref().map(|scales| (scales, 4 * vectors))]
                .into_iter()
                .flatten()
        })
    }

    fn buffer(gpu: &Gpu, what: &str, page: usize, pages: usize) -> Result<Region, BackendError> {
        let bytes = (page as u64).saturating_mul(pages as u64);
        gpu.check_visible(format!("{what}, {pages} pages,"), bytes, |most| {
            format!("{} pages, a shorter context, would do", most.checked_div(page as u64).unwrap_or(0))
        })?;
        Ok(Region::whole(gpu.open.buffer(what, bytes, STORAGE)?))
    }
}
