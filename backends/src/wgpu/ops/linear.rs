//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn linear(build: &mut Build<'_>, _op: &plan::Linear) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "linear".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
