//! Not written yet.

use crate::wgpu::build::Build;
use crate::wgpu::shaders::Kernel;
use crate::{BackendError, plan};

pub(super) fn gated(build: &mut Build<'_>, _op: &plan::Gated) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "gated".to_owned() })
}

pub(super) fn activate(build: &mut Build<'_>, _op: &plan::Activate) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "activate".to_owned() })
}

pub(super) fn add(build: &mut Build<'_>, _op: &plan::Add) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "add".to_owned() })
}

pub(super) fn scale(build: &mut Build<'_>, _op: &plan::Scale) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "scale".to_owned() })
}

pub(super) fn softcap(build: &mut Build<'_>, _op: &plan::Softcap) -> Result<(), BackendError> {
    Err(BackendError::Unsupported { device: build.gpu.open.name.clone(), what: "softcap".to_owned() })
}

pub(super) fn variants() -> Vec<Kernel> {
    vec![]
}
