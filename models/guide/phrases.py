"""A tiny grammar of text: `(a|b|)` is one of its parts, `{name}` a thing that was chosen before."""

import re

_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


def say(rng, text, things=None):
    """One wording of a pattern. Parentheses without a bar stay as they are."""
    while True:
        text, count = _CHOICE.subn(lambda found: rng.choice(found[1].split("|")), text)
        if not count:
            break
    if things:
        text = text.format(**things)
    return re.sub(r"  +", " ", text).replace(" ,", ",").replace(" .", ".").replace(" ?", "?").strip()


def first_upper(text):
    return text[:1].upper() + text[1:]


def a(thing):
    """With the article that English wants before it."""
    if thing.lower().startswith(("uni", "use", "eu", "one")):
        return "a " + thing
    return ("an " if thing[:1].lower() in "aeiou" else "a ") + thing


_BEFORE = [
    "hey, ", "hi, ", "hello, ", "ok, ", "so, ", "quick question: ", "sorry, ", "one more thing: ", "please, ", "hm, ",
    "i wonder, ", "question: ", "just curious, ", "and ", "but ", "by the way, ", "excuse me, ", "well, ",
    "tell me, ", "do you know: ", "i want to know: ", "could you explain: ", "any idea: ", "my question is: ", "i was wondering, ", "let me ask: ", "explain to me: ",
    "now, ", "hmm, ", "oh, ", "right, ", "be honest: ", "in plain words, ", "for a beginner: ", "seriously, ", "remind me, ", "say, ",
]
_AFTER = [" please", " thanks", " thank you", " exactly", " really", " in short", " in simple words", " here", " in Inglenook", " then"]


_KEYS = "qwertyuiopasdfghjklzxcvbnm"


def _typo(rng, text):
    """A slip of the finger: a letter left out, doubled, swapped or missed by one key."""
    places = [i for i in range(1, len(text) - 2) if text[i].isalpha() and text[i + 1].isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:i] + text[i + 1:]
    if kind == 1:
        return text[:i] + text[i] + text[i:]
    if kind == 2:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    key = _KEYS.find(text[i].lower())
    return text[:i] + (_KEYS[(key + rng.choice([-1, 1])) % 26] if key >= 0 else text[i]) + text[i + 1:]


def as_typed(rng, text, decorate=True):
    """A question as somebody might type it: with a word before or after, in lower case, without its mark, with slips."""
    text = text.strip()
    ends = ""
    while text and text[-1] in "?!.":
        ends, text = text[-1] + ends, text[:-1]
    if decorate and rng.random() < 0.22:
        before = rng.choice(_BEFORE)
        rest = text if text[:2] in ("I ", "I'") or text.startswith("Inglenook") else text[:1].lower() + text[1:]
        text = first_upper(before) + rest
    if decorate and rng.random() < 0.10:
        text += rng.choice(_AFTER)
    style = rng.random()
    if style < 0.30:
        text = text.lower()
    elif style < 0.33:
        text = text.upper()
    elif style > 0.5:
        text = first_upper(text)
    if rng.random() < 0.10:
        text = text.replace("'", "")
    for _ in range(2):
        if rng.random() < 0.07:
            text = _typo(rng, text)
    ending = rng.random()
    if ending < 0.62:
        text += ends
    elif ending < 0.68:
        text += rng.choice(["??", " ?", "!", "?!", "..."])
    return text
