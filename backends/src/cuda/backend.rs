//! The NVIDIA GPUs of this machine, opening one, and preparing a plan on it.

use std::collections::HashMap;
use std::env;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::capabilities::{Capabilities, KernelTier, architecture};
use super::driver::{self, DeviceFacts};
use super::gpu::{Gpu, OpenDevice};
use super::nvrtc::Nvrtc;
use super::prepare::Room;
use super::weights::DeviceWeights;
use crate::pages::usable_cache;
use crate::plan::{Plan, check};
use crate::room::what_would_fit;
use crate::{
    Backend, BackendError, CacheOptions, DeviceId, DeviceInfo, DeviceKind, DeviceLimits, DeviceMemory,
    PrepareOptions, Progress, ProgressFn, Runner, Unavailable, WeightSource,
};

const NAME: &str = "cuda";
/// What a user sets to force a tier.
const TIER_VARIABLE: &str = "INGLE_CUDA_TIER";
/// The first version of the driver's interface that is enough.
const OLDEST_DRIVER: u32 = 12_000;
/// The first compute capability that kernels are written for.
const OLDEST_DEVICE: (u32, u32) = (7, 5);

/// All NVIDIA GPUs that the driver has.
#[derive(Debug, Default)]
pub struct CudaBackend {
    /// Where compiled kernels are kept from one start to the next.
    cache: Option<PathBuf>,
    /// What there is, looked for when it is first needed.
    found: OnceLock<Found>,
    /// Opened devices by their index.
    open: Mutex<HashMap<usize, Arc<OpenDevice>>>,
}

/// What there is on this machine.
#[derive(Debug, Default)]
struct Found {
    driver: u32,
    compiler: Option<Arc<Nvrtc>>,
    devices: Vec<Device>,
    unavailable: Vec<Unavailable>,
}

#[derive(Debug)]
struct Device {
    facts: DeviceFacts,
    capabilities: Capabilities,
}

impl Found {
    /// Nothing, for a reason.
    fn nothing(reason: impl Into<String>) -> Self {
        let what = "NVIDIA GPUs through CUDA".to_owned();
        Self { unavailable: vec![Unavailable { what, reason: reason.into() }], ..Self::default() }
    }

    fn look() -> Self {
        if !driver::is_driver_present() {
            return Self::nothing(
                "no NVIDIA driver was found; where there is an NVIDIA GPU, install its driver",
            );
        }
        let version = match driver::driver_version() {
            Ok(version) if version >= OLDEST_DRIVER => version,
            Ok(version) => {
                let (has, needs) = (version_text(version), version_text(OLDEST_DRIVER));
                return Self::nothing(format!(
                    "the NVIDIA driver speaks CUDA {has}, and {needs} is the oldest that is enough; update the driver"
                ));
            }
            Err(error) => return Self::nothing(format!("the NVIDIA driver does not answer: {error}")),
        };
        let facts = match driver::facts() {
            Ok(facts) if facts.is_empty() => return Self::nothing("the NVIDIA driver has no device"),
            Ok(facts) => facts,
            Err(error) => {
                return Self::nothing(format!(
                    "the NVIDIA driver cannot be used: {error}; a driver that was updated needs a restart"
                ));
            }
        };
        let compiler = match Nvrtc::load(version / 1000) {
            Ok(compiler) => Arc::new(compiler),
            Err(reason) => return Self::nothing(reason),
        };
        let mut found = Self { driver: version, ..Self::default() };
        for facts in facts {
            match usable(&facts, &compiler) {
                Ok(arch) => {
                    let capabilities = Capabilities::new(&facts, arch, version);
                    found.devices.push(Device { facts, capabilities });
                }
                Err(reason) => found.unavailable.push(Unavailable { what: facts.name, reason }),
            }
        }
        found.compiler = Some(compiler);
        found
    }
}

/// The architecture to compile for on a device, or why there is none.
fn usable(facts: &DeviceFacts, compiler: &Nvrtc) -> Result<u32, String> {
    let (major, minor) = facts.capability;
    if facts.capability < OLDEST_DEVICE {
        let (oldest, least) = OLDEST_DEVICE;
        return Err(format!(
            "it has compute capability {major}.{minor}, and kernels need {oldest}.{least}; use it through wgpu"
        ));
    }
    architecture(facts.capability, &compiler.architectures).ok_or_else(|| {
        format!("{compiler:?} does not know compute capability {major}.{minor}; install a newer one")
    })
}

/// Such as 12.4 for 12040.
fn version_text(version: u32) -> String {
    format!("{}.{}", version / 1000, version % 1000 / 10)
}

impl CudaBackend {
    /// A backend that keeps compiled kernels in a folder, if there is one.
    pub fn with_cache(cache: Option<PathBuf>) -> Self {
        Self { cache, ..Self::default() }
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(Found::look)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<usize, Arc<OpenDevice>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn device(&self, id: &DeviceId) -> Result<&Device, BackendError> {
        let ours = (id.backend == NAME).then(|| self.found().devices.get(id.index)).flatten();
        ours.ok_or_else(|| BackendError::UnknownDevice(id.to_string()))
    }

    /// A device in a tier, opened when it is first needed and again when it was lost.
    fn gpu(&self, id: &DeviceId, tier: Option<&str>) -> Result<Gpu, BackendError> {
        let device = self.device(id)?;
        let tier = self.choose_tier(id, device, tier)?;
        let capabilities = device.capabilities.limited_to(tier);
        let mut opened = self.opened();
        if let Some(open) = opened.get(&id.index).filter(|open| open.lost().is_none()) {
            return Ok(Gpu { open: Arc::clone(open), capabilities });
        }
        if let Some(lost) = opened.remove(&id.index) {
            // While a broken context is there, the driver makes no other. Runners that still hold it are told that it is lost.
            lost.context.end();
        }
        let Some(compiler) = self.found().compiler.clone() else {
            return Err(BackendError::UnknownDevice(id.to_string()));
        };
        let name = format!("{id} ({})", device.facts.name);
        let open = Arc::new(OpenDevice::new(device.facts.ordinal, name, compiler, self.cache.as_deref())?);
        opened.insert(id.index, Arc::clone(&open));
        Ok(Gpu { open, capabilities })
    }

    fn choose_tier(
        &self,
        id: &DeviceId,
        device: &Device,
        asked: Option<&str>,
    ) -> Result<KernelTier, BackendError> {
        let tiers = device.capabilities.tiers();
        let forced = self.forced_tier();
        let Some(asked) = asked.or(forced.as_deref()) else {
            return Ok(device.capabilities.tier());
        };
        tiers.iter().copied().find(|tier| tier.name() == asked).ok_or_else(|| BackendError::UnknownTier {
            device: id.to_string(),
            tier: asked.to_owned(),
            available: tiers.iter().map(|tier| tier.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Makes a kernel fault on a device, as a mistake in one would: how tests see what becomes of those who use it. Drivers may let the
    /// process use no CUDA device afterwards.
    #[doc(hidden)]
    pub fn lose_device(&self, device: &DeviceId) {
        // What it says is what everybody is told from then on.
        let _ = self.gpu(device, None).and_then(|gpu| super::bandwidth::fault(&gpu));
    }
}

impl Backend for CudaBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let found = self.found();
        let describe = |(index, device): (usize, &Device)| {
            let facts = &device.facts;
            let (major, minor) = facts.capability;
            let compiler = found.compiler.as_ref().map(|compiler| format!("{compiler:?}"));
            let open = self.opened().get(&index).filter(|open| open.lost().is_none()).cloned();
            DeviceInfo {
                id: DeviceId { backend: NAME, index },
                name: facts.name.clone(),
                vendor: "NVIDIA".to_owned(),
                driver: format!("CUDA {}, {}", version_text(found.driver), compiler.unwrap_or_default()),
                kind: if facts.integrated { DeviceKind::Integrated } else { DeviceKind::Discrete },
                memory: DeviceMemory {
                    total: Some(facts.total_memory),
                    // Asking takes a context, which takes time and memory.
                    available: open.and_then(|open| open.free_memory().ok()),
                    shared_with_cpu: facts.integrated,
                },
                tiers: device.capabilities.tiers().into_iter().map(KernelTier::tier).collect(),
                features: vec![format!("compute capability {major}.{minor}")],
                limits: DeviceLimits { buffer: None, binding: None },
                parallel_units: Some(facts.multiprocessors as usize),
                bandwidth: None,
            }
        };
        found.devices.iter().enumerate().map(describe).collect()
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        self.found().unavailable.clone()
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        super::bandwidth::read_bandwidth(&self.gpu(device, None)?)
    }

    fn allocated_bytes(&self, device: &DeviceId) -> Option<u64> {
        let opened = self.opened();
        let open = opened.get(&device.index).filter(|_| device.backend == NAME)?;
        Some(open.context.allocated())
    }

    fn revision(&self) -> String {
        crate::revisions::CUDA.to_owned()
    }

    fn forced_tier(&self) -> Option<String> {
        env::var(TIER_VARIABLE).ok().filter(|text| !text.is_empty())
    }

    fn prepare(
        &self,
        device: &DeviceId,
        plan: Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        self.device(device)?;
        check::check(&plan)?;
        let options = PrepareOptions { cache: usable_cache(&plan, &options.cache)?, ..options.clone() };
        let gpu = self.gpu(device, options.tier.as_deref())?;
        gpu.open.check()?;
        let free = gpu.open.free_memory()?;
        let needed = needs(&plan, &options.cache, &options);
        if needed > free {
            return Err(too_large(&gpu, &plan, &options, free, needed));
        }
        prepare_on(&gpu, &plan, weights, &options, progress).map_err(|error| match error {
            BackendError::OutOfMemory { needed: more, .. } => {
                too_large(&gpu, &plan, &options, free, needed.max(free.saturating_add(more)))
            }
            other => other,
        })
    }
}

/// Bytes that a plan takes.
fn needs(plan: &Plan, cache: &CacheOptions, options: &PrepareOptions) -> u64 {
    plan.footprint(cache, &options.limits).total()
}

/// That a plan does not fit, with what would.
fn too_large(gpu: &Gpu, plan: &Plan, options: &PrepareOptions, free: u64, needed: u64) -> BackendError {
    BackendError::OutOfMemory {
        device: gpu.open.name.clone(),
        what: "the model with its cache".to_owned(),
        needed,
        available: free,
        advice: what_would_fit(plan, &options.cache, free, |plan, cache| needs(plan, cache, options)),
    }
}

/// Loads the weights, and builds all that steps need.
fn prepare_on(
    gpu: &Gpu,
    plan: &Arc<Plan>,
    weights: &dyn WeightSource,
    options: &PrepareOptions,
    progress: &mut ProgressFn<'_>,
) -> Result<Box<dyn Runner>, BackendError> {
    let room = Room::new(gpu, Arc::clone(plan), options.clone())?;
    let weights = DeviceWeights::load(gpu, room.stream(), plan, weights, progress)?;
    let total = plan.weight_bytes();
    let mut told = |done: usize, of: usize| {
        let doing = format!("compiling kernels, {done} of {of}");
        match progress(&Progress { doing: &doing, done_bytes: total, total_bytes: total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackendError::Cancelled),
        }
    };
    Ok(Box::new(room.runner(weights, &mut told)?))
}
