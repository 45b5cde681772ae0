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


KINDS = {"int8": 0, "f16": 1, "bf16": 2}
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
        shared = self.stages * 128 * (128 + self.tile_features) + 1024
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
