//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn sample(build: &mut Build<'_>, _op: &plan::Sample) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "sample".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
