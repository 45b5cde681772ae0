"""Writes heldout/replies.txt: replies of dialogues that training never saw, since their seeds are kept from it.

    python heldout.py
"""

from pathlib import Path

from data import held_out_dialogues

CHARACTERS = 60_000


def main():
    texts, size = [], 0
    for _, turns in held_out_dialogues(400, None, first_seed=910_000_000):
        for _, reply in turns:
            if size < CHARACTERS and reply not in texts:
                texts.append(reply)
                size += len(reply)
    (Path(__file__).parent / "heldout" / "replies.txt").write_text("\n\n".join(texts) + "\n")


if __name__ == "__main__":
    main()
