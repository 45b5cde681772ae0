"""Dialogues of one or more turns, made of stories, small talk, questions on Inglenook and questions beyond it."""

import json
import re
from pathlib import Path

import beyond
import stories
from facts import FACTS
from phrases import as_typed, first_upper, say
from smalltalk import ABOUT_ME, COLOURS, TALK
from words import CITIES

SYSTEMS = ["You are the guide of Inglenook.", "You are a helpful assistant.", "You are a friendly assistant.", "Be brief.", "You are a storyteller.", "Answer in short sentences.",
           "You are Inglenook's built-in model.", "Be kind.", "You are a helpful assistant. Answer briefly and truthfully.", "Help the user."]

_WORD = re.compile(r"[a-z0-9]+")
_EMPTY = set("a an the is are do does did i you it to of in on and or what how please me my can could would will that this be for with so s just".split())


def _words(text):
    return set(_WORD.findall(text.lower())) - _EMPTY


HELD_OUT = [_words(entry["ask"]) for part in ("stories", "guide", "beyond")
            for entry in json.loads((Path(__file__).parent / "heldout" / "questions.json").read_text())[part]]


def too_near(question):
    """Whether a question says nearly the same words as one that the model is judged by."""
    words = _words(question)
    return any(len(words & held) > 0.6 * len(words | held) for held in HELD_OUT)


# What else people say for a word; each may be changed wherever it stands in a question on Inglenook.
_SWAPS = [(before, after.split("|")) for before, after in {
    "how do I": "how can I|how would I|how does one|what is the way to|how am I supposed to|how to|what must I do to",
    "what is": "what exactly is|what's|what on earth is|whats|what might be", "what does": "what exactly does|what on earth does|what would",
    "why is": "for what reason is|why on earth is", "why does": "for what reason does|why on earth does", "GPU": "graphics card|video card|graphics chip|gpu",
    "slow": "sluggish|terribly slow|quite slow", "fast": "quick|speedy|rapid", "crashes": "dies|breaks down|gives up|goes down", "crashed": "died|broke down|gave up|went down",
    "my chats": "my talks|my dialogues|our talks", "memory": "RAM|room", "conversation": "chat|dialogue|talk", "send": "transmit|pass|give", "computer": "machine|PC|notebook",
    "laptop": "notebook|computer", "the answer": "the reply|the response", "an answer": "a reply|a response", "reply": "response|answer", "program": "app|tool|software",
    "explain": "tell me|describe|clarify", "show": "display|tell me", "download": "fetch|get|grab", "choose": "pick|select", "use": "run|work with", "big": "large|huge|heavy",
    "small": "little|tiny|light", "model": "LLM|language model", "different": "unlike|not equal", "faster": "quicker|speedier", "lost": "gone|dead|unavailable",
    "stored": "put|archived|held", "safe": "secure|protected", "need": "require|want", "fit": "go|squeeze in", "bad": "poor|worse", "good": "fine|decent",
}.items()]


def _swapped(rng, text):
    for before, after in _SWAPS:
        if rng.random() < 0.15:
            text = re.sub(rf"\b{before}\b", rng.choice(after), text, count=1)
    return text


def fact_pair(rng, name=None):
    name = name or rng.choice(list(FACTS))
    questions, answers = FACTS[name]
    # Lines with more wordings are asked more often.
    weights = [1 + line.count("|") for line in questions]
    return as_typed(rng, _swapped(rng, say(rng, rng.choices(questions, weights)[0]))), say(rng, rng.choice(answers)), name


def talk_pair(rng):
    said, replies = rng.choice(TALK)
    return as_typed(rng, say(rng, rng.choice(said)), decorate=rng.random() < 0.1), say(rng, rng.choice(replies))


_AGAIN = ["another (one|story)( please|)", "(tell me|I want|give me) another (one|story)", "one more( please| story|)", "(again|more)( please|)", "that was (nice|good|lovely), another one", "next story"]
_WHO = ["who (is|was) (in the story|it about)?", "who was the story about?", "(which|what) (characters|figures) (are|were) in (it|the story)?", "who is the hero?"]
_WHAT_THING = ["what did {hero} have?", "which thing was in the story?", "what was it about?", "what object was in (it|the story)?"]
_TITLE = ["(what is|what's) (the title|the story called|its title)?", "give it a title", "how is the story called?", "does it have a title?"]
_WHERE = ["where (does|did) (it|the story) (happen|take place)?", "where was that?", "where did {hero} live?"]
_MADE_UP = ["(is that|was that|is it) (true|a true story)?", "did you (make that up|invent that|write that)?", "where is the story from?"]
_EXPLAIN = ["(explain|say) (that|it) (again|differently|in other words)( please|)", "(tell me|can you tell me) more( about it| about that|)?", "I (do not|don't) understand, (explain again|once more)", "in other words?",
            "what does that mean?", "can you say that (simpler|again|differently)?", "more( details|)( please|)?"]


def _story_turns(rng, nouns):
    text, story, spec = stories.pair(rng, nouns)
    turns = [(text, story)]
    hero, friend = spec.hero, spec.friend
    while rng.random() < 0.38:
        things = {"hero": hero.short}
        way = rng.random()
        if way < 0.25:
            _, story, spec = stories.pair(rng, nouns)
            hero, friend = spec.hero, spec.friend
            turns.append((as_typed(rng, say(rng, rng.choice(_AGAIN))), story))
        elif way < 0.40:
            answer = say(rng, "(It is|The story is) about {a} and {b}.", {"a": hero.short, "b": friend.short})
            turns.append((as_typed(rng, say(rng, rng.choice(_WHO))), answer))
        elif way < 0.55 and spec.thing in story:
            answer = say(rng, "There was {t} in it.", {"t": stories.a(spec.thing)})
            turns.append((as_typed(rng, say(rng, rng.choice(_WHAT_THING), things)), answer))
        elif way < 0.70 and spec.thing in story:
            answer = f"It could be called: {first_upper(hero.short)} and the {spec.thing}."
            turns.append((as_typed(rng, say(rng, rng.choice(_TITLE))), answer))
        elif way < 0.82:
            answer = first_upper(f"{spec.place[0]} {spec.place[1]}.")
            turns.append((as_typed(rng, say(rng, rng.choice(_WHERE), things)), answer))
        else:
            answer = say(rng, "(No, I made it up|I made it up|It is made up), (from what I have learnt of stories|as I went along|just for you).")
            turns.append((as_typed(rng, say(rng, rng.choice(_MADE_UP))), answer))
    return turns


def _fact_turns(rng):
    question, answer, name = fact_pair(rng)
    turns = [(question, answer)]
    if rng.random() < 0.15:
        other = [line for line in FACTS[name][1] if say(rng, line)[:25] != answer[:25]]
        if other:
            turns.append((as_typed(rng, say(rng, rng.choice(_EXPLAIN))), say(rng, rng.choice(other))))
    return turns


def _about_me(rng):
    said, reply, question, answer = rng.choice(ABOUT_ME)
    name, pronoun = stories.any_name(rng)
    things = {"name": name, "his": {"he": "his", "she": "her"}[pronoun], "city": rng.choice(CITIES), "kinds": stories.plural(rng.choice(stories.ANIMALS).replace("-", " ")),
              "colour": rng.choice(COLOURS)}
    typed = say(rng, said, things)
    if rng.random() < 0.3:
        typed = typed.lower()
    finished = lambda text: first_upper(say(rng, text, things))
    return (first_upper(typed) if rng.random() < 0.6 else typed, finished(reply)), (as_typed(rng, say(rng, question, things), decorate=False), finished(rng.choice(answer.split(" | "))))


def dialogue(rng, sources=None):
    """A list of (said, reply), and now and then a system message before it."""
    nouns = (sources or {}).get("nouns") or ()
    count = rng.choices([1, 2, 3, 4, 6, 8], [42, 22, 14, 11, 7, 4])[0]
    turns, later = [], None
    if rng.random() < 0.06:
        first, later = _about_me(rng)
        turns.append(first)
    while len(turns) < count:
        way = rng.random()
        if way < 0.27:
            new = _story_turns(rng, nouns)
        elif way < 0.65:
            new = _fact_turns(rng)
        elif way < 0.77:
            new = [talk_pair(rng)]
        elif way < 0.97:
            new = [beyond.pair(rng, sources)]
        else:
            new = [beyond.tiny_sum(rng)]
        if all(said and not too_near(said) for said, _ in new):
            turns.extend(new)
    if later:
        turns.append(later)
    system = rng.choice(SYSTEMS) if rng.random() < 0.1 else None
    return system, turns
