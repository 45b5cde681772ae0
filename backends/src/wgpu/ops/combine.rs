//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn expert_combine(build: &mut Build<'_>, _op: &plan::ExpertCombine) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "expert_combine".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
