//! A device that is a process: the emulator of `kernels/host`, which runs the kernels on the CPU.
//!
//! It is for tests, and slow. A message to the emulator is a letter, the length of its body and the
//! body; an answer begins with a status. All numbers are little-endian (`kernels/host/main.cpp`).

use super::{DeviceInfo, DevicePtr, Driver, Launch, Stream};
use crate::error::{CudaError, Unavailable};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

/// The most bytes of the emulator's messages that an error has. A report of a sanitizer fits.
const TAIL: usize = 8 << 10;

/// The order in which the emulator runs blocks of threads, warps, and the lanes of a warp. No
/// result may depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// By their numbers.
    #[default]
    Forward,
    /// From the last one to the first.
    Reverse,
    /// At random, the same for the same seed.
    Seed(u64),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward => f.write_str("forward"),
            Self::Reverse => f.write_str("reverse"),
            Self::Seed(seed) => write!(f, "seed:{seed}"),
        }
    }
}

/// How a [`ProcessDevice`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessOptions {
    /// Its number, as part of its name.
    pub ordinal: usize,
    /// The order in which threads run.
    pub order: Order,
    /// Its memory, in bytes. Allocations take exactly the bytes that were asked for.
    pub memory: u64,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self { ordinal: 0, order: Order::Forward, memory: 1 << 30 }
    }
}

/// A device that is a process on the CPU.
///
/// All operations wait until they are done; streams are just numbers. An address or a launch that
/// is not valid is an error, and changes nothing. A fault in a kernel, such as a deadlock, makes
/// the device unusable, as on a GPU; so does the end of the process, for instance by
/// AddressSanitizer. The error then has the last messages of the process. With the environment
/// variable `IVF_EMULATOR_STDERR`, all of its messages, such as those that kernels print, are
/// passed on.
///
/// # Example
/// ```no_run
/// use ivf_cuda::driver::Driver;
/// use ivf_cuda::driver::process::{ProcessDevice, ProcessOptions, build_emulator};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let program = std::env::temp_dir().join("emulator");
/// build_emulator("kernels".as_ref(), &program, false)?;
/// let device = ProcessDevice::spawn(&program, &ProcessOptions::default())?;
/// let at = device.alloc(1000)?;
/// device.free(at);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ProcessDevice {
    info: DeviceInfo,
    state: Mutex<State>,
    streams: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Nothing once the process was ended.
    process: Option<Process>,
    /// Why no operation is possible any more.
    poison: Option<String>,
    /// The error of a `free`, for the next operation.
    kept: Option<CudaError>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// Collects the messages of the process, and returns the last of them.
    messages: JoinHandle<Vec<u8>>,
}

/// An answer of the emulator; its body was read.
enum Answer {
    Done,
    Refused { code: i32, what: String },
    OutOfMemory { free: u64, limit: u64 },
    Fault { code: i32, what: String },
}

impl ProcessDevice {
    /// Starts an emulator that [`build_emulator`] has built.
    ///
    /// # Errors
    /// [`CudaError::Unavailable`] if the program cannot be started, and other errors if it ends, or
    /// answers something else than expected.
    pub fn spawn(program: &Path, options: &ProcessOptions) -> Result<Self, CudaError> {
        let name = format!("emulator {}", options.ordinal);
        let process = Process::start(program, options).map_err(|e| {
            let what = format!("cannot start {}: {e}", program.display());
            CudaError::Unavailable(Unavailable::Failed { code: e.raw_os_error().unwrap_or(-1), what })
        })?;
        let info = DeviceInfo {
            name,
            ordinal: options.ordinal,
            capability: (9, 0),
            multiprocessors: 4,
            memory: options.memory,
            shared_memory: 227 << 10,
            driver_version: 13000,
        };
        let state = Mutex::new(State { process: Some(process), poison: None, kept: None });
        let device = Self { info, state, streams: AtomicU64::new(1) };
        device.memory()?;
        Ok(device)
    }

    /// Returns the size of the arguments of a kernel, and nothing if there is no such kernel.
    ///
    /// # Errors
    /// As for the operations of a [`Driver`].
    pub fn args_size(&self, kernel: &str) -> Result<Option<usize>, CudaError> {
        let mut body = Vec::new();
        put_bytes(&mut body, kernel.as_bytes());
        let mut size = Vec::new();
        self.ask("args_size", b'k', &[&body], Want::Any(&mut size))?;
        Ok(<[u8; 8]>::try_from(size).ok().map(|bytes| u64::from_le_bytes(bytes) as usize))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, and waits for the answer.
    fn ask(&self, operation: &'static str, letter: u8, body: &[&[u8]], want: Want<'_>) -> Result<(), CudaError> {
        let mut state = self.lock();
        self.check(&mut state)?;
        self.ask_unchecked(&mut state, operation, letter, body, want)
    }

    /// Returns the errors of earlier operations.
    fn check(&self, state: &mut State) -> Result<(), CudaError> {
        if let Some(kept) = state.kept.take() {
            return Err(kept);
        }
        match &state.poison {
            Some(cause) => Err(CudaError::Poisoned { device: self.info.name.clone(), cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn ask_unchecked(
        &self,
        state: &mut State,
        operation: &'static str,
        letter: u8,
        body: &[&[u8]],
        want: Want<'_>,
    ) -> Result<(), CudaError> {
        let Some(process) = &mut state.process else {
            return Err(self.failed(operation, -1, "the emulator has ended".into()));
        };
        let (code, what) = match process.ask(letter, body, want) {
            Ok(Answer::Done) => return Ok(()),
            Ok(Answer::Refused { code, what }) => return Err(self.failed(operation, code, what)),
            Ok(Answer::OutOfMemory { free, limit }) => {
                // Only an allocation is answered so, and its message is the number of bytes.
                let wanted = body.first().and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
                let device = self.info.name.clone();
                return Err(CudaError::OutOfMemory { device, what: "an allocation", wanted, free, limit });
            }
            Ok(Answer::Fault { code, what }) => (code, what),
            Err(e) => (-1, state.process.take().map_or_else(|| e.to_string(), |process| process.end(&e))),
        };
        state.poison = Some(what.clone());
        Err(self.failed(operation, code, what))
    }

    fn failed(&self, operation: &'static str, code: i32, what: String) -> CudaError {
        CudaError::Driver { device: self.info.name.clone(), operation, code, what }
    }
}

/// Where the body of an answer goes.
enum Want<'a> {
    /// It must have this length.
    Exactly(&'a mut [u8]),
    Any(&'a mut Vec<u8>),
}

impl Process {
    fn start(program: &Path, options: &ProcessOptions) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg("--order")
            .arg(options.order.to_string())
            .arg("--memory")
            .arg(options.memory.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let to = child.stdin.take().ok_or_else(missing)?;
        let from = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let messages = std::thread::Builder::new().name("emulator".into()).spawn(move || collect(stderr))?;
        Ok(Self { child, to, from, messages })
    }

    /// Sends a message and reads the answer. An error means that the process cannot be used any
    /// more.
    fn ask(&mut self, letter: u8, body: &[&[u8]], want: Want<'_>) -> io::Result<Answer> {
        let mut head = vec![letter];
        put(&mut head, body.iter().map(|part| part.len() as u64).sum());
        self.to.write_all(&head)?;
        for part in body {
            self.to.write_all(part)?;
        }
        self.to.flush()?;

        let mut status = [0];
        self.from.read_exact(&mut status)?;
        let mut len = [0; 8];
        self.from.read_exact(&mut len)?;
        let len = u64::from_le_bytes(len);
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        match (status[0], want) {
            (0, Want::Exactly(bytes)) if len == bytes.len() as u64 => {
                self.from.read_exact(bytes)?;
                return Ok(Answer::Done);
            }
            (0, Want::Exactly(_)) => return Err(invalid("an answer of another length")),
            _ if len > 1 << 16 => return Err(invalid("an answer that is too long")),
            (0, Want::Any(bytes)) => {
                bytes.resize(len as usize, 0);
                self.from.read_exact(bytes)?;
                return Ok(Answer::Done);
            }
            _ => {}
        }
        let mut rest = vec![0; len as usize];
        self.from.read_exact(&mut rest)?;
        let short = || invalid("an answer that is too short");
        if status[0] == 2 {
            let (free, limit) = rest.split_first_chunk().ok_or_else(short)?;
            let limit = limit.first_chunk().ok_or_else(short)?;
            return Ok(Answer::OutOfMemory { free: u64::from_le_bytes(*free), limit: u64::from_le_bytes(*limit) });
        }
        let (code, what) = rest.split_first_chunk().ok_or_else(short)?;
        let (code, what) = (i32::from_le_bytes(*code), String::from_utf8_lossy(what).into_owned());
        match status[0] {
            1 => Ok(Answer::Refused { code, what }),
            3 => Ok(Answer::Fault { code, what }),
            _ => Err(invalid("an unknown status")),
        }
    }

    /// Ends the process, and says why: `error` is what was seen of it.
    fn end(self, error: &io::Error) -> String {
        let Self { mut child, to, from, messages } = self;
        // Its pipes are closed, so it ends even if it did not understand a message.
        drop((to, from));
        let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let tail = messages.join().unwrap_or_default();
        format!("the emulator ended ({status}; {error}): {}", String::from_utf8_lossy(&tail).trim())
    }
}

impl Drop for ProcessDevice {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = state.process.take() {
            process.end(&io::Error::other("it was not needed any more"));
        }
    }
}

/// Reads what the process prints, and returns the last of it.
fn collect(mut stderr: ChildStderr) -> Vec<u8> {
    let is_shown = std::env::var_os("IVF_EMULATOR_STDERR").is_some();
    let (mut tail, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        match stderr.read(&mut bytes) {
            Ok(0) => return tail,
            Ok(count) => {
                if is_shown {
                    eprint!("{}", String::from_utf8_lossy(&bytes[..count]));
                }
                tail.extend_from_slice(&bytes[..count]);
                tail.drain(..tail.len().saturating_sub(TAIL));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return tail,
        }
    }
}

fn put(body: &mut Vec<u8>, number: u64) {
    body.extend_from_slice(&number.to_le_bytes());
}

fn put_short(body: &mut Vec<u8>, number: u32) {
    body.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    put_short(body, bytes.len() as u32);
    body.extend_from_slice(bytes);
}

fn numbers(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|number| number.to_le_bytes()).collect()
}

impl Driver for ProcessDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn memory(&self) -> Result<(u64, u64), CudaError> {
        let mut both = [0; 16];
        self.ask("memory", b'm', &[], Want::Exactly(&mut both))?;
        let [free, total] = bytemuck::cast::<_, [[u8; 8]; 2]>(both).map(u64::from_le_bytes);
        Ok((free, total))
    }

    fn alloc(&self, bytes: usize) -> Result<DevicePtr, CudaError> {
        let mut at = [0; 8];
        self.ask("alloc", b'a', &[&numbers(&[bytes as u64])], Want::Exactly(&mut at))?;
        Ok(DevicePtr(u64::from_le_bytes(at)))
    }

    fn free(&self, at: DevicePtr) {
        let mut state = self.lock();
        if state.poison.is_none() {
            let result = self.ask_unchecked(&mut state, "free", b'f', &[&numbers(&[at.0])], Want::Exactly(&mut []));
            if let (Err(e), None) = (result, &state.kept) {
                state.kept = Some(e);
            }
        }
    }

    fn stream(&self) -> Result<Stream, CudaError> {
        self.check(&mut self.lock())?;
        Ok(Stream(self.streams.fetch_add(1, Ordering::Relaxed)))
    }

    fn write(&self, _: Stream, to: DevicePtr, bytes: &[u8]) -> Result<(), CudaError> {
        self.ask("write", b'w', &[&numbers(&[to.0]), bytes], Want::Exactly(&mut []))
    }

    fn read(&self, _: Stream, from: DevicePtr, bytes: &mut [u8]) -> Result<(), CudaError> {
        self.ask("read", b'r', &[&numbers(&[from.0, bytes.len() as u64])], Want::Exactly(bytes))
    }

    fn fill(&self, _: Stream, at: DevicePtr, value: u8, bytes: usize) -> Result<(), CudaError> {
        self.ask("fill", b's', &[&numbers(&[at.0, bytes as u64]), &[value]], Want::Exactly(&mut []))
    }

    fn copy(&self, _: Stream, from: DevicePtr, to: DevicePtr, bytes: usize) -> Result<(), CudaError> {
        self.ask("copy", b'c', &[&numbers(&[from.0, to.0, bytes as u64])], Want::Exactly(&mut []))
    }

    fn launch(&self, _: Stream, launches: &[Launch]) -> Result<(), CudaError> {
        let mut body = Vec::new();
        put_short(&mut body, launches.len() as u32);
        for launch in launches {
            put_bytes(&mut body, launch.kernel.as_bytes());
            for number in [launch.grid[0], launch.grid[1], launch.threads] {
                put_short(&mut body, number);
            }
            put(&mut body, launch.shared as u64);
            put_bytes(&mut body, &launch.args);
        }
        self.ask("launch", b'l', &[&body], Want::Exactly(&mut []))
    }

    fn synchronize(&self, _: Stream) -> Result<(), CudaError> {
        self.check(&mut self.lock())
    }
}

/// Why there is no emulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The C++ compiler cannot be started.
    #[error("cannot run the C++ compiler {compiler}: {cause}")]
    NoCompiler {
        /// What was run.
        compiler: String,
        /// Why it did not start.
        cause: String,
    },
    /// The compiler failed.
    #[error("the emulator does not compile: {0}")]
    Failed(String),
    /// A file cannot be read or written.
    #[error("cannot build the emulator: {0}")]
    File(String),
}

impl From<io::Error> for BuildError {
    fn from(e: io::Error) -> Self {
        Self::File(e.to_string())
    }
}

/// Compiles the emulator with the kernels in a folder, if `to` is older than a file in there. The
/// compiler is that of the environment variable `CXX`, or else `g++`.
///
/// With `sanitize`, the emulator has AddressSanitizer and UndefinedBehaviorSanitizer, and is
/// several times slower. It needs a name of its own.
///
/// # Errors
/// [`BuildError::NoCompiler`] where there is no compiler; other errors say what is wrong.
pub fn build_emulator(kernels: &Path, to: &Path, sanitize: bool) -> Result<(), BuildError> {
    // Tests in other threads and processes may want the same program: one builds it.
    let lock = File::create(with_suffix(to, "lock"))?;
    lock.lock()?;
    let start = SystemTime::now();
    if let Ok(built) = fs::metadata(to).and_then(|m| m.modified())
        && newest(kernels)? < built
    {
        return Ok(());
    }
    let compiler = std::env::var("CXX").ok().filter(|cxx| !cxx.trim().is_empty()).unwrap_or("g++".into());
    let mut words = compiler.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("g++"));
    // The compilers of CUDA know nothing of strict aliasing, so kernels may view memory as they
    // like.
    command.args(words).args(["-std=c++17", "-O1", "-g", "-DIVF_HOST", "-ffp-contract=off", "-fno-strict-aliasing"]);
    if has_fma() {
        command.arg("-mfma");
    }
    if sanitize {
        command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]);
    }
    let unfinished = with_suffix(to, "unfinished");
    command.arg("-I").arg(kernels).arg(kernels.join("host/main.cpp")).arg("-o").arg(&unfinished);
    let output = command.output().map_err(|e| BuildError::NoCompiler { compiler, cause: e.to_string() })?;
    if !output.status.success() {
        return Err(BuildError::Failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    // The time of the start: a file that was changed meanwhile is newer.
    File::open(&unfinished)?.set_modified(start)?;
    fs::rename(&unfinished, to)?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The time of the last change of a file in a folder.
fn newest(folder: &Path) -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        let time = if metadata.is_dir() { self::newest(&path)? } else { metadata.modified()? };
        newest = newest.max(time);
    }
    Ok(newest)
}

/// Whether this CPU has fused multiply-add. Without it the results are the same, but a function
/// call makes each of them.
fn has_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
