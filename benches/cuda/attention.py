"""Attention over pages: a test of its kernels against float64, and tables of speed beside torch.

    python3 benches/cuda/attention.py check      # heads, sizes, pages, windows, caps, sinks, one sequence and a hundred
    python3 benches/cuda/attention.py decode     # one row of a sequence, in shares of the bandwidth of a copy
    python3 benches/cuda/attention.py prefill    # many rows, TFLOP/s

Layers take turns, each with a cache of its own, so that what L2 holds is what it would hold in a model.
"""

import ctypes
import math
import random
import struct
import sys

import torch

from harness import Kernel, architecture, seconds

FEW = 8
DEVICE = "cuda"


class Pool:
    """Pages of keys and values of sequences, in shuffled order; what holds nothing is NaN."""

    def __init__(self, contexts, kv_heads, dim, page_tokens, int8, spare=3):
        self.kv_heads, self.dim, self.page_tokens, self.int8 = kv_heads, dim, page_tokens, int8
        self.contexts = contexts
        counts = [-(-context // page_tokens) for context in contexts]
        order = torch.randperm(sum(counts) + spare)
        self.pages, at = [], 0
        for count in counts:
            self.pages.append(order[at:at + count])
            at += count
        elements = -(-dim // (16 if int8 else 8)) * (16 if int8 else 8)
        self.vector_bytes = elements * (1 if int8 else 2)
        shape = (len(order), kv_heads, page_tokens, elements)
        self.k, self.v = (self.make(shape) for _ in range(2))

    def make(self, shape):
        *place, elements = shape
        x = torch.randn(*place, self.dim, device=DEVICE)
        live = torch.zeros(place[0], place[2], dtype=torch.bool)
        for context, pages in zip(self.contexts, self.pages):
            full = context // self.page_tokens
            live[pages[:full]] = True
            live[pages[full:], :context % self.page_tokens] = True
        dead = ~live.to(DEVICE)[:, None, :].expand(place)
        if self.int8:
            scales = (x.abs().amax(-1) / 127).half()
            codes = (x / scales[..., None].float()).round().clamp(-127, 127)
            numbers = codes.double() * scales[..., None].double()
            scales[dead] = math.nan
            stored = torch.zeros(shape, dtype=torch.int8, device=DEVICE)
            stored[..., :self.dim] = codes.to(torch.int8)
            stored[dead] = 77
            return stored, scales.contiguous(), numbers
        stored = torch.zeros(shape, dtype=torch.half, device=DEVICE)
        stored[..., :self.dim] = x.half()
        numbers = stored[..., :self.dim].double()
        stored[dead] = math.nan
        return stored, None, numbers

    def numbers(self, which, sequence):
        """A sequence's keys or values: head, position, element."""
        pages = self.pages[sequence].to(DEVICE)
        x = which[2][pages].transpose(0, 1).reshape(self.kv_heads, -1, self.dim)
        return x[:, :self.contexts[sequence]]


def table_of(sequences, pages):
    """The table of backends/src/tables/spans.rs, and the lengths of its lists; sequences are (first row, start, rows)."""
    words, owners, lengths = [], [], []
    for size, few in [(1, True), (16, False), (32, False), (64, False)]:
        before = len(owners)
        for index, (first, start, rows) in enumerate(sequences):
            if (rows <= FEW) == few:
                for row in reversed(range(0, rows, size)):
                    words.append([first + row, 0, start + row, min(size, rows - row)])
                    owners.append(index)
        lengths.append(len(owners) - before)
    end = 4 * len(words)
    firsts = []
    for listed in pages:
        firsts.append(end)
        end += len(listed)
    for entry, owner in zip(words, owners):
        entry[1] = firsts[owner]
    flat = [word for entry in words for word in entry] + [page for listed in pages for page in listed.tolist()]
    return torch.tensor(flat, dtype=torch.int32, device=DEVICE), lengths


def kernel(name, entry, **defines):
    key = (name, entry, tuple(sorted(defines.items())))
    if key not in kernel.kept:
        kernel.kept[key] = Kernel(name, entry, architecture(), **defines)
    return kernel.kept[key]


kernel.kept = {}


def pointer(tensor):
    return 0 if tensor is None else tensor.data_ptr()


def tile_variant(dim, group, queries=None):
    """Queries of a tile and how many heads of them, as ops/attention.rs chooses: log2."""
    shift = min(group.bit_length() - 1, 3)
    queries = queries or (128 if dim <= 128 and shift > 0 else 64)
    return queries, min(shift, (queries // 16).bit_length() - 1)


class Attention:
    def __init__(self, pool, heads, window=None, softcap=None, sinks=False, scale=None, share_blocks=4, busy=None, tile=None, queries=None):
        self.pool, self.heads, self.window, self.softcap = pool, heads, window, softcap
        self.scale = 1 / math.sqrt(pool.dim) if scale is None else scale
        self.group = heads // pool.kv_heads
        self.sinks = torch.randn(heads, device=DEVICE) * 3 if sinks else None
        processors = torch.cuda.get_device_properties(0).multi_processor_count
        self.share_blocks, self.busy = share_blocks, busy or 2 * processors
        dim = next(d for d in (64, 128, 256) if d >= pool.dim)
        self.padded = dim
        defines = dict(DIM=dim, WHOLE=int(dim == pool.dim), INT8=int(pool.int8), CAPPED=int(softcap is not None))
        self.single = kernel("attention/single.cu", "single", **defines)
        self.queries, self.head_shift = tile_variant(dim, self.group, queries)
        self.tiles = (self.queries >> self.head_shift).bit_length() - 5
        self.keys, stages = tile or ((64, 2) if self.queries == 128 and dim == 128 and not pool.int8 else (32, 2 if dim > 128 else 3))
        stage = 2 * self.keys * dim * (1 if pool.int8 else 2)
        self.shared = self.queries * dim * 2 + (2 * self.keys * dim * 2 if pool.int8 else 0) + stages * stage
        defines.update(QUERIES=self.queries, KEYS=self.keys, STAGES=stages)
        self.tile, self.together = (kernel("attention/tile.cu", entry, **defines) for entry in ("tile", "put_together"))
        self.tile_threads = 128 if self.queries == 128 else 2 * self.queries

    def prepare(self, sequences, query_first=0, query_extra=0):
        """Sequences are (start, rows)."""
        rows = sum(count for _, count in sequences)
        firsts, at = [], 0
        for start, count in sequences:
            firsts.append((at, start, count))
            at += count
        self.sequences = firsts
        width = self.heads * self.pool.dim
        self.query_rows = torch.randn(rows, width + query_extra, device=DEVICE)
        self.query_first = query_first
        self.output = torch.full((rows, width), math.nan, device=DEVICE)
        self.table, self.lengths = table_of(firsts, self.pool.pages)
        counts = [rows, 0, len(sequences), max(s + c for s, c in sequences), *self.lengths, 0, 0, 0, 0]
        packed = struct.pack("<12I10Q", *counts, 0, 0, 0, 0, 0, pointer(self.table), 0, 0, 0, 0)
        self.step = torch.frombuffer(bytearray(packed), dtype=torch.uint8).to(DEVICE)
        longest = counts[3]
        singles, tiles = self.lengths[0], self.lengths[1 + self.tiles]
        self.runs = self.pool.kv_heads * -(-self.group // 8)
        tasks = max(singles * self.runs, 1)
        seen = min(1 << max(longest - 1, 63).bit_length(), self.window or 1 << 31)
        self.shares = max(1, min(self.busy // tasks, seen // (16 * self.share_blocks)), min(seen // 4096, 4096 // tasks))
        self.tile_runs = self.pool.kv_heads * -(-self.group // (1 << self.head_shift))
        tile_tasks = max(tiles * self.tile_runs, 1)
        self.tile_shares = max(1, min(16, self.busy // tile_tasks, seen // 256))
        size = max(tasks * self.shares * 8 * (self.padded + 4), tile_tasks * self.tile_shares * self.queries * (self.padded + 4))
        self.partials = torch.full((size,), math.nan, device=DEVICE)
        self.counters = torch.zeros(max(tasks, tile_tasks), dtype=torch.int32, device=DEVICE)
        return self

    def params(self, single, pool):
        runs = -(-self.group // 8) if single else -(-self.group // (1 << self.head_shift))
        aligned = int(self.query_first % 4 == 0 and self.query_rows.shape[1] % 4 == 0 and pool.dim % 4 == 0)
        packed = struct.pack(
            "<9Q9I2f5I", pointer(self.query_rows) + 4 * self.query_first, pointer(pool.k[0]), pointer(pool.v[0]), pointer(pool.k[1]), pointer(pool.v[1]),
            pointer(self.sinks), pointer(self.output), pointer(self.partials), pointer(self.counters),
            self.query_rows.shape[1], self.heads, pool.kv_heads, self.group, runs, pool.dim, pool.vector_bytes, pool.page_tokens,
            0xffffffff if self.window is None else self.window, self.scale, self.softcap or 0.0, self.head_shift, self.tiles,
            self.busy, self.share_blocks if single else 256 // self.keys, aligned)
        return ctypes.create_string_buffer(packed, len(packed))

    def launch(self, pool=None, dependent=False):
        pool = pool or self.pool
        singles, tiles = self.lengths[0], self.lengths[1 + self.tiles]
        if singles:
            grid = (self.shares, self.runs, singles)
            self.single.launch(self.params(True, pool), self.step, grid, 128, dependent=dependent)
        if tiles:
            grid = (self.tile_runs, tiles, self.tile_shares)
            self.tile.launch(self.params(False, pool), self.step, grid, self.tile_threads, self.shared, dependent=dependent)
            if self.tile_shares > 1:
                self.together.launch(self.params(False, pool), self.step, grid, 1024, dependent=dependent)

    def expected(self):
        pool, out = self.pool, []
        for index, (first, start, rows) in enumerate(self.sequences):
            k, v = (pool.numbers(which, index).repeat_interleave(self.group, 0) for which in (pool.k, pool.v))
            k, v = k[:, :start + rows], v[:, :start + rows]
            q = self.query_rows[first:first + rows, self.query_first:self.query_first + self.heads * pool.dim].double().view(rows, self.heads, pool.dim).transpose(0, 1)
            s = q @ k.transpose(1, 2) * self.scale
            if self.softcap:
                s = self.softcap * torch.tanh(s / self.softcap)
            position = torch.arange(start, start + rows, device=DEVICE)[:, None]
            key = torch.arange(start + rows, device=DEVICE)[None, :]
            seen = (key <= position) & ((position - key) < (self.window or 1 << 30))
            s = s.masked_fill(~seen, -math.inf)
            if self.sinks is not None:
                s = torch.cat([s, self.sinks.double()[:, None, None].expand(-1, rows, 1)], -1)
                v = torch.cat([v, torch.zeros_like(v[:, :1])], 1)
            out.append((torch.softmax(s, -1) @ v).transpose(0, 1).reshape(rows, -1))
        return torch.cat(out)

    def error(self):
        """The largest difference from the exact result, as a share of eight roundings to f16 of a value of size one."""
        self.launch()
        torch.cuda.synchronize()
        once = self.output.clone()
        self.output.fill_(math.nan)
        self.launch()
        torch.cuda.synchronize()
        if not torch.equal(once, self.output):
            return math.nan if not once.isfinite().all() else math.inf
        # Scores, and with them shares, are moved in proportion to the scale.
        allowed = 8 * 2 ** -11 * max(1.0, abs(self.scale) * math.sqrt(self.pool.dim))
        return ((once.double() - self.expected()).abs().max() / allowed).item()


def check():
    worst, failed, count = 0.0, 0, 0
    mixed = lambda: [(random.randrange(0, 300), random.choice([1, 1, 1, 3, 8, 9, 17, 40, 100])) for _ in range(6)]
    cases = []
    for heads, kv_heads in [(1, 1), (4, 1), (8, 2), (10, 2), (12, 1), (3, 3), (32, 8), (24, 2)]:
        for dim in [8, 20, 64, 80, 96, 128, 200, 256]:
            for int8 in [False, True]:
                cases.append(dict(heads=heads, kv_heads=kv_heads, dim=dim, int8=int8, page_tokens=random.choice([1, 4, 16, 16, 24, 32]), sequences=mixed()))
    for int8 in [False, True]:
        base = dict(heads=8, kv_heads=2, dim=128, int8=int8, page_tokens=16)
        for window in [1, 5, 16, 100, 1000]:
            cases.append(dict(base, window=window, sequences=mixed() + [(2000, 1), (1500, 33)]))
        cases.append(dict(base, softcap=2.0, sequences=mixed()))
        cases.append(dict(base, sinks=True, sequences=mixed() + [(3000, 1)]))
        cases.append(dict(base, scale=-0.3, sequences=mixed()))
        cases.append(dict(base, scale=3.0, sequences=mixed() + [(4000, 1), (4000, 64)]))
        cases.append(dict(base, window=70, softcap=5.0, sinks=True, scale=0.5, query_first=128, query_extra=256, sequences=mixed() + [(5000, 1)]))
        cases.append(dict(base, query_first=3, query_extra=5, sequences=mixed()))
        cases.append(dict(base, sequences=[(random.randrange(0, 600), 1) for _ in range(100)]))
        cases.append(dict(base, sequences=[(0, 700), (1, 1)]))
        for context in [0, 15, 16, 127, 128, 1000, 4095, 20000]:
            cases.append(dict(base, heads=32, kv_heads=8, sequences=[(context, 1)]))
    for case in cases:
        case = dict(case)
        sequences = case.pop("sequences")
        pool = Pool([s + c for s, c in sequences], case.pop("kv_heads"), case.pop("dim"), case.pop("page_tokens"), case.pop("int8"))
        prepare = {name: case.pop(name, 0) for name in ("query_first", "query_extra")}
        error = Attention(pool, **case).prepare(sequences, **prepare).error()
        count += 1
        worst = max(worst, error) if error == error else worst
        if not error < 1.0:
            failed += 1
            print(f"FAILED {error:.3g} heads {case['heads']}:{pool.kv_heads} dim {pool.dim} int8 {pool.int8} page {pool.page_tokens} {case} {sequences}", flush=True)
    print(f"{count} cases, {failed} failed, worst error {worst:.3f} of the allowed")


def filled(contexts, int8, heads=32, kv_heads=8, dim=128, page_tokens=16, layers=32):
    """Caches of as many layers as a model has, fewer where they would not fit a quarter of the device."""
    size = 4 * sum(contexts) * kv_heads * dim
    layers = max(1, min(layers, torch.cuda.get_device_properties(0).total_memory // 16 // size))
    pools = [Pool(contexts, kv_heads, dim, page_tokens, int8) for _ in range(layers)]
    for pool in pools:
        # All layers have the same page tables; the exact numbers are not needed any more.
        pool.pages = pools[0].pages
        pool.k, pool.v = pool.k[:2], pool.v[:2]
    return pools


def copy_bandwidth():
    """Bytes read and written per second by a copy of a gigabyte."""
    a = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE)
    b = torch.empty_like(a)
    return 2 * a.numel() / seconds([lambda: b.copy_(a)] * 4)


def decode(**options):
    """Times of single rows."""
    bandwidth = copy_bandwidth()
    print(f"{torch.cuda.get_device_name()}; a copy reads and writes {bandwidth / 1e12:.2f} TB/s; 32 heads of 128, 8 key heads, pages of 16")
    print(f"{'sequences x context':>20} {'pages':>6} {'us':>8} {'share of copy':>14} {'alone us':>9}")
    for count, context in [(1, 16), (1, 256), (1, 1024), (1, 4096), (1, 32768), (8, 1024), (64, 1024), (64, 4096)]:
        for int8 in [False, True]:
            pools = filled([context] * count, int8)
            op = Attention(pools[0], 32, **options).prepare([(context - 1, 1)] * count)
            calls = [lambda pool=pool, d=d: op.launch(pool, d) for d in (False,) for pool in pools * (64 // len(pools))]
            alone = seconds(calls)
            chained = seconds([lambda pool=pool: op.launch(pool, True) for pool in pools * (64 // len(pools))])
            size = count * context * 2 * 8 * (128 + 2 if int8 else 256)
            name = f"{count} x {context}"
            print(f"{name:>20} {'int8' if int8 else 'f16':>6} {chained * 1e6:8.2f} {size / chained / bandwidth:13.1%} {alone * 1e6:9.2f}", flush=True)
            del pools, op
        sdpa(count, 1, context)


def sdpa(count, rows, context):
    """torch's own, over a cache without pages."""
    layers = max(1, min(32, (8 << 30) // (count * context * 4096)))
    k, v = (torch.randn(layers, count, 8, context, 128, device=DEVICE, dtype=torch.half) for _ in range(2))
    q = torch.randn(count, 32, rows, 128, device=DEVICE, dtype=torch.half)
    causal = rows == context
    attend = torch.nn.functional.scaled_dot_product_attention
    time = seconds([lambda i=i: attend(q, k[i], v[i], is_causal=causal, enable_gqa=True) for i in range(layers)])
    print(f"{f'torch {count} x {context}':>20} {'f16':>6} {time * 1e6:8.2f}", flush=True)
    return time


def prefill(**options):
    print(f"{torch.cuda.get_device_name()}; 32 heads of 128, 8 key heads, pages of 16; causal operations count")
    print(f"{'rows after context':>20} {'pages':>6} {'us':>9} {'TFLOP/s':>8}")
    for rows, past in [(512, 0), (2048, 0), (8192, 0), (512, 3584), (64, 4032), (16, 4080), (16, 32752)]:
        for int8 in [False, True]:
            pools = filled([past + rows], int8, layers=4)
            op = Attention(pools[0], 32, **options).prepare([(past, rows)])
            time = seconds([lambda pool=pool: op.launch(pool, True) for pool in pools * 2])
            work = 4 * 32 * 128 * (rows * past + rows * (rows + 1) / 2)
            print(f"{f'{rows} after {past}':>20} {'int8' if int8 else 'f16':>6} {time * 1e6:9.1f} {work / time / 1e12:8.1f}", flush=True)
        if past == 0:
            time = sdpa(1, rows, rows)
            print(f"{'':>20} {'':>6} {'':>9} {4 * 32 * 128 * rows * (rows + 1) / 2 / time / 1e12:8.1f}")


if __name__ == "__main__":
    torch.manual_seed(1)
    random.seed(1)
    {"check": check, "decode": decode, "prefill": prefill}[sys.argv[1]]()
