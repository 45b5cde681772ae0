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

fn spirv(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<Vec<u32>, String> {
    let options = naga::back::spv::Options { lang_version: (1, 3), ..Default::default() };
    naga::back::spv::write_vec(module, info, &options, None).map_err(|error| error.to_string())
}

/// For Metal. A binding's number is its place.
fn metal(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<String, String> {
    let options = naga::back::msl::Options { lang_version: (2, 4), ..Default::default() };
    let pipeline = naga::back::msl::PipelineOptions::default();
    let written = naga::back::msl::write_string(module, info, &options, &pipeline);
    written.map(|(text, _)| text).map_err(|error| error.to_string())
}

/// For Direct3D 12.
fn direct3d(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<String, String> {
    let shader_model = naga::back::hlsl::ShaderModel::V6_4;
    let options = naga::back::hlsl::Options { shader_model, ..Default::default() };
    let pipeline = naga::back::hlsl::PipelineOptions::default();
    let mut text = String::new();
    let written = naga::back::hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None);
    written.map(|_| text).map_err(|error| error.to_string())
}

/// For OpenGL, which has no 16-bit floats and no subgroups.
fn opengl(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<String, String> {
    let options =
        naga::back::glsl::Options { version: naga::back::glsl::Version::Desktop(450), ..Default::default() };
    let pipeline = naga::back::glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".to_owned(),
        multiview: None,
    };
    let policies = naga::proc::BoundsCheckPolicies::default();
    let mut text = String::new();
    naga::back::glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .and_then(|mut writer| writer.write())
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// What only some drivers' languages can say: 16-bit floats and subgroups are not in OpenGL's, and cooperative matrices
/// are not in Direct3D's either. No device of those drivers is offered such a tier.
fn needs(kernel: &Kernel, feature: &str) -> bool {
    kernel.features.contains(&feature)
}

#[test]
fn every_kernel_is_valid_and_translates() {
    let folder = std::env::var_os("INGLE_SPIRV_FOLDER").map(std::path::PathBuf::from);
    for (index, kernel) in kernels().iter().enumerate() {
        let (module, info) = module(kernel);
        let said = |language: &str, result: Result<(), String>| {
            result.unwrap_or_else(|error| panic!("{kernel} in {language}: {error}"));
        };
        let words = spirv(&module, &info);
        if let (Some(folder), Ok(words)) = (&folder, &words) {
            std::fs::write(folder.join(format!("{index}.spv")), bytemuck::cast_slice(words)).unwrap();
        }
        said("SPIR-V", words.map(|_| ()));
        said("MSL", metal(&module, &info).map(|_| ()));
        if !kernel.module.ends_with("units") {
            said("HLSL", direct3d(&module, &info).map(|_| ()));
            if !needs(kernel, "f16") && !needs(kernel, "subgroup") {
                said("GLSL", opengl(&module, &info).map(|_| ()));
            }
        }
    }
}
