"""Prepares what training reads: the tokenizer, the old stories as tokens, the questions and nouns of other people, and held-out text.

    python data.py --sources FOLDER --out FOLDER [--vocabulary 8192]

The sources are stories.txt (public-domain and CC BY stories, documents separated by a line `<|doc|>`) and chat.jsonl
(lines with `messages` and `source`); README.md says which of them are used, where they come from and under which
licence. Dialogues are not stored: training makes them while it runs (dialogues.py), from seeds.
"""

import argparse
import json
import random
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import dialogues
import stories
from chatml import SPECIAL, Encoder

SEED = 20261127

# From which questions are taken, never answers; share-alike sources are left out.
QUESTIONS = {"gsm8k-train": "sums", "factbook": "knowledge", "annexare-countries": "knowledge", "uscis-civics": "knowledge", "oewn": "knowledge",
             "dariusk-corpora": "knowledge", "cncf-glossary": "code", "tldr": "code", "public-domain-recipes": "advice"}
MOST_OF_EACH = 2500


def read_stories(folder):
    """The documents of stories.txt, without the book that held-out text is taken from."""
    documents = (folder / "stories.txt").read_text(encoding="utf-8").split("\n<|doc|>\n")
    return [text.strip() for text in documents if text.count("Alice") < 8 and len(text) > 200]


def read_questions(folder):
    """Questions by kind, and nouns."""
    rng = random.Random(SEED)
    rows = [json.loads(line) for line in (folder / "chat.jsonl").open(encoding="utf-8")]
    rng.shuffle(rows)
    found, counts, nouns = {}, {}, set()
    for row in rows:
        source = row["source"].split("#")[0]
        said, reply = row["messages"][0]["content"].strip(), row["messages"][1]["content"]
        noun = re.match(r'"([a-z]{4,10})" means (?:a|an|the) ', reply, re.IGNORECASE)
        if source == "oewn" and noun:
            nouns.add(noun[1].lower())
        if source in QUESTIONS and counts.get(source, 0) < MOST_OF_EACH and len(said) < 400 and not dialogues.too_near(said):
            counts[source] = counts.get(source, 0) + 1
            found.setdefault(QUESTIONS[source], []).append(said)
    return {"questions": found, "nouns": sorted(nouns)}


def train_tokenizer(size, old, sources):
    rng = random.Random(SEED)
    made = []
    for _ in range(22000):
        system, turns = dialogues.dialogue(rng, sources)
        made.append("\n".join([system or ""] + [text for turn in turns for text in turn]))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, min_frequency=2)
    tokenizer.train_from_iterator(made + rng.sample(old, len(old) // 3), trainer)
    return tokenizer


def held_out_dialogues(count, sources, first_seed=900_000_000):
    """Dialogues from seeds that training does not use."""
    return [dialogues.dialogue(random.Random(first_seed + index), sources) for index in range(count)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=8192)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    sources = read_questions(arguments.sources)
    (arguments.out / "sources.json").write_text(json.dumps(sources))
    print({kind: len(questions) for kind, questions in sources["questions"].items()}, len(sources["nouns"]), "nouns")

    old = read_stories(arguments.sources)
    random.Random(SEED).shuffle(old)
    held, old = old[:40], old[40:]
    tokenizer = train_tokenizer(arguments.vocabulary, old, sources)
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    encoder = Encoder(tokenizer)

    for name, texts in (("books", old), ("books-held", held)):
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        tokens = np.array([token for one in encoded for token in [*one.ids, encoder.end_of_text]], dtype=np.uint16)
        np.save(arguments.out / f"{name}.npy", tokens)
        print(name, len(tokens), "tokens of", sum(map(len, texts)), "characters")
    tokens = [token for system, turns in held_out_dialogues(300, sources) for token in encoder.dialogue(turns, system)]
    np.save(arguments.out / "dialogues-held.npy", np.array(tokens, dtype=np.uint16))
    print("dialogues-held", len(tokens), "tokens")


if __name__ == "__main__":
    main()
