"""Launches of the products with weight matrices (shaders/linear), as backends/src/cuda/ops/linear chooses them."""

import ctypes

from harness import Kernel, architecture, step, tensor_map


class Product(ctypes.Structure):
    """`Product` of shaders/linear/product.cuh."""

    _fields_ = [(name, ctypes.c_uint64) for name in
                ["codes", "scales", "x", "x_scales", "y", "bias", "residual", "parts", "arrived"]] + [
        (name, ctypes.c_uint32) for name in
        ["features", "cols", "row_bytes", "row_scales", "x_stride", "y_stride", "residual_stride", "selected", "slots"]] + [
        ("factor", ctypes.c_float), ("split", ctypes.c_uint32), ("padding", ctypes.c_uint32)]


class WithMaps(ctypes.Structure):
    """`Params` of shaders/linear/wgmma.cuh."""

    _fields_ = [("x_map", ctypes.c_uint64 * 16), ("w_map", ctypes.c_uint64 * 16), ("product", Product), ("padding", ctypes.c_uint32 * 2)]


KINDS = {"int8": 0, "f16": 1}
_kernels = {}


def kernel(name, entry, **defines):
    key = (name, entry, tuple(sorted(defines.items())))
    if key not in _kernels:
        _kernels[key] = Kernel(name, entry, architecture(), **defines)
    return _kernels[key]


def address(tensor):
    return 0 if tensor is None else tensor.data_ptr()


def product(codes, scales, x, x_scales, y, bias=None, residual=None, factor=1.0, split=1):
    """Parameters for tensors whose rows lie in bytes: `codes` and `x` are 2-D, of one byte or two."""
    return Product(
        codes=address(codes), scales=address(scales), x=address(x), x_scales=address(x_scales), y=address(y),
        bias=address(bias), residual=address(residual), features=codes.shape[0], cols=x.shape[1],
        row_bytes=codes.stride(0) * codes.element_size(), x_stride=x.stride(0) * x.element_size(), y_stride=y.stride(0),
        residual_stride=0 if residual is None else residual.stride(0), slots=1, factor=factor, split=split)


def with_maps(p, x, codes, x_box, w_box):
    params = WithMaps(product=p)
    params.x_map[:] = tensor_map(x.data_ptr(), x.shape[1] * x.element_size(), x.shape[0], x.stride(0) * x.element_size(), x_box)
    params.w_map[:] = tensor_map(codes.data_ptr(), codes.stride(0) * codes.element_size(), codes.shape[0],
                                 codes.stride(0) * codes.element_size(), w_box)
    return params


class Tiles:
    """tiles_wgmma.cu"""

    def __init__(self, kind, tile_features=256, stages=4, group=8):
        self.tile_features, self.stages, self.group = tile_features, stages, group
        self.kernel = kernel("linear/tiles_wgmma.cu", "tiles", KIND=KINDS[kind], TILE_FEATURES=tile_features, STAGES=stages, GROUP=group)
        self.name = f"tiles 128x{tile_features} s{stages} g{group}"

    def prepare(self, p, x, codes, multiprocessors):
        params = with_maps(p, x, codes, 128, self.tile_features // 2)
        at = step(x.shape[0])
        tiles = -(-x.shape[0] // 256) * -(-codes.shape[0] // self.tile_features)
        grid = [2 * min(multiprocessors // 2, tiles)]
        shared = self.stages * 128 * (128 + self.tile_features) + 8 * 16 * 36 * 4 + 1024
        return lambda: self.kernel.launch(params, at, grid, 384, shared, cluster=2, dependent=True)


class Split:
    """split_wgmma.cu"""

    def __init__(self, kind, rows=64, features=128, stages=4, split=4):
        self.rows, self.features, self.stages, self.split = rows, features, stages, split
        self.kernel = kernel("linear/split_wgmma.cu", "split", KIND=KINDS[kind], TILE_ROWS=rows, TILE_FEATURES=features, STAGES=stages)
        self.name = f"split {rows}x{features} s{stages} k{split}"

    def prepare(self, p, x, codes, multiprocessors):
        p = Product.from_buffer_copy(p)
        p.split = self.split
        params = with_maps(p, x, codes, self.rows, self.features)
        at = step(x.shape[0])
        tiles = -(-x.shape[0] // self.rows) * -(-codes.shape[0] // self.features)
        shared = max(self.stages * 128 * (self.rows + self.features), 4 * self.rows * (self.features + 8)) + 1024
        return lambda: self.kernel.launch(params, at, [tiles * self.split], 128 + 2 * self.rows, shared, cluster=self.split, dependent=True)


class WithNorm(ctypes.Structure):
    """`Params` of shaders/linear/stream.cu."""

    _fields_ = [("product", Product), ("norm_weight", ctypes.c_uint64), ("norm_epsilon", ctypes.c_float), ("norm_offset", ctypes.c_float),
                ("function", ctypes.c_uint32), ("padding", ctypes.c_uint32),
                # Where queries, keys and values go: nowhere here.
                ("stored", ctypes.c_uint64 * 8)]


SCRATCH = {}


def scratch(name, size):
    """Memory that is zero, and left so."""
    import torch

    if name not in SCRATCH or SCRATCH[name].numel() < size:
        SCRATCH[name] = torch.zeros(size, dtype=torch.int32, device="cuda")
    return SCRATCH[name]


class Stream:
    """stream.cu for a matrix of formats.py. `x` is f32, or codes with `x_scales`."""

    def __init__(self, matrix, depth=4, split=None, norm=None, gated=False, quads=True, warps=8, teams=1, chunk=128, blocks=3, **more):
        self.teams = teams
        self.depth, self.wanted_split, self.norm, self.gated, self.warps, self.chunk = depth, split, norm, gated, warps, chunk
        defines = {"FORMAT": matrix.number, "GROUP": matrix.group, "DEPTH": depth, "NORM": int(norm is not None), "GATED": int(gated),
                   "QUADS": int(quads), "WARPS": warps, "TEAMS": teams, "CHUNK": chunk, "BLOCKS": blocks, **more}
        self.kernel = kernel("linear/stream.cu", "stream", **defines)
        self.name = f"d{depth} w{warps} t{teams} c{chunk} b{blocks}" + "".join(f" {key[0]}{value}" for key, value in more.items())

    def prepare(self, matrix, x, x_scales, y, multiprocessors, bias=None, residual=None, factor=1.0):
        rows = x.shape[0]
        chunk_k = self.chunk * 8 // matrix.bits
        chunks = matrix.row_bytes // self.chunk
        scales = {3: max(4, chunk_k // matrix.group * 2), 4: chunk_k // 64 * 2, 5: max(4, chunk_k // matrix.group * 4)}.get(matrix.number, 0)
        ring = 2 * 512 * self.warps * self.teams + self.warps * self.teams * self.depth * 16 * (self.chunk + scales)
        size = 1 if matrix.number == 6 else 2
        split = self.wanted_split or 1
        while rows * (-(-chunks // split) * chunk_k * size + 64) > 96 << 10:
            split += 1
        shared = ring + rows * (-(-chunks // split) * chunk_k * size + 64)
        tiles = -(-(matrix.rows // 2) // 8) if self.gated else -(-matrix.rows // 16)
        blocks = max(1, self.kernel.blocks_at_once(32 * self.warps * self.teams, shared))
        p = Product(
            codes=address(matrix.codes), scales=address(matrix.scales), x=address(x), x_scales=address(x_scales), y=address(y),
            bias=address(bias), residual=address(residual), features=matrix.rows, cols=matrix.cols, row_bytes=matrix.row_bytes,
            row_scales=matrix.row_scales, x_stride=x.stride(0), y_stride=y.stride(0),
            residual_stride=0 if residual is None else residual.stride(0), slots=1, factor=factor, split=split,
            parts=address(scratch("parts", tiles * split * 128)), arrived=address(scratch("arrived", tiles)))
        params = WithNorm(product=p, norm_weight=address(self.norm), norm_epsilon=1e-5, norm_offset=1.0)
        at = step(rows)
        grid = [min(tiles, max(1, multiprocessors * blocks // split)) * split]
        self.shape = f"grid {grid[0]} k{split} {shared >> 10}K b{blocks}"
        return lambda: self.kernel.launch(params, at, grid, 32 * self.warps * self.teams, shared, dependent=True)


class Bare(ctypes.Structure):
    """`Params` of shaders/linear/tiles_mma.cu and simt.cu."""

    _fields_ = [("product", Product)]


class Pack(ctypes.Structure):
    """`Params` of shaders/linear/pack.cu."""

    _fields_ = [("x", ctypes.c_uint64), ("packed", ctypes.c_uint64)] + [
        (name, ctypes.c_uint32) for name in ["cols", "stride", "row_bytes", "selected", "slots", "padding"]]


class Unpack(ctypes.Structure):
    """`Params` of shaders/linear/unpack.cu."""

    _fields_ = [("codes", ctypes.c_uint64), ("scales", ctypes.c_uint64), ("unpacked", ctypes.c_uint64)] + [
        (name, ctypes.c_uint32) for name in ["row_bytes", "row_scales", "cols", "to_bytes", "first", "features"]]


def of_matrix(matrix, x, x_scales, y, bias=None, residual=None, factor=1.0, split=1):
    return Product(
        codes=address(matrix.codes), scales=address(matrix.scales), x=address(x), x_scales=address(x_scales), y=address(y),
        bias=address(bias), residual=address(residual), features=matrix.rows, cols=matrix.cols, row_bytes=matrix.row_bytes,
        row_scales=matrix.row_scales, x_stride=x.stride(0), y_stride=y.stride(0),
        residual_stride=0 if residual is None else residual.stride(0), slots=1, factor=factor, split=split)


def packed(matrix, x, order):
    """A launch that packs f32 rows, and where they then are."""
    import torch

    rows, cols = x.shape
    row_bytes = matrix.row_bytes * 8 // matrix.bits * 2
    to = torch.empty(rows, row_bytes, dtype=torch.uint8, device="cuda")
    quads = x.stride(0) % 4 == 0 and cols % 4 == 0 and x.data_ptr() % 16 == 0
    pack = kernel("linear/pack.cu", "pack", QUADS=int(quads), ORDER=order)
    params = Pack(x=address(x), packed=address(to), cols=cols, stride=x.stride(0), row_bytes=row_bytes, slots=1)
    at = step(rows)
    return to, lambda: pack.launch(params, at, [-(-rows * row_bytes // 16 // 256)], 256, dependent=True)


class TilesMma:
    """pack.cu and tiles_mma.cu"""

    def __init__(self, matrix, rows=64, chunk=128, stages=3, split=1):
        self.rows, self.chunk, self.stages, self.split = rows, chunk, stages, split
        self.kernel = kernel("linear/tiles_mma.cu", "tiles", FORMAT=matrix.number, GROUP=matrix.group, TILE_ROWS=rows, CHUNK=chunk, STAGES=stages)
        self.name = f"mma {rows} c{chunk} s{stages} k{split}"

    def prepare(self, matrix, x, x_scales, y, multiprocessors, bias=None, residual=None, factor=1.0):
        rows = x.shape[0]
        pack = None
        to = x
        if matrix.number != 6:
            to, pack = packed(matrix, x, int(matrix.number == 5))
        p = of_matrix(matrix, to, x_scales, y, bias, residual, factor, self.split)
        tiles = -(-rows // self.rows) * -(-matrix.rows // 128)
        if self.split > 1:
            p.parts, p.arrived = address(scratch("parts", tiles * self.split * 128 * self.rows)), address(scratch("arrived", tiles))
        params = Bare(product=p)
        at = step(rows)
        chunk_k = self.chunk * 8 // matrix.bits
        scale_bytes = {3: max(4, chunk_k // matrix.group * 2), 4: max(4, chunk_k // 64 * 2), 5: max(4, chunk_k // matrix.group * 4)}.get(matrix.number, 0)
        pitch = chunk_k // (16 if matrix.number == 6 else 8) * 16 + 64
        shared = self.stages * (128 * self.chunk + self.rows * pitch + 128 * scale_bytes)
        threads = 256 if self.rows >= 64 else 128
        self.shape = f"{self.name} {shared >> 10}K"

        def launch(held=(to, x, x_scales)):
            if pack:
                pack()
            self.kernel.launch(params, at, [tiles * self.split], threads, shared, dependent=True)

        return launch


class Simt:
    """simt.cu"""

    def __init__(self, matrix, entry, quads):
        self.entry, self.name, self.shape = entry, f"simt {entry}", f"simt {entry}"
        self.kernel = kernel("linear/simt.cu", entry, FORMAT=matrix.number, GROUP=matrix.group, QUADS=int(quads))

    def prepare(self, matrix, x, x_scales, y, multiprocessors, bias=None, residual=None, factor=1.0):
        params = Bare(product=of_matrix(matrix, x, x_scales, y, bias, residual, factor))
        at = step(x.shape[0])
        blocks = -(-matrix.rows // 8) if self.entry == "few" else -(-matrix.rows // 64) * -(-x.shape[0] // 64)
        return lambda: self.kernel.launch(params, at, [blocks], 256, dependent=True)


class Unpacked:
    """unpack.cu in pieces of so many features, each followed by tiles_wgmma.cu; after pack.cu"""

    def __init__(self, matrix, features=4096, tile_features=256, stages=4):
        self.features, self.tile_features, self.stages = features, tile_features, stages
        self.name = self.shape = f"unpacked {features} {tile_features}"
        self.unpack = kernel("linear/unpack.cu", "unpack", FORMAT=matrix.number, GROUP=matrix.group) if matrix.number != 1 else None
        self.tiles = kernel("linear/tiles_wgmma.cu", "tiles", KIND=1, TILE_FEATURES=tile_features, STAGES=stages, GROUP=8)

    def prepare(self, matrix, x, x_scales, y, multiprocessors, bias=None, residual=None, factor=1.0):
        import torch

        to, pack = packed(matrix, x, 0)
        row_bytes = to.shape[1]
        rows = x.shape[0]
        at = step(rows)
        launches = [pack]
        room = scratch("unpacked", self.features * row_bytes // 4).view(torch.uint8) if self.unpack else None
        shared = self.stages * 128 * (128 + self.tile_features) + 8 * 16 * 36 * 4 + 1024
        for first in range(0, matrix.rows, self.features if self.unpack else matrix.rows):
            count = min(self.features, matrix.rows - first) if self.unpack else matrix.rows
            if self.unpack:
                w = room[: count * row_bytes].view(count, row_bytes)
                params = Unpack(codes=address(matrix.codes), scales=address(matrix.scales), unpacked=address(w), row_bytes=matrix.row_bytes,
                                row_scales=matrix.row_scales, cols=matrix.cols, to_bytes=row_bytes, first=first, features=count)
                launches.append(lambda p=params, n=count: self.unpack.launch(p, at, [-(-n * row_bytes // 16 // 256)], 256, dependent=True))
            else:
                w = matrix.codes
            p = of_matrix(matrix, to, x_scales, y, bias, residual, factor)
            p.features, p.row_bytes, p.x_stride = count, row_bytes, row_bytes
            p.y += 4 * first
            p.bias += 4 * first if p.bias else 0
            p.residual += 4 * first if p.residual else 0
            tiles = with_maps(p, to, w, 128, self.tile_features // 2)
            grid = [2 * min(multiprocessors // 2, -(-rows // 256) * -(-count // self.tile_features))]
            launches.append(lambda p=tiles, g=grid: self.tiles.launch(p, at, g, 384, shared, cluster=2, dependent=True))

        def launch(held=(to, x, room)):
            for one in launches:
                one()

        return launch
