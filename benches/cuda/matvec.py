"""Products with one to eight rows: a test of each format, and the share of the memory's speed that each reaches.

    python3 benches/cuda/matvec.py check
    python3 benches/cuda/matvec.py table [formats]

The share is of what a copy within the device's memory reaches in the same run, reads and writes counted. Weights are rotated so that L2
does not hold them; launches follow one another in a graph, each allowed to begin before the last has ended.
"""

import sys

import torch

from formats import FORMATS, Matrix
from harness import seconds
from product import Stream

SHAPES = [(6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336), (128256, 4096)]
POISON = -12345.678


def operand(matrix, rows, first=0):
    """Rows for a matrix: what a kernel takes, scales, and what they are worth as it rounds them."""
    if matrix.name == "w8a8":
        codes = torch.zeros(rows, -(-matrix.cols // 64) * 64, dtype=torch.int8, device="cuda")
        codes[:, : matrix.cols] = torch.randint(-127, 128, (rows, matrix.cols), device="cuda")
        scales = torch.rand(rows, device="cuda") * 0.01 + 0.001
        return codes, scales, codes[:, : matrix.cols].double() * scales.double()[:, None]
    x = torch.randn(rows, matrix.cols + first, device="cuda")[:, first:]
    if matrix.name == "f32":
        return x, None, x.double()
    return x, None, x.half().double()


def check_one(name, rows, n, k, split, extras, gated=False, **shape):
    matrix = Matrix(name, n, k)
    x, scales, worth = operand(matrix, rows)
    norm = None
    if gated:
        norm = torch.randn(k, device="cuda")
        normed = x.double() * torch.rsqrt((x.double() ** 2).mean(1, keepdim=True) + 1e-5) * (1 + norm.double())
        worth = normed.half().double()
    y = torch.full((rows + 1, n), POISON, device="cuda")
    bias = torch.randn(n, device="cuda") if extras else None
    residual = torch.randn(rows, n, device="cuda") if extras and not gated else None
    factor = 0.75 if extras else 1.0
    variant = Stream(matrix, split=split, norm=norm, gated=gated, quads=k % 4 == 0, **shape)
    launch = variant.prepare(matrix, x, scales, y, torch.cuda.get_device_properties(0).multi_processor_count, bias, residual, factor)
    launch()
    launch()
    torch.cuda.synchronize()
    expected = worth @ matrix.decoded.T
    magnitude = worth.abs() @ matrix.decoded.abs().T
    if extras:
        expected = (expected + bias.double()) * factor + (0 if residual is None else residual.double())
        magnitude += 10
    # Sums in f32 lose a little at each step, mostly cancelling; a normalised row may be rounded to the neighbouring f16.
    unit = 2.0**-24 * (8 + k**0.5) + (2.0**-11 if gated else 0)
    out = y[:rows]
    if gated:
        gate, up = expected.chunk(2, 1)
        lost = magnitude * unit
        expected = torch.nn.functional.silu(gate) * up
        bound = (1.1 * lost[:, : n // 2] * up.abs() + lost[:, n // 2 :] * gate.abs() + lost[:, : n // 2] * lost[:, n // 2 :]) + 1e-6
        out = out[:, : n // 2]
    else:
        bound = magnitude * unit + 1e-12
    share = ((out.double() - expected).abs() / bound).max().item()
    beyond = (y[rows] != POISON).any().item() or (gated and (y[:, n // 2 :] != POISON).any().item())
    sound = share <= 1 and not beyond
    print(f"{'ok  ' if sound else 'FAIL'} {name:9} {rows}x{n}x{k} {variant.name} {variant.shape} extras={int(extras)} gated={int(gated)} share {share:.3f}"
          + (" wrote beyond its rows" if beyond else ""), flush=True)
    return sound


def check():
    sound = True
    for name in FORMATS:
        if name == "f32":
            continue
        # Teams of all sizes, of blocks with few tiles and with many.
        for warps, teams in [(8, 2), (4, 4), (2, 8), (1, 14)]:
            for rows, n, k, split in [(1, 40, 4096, None), (1, 4096, 14336, None), (3, 6000, 4100, 2), (8, 20000, 1000, None), (5, 9000, 300, None)]:
                sound &= check_one(name, rows, n, k, split, True, warps=warps, teams=teams, blocks=1, depth=3)
            if name != "w8a8":
                sound &= check_one(name, 1, 4254, 1000, None, True, gated=True, warps=warps, teams=teams, blocks=1, depth=3)
        for rows, n, k, split, extras in [(1, 64, 64, None, False), (3, 130, 200, None, True), (8, 17, 1001, 3, True), (5, 1023, 4100, 2, False),
                                          (1, 6144, 4096, None, True), (8, 4096, 14336, None, True), (2, 31, 33, 2, False)]:
            sound &= check_one(name, rows, n, k, split, extras)
        if name != "w8a8":
            sound &= check_one(name, 1, 254, 1000, None, True, gated=True)
            sound &= check_one(name, 1, 4096, 4096, None, False, gated=True)
    return sound


def copy_speed():
    a = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    return 2 * a.numel() / seconds([lambda: b.copy_(a)] * 4)


def chosen(number):
    """The shape that ops/shapes.rs takes for a format, on a device with as much shared memory as an H200."""
    four_bits = dict(warps=4, teams=4, blocks=1, depth=3)
    return {4: four_bits, 5: four_bits, 6: dict(warps=8, teams=1, blocks=2, depth=4)}.get(number, dict(warps=8, teams=2, blocks=1, depth=3))


def variants(matrix, rows):
    """What is worth comparing, the shape that is taken first."""
    yield Stream(matrix, **chosen(matrix.number))
    if rows == 1:
        for warps, teams, depth in [(8, 1, 3), (8, 3, 2), (16, 1, 3)]:
            yield Stream(matrix, warps=warps, teams=teams, blocks=2 if teams == 1 and warps == 8 else 1, depth=depth)


def table(names):
    multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
    copy = copy_speed()
    print(f"{torch.cuda.get_device_name(0)}: copy {copy / 1e12:.2f} TB/s", flush=True)
    for name in names:
        for n, k in SHAPES:
            if n > 100000 and name not in ("f16", "int8", "nf4"):
                continue
            first = Matrix(name, n, k, decoded=False)
            copies = max(2, min(16, (400 << 20) // first.bytes()))
            matrices = [first] + [Matrix(name, n, k, decoded=False) for _ in range(copies - 1)]
            parts = []
            for rows in [1, 2, 4, 8]:
                x, scales, _ = operand(first, rows)
                y = torch.empty(rows, n, device="cuda")
                times = []
                for variant in variants(first, rows):
                    launches = [variant.prepare(m, x, scales, y, multiprocessors) for m in matrices]
                    time = seconds([launches[i % copies] for i in range(max(copies, 32))])
                    times.append(f"{variant.name} {time * 1e6:6.1f}us {first.bytes() / time / copy:4.0%} {variant.shape}")
                parts.append(f"rows {rows}: " + ", ".join(times))
            print(f"{name:9} N {n:6} K {k:5} {first.bytes() / 1e6:6.1f} MB | " + " | ".join(parts), flush=True)
            del matrices, first


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        sys.exit(0 if check() else 1)
    elif sys.argv[1:2] == ["table"]:
        table(sys.argv[2:] or ["f16", "int8", "nf4", "int4", "w8a8", "bf16"])
    else:
        sys.exit(__doc__)
