//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn embed(build: &mut Build<'_>, _op: &plan::Embed) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "embed".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}

pub(super) fn resolve_tokens(_build: &mut Build<'_>) -> Result<(), BackendError> {
    Ok(())
}
