"""Writes what the reference says of the tiny model: the tokens of a prompt, those of the greedy reply, and some logits.

    python golden.py --model tiny --out ../../tests/fixtures/guide-tiny.json
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

import model as shapes
from chatml import Encoder

ASK = [("Hello!", None)], [("tell me a story about Mia", None)], [("what is nf4?", None)], [("Does it work on AMD?", None)]
TOKENS = 48
TOO_CLOSE = 0.03  # Of two logits.


def read(folder):
    """A model folder, in f32."""
    config = json.loads((folder / "config.json").read_text())
    shape = shapes.Shape(config["vocab_size"], config["hidden_size"], config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"],
                         config["head_dim"], config["intermediate_size"], config["max_position_embeddings"], config["rope_theta"], config["rms_norm_eps"])
    model = shapes.Llama(shape)
    model.load_state_dict({name.removeprefix("model."): value.float() for name, value in load_file(folder / "model.safetensors").items()})
    return model


@torch.no_grad()
def greedy(model, prompt, count, ends):
    """The most likely tokens, up to one that ends a reply, or to a place where rounding could choose another."""
    ids = list(prompt)
    for _ in range(count):
        best = model.logits(torch.tensor([ids]))[0, -1].topk(2)
        if int(best.indices[0]) in ends or float(best.values[0] - best.values[1]) < TOO_CLOSE:
            break
        ids.append(int(best.indices[0]))
    return ids[len(prompt):]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    model = read(arguments.model)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    encoder = Encoder(tokenizer)
    cases = []
    for turns in ASK:
        prompt = encoder.prompt(turns)
        reply = greedy(model, prompt, TOKENS, {encoder.end, encoder.end_of_text})
        with torch.no_grad():
            logits = model.logits(torch.tensor([prompt]))[0, -1]
        cases.append({"ask": turns[-1][0], "prompt": prompt, "reply": reply, "text": tokenizer.decode(reply), "logits": [round(float(value), 5) for value in logits]})
        print(cases[-1]["ask"], "->", cases[-1]["text"])
    arguments.out.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
