"""Greedy replies on several devices, and the first token at which they part.

    python agreement.py --ingle ../../target/release/ingle --on cpu,wgpu:0,wgpu:1 [--tokens 200]
"""

import argparse
import json
import subprocess
from pathlib import Path

# Of heldout/questions.json: as many as do not take all day on a GPU that is only software.
ASKED = {"stories": [0, 3, 5, 8], "guide": [2, 3, 6, 9], "beyond": [0, 4]}


def reply(ingle, model, device, tokens, ask):
    """The tokens of a reply, the one that ends it included."""
    command = [ingle, "run", "--model", model, "--backend", device, "--temperature", "0", "--max-tokens", str(tokens), "--json", ask]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    ended = [] if told["stop_token"] is None else [told["stop_token"]]
    return told["token_ids"] + ended


def first_difference(a, b):
    """The place of the first token that differs, from 1; none where both are the same."""
    if a == b:
        return None
    return next((place for place, (x, y) in enumerate(zip(a, b), 1) if x != y), min(len(a), len(b)) + 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ingle", required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--on", default="cpu,wgpu:0", help="devices, the first being the one that the others are compared with")
    parser.add_argument("--tokens", type=int, default=200)
    arguments = parser.parse_args()
    devices = arguments.on.split(",")
    held = json.loads((Path(__file__).parent / "heldout" / "questions.json").read_text())
    questions = [held[part][place]["ask"] for part, places in ASKED.items() for place in places]
    print("| asked | tokens on " + devices[0] + " | " + " | ".join(devices[1:]) + " |\n|---|---:|" + "---|" * (len(devices) - 1), flush=True)
    parted = 0
    for ask in questions:
        replies = [reply(arguments.ingle, arguments.model, device, arguments.tokens, ask) for device in devices]
        places = [first_difference(replies[0], other) for other in replies[1:]]
        parted += sum(place is not None for place in places)
        cells = ["the same" if place is None else f"parts at token {place}" for place in places]
        print(f"| {ask} | {len(replies[0])} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{parted} of {len(questions) * (len(devices) - 1)} replies part from those on {devices[0]}.")


if __name__ == "__main__":
    main()
