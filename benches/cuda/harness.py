"""Compiles kernels under shaders/ with NVRTC and launches them beside torch, on torch's stream.

What backends/src/cuda does in Rust, as little of it as tables of single kernels need: so that a kernel and torch's own product of the
same numbers are timed in the same process, one after the other.
"""

import ctypes
import glob
import hashlib
import os
import site
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shaders")
if os.environ.get("INGLE_SHADERS"):
    ROOT = os.environ["INGLE_SHADERS"]
CACHE = os.environ.get("INGLE_CUBINS", "/tmp/ingle-cubins")

CLUSTER, DEPENDENT_LAUNCH, DYNAMIC_SHARED = 4, 6, 8


def find(pattern):
    """A library of CUDA: named by INGLE_CUDA_LIBRARIES, from a wheel, or installed."""
    places = [os.environ.get("INGLE_CUDA_LIBRARIES", "")]
    for packages in site.getsitepackages() + [site.getusersitepackages()]:
        places += [f"{packages}/nvidia/cu13/lib", f"{packages}/nvidia/cuda_nvrtc/lib"]
    places += ["/usr/local/cuda/lib64", "/usr/local/cuda/targets/x86_64-linux/lib"]
    for place in places:
        found = sorted(glob.glob(f"{place}/{pattern}"))
        if place and found:
            return found[-1]
    sys.exit(f"no {pattern}: name its folder in INGLE_CUDA_LIBRARIES")


_nvrtc = None


def nvrtc():
    global _nvrtc
    if _nvrtc is None:
        path = find("libnvrtc.so.1[23]*")
        for builtins in glob.glob(os.path.join(os.path.dirname(path), "libnvrtc-builtins.so*")):
            ctypes.CDLL(builtins, mode=ctypes.RTLD_GLOBAL)
        _nvrtc = ctypes.CDLL(path)
    return _nvrtc


def read(name):
    with open(os.path.join(ROOT, name), "rb") as file:
        return file.read()


def included(text, found):
    for line in text.split(b"\n"):
        if line.startswith(b'#include "'):
            name = line.split(b'"')[1].decode()
            if name not in found:
                found[name] = read(name)
                included(found[name], found)
    return found


def compile(name, arch, **defines):
    """A cubin of `name` for `arch` such as sm_90a; kept for the next time."""
    source = read(name)
    headers = included(source, {})
    number = "".join(c for c in arch if c.isdigit())
    tier = 2 if arch == "sm_90a" else 1
    defines = {"ARCH": number, "TIER": tier, **defines}
    options = [f"--gpu-architecture={arch}", "--std=c++17"] + [f"-D{key}={value}" for key, value in sorted(defines.items())]
    key = hashlib.sha256(repr((source, sorted(headers.items()), options)).encode()).hexdigest()[:32]
    path = os.path.join(CACHE, key)
    if os.path.exists(path):
        with open(path, "rb") as file:
            return file.read()
    lib = nvrtc()
    program = ctypes.c_void_p()
    texts = (ctypes.c_char_p * len(headers))(*headers.values())
    names = (ctypes.c_char_p * len(headers))(*[key.encode() for key in headers])
    lib.nvrtcCreateProgram(ctypes.byref(program), source, name.encode(), len(headers), texts, names)
    arguments = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    result = lib.nvrtcCompileProgram(program, len(options), arguments)
    size = ctypes.c_size_t()
    if result != 0:
        lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetProgramLog(program, log)
        raise RuntimeError(f"{name} {options}: {log.value.decode()}")
    lib.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    lib.nvrtcGetCUBIN(program, cubin)
    os.makedirs(CACHE, exist_ok=True)
    with open(path, "wb") as file:
        file.write(cubin.raw)
    return cubin.raw


class Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("padding", ctypes.c_uint), ("value", ctypes.c_uint * 16)]


class Config(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)),
        ("count", ctypes.c_uint),
    ]


_driver = None


def driver(call, *arguments):
    global _driver
    if _driver is None:
        _driver = ctypes.CDLL("libcuda.so.1")
    result = getattr(_driver, call)(*arguments)
    if result != 0:
        text = ctypes.c_char_p()
        _driver.cuGetErrorString(result, ctypes.byref(text))
        raise RuntimeError(f"{call}: {result} {text.value}")


class Kernel:
    """An entry of a compiled file."""

    def __init__(self, name, entry, arch, **defines):
        import torch

        # The driver's calls below are about the context that torch makes when it is first needed.
        torch.zeros(1, device="cuda")
        self.module = ctypes.c_void_p()
        self.function = ctypes.c_void_p()
        driver("cuModuleLoadData", ctypes.byref(self.module), compile(name, arch, **defines))
        driver("cuModuleGetFunction", ctypes.byref(self.function), self.module, entry.encode())

    def blocks_at_once(self, threads, shared):
        """Blocks that a multiprocessor holds."""
        count = ctypes.c_int()
        driver("cuFuncSetAttribute", self.function, DYNAMIC_SHARED, shared)
        driver("cuOccupancyMaxActiveBlocksPerMultiprocessor", ctypes.byref(count), self.function, threads, ctypes.c_size_t(shared))
        return count.value

    def launch(self, params, step, grid, threads, shared=0, cluster=1, dependent=False):
        """Launches on torch's current stream. `params` is a ctypes structure, `step` a tensor."""
        import torch

        if shared > 0:
            # What a kernel has in any case counts too.
            driver("cuFuncSetAttribute", self.function, DYNAMIC_SHARED, shared)
        attributes = (Attribute * 2)()
        count = 0
        if cluster > 1:
            attributes[count].id = CLUSTER
            attributes[count].value[0:3] = [cluster, 1, 1]
            count += 1
        if dependent:
            attributes[count].id = DEPENDENT_LAUNCH
            attributes[count].value[0] = 1
            count += 1
        grid = list(grid) + [1] * (3 - len(grid))
        config = Config()
        config.grid[:] = grid
        config.block[:] = [threads, 1, 1]
        config.shared = shared
        config.stream = torch.cuda.current_stream().cuda_stream
        config.attributes = attributes
        config.count = count
        pointer = ctypes.c_uint64(step.data_ptr())
        arguments = (ctypes.c_void_p * 2)(ctypes.addressof(params), ctypes.addressof(pointer))
        driver("cuLaunchKernelEx", ctypes.byref(config), self.function, arguments, None)


def tensor_map(address, row_bytes, rows, stride, box_rows):
    """A map of a matrix of bytes, in boxes of 128 bytes × `box_rows`, swizzled by 128 bytes: 16 u64."""
    memory = ctypes.create_string_buffer(192)
    at = (ctypes.addressof(memory) + 63) // 64 * 64
    u8, no_interleave, swizzle_128, promote_256, zeros = 0, 0, 3, 3, 0
    driver(
        "cuTensorMapEncodeTiled",
        ctypes.c_void_p(at),
        u8,
        2,
        ctypes.c_void_p(address),
        (ctypes.c_uint64 * 2)(row_bytes, rows),
        (ctypes.c_uint64 * 1)(stride),
        (ctypes.c_uint32 * 2)(128, box_rows),
        (ctypes.c_uint32 * 2)(1, 1),
        no_interleave,
        swizzle_128,
        promote_256,
        zeros,
    )
    return list((ctypes.c_uint64 * 16).from_address(at))


def step(rows):
    """A `Step` of so many token rows, of which as many are selected."""
    import torch

    words = torch.zeros(64, dtype=torch.int32)
    words[0] = rows
    words[1] = rows
    return words.cuda()


def architecture():
    import torch

    major, minor = torch.cuda.get_device_capability()
    return "sm_90a" if (major, minor) == (9, 0) else f"sm_{major}{minor}"


def seconds(calls, repeats=5):
    """Seconds of each of `calls`, a list of functions that launch on the current stream, replayed as one graph; the median."""
    import torch

    for call in calls[:2]:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1e-3 / len(calls))
    return sorted(times)[len(times) // 2]
