//! Lists the shader sources, so that a new kernel is a new file and nothing else; and gives each backend's sources a number, so that
//! what was found out about kernels is found out anew where they have changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../shaders");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &["wesl"], &mut files)?;
    files.sort();
    let mut table = String::from("pub(super) const WESL_SOURCES: &[(&str, &str)] = &[\n");
    for file in &files {
        let module = file.strip_prefix(&root).map_err(io::Error::other)?.with_extension("");
        let module = module.to_string_lossy().replace('\\', "/");
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.canonicalize()?;
        writeln!(table, "    ({module:?}, include_str!({:?})),", path.to_string_lossy())
            .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("shader_sources.rs"), table)?;
    let mut cuda = Vec::new();
    collect(&root, &["cu", "cuh"], &mut cuda)?;
    cuda.sort();
    fs::write(out.join("cuda_sources.rs"), cuda_sources(&root, &cuda)?)?;
    fs::write(out.join("revisions.rs"), revisions(&files, &cuda)?)
}

/// The CUDA sources by their paths under `shaders/`, by which they include one another.
fn cuda_sources(root: &Path, files: &[PathBuf]) -> io::Result<String> {
    let mut table = String::from("pub(super) const CUDA_SOURCES: &[(&str, &str)] = &[\n");
    for file in files {
        let name = file.strip_prefix(root).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.canonicalize()?;
        writeln!(table, "    ({name:?}, include_str!({:?})),", path.to_string_lossy())
            .map_err(io::Error::other)?;
    }
    table.push_str("];\n");
    Ok(table)
}

/// A number for what each backend's results depend on: its own sources, those of plans, formats and conformance cases, and what
/// translates the shaders.
fn revisions(shaders: &[PathBuf], cuda_shaders: &[PathBuf]) -> io::Result<String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let of = |folders: &[&str]| {
        let mut files = Vec::new();
        for folder in folders {
            let folder = root.join("src").join(folder);
            println!("cargo::rerun-if-changed={}", folder.display());
            collect(&folder, &["rs"], &mut files)?;
        }
        files.sort();
        Ok::<_, io::Error>(files)
    };
    let mut wgpu = of(&["conformance", "format", "gpu", "plan", "wgpu"])?;
    wgpu.extend_from_slice(shaders);
    // The lock file says which naga it is; a published crate has none.
    let lock = root.join("../Cargo.lock");
    if lock.is_file() {
        println!("cargo::rerun-if-changed={}", lock.display());
        wgpu.push(lock);
    }
    let cpu = of(&["conformance", "cpu", "format", "plan"])?;
    let mut cuda = of(&["conformance", "cuda", "format", "gpu", "plan"])?;
    cuda.extend_from_slice(cuda_shaders);
    let numbers = [("WGPU", wgpu.as_slice()), ("CPU", &cpu), ("CUDA", &cuda), ("CUDA_KERNELS", cuda_shaders)];
    let lines = numbers.map(|(name, files)| {
        Ok::<_, io::Error>(format!("pub(crate) const {name}: &str = \"{:016x}\";\n", hash(files)?))
    });
    lines.into_iter().collect()
}

/// FNV-1a of the contents of files.
fn hash(files: &[PathBuf]) -> io::Result<u64> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        for byte in fs::read(file)?.into_iter().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}

/// All files with these endings under a folder.
fn collect(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            collect(&path, endings, files)?;
        } else if path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending)) {
            files.push(path);
        }
    }
    Ok(())
}
