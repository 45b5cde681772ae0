"""What each format costs the model, by the logits of our own engine: perplexity, mean KL divergence and top-1 agreement against
bf16 with an f16 cache, on the held-out text.

    python quality.py --ingle ../../target/release/ingle --model inglenook-guide [--windows 10]
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

WINDOW = 1024
FORMATS = ["bf16", "int8-g32", "int8", "int8-g128", "nf4", "w8a8"]
CACHES = ["f16", "int8"]


def logits(ingle, model, ids, weights, cache, folder):
    (folder / "ids").write_text(",".join(map(str, ids)))
    out = folder / "logits.safetensors"
    out.unlink(missing_ok=True)
    command = [ingle, "logits", "--model", model, "--backend", "cpu", "--weights", weights, "--cache", cache, "--context", str(WINDOW), "--no-converted",
               "--ids-file", folder / "ids", "--out", out]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    values = load_file(out)["logits"].astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingle", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--windows", type=int, default=10, help="windows of each text")
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    held = Path(__file__).parent / "heldout"
    windows = []
    for name in ("alice.txt", "replies.txt"):
        ids = tokenizer.encode((held / name).read_text()).ids
        cut = [[0, *ids[start: start + WINDOW - 1]] for start in range(0, len(ids), WINDOW - 1)]
        windows += [(name, window) for window in cut if len(window) == WINDOW][: arguments.windows]
    sums = {}
    with tempfile.TemporaryDirectory() as place:
        for name, ids in windows:
            base, after = None, np.array(ids[1:])
            for weights in FORMATS:
                for cache in CACHES:
                    ours = logits(arguments.ingle, arguments.model, ids, weights, cache, Path(place))[:-1]
                    base = ours if base is None else base
                    told = sums.setdefault((weights, cache, name), np.zeros(4))
                    told += [len(after), -ours[np.arange(len(after)), after].sum(), (np.exp(base) * (base - ours)).sum(),
                             (ours.argmax(1) == base.argmax(1)).sum()]
    print("| weights | cache | perplexity, Alice | mean KL | same top-1 | perplexity, replies | mean KL | same top-1 |\n|---|---|---|---|---|---|---|---|")
    for weights in FORMATS:
        for cache in CACHES:
            cells = []
            for name in ("alice.txt", "replies.txt"):
                count, surprise, divergence, same = sums[weights, cache, name]
                cells += [f"{np.exp(surprise / count):.3f}", f"{divergence / count:.5f}", f"{100 * same / count:.2f} %"]
            print(f"| {weights} | {cache} | " + " | ".join(cells) + " |")
    print(f"{sum(len(ids) - 1 for _, ids in windows)} tokens in windows of {WINDOW}")


if __name__ == "__main__":
    main()
