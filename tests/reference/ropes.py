#!/usr/bin/env python3
"""Writes tests/fixtures/ropes.json: configurations of rotations, and what the reference implementation
makes of them: inverse frequencies in float64 and the factor on the result.

    pip install torch==2.15.0 transformers==5.23.0
    python tests/reference/ropes.py
"""

import json
import pathlib

from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from checkpoints import float64

SIZES = {"hidden_size": 96, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 8}
SIZES |= {"max_position_embeddings": 4096}
HALF = {"partial_rotary_factor": 0.5}
SHORT = [1.0 + 0.1 * i for i in range(12)]
LONG = [1.0 + 0.7 * i for i in range(12)]
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512, "rope_theta": 10000.0}
LLAMA3 = {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.5, "high_freq_factor": 6.0, "rope_theta": 5e5}
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG, "rope_theta": 10000.0}

ROPES = [
    {"rope_type": "default", "rope_theta": 300.0},
    {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0},
    {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0} | HALF,
    LLAMA3 | {"original_max_position_embeddings": 1024},
    LLAMA3,
    YARN,
    YARN | HALF,
    YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
    YARN | {"mscale": 1.0, "mscale_all_dim": 0.8},
    YARN | {"mscale": 1.0, "mscale_all_dim": 0.0},
    YARN | {"attention_factor": 1.25},
    YARN | {"original_max_position_embeddings": 8},
    LONGROPE | {"original_max_position_embeddings": 256},
    LONGROPE | {"original_max_position_embeddings": 256, "factor": 4.0},
    LONGROPE | {"original_max_position_embeddings": 256, "attention_factor": 1.5},
]


def main():
    cases = []
    for parameters in ROPES:
        keys = SIZES | {"rope_parameters": dict(parameters)}
        config = LlamaConfig(**json.loads(json.dumps(keys)))
        keys |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        case = {"config": keys}
        with float64():
            if parameters["rope_type"] == "default":
                rotary = LlamaForCausalLM(config).model.rotary_emb
                made = {"short": (rotary.inv_freq, rotary.attention_scaling)}
            else:
                table = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
                made = {"short": table(config, seq_len=1), "long": table(config, seq_len=4096)}
        for name, (frequencies, magnitude) in made.items():
            case[name] = {"inverse_frequencies": frequencies.tolist(), "magnitude": float(magnitude)}
        cases.append(case)
    lines = ",\n".join(json.dumps(case) for case in cases)
    path = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "ropes.json"
    path.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
