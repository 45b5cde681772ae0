"""Stories and requests for them: what a request names appears in its story."""

from dataclasses import dataclass, field

from phrases import a, as_typed, first_upper, say
from plots import PLOTS
from words import (ANIMALS, BOYS, CHILDREN, ENDINGS, FANTASY, FEARS, FOODS, GIRLS, LIVELY, LOOKS, LOOKS_OF_OBJECTS, OBJECTS, PEOPLE, PETS, PLACES,
                   SYLLABLES, THEMES, WEATHER)

DREAMS = ["the sea", "the high mountains", "the big city", "the end of the rainbow", "the place where the river begins", "the other side of the hill",
          "the lights of the harbour", "snow", "the great forest", "a whale", "the moon from close by", "the old castle", "the desert", "the north wind"]

_PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself"), "it": ("it", "it", "its", "itself")}


@dataclass
class Figure:
    kind: str
    name: str = ""
    look: str = ""
    pronoun: str = "he"
    kind_said: bool = True

    @property
    def short(self):
        return self.name or "the " + self.kind

    def introduced(self, rng):
        """As the story first speaks of it."""
        look = self.look + " " if self.look else ""
        if not self.name:
            return a(look + self.kind)
        if not self.kind_said:
            return self.name
        called = rng.choice(["called", "named", "whose name was", "by the name of"])
        return f"{a(look + self.kind)} {called} {self.name}"


@dataclass
class Spec:
    """What a story is made of, and which of it the request names."""
    hero: Figure
    friend: Figure
    thing: str
    place: tuple
    weather: str
    fear: str
    food: str
    theme: str = ""
    plot: str = ""
    named: set = field(default_factory=set)


def any_name(rng):
    """A name, now and then one that nobody has, so that names are copied and not known."""
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(GIRLS), "she"
    if kind < 0.6:
        return rng.choice(BOYS), "he"
    if kind < 0.8:
        return rng.choice(PETS), rng.choice(["he", "she"])
    made = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([1, 2, 2, 3]))) + rng.choice(ENDINGS)
    return first_upper(made), rng.choice(["he", "she"])


def any_kind(rng, nouns):
    pick = rng.random()
    if pick < 0.50:
        kind = rng.choice(ANIMALS)
    elif pick < 0.64:
        kind = rng.choice(FANTASY)
    elif pick < 0.74:
        kind = rng.choice(LIVELY)
    elif pick < 0.90:
        kind = rng.choice(PEOPLE)
    elif pick < 0.95 or not nouns:
        kind = rng.choice(CHILDREN)
    else:
        kind = rng.choice(nouns)
    return kind.replace("-", " ")


def any_figure(rng, nouns, not_like=None):
    while True:
        figure = Figure(any_kind(rng, nouns))
        if rng.random() < 0.6:
            figure.name, figure.pronoun = any_name(rng)
        else:
            figure.pronoun = rng.choice(["he", "she"])
        if figure.kind in ("girl", "queen", "princess", "mermaid", "witch", "grandmother", "hen", "cow", "goose"):
            figure.pronoun = "she"
        elif figure.kind in ("boy", "king", "prince", "wizard", "grandfather", "rooster", "fisherman", "postman"):
            figure.pronoun = "he"
        elif figure.kind in LIVELY and not figure.name:
            figure.pronoun = "it"
        if figure.kind in CHILDREN and figure.name in GIRLS:
            figure.kind = "girl"
        elif figure.kind in CHILDREN and figure.name in BOYS:
            figure.kind = "boy"
        elif figure.kind in CHILDREN:
            figure.pronoun = {"girl": "she", "boy": "he"}.get(figure.kind, figure.pronoun)
        if rng.random() < 0.4:
            figure.look = rng.choice(LOOKS)
        if not_like is None or (figure.kind != not_like.kind and figure.name != not_like.name) or (figure.name and not_like.name and figure.name != not_like.name):
            return figure


def any_thing(rng, nouns):
    thing = rng.choice(nouns) if nouns and rng.random() < 0.12 else rng.choice(OBJECTS).replace("-", " ")
    return rng.choice(LOOKS_OF_OBJECTS) + " " + thing if rng.random() < 0.5 else thing


def any_spec(rng, nouns=()):
    hero = any_figure(rng, nouns)
    friend = any_figure(rng, nouns, hero)
    spec = Spec(hero, friend, any_thing(rng, nouns), rng.choice(PLACES), rng.choice(WEATHER), rng.choice(FEARS), rng.choice(FOODS))
    spec.plot = rng.choice(list(PLOTS))
    if rng.random() < 0.35:
        spec.theme = rng.choice(list(THEMES))
    return spec


_OPENINGS = [
    "(Once upon a time|Once|Long ago|Many years ago), {at_place}, there (lived|was) {a_hero}.",
    "There was once {a_hero}, who lived {at_place}.",
    "{At_place} lived {a_hero}.",
    "(Once|Once upon a time) there was {a_hero}. {He} lived {at_place}.",
    "(Far away|Not far from here|Somewhere), {at_place}, lived {a_hero}.",
    "{A_hero} lived {at_place}.",
    "(In a year that nobody remembers|One year, when the summer was long), there was {a_hero} {at_place}.",
]
_DETAILS = [
    "(Every|Each) (morning|evening), {he} (looked out of the window|greeted the sun|swept the floor|listened to the birds).",
    "{He} was (known for|loved for) {his} (good heart|loud laugh|quiet ways|sharp eyes).",
    "{Hero} (did not have much|had not many friends), but {he} was (content|cheerful|never in a bad mood).",
    "It was a (quiet|windy|sunny|green|small) place, and (not much happened|everybody knew everybody) there.",
    "{Hero} liked (early mornings|the smell of rain|long walks|warm {food}|old songs).",
]
_CLOSINGS = ["The end.", "And that is the end of the story.", "And if they have not moved away, they live there still.", "Good night.", "And so it was."]


def _things(rng, spec):
    hero, friend = spec.hero, spec.friend
    he, him, his, himself = _PRONOUNS[hero.pronoun]
    fhe, fhim, fhis, _ = _PRONOUNS[friend.pronoun]
    preposition, place = spec.place
    # "in the north" has no other way to be said, and neither have its like.
    of_place = "of " + place
    other = rng.choice([fear for fear in FEARS if fear != spec.fear])
    dream = rng.choice(DREAMS)
    to = {"at": "to", "in": "into", "on": "onto", "by": "to", "under": "under"}[preposition]
    if place.startswith(("a ", "school", "the north", "the snow")):
        to = "to"
    things = {
        "hero": hero.short, "Hero": first_upper(hero.short), "a_hero": hero.introduced(rng), "hero_name": hero.name or hero.kind,
        "he": he, "him": him, "his": his, "himself": himself, "He": first_upper(he), "His": first_upper(his),
        "friend": friend.short, "Friend": first_upper(friend.short), "a_friend": friend.introduced(rng), "friend_name": friend.name or friend.kind,
        "fhe": fhe, "fhim": fhim, "fhis": fhis, "Fhe": first_upper(fhe), "Fhis": first_upper(fhis),
        "thing": spec.thing, "a_thing": a(spec.thing), "place": place, "at_place": f"{preposition} {place}", "to_place": f"{to} {place}",
        "of_place": of_place, "weather": spec.weather, "fear": spec.fear, "other_fear": other, "food": spec.food,
        "dream": dream, "dream_upper": first_upper(dream),
    }
    things["At_place"] = first_upper(things["at_place"])
    things["A_hero"] = first_upper(things["a_hero"])
    things["A_friend"] = first_upper(things["a_friend"])
    return things


def tell(rng, spec):
    """The story, in paragraphs."""
    things = _things(rng, spec)
    beats, _ = PLOTS[spec.plot]
    paragraphs = [say(rng, rng.choice(_OPENINGS), things)]
    if rng.random() < 0.5:
        paragraphs[-1] += " " + say(rng, rng.choice(_DETAILS), things)
    met = False
    for beat in beats:
        lines = beat
        if not met:
            # Whoever was not introduced is introduced where the plot first speaks of it.
            introducing = [line for line in lines if "{a_friend}" in line]
            lines = introducing if introducing else lines
        line = rng.choice(lines)
        begins, line = line.startswith("//"), line.removeprefix("//").strip()
        if "{friend}" in line or "{Friend}" in line or "{a_friend}" in line:
            if not met and "{a_friend}" not in line:
                line = _introduce(line)
            elif met:
                line = line.replace("{a_friend}", "{friend}")
            met = True
        text = say(rng, line, things)
        if begins:
            paragraphs.append(text)
        else:
            paragraphs[-1] += " " + text
    if spec.theme:
        paragraphs.append(say(rng, rng.choice(THEMES[spec.theme])))
    if rng.random() < 0.2:
        paragraphs.append(rng.choice(_CLOSINGS))
    return "\n\n".join(paragraphs)


def _introduce(line):
    for pattern in ("{friend}", "{Friend}"):
        place = line.find(pattern)
        if place >= 0 and not line[place + len(pattern):].startswith("'s"):
            upper = pattern == "{Friend}"
            return line[:place] + ("{A_friend}" if upper else "{a_friend}") + line[place + len(pattern):]
    return line


# What a request can name: each pattern, and the parts of the story that it asks for.
_ASK = [
    ("(tell|write|give|read|make up|invent) (me|us|) (a|a short|a little|another) story", ""),
    ("(tell|write|make up|invent) (me|) a (tale|fairy tale|bedtime story|fable)", ""),
    ("(can|could|would|will) you (please|) (tell|write|make up) (me|us|my son|my daughter|the children|) a (story|short story|bedtime story|tale)", ""),
    ("(I want|I would like|I'd like|I wish for|I need) a (story|short story|bedtime story|tale|fairy tale)", ""),
    ("(please|) a story", ""),
    ("story", ""),
    ("(how about|what about) a (story|tale)", ""),
    ("do you know a (story|tale|fairy tale)", ""),
    ("a (short|nice|new|funny|sad|calm|little) story", ""),
    ("(I want|I would like) to hear a (story|tale)", ""),
    ("(spin|weave|improvise|compose|narrate) (me|us|) a (yarn|tale|story)", ""),
    ("story time: something", ""),
    ("(I am in the mood for|I could use|I feel like|we need|we want) a (story|tale|bedtime story)", ""),
    ("(have you|have you got|is there|got) (a story|any story|a good story|something)", ""),
    ("(the kids|my children|we all|the little ones) want a story", ""),
    ("(let me|let us) (hear|listen to|read) (something|a story|one)", ""),
    ("(something|one|a few lines|a small adventure|an adventure|a little tale)", ""),
    ("(it is|it's) (late|bedtime|raining|cold outside), (so|) (a story|tell something|something)", ""),
    ("(read|tell) (something|one)", ""),
]
_WITH_HERO = [
    " about {a_hero}", " of {a_hero}", " with {a_hero}", " in which {a_hero} appears", " where the hero is {a_hero}", " on {a_hero}",
    ", {a_hero} should be in it", " starring {a_hero}", " featuring {a_hero}", ": {a_hero}", " that has {a_hero} in it", " for somebody who likes {a_hero}",
]
_WITH_BOTH = [
    " about {a_hero} and {a_friend}", " of {a_hero} and {a_friend}", " with {a_hero} and {a_friend}", " about two friends, {a_hero} and {a_friend}",
    " about how {a_hero} met {a_friend}", " about {a_hero} who meets {a_friend}", " in which {a_hero} and {a_friend} become friends",
    " of {a_hero} that helps {a_friend}", ", {a_hero} and {a_friend} should be in it", " starring {a_hero} and {a_friend}", " on the day when {a_hero} met {a_friend}",
    " where {a_hero} and {a_friend} quarrel", " with {a_friend} and {a_hero} in it",
]
_WITH_THING = [
    " and {a_thing}", " who has {a_thing}", " who finds {a_thing}", " who loses {a_thing}", " with {a_thing}", " and {his} {thing}", ", and there should be {a_thing} in it",
    ", with {a_thing} in it", " looking for {a_thing}",
]
_WITH_PLACE = [" {at_place}", ", {at_place}", " living {at_place}", ", and it should happen {at_place}", " who lives {at_place}", ". It happens {at_place}"]
_WITH_THEME = [" on {theme}", ", about {theme}", " that teaches {theme}", ", and it should be about {theme}", " and {theme}", ". The moral should be {theme}"]
_WITH_WEATHER = [" in the {weather}", ", with {weather} in it", " lost in the {weather}", " and the {weather}"]
_SHORT = ["{hero_kind}, {thing}, {place}", "story: {hero_kind} and {thing}", "{hero_kind} and {thing}", "story about {hero_kind}", "{a_hero} and {a_thing}, please", "story with {hero_kind} {at_place}",
          "something with {a_hero} and {a_thing}", "something about {a_hero} {at_place}", "one with {a_hero}", "it should be about {a_hero} and {a_thing}", "make it about {a_hero}",
          "what happened to {a_hero} {at_place}?", "how did {a_hero} get {a_thing}?", "{a_hero} finds {a_thing}, what happens then?", "(today|tonight) with {a_hero}", "(maybe|perhaps) {a_hero} and {a_thing}?",
          "what about {a_hero} {at_place}?", "there should be {a_hero} and {a_thing} in it", "once more, with {a_hero}", "I like {a_hero} best, and {a_thing}"]
_FOR_CHILD = ["my (son|daughter|child|niece|nephew|sister|brother) {name} (loves|likes) {kinds}, (tell|write) (him|her|them) a story", "a story for {name}, who (likes|loves) {kinds}",
              "{name} cannot sleep, tell a story about {a_kind}", "(tell|read) {name} a story about {a_kind}", "I am {name} and I like {kinds}. Tell me a story"]
_BEGUN = ["(Once|Once upon a time) there was {a_hero}. (Go on|Continue|What happened)", "(continue|go on|finish the story): {Name_line}", "how does this story go on: {Name_line}",
          "{Name_line}"]
_FEAR = [" who is afraid of {fear}", " that was afraid of {fear}", " who fears {fear}", " scared of {fear}"]
_FOOD = [" who makes {food} for {a_friend}", " who cooks {food} for {a_friend}", " who shares {food} with {a_friend}"]


def plural(kind):
    if kind.endswith("man"):
        return kind[:-3] + "men"
    irregular = {"mouse": "mice", "wolf": "wolves", "goose": "geese", "sheep": "sheep", "deer": "deer", "fish": "fish", "elf": "elves", "child": "children", "calf": "calves",
                 "dormouse": "dormice", "moose": "moose", "salmon": "salmon", "squid": "squid"}
    if kind in irregular:
        return irregular[kind]
    if kind.endswith("y") and kind[-2] not in "aeiou":
        return kind[:-1] + "ies"
    return kind + ("es" if kind.endswith(("s", "x", "ch", "sh")) else "s")


def request(rng, spec):
    """A request for this story; it may settle what the story is about. Returns the text and what must appear."""
    things = _things(rng, spec)
    hero, friend = spec.hero, spec.friend
    things.update(hero_kind=hero.kind, theme=spec.theme or "kindness", name=hero.name, kinds=plural(hero.kind), a_kind=a(hero.kind))
    # In a request, somebody with a name can go without saying what they are.
    for figure, key in ((hero, "a_hero"), (friend, "a_friend")):
        if figure.name and rng.random() < 0.4:
            things[key] = figure.name
            if rng.random() < 0.5 and figure is hero and figure.name in GIRLS + BOYS:
                figure.kind_said = False
    must = []
    way = rng.random()
    ask = rng.choice(_ASK)[0]
    if way < 0.06:
        text = ask
    elif way < 0.13 and hero.name:
        if hero.kind in CHILDREN:
            hero.kind = rng.choice(ANIMALS).replace("-", " ")
            things.update(kinds=plural(hero.kind), a_kind=a(hero.kind))
        text, must = rng.choice(_FOR_CHILD), [hero.name, hero.kind]
        hero.kind_said = True
    elif way < 0.18:
        things["Name_line"] = f"There was once {hero.introduced(rng)} {things['at_place']}."
        text, must = rng.choice(_BEGUN), [hero.name or hero.kind]
    elif way < 0.25:
        hero.name = "" if rng.random() < 0.7 else hero.name
        text = rng.choice(_SHORT)
        must = [hero.kind] if "{hero_kind}" in text or not hero.name else [hero.name]
        hero.kind_said = True
        things["a_hero"] = hero.introduced(rng)
        must += [spec.thing] if "thing}" in text else []
        must += [spec.place[1]] if "place}" in text else []
    elif way < 0.32:
        spec.plot = "afraid"
        text, must = ask + rng.choice(_WITH_HERO) + rng.choice(_FEAR), [spec.fear, hero.name or hero.kind]
    elif way < 0.37:
        spec.plot = rng.choice(["work for another", "greedy"])
        food = rng.choice(_FOOD)
        if "shares" not in food:
            spec.plot = "work for another"
        text, must = ask + rng.choice(_WITH_HERO[:3]) + food, [spec.food, hero.name or hero.kind, friend.name or friend.kind]
    elif way < 0.57:
        text, must = ask + rng.choice(_WITH_BOTH), [hero.name or hero.kind, friend.name or friend.kind]
        if "become friends" in text:
            spec.plot = "unlike friends"
    else:
        text, must = ask + rng.choice(_WITH_HERO), [hero.name or hero.kind]
    if 0.37 <= way:
        if rng.random() < 0.55:
            with_thing = rng.choice(_WITH_THING)
            if "finds" in with_thing:
                spec.plot = "found thing"
            elif "loses" in with_thing or "looking for" in with_thing:
                spec.plot = "lost thing"
            elif "two friends" in text or "share" in with_thing:
                spec.plot = "sharing"
            text += with_thing
            must.append(spec.thing)
        if rng.random() < 0.25:
            text += rng.choice(_WITH_PLACE)
            must.append(spec.place[1])
        elif rng.random() < 0.12:
            spec.plot = "lost way"
            text += rng.choice(_WITH_WEATHER)
            must.append(spec.weather)
        if rng.random() < 0.15:
            spec.theme = spec.theme or rng.choice(list(THEMES))
            things["theme"] = spec.theme
            text += rng.choice(_WITH_THEME)
    if rng.random() < 0.15:
        text += rng.choice([", please", " please", ". Thank you", ", thanks", ". Make it short", ". A short one", " for bedtime", ". Keep it simple"])
    text = say(rng, text, things)
    if rng.random() < 0.5:
        text += rng.choice([".", "!", "?" if text.startswith(("can", "could", "would", "will", "how", "do")) else "."])
    return text, must


def pair(rng, nouns=()):
    """A request as it might be typed, its story, and what it was made of."""
    while True:
        spec = any_spec(rng, nouns)
        text, must = request(rng, spec)
        story = tell(rng, spec)
        if all(word.lower() in story.lower() for word in must):
            return _typed(rng, text, must), story, spec


def _typed(rng, text, must):
    """Names keep their letters, or else nobody could know them."""
    for _ in range(8):
        typed = as_typed(rng, text)
        if all(word.lower() in typed.lower() for word in must if word.lower() in text.lower()):
            return typed
    return text
