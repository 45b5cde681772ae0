//! The engine of Inglenook: everything between a model and whoever talks to it.
//!
//! At present it answers the questions that come before a conversation: which devices are there
//! ([`backends`]), does a model fit on one ([`fit`]), and how fast is it there, by arithmetic
//! ([`fit::Forecast`]) and by measurement ([`measure`]). It knows nothing of windows or terminals.

#![forbid(unsafe_code)]

pub mod cache;
pub mod engine;
pub mod fit;
pub mod measure;

use std::sync::Arc;

use ingle_backends::{Backend, BackendError, DeviceInfo};

pub use ingle_backends as backend;
pub use ingle_models as models;

/// The backends that run plans for users, best first.
pub fn backends() -> Vec<Arc<dyn Backend>> {
    vec![Arc::new(ingle_backends::cpu::CpuBackend::default())]
}

/// A device together with the backend that drives it.
#[derive(Clone, Debug)]
pub struct Device {
    pub backend: Arc<dyn Backend>,
    pub info: DeviceInfo,
}

/// All devices of all backends, best first.
pub fn devices() -> Vec<Device> {
    let of = |backend: Arc<dyn Backend>| {
        let infos = backend.devices();
        infos.into_iter().map(move |info| Device { backend: Arc::clone(&backend), info })
    };
    backends().into_iter().flat_map(of).collect()
}

/// The device that a user names: `cpu`, or `wgpu:1` where a backend has several.
pub fn find_device(name: &str) -> Result<Device, BackendError> {
    let named = |device: &Device| {
        let id = &device.info.id;
        name == id.to_string() || (name == id.backend && id.index == 0)
    };
    devices().into_iter().find(named).ok_or_else(|| BackendError::UnknownDevice(name.to_owned()))
}
