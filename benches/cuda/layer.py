"""The four products of a layer with one row, one after the other, as a step makes them: which shapes of stream.cu take how long.

    python3 benches/cuda/layer.py [formats]
    python3 benches/cuda/layer.py brief FORMATS     # only the shapes that are taken

Launches follow one another in a graph, each allowed to begin before the last has ended, for as many layers as L2 does not hold. The first
line of a format is the shape that ops/shapes.rs takes; then come others for all four products; then, product by product, the quickest for
it with the others left as they are, if that is quicker by more than the clock's noise.
"""

import sys

import torch

from formats import Matrix
from harness import seconds
from matvec import chosen, copy_speed
from product import Stream

# Features and columns, and whether the product is normalised on its way in and gated on its way out.
LAYERS = {
    "8B": [(6144, 4096, True, False), (4096, 4096, False, False), (28672, 4096, True, True), (4096, 14336, False, False)],
    "1B": [(3072, 2048, True, False), (2048, 2048, False, False), (16384, 2048, True, True), (2048, 8192, False, False)],
}
SHAPES = [dict(warps=w, teams=t, blocks=b, depth=d) for w, t, b, d in [
    (8, 2, 1, 3), (4, 4, 1, 3), (4, 4, 1, 4), (2, 8, 1, 3), (8, 1, 2, 3), (8, 1, 2, 4), (4, 3, 1, 4), (8, 3, 1, 2), (4, 5, 1, 3), (4, 6, 1, 2), (1, 14, 1, 3)]]
SHORT = [dict(warps=w, teams=t, blocks=b, depth=d) for w, t, b, d in [(8, 2, 1, 3), (4, 4, 1, 3), (2, 8, 1, 3), (8, 1, 2, 3)]]


class Layer:
    def __init__(self, name, shapes):
        self.multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
        self.products = []
        for n, k, norm, gated in shapes:
            first = Matrix(name, n, k, decoded=False)
            x = torch.randn(1, k, device="cuda")
            scales = None
            if name == "w8a8":
                x, scales, norm = torch.randint(-127, 128, (1, k), dtype=torch.int8, device="cuda"), torch.ones(1, device="cuda"), False
            weight = torch.randn(k, device="cuda") if norm else None
            self.products.append((first, x, scales, weight, gated, torch.empty(1, n, device="cuda")))
        self.bytes = sum(matrix.bytes() for matrix, *_ in self.products)
        # Enough that none is in L2 when it comes again.
        self.layers = max(2, -(-(200 << 20) // self.bytes))
        self.others = [[Matrix(name, n, k, decoded=False) for n, k, *_ in shapes] for _ in range(self.layers - 1)]

    def time(self, taken):
        """Seconds of a layer, whose products come in the shapes that `taken` says."""
        launches = []
        for layer in range(self.layers):
            for at, (first, x, scales, weight, gated, y) in enumerate(self.products):
                matrix = first if layer == 0 else self.others[layer - 1][at]
                variant = Stream(matrix, norm=weight, gated=gated, **taken[at])
                launches.append(variant.prepare(matrix, x, scales, y, self.multiprocessors))
        # Of each launch, of which a layer has four.
        return seconds(4 * launches, repeats=7) * 4


def told(taken):
    return " ".join(f"{s['warps']}x{s['teams']}b{s['blocks']}d{s['depth']}" for s in taken)


def table(names, model, all_shapes=True):
    copy = copy_speed()
    print(f"{torch.cuda.get_device_name(0)}: copy {copy / 1e12:.2f} TB/s; {model}", flush=True)
    for name in names:
        layer = Layer(name, LAYERS[model])
        first = chosen(layer.products[0][0].number)
        taken = [first] * 4
        best = layer.time(taken)
        tell = lambda what, time: print(f"{name:6} {what:48} {time * 1e6:6.1f} us/layer {layer.bytes / time / 1e12:5.2f} TB/s", flush=True)
        tell(told(taken[:1]), best)
        if not all_shapes:
            continue
        for shape in SHAPES:
            try:
                tell(told([shape]), layer.time([shape] * 4))
            except RuntimeError as error:
                print(f"{name} {told([shape])}: {error}")
        for at in range(4):
            for shape in SHORT:
                other = taken[:at] + [shape] + taken[at + 1:]
                time = layer.time(other)
                if time < 0.995 * best:
                    best, taken = time, other
        tell(told(taken), best)
        del layer


if __name__ == "__main__":
    if sys.argv[1:2] == ["brief"]:
        for model in LAYERS:
            table(sys.argv[2:], model, all_shapes=False)
    else:
        for model in LAYERS:
            table(sys.argv[1:] or ["f16", "int8", "nf4", "int4", "w8a8"], model)
