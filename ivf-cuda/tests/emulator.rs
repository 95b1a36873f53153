//! The emulator: that it does what CUDA does, and reports what CUDA leaves undefined.
//!
//! It is built with the kernels of `kernels/host/selftest.cuh` only.
#![cfg(unix)]

use bytemuck::{Pod, Zeroable};
use ivf_cuda::CudaError;
use ivf_cuda::driver::process::{BuildError, Order, ProcessDevice, ProcessOptions, build_emulator};
use ivf_cuda::driver::{DevicePtr, Driver, Launch, Stream};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The lanes of a warp.
const WARP: u32 = 32;

const ORDERS: [Order; 5] = [Order::Forward, Order::Reverse, Order::Seed(1), Order::Seed(2), Order::Seed(3)];

/// As `SelfTestArgs` in `kernels/host/selftest.cuh`.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    out: DevicePtr,
    input: DevicePtr,
    number: u32,
    pad: u32,
}

/// Returns a folder for the sources and the programs of this checkout. A folder for builds may be
/// that of several.
fn folder() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("selftest-{:016x}", hasher.finish()))
}

/// Returns the folder with all that the emulator needs, without kernels. Its files are links, so
/// they are as old as the originals.
fn sources() -> PathBuf {
    let sources = folder().join("kernels");
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels").canonicalize().unwrap();
    fs::create_dir_all(&sources).unwrap();
    for name in ["host", "platform.cuh"] {
        // Another test may have made the link already.
        if let Err(e) = std::os::unix::fs::symlink(kernels.join(name), sources.join(name)) {
            assert_eq!(e.kind(), std::io::ErrorKind::AlreadyExists, "{e}");
        }
    }
    sources
}

/// Builds the emulator. Without a compiler there is none, which is a failure in CI only.
fn emulator(sanitize: bool) -> Option<PathBuf> {
    let program = folder().join(if sanitize { "sanitized" } else { "plain" });
    match build_emulator(&sources(), &program, sanitize) {
        Ok(()) => Some(program),
        Err(e @ BuildError::NoCompiler { .. }) => {
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn spawn(program: &Path, order: Order) -> ProcessDevice {
    ProcessDevice::spawn(program, &ProcessOptions { order, ..ProcessOptions::default() }).unwrap()
}

/// A launch of a test kernel. `out` are the words that it starts with.
struct Test<'a> {
    kernel: &'static str,
    grid: [u32; 2],
    threads: u32,
    shared: usize,
    number: u32,
    input: &'a [u8],
    out: Vec<u32>,
}

impl Test<'_> {
    /// Launches the kernel, and returns what `out` is then.
    fn run(mut self, device: &ProcessDevice) -> Result<Vec<u32>, CudaError> {
        let stream = device.stream()?;
        let out = device.alloc(self.out.len() * 4)?;
        device.write(stream, out, bytemuck::cast_slice(&self.out))?;
        let mut input = DevicePtr::default();
        if !self.input.is_empty() {
            input = device.alloc(self.input.len())?;
            device.write(stream, input, self.input)?;
        }
        let args = bytemuck::bytes_of(&Args { out, input, number: self.number, pad: 0 }).to_vec();
        let Self { kernel, grid, threads, shared, .. } = self;
        device.launch(stream, &[Launch { kernel, grid, threads, shared, args }])?;
        device.read(stream, out, bytemuck::cast_slice_mut(&mut self.out))?;
        device.free(out);
        if input != DevicePtr::default() {
            device.free(input);
        }
        device.synchronize(stream)?;
        Ok(self.out)
    }
}

fn test(kernel: &'static str, out: Vec<u32>) -> Test<'static> {
    Test { kernel, grid: [1, 1], threads: WARP, shared: 0, number: 0, input: &[], out }
}

/// Runs a check in all orders, with and without sanitizers.
fn for_each_device(check: impl Fn(&ProcessDevice, Order)) {
    for sanitize in [false, true] {
        let Some(program) = emulator(sanitize) else { return };
        for order in ORDERS {
            check(&spawn(&program, order), order);
        }
    }
}

#[test]
fn barriers_keep_threads_together() {
    for_each_device(|device, _| {
        for threads in [32, 96, 1024] {
            let out = vec![0; threads as usize * 3];
            let test =
                Test { grid: [3, 1], threads, shared: 4 * threads as usize, number: 5, ..test("selftest_ring", out) };
            let expected: Vec<_> = (0..3 * threads).map(|i| (i + 5) % threads).collect();
            assert_eq!(test.run(device).unwrap(), expected);
        }
    });
}

#[test]
fn order_is_as_chosen() {
    let run = |device: &ProcessDevice| {
        let log = test("selftest_order", vec![0; 1 + 4 * 3 * 2 * 64]);
        Test { grid: [3, 2], threads: 64, ..log }.run(device).unwrap()
    };
    let mut seen = Vec::new();
    for_each_device(|device, order| {
        let log = run(device);
        assert_eq!(log[0] as usize, log.len() - 1);
        // A block ends before another begins, and all of its threads write before a barrier.
        for block in log[1..].chunks(4 * 64) {
            assert!(block.iter().all(|thread| thread / 64 == block[0] / 64));
            for part in block.chunks(2 * 64) {
                let mut all = part.to_vec();
                all.sort_unstable();
                assert!(all.iter().zip(0..).all(|(thread, i)| thread % 64 == i / 2));
            }
        }
        // Without a random order, a warp goes on to the barrier before the next one.
        let is_reverse = order == Order::Reverse;
        let number = |i: u32, count: u32| if is_reverse { count - 1 - i } else { i };
        let exact = (0..6 * 4 * 64).map(|i| {
            let (block, warp, lane) = (i / 256, i % 128 / 64, i % 32);
            number(block, 6) * 64 + number(warp, 2) * 32 + number(lane, 32)
        });
        let is_exact = log[1..].iter().copied().eq(exact);
        assert_eq!(is_exact, matches!(order, Order::Forward | Order::Reverse), "{order}");
    });
    let Some(program) = emulator(false) else { return };
    for order in ORDERS {
        let log = run(&spawn(&program, order));
        assert_eq!(log, run(&spawn(&program, order)), "{order} is not repeatable");
        assert!(!seen.contains(&log), "{order} is like another");
        seen.push(log);
    }
}

/// What `selftest_warp` writes for a thread.
fn warp_results(thread: u32) -> [u32; 25] {
    let (lane, warp) = (thread % 32, thread / 32);
    // The number of a lane of the same warp.
    let x = |lane: u32| (warp * 32 + lane) * 3 + 1;
    let ballot = |is_so: &dyn Fn(u32) -> bool| (0..32).filter(|&l| is_so(l)).map(|l| 1u32 << l).sum::<u32>();
    let first = lane / 8 * 8;
    let trio = lane / 3 * 3;
    let trio_end = (trio + 2).min(31);
    let is_odd = lane % 2 == 1;
    [
        x((lane + 5) % 32),
        x(first + 3),
        x(lane ^ 17),
        // 9 leads to the next group of 8 lanes, which is out of reach, or to the one before.
        x(if lane ^ 9 > (lane | 7) { lane } else { lane ^ 9 }),
        x(if lane < 3 { lane } else { lane - 3 }),
        x(if lane % 8 < 3 { lane } else { lane - 3 }),
        x(if lane + 3 > 31 { lane } else { lane + 3 }),
        x(if lane % 8 + 3 > 7 { lane } else { lane + 3 }),
        x(lane ^ 1),
        (x((lane + 1).min(31)) as f32).to_bits(),
        ballot(&|l| x(l) % 2 == 0),
        1,
        0,
        1,
        0,
        ballot(&|l| x(l) % 5 == x(lane) % 5),
        if is_odd { (0..16).map(|l| x(2 * l + 1)).sum() } else { x(30) },
        if is_odd { ballot(&|l| l % 2 == 1 && l > 16) } else { 0 },
        x(trio),
        (0..32).map(x).sum(),
        x(trio),
        x(trio_end),
        trio_end - trio + 1,
        x(lane).leading_zeros(),
        x(match lane {
            0 | 1 => 2,
            2 => 0,
            _ => lane,
        }),
    ]
}

#[test]
fn collectives_of_a_warp() {
    for_each_device(|device, order| {
        let out = Test { threads: 96, ..test("selftest_warp", vec![0; 96 * 25]) }.run(device).unwrap();
        for (thread, found) in (0..).zip(out.chunks(25)) {
            assert_eq!(found, warp_results(thread), "thread {thread}, {order}");
        }
    });
}

#[test]
fn atomics_return_and_store() {
    for_each_device(|device, _| {
        let out = Test { grid: [3, 1], threads: 64, ..test("selftest_atomics", vec![0; 10]) }.run(device).unwrap();
        let (count, sum) = (192, 191 * 192 / 2);
        assert_eq!(out[0], sum);
        assert_eq!(u64::from(out[2]) | u64::from(out[3]) << 32, u64::from(sum) << 30);
        assert_eq!(f32::from_bits(out[4]), count as f32);
        assert_eq!(out[5], (0..count).map(|i| i * 7 % 1000).max().unwrap());
        assert_eq!(out[6], 0);
        assert_eq!(out[7], (0..count).fold(0, |all, i| all ^ (i + 1)));
        assert_eq!(out[8..], [count - 1, 1]);
    });
}

#[test]
fn ldmatrix_gives_neighbours() {
    let input: Vec<u16> = (0..256).collect();
    let pair = |left: u32, right: u32| left | right << 16;
    for_each_device(|device, _| {
        let load = test("selftest_ldmatrix", vec![0; 256]);
        let out = Test { shared: 512, input: bytemuck::cast_slice(&input), ..load }.run(device).unwrap();
        for lane in 0..32 {
            for m in 0..4 {
                let at = |row: u32, column: u32| m * 64 + row * 8 + column;
                let (major, minor) = (lane / 4, lane % 4 * 2);
                let found = &out[lane as usize * 8..];
                assert_eq!(found[m as usize], pair(at(major, minor), at(major, minor + 1)));
                assert_eq!(found[4 + m as usize], pair(at(minor, major), at(minor + 1, major)));
            }
        }
    });
}

/// Numbers from 0 on, below `limit`, that look random.
fn numbers(seed: u64, limit: u32) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (((state >> 32) * u64::from(limit)) >> 32) as u32
    })
}

#[test]
fn mma_multiplies() {
    let bf16 = |x: f32| (x.to_bits() >> 16) as u16;
    let float = |bits: u16| f32::from_bits(u32::from(bits) << 16);
    for_each_device(|device, _| {
        for (scale, tolerance) in [(1.0, 0.0), (0.3, 1e-5)] {
            let make =
                |seed, count| numbers(seed, 31).map(|n| (n as f32 - 15.0) * scale).take(count).collect::<Vec<_>>();
            let input: Vec<_> = make(1, 384).into_iter().map(bf16).collect();
            let start = make(2, 128);
            for number in [0, 1] {
                let multiply = test("selftest_mma", bytemuck::cast_slice(&start).to_vec());
                let multiply = Test { shared: 768, number, input: bytemuck::cast_slice(&input), ..multiply };
                let out = multiply.run(device).unwrap();
                for (i, &bits) in out.iter().enumerate() {
                    let (row, column) = (i / 8, i % 8);
                    let product = |k: usize| f64::from(float(input[row * 16 + k]) * float(input[256 + k * 8 + column]));
                    let expected = f64::from(start[i]) + (0..16).map(product).sum::<f64>();
                    let sizes = f64::from(start[i].abs()) + (0..16).map(|k| product(k).abs()).sum::<f64>();
                    let error = (f64::from(f32::from_bits(bits)) - expected).abs();
                    assert!(error <= tolerance * sizes, "{i}: {} and {expected}", f32::from_bits(bits));
                }
            }
        }
    });
}

/// The value of a half.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// The nearest bf16, found by comparing distances.
fn nearest_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7fff;
    }
    // Infinity counts as the number that would come next.
    let value = |bits: u32| {
        let size =
            if bits & 0x7fff_ffff == 0x7f80_0000 { 2f64.powi(128) } else { f64::from(f32::from_bits(bits)).abs() };
        if bits >> 31 == 1 { -size } else { size }
    };
    let toward_zero = x.to_bits() & 0xffff_0000;
    if x.is_infinite() {
        return (toward_zero >> 16) as u16;
    }
    let away = toward_zero + 0x10000;
    let (left, right) = ((f64::from(x) - value(toward_zero)).abs(), (value(away) - f64::from(x)).abs());
    let is_even = toward_zero & 0x10000 == 0;
    let nearest = if left < right || left == right && is_even { toward_zero } else { away };
    (nearest >> 16) as u16
}

#[test]
fn conversions_are_exact() {
    // An odd number of lower halves, so that ties come with odd and with even upper halves.
    let lower = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1234];
    let input: Vec<u32> = (0..65536).map(|i| i << 16 | lower[i as usize % 7]).collect();
    for_each_device(|device, order| {
        if order != Order::Forward {
            return;
        }
        let convert = test("selftest_convert", vec![0; 3 * 65536]);
        let convert = Test { grid: [512, 1], threads: 128, input: bytemuck::cast_slice(&input), ..convert };
        let out = convert.run(device).unwrap();
        for i in 0..=u16::MAX {
            let found = &out[usize::from(i) * 3..][..3];
            let (x, expected) = (f32::from_bits(found[0]), half(i));
            assert!(f64::from(x).to_bits() == expected.to_bits() || x.is_nan() && expected.is_nan(), "{i:#x}: {x}");
            assert_eq!(found[1], u32::from(i) << 16);
            let given = f32::from_bits(input[usize::from(i)]);
            assert_eq!(found[2], u32::from(nearest_bf16(given)), "{given:e}");
        }
    });
}

#[test]
fn shared_memory_is_new_in_each_block() {
    for_each_device(|device, _| {
        for bytes in [1, 1000, 227 << 10] {
            let poison =
                Test { grid: [4, 1], shared: bytes as usize, number: bytes, ..test("selftest_poison", vec![0]) };
            assert_eq!(poison.run(device).unwrap(), [0]);
        }
    });
}

#[test]
fn many_blocks_take_little_time() {
    let Some(program) = emulator(false) else { return };
    let device = spawn(&program, Order::Forward);
    let start = Instant::now();
    let little = Test { grid: [10000, 1], threads: 128, shared: 1024, ..test("selftest_little", vec![0; 128]) };
    assert_eq!(little.run(&device).unwrap(), [9999; 128]);
    println!("10000 blocks of 128 threads: {:?}", start.elapsed());
    // It takes about 50 ms; a machine that is busy must not make the test fail.
    assert!(start.elapsed() < Duration::from_secs(3));
}

/// Checks that a fault is an error with a text, after which the device is unusable.
fn check_fault(program: &Path, order: Order, number: u32, expected: &str) {
    let device = spawn(program, order);
    let fault = Test { threads: 64, shared: 1024, number, ..test("selftest_fault", vec![0; 64]) };
    match fault.run(&device) {
        Err(CudaError::Driver { operation: "launch", what, .. }) => {
            assert!(what.contains(expected), "fault {number}, {order}: {what}");
            println!("fault {number}, {order}: {}", what.lines().take(3).collect::<Vec<_>>().join(" | "));
        }
        other => panic!("fault {number}, {order}: {other:?}"),
    }
    let is_poisoned = |result| matches!(result, Err(CudaError::Poisoned { cause, .. }) if cause.contains(expected));
    let at = DevicePtr(256);
    device.free(at);
    assert!(is_poisoned(device.alloc(1).map(drop)));
    assert!(is_poisoned(device.stream().map(drop)));
    assert!(is_poisoned(device.memory().map(drop)));
    assert!(is_poisoned(device.synchronize(Stream(1))));
    assert!(is_poisoned(device.write(Stream(1), at, &[1])));
    assert!(is_poisoned(device.read(Stream(1), at, &mut [1])));
    assert!(is_poisoned(device.launch(Stream(1), &[])));
}

#[test]
fn faults_are_reported() {
    let faults = [
        (2, "deadlock"),
        (3, "deadlock"),
        (4, "different barriers"),
        (5, "ended"),
        (6, "does not name its own lane"),
        (7, "not in the mask"),
        (8, "not aligned to 16 bytes"),
        (9, "not in shared memory"),
        (10, "different collectives"),
    ];
    for sanitize in [false, true] {
        let Some(program) = emulator(sanitize) else { return };
        for (number, expected) in faults {
            for order in ORDERS {
                check_fault(&program, order, number, expected);
            }
        }
    }
}

#[test]
fn sanitizers_find_more() {
    let Some(program) = emulator(true) else { return };
    for (number, expected) in
        [(0, "heap-buffer-overflow"), (1, "heap-buffer-overflow"), (12, "misaligned address"), (13, "shift exponent")]
    {
        check_fault(&program, Order::Forward, number, expected);
    }
}

#[test]
fn invalid_launches_are_refused() {
    let Some(program) = emulator(false) else { return };
    let device = spawn(&program, Order::Forward);
    let stream = device.stream().unwrap();
    let out = device.alloc(512).unwrap();
    device.fill(stream, out, 7, 512).unwrap();
    let args = bytemuck::bytes_of(&Args { out, input: out, number: 0, pad: 0 }).to_vec();
    let good = Launch { kernel: "selftest_little", grid: [1, 1], threads: 128, shared: 0, args };
    let refuse = |launch: Launch, code: i32, expected: &str| {
        // Nothing runs if one of the launches is refused.
        match device.launch(stream, &[good.clone(), launch]) {
            Err(CudaError::Driver { operation: "launch", code: found, what, device }) => {
                assert_eq!((found, device.as_str()), (code, "emulator 0"));
                assert!(what.contains(expected), "{what}");
            }
            other => panic!("{other:?}"),
        }
    };
    refuse(Launch { kernel: "nothing", ..good.clone() }, 500, "no kernel nothing");
    refuse(Launch { args: vec![0; 23], ..good.clone() }, 1, "take 24 bytes, not 23");
    refuse(Launch { grid: [0, 1], ..good.clone() }, 1, "grid of 0 x 1");
    refuse(Launch { grid: [1, 0], ..good.clone() }, 1, "grid of 1 x 0");
    refuse(Launch { grid: [1, 65536], ..good.clone() }, 1, "grid of 1 x 65536");
    for threads in [0, 33, 1056] {
        refuse(Launch { threads, ..good.clone() }, 1, "threads in a block");
    }
    refuse(Launch { kernel: "selftest_mma", threads: 64, ..good.clone() }, 1, "a multiple of 32 up to 32");
    refuse(Launch { shared: (227 << 10) + 1, ..good.clone() }, 1, "227 KiB");
    let mut bytes = [0; 512];
    device.read(stream, out, &mut bytes).unwrap();
    assert_eq!(bytes, [7; 512]);
    device.launch(stream, &[good.clone(), good]).unwrap();
    device.read(stream, out, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 512]);
}

#[test]
fn memory_is_checked_and_counted() {
    for sanitize in [false, true] {
        let Some(program) = emulator(sanitize) else { return };
        let options = ProcessOptions { ordinal: 3, memory: 1000, ..ProcessOptions::default() };
        let device = ProcessDevice::spawn(&program, &options).unwrap();
        assert_eq!((device.info().ordinal, device.info().memory), (3, 1000));
        let stream = device.stream().unwrap();
        assert_ne!(device.stream().unwrap(), stream);

        let (a, b) = (device.alloc(600).unwrap(), device.alloc(300).unwrap());
        assert_eq!((a.0 % 256, b.0 % 256), (0, 0));
        assert_eq!(device.memory().unwrap(), (100, 1000));
        for wanted in [101, usize::MAX] {
            match device.alloc(wanted) {
                Err(CudaError::OutOfMemory { device, wanted: found, free: 100, limit: 1000, .. }) => {
                    assert_eq!((device.as_str(), found), ("emulator 3", wanted as u64));
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(device.alloc(0).is_err());

        let bytes: Vec<u8> = (0..100).collect();
        let mut found = [0; 102];
        device.fill(stream, b, 9, 300).unwrap();
        device.write(stream, a.plus(500), &bytes).unwrap();
        device.copy(stream, a.plus(500), b.plus(1), 100).unwrap();
        device.read(stream, b, &mut found).unwrap();
        assert_eq!((found[0], &found[1..101], found[101]), (9, &bytes[..], 9));
        device.read(stream, DevicePtr(1), &mut []).unwrap();

        // Past the end, before the start, and nowhere.
        assert!(device.write(stream, a.plus(501), &bytes).is_err());
        assert!(device.read(stream, DevicePtr(a.0 - 1), &mut found).is_err());
        assert!(device.fill(stream, DevicePtr(0), 0, 1).is_err());
        assert!(device.fill(stream, a, 0, usize::MAX).is_err());
        assert!(device.copy(stream, a, b, 301).is_err());
        assert!(device.copy(stream, DevicePtr(u64::MAX), b, 3).is_err());

        // The error of a free comes with the next operation, once.
        device.free(a.plus(256));
        assert!(matches!(device.synchronize(stream), Err(CudaError::Driver { operation: "free", .. })));
        device.synchronize(stream).unwrap();
        device.free(a);
        device.free(b);
        assert_eq!(device.memory().unwrap(), (1000, 1000));
        device.free(a);
        assert!(device.read(stream, a, &mut found).is_err());
    }
}

#[test]
fn size_of_arguments_is_known() {
    let Some(program) = emulator(false) else { return };
    let device = spawn(&program, Order::Forward);
    assert_eq!(device.args_size("selftest_mma").unwrap(), Some(size_of::<Args>()));
    assert_eq!(device.args_size("nothing").unwrap(), None);
    assert_eq!(device.args_size("").unwrap(), None);
}

#[test]
fn threads_share_a_device() {
    let Some(program) = emulator(false) else { return };
    let device = spawn(&program, Order::Forward);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let ring = Test { shared: 128, number: 1, ..test("selftest_ring", vec![0; 32]) };
                    assert_eq!(ring.run(&device).unwrap()[30..], [31, 0]);
                }
            });
        }
    });
    assert_eq!(device.memory().unwrap().0, 1 << 30);
}

#[test]
fn a_program_that_is_no_emulator_is_an_error() {
    let options = ProcessOptions::default();
    let missing = ProcessDevice::spawn(Path::new("/nowhere/emulator"), &options).unwrap_err();
    assert!(matches!(missing, CudaError::Unavailable(_)), "{missing}");
    // `false` ends at once, and `yes` answers what makes no sense.
    for program in ["false", "yes"] {
        let other = ProcessDevice::spawn(Path::new(program), &options).unwrap_err();
        assert!(matches!(other, CudaError::Driver { .. }), "{other}");
    }
}

#[test]
fn emulator_is_built_again_only_when_a_source_changes() {
    let Some(_) = emulator(false) else { return };
    let folder = folder().join(format!("rebuild-{}", std::process::id()));
    fs::create_dir_all(folder.join("kernels/host")).unwrap();
    let (source, program) = (folder.join("kernels/host/main.cpp"), folder.join("program"));
    let kernels = folder.join("kernels");
    let modified = || fs::metadata(&program).unwrap().modified().unwrap();
    fs::write(&source, "int main() { return 0; }").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    build_emulator(&kernels, &program, false).unwrap();
    let first = modified();
    build_emulator(&kernels, &program, false).unwrap();
    assert_eq!(modified(), first);
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&source, "int main() { return 1; }").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    build_emulator(&kernels, &program, false).unwrap();
    assert!(modified() > first);
    fs::write(&source, "int main() { return this; }").unwrap();
    let error = build_emulator(&kernels, &program, false).unwrap_err();
    assert!(matches!(&error, BuildError::Failed(what) if what.contains("this")), "{error}");
    fs::remove_dir_all(folder).unwrap();
}
