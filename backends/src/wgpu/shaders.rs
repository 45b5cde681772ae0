//! From shader sources to WGSL: which kernels there are, and how a variant of one is composed.
//!
//! The sources are WESL: WGSL with imports and `@if(feature)`. A [`Kernel`] names a module under `shaders/`, the
//! features that are on and the values of its `override` constants; what comes out is plain WGSL.

use std::fmt;

use wesl::syntax::{ModulePath, PathOrigin};
use wesl::{CompileOptions, Feature, Features, VirtualResolver, Wesl};

include!(concat!(env!("OUT_DIR"), "/shader_sources.rs"));

/// A variant of a kernel. Its entry point is `main`.
#[derive(Clone, PartialEq)]
pub(crate) struct Kernel {
    /// Such as `norm/norm`.
    pub(crate) module: &'static str,
    /// In alphabetical order.
    pub(crate) features: Vec<&'static str>,
    /// In alphabetical order.
    pub(crate) constants: Vec<(&'static str, f64)>,
}

impl Kernel {
    pub(crate) fn new(module: &'static str) -> Self {
        Self { module, features: vec![], constants: vec![] }
    }

    /// Switches a feature on.
    #[must_use]
    pub(crate) fn with(self, feature: &'static str) -> Self {
        self.with_if(true, feature)
    }

    /// Switches a feature on where `on`.
    #[must_use]
    pub(crate) fn with_if(mut self, on: bool, feature: &'static str) -> Self {
        if on && let Err(place) = self.features.binary_search(&feature) {
            self.features.insert(place, feature);
        }
        self
    }

    /// Gives an `override` its value.
    #[must_use]
    pub(crate) fn constant(mut self, name: &'static str, value: u32) -> Self {
        match self.constants.binary_search_by_key(&name, |(name, _)| name) {
            Ok(place) => self.constants[place].1 = f64::from(value),
            Err(place) => self.constants.insert(place, (name, f64::from(value))),
        }
        self
    }

    /// The composed WGSL.
    pub(crate) fn wgsl(&self) -> Result<String, ShaderError> {
        let mut resolver = VirtualResolver::new();
        for (module, source) in WESL_SOURCES {
            resolver.add_module(module_path(module), (*source).into());
        }
        let mut compiler = Wesl::new_barebones().set_custom_resolver(resolver);
        let flags = self.features.iter().map(|f| ((*f).to_owned(), Feature::Enable)).collect();
        compiler.set_options(CompileOptions {
            imports: true,
            condcomp: true,
            generics: false,
            strip: true,
            lower: false,
            // The composed text is validated by naga, which knows what it supports.
            validate: false,
            lazy: true,
            mangle_root: false,
            keep: None,
            keep_root: false,
            features: Features { default: Feature::Disable, flags },
        });
        compiler.set_mangler(wesl::ManglerKind::Escape);
        let composed = compiler.compile(&module_path(self.module));
        composed
            .map(|result| result.to_string())
            .map_err(|error| ShaderError { kernel: self.to_string(), message: error.to_string() })
    }
}

/// A number for the sources of some folders: another one where any has changed.
pub(crate) fn fingerprint(folders: &[&str]) -> u64 {
    let wanted = |module: &str| folders.iter().any(|folder| module.starts_with(folder));
    let sources = WESL_SOURCES.iter().filter(|(module, _)| wanted(module));
    let bytes = sources.flat_map(|(_, source)| source.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn module_path(module: &str) -> ModulePath {
    ModulePath::new(PathOrigin::Absolute, module.split('/').map(str::to_owned).collect())
}

/// A kernel whose text cannot be composed.
#[derive(Debug, thiserror::Error)]
#[error("kernel {kernel}: {message}")]
pub(crate) struct ShaderError {
    kernel: String,
    message: String,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.module)?;
        for feature in &self.features {
            write!(f, "+{feature}")?;
        }
        for (name, value) in &self.constants {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
