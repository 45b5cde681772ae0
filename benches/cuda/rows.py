"""Normalisation, quantisation, gates and the writing of caches: a test of each kernel against float64, and the time that one row takes.

    python3 benches/cuda/rows.py check
    python3 benches/cuda/rows.py table
"""

import ctypes
import math
import struct
import sys

import torch

from attention import kernel, pointer
from harness import architecture, seconds

DEVICE = "cuda"


def params(format, *numbers):
    packed = struct.pack(format, *numbers)
    return ctypes.create_string_buffer(packed, len(packed))


def step_of(rows, slots=None, angles=None):
    packed = struct.pack("<12I10Q", rows, rows, 1, 1, *[0] * 8, 0, 0, 0, pointer(slots), 0, 0, 0, 0, 0, pointer(angles))
    step = torch.frombuffer(bytearray(packed), dtype=torch.uint8).to(DEVICE)
    return step


def padded(width):
    return -(-width // 64) * 64


class Norm:
    """As ops/norm.rs launches it."""

    def __init__(self, rows, width, groups=1, layer=False, weight=True, bias=False, add=True, keep=True, quantize=False, extra=0, first=0, scale=0.0):
        self.rows, self.width, self.groups, self.layer, self.quantize, self.scale = rows, width, groups, layer, quantize, scale
        self.all = torch.randn(rows, first + groups * width + extra, device=DEVICE)
        self.x = self.all[:, first:first + groups * width]
        self.add = torch.randn(rows, groups * width, device=DEVICE) if add else None
        self.weight = torch.randn(width, device=DEVICE) if weight else None
        self.bias = torch.randn(width, device=DEVICE) if bias else None
        self.sum = torch.full((rows, groups * width), math.nan, device=DEVICE) if keep else None
        self.bytes = padded(width)
        self.codes = torch.full((rows, self.bytes), 99, dtype=torch.int8, device=DEVICE)
        self.scales = torch.full((rows,), math.nan, device=DEVICE)
        self.output = torch.full((rows, groups * width), math.nan, device=DEVICE)
        quads = int(all(n % 4 == 0 for n in (first, width, self.all.shape[1])))
        items = -(-width // 4)
        warps = int(width <= 512 and not quantize)
        if warps:
            self.threads, kept = 256, max(1, -(-items // 32))
        else:
            kept = next((k for k in (2, 4) if items <= 1024 * k), 0)
            self.threads = max(32, min(1024, -(-items // (32 * (kept or 4))) * 32))
        self.grid = -(-rows * groups // 8) if warps else rows * groups
        kept = next(k for k in (1, 2, 4) if k >= kept) if kept else 0
        self.kernel = kernel("norm/norm.cu", "normalize", QUADS=quads, KEPT=kept, WARPS=warps, QUANTIZE=int(quantize))
        self.step = step_of(rows)
        self.params = params(
            "<7Q6I2fIIfI", pointer(self.x), pointer(self.add), pointer(self.weight), pointer(self.bias), pointer(self.sum),
            pointer(self.codes if quantize else self.output), pointer(self.scales), 0, 1, groups, width, self.all.shape[1], groups * width,
            1e-5, 0.5, int(layer), self.bytes, scale, 0)

    def launch(self, dependent=False):
        self.kernel.launch(self.params, self.step, (self.grid,), self.threads, dependent=dependent)

    def check(self):
        self.launch()
        x = self.x.double() + (self.add.double() if self.add is not None else 0)
        sums = x
        x = x.view(self.rows, self.groups, self.width)
        x = x - (x.mean(-1, keepdim=True) if self.layer else 0)
        y = x / ((x * x).mean(-1, keepdim=True) + 1e-5).sqrt()
        if self.weight is not None:
            y = y * (0.5 + self.weight.double())
        if self.bias is not None:
            y = y + self.bias.double()
        y = y.reshape(self.rows, -1)
        errors = [0.0]
        if self.sum is not None:
            errors.append((self.sum.double() - sums).abs().max().item() / 2e-6)
        if self.quantize:
            errors.append(code_error(self.codes, self.scales, y, self.width, self.scale))
        else:
            errors.append((self.output.double() - y).abs().max().item() / 1e-5)
        return math.nan if any(e != e for e in errors) else max(errors)


def code_error(codes, scales, y, width, common):
    """Above 1 where a code is not a neighbour of the exact number, or a scale is wrong."""
    scale = torch.full_like(scales, common) if common else (y.abs().amax(-1) / 127).float()
    if (codes[:, width:] != 0).any() or not ((scales - scale).abs() <= 1e-5 * scale).all():
        return math.nan
    exact = (y / scale.double()[:, None]).clamp(-127, 127)
    return ((codes[:, :width].double() - exact).abs().max().item()) / 0.501


class Quantize:
    """As ops/elementwise.rs launches it: function 0 is x · sigmoid(x), 7 the identity."""

    def __init__(self, rows, width, function=0, second=True, first=0, extra=0, share=1, scale=0.0):
        self.rows, self.width, self.function, self.scale = rows, width, function, scale
        self.all = torch.randn(rows, first + 2 * width + extra, device=DEVICE) * 3
        self.x, self.z = self.all[:, first:first + width], self.all[:, first + width:first + 2 * width] if second else None
        self.bytes = padded(width)
        self.codes = torch.full((rows, self.bytes), 99, dtype=torch.int8, device=DEVICE)
        self.scales = torch.full((rows,), math.nan, device=DEVICE)
        quads = int(all(n % 4 == 0 for n in (first, width, self.all.shape[1])))
        items = -(-self.bytes // 4 // share)
        kept = next((k for k in (2, 4) if items <= 1024 * k), 0)
        self.threads = max(32, min(1024, -(-items // (32 * (kept or 4))) * 32))
        self.share = share
        self.kernel = kernel("activation/quantize.cu", "quantize", QUADS=quads, KEPT=kept, SHARE=share)
        self.step = step_of(rows)
        stride = self.all.shape[1]
        self.params = params(
            "<4Q7If", pointer(self.x), pointer(self.z), pointer(self.codes), pointer(self.scales), 0, 1, width, stride, stride, function, self.bytes, scale)

    def launch(self, dependent=False):
        self.kernel.launch(self.params, self.step, (self.rows * self.share,), self.threads, cluster=self.share, dependent=dependent)

    def check(self):
        self.launch()
        x = self.x.double()
        y = {0: lambda: x * torch.sigmoid(x), 1: lambda: torch.nn.functional.gelu(x), 7: lambda: x}[self.function]()
        y = y * self.z.double() if self.z is not None else y
        return code_error(self.codes, self.scales, y, self.width, self.scale)


class Elementwise:
    def __init__(self, rows, width, operation=0, second=True, first=0, extra=0):
        self.rows, self.width, self.operation = rows, width, operation
        self.all = torch.randn(rows, first + 2 * width + extra, device=DEVICE) * 3
        self.x, self.z = self.all[:, first:first + width], self.all[:, first + width:first + 2 * width] if second else None
        self.output = torch.full((rows, width), math.nan, device=DEVICE)
        quads = int(all(n % 4 == 0 for n in (first, width, self.all.shape[1])))
        self.kernel = kernel("activation/elementwise.cu", "elementwise", QUADS=quads)
        self.step = step_of(rows)
        stride = self.all.shape[1]
        self.params = params("<3Q6IfI", pointer(self.x), pointer(self.z), pointer(self.output), 0, 1, width, stride, stride, operation, 1.7, 0)

    def launch(self, dependent=False):
        self.kernel.launch(self.params, self.step, (self.rows, -(-self.width // 1024)), 256, dependent=dependent)

    def check(self):
        self.launch()
        x, z = self.x.double(), self.z.double() if self.z is not None else 1.0
        functional = torch.nn.functional
        y = [
            lambda: x * torch.sigmoid(x) * z, lambda: functional.gelu(x) * z, lambda: functional.gelu(x, approximate="tanh") * z, lambda: functional.relu(x) * z,
            lambda: functional.relu(x) ** 2 * z, lambda: torch.sigmoid(x) * z, lambda: torch.tanh(x) * z, lambda: x * z, lambda: x + z, lambda: 1.7 * x,
            lambda: 1.7 * torch.tanh(x / 1.7),
        ][self.operation]()
        return ((self.output.double() - y).abs() / (1e-6 + 4e-6 * y.abs())).max().item()


class Store:
    """As ops/store_kv.rs launches it: q, k and v are columns of one value."""

    def __init__(self, rows, heads=32, kv_heads=8, dim=128, rotary=None, interleaved=False, int8=False, page_tokens=16, query=True, extra=0):
        self.rows, self.heads, self.kv_heads, self.dim, self.interleaved, self.int8 = rows, heads if query else 0, kv_heads, dim, interleaved, int8
        self.rotary = dim if rotary is None else rotary
        self.page_tokens = page_tokens
        self.all = torch.randn(rows, (heads + 2 * kv_heads) * dim + extra, device=DEVICE)
        self.q, self.k, self.v = self.all[:, :heads * dim], self.all[:, heads * dim:(heads + kv_heads) * dim], self.all[:, (heads + kv_heads) * dim:(heads + 2 * kv_heads) * dim]
        pages = -(-rows // page_tokens) + 2
        self.slots = torch.randperm(pages * page_tokens, device=DEVICE)[:rows].int()
        angle = torch.rand(rows, max(self.rotary // 2, 1), device=DEVICE, dtype=torch.double) * 100
        self.c, self.s = angle.cos().float(), angle.sin().float()
        self.first = 8
        self.angles = torch.cat([torch.full((rows, self.first), math.nan, device=DEVICE), self.c, self.s], 1).contiguous()
        unit = 16 if int8 else 8
        self.elements = -(-dim // unit) * unit
        shape = (pages, kv_heads, page_tokens, self.elements)
        kind = torch.int8 if int8 else torch.half
        self.keys, self.values = (torch.full(shape, 99, dtype=kind, device=DEVICE) for _ in range(2))
        self.key_scales, self.value_scales = (torch.full(shape[:3], math.nan, dtype=torch.half, device=DEVICE) for _ in range(2))
        self.rotated = torch.full((rows, heads * dim), math.nan, device=DEVICE)
        stride = self.all.shape[1]
        quads = int(dim % 4 == 0 and stride % 4 == 0 and self.rotary % 8 == 0 and self.angles.shape[1] % 4 == 0)
        self.kernel = kernel("kv/store.cu", "store", INT8=int(int8))
        self.step = step_of(rows, self.slots, self.angles)
        self.params = params(
            "<8Q14I", pointer(self.k), pointer(self.v), pointer(self.q) if query else 0, pointer(self.rotated), pointer(self.keys), pointer(self.values),
            pointer(self.key_scales), pointer(self.value_scales), stride, stride, stride, kv_heads, self.heads, dim,
            self.elements * (1 if int8 else 2), page_tokens, self.rotary, int(interleaved), self.angles.shape[1], self.first, quads, 0)

    def launch(self, dependent=False):
        self.kernel.launch(self.params, self.step, (self.rows, -(-(self.heads + 2 * self.kv_heads) // 4)), 128, dependent=dependent)

    def turn(self, x):
        x = x.double().reshape(self.rows, -1, self.dim).clone()
        half = self.rotary // 2
        if half == 0:
            return x
        first = torch.arange(half, device=DEVICE) * (2 if self.interleaved else 1)
        second = first + (1 if self.interleaved else half)
        a, b = x[..., first].clone(), x[..., second].clone()
        c, s = self.c.double()[:, None], self.s.double()[:, None]
        x[..., first], x[..., second] = a * c - b * s, b * c + a * s
        return x

    def check(self):
        self.launch()
        errors = []
        if self.heads:
            errors.append((self.rotated.double() - self.turn(self.q).reshape(self.rows, -1)).abs().max().item() / 2e-6)
        page, place = (self.slots // self.page_tokens).long(), (self.slots % self.page_tokens).long()
        for pool, scales, x in [(self.keys, self.key_scales, self.turn(self.k)), (self.values, self.value_scales, self.v.double().reshape(self.rows, -1, self.dim))]:
            stored = pool[page, :, place].double()
            if (stored[..., self.dim:] != 0).any():
                return math.nan
            if self.int8:
                scale = scales[page, :, place].double()
                errors.append(((scale - x.abs().amax(-1) / 127).abs() / scale).max().item() / 6e-4)
                exact = (x / scale[..., None]).clamp(-127, 127)
                errors.append((stored[..., :self.dim] - exact).abs().max().item() / 0.501)
            else:
                errors.append(((stored[..., :self.dim] - x).abs() / (x.abs() * 5e-4 + 2e-6)).max().item())
        return math.nan if any(e != e for e in errors) else max(errors)


def check():
    cases = []
    for rows, width in [(1, 4096), (3, 512), (5, 100), (2, 515), (1, 8192), (3, 14336), (2, 20000), (4, 3), (300, 1024)]:
        for layer in [False, True]:
            for quantize in [False, True]:
                cases.append((Norm, dict(rows=rows, width=width, layer=layer, quantize=quantize, bias=layer)))
        cases.append((Norm, dict(rows=rows, width=width, add=False, keep=False, weight=False, first=4, extra=8)))
        cases.append((Norm, dict(rows=rows, width=width, quantize=True, scale=0.03, first=1)))
    for groups, width in [(32, 128), (7, 80), (3, 33), (5, 600)]:
        cases.append((Norm, dict(rows=9, width=width, groups=groups, add=False, keep=False, extra=4 * width)))
    for rows, width in [(1, 14336), (4, 11008), (3, 100), (2, 77), (1, 20000), (2, 4), (200, 4096)]:
        for share in [1, 8]:
            if share == 1 or architecture() == "sm_90a":
                cases.append((Quantize, dict(rows=rows, width=width, share=share)))
                cases.append((Quantize, dict(rows=rows, width=width, function=7, second=False, share=share, scale=0.05)))
        cases.append((Quantize, dict(rows=rows, width=width, function=1, first=3, extra=1)))
    for operation in range(11):
        cases.append((Elementwise, dict(rows=3, width=4096, operation=operation, second=operation < 9)))
        cases.append((Elementwise, dict(rows=5, width=131, operation=operation, second=operation in (0, 1, 8), first=2)))
    for int8 in [False, True]:
        for dim, rotary in [(128, 128), (128, 64), (80, 80), (96, 24), (20, 20), (64, 0), (256, 256), (13, 6)]:
            for interleaved in [False, True]:
                cases.append((Store, dict(rows=21, heads=6, kv_heads=2, dim=dim, rotary=rotary, interleaved=interleaved, int8=int8, extra=dim % 3)))
        cases.append((Store, dict(rows=1, int8=int8)))
        cases.append((Store, dict(rows=40, int8=int8, query=False, page_tokens=5)))
    failed, worst = 0, {}
    for kind, options in cases:
        error = kind(**options).check()
        worst[kind.__name__] = max(worst.get(kind.__name__, 0.0), error)
        if not error <= 1.0:
            failed += 1
            print(f"FAILED {error:.3g} {kind.__name__} {options}", flush=True)
    print(f"{len(cases)} cases, {failed} failed, shares of the allowed: {worst}")


def table():
    print(f"{torch.cuda.get_device_name()}: us, alone and with the next launch beginning early")
    for name, make in [
        ("add + rms norm", lambda rows: Norm(rows, 4096)),
        ("… quantised", lambda rows: Norm(rows, 4096, quantize=True)),
        ("silu · mul 14336", lambda rows: Elementwise(rows, 14336)),
        ("… quantised", lambda rows: Quantize(rows, 14336)),
        ("… in clusters", lambda rows: Quantize(rows, 14336, share=8)),
        ("rope + store f16", lambda rows: Store(rows)),
        ("rope + store int8", lambda rows: Store(rows, int8=True)),
    ]:
        times = []
        for rows in [1, 64, 2048]:
            op = make(rows)
            times += [f"{1e6 * seconds([lambda: op.launch(dependent)] * 50):8.2f}" for dependent in (False, True)]
        print(f"{name:>20}  1 row {times[0]} {times[1]}   64 {times[2]} {times[3]}   2048 {times[4]} {times[5]}", flush=True)


if __name__ == "__main__":
    torch.manual_seed(1)
    {"check": check, "table": table}[sys.argv[1]]()
