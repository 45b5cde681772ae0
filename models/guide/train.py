"""Trains the model, for a given number of seconds.

    python train.py --data FOLDER --out FOLDER --seconds 540 [--tiny] [--rows 64] [--makers 12]

Old stories come from files that data.py wrote; dialogues are made while training runs, by processes of their own, each from
seeds of its own, so that hardly one is seen twice. The rate of learning rises, stays, and falls to nothing at the end of
the given time; in the last part nearly all that is learnt are dialogues. The clock decides, so the last bits of a run
are those of its machine.
"""

import argparse
import json
import math
import multiprocessing
import os
import queue
import random
import time
from pathlib import Path

START = time.time()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

import model as shapes  # noqa: E402
from chatml import READ_ONLY, Encoder  # noqa: E402
from optimizer import Muon  # noqa: E402

SEED = 4
BLOCK = 32  # Rows that a maker of dialogues gives away at once.
WARM_STEPS = 100
FALL_FROM = 0.62  # Shares of the time.
LAST_PART_FROM = 0.70
BOOKS, BOOKS_LAST = 0.35, 0.08  # Shares of old stories in the rows, before and in the last part.


def make_dialogues(index, count, data, length, block, results):
    """A process that makes rows of dialogues, packed one after another."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import dialogues
    encoder = Encoder(Tokenizer.from_file(str(data / "tokenizer.json")))
    sources = json.loads((data / "sources.json").read_text())
    rows, seed = [], index
    while True:
        # A row begins with a dialogue, as a prompt does; the last one in it is cut.
        row = []
        while len(row) < length:
            system, turns = dialogues.dialogue(random.Random(1000 + seed), sources)
            row.extend(encoder.dialogue(turns, system))
            seed += count
        rows.append(row[:length])
        if len(rows) == block:
            results.put(np.array(rows, dtype=np.uint16))
            rows = []


class Rows:
    """Where training rows come from."""

    def __init__(self, data, length, makers, block):
        self.length = length
        self.books = np.load(data / "books.npy", mmap_mode="r")
        self.draw = np.random.default_rng(SEED)
        self.order, self.kept, self.turn, self.missed = [], [], 0, 0
        # Forked before anything is done with a GPU, so that no process has to load all this again.
        context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
        self.queues = [context.Queue(maxsize=8) for _ in range(makers)]
        self.makers = [context.Process(target=make_dialogues, args=(index, makers, data, length, block, results), daemon=True)
                       for index, results in enumerate(self.queues)]
        for maker in self.makers:
            maker.start()

    def old_stories(self, count):
        rows = []
        while len(rows) < count:
            if not self.order:
                shift = int(self.draw.integers(self.length))
                places = np.arange(shift, len(self.books) - self.length, self.length)
                self.order = list(self.draw.permutation(places))
            place = self.order.pop()
            rows.append(np.asarray(self.books[place: place + self.length]))
        return rows

    def dialogues(self, count):
        rows = []
        while len(rows) < count:
            if self.kept and self.kept[-1][1] < len(self.kept[-1][0]):
                block, used = self.kept[-1]
                take = min(count - len(rows), len(block) - used)
                rows.extend(block[used: used + take])
                self.kept[-1][1] += take
                continue
            results = self.queues[self.turn % len(self.queues)]
            try:
                block = results.get(timeout=120) if len(self.kept) < 64 else results.get_nowait()
            except queue.Empty:
                # Makers that are too slow cost variety, not the run.
                self.missed += 1
                block = self.kept[int(self.draw.integers(len(self.kept)))][0]
            self.turn += 1
            self.kept.append([block, 0])
            self.kept = self.kept[-1500:]
        return rows

    def batch(self, count, share_of_books):
        books = round(count * share_of_books)
        rows = np.stack(self.old_stories(books) + self.dialogues(count - books)).astype(np.int64)
        return torch.from_numpy(rows[self.draw.permutation(count)])

    def stop(self):
        for maker in self.makers:
            maker.terminate()


def split(rows):
    """Tokens and what is to follow each; what is only read is no target."""
    tokens, following = rows & ~READ_ONLY, rows[:, 1:]
    return tokens[:, :-1].contiguous(), torch.where(following >= READ_ONLY, torch.tensor(-100), following).contiguous()


@torch.no_grad()
def surprise(model, file, length, device, rows=8):
    """The mean surprise over held-out tokens."""
    tokens = np.load(file).astype(np.int64)
    count = min(len(tokens) // length, 64)
    held, total, seen = torch.from_numpy(tokens[: count * length].reshape(count, length)), 0.0, 0
    for chunk in held.split(rows):
        inputs, targets = (part.to(device) for part in split(chunk))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            counted = int((targets >= 0).sum())
            total += float(model(inputs, targets)) * counted
        seen += counted
    return total / max(seen, 1)


def rate_at(step, share):
    warm = min(1.0, (step + 1) / WARM_STEPS)
    fall = 1.0 if share < FALL_FROM else max(0.0, (1 - share) / (1 - FALL_FROM))
    return warm * fall


def save(model, path, report):
    weights = {name: value.detach().to("cpu", torch.bfloat16) for name, value in model.named_parameters()}
    torch.save({"shape": model.settings(), "weights": weights, "report": report}, path)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--rows", type=int, default=64, help="rows of a step")
    parser.add_argument("--part", type=int, default=64, help="rows that are computed at once")
    parser.add_argument("--makers", type=int, default=12, help="processes that make dialogues")
    parser.add_argument("--rate", type=float, default=0.02, help="rate of learning of the matrices")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


def main():
    arguments = arguments_of()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shape = shapes.TINY if arguments.tiny else shapes.GUIDE
    length = shape.context + 1
    source = Rows(arguments.data, length, arguments.makers, min(BLOCK, arguments.rows))
    torch.manual_seed(SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = shapes.Llama(shape).to(device)
    print(f"{model.count()} parameters on {device}", flush=True)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.95), weight_decay=0.0, fused=device.type == "cuda")
    forward = model
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        if not arguments.no_compile:
            forward = torch.compile(model)

    log = (arguments.out / "log.jsonl").open("w")
    step, seen, skipped, half_saved, last_told = 0, 0, 0, False, -1e9
    rows = source.batch(arguments.rows, BOOKS)
    while (share := (time.time() - START) / arguments.seconds) < 1:
        rate = rate_at(step, share)
        for group in adam.param_groups:
            group["lr"] = 0.2 * arguments.rate * rate
        loss = 0.0
        parts = rows.split(arguments.part)
        for part in parts:
            inputs, targets = (one.to(device, non_blocking=True) for one in split(part))
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                part_loss = forward(inputs, targets) / len(parts)
            part_loss.backward()
            loss += part_loss.detach()
        # The next rows are put together while the device computes.
        rows = source.batch(arguments.rows, BOOKS_LAST if share >= LAST_PART_FROM else BOOKS)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if math.isfinite(float(norm)) and math.isfinite(float(loss)):
            muon.step(arguments.rate * rate)
            adam.step()
        else:
            skipped += 1
            if skipped > 50:
                raise SystemExit("too many steps without a finite loss")
        model.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + arguments.rows * shape.context
        now = time.time() - START
        if now - last_told > 10 or step == 1:
            last_told = now
            held = {name: round(surprise(model, arguments.data / f"{name}.npy", length, device), 4) for name in ("books-held", "dialogues-held")}
            entry = {"step": step, "seconds": round(now, 1), "tokens": seen, "loss": round(float(loss), 4), "rate": round(rate, 4), "norm": round(float(norm), 3), **held,
                     "skipped": skipped, "missed": source.missed}
            print(json.dumps(entry), flush=True)
            log.write(json.dumps(entry) + "\n")
            log.flush()
        if share > 0.5 and not half_saved:
            half_saved = True
            save(model, arguments.out / "half.pt", {"step": step, "tokens": seen})
    source.stop()
    save(model, arguments.out / "last.pt", {"step": step, "tokens": seen, "seconds": time.time() - START})
    print(f"{step} steps, {seen} tokens, {time.time() - START:.0f} s", flush=True)


if __name__ == "__main__":
    main()
