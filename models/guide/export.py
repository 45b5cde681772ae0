"""Writes a trained model as an ordinary Hugging Face folder."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from chatml import END, END_OF_TEXT, SPECIAL, TEMPLATE


def write_folder(folder, model, tokenizer_file, dtype=torch.bfloat16):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shape = model.shape
    names = {"embed_tokens.weight": "model.embed_tokens.weight"}
    weights = {names.get(name, "model." + name): value.detach().to("cpu", dtype).contiguous() for name, value in model.named_parameters()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    end_of_text, end = SPECIAL.index(END_OF_TEXT), SPECIAL.index(END)
    write(folder / "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape.vocabulary, "hidden_size": shape.hidden,
        "intermediate_size": shape.middle, "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads, "head_dim": shape.head, "hidden_act": "silu", "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon, "rope_theta": shape.theta, "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": end_of_text, "eos_token_id": end, "pad_token_id": end_of_text, "torch_dtype": str(dtype).removeprefix("torch."),
    })
    write(folder / "generation_config.json", {
        "bos_token_id": end_of_text, "eos_token_id": [end, end_of_text], "pad_token_id": end_of_text, "do_sample": True, "temperature": 0.5, "top_p": 0.9,
    })
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": shape.context, "add_bos_token": False, "bos_token": END_OF_TEXT, "eos_token": END,
        "pad_token": END_OF_TEXT, "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE,
        "added_tokens_decoder": {str(index): {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
                                 for index, token in enumerate(SPECIAL)},
    })
    if Path(tokenizer_file) != folder / "tokenizer.json":
        shutil.copy(tokenizer_file, folder / "tokenizer.json")


def write(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")
