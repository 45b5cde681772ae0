"""Small tokenizers of our own, and what the Python library `tokenizers` makes of texts with them.

    pip install tokenizers
    python tests/reference/tokenizers_reference.py

Writes models/tests/fixtures/tokenizers: `bytes/` is byte-level BPE as in Llama 3 and Qwen, `pieces/` is BPE over
`▁` pieces with byte fallback as in Llama 2 and Gemma, `words/` is unigram with a Metaspace decoder. Each folder
has a `tokenizer.json`, the configuration files beside it, and `vectors.json`.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FIXTURES = Path(__file__).parents[2] / "models/tests/fixtures/tokenizers"

CORPUS = [
    "An inglenook is the corner beside the fire where people sit and talk.",
    "The kettle was on, the logs were dry, and nobody wanted to be the first to leave.",
    "She asked what the time was; he said that the time was whatever the fire said it was.",
    "It isn't the fire's heat, they'll say, it's the people beside the fire.",
    "for i in range(10):\n    print(i * 2)\n\n\treturn [1, 22, 333, 4444]",
    "Schöne Grüße aus Köln, là-bas à côté, señor. Привет, мир! 世界你好。",
    "The talk went on and on, and the fire went out, and they talked on without it.",
]

TEXTS = [
    "",
    " ",
    "   ",
    "\n",
    "\n\n\t \n",
    "fire",
    " fire",
    "  fire  ",
    "The fire was dry, and they'll talk.",
    "I'VE 12345 dogs\r\n  and 3 cats",
    "é è ñ Grüße e\u0301",
    "世界你好 🦙🔥 👩‍👩‍👧",
    "mixed\x00control\x7f\u200b",
    "<0x41> <unk> ▁ Ġ",
    "<|im_start|>user\nHello<|im_end|>\n",
    "a<s>b</s> c",
    "tool: <tool_call>x</tool_call>",
    "\U0010ffff\ufffd\ufeff",
]


def special(*names):
    return [AddedToken(name, special=True, normalized=False) for name in names]


def byte_level():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens(special("<|begin|>", "<|im_start|>", "<|im_end|>", "<|end|>"))
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False)])
    begin = ("<|begin|>", tokenizer.token_to_id("<|begin|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[begin])
    config = {
        "bos_token": "<|begin|>",
        "eos_token": {"content": "<|im_end|>", "special": True},
        "additional_special_tokens": ["<|im_start|>"],
        "chat_template": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    }
    ids = [tokenizer.token_to_id(token) for token in ("<|end|>", "<|im_end|>")]
    return tokenizer, {"tokenizer_config.json": config, "generation_config.json": {"eos_token_id": ids}}


def byte_fallback():
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=60,
        show_progress=False,
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    learner.train_from_iterator(CORPUS, trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(learned["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)
    ])
    tokenizer.add_special_tokens(special("<unk>", "<s>", "</s>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return tokenizer, {"special_tokens_map.json": names, "config.json": {"bos_token_id": 1, "eos_token_id": 2}}


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    trainer = trainers.UnigramTrainer(
        vocab_size=180, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer, {"config.json": {"text_config": {"bos_token_id": 1, "eos_token_id": [2]}}}


def vectors(tokenizer):
    found = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        found.append({
            "text": text,
            "ids": ids,
            "with_special": tokenizer.encode(text).ids,
            "decoded": tokenizer.decode(ids, skip_special_tokens=False),
            "decoded_plain": tokenizer.decode(ids, skip_special_tokens=True),
        })
        tokenizer.encode_special_tokens = True
        found[-1]["as_text"] = tokenizer.encode(text, add_special_tokens=False).ids
        tokenizer.encode_special_tokens = False
    return found


def main():
    for name, make in {"bytes": byte_level, "pieces": byte_fallback, "words": unigram}.items():
        folder = FIXTURES / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer, files = make()
        (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=False) + "\n")
        for file, content in {**files, "vectors.json": vectors(tokenizer)}.items():
            (folder / file).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


main()
