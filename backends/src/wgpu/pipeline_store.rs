//! What a driver compiled, kept in a file from one start to the next. Only Vulkan drivers hand it out.

#![allow(unsafe_code, reason = "wgpu trusts the bytes of a cache, and marks it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::kept;

/// Begins a file, so that nothing else is taken for one.
const MAGIC: &[u8; 16] = b"inglenook-wgpu-1";

/// The cache of a device and the file that it came from.
pub(crate) struct PipelineStore {
    cache: wgpu::PipelineCache,
    path: PathBuf,
    /// Bytes in the file, so that it is not written again for nothing.
    saved: Mutex<usize>,
}

impl PipelineStore {
    /// The cache of a device; empty where there is no file or not a sound one. `None` where the driver has no caches.
    pub(crate) fn open(device: &wgpu::Device, info: &wgpu::AdapterInfo, folder: &Path) -> Option<Self> {
        if !device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(wgpu::util::pipeline_cache_key(info)?);
        let bytes = fs::read(&path).ok();
        let data = bytes.as_deref().and_then(|bytes| kept::unseal(MAGIC, bytes));
        let descriptor = wgpu::PipelineCacheDescriptor { label: None, data, fallback: true };
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        // SAFETY: the bytes were written by `save` below, whole, as their checksum says; that they are of this driver and device
        // wgpu checks itself, and it begins anew where they are not.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        if pollster::block_on(scope.pop()).is_some() {
            return None;
        }
        Some(Self { cache, path, saved: Mutex::new(data.map_or(0, <[u8]>::len)) })
    }

    pub(crate) const fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes the file anew if there is more to keep.
    pub(crate) fn save(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let mut saved = self.saved.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if data.len() <= *saved {
            return;
        }
        // Where it cannot be written, the next start compiles again.
        if kept::write_bytes(&self.path, &kept::seal(MAGIC, &data)).is_ok() {
            *saved = data.len();
        }
    }
}
