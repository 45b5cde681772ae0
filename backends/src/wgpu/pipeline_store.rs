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
        let data = bytes.as_deref().and_then(unpack);
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
        if kept::write_bytes(&self.path, &pack(&data)).is_ok() {
            *saved = data.len();
        }
    }
}

fn pack(data: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &checksum(data).to_le_bytes(), data].concat()
}

/// What `pack` packed, unless something became of it.
fn unpack(bytes: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = bytes.split_first_chunk::<16>()?;
    let (sum, data) = rest.split_first_chunk::<8>()?;
    (magic == MAGIC && u64::from_le_bytes(*sum) == checksum(data)).then_some(data)
}

/// FNV-1a: enough to notice a file that was cut short or written over.
fn checksum(data: &[u8]) -> u64 {
    data.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_not_taken_in() {
        let whole = pack(b"compiled");
        assert_eq!(unpack(&whole), Some(b"compiled".as_slice()));
        assert_eq!(unpack(&pack(b"")), Some(b"".as_slice()));
        for end in 0..whole.len() {
            assert_eq!(unpack(&whole[..end]), None, "cut at {end}");
        }
        for place in 0..whole.len() {
            let mut bent = whole.clone();
            bent[place] ^= 1;
            assert_eq!(unpack(&bent), None, "bent at {place}");
        }
    }
}
