//! The engine of Inglenook: everything between a model and whoever talks to it.
//!
//! Before a conversation it answers which devices are there ([`backends`]), whether a model fits on one
//! ([`fit`]), and how fast it is there, by arithmetic ([`fit::Forecast`], and [`estimate`] for devices that need not be here) and by
//! measurement ([`measure`]).
//! Kernels are checked before a device uses them for the first time ([`verdict`]).
//! [`model`] opens a folder and loads it, [`engine`] writes replies for any number of sessions, [`chat`] makes
//! conversations of them, [`score`] tells how well a model knows a text, and [`calibrate`] what a format needs to know of one. It knows nothing of windows or
//! terminals.

#![forbid(unsafe_code)]

pub mod cache;
pub mod calibrate;
pub mod chat;
pub mod engine;
pub mod estimate;
pub mod fit;
pub mod folders;
pub mod measure;
pub mod model;
pub mod score;
pub mod soak;
pub mod verdict;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use ingle_backends::cpu::CpuBackend;
use ingle_backends::cuda::CudaBackend;
use ingle_backends::plan::Plan;
use ingle_backends::wgpu::WgpuBackend;
use ingle_backends::{
    Backend, BackendError, DeviceId, DeviceInfo, DeviceKind, PrepareOptions, ProgressFn, Runner, WeightSource,
};

pub use ingle_backends as backend;
pub use ingle_models as models;

use verdict::{Choice, VerdictError};

/// The backends that run plans for users.
///
/// One of each for the whole process: drivers are asked once, and what was compiled for a device serves all who use it.
pub fn backends() -> &'static [Arc<dyn Backend>] {
    static BACKENDS: LazyLock<Vec<Arc<dyn Backend>>> = LazyLock::new(|| {
        // The order in which backends are preferred for the same device.
        let cuda = CudaBackend::with_cache(kept("cuda"));
        vec![Arc::new(cuda), WGPU.clone(), Arc::new(CpuBackend::default())]
    });
    &BACKENDS
}

static WGPU: LazyLock<Arc<WgpuBackend>> = LazyLock::new(|| Arc::new(WgpuBackend::with_cache(kept("wgpu"))));

/// Where a backend keeps what was compiled for a device.
fn kept(name: &str) -> Option<PathBuf> {
    folders::cache_folder().map(|folder| folder.join(name))
}

/// Loses a device of wgpu that is open, as a driver that crashed would: how tests see what becomes of those who use it.
#[doc(hidden)]
pub fn lose_device(device: &DeviceId) {
    WGPU.lose_device(device);
}

/// A device together with the backend that drives it.
#[derive(Clone, Debug)]
pub struct Device {
    pub backend: Arc<dyn Backend>,
    pub info: DeviceInfo,
}

impl Device {
    /// The device as it is now: how much of its memory is free changes.
    pub fn now(&self) -> Result<Self, BackendError> {
        let found = self.backend.devices().into_iter().find(|info| info.id == self.info.id);
        let info = found.ok_or_else(|| BackendError::UnknownDevice(self.info.id.to_string()))?;
        Ok(Self { backend: Arc::clone(&self.backend), info })
    }

    /// Chooses the best kernels that compute rightly here for a plan, which is found out when they are first used; `options` name
    /// them afterwards.
    pub fn choose(
        &self,
        plan: &Plan,
        options: &mut PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Choice, VerdictError> {
        let choice =
            verdict::remembered().choose(self.backend.as_ref(), &self.info, plan, options, progress)?;
        options.tier = Some(choice.tier.clone());
        Ok(choice)
    }

    /// Prepares a plan with the kernels that [`Device::choose`] chooses.
    pub fn prepare(
        &self,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &mut PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Box<dyn Runner>, Choice), VerdictError> {
        let choice = self.choose(&plan, options, progress)?;
        let runner = self.backend.prepare(&self.info.id, plan, weights, options, progress)?;
        Ok((runner, choice))
    }
}

/// All devices of all backends, best first: a GPU that is only software comes after the CPU that it computes on.
pub fn devices() -> Vec<Device> {
    let of = |backend: &Arc<dyn Backend>| {
        let device = |info| Device { backend: Arc::clone(backend), info };
        backend.devices().into_iter().map(device).collect::<Vec<_>>()
    };
    let mut devices = backends().iter().flat_map(of).collect::<Vec<_>>();
    devices.sort_by_key(|device| match device.info.kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Cpu => 2,
        DeviceKind::Software => 3,
    });
    devices
}

/// The devices that are taken where nobody names one, best first: GPUs, then the CPU. A GPU that is only software has to be named.
pub fn usual_devices() -> Vec<Device> {
    let mut devices = devices();
    devices.retain(|device| device.info.kind != DeviceKind::Software);
    devices
}

/// The device that a user names: `cpu`, or `wgpu:1` where a backend has several; `auto` is the best of the usual ones.
pub fn find_device(name: &str) -> Result<Device, BackendError> {
    if let ("auto", Some(best)) = (name, usual_devices().into_iter().next()) {
        return Ok(best);
    }
    let named = |device: &Device| {
        let id = &device.info.id;
        name == id.to_string() || (name == id.backend && id.index == 0)
    };
    devices().into_iter().find(named).ok_or_else(|| missing(name, backends()))
}

/// Why there is no such device: where its backend has none at all, what the backend says of that.
fn missing(name: &str, backends: &[Arc<dyn Backend>]) -> BackendError {
    let wanted = name.split_once(':').map_or(name, |(backend, _)| backend);
    match backends.iter().find(|backend| backend.name() == wanted) {
        Some(backend) if backend.devices().is_empty() => {
            let reasons: Vec<_> = backend.unavailable().into_iter().map(|missing| missing.reason).collect();
            BackendError::NoDevices { backend: wanted.to_owned(), reason: reasons.join("; ") }
        }
        _ => BackendError::UnknownDevice(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ingle_backends::plan::Plan;
    use ingle_backends::{DeviceId, PrepareOptions, ProgressFn, Runner, Unavailable, WeightSource};

    use super::*;

    /// A backend that finds nothing.
    struct Nothing;

    impl Backend for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn devices(&self) -> Vec<DeviceInfo> {
            vec![]
        }

        fn unavailable(&self) -> Vec<Unavailable> {
            vec![Unavailable { what: "all".to_owned(), reason: "no driver; install one".to_owned() }]
        }

        fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
            Err(BackendError::UnknownDevice(device.to_string()))
        }

        fn revision(&self) -> String {
            String::new()
        }

        fn prepare(
            &self,
            device: &DeviceId,
            _: Arc<Plan>,
            _: &dyn WeightSource,
            _: &PrepareOptions,
            _: &mut ProgressFn<'_>,
        ) -> Result<Box<dyn Runner>, BackendError> {
            Err(BackendError::UnknownDevice(device.to_string()))
        }
    }

    #[test]
    fn a_backend_without_devices_says_why() {
        let backends: [Arc<dyn Backend>; 2] = [Arc::new(Nothing), Arc::new(CpuBackend::default())];
        for name in ["nothing", "nothing:3"] {
            let error = missing(name, &backends).to_string();
            assert!(error.contains("`nothing`") && error.contains("install one"), "{error}");
        }
        for name in ["cpu:9", "nobody", ""] {
            let error = missing(name, &backends);
            assert!(matches!(&error, BackendError::UnknownDevice(unknown) if unknown == name), "{error}");
        }
    }
}
