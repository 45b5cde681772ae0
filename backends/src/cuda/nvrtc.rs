//! The compiler of kernels, NVRTC: a library of its own beside the driver, found and loaded when it is first needed.
//!
//! It is called past cudarc, which knows it by other names than those that a current one has, and which cannot be told a path.

#![allow(unsafe_code, reason = "a library of C")]

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::PathBuf;
use std::{env, fmt};

use libloading::Library;

/// A path to the library, for where it is not among the system's.
pub(super) const VARIABLE: &str = "INGLE_NVRTC";
/// Major versions that this works with, newest first.
const MAJORS: [u32; 2] = [13, 12];

type Program = *mut std::ffi::c_void;
type Status = c_int;

/// The functions that are called, as the library's header declares them.
struct Calls {
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status,
    arch_count: unsafe extern "C" fn(*mut c_int) -> Status,
    archs: unsafe extern "C" fn(*mut c_int) -> Status,
    error: unsafe extern "C" fn(Status) -> *const c_char,
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    log_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    log: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    cubin_size: unsafe extern "C" fn(Program, *mut usize) -> Status,
    cubin: unsafe extern "C" fn(Program, *mut c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
}

/// The loaded library.
pub(super) struct Nvrtc {
    calls: Calls,
    /// Such as (13, 0).
    pub(super) version: (u32, u32),
    /// Architectures that it compiles for, such as 90, ascending.
    pub(super) architectures: Vec<u32>,
    /// Keep the functions where they are.
    _library: Library,
    _builtins: Option<Library>,
}

impl fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NVRTC {}.{}", self.version.0, self.version.1)
    }
}

impl Nvrtc {
    /// Finds the library: where [`VARIABLE`] says, else by its usual names, else where the CUDA toolkit puts it. Only one that is no newer
    /// than what the driver speaks (`most`, a major version) is taken, since the driver would not load what it makes.
    ///
    /// An error says what was looked for, and how to get it.
    pub(super) fn load(most: u32) -> Result<Self, String> {
        if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
            let path = PathBuf::from(path);
            let found = Self::open(&path);
            let found = found.map_err(|fault| format!("{VARIABLE} names {}: {fault}", path.display()))?;
            return if found.version.0 <= most {
                Ok(found)
            } else {
                Err(format!(
                    "{VARIABLE} names {found:?}, and the driver speaks CUDA {most}; {}",
                    advice(most)
                ))
            };
        }
        let mut faults = vec![];
        for path in candidates(most) {
            match Self::open(&path) {
                Ok(found) if found.version.0 <= most => return Ok(found),
                Ok(found) => faults.push(format!("{} is {found:?}", path.display())),
                Err(fault) => faults.push(fault),
            }
        }
        Err(format!("the compiler of kernels, NVRTC, was not found; {}", advice(most)))
    }

    fn open(path: &std::path::Path) -> Result<Self, String> {
        // SAFETY: loading NVRTC runs nothing but its own initialisers.
        let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
        // SAFETY: the types are those of nvrtc.h, which have not changed since CUDA 11.
        let calls = unsafe { Calls::of(&library) }.map_err(|error| error.to_string())?;
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: each writes as many numbers as there is room for.
        let architectures = unsafe {
            (calls.version)(&raw mut major, &raw mut minor);
            (calls.arch_count)(&raw mut count);
            let mut found = vec![0; count.max(0) as usize];
            (calls.archs)(found.as_mut_ptr());
            found.into_iter().map(|arch| arch as u32).collect()
        };
        let version = (major as u32, minor as u32);
        let builtins = path.with_file_name(builtins(version));
        // It looks for these by their name alone, and finds them where they are loaded already.
        // SAFETY: a library of constants.
        let builtins = unsafe { Library::new(builtins) }.ok();
        Ok(Self { calls, version, architectures, _library: library, _builtins: builtins })
    }

    /// Compiles a source, whose includes are found by their names in `headers`, to a cubin.
    pub(super) fn compile(
        &self,
        name: &str,
        source: &str,
        headers: &[(&str, &str)],
        options: &[String],
    ) -> Result<Vec<u8>, String> {
        let c = |text: &str| CString::new(text).map_err(|error| error.to_string());
        let pair = |(name, text): &(&str, &str)| Ok::<_, String>((c(name)?, c(text)?));
        let headers = headers.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let texts = headers.iter().map(|(_, text)| text.as_ptr()).collect::<Vec<_>>();
        let names = headers.iter().map(|(name, _)| name.as_ptr()).collect::<Vec<_>>();
        let (name, source) = (c(name)?, c(source)?);
        let mut program = std::ptr::null_mut();
        // SAFETY: all strings live until the call returns, and the library copies them.
        let made = unsafe {
            (self.calls.create)(
                &raw mut program,
                source.as_ptr(),
                name.as_ptr(),
                headers.len() as c_int,
                texts.as_ptr(),
                names.as_ptr(),
            )
        };
        self.check(made)?;
        let cubin = self.compile_program(program, options);
        // SAFETY: it was made above and is not used again.
        unsafe { (self.calls.destroy)(&raw mut program) };
        cubin
    }

    fn compile_program(&self, program: Program, options: &[String]) -> Result<Vec<u8>, String> {
        let options = options.iter().map(|option| CString::new(option.as_str()).map_err(|e| e.to_string()));
        let options = options.collect::<Result<Vec<_>, _>>()?;
        let pointers = options.iter().map(|option| option.as_ptr()).collect::<Vec<_>>();
        // SAFETY: the program is there, and so are the options until the call returns.
        let done = unsafe { (self.calls.compile)(program, pointers.len() as c_int, pointers.as_ptr()) };
        if let Err(fault) = self.check(done) {
            return Err(format!("{fault}\n{}", self.log(program)));
        }
        let mut size = 0;
        // SAFETY: writes one number.
        self.check(unsafe { (self.calls.cubin_size)(program, &raw mut size) })?;
        let mut cubin = vec![0_u8; size];
        // SAFETY: writes as many bytes as it just said.
        self.check(unsafe { (self.calls.cubin)(program, cubin.as_mut_ptr().cast()) })?;
        Ok(cubin)
    }

    /// What the compiler said.
    fn log(&self, program: Program) -> String {
        let mut size = 0;
        // SAFETY: writes one number.
        unsafe { (self.calls.log_size)(program, &raw mut size) };
        let mut log = vec![0_u8; size];
        // SAFETY: writes as many bytes as it just said.
        unsafe { (self.calls.log)(program, log.as_mut_ptr().cast()) };
        String::from_utf8_lossy(log.strip_suffix(&[0]).unwrap_or(&log)).into_owned()
    }

    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: a string that the library keeps for ever.
        let text = unsafe { CStr::from_ptr((self.calls.error)(status)) };
        Err(text.to_string_lossy().into_owned())
    }
}

impl Calls {
    /// # Safety
    /// The library has to be NVRTC.
    unsafe fn of(library: &Library) -> Result<Self, libloading::Error> {
        // SAFETY: as the caller promises.
        unsafe {
            Ok(Self {
                version: *library.get(b"nvrtcVersion\0")?,
                arch_count: *library.get(b"nvrtcGetNumSupportedArchs\0")?,
                archs: *library.get(b"nvrtcGetSupportedArchs\0")?,
                error: *library.get(b"nvrtcGetErrorString\0")?,
                create: *library.get(b"nvrtcCreateProgram\0")?,
                compile: *library.get(b"nvrtcCompileProgram\0")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize\0")?,
                log: *library.get(b"nvrtcGetProgramLog\0")?,
                cubin_size: *library.get(b"nvrtcGetCUBINSize\0")?,
                cubin: *library.get(b"nvrtcGetCUBIN\0")?,
                destroy: *library.get(b"nvrtcDestroyProgram\0")?,
            })
        }
    }
}

/// How to get the compiler.
fn advice(most: u32) -> String {
    let most = most.min(MAJORS[0]);
    format!(
        "install the CUDA toolkit {most}, or `pip install 'nvidia-cuda-nvrtc<{}'` (for CUDA 12, nvidia-cuda-nvrtc-cu12) and set {VARIABLE} \
         to the library in it ({})",
        most + 1,
        names(most).first().cloned().unwrap_or_default(),
    )
}

/// The library's names in a major version.
fn names(major: u32) -> Vec<String> {
    if cfg!(windows) { vec![format!("nvrtc64_{major}0_0.dll")] } else { vec![format!("libnvrtc.so.{major}")] }
}

/// The name of the library beside it that it needs.
fn builtins((major, minor): (u32, u32)) -> String {
    if cfg!(windows) {
        format!("nvrtc-builtins64_{major}{minor}.dll")
    } else {
        format!("libnvrtc-builtins.so.{major}.{minor}")
    }
}

/// Where the library may be, the best first.
fn candidates(most: u32) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    for variable in ["CUDA_PATH", "CUDA_HOME"] {
        if let Some(root) = env::var_os(variable).filter(|root| !root.is_empty()) {
            folders.extend(["bin", "bin/x64", "lib64"].map(|folder| PathBuf::from(&root).join(folder)));
        }
    }
    if cfg!(unix) {
        folders.push("/usr/local/cuda/lib64".into());
    }
    let majors = MAJORS.into_iter().filter(|major| *major <= most);
    let files = majors.flat_map(names).collect::<Vec<_>>();
    folders.iter().flat_map(|folder| files.iter().map(move |file| folder.join(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_explained() {
        // No driver speaks CUDA 1, so nothing is good enough for it.
        let fault = Nvrtc::load(1).unwrap_err();
        assert!(fault.contains("nvidia-cuda-nvrtc") && fault.contains(VARIABLE), "{fault}");
    }

    #[test]
    fn newer_libraries_come_first_but_none_newer_than_the_driver() {
        let files = |most| candidates(most).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert!(files(13)[0].contains("13") && files(13)[1].contains("12"));
        assert!(files(12).iter().all(|file| !file.contains("13")));
    }
}
