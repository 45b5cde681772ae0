"""Writes heldout/replies.txt: replies of dialogues that training never saw, since their seeds are kept from it.

    python heldout.py
    python heldout.py --calibration FILE
    python heldout.py --check 400000 --sources FOLDER

The second writes a text of other dialogues, for calibrating formats. The third says how much of the text training may have met all the
same, since grammars can make a sentence twice: it makes the first so many dialogues of training once more, from the sources that data.py
read.
"""

import argparse
import random
from multiprocessing import Pool
from pathlib import Path

import dialogues
from data import held_out_dialogues, read_questions

CHARACTERS = 150_000
FIRST_SEED = 910_000_000
CALIBRATION, CALIBRATION_SEED = 40_000, 920_000_000
TRAINING_SEED = 1000  # where train.py begins to count
STORY = 400  # characters; shorter replies are facts, small talk and refusals
FILE = Path(__file__).parent / "heldout" / "replies.txt"


def held_out(characters=CHARACTERS, first_seed=FIRST_SEED):
    """The dialogues that a text is made of, and their replies, each once."""
    used, texts, size = [], {}, 0
    for system, turns in held_out_dialogues(1200, None, first_seed):
        if size >= characters:
            break
        used.append((system, tuple(turns)))
        for _, reply in turns:
            if size < characters and reply not in texts:
                texts[reply] = None
                size += len(reply)
    return used, list(texts)


def shared_with(job):
    """What of the held-out text is in a run of training's dialogues."""
    first, count, sources, whole, replies = job
    found = set()
    for seed in range(first, first + count):
        _, turns = dialogues.dialogue(random.Random(TRAINING_SEED + seed), sources)
        found.update(key for key in [tuple(turns)] if key in whole)
        found.update(reply for _, reply in turns if reply in replies)
    return found


def check(count, folder):
    used, texts = held_out()
    sources = read_questions(folder)
    whole, replies, step = {turns for _, turns in used}, set(texts), 5000
    jobs = [(first, min(step, count - first), sources, whole, replies) for first in range(0, count, step)]
    with Pool() as pool:
        found = set().union(*pool.imap_unordered(shared_with, jobs))
    print(f"of {count} dialogues of training:")
    for name, every in (
        ("whole dialogues of several turns", [turns for turns in whole if len(turns) > 1]),
        ("whole dialogues of one turn", [turns for turns in whole if len(turns) == 1]),
        ("stories", [text for text in texts if len(text) >= STORY]),
        ("other replies", [text for text in texts if len(text) < STORY]),
    ):
        shared = [one for one in every if one in found]
        print(f"  {len(shared)} of {len(every)} {name} are among them")
    size = sum(map(len, texts))
    print(f"  {100 * sum(len(text) for text in texts if text in found) / size:.1f} % of the text's {size} characters are")


def write(path, texts):
    path.write_text("\n\n".join(texts) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=Path, metavar="FILE")
    parser.add_argument("--check", type=int, metavar="DIALOGUES")
    parser.add_argument("--sources", type=Path)
    arguments = parser.parse_args()
    if arguments.check:
        if not arguments.sources:
            parser.error("--check needs --sources")
        check(arguments.check, arguments.sources)
    elif arguments.calibration:
        write(arguments.calibration, held_out(CALIBRATION, CALIBRATION_SEED)[1])
    else:
        write(FILE, held_out()[1])


if __name__ == "__main__":
    main()
