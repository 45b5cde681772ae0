//! What can be said of kernels without a device: each variant composes, is valid, and can be said in every language that a driver
//! may want.

use super::shaders::Kernel;

/// All kernels there are.
fn kernels() -> Vec<Kernel> {
    let mut kernels = super::ops::variants();
    kernels.push(super::bandwidth::kernel());
    kernels
}

/// A kernel as naga reads it, its constants put in.
fn module(kernel: &Kernel) -> (naga::Module, naga::valid::ModuleInfo) {
    let text = kernel.wgsl().unwrap();
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&text)));
    let mut validator =
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let info = validator
        .validate(&module)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&text)));
    let constants = kernel.constants.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let (module, info) =
        naga::back::pipeline_constants::process_overrides(&module, &info, None, &constants).unwrap();
    (module.into_owned(), info.into_owned())
}

#[test]
fn every_kernel_is_valid_and_translates() {
    for kernel in kernels() {
        let (module, info) = module(&kernel);
        let options = naga::back::spv::Options::default();
        naga::back::spv::write_vec(&module, &info, &options, None)
            .unwrap_or_else(|error| panic!("{kernel} to SPIR-V: {error}"));
    }
}
