//! The compiler of the host.

use super::Compiler;
use crate::kernels::SOURCES;
use cudarc::nvrtc::result::{self, NvrtcError};
use cudarc::nvrtc::sys;
use std::ffi::{CStr, CString, NulError};
use std::ptr;
use std::sync::OnceLock;

/// Options of every compilation: those of `kernels/compile.py`.
pub(super) const OPTIONS: &[&str] = &["--std=c++17", "--fmad=false", "-default-device"];

/// The functions of the library that are called. cudarc panics if it calls one that is missing.
const FUNCTIONS: &[&str] = &[
    "nvrtcCompileProgram",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetCUBIN",
    "nvrtcGetCUBINSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
    "nvrtcVersion",
];

/// The compiler, which can be had only if it is installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nvrtc {
    version: (i32, i32),
}

impl Nvrtc {
    /// Returns the compiler if it is installed.
    pub(crate) fn find() -> Option<Self> {
        static FOUND: OnceLock<Option<Nvrtc>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            // SAFETY: opens and closes the library, whose initialisers may be run.
            if !unsafe { sys::is_culib_present() } {
                return None;
            }
            // SAFETY: the library was found, and its initialisers were run then.
            let library = unsafe { sys::culib() };
            let is_there = |name: &&str| {
                // SAFETY: the address is not used.
                unsafe { library.get::<*const ()>(name.as_bytes()) }.is_ok()
            };
            if !FUNCTIONS.iter().all(is_there) {
                return None;
            }
            let (mut major, mut minor) = (0, 0);
            // SAFETY: writes two numbers to where they are given.
            unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().ok()?;
            Some(Nvrtc { version: (major, minor) })
        })
    }
}

impl Compiler for Nvrtc {
    fn version(&self) -> (i32, i32) {
        self.version
    }

    fn compile(&self, architecture: &str) -> Result<Vec<u8>, String> {
        let program = Program::new(c"#include \"all.cuh\"\n")?;
        let architecture = format!("--gpu-architecture={architecture}");
        let options = [&[architecture.as_str()], OPTIONS].concat();
        // SAFETY: the program exists. The options have no null bytes, on which this would panic.
        let compiled = unsafe { result::compile_program(program.program, &options) };
        compiled.map_err(|error| format!("{error:?}: {}", program.log()))?;
        program.cubin().map_err(|error| format!("{error:?}"))
    }
}

/// A program, which is destroyed when dropped.
#[derive(Debug)]
struct Program {
    program: sys::nvrtcProgram,
    /// The sources and their names: NVRTC does not say whether it copies them.
    _texts: [Vec<CString>; 2],
}

impl Program {
    /// Creates a program from its first file. The other files are the headers that it can include.
    fn new(first: &'static CStr) -> Result<Self, String> {
        let texts = |of: fn(&(&str, &str)) -> Result<CString, NulError>| -> Result<Vec<CString>, String> {
            SOURCES.iter().map(of).collect::<Result<_, _>>().map_err(|error| error.to_string())
        };
        let names = texts(|(name, _)| CString::new(*name))?;
        let headers = texts(|(_, text)| CString::new(*text))?;
        let pointers = |strings: &[CString]| -> Vec<_> { strings.iter().map(|string| string.as_ptr()).collect() };
        let mut program = ptr::null_mut();
        // SAFETY: all pointers are to strings that end with a null byte and outlive the program,
        // and there are as many headers and names as is said.
        let created = unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                first.as_ptr(),
                c"kernels.cu".as_ptr(),
                SOURCES.len() as i32,
                pointers(&headers).as_ptr(),
                pointers(&names).as_ptr(),
            )
        };
        created.result().map_err(|error| format!("{error:?}"))?;
        Ok(Self { program, _texts: [names, headers] })
    }

    fn log(&self) -> String {
        // SAFETY: the program exists.
        let log = unsafe { result::get_program_log(self.program) }.unwrap_or_default();
        let log: &[u8] = bytemuck::cast_slice(&log);
        String::from_utf8_lossy(log).trim_end_matches('\0').to_owned()
    }

    fn cubin(&self) -> Result<Vec<u8>, NvrtcError> {
        let mut size = 0;
        // SAFETY: the program exists, and a number is written to where it is given.
        unsafe { sys::nvrtcGetCUBINSize(self.program, &mut size) }.result()?;
        let mut cubin = vec![0_u8; size];
        // SAFETY: the program exists, and its cubin has the size that was asked for.
        unsafe { sys::nvrtcGetCUBIN(self.program, cubin.as_mut_ptr().cast()) }.result()?;
        Ok(cubin)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program exists, and is not used after.
        let _ = unsafe { result::destroy_program(self.program) };
    }
}
