"""Turns what train.py saved into an ordinary model folder, and checks it against the reference implementation.

    python finish.py --state FILE --tokenizer FILE --out FOLDER
"""

import argparse
from pathlib import Path

import torch

import model as shapes
from export import write_folder


def load(path):
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = shapes.Llama(shapes.Shape(**saved["shape"]))
    # The tables of angles are not stored, and all else must be.
    model.load_state_dict({name: value.float() for name, value in saved["weights"].items()})
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = load(arguments.state)
    write_folder(arguments.out, model, arguments.tokenizer)
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        print("transformers is not installed: the folder was not compared with it")
        return
    reference = AutoModelForCausalLM.from_pretrained(arguments.out, dtype=torch.float32)
    tokens = torch.randint(model.shape.vocabulary, (1, 64), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (reference(tokens).logits - model.logits(tokens)).abs().max()
    print(f"logits differ from those of transformers by {float(difference):.2e} at most")


if __name__ == "__main__":
    main()
