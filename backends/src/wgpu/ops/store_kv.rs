//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn store_kv(build: &mut Build<'_>, _op: &plan::StoreKv) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "store_kv".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
