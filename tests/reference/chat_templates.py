"""Expected outputs of chat templates, made by the Python library `transformers`.

    pip install transformers jinja2
    python tests/reference/chat_templates.py own             # the templates of models/tests/fixtures/chat
    python tests/reference/chat_templates.py folder DIR OUT  # every *.jinja of DIR, into OUT
    python tests/reference/chat_templates.py real DIR        # those of REAL in DIR, into real.json beside the fixtures

Each template is rendered with the conversations below, at a fixed time, through `apply_chat_template`. Where
that raises an error, the output is null.
"""

import json
import sys
from datetime import datetime
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

FIXTURES = Path(__file__).parents[2] / "models/tests/fixtures/chat"

# Widely used models. Their outputs are kept, their templates are not ours to keep.
REAL = [
    "HuggingFaceTB-SmolLM3-3B",
    "Qwen-Qwen2.5-7B-Instruct",
    "Qwen-Qwen3-0.6B",
    "google-gemma-2-2b-it",
    "meta-llama-Llama-3.1-8B-Instruct",
    "meta-llama-Llama-3.2-3B-Instruct",
    "meta-llama-Llama-3.3-70B-Instruct",
    "microsoft-Phi-3.5-mini-instruct",
    "mistralai-Mistral-Nemo-Instruct-2407",
]


class FixedTime(datetime):
    """A clock that stands still, so that outputs can be compared."""

    @classmethod
    def now(cls, tz=None):
        return cls(2025, 3, 7, 15, 4, 5)


chat_template_utils.datetime = FixedTime


def message(role, content, **fields):
    return {"role": role, "content": content, **fields}


CALL = {"type": "function", "id": "call00001", "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 2}}}
CASES = [
    ("one", [message("user", "Hello!")], {}),
    ("system", [message("system", "Be brief."), message("user", "Hello!")], {}),
    (
        "turns",
        [
            message("system", "  You speak\nplainly. "),
            message("user", " What is 2 < 3 & \"so\"? \n"),
            message("assistant", "\n\nTrue. 🙂 \n"),
            message("user", "Grüße, 世界\n\n- one\n- two"),
        ],
        {},
    ),
    ("ended", [message("user", "Hi"), message("assistant", "Hello.")], {"add_generation_prompt": False}),
    (
        "reasoning",
        [
            message("user", "6 * 7?"),
            message("assistant", "42", reasoning_content="Six sevens\nare 42."),
            message("user", "And 6 * 8?"),
        ],
        {},
    ),
    (
        "reasoning_last",
        [message("user", "6 * 7?"), message("assistant", "42", reasoning_content="Six sevens.")],
        {"add_generation_prompt": False},
    ),
    (
        "written_thinking",
        [
            message("user", "6 * 7?"),
            message("assistant", "<think>\nSix sevens.\n</think>\n\n42"),
            message("user", "Why?"),
        ],
        {},
    ),
    ("thinking", [message("user", "Hi")], {"enable_thinking": True}),
    ("no_thinking", [message("user", "Hi")], {"enable_thinking": False}),
    ("dated", [message("user", "Hi")], {"date_string": "1 Apr 2024"}),
    (
        "tool_turns",
        [
            message("user", "Weather?"),
            message("assistant", "", tool_calls=[CALL]),
            message("tool", '{"sky": "clear"}', name="weather", tool_call_id="call00001"),
            message("assistant", "Clear."),
            message("user", "Thanks"),
        ],
        {},
    ),
    ("two_users", [message("user", "One"), message("user", "Two")], {}),
]


def render(template, messages, options):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>", chat_template=template
    )
    options = {"add_generation_prompt": True, **options}
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, **options)
    except Exception as error:  # whatever it is, it is the template's answer
        print(f"    {type(error).__name__}: {error}", file=sys.stderr)
        return None


def outputs(templates):
    found = {}
    for path in sorted(templates):
        print(path.name, file=sys.stderr)
        template = path.read_text()
        found[path.name] = {name: render(template, messages, options) for name, messages, options in CASES}
    return found


def write(path, data):
    path.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n")


def main():
    cases = [{"name": name, "messages": messages, "variables": options} for name, messages, options in CASES]
    match sys.argv[1:]:
        case ["own"]:
            write(FIXTURES / "cases.json", cases)
            write(FIXTURES / "expected.json", outputs((FIXTURES / "templates").glob("*.jinja")))
        case ["folder", folder, out]:
            write(Path(out), outputs(Path(folder).glob("*.jinja")))
        case ["real", folder]:
            write(FIXTURES / "real.json", outputs(Path(folder) / f"{name}.jinja" for name in REAL))
        case _:
            sys.exit(__doc__)


main()
