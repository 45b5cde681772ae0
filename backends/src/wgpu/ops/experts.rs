//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn expert_linear(build: &mut Build<'_>, _op: &plan::ExpertLinear) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "expert_linear".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
