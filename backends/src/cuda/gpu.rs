//! An opened device: its context, what was compiled for it, and whether it is lost.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rayon::prelude::*;

use super::capabilities::{Capabilities, Target};
use super::driver::{Buffer, Context, CudaError, Event, Function, Module as Loaded, Pinned, Stream};
use super::kernels::{Kernel, Module};
use super::nvrtc::Nvrtc;
use super::store::CubinStore;
use crate::BackendError;

/// How long a step may take before the device counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kernels that are compiled before progress is told and a cancelled start is noticed.
const HANDFUL: usize = 16;

/// A context with what has been compiled for it, shared by all runners on it.
pub(crate) struct OpenDevice {
    pub(super) context: Arc<Context>,
    /// Such as `cuda:0 (NVIDIA H200)`: how messages name it.
    pub(crate) name: String,
    compiler: Arc<Nvrtc>,
    store: Option<CubinStore>,
    /// Of all tiers: what a module is does not depend on which tier asked for it.
    modules: Mutex<HashMap<Module, Arc<Loaded>>>,
    lost: Mutex<Option<String>>,
}

impl std::fmt::Debug for OpenDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenDevice({})", self.name)
    }
}

/// A device, and what kernels may use on it.
#[derive(Clone, Debug)]
pub(crate) struct Gpu {
    pub(crate) open: Arc<OpenDevice>,
    pub(crate) capabilities: Capabilities,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenDevice {
    pub(super) fn new(
        ordinal: i32,
        name: String,
        compiler: Arc<Nvrtc>,
        cache: Option<&Path>,
    ) -> Result<Self, BackendError> {
        let refused = |error: CudaError| {
            if error.is_out_of_memory() {
                return BackendError::OutOfMemory {
                    device: name.clone(),
                    what: "opening the device".to_owned(),
                    needed: 1 << 29,
                    available: 0,
                    advice: "other programs are using it; closing them helps".to_owned(),
                };
            }
            if error.is_sticky() {
                // After a kernel faulted, the driver gives the process no context any more, whatever became of the broken one.
                let reason = format!("{error}; start the program again, or use the device through wgpu");
                return BackendError::DeviceLost { device: name.clone(), reason };
            }
            BackendError::Driver { device: name.clone(), message: error.to_string() }
        };
        let context = Context::new(ordinal).map_err(refused)?;
        let store = cache.map(CubinStore::open);
        Ok(Self { context, name, compiler, store, modules: Mutex::default(), lost: Mutex::default() })
    }

    /// Why it can no longer be used, if it cannot.
    pub(crate) fn lost(&self) -> Option<String> {
        lock(&self.lost).clone()
    }

    fn lost_error(&self, reason: String) -> BackendError {
        BackendError::DeviceLost { device: self.name.clone(), reason }
    }

    /// An error where it is lost.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        self.lost().map_or(Ok(()), |reason| Err(self.lost_error(reason)))
    }

    /// What the driver refused, as an error; of what leaves nothing working, that the device is lost.
    pub(super) fn refused(&self, error: CudaError) -> BackendError {
        let mut lost = lock(&self.lost);
        if error.is_sticky() {
            lost.get_or_insert_with(|| error.to_string());
        }
        match lost.clone() {
            Some(reason) => self.lost_error(reason),
            None => BackendError::Driver { device: self.name.clone(), message: error.to_string() },
        }
    }

    /// Likewise of memory that was asked for.
    fn no_room(&self, what: &str, bytes: u64, error: CudaError) -> BackendError {
        if !error.is_out_of_memory() {
            return self.refused(error);
        }
        BackendError::OutOfMemory {
            device: self.name.clone(),
            what: what.to_owned(),
            needed: bytes,
            available: self.context.free_memory().unwrap_or(0),
            advice: "other programs may be using it; closing them helps".to_owned(),
        }
    }

    /// Bytes that are free on the device.
    pub(super) fn free_memory(&self) -> Result<u64, BackendError> {
        self.context.free_memory().map_err(|error| self.refused(error))
    }

    pub(super) fn stream(&self) -> Result<Stream, BackendError> {
        Stream::new(&self.context).map_err(|error| self.refused(error))
    }

    pub(super) fn event(&self, timed: bool) -> Result<Event, BackendError> {
        Event::new(&self.context, timed).map_err(|error| self.refused(error))
    }

    /// Memory on the device, of which nothing is known.
    pub(super) fn buffer(&self, what: &str, bytes: u64) -> Result<Arc<Buffer>, BackendError> {
        let bytes = bytes.max(16).checked_next_multiple_of(16).unwrap_or(u64::MAX);
        // Beyond any device; the driver is not asked for what it might take for a small number.
        let made = if bytes > 1 << 46 { None } else { Some(Buffer::new(&self.context, bytes)) };
        match made {
            Some(Ok(buffer)) => Ok(Arc::new(buffer)),
            Some(Err(error)) => Err(self.no_room(what, bytes, error)),
            None => Err(BackendError::OutOfMemory {
                device: self.name.clone(),
                what: what.to_owned(),
                needed: bytes,
                available: self.free_memory()?,
                advice: "prepare for smaller steps, or a cache of fewer pages".to_owned(),
            }),
        }
    }

    /// Memory on the device that is zero once what `stream` was told before is done.
    pub(super) fn zeroed(
        &self,
        stream: &Stream,
        what: &str,
        bytes: u64,
    ) -> Result<Arc<Buffer>, BackendError> {
        let buffer = self.buffer(what, bytes)?;
        stream.zero(buffer.address(), buffer.bytes()).map_err(|error| self.refused(error))?;
        Ok(buffer)
    }

    /// Memory of the host that the device copies to and from.
    pub(super) fn pinned(&self, bytes: usize) -> Result<Pinned, BackendError> {
        Pinned::new(&self.context, bytes).map_err(|error| self.no_room("pinned memory", bytes as u64, error))
    }

    /// Waits until the device has come to an event.
    pub(super) fn wait(&self, event: &Event) -> Result<(), BackendError> {
        match event.wait(PATIENCE) {
            Ok(true) => Ok(()),
            Ok(false) => {
                // Whatever it is doing, nobody can tell when it will be done: who goes on does so in a context of its own.
                let reason = format!("it has not answered for {PATIENCE:?}");
                Err(self.lost_error(lock(&self.lost).get_or_insert(reason).clone()))
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Compiles what is not compiled yet, several at once. `told` hears how many of how many are done.
    pub(super) fn compile(
        &self,
        kernels: &[&Kernel],
        target: Target,
        told: &mut dyn FnMut(usize, usize) -> Result<(), BackendError>,
    ) -> Result<(), BackendError> {
        let mut known = HashSet::new();
        let modules = kernels.iter().map(|kernel| &kernel.module).filter(|module| known.insert(*module));
        let modules = modules.collect::<Vec<_>>();
        for (done, some) in modules.chunks(HANDFUL).enumerate() {
            told(done * HANDFUL, modules.len())?;
            some.par_iter()
                .map(|module| self.module(module, target).map(|_| ()))
                .collect::<Result<(), _>>()?;
        }
        told(modules.len(), modules.len())
    }

    /// A module on the device, from what is loaded, from what was kept, or compiled.
    fn module(&self, module: &Module, target: Target) -> Result<Arc<Loaded>, BackendError> {
        if let Some(loaded) = lock(&self.modules).get(module) {
            return Ok(Arc::clone(loaded));
        }
        let key = module.key(&self.compiler, target);
        let kept = self.store.as_ref().and_then(|store| store.get(key));
        let loaded = match kept.map(|cubin| Loaded::new(&self.context, &cubin)) {
            Some(Ok(loaded)) => loaded,
            Some(Err(error)) if !error.is_wrong_image() => return Err(self.refused(error)),
            _ => self.compiled(module, target, key)?,
        };
        lock(&self.modules).insert(module.clone(), Arc::clone(&loaded));
        Ok(loaded)
    }

    fn compiled(&self, module: &Module, target: Target, key: u64) -> Result<Arc<Loaded>, BackendError> {
        let cubin = module
            .compile(&self.compiler, target)
            .map_err(|message| BackendError::Driver { device: self.name.clone(), message })?;
        if let Some(store) = &self.store {
            store.put(key, &cubin);
        }
        Loaded::new(&self.context, &cubin).map_err(|error| {
            if let Some(store) = &self.store {
                store.remove(key);
            }
            match self.refused(error) {
                BackendError::Driver { device, message } => BackendError::Driver {
                    device,
                    message: format!("kernel {module}, which {:?} compiled: {message}", self.compiler),
                },
                lost => lost,
            }
        })
    }

    /// A kernel that can be launched with so much dynamic shared memory.
    pub(super) fn function(
        &self,
        kernel: &Kernel,
        target: Target,
        shared: u32,
    ) -> Result<Function, BackendError> {
        let module = self.module(&kernel.module, target)?;
        let function = Function::new(&module, kernel.entry).map_err(|error| self.refused(error))?;
        // Asked for however little it is: together with what a kernel has in any case it may be more than what needs no asking.
        if shared > 0 {
            function.allow_shared(shared).map_err(|error| self.refused(error))?;
        }
        Ok(function)
    }
}
