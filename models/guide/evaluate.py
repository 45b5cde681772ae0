"""Asks a trained model the held-out questions, all at once.

    python evaluate.py --state FILE --data FOLDER
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer

from finish import load
from chatml import Encoder


@torch.no_grad()
def replies(model, tokenizer, prompts, most=380, temperature=0.5, top_p=0.9, seed=7):
    """A reply to each prompt. What fills a row to the right is behind everything that is read."""
    encoder = Encoder(tokenizer)
    device = model.embed_tokens.weight.device
    draw = torch.Generator(device=device).manual_seed(seed)
    ids = [encoder.prompt(turns) for turns in prompts]
    lengths = torch.tensor([len(one) for one in ids], device=device)
    width = min(int(lengths.max()) + most, model.shape.context)
    rows = torch.zeros(len(ids), width, dtype=torch.long, device=device)
    for row, one in enumerate(ids):
        rows[row, : len(one)] = torch.tensor(one)
    begun, done = lengths.clone(), torch.zeros(len(ids), dtype=torch.bool, device=device)
    every = torch.arange(len(ids), device=device)
    while not done.all() and int(lengths.max()) < width:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = model.logits(rows[:, : int(lengths.max())])[every, lengths - 1].float()
        if temperature == 0:
            chosen = logits.argmax(-1)
        else:
            sorted_, order = (logits / temperature).softmax(-1).sort(descending=True)
            sorted_[sorted_.cumsum(-1) - sorted_ > top_p] = 0
            chosen = order.gather(1, torch.multinomial(sorted_, 1, generator=draw)).squeeze(1)
        done |= (chosen == encoder.end) | (chosen == encoder.end_of_text)
        rows[every[~done], lengths[~done]] = chosen[~done]
        lengths[~done] += 1
    return [tokenizer.decode(rows[row, begun[row]: lengths[row]].tolist()) for row in range(len(ids))]


def ask_held_out(model, tokenizer, temperature=0.5):
    held = json.loads((Path(__file__).parent / "heldout" / "questions.json").read_text())
    asked = [entry["ask"] for part in ("stories", "guide", "beyond") for entry in held[part]]
    return list(zip(asked, replies(model, tokenizer, [[(one, None)] for one in asked], temperature=temperature)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    arguments = parser.parse_args()
    model = load(arguments.state)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    for asked, reply in ask_held_out(model, Tokenizer.from_file(str(arguments.data / "tokenizer.json"))):
        print(f"> {asked}\n{reply}\n")


if __name__ == "__main__":
    main()
