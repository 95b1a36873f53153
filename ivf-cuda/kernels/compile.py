#!/usr/bin/env python3
"""Compiles the kernels: `compile.py NVRTC [--check]`, as `cargo xtask kernels` runs it.

NVRTC is a folder with the library of the wheel that requirements.txt names. No GPU is needed.

Writes ../ptx/compute_80.ptx.deflate, which the crate embeds, and manifest.json, which tells what
the assembler made of each kernel. With --check, compares with these files instead. In either case a
kernel that spills registers, or takes too many, is an error.
"""

import ctypes
import hashlib
import json
import re
import sys
import zlib
from pathlib import Path

KERNELS = Path(__file__).resolve().parent
PTX = KERNELS.parent / "ptx" / "compute_80.ptx.deflate"
MANIFEST = KERNELS / "manifest.json"

# Another version makes other PTX, and newer PTX needs a newer driver (src/probe.rs).
VERSION = (12, 6)

# src/module/nvrtc.rs has the same. Without fused multiply-adds, distances are those of the CPU to
# the bit.
OPTIONS = ["--std=c++17", "--fmad=false", "-default-device"]

# One for the least compute capability, and one for what most servers have.
CUBINS = ["sm_80", "sm_90a"]

# Two blocks of threads fit on a multiprocessor, which has 65536 registers.
BUDGET = 65536 // 2

# Kernels that take more, with the reason.
OVER_BUDGET = {}


class Nvrtc:
    """The library, as far as it is needed."""

    def __init__(self, folder):
        # The compiler looks for its built-ins by name, which finds them if they are loaded.
        for builtins in folder.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(folder / "libnvrtc.so.12"), ctypes.RTLD_GLOBAL)
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name}: {self.library.nvrtcGetErrorString(code).decode()}")

    def output(self, name, program):
        size = ctypes.c_size_t()
        self.call(f"{name}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        self.call(name, program, text)
        return text.raw

    def compile(self, sources, target, options):
        """Returns the code for a target (compute_* gives PTX, sm_* a cubin), and the log."""
        names = (ctypes.c_char_p * len(sources))(*(name.encode() for name in sources))
        texts = (ctypes.c_char_p * len(sources))(*sources.values())
        program = ctypes.c_void_p()
        main = b'#include "all.cuh"\n'
        self.call("nvrtcCreateProgram", ctypes.byref(program), main, b"kernels.cu", len(sources), texts, names)
        options = [f"--gpu-architecture={target}", *options]
        arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        try:
            self.call("nvrtcCompileProgram", program, len(options), arguments)
        except RuntimeError as error:
            log = self.output("nvrtcGetProgramLog", program).rstrip(b"\0").decode()
            raise RuntimeError(f"{target}: {error}\n{log}") from None
        log = self.output("nvrtcGetProgramLog", program).rstrip(b"\0").decode()
        code = self.output("nvrtcGetPTX" if target.startswith("compute") else "nvrtcGetCUBIN", program)
        self.call("nvrtcDestroyProgram", ctypes.byref(program))
        return code, log


def usage_of(log):
    """Returns what each kernel takes, from the assembler's log."""
    usages, kernel = {}, None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = match[1]
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            stack, stores, loads = map(int, match.groups())
            usages[kernel] = {"stack": stack, "spill_stores": stores, "spill_loads": loads}
        elif match := re.search(r"Used (\d+) registers", line):
            shared = re.search(r"(\d+) bytes smem", line)
            usages[kernel] |= {"registers": int(match[1]), "shared": int(shared[1]) if shared else 0}
    return usages


def threads_of(ptx):
    """Returns the number of threads for which each kernel is compiled."""
    entries = re.split(r"\.visible \.entry ", ptx)[1:]
    bounds = {re.match(r"\w+", entry)[0]: re.search(r"^\.maxntid (\d+)", entry, re.M) for entry in entries}
    return {name: int(bound[1]) if bound else None for name, bound in bounds.items()}


def problems_of(kernels, ptx):
    """Returns what is wrong with the kernels."""
    problems = []
    for name, kernel in kernels.items():
        if kernel["threads"] is None:
            problems.append(f"{name}: has no launch bound")
            continue
        for target in CUBINS:
            usage = kernel[target]
            if usage["spill_stores"] or usage["spill_loads"]:
                problems.append(f"{name}: spills registers on {target}: {usage}")
            taken = usage["registers"] * kernel["threads"]
            if taken > BUDGET and name not in OVER_BUDGET:
                problems.append(f"{name}: takes {taken} registers on {target}, more than {BUDGET}")
    problems += [f"OVER_BUDGET: there is no kernel {name}" for name in OVER_BUDGET if name not in kernels]
    # Without .rn, the driver's compiler may fuse an addition with a product.
    if fusible := re.search(r"\b(?:add|sub|mul)\.(?:ftz\.)?f(?:32|64)\b", ptx):
        problems.append(f"the PTX has {fusible[0]}, which the driver may fuse")
    return problems


def fnv1a(sources):
    """Returns a hash of the sources that the crate's tests can make too (src/module/cache.rs)."""
    hashed = 0x6C62272E07BB014262B821756295C58D
    for name, text in sources.items():
        for part in (name.encode(), text):
            for byte in len(part).to_bytes(8, "little") + part:
                hashed = (hashed ^ byte) * 0x0000000001000000000000000000013B & (1 << 128) - 1
    return f"{hashed:032x}"


def manifest_of(nvrtc, sources, kernels):
    """Returns the text of the manifest, with a line for each source and each kernel and target."""

    def lines(entries):
        return ",\n".join(f"    {json.dumps(name)}: {entry}" for name, entry in entries.items())

    hashes = {name: json.dumps(hashlib.sha256(text).hexdigest()) for name, text in sources.items()}
    usages = {}
    for name, kernel in kernels.items():
        parts = ",\n".join(f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in kernel.items())
        usages[name] = f"{{\n{parts}\n    }}"
    return (
        "{\n"
        f'  "nvrtc": "{nvrtc.version[0]}.{nvrtc.version[1]}",\n'
        f'  "options": {json.dumps(OPTIONS)},\n'
        f'  "fnv1a": "{fnv1a(sources)}",\n'
        f'  "sha256": {{\n{lines(hashes)}\n  }},\n'
        f'  "kernels": {{\n{lines(usages)}\n  }}\n'
        "}\n"
    )


def deflated(ptx):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(ptx) + packer.flush()


def differences(ptx, manifest):
    """Returns which files differ from what was compiled."""
    # Other versions of zlib pack the same text differently.
    if not PTX.exists() or zlib.decompress(PTX.read_bytes(), -15) != ptx:
        yield f"{PTX.name} is not what the kernels compile to"
    if not MANIFEST.exists() or MANIFEST.read_bytes() != manifest.encode():
        yield f"{MANIFEST.name} is not what the kernels compile to"


def main():
    arguments = sys.argv[1:]
    is_check = "--check" in arguments
    [folder] = [argument for argument in arguments if argument != "--check"]
    nvrtc = Nvrtc(Path(folder).resolve())
    if nvrtc.version != VERSION:
        sys.exit(f"error: NVRTC {VERSION} is needed, not {nvrtc.version}")
    sources = {path.name: path.read_bytes() for path in sorted(KERNELS.glob("*.cuh"))}

    ptx = nvrtc.compile(sources, "compute_80", OPTIONS)[0].rstrip(b"\0")
    kernels = {name: {"threads": threads} for name, threads in sorted(threads_of(ptx.decode()).items())}
    for target in CUBINS:
        log = nvrtc.compile(sources, target, [*OPTIONS, "--ptxas-options=-v"])[1]
        for name, usage in usage_of(log).items():
            kernels[name][target] = usage
    manifest = manifest_of(nvrtc, sources, kernels)

    problems = problems_of(kernels, ptx.decode())
    if is_check:
        differing = list(differences(ptx, manifest))
        problems += differing
        if differing:
            problems.append("run `cargo xtask kernels`")
    else:
        PTX.parent.mkdir(exist_ok=True)
        PTX.write_bytes(deflated(ptx))
        MANIFEST.write_bytes(manifest.encode())
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"{len(kernels)} kernels, {len(ptx)} bytes of PTX, {len(deflated(ptx))} packed")
    sys.exit(1 if problems else 0)


main()
