"""Dialogues as tokens, in the form of ChatML, just as the template in tokenizer_config.json writes them."""

END_OF_TEXT, TURN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END_OF_TEXT, TURN, END]

# Set in tokens that are read and not learnt.
READ_ONLY = 0x8000

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class Encoder:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.end_of_text, self.turn, self.end = (tokenizer.token_to_id(token) for token in SPECIAL)
        self.newline = self._ids("\n")
        self.assistant = self._ids("assistant\n")

    def _ids(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def text(self, text):
        return [*self._ids(text), self.end_of_text]

    def _heard(self, role, text):
        return [self.turn, *self._ids(f"{role}\n{text}"), self.end, *self.newline]

    def prompt(self, turns, system=None):
        """What stands before a reply; the last of the turns has none yet."""
        ids = self._heard("system", system) if system else []
        for said, reply in turns:
            ids += self._heard("user", said)
            ids += [self.turn, *self.assistant]
            if reply is not None:
                ids += [*self._ids(reply), self.end, *self.newline]
        return ids

    def dialogue(self, turns, system=None):
        """A whole dialogue, of which only the replies are learnt."""
        heard = lambda ids: [token | READ_ONLY for token in ids]
        ids = heard(self._heard("system", system)) if system else []
        for said, reply in turns:
            ids += heard(self._heard("user", said))
            ids += heard([self.turn, *self.assistant])
            ids += [*self._ids(reply), self.end]
            ids += heard(self.newline)
        return [*ids, self.end_of_text | READ_ONLY]
