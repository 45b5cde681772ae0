#!/usr/bin/env python3
"""Makes the tiny checkpoints in tests/fixtures/models, with what the reference implementation says of them.

One folder per fixture:

    config.json, generation_config.json, model.safetensors   as `save_pretrained` writes them
    config.legacy.json   the same configuration in the spelling of transformers 4
    reference.json       prompts and greedy continuations
    logits.safetensors   logits of every position of the short prompt and of the last of the long one

The weights are random but lively: logits are far apart, and every feature of a family is shown to
matter by switching it off and looking whether the logits move. The reference runs in float64 throughout,
so that a difference of more than rounding is somebody's mistake; for the same reason it does what the
contract of a runner says and the model does not: keys and values are rounded to f16 as they would be in a
cache, and constant factors to f32. Without that, and to be compared less closely, it is in `exact_short`
and `exact_long`; the greedy tokens are the same.

    pip install torch==2.15.0 transformers==5.23.0 safetensors
    python tests/reference/checkpoints.py                  # all of them
    python tests/reference/checkpoints.py llama mistral    # these

The legacy spelling is written by the release that had it; torch is not needed for it:

    pip install transformers==4.53.3
    python tests/reference/checkpoints.py --legacy
"""

import argparse
import contextlib
import copy
import json
import math
import pathlib
import shutil
import struct
import sys

from fixtures import FIXTURES

ROOT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "models"
SHORT, LONG = 12, 100
GREEDY, LONG_GREEDY = 48, 12
# Between the best and the second best logit of every greedy step: far above what float32 rounding moves.
LEAST_GAP = 0.02
# How far switching a feature off must move some logit.
LEAST_EFFECT = 0.05


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--legacy", action="store_true", help="write config.legacy.json and nothing else")
    arguments.add_argument("names", nargs="*")
    arguments = arguments.parse_args()
    for name in arguments.names or FIXTURES:
        (write_legacy if arguments.legacy else write)(name, FIXTURES[name])


def configuration(fixture, **changes):
    """The configuration object of a fixture, with some keys changed."""
    import transformers

    keys = fixture["config"] | changes
    if not transformers.__version__.startswith("4."):
        # Plain operators everywhere: the fast ones do not know float64.
        keys |= {"attn_implementation": "eager", "experts_implementation": "eager"}
    config_class = getattr(transformers, fixture["config_class"])
    if "text_config" in keys:
        text = fixture["config"]["text_config"] | changes.pop("text_config", {})
        text_class = getattr(transformers, fixture["text_config_class"])
        keys = keys | {"text_config": text_class(**text).to_dict()}
    return config_class(**keys)


def write_legacy(name, fixture):
    import transformers

    assert transformers.__version__.startswith("4."), "this spelling was written by transformers 4"
    config = configuration(fixture, **fixture.get("legacy", {}))
    config.architectures = [fixture["model_class"]]
    config.torch_dtype = fixture["dtype"]
    config.to_json_file(ROOT / name / "config.legacy.json", use_diff=True)


def write(name, fixture):
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    config = configuration(fixture)
    vocabulary = config.get_text_config().vocab_size
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        model = random_model(fixture, config, generator)
        prompts = torch.randint(vocabulary, (SHORT + LONG,), generator=generator).tolist()
        short, long = prompts[:SHORT], prompts[SHORT:]
        with float64():
            runner = rebuilt(fixture, config, model, like_a_runner=True)
            greedy, gap = continued(runner, short, GREEDY)
            if gap < LEAST_GAP or len(set(greedy)) < GREEDY // 3:
                continue
            long_greedy, long_gap = continued(runner, long, LONG_GREEDY)
            if long_gap < LEAST_GAP or len(set(long_greedy)) < LONG_GREEDY // 3:
                continue
            logits = {"short": logits_of(runner, short), "long": logits_of(runner, long)[-1:].clone()}
            exact = rebuilt(fixture, config, model)
            if continued(exact, short, GREEDY)[0] != greedy or continued(exact, long, LONG_GREEDY)[0] != long_greedy:
                continue
            logits |= {"exact_short": logits_of(exact, short), "exact_long": logits_of(exact, long)[-1:].clone()}
        break
    else:
        sys.exit(f"{name}: no seed gives a lively model")

    effects = {}
    for feature, changes in fixture["features"].items():
        with float64():
            plain = rebuilt(fixture, configuration(fixture, **changes), model)
            effects[feature] = max(
                (logits_of(plain, short) - logits["exact_short"]).abs().max().item(),
                (logits_of(plain, long)[-1:] - logits["exact_long"]).abs().max().item(),
            )
        assert effects[feature] > LEAST_EFFECT, f"{name}: {feature} changes nothing ({effects[feature]})"

    folder = ROOT / name
    legacy = folder / "config.legacy.json"
    kept = legacy.read_text() if legacy.exists() else None
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    if kept is not None:
        legacy.write_text(kept)
    save_file({key: value.to(torch.float32) for key, value in logits.items()}, folder / "logits.safetensors")
    reference = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__, "seed": seed},
        "least_gap": round(min(gap, long_gap), 4),
        "effects": {feature: round(effect, 4) for feature, effect in effects.items()},
        "short": {"prompt": short, "greedy": greedy},
        "long": {"prompt": long, "greedy": long_greedy},
    }
    (folder / "reference.json").write_text(pretty(reference))
    size = sum(file.stat().st_size for file in folder.iterdir())
    spread = logits["short"].std().item()
    print(f"{name}: seed {seed}, {size / 1024:.0f} KiB, logits ±{spread:.1f}, {len(set(greedy))} tokens, {effects}")


def pretty(reference):
    """JSON with lists of numbers on one line."""
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in reference.items())
    return "{\n" + lines + "\n}\n"


def random_model(fixture, config, generator):
    import torch
    import transformers

    dtype = getattr(torch, fixture["dtype"])
    model = getattr(transformers, fixture["model_class"])(config).eval()
    gains = fixture.get("gains", {})
    for name, parameter in sorted(model.named_parameters()):
        parameter.data = random_tensor(name, parameter.shape, gains, generator).to(dtype)
    model = model.to(dtype)
    model.tie_weights()
    return model


def random_tensor(name, shape, gains, generator):
    import torch

    noise = torch.randn(shape, generator=generator)
    gain = next((gain for part, gain in gains.items() if part in name), 1.0)
    if len(shape) == 1:
        if name.endswith("bias"):
            return noise * 0.5 * gain
        # Signs of both kinds in the last norm keep a tied head from repeating its input for ever.
        last = name.split(".")[-2] == "norm" and "layers" not in name
        return (noise if last else 1.0 + 0.4 * noise) - gains.get("norm offset", 0.0)
    if "embed_tokens" in name:
        return noise * gain
    if "lm_head" in name:
        return noise * gain * 3.0 / math.sqrt(shape[-1])
    return noise * gain * 1.5 / math.sqrt(shape[-1])


@contextlib.contextmanager
def float64():
    """The models cast to float32 in places, whatever their own type; in here such casts give float64."""
    import torch

    saved = torch.float32, torch.float, torch.Tensor.float
    torch.float32 = torch.float = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.float32, torch.float, torch.Tensor.float = saved
        torch.set_default_dtype(saved[0])


def rebuilt(fixture, config, model, like_a_runner=False):
    """The model with the same weights in float64, under a configuration that may differ."""
    import torch
    import transformers

    config = copy.deepcopy(config)
    if like_a_runner:
        transformers.AttentionInterface.register("half_cache", half_cache)
        transformers.AttentionMaskInterface.register("half_cache", transformers.masking_utils.eager_mask)
        config._attn_implementation = "half_cache"
    exact = getattr(transformers, fixture["model_class"])(config).eval().to(torch.float64)
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    missing = exact.load_state_dict(weights, strict=False).missing_keys
    assert all("bias" in name for name in missing), missing  # features may be switched off, not on
    exact.tie_weights()
    if like_a_runner:
        for module in exact.modules():
            if hasattr(module, "embed_scale"):
                module.embed_scale = torch.tensor(single(module.embed_scale.item()))
    for name, buffer in exact.named_buffers():
        assert not buffer.is_floating_point() or buffer.dtype == torch.float64, name
    return exact


def half_cache(module, query, key, value, *arguments, scaling, **options):
    """Attention over keys and values that were rounded to f16, with a scale that was rounded to f32."""
    import torch

    eager = sys.modules[type(module).__module__].eager_attention_forward
    key, value = (stored.to(torch.float16).to(stored.dtype) for stored in (key, value))
    return eager(module, query, key, value, *arguments, scaling=single(scaling), **options)


def single(number):
    """Rounded to f32."""
    return struct.unpack("f", struct.pack("f", number))[0]


def logits_of(model, tokens):
    import torch

    logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
    assert logits.dtype == torch.float64
    return logits


def continued(model, tokens, count):
    """Greedy tokens, and the least distance between a best and a second best logit. Without a cache, so
    that the reference for caches cannot have a cache's mistakes."""
    tokens, drawn, gap = list(tokens), [], math.inf
    for _ in range(count):
        best = logits_of(model, tokens)[-1].topk(2)
        gap = min(gap, (best.values[0] - best.values[1]).item())
        drawn.append(best.indices[0].item())
        tokens.append(drawn[-1])
        if gap < LEAST_GAP:
            break
    return drawn, gap


if __name__ == "__main__":
    main()
