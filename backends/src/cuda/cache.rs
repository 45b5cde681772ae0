//! The paged cache on the device: for each layer a pool of keys and one of values.
//!
//! The order is that of [`CacheLayout`], page, head, token, element; but every head vector begins at a multiple of 16 bytes, so that
//! it can be read 16 bytes at a time.

use super::driver::Stream;
use super::gpu::Gpu;
use super::values::Region;
use crate::format::CacheLayout;
use crate::plan::Plan;
use crate::{BackendError, CacheOptions};

/// What head vectors begin at multiples of.
const ALIGNMENT: usize = 16;

/// One layer's pools.
#[derive(Clone, Debug)]
pub(crate) struct DeviceCache {
    pub(crate) layout: CacheLayout,
    /// Bytes from one head vector to the next.
    pub(crate) vector_bytes: u32,
    pub(crate) keys: Pool,
    pub(crate) values: Pool,
}

/// Keys or values: the codes (what fills up a vector is zero), and for `int8` the scales (f16) in the order page, head, token.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) codes: Region,
    pub(crate) scales: Option<Region>,
}

impl Pool {
    /// Where the scales lie; 0 where there are none.
    pub(crate) fn scales_address(&self) -> u64 {
        self.scales.as_ref().map_or(0, Region::address)
    }
}

impl DeviceCache {
    /// The pools of all layers.
    pub(crate) fn all_of(
        gpu: &Gpu,
        stream: &Stream,
        plan: &Plan,
        options: &CacheOptions,
    ) -> Result<Vec<Self>, BackendError> {
        let layouts = plan.caches.iter().map(|cache| cache.layout(options));
        layouts.map(|layout| Self::new(gpu, stream, layout, options.pages)).collect()
    }

    fn new(gpu: &Gpu, stream: &Stream, layout: CacheLayout, pages: usize) -> Result<Self, BackendError> {
        let vector = (layout.head_dim * layout.format.code_size()).next_multiple_of(ALIGNMENT);
        let vectors = (layout.vectors_per_page() as u64).saturating_mul(pages as u64);
        let buffer = |what: &str, each: usize| {
            let bytes = vectors.saturating_mul(each as u64);
            Ok::<_, BackendError>(Region::whole(gpu.open.zeroed(stream, what, bytes)?))
        };
        let pool = || {
            let scales = match layout.format.scale_size() {
                0 => None,
                each => Some(buffer("the scales of a layer's cache", each)?),
            };
            Ok::<_, BackendError>(Pool { codes: buffer("a layer's cache", vector)?, scales })
        };
        Ok(Self { layout, vector_bytes: vector as u32, keys: pool()?, values: pool()? })
    }

    /// The pools and how many bytes a page takes in each.
    pub(crate) fn pools(&self) -> impl Iterator<Item = (&Region, u64)> {
        let vectors = self.layout.vectors_per_page() as u64;
        let code_bytes = vectors * u64::from(self.vector_bytes);
        let scale_bytes = vectors * self.layout.format.scale_size() as u64;
        [&self.keys, &self.values].into_iter().flat_map(move |pool| {
            [Some((&pool.codes, code_bytes)), pool.scales.as_ref().map(|scales| (scales, scale_bytes))]
                .into_iter()
                .flatten()
        })
    }
}
