//! An opened device: makes buffers and pipelines, and knows what went wrong with it.

#![allow(unsafe_code, reason = "kernels run without bounds checks, which wgpu marks as unsafe")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::build::Binding;
use super::capabilities::Capabilities;
use super::pipeline_store::PipelineStore;
use super::shaders::Kernel;
use crate::{BackendError, DeviceKind};

/// How long a step may take before the device counts as hung.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// A wgpu device with what has been compiled for it, shared by all runners on it.
pub(crate) struct OpenDevice {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// Such as `wgpu:0 (NVIDIA H200)`: how messages name it.
    pub(crate) name: String,
    pub(crate) kind: DeviceKind,
    layouts: Mutex<HashMap<Vec<BindingKind>, Arc<Layout>>>,
    pipelines: Mutex<HashMap<String, Arc<wgpu::ComputePipeline>>>,
    /// What the driver compiled in earlier runs, where it can be kept.
    store: Option<PipelineStore>,
    troubles: Arc<Mutex<Troubles>>,
    given: AtomicU64,
}

impl std::fmt::Debug for OpenDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenDevice({})", self.name)
    }
}

/// What the device has said outside of any call.
#[derive(Debug, Default)]
struct Troubles {
    lost: Option<String>,
    /// Errors that no scope caught.
    uncaught: Option<String>,
}

/// A device, and what kernels may use on it.
#[derive(Clone)]
pub(crate) struct Gpu {
    pub(crate) open: Arc<OpenDevice>,
    pub(crate) capabilities: Capabilities,
}

impl Gpu {
    /// Refuses what no kernel could be shown whole; `advice` is told how many bytes could be.
    pub(crate) fn check_visible(
        &self,
        what: impl Into<String>,
        bytes: u64,
        advice: impl FnOnce(u64) -> String,
    ) -> Result<(), BackendError> {
        let limit = self.capabilities.visible();
        if bytes <= limit {
            return Ok(());
        }
        let device = self.open.name.clone();
        Err(BackendError::TooLarge {
            device,
            what: what.into(),
            needed: bytes,
            limit,
            advice: advice(limit).into(),
        })
    }
}

/// What a bind group layout has to know of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BindingKind {
    Read,
    ReadWrite,
}

/// The layouts of kernels with the same kinds of bindings.
struct Layout {
    group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenDevice {
    pub(crate) fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        name: String,
        kind: DeviceKind,
        store: Option<PipelineStore>,
    ) -> Self {
        let troubles = Arc::<Mutex<Troubles>>::default();
        let lost = Arc::clone(&troubles);
        device.set_device_lost_callback(move |reason, message| {
            // Dropping a device tells of its end too, to nobody.
            let text = if message.is_empty() { format!("{reason:?}") } else { message };
            lock(&lost).lost.get_or_insert(text);
        });
        let uncaught = Arc::clone(&troubles);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&uncaught).uncaught.get_or_insert(error.to_string());
        }));
        Self {
            device,
            queue,
            name,
            kind,
            layouts: Mutex::default(),
            pipelines: Mutex::default(),
            store,
            troubles,
            given: AtomicU64::new(0),
        }
    }

    /// Why it can no longer be used, if it cannot.
    pub(crate) fn lost(&self) -> Option<String> {
        lock(&self.troubles).lost.clone()
    }

    /// Loses it on purpose.
    pub(crate) fn lose(&self) {
        // A loss is told of before anything is taken away, but where it is on purpose wgpu does it the other way round.
        lock(&self.troubles).lost.get_or_insert_with(|| "on purpose".to_owned());
        self.device.destroy();
        // The loss is told of once what was submitted is done.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// What the driver refused; of a lost device, that it is lost.
    pub(crate) fn refused(&self, message: String) -> BackendError {
        match self.lost() {
            Some(reason) => self.lost_error(reason),
            None => BackendError::Driver { device: self.name.clone(), message },
        }
    }

    pub(crate) fn lost_error(&self, reason: String) -> BackendError {
        BackendError::DeviceLost { device: self.name.clone(), reason }
    }

    /// What the device said since it was asked last, as an error.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        if let Some(reason) = self.lost() {
            return Err(self.lost_error(reason));
        }
        let uncaught = lock(&self.troubles).uncaught.take();
        uncaught.map_or(Ok(()), |message| Err(self.refused(message)))
    }

    /// Runs `act`; what the device says against it meanwhile becomes an error.
    pub(crate) fn scoped<T>(
        &self,
        what: &str,
        bytes: u64,
        act: impl FnOnce() -> T,
    ) -> Result<T, BackendError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let made = act();
        let validation = pollster::block_on(validation.pop());
        let internal = pollster::block_on(internal.pop());
        let memory = pollster::block_on(memory.pop());
        if let Some(reason) = self.lost() {
            return Err(self.lost_error(reason));
        }
        if memory.is_some() {
            return Err(self.out_of_memory(what, bytes));
        }
        match validation.or(internal) {
            None => Ok(made),
            Some(error) => Err(self.refused(format!("{what}: {error}"))),
        }
    }

    fn out_of_memory(&self, what: &str, bytes: u64) -> BackendError {
        BackendError::OutOfMemory {
            device: self.name.clone(),
            what: what.to_owned(),
            needed: bytes,
            available: 0,
            advice: "other programs may be using it; closing them helps".to_owned(),
        }
    }

    /// Bytes of all buffers that it has ever given.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }

    /// A buffer of zeros.
    pub(crate) fn buffer(
        &self,
        what: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, BackendError> {
        let size = bytes.max(16).next_multiple_of(16);
        let limit = self.device.limits().max_buffer_size;
        if size > limit {
            return Err(BackendError::Unsupported {
                device: self.name.clone(),
                what: format!("{what} of {size} bytes in one buffer; the largest has {limit}"),
            });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        let buffer = self.scoped(what, size, || self.device.create_buffer(&descriptor))?;
        self.given.fetch_add(size, Ordering::Relaxed);
        Ok(buffer)
    }

    /// Waits until everything submitted up to `index` has been done.
    pub(crate) fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), BackendError> {
        let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout: Some(PATIENCE) };
        let waited = self.device.poll(wait);
        self.check()?;
        match waited {
            Ok(_) => Ok(()),
            Err(error) => {
                // Whatever it is doing, nobody can tell when it will be done: who goes on does so on a device opened anew.
                let reason = format!("it has not answered for {PATIENCE:?}: {error}");
                Err(self.lost_error(lock(&self.troubles).lost.get_or_insert(reason).clone()))
            }
        }
    }

    /// The layout of kernels with these bindings.
    fn layout(&self, bindings: &[Binding]) -> Result<Arc<Layout>, BackendError> {
        let kinds = bindings.iter().map(Binding::kind).collect::<Vec<_>>();
        if let Some(layout) = lock(&self.layouts).get(&kinds) {
            return Ok(Arc::clone(layout));
        }
        let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage = kinds.iter().enumerate().map(|(place, kind)| {
            let read_only = *kind == BindingKind::Read;
            entry(place + 2, wgpu::BufferBindingType::Storage { read_only })
        });
        let uniforms = (0..2).map(|place| entry(place, wgpu::BufferBindingType::Uniform));
        let entries = uniforms.chain(storage).collect::<Vec<_>>();
        let layout = self.scoped("a bind group layout", 0, || {
            let group = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: None,
                entries: &entries,
            });
            let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&group)],
                immediate_size: 0,
            });
            Layout { group, pipeline }
        })?;
        let layout = Arc::new(layout);
        lock(&self.layouts).insert(kinds, Arc::clone(&layout));
        Ok(layout)
    }

    /// A bind group of the two uniforms and a dispatch's bindings.
    pub(crate) fn bind_group(
        &self,
        step: &wgpu::Buffer,
        params: wgpu::BufferBinding<'_>,
        bindings: &[Binding],
    ) -> Result<wgpu::BindGroup, BackendError> {
        let layout = self.layout(bindings)?;
        let uniforms = [step.as_entire_binding(), wgpu::BindingResource::Buffer(params)];
        let storage =
            bindings.iter().map(|binding| wgpu::BindingResource::Buffer(binding.region().binding()));
        let entries = uniforms
            .into_iter()
            .chain(storage)
            .enumerate()
            .map(|(place, resource)| wgpu::BindGroupEntry { binding: place as u32, resource })
            .collect::<Vec<_>>();
        self.scoped("a bind group", 0, || {
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &layout.group,
                entries: &entries,
            })
        })
    }

    /// Keeps what has been compiled for the next run. That it cannot be kept is no fault of a plan's: the next start is slower.
    pub(crate) fn keep_pipelines(&self) {
        if let Some(store) = &self.store {
            store.save();
        }
    }

    /// The pipeline of a kernel, compiled when it is first asked for.
    pub(crate) fn pipeline(
        &self,
        kernel: &Kernel,
        bindings: &[Binding],
    ) -> Result<Arc<wgpu::ComputePipeline>, BackendError> {
        let key = kernel.to_string();
        if let Some(pipeline) = lock(&self.pipelines).get(&key) {
            return Ok(Arc::clone(pipeline));
        }
        let refused = |message: String| BackendError::Driver { device: self.name.clone(), message };
        let source = kernel.wgsl().map_err(|error| refused(error.to_string()))?;
        let layout = self.layout(bindings)?;
        let constants = kernel.constants.clone();
        let pipeline = self.scoped(&format!("kernel {key}"), 0, || {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(&key),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            };
            // SAFETY: the kernels are this crate's own. Each bounds its indices and its loops by the shapes that the plan was
            // checked for and by the tables that the host fills from a checked batch.
            let module = unsafe {
                self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            };
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&key),
                layout: Some(&layout.pipeline),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    zero_initialize_workgroup_memory: false,
                },
                cache: self.store.as_ref().map(PipelineStore::cache),
            })
        })?;
        let pipeline = Arc::new(pipeline);
        lock(&self.pipelines).insert(key, Arc::clone(&pipeline));
        Ok(pipeline)
    }
}

impl Binding {
    const fn kind(&self) -> BindingKind {
        match self {
            Self::Read(_) => BindingKind::Read,
            Self::ReadWrite(_) => BindingKind::ReadWrite,
        }
    }

    pub(crate) const fn region(&self) -> &super::values::Region {
        match self {
            Self::Read(region) | Self::ReadWrite(region) => region,
        }
    }
}
