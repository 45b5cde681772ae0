"""Matrices in the weight formats of backends/src/format, of random codes and scales, and what they decode to."""

import torch

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]

# Number of the format in shaders/linear/decode.cuh, weights that share a scale, bits of a code.
FORMATS = {
    "f32": (0, 64, 32), "f16": (1, 64, 16), "bf16": (2, 64, 16), "int8-g32": (3, 32, 8), "int8": (3, 64, 8), "int8-g128": (3, 128, 8),
    "nf4": (4, 64, 4), "int4-g32": (5, 32, 4), "int4-g64": (5, 64, 4), "int4": (5, 128, 4), "w8a8": (6, 64, 8),
}


def round_up(number, multiple):
    return -(-number // multiple) * multiple


class Matrix:
    """`rows` features of `cols` weights: bytes of codes padded to 128, scales padded to 16 bytes."""

    def __init__(self, name, rows, cols, decoded=True):
        self.name, self.rows, self.cols = name, rows, cols
        self.number, self.group, self.bits = FORMATS[name]
        self.row_bytes = round_up(-(-cols * self.bits // 8), 128)
        self.scales, self.row_scales = None, 0
        values = self.row_bytes * 8 // self.bits
        if self.bits >= 16:
            dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[name]
            whole = torch.zeros(rows, values, dtype=dtype, device="cuda")
            whole[:, :cols] = torch.randn(rows, cols, device="cuda") * 0.05
            self.codes = whole.view(torch.uint8).view(rows, self.row_bytes)
            self.decoded = whole[:, :cols].double() if decoded else None
            return
        self.codes = torch.randint(0, 256, (rows, self.row_bytes), dtype=torch.uint8, device="cuda")
        if name == "w8a8":
            self.codes[self.codes == 128] = 0
            self.codes[:, cols:] = 0
            self.scales = torch.rand(rows, device="cuda") * 0.01 + 0.001
            self.decoded = self.codes.view(torch.int8)[:, :cols].double() * self.scales.double()[:, None] if decoded else None
            return
        groups = values // self.group
        scale = (torch.rand(rows, groups, device="cuda") * 0.1 + 0.01).half()
        zero = torch.randint(0, 17, (rows, groups), device="cuda").half()
        if self.bits == 8:
            self.codes[self.codes == 128] = 0
            numbers = self.codes.view(torch.int8).float() if decoded else None
            scale = scale * 0.05
        elif decoded:
            numbers = torch.stack([self.codes & 15, self.codes >> 4], dim=2).view(rows, values)
        entries = 2 if self.number == 5 else 1
        self.row_scales = round_up(groups * 2 * entries, 16)
        padded = torch.zeros(rows, self.row_scales // 2, dtype=torch.float16, device="cuda")
        if entries == 2:
            padded[:, : 2 * groups] = torch.stack([scale, zero], dim=2).view(rows, 2 * groups)
        else:
            padded[:, :groups] = scale
        self.scales = padded
        self.decoded = None
        if decoded:
            spread = scale.double().repeat_interleave(self.group, 1)
            if self.number == 4:
                book = torch.tensor(NF4, device="cuda")
                self.exact = (book.double()[numbers.long()] * spread)[:, :cols]
                # Matrix units take the codebook rounded to f16.
                numbers = book.half().double()[numbers.long()]
            elif self.number == 5:
                numbers = numbers.double() - zero.double().repeat_interleave(self.group, 1)
            self.decoded = (numbers.double() * spread)[:, :cols]

    def bytes(self):
        return self.codes.numel() + (0 if self.scales is None else self.scales.numel() * self.scales.element_size())
