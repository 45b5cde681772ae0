"""Products of all formats with some to many rows of f32 activations: a test of each kernel, and which is the fastest for how many rows.

    python3 benches/cuda/mixed.py check
    python3 benches/cuda/mixed.py table [formats]

Times hold all launches that a product takes, packing of activations and unpacking of weights too. Weights are rotated so that L2 does
not hold them.
"""

import sys

import torch

from formats import FORMATS, Matrix
from harness import seconds
from matvec import POISON, operand
from product import Simt, Stream, TilesMma, Unpacked

SHAPES = [(4096, 4096), (28672, 4096), (4096, 14336)]


def multiprocessors():
    return torch.cuda.get_device_properties(0).multi_processor_count


def check_one(variant, matrix, rows, extras, exact=False, weights_rounded=False, first=0):
    x, scales, worth = operand(matrix, rows, first)
    weights = matrix.decoded
    if exact:
        worth = x.double() if matrix.name != "w8a8" else worth
        weights = matrix.exact if matrix.name == "nf4" else weights
    if weights_rounded:
        weights = (matrix.exact if matrix.name == "nf4" else weights).half().double()
    n, k = matrix.rows, matrix.cols
    y = torch.full((rows + 1, n), POISON, device="cuda")
    bias = torch.randn(n, device="cuda") if extras else None
    residual = torch.randn(rows, n, device="cuda") if extras else None
    factor = 0.75 if extras else 1.0
    launch = variant.prepare(matrix, x, scales, y, multiprocessors(), bias, residual, factor)
    launch()
    launch()
    torch.cuda.synchronize()
    expected = worth @ weights.T
    magnitude = worth.abs() @ weights.abs().T
    if extras:
        expected = (expected + bias.double()) * factor + residual.double()
        magnitude += 10
    bound = magnitude * 2.0**-24 * (8 + k**0.5) + 1e-12
    share = ((y[:rows].double() - expected).abs() / bound).max().item()
    beyond = (y[rows] != POISON).any().item()
    sound = share <= 1 and not beyond
    print(f"{'ok  ' if sound else 'FAIL'} {matrix.name:9} {rows}x{n}x{k} {variant.shape} extras={int(extras)} share {share:.3f}"
          + (" wrote beyond its rows" if beyond else ""), flush=True)
    return sound


def check():
    sound = True
    for name in FORMATS:
        for n, k, extras in [(64, 64, False), (257, 1001, True), (1023, 4100, False)]:
            matrix = Matrix(name, n, k)
            for entry, rows in [("few", 1), ("few", 5), ("tiles", 9), ("tiles", 130)]:
                sound &= check_one(Simt(matrix, entry, k % 4 == 0), matrix, rows, extras, exact=True)
            if name == "f32":
                continue
            for rows, variant in [(9, TilesMma(matrix, 16)), (31, TilesMma(matrix, 32, 64, 4, 3)), (70, TilesMma(matrix, 64, 128, 2, 2)),
                                  (200, TilesMma(matrix, 128, 64, 3))]:
                sound &= check_one(variant, matrix, rows, extras)
            if name != "w8a8":
                sound &= check_one(Unpacked(matrix, 256), matrix, 300, extras, weights_rounded=True)
    return sound


def table(names):
    print(torch.cuda.get_device_name(0))
    for name in names:
        for n, k in SHAPES:
            first = Matrix(name, n, k, decoded=False)
            copies = max(2, min(8, (200 << 20) // first.bytes()))
            matrices = [first] + [Matrix(name, n, k, decoded=False) for _ in range(copies - 1)]
            for rows in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048]:
                x, scales, _ = operand(first, rows)
                y = torch.empty(rows, n, device="cuda")
                few = {4: dict(depth=3, chunk=64, SEGMENTS=1), 5: dict(depth=3, SEGMENTS=1)}.get(first.number, dict(depth=4))
                variants = [Stream(first, **few)] if rows <= 8 else []
                tile = 16 if rows <= 16 else 32 if rows <= 32 else 64
                if 8 <= rows <= 256:
                    variants += [TilesMma(first, tile, 128, 3, split) for split in ([1, 2] if n > 20000 else [2, 4, 8])]
                if rows >= 128 and rows <= 256:
                    variants += [TilesMma(first, 128, 64, 3, 1)]
                if rows >= 128 and name != "w8a8":
                    variants += [Unpacked(first, 4096)] + ([Unpacked(first, 4096, 128, 6)] if rows <= 512 else [])
                parts = []
                for variant in variants:
                    try:
                        launches = [variant.prepare(m, x, scales, y, multiprocessors()) for m in matrices]
                        time = seconds([launches[i % copies] for i in range(max(copies, 8))], 3)
                        parts.append((time, variant.name))
                    except RuntimeError as error:
                        parts.append((9.0, f"{variant.name} {str(error)[:40]}"))
                parts.sort()
                best = parts[0][0]
                print(f"{name:6} N {n:6} K {k:5} rows {rows:5}: {first.bytes() / best / 1e12:5.2f} TB/s {2e-12 * rows * n * k / best:5.0f} TFLOP/s | "
                      + ", ".join(f"{time * 1e6:.1f} {what}" for time, what in parts), flush=True)
            del matrices, first


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        sys.exit(0 if check() else 1)
    elif sys.argv[1:2] == ["table"]:
        table(sys.argv[2:] or ["int8", "nf4", "int4", "bf16"])
    else:
        sys.exit(__doc__)
