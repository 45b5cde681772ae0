//! The adapters of this machine, opening one, and preparing a plan on it.

use std::collections::HashMap;
use std::env;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::capabilities::{Capabilities, KernelTier};
use super::gpu::{Gpu, OpenDevice};
use super::pipeline_store::PipelineStore;
use super::prepare::Room;
use super::tune::{self, Memory, Shapes, Tuner, Tuning};
use super::weights::{DeviceWeights, check_visible};
use crate::pages::usable_cache;
use crate::plan::{Plan, check};
use crate::room::what_would_fit;
use crate::{
    Backend, BackendError, CacheOptions, DeviceId, DeviceInfo, DeviceKind, DeviceLimits, DeviceMemory,
    PrepareOptions, Progress, ProgressFn, Runner, Unavailable, WeightSource,
};

const NAME: &str = "wgpu";
/// What a user sets to force a tier.
const TIER_VARIABLE: &str = "INGLE_WGPU_TIER";

/// Limits to use instead of a device's own, where those are larger: how the small devices of others are tested on a large one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitOverrides {
    /// Bytes of a storage binding.
    pub binding: Option<u64>,
    /// Bytes of a buffer.
    pub buffer: Option<u64>,
    /// Storage buffers of a kernel.
    pub storage_buffers: Option<u32>,
    /// Bytes of workgroup memory.
    pub workgroup_memory: Option<u32>,
}

/// All GPUs that wgpu finds, software ones last.
#[derive(Debug, Default)]
pub struct WgpuBackend {
    overrides: LimitOverrides,
    /// Where compiled pipelines are kept from one start to the next.
    cache: Option<PathBuf>,
    /// Whether drivers are asked to check all that they are told, where they can.
    validated: bool,
    tuning: Tuning,
    /// What was measured of kernels, read when it is first needed.
    measured: OnceLock<Mutex<Memory>>,
    adapters: OnceLock<Vec<wgpu::Adapter>>,
    /// Opened devices by their index.
    open: Mutex<HashMap<usize, Arc<OpenDevice>>>,
}

impl WgpuBackend {
    /// A backend whose devices are smaller than they are.
    pub fn with_limits(overrides: LimitOverrides) -> Self {
        Self { overrides, ..Self::default() }
    }

    /// A backend that keeps what drivers compile in a folder, if there is one.
    pub fn with_cache(cache: Option<PathBuf>) -> Self {
        Self { cache, ..Self::default() }
    }

    /// A backend that has drivers check what they are told, where their layers for that are installed. What they find wrong they
    /// say to the logger.
    pub fn validated() -> Self {
        Self { validated: true, ..Self::default() }
    }

    /// Loses a device that is open, as a driver that crashed would: how tests see what becomes of those who use it.
    #[doc(hidden)]
    pub fn lose_device(&self, device: &DeviceId) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&device.index).cloned();
        if let Some(open) = open.filter(|_| device.backend == NAME) {
            open.lose();
        }
    }

    /// The same with another choice of devices whose kernels are measured.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// The shapes of kernels for a plan, measured as far as they are not known.
    fn shapes(
        &self,
        adapter: &wgpu::Adapter,
        gpu: &Gpu,
        plan: &Plan,
        options: &PrepareOptions,
        weights: &DeviceWeights,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Shapes, BackendError> {
        let forced = tune::forced()?;
        let measures = self.tuning.settled()?.measures(gpu.open.kind);
        let Some(folder) = self.cache.as_deref().filter(|_| measures && !forced) else {
            return Ok(Shapes::default());
        };
        let memory = self.measured.get_or_init(|| Mutex::new(Memory::open(folder)));
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let tuner = Tuner::new(gpu, &adapter.get_info(), self.tuning);
        tuner.shapes(&mut memory, plan, options, weights, progress)
    }

    /// The adapters, looked for when they are first needed.
    fn adapters(&self) -> &[wgpu::Adapter] {
        self.adapters.get_or_init(|| {
            let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
            descriptor.backends = wgpu::Backends::PRIMARY.with_env();
            let checks =
                if self.validated { wgpu::InstanceFlags::VALIDATION } else { wgpu::InstanceFlags::empty() };
            descriptor.flags = checks.with_env();
            let instance = wgpu::Instance::new(descriptor);
            let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
            adapters.retain(|a| {
                a.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
            });
            // The sort is stable: within a kind, the order is the driver's.
            adapters.sort_by_key(|adapter| rank(kind(&adapter.get_info())));
            adapters
        })
    }

    fn adapter(&self, device: &DeviceId) -> Result<&wgpu::Adapter, BackendError> {
        let ours = (device.backend == NAME).then(|| self.adapters().get(device.index)).flatten();
        ours.ok_or_else(|| BackendError::UnknownDevice(device.to_string()))
    }

    /// What an adapter can do at best.
    fn capabilities(&self, adapter: &wgpu::Adapter) -> Capabilities {
        let (features, limits, info) = (adapter.features(), self.limits(adapter), adapter.get_info());
        let subgroups = features.contains(wgpu::Features::SUBGROUP);
        let coop = features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
            && features.contains(wgpu::Features::SHADER_F16)
            && adapter.cooperative_matrix_properties().iter().any(|shape| {
                (shape.m_size, shape.n_size, shape.k_size) == (16, 16, 16)
                    && shape.ab_type == wgpu::CooperativeScalarType::F16
                    && shape.cr_type == wgpu::CooperativeScalarType::F32
            });
        Capabilities {
            tier: KernelTier::Coop,
            subgroups: subgroups.then_some((info.subgroup_min_size, info.subgroup_max_size)),
            f16: subgroups && features.contains(wgpu::Features::SHADER_F16),
            // WGSL has these products everywhere; where the hardware has no instruction, the compiler writes them out.
            dot4: subgroups,
            coop: subgroups && coop,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            invocations: limits.max_compute_invocations_per_workgroup,
            binding: limits.max_storage_buffer_binding_size,
            buffer: limits.max_buffer_size,
            storage_buffers: limits.max_storage_buffers_per_shader_stage,
            software: kind(&info) == DeviceKind::Software,
        }
    }

    /// The limits that a device is opened with.
    fn limits(&self, adapter: &wgpu::Adapter) -> wgpu::Limits {
        let mut limits = adapter.limits();
        let LimitOverrides { binding, buffer, storage_buffers, workgroup_memory } = self.overrides;
        let least =
            |limit: &mut u64, wish: Option<u64>| *limit = wish.map_or(*limit, |wish| wish.min(*limit));
        least(&mut limits.max_storage_buffer_binding_size, binding);
        least(&mut limits.max_buffer_size, buffer);
        let least =
            |limit: &mut u32, wish: Option<u32>| *limit = wish.map_or(*limit, |wish| wish.min(*limit));
        least(&mut limits.max_storage_buffers_per_shader_stage, storage_buffers);
        least(&mut limits.max_compute_workgroup_storage_size, workgroup_memory);
        // Offsets into weights are counted in u32 words.
        let binding = limits.max_storage_buffer_binding_size.min((1 << 32) - 256);
        // Buffers are whole multiples of 16 bytes, so that a limit between two is the lower one.
        limits.max_storage_buffer_binding_size = binding & !15;
        limits.max_buffer_size &= !15;
        limits
    }

    /// The tiers of an adapter, best first.
    fn tiers(&self, adapter: &wgpu::Adapter) -> Vec<KernelTier> {
        let capabilities = self.capabilities(adapter);
        KernelTier::ALL.into_iter().rev().filter(|tier| capabilities.has(*tier)).collect()
    }

    fn choose_tier(
        &self,
        id: &DeviceId,
        adapter: &wgpu::Adapter,
        asked: Option<&str>,
    ) -> Result<KernelTier, BackendError> {
        let tiers = self.tiers(adapter);
        let forced = self.forced_tier();
        let Some(asked) = asked.or(forced.as_deref()) else {
            return Ok(tiers.first().copied().unwrap_or(KernelTier::Base));
        };
        tiers.iter().copied().find(|tier| tier.name() == asked).ok_or_else(|| BackendError::UnknownTier {
            device: id.to_string(),
            tier: asked.to_owned(),
            available: tiers.iter().map(|tier| tier.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// The device of an adapter, opened when it is first needed and again when it was lost.
    fn open(&self, id: &DeviceId, adapter: &wgpu::Adapter) -> Result<Arc<OpenDevice>, BackendError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.get(&id.index).filter(|device| device.lost().is_none()) {
            return Ok(Arc::clone(device));
        }
        let name = format!("{id} ({})", adapter.get_info().name);
        let device = open_device(adapter, self.limits(adapter), &name, self.cache.as_deref())?;
        let device = Arc::new(device);
        open.insert(id.index, Arc::clone(&device));
        Ok(device)
    }
}

#[allow(unsafe_code, reason = "wgpu marks experimental features as unsafe to ask for")]
fn open_device(
    adapter: &wgpu::Adapter,
    limits: wgpu::Limits,
    name: &str,
    cache: Option<&Path>,
) -> Result<OpenDevice, BackendError> {
    let wanted = wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_F16
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::PIPELINE_CACHE
        | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let features = adapter.features() & wanted;
    // SAFETY: cooperative matrices are used in the shapes that the adapter says it has, in kernels whose results are compared with
    // the oracle's.
    let experimental = unsafe { wgpu::ExperimentalFeatures::enabled() };
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("inglenook"),
        required_features: features,
        required_limits: limits,
        experimental_features: experimental,
        memory_hints: wgpu::MemoryHints::Performance,
        trace: wgpu::Trace::Off,
    };
    match pollster::block_on(adapter.request_device(&descriptor)) {
        Ok((device, queue)) => {
            let pipelines =
                cache.and_then(|folder| PipelineStore::open(&device, &adapter.get_info(), folder));
            Ok(OpenDevice::new(device, queue, name.to_owned(), kind(&adapter.get_info()), pipelines))
        }
        Err(error) => Err(BackendError::Driver { device: name.to_owned(), message: error.to_string() }),
    }
}

fn kind(info: &wgpu::AdapterInfo) -> DeviceKind {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
        wgpu::DeviceType::Cpu => DeviceKind::Software,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => {
            DeviceKind::Integrated
        }
    }
}

/// Bytes of a device's own memory, which Vulkan tells: its largest heap of those that count as near.
#[cfg(not(target_vendor = "apple"))]
#[allow(unsafe_code, reason = "the driver is asked past wgpu")]
fn memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`
    const NEAR: u32 = 1;
    // SAFETY: nothing is destroyed; the handles are used while the adapter is held.
    let vulkan = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let (instance, device) = (vulkan.shared_instance().raw_instance(), vulkan.raw_physical_device());
    // SAFETY: the device is one of this instance's.
    let properties = unsafe { instance.get_physical_device_memory_properties(device) };
    let heaps = properties.memory_heaps.iter().take(properties.memory_heap_count as usize);
    heaps.filter(|heap| heap.flags.as_raw() & NEAR != 0).map(|heap| heap.size).max()
}

/// Metal does not tell through wgpu.
#[cfg(target_vendor = "apple")]
fn memory(_: &wgpu::Adapter) -> Option<u64> {
    None
}

const fn rank(kind: DeviceKind) -> u32 {
    match kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Integrated => 1,
        DeviceKind::Software | DeviceKind::Cpu => 2,
    }
}

/// The makers behind the numbers that drivers give.
fn vendor(number: u32) -> String {
    match number {
        0x10de => "NVIDIA".to_owned(),
        0x1002 => "AMD".to_owned(),
        0x8086 => "Intel".to_owned(),
        0x106b => "Apple".to_owned(),
        0x13b5 => "Arm".to_owned(),
        0x5143 => "Qualcomm".to_owned(),
        0x10005 => "Mesa".to_owned(),
        0x1ae0 => "Google".to_owned(),
        other => format!("vendor {other:#06x}"),
    }
}

impl Backend for WgpuBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn devices(&self) -> Vec<DeviceInfo> {
        let describe = |(index, adapter): (usize, &wgpu::Adapter)| {
            let (info, limits) = (adapter.get_info(), self.limits(adapter));
            let kind = kind(&info);
            let mut features = vec![format!("{:?}", info.backend)];
            let has = adapter.features();
            for (feature, name) in [
                (wgpu::Features::SHADER_F16, "f16"),
                (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
                (wgpu::Features::PIPELINE_CACHE, "pipeline cache"),
                (wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrices"),
            ] {
                if has.contains(feature) {
                    features.push(name.to_owned());
                }
            }
            if has.contains(wgpu::Features::SUBGROUP) {
                features.push(match (info.subgroup_min_size, info.subgroup_max_size) {
                    (least, most) if least == most => format!("subgroups of {least}"),
                    (least, most) => format!("subgroups of {least} to {most}"),
                });
            }
            DeviceInfo {
                id: DeviceId { backend: NAME, index },
                name: info.name.clone(),
                vendor: vendor(info.vendor),
                driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
                kind,
                memory: DeviceMemory {
                    total: memory(adapter),
                    // Programs share it, and wgpu does not say how much is left.
                    available: None,
                    shared_with_cpu: kind != DeviceKind::Discrete,
                },
                tiers: self.tiers(adapter).into_iter().map(KernelTier::tier).collect(),
                features,
                limits: DeviceLimits {
                    buffer: Some(limits.max_buffer_size),
                    binding: Some(limits.max_storage_buffer_binding_size),
                },
                parallel_units: None,
                bandwidth: None,
            }
        };
        self.adapters().iter().enumerate().map(describe).collect()
    }

    fn unavailable(&self) -> Vec<Unavailable> {
        if !self.adapters().is_empty() {
            return vec![];
        }
        vec![Unavailable {
            what: "GPUs through wgpu".to_owned(),
            reason: "no Vulkan, Metal or Direct3D 12 driver was found; install the driver of your GPU's maker (on Linux, Mesa's \
                     `mesa-vulkan-drivers` serves AMD and Intel)"
                .to_owned(),
        }]
    }

    fn measure_bandwidth(&self, device: &DeviceId) -> Result<f64, BackendError> {
        let adapter = self.adapter(device)?;
        let tier = self.choose_tier(device, adapter, None)?;
        let gpu = Gpu {
            open: self.open(device, adapter)?,
            capabilities: self.capabilities(adapter).limited_to(tier),
        };
        super::bandwidth::read_bandwidth(&gpu)
    }

    fn allocated_bytes(&self, device: &DeviceId) -> Option<u64> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.get(&device.index).filter(|_| device.backend == NAME)?;
        Some(open.device.generate_allocator_report()?.total_allocated_bytes)
    }

    fn revision(&self) -> String {
        crate::revisions::WGPU.to_owned()
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
        let adapter = self.adapter(device)?;
        let tier = self.choose_tier(device, adapter, options.tier.as_deref())?;
        check::check(&plan)?;
        let options = PrepareOptions { cache: usable_cache(&plan, &options.cache)?, ..options.clone() };
        let gpu = Gpu {
            open: self.open(device, adapter)?,
            capabilities: self.capabilities(adapter).limited_to(tier),
        };
        check_visible(&gpu, &plan)?;
        let before = gpu.open.given();
        let prepared = self.prepare_on(adapter, &gpu, &plan, weights, &options, progress);
        prepared.map_err(|error| {
            let given = gpu.open.given().saturating_sub(before);
            with_advice(error, &plan, &options, given)
        })
    }
}

impl WgpuBackend {
    /// Loads the weights, and builds all that steps need.
    fn prepare_on(
        &self,
        adapter: &wgpu::Adapter,
        gpu: &Gpu,
        plan: &Arc<Plan>,
        weights: &dyn WeightSource,
        options: &PrepareOptions,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Box<dyn Runner>, BackendError> {
        let room = Room::new(gpu, Arc::clone(plan), options.clone())?;
        let weights = DeviceWeights::load(gpu, plan, weights, progress)?;
        let shapes = self.shapes(adapter, gpu, plan, options, &weights, progress)?;
        let total = plan.weight_bytes();
        let mut compiled = |done: usize, of: usize| {
            let doing = format!("compiling kernels, {done} of {of}");
            match progress(&Progress { doing: &doing, done_bytes: total, total_bytes: total }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(BackendError::Cancelled),
            }
        };
        Ok(Box::new(room.runner(weights, &shapes, &mut compiled)?))
    }
}

/// A refusal of memory by the device, which does not say how much it has: as much as it gave before, at least, so
/// what needs no more would fit.
fn with_advice(error: BackendError, plan: &Plan, options: &PrepareOptions, given: u64) -> BackendError {
    let BackendError::OutOfMemory { device, needed, available: 0, .. } = error else { return error };
    let needs = |plan: &Plan, cache: &CacheOptions| plan.footprint(cache, &options.limits).total();
    BackendError::OutOfMemory {
        device,
        what: "the model with its cache".to_owned(),
        needed: needs(plan, &options.cache).max(given.saturating_add(needed)),
        available: given,
        advice: what_would_fit(plan, &options.cache, given, needs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::WeightFormat;
    use crate::plan::PlanBuilder;

    #[test]
    fn a_device_says_that_it_is_lost_and_is_opened_again() {
        let backend = WgpuBackend::default();
        for (index, adapter) in backend.adapters().iter().enumerate() {
            let id = DeviceId { backend: NAME, index };
            let open = backend.open(&id, adapter).unwrap();
            assert!(Arc::ptr_eq(&open, &backend.open(&id, adapter).unwrap()) && open.check().is_ok());
            open.device.destroy();
            let _ = open.device.poll(wgpu::PollType::wait_indefinitely());
            for _ in 0..2 {
                let error = open.check().unwrap_err();
                let BackendError::DeviceLost { device, .. } = &error else { panic!("{error:?}") };
                assert!(device.starts_with(&id.to_string()), "{error}");
            }
            let other = backend.open(&id, adapter).unwrap();
            assert!(!Arc::ptr_eq(&open, &other) && other.check().is_ok());
        }
    }

    #[test]
    fn a_device_that_refuses_is_taken_to_have_what_it_gave() {
        let mut plan = PlanBuilder::new();
        let x = plan.input("x", 1024);
        let w = plan.matrix("w", 1024, 1024, WeightFormat::F32);
        let y = plan.linear(x, w);
        plan.tap(y);
        let plan = plan.finish().unwrap();
        let options = PrepareOptions {
            cache: CacheOptions { pages: 0, ..CacheOptions::default() },
            limits: crate::plan::BatchLimits { rows: 1, selected: 1, sequences: 1 },
            tier: None,
        };
        let refused = |available| BackendError::OutOfMemory {
            device: "wgpu:0".to_owned(),
            what: "weights".to_owned(),
            needed: 4 << 20,
            available,
            advice: String::new(),
        };
        let told = with_advice(refused(0), &plan, &options, 1 << 20);
        let BackendError::OutOfMemory { needed, available, advice, .. } = told else { panic!("{told}") };
        assert_eq!((needed, available), (5 << 20, 1 << 20));
        assert_eq!(advice, "it would fit with weights in int4-g32, int4-g64 or nf4");
        // What is known exactly stays as it is.
        let exact = with_advice(refused(7), &plan, &options, 1 << 20);
        assert!(matches!(exact, BackendError::OutOfMemory { available: 7, .. }), "{exact}");
    }
}
