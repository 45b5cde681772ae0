//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn rope(build: &mut Build<'_>, _op: &plan::Rope) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "rope".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
