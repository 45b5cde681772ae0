"""Products with many and with some dozens of rows, beside torch: a test of each kernel, and tables of speed.

    python3 benches/cuda/gemm.py check            # against float64
    python3 benches/cuda/gemm.py table [int8|f16] # TFLOP/s (TOPS), random numbers, weights rotated so that L2 does not hold them

The int8 product takes codes and scales and writes f32, its residual added; torch's fp16 product writes fp16, `_int_mm` int32.
"""

import sys

import torch

from harness import seconds
from product import Split, Tiles, product

SHAPES = [(4096, 4096), (11008, 4096), (4096, 11008), (14336, 4096), (28672, 4096)]
POISON = -12345.678


def padded(rows, cols, dtype, multiple):
    """A matrix whose rows are padded with zeros to a multiple of so many bytes."""
    size = torch.empty(0, dtype=dtype).element_size()
    stride = -(-cols * size // multiple) * multiple // size
    whole = torch.zeros(rows, stride, dtype=dtype, device="cuda")
    return whole, whole[:, :cols]


def operands(kind, m, n, k):
    """x, w (whole, with padding), their scales, and both as float64."""
    if kind == "int8":
        x, x_part = padded(m, k, torch.int8, 64)
        w, w_part = padded(n, k, torch.int8, 128)
        x_part.copy_(torch.randint(-127, 128, (m, k), device="cuda"))
        w_part.copy_(torch.randint(-127, 128, (n, k), device="cuda"))
        x_scales = torch.rand(m, device="cuda") * 0.02 + 0.001
        w_scales = torch.rand(n, device="cuda") * 0.02 + 0.001
        return x, w, x_scales, w_scales, x_part.double() * x_scales.double()[:, None], w_part.double() * w_scales.double()[:, None]
    dtype = torch.float16
    x, x_part = padded(m, k, dtype, 128)
    w, w_part = padded(n, k, dtype, 128)
    x_part.copy_(torch.randn(m, k, device="cuda"))
    w_part.copy_(torch.randn(n, k, device="cuda") * 0.05)
    return x, w, None, None, x_part.double(), w_part.double()


def check_one(variant, kind, m, n, k, extras):
    x, w, x_scales, w_scales, x64, w64 = operands(kind, m, n, k)
    y = torch.full((m + 1, n), POISON, device="cuda")
    bias = torch.randn(n, device="cuda") if extras else None
    residual = torch.randn(m, n + 3, device="cuda")[:, :n] if extras else None
    factor = 0.75 if extras else 1.0
    p = product(w, w_scales, x, x_scales, y, bias, residual, factor)
    variant.prepare(p, x, w, torch.cuda.get_device_properties(0).multi_processor_count)()
    torch.cuda.synchronize()
    expected = x64 @ w64.T
    magnitude = x64.abs() @ w64.abs().T
    if extras:
        expected = (expected + bias.double()) * factor + residual.double()
        magnitude += 10
    # int8 sums are exact and then rounded a few times; sums in f32 lose a little at each of K steps, mostly cancelling.
    unit = 2.0**-22 if kind == "int8" else 2.0**-24 * (8 + k**0.5)
    share = ((y[:m].double() - expected).abs() / (magnitude * unit + 1e-12)).max().item()
    beyond = (y[m] != POISON).any().item()
    sound = share <= 1 and not beyond
    print(f"{'ok  ' if sound else 'FAIL'} {variant.name:24} {kind:5} {m}x{n}x{k} extras={int(extras)} share {share:.3f}"
          + (" wrote beyond its rows" if beyond else ""), flush=True)
    return sound


def variants_to_check(kind):
    yield Tiles(kind)
    yield Tiles(kind, tile_features=128, stages=6)
    yield Split(kind, 64, 128, 4, 4)
    yield Split(kind, 128, 128, 3, 2)
    yield Split(kind, 128, 256, 4, 1)
    yield Split(kind, 256, 128, 4, 8)
    yield Split(kind, 64, 64, 6, 8)


def check():
    sound = True
    for kind in ["int8", "f16"]:
        for variant in variants_to_check(kind):
            for m, n, k, extras in [(1, 64, 64, False), (3, 130, 200, True), (17, 257, 1000, True), (200, 1023, 328, False),
                                    (300, 512, 4096, True), (1025, 1544, 700, True)]:
                try:
                    sound &= check_one(variant, kind, m, n, k, extras)
                except RuntimeError as error:
                    print("FAIL", variant.name, kind, m, n, k, error, flush=True)
                    return False
    return sound


def rate(calls, m, n, k):
    return 2.0 * m * n * k / seconds(calls) / 1e12


def table_one(kind, m, n, k, variants):
    """A line: torch's fp16 product, torch's int8 product, and ours."""
    copies = max(2, min(24, (160 << 20) // (n * k)))
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    calls = max(copies, min(100, int(2e-3 * 8e14 / (2.0 * m * n * k))))
    halves = [torch.randn(n, k, device="cuda", dtype=torch.float16) for _ in range(copies)]
    x16 = torch.randn(m, k, device="cuda", dtype=torch.float16)
    out16 = torch.empty(m, n, device="cuda", dtype=torch.float16)
    f16 = rate([lambda i=i: torch.matmul(x16, halves[i % copies].T, out=out16) for i in range(calls)], m, n, k)
    x, w, x_scales, w_scales, _, _ = operands(kind, m, n, k)
    ws = [w] + [w.roll(i + 1, 0) for i in range(copies - 1)]
    del halves
    parts = [f"torch f16 {f16:6.0f}"]
    if kind == "int8" and m > 16:
        out32 = torch.empty(m, n, device="cuda", dtype=torch.int32)
        try:
            int8 = rate([lambda i=i: torch._int_mm(x, ws[i % copies].T, out=out32) for i in range(calls)], m, n, k)
            parts.append(f"_int_mm {int8:6.0f}")
        except RuntimeError as error:
            parts.append(f"_int_mm {str(error)[:20]}")
    y = torch.empty(m, n, device="cuda")
    residual = torch.randn(m, n, device="cuda")
    best = 0
    for variant in variants:
        for extra in [None, residual]:
            launches = [variant.prepare(product(w, w_scales, x, x_scales, y, None, extra), x, w, multiprocessors) for w in ws]
            ours = rate([launches[i % copies] for i in range(calls)], m, n, k)
            best = max(best, ours)
            parts.append(f"{variant.name}{' +res' if extra is not None else ''} {ours:6.0f}")
    print(f"{kind} M {m:5} N {n:5} K {k:5}: x{best / f16:4.2f} | " + " | ".join(parts), flush=True)


def variants(kind, m, n, multiprocessors):
    """What backends/src/cuda/ops/shapes.rs takes for so many rows, and what is next to it."""
    few = -(-n // 64) < multiprocessors
    if m <= 256:
        rows, stages = (64, 6) if m <= 64 else (128, 4) if m <= 128 else (256, 5)
        chosen = [Split(kind, rows, 64, stages, 2 if few else 1), Split(kind, rows, 64, stages, 1 if few else 2)]
        if m <= 128 or few:
            return chosen
    if m <= 512:
        return [Tiles(kind, 128, 6), Tiles(kind)]
    return [Tiles(kind)]


def table(kind):
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    print(torch.cuda.get_device_name(0))
    for n, k in SHAPES:
        for m in [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]:
            table_one(kind, m, n, k, variants(kind, m, n, multiprocessors))


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        sys.exit(0 if check() else 1)
    elif sys.argv[1:2] == ["table"]:
        for name in sys.argv[2:] or ["int8", "f16"]:
            table(name)
    else:
        sys.exit(__doc__)
