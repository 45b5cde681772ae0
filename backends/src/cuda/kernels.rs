//! Variants of kernels: which source, which defines, which entry; and compiling them.

use std::fmt;

use super::capabilities::Target;
use super::nvrtc::Nvrtc;

include!(concat!(env!("OUT_DIR"), "/cuda_sources.rs"));

/// A variant of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) module: Module,
    /// The function in it that is launched.
    pub(crate) entry: &'static str,
}

/// What is compiled at once: a file under `shaders/` with some defines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Module {
    /// Such as `norm/norm`.
    file: &'static str,
    /// In alphabetical order.
    defines: Vec<(&'static str, u32)>,
}

impl Kernel {
    pub(crate) const fn new(file: &'static str, entry: &'static str) -> Self {
        Self { module: Module { file, defines: vec![] }, entry }
    }

    /// Gives a macro its value.
    #[must_use]
    pub(crate) fn define(mut self, name: &'static str, value: u32) -> Self {
        let defines = &mut self.module.defines;
        match defines.binary_search_by_key(&name, |(name, _)| name) {
            Ok(place) => defines[place].1 = value,
            Err(place) => defines.insert(place, (name, value)),
        }
        self
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.entry, self.module)
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file)?;
        for (name, value) in &self.defines {
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

impl Module {
    /// The text of its file.
    pub(super) fn source(&self) -> Option<&'static str> {
        let path = format!("{}.cu", self.file);
        CUDA_SOURCES.iter().find(|(name, _)| *name == path).map(|(_, text)| *text)
    }

    /// Compiles it to a cubin.
    pub(super) fn compile(&self, nvrtc: &Nvrtc, target: Target) -> Result<Vec<u8>, String> {
        let path = format!("{}.cu", self.file);
        let source = self.source().ok_or_else(|| format!("there is no source shaders/{path}"))?;
        let mut options = vec![
            format!("--gpu-architecture={}", target.architecture()),
            "--std=c++17".to_owned(),
            "--device-as-default-execution-space".to_owned(),
            format!("--define-macro=ARCH={}", target.arch),
        ];
        options.extend(self.defines.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
        nvrtc
            .compile(&path, source, CUDA_SOURCES, &options)
            .map_err(|fault| format!("kernel {self}: {fault}"))
    }

    /// What a cubin is kept by: another number where anything that it is made from is another.
    pub(super) fn key(&self, nvrtc: &Nvrtc, target: Target) -> u64 {
        let (major, minor) = nvrtc.version;
        let text =
            format!("{self} {} {major}.{minor} {}", target.architecture(), crate::revisions::CUDA_KERNELS);
        crate::kept::checksum(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defines_are_in_order_and_once() {
        let kernel = Kernel::new("norm/norm", "norm").define("B", 2).define("A", 1).define("B", 3);
        assert_eq!(kernel.to_string(), "norm of norm/norm A=1 B=3");
    }
}
