//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn select_rows(build: &mut Build<'_>, _op: &plan::SelectRows) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "select_rows".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
