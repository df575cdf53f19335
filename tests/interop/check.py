"""Do other programs load what booth wrote, with the same result, and booth what they wrote?

	python tests/interop/check.py BUILD SHARED      (called by tests/interop/run)

Prints "ok NAME" or "not ok NAME" for each check and ends with "N passed, N failed, N skipped".
"""
import copy
import inspect
import os
import re
import shutil
import subprocess
import sys
import traceback
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
warnings.filterwarnings("ignore")

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_kohya
from diffusers.utils import logging as diffusers_logging
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

for log in (diffusers_logging, transformers_logging):
    log.set_verbosity_error()
    log.disable_progress_bar()
BUILD, SHARED = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
FOLDERS = {
    "sd1-tiny": os.path.join(SHARED, "golden", "models", "sd1-tiny"),
    "sd2-tiny": os.path.join(SHARED, "golden", "models", "sd2-tiny"),
    "base": os.path.abspath("examples/base"),
}
WORK = os.path.abspath("build/scratch/interop")
LIMIT = 1e-4    # largest difference of the UNet's output, relative to its largest value
PROMPT = "a photo of a sks dog in a bucket"
checks = []


class Skip(Exception):
    pass


def check(f):
    checks.append(f)
    return f


def call(*words, stdin=None):
    env = dict(os.environ, PATH=os.path.join(BUILD, "bin") + ":" + os.environ["PATH"], BOOTH_STORE=os.path.join(WORK, "store"))
    r = subprocess.run([str(w) for w in words], cwd=WORK, env=env, input=stdin, capture_output=True, text=True)
    if r.returncode:
        raise AssertionError(f"{' '.join(map(str, words))}: exit {r.returncode}: {r.stderr.strip()[-600:]}")
    return r.stdout.strip()


def booth(stage, *words, stdin=None):
    if not os.path.exists(os.path.join(BUILD, "bin", "booth-" + stage)):
        raise Skip(f"booth-{stage} is not built")
    return call("booth-" + stage, "--quiet", *words, stdin=stdin)


def fresh(name):
    path = os.path.join(WORK, name)
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.remove(path)
    return path


def pipeline(path, **more):
    return StableDiffusionPipeline.from_pretrained(path, torch_dtype=torch.float32, safety_checker=None, local_files_only=True, **more)


def reference(model, known={}):
    """A pipeline of its own: it may be changed. Loading takes long, copying does not."""
    if model not in known:
        known[model] = pipeline(FOLDERS[model])
    return copy.deepcopy(known[model])


# ---- the UNet's answer, here and there ----


def inputs(pipe):
    g = torch.Generator().manual_seed(7)
    c = pipe.unet.config
    return dict(
        sample=torch.randn(2, c.in_channels, 16, 24, generator=g),
        timestep=torch.tensor([3.0, 801.0]),
        hidden=torch.randn(2, 77, c.cross_attention_dim, generator=g),
    )


def theirs(pipe, prompt=None):
    x = inputs(pipe)
    with torch.no_grad():
        if prompt:
            hidden = pipe.encode_prompt(prompt, "cpu", 1, False)[0]
            x["hidden"] = hidden.expand(2, -1, -1)
        return pipe.unet(x["sample"], x["timestep"], x["hidden"]).sample, x["hidden"]


def ours(pipe, model, *words):
    save_file(inputs(pipe), os.path.join(WORK, "in.safetensors"))
    call(os.path.join(BUILD, "tools", "unet_out"), model, os.path.join(WORK, "in.safetensors"), os.path.join(WORK, "out.safetensors"), *words)
    out = load_file(os.path.join(WORK, "out.safetensors"))
    return out["out"], out["hidden"]


def off(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def same(pipe, model, *words, prompt=None):
    """booth's answer for the model (a path) is that of the pipeline."""
    if prompt:
        words += ("--prompt", prompt)
    (a, ha), (b, hb) = ours(pipe, model, *words), theirs(pipe, prompt)
    for what, x, y in (("UNet", a, b), ("text encoder", ha, hb)):
        assert off(x, y) <= LIMIT, f"{what}: off by {off(x, y):.2g} of the largest value, {LIMIT:g} allowed"
    return f"off by {off(a, b):.1e}"


def same_weights(a, b):
    for part in ("unet", "vae", "text_encoder"):
        x, y = getattr(a, part).state_dict(), getattr(b, part).state_dict()
        assert x.keys() == y.keys(), f"{part}: names differ: {sorted(x.keys() ^ y.keys())[:4]}"
        for name in x:
            assert torch.equal(x[name], y[name]), f"{part}: '{name}' differs"


def same_config(a, b):
    for part in ("unet", "vae", "scheduler"):
        x, y = dict(getattr(a, part).config), dict(getattr(b, part).config)
        for k in x:
            assert k.startswith("_") or x[k] == y.get(k), f"{part}: {k} is {x[k]!r} and {y.get(k)!r}"


# ---- checks ----
# Each takes a model's name; a check with a second argument is called with the values of its `cases`.


@check
def base_model_is_read(model):
    return same(reference(model), FOLDERS[model], prompt=PROMPT)


TYPES = {"as it is": "keep", "f32": "f32", "f16": "f16", "bf16": "bf16"}


def rounded(model, dtype):
    """The reference with its weights as the type has them."""
    pipe = reference(model)
    how = {"f16": torch.float16, "bf16": torch.bfloat16}.get(dtype)
    if how:
        with torch.no_grad():
            for part in (pipe.unet, pipe.vae, pipe.text_encoder):
                for p in part.parameters():
                    p.copy_(p.to(how))
    return pipe


@check
def diffusers_folder(model, dtype):
    out = fresh(model + "-folder")
    booth("convert", "--model", FOLDERS[model], "--to", "diffusers", "--dtype", dtype, "--out", out)
    pipe = pipeline(out)
    same_weights(pipe, rounded(model, dtype))
    same_config(pipe, reference(model))
    return same(pipe, out, prompt=PROMPT)


diffusers_folder.cases = TYPES


def from_single(path, model):
    return StableDiffusionPipeline.from_single_file(
        path, config=FOLDERS[model], torch_dtype=torch.float32, safety_checker=None, local_files_only=True)


def to_single(model, dtype):
    out = fresh(model + "-single.safetensors")
    booth("convert", "--model", FOLDERS[model], "--to", "single", "--dtype", dtype, "--out", out)
    return out


@check
def single_file(model, dtype):
    out = to_single(model, dtype)
    pipe = from_single(out, model)
    same_weights(pipe, rounded(model, dtype))
    return same(pipe, out, "--tokenizer", os.path.join(FOLDERS[model], "tokenizer"), prompt=PROMPT)


single_file.cases = TYPES


@check
def checkpoint_by_torch(model, how):
    """A .ckpt as the original trainers save it, read by both; then a folder again, with the reference's weights."""
    out, folder = fresh(model + ".ckpt"), fresh(model + "-from-ckpt")
    tokenizer = os.path.join(FOLDERS[model], "tokenizer")
    torch.save({"epoch": 1, "global_step": 7, "state_dict": load_file(to_single(model, "keep"))}, out, **how)
    # configurations from the model's folder: the tiny ones cannot be known by their shapes
    booth("convert", "--model", out, "--config", FOLDERS[model], "--tokenizer", tokenizer, "--to", "diffusers", "--out", folder)
    pipe = pipeline(folder)
    same_weights(pipe, reference(model))
    same_weights(pipe, from_single(out, model))
    return same(pipe, folder, prompt=PROMPT)


checkpoint_by_torch.cases = {"zip": {}, "older format": dict(_use_new_zipfile_serialization=False)}


def trained(model, *words):
    """A LoRA of a few steps on real photographs: the reference of its table."""
    photos = os.path.join(SHARED, "photos", "dog")
    if not os.path.isdir(photos):
        raise Skip("there are no photographs")
    path, ref = FOLDERS[model], booth("prep", photos)
    ref = booth("caption", "--text", PROMPT, ref)
    ref = booth("bucket", "--square", "--resolution", "64", ref)
    ref = booth("encode-latents", "--model", path, ref)
    return booth("train", "--model", path, "--method", "lora", "--steps", "4", "--lr", "0.01", "--rank", "4", "--alpha", "3", *words, ref)


def lora_from_booth(model, to, words):
    out = fresh(f"{model}-{to}.safetensors")
    booth("convert", "--model", FOLDERS[model], "--to", to, "--out", out, trained(model, *words))
    pipe = reference(model)
    plain = theirs(pipe, PROMPT)[0]
    pipe.load_lora_weights(os.path.dirname(out), weight_name=os.path.basename(out))
    assert off(theirs(pipe, PROMPT)[0], plain) > 100 * LIMIT, "the LoRA has no effect"
    return same(pipe, FOLDERS[model], "--lora", out, prompt=PROMPT)


@check
def lora_for_others(model, case):
    return lora_from_booth(model, *case)


lora_for_others.cases = {
    "kohya": ("kohya", ()),
    "peft": ("peft", ()),
    "kohya, with the text encoder": ("kohya", ("--train", "unet,text")),
    "peft, with the text encoder": ("peft", ("--train", "unet,text")),
    "kohya, all linear layers": ("kohya", ("--lora-target", "linear")),
    "kohya, convolutions too": ("kohya", ("--lora-target", "conv")),
    "peft, convolutions too": ("peft", ("--lora-target", "conv")),
}


@check
def trained_checkpoint(model):
    photos = os.path.join(SHARED, "photos", "dog")
    if not os.path.isdir(photos):
        raise Skip("there are no photographs")
    path = FOLDERS[model]
    ref = booth("encode-latents", "--model", path, booth("bucket", "--square", "--resolution", "64", booth("caption", "--text", PROMPT, booth("prep", photos))))
    ref = booth("train", "--model", path, "--method", "full", "--train", "unet,text", "--steps", "3", "--lr", "0.001", ref)
    out = fresh(model + "-trained")
    booth("convert", "--model", path, "--to", "diffusers", "--out", out, ref)
    pipe = pipeline(out)
    assert off(theirs(pipe, PROMPT)[0], theirs(reference(model), PROMPT)[0]) > 100 * LIMIT, "training has no effect"
    return same(pipe, out, prompt=PROMPT)


@check
def saved_by_diffusers(model, case):
    out, pipe = fresh(model + "-saved"), reference(model)
    with torch.no_grad():
        for p in pipe.unet.parameters():
            p.mul_(1.01)
    if case.get("half"):
        pipe.unet.half().float()
        pipe.unet.half()
    pipe.save_pretrained(out, **case["how"])
    return same(pipeline(out, **{k: v for k, v in case["how"].items() if k == "variant"}), out, prompt=PROMPT)


saved_by_diffusers.cases = {
    "safetensors": dict(how={}),
    "pickles (.bin)": dict(how=dict(safe_serialization=False)),
    "variant fp16": dict(how=dict(variant="fp16"), half=True),
    "shards": dict(how=dict(max_shard_size="1MB")),
}


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]


def with_lora(model, targets, text):
    """A pipeline with a random LoRA by peft."""
    pipe = reference(model)
    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=3, init_lora_weights=False, target_modules=targets)
    pipe.unet.add_adapter(config)
    if text:
        pipe.text_encoder.add_adapter(LoraConfig(r=4, lora_alpha=3, init_lora_weights=False, target_modules=TEXT))
    return pipe


def metadata(network):
    """PEFT's configuration as diffusers' training scripts hand it on: all of it, since loading makes one of it again."""
    return network.peft_config["default"].to_dict()


def kohya_names(unet, text):
    """As kohya's scripts name them: paths of modules with underscores, the text encoder's with its outer level."""
    file = {}
    for prefix, state in (("lora_unet_", unet), ("lora_te_text_model_", text or {})):
        for name, value in state.items():
            module, which = name.removeprefix("text_model.").rsplit(".lora_", 1)
            file[prefix + module.replace(".", "_") + (".lora_down.weight" if which == "A.weight" else ".lora_up.weight")] = value
    return file


@check
def lora_saved_by_peft(model, case):
    pipe, folder = with_lora(model, case["targets"], case.get("text")), fresh(model + "-lora")
    state = get_peft_model_state_dict(pipe.unet)
    text = get_peft_model_state_dict(pipe.text_encoder) if case.get("text") else None
    scale = 3 / 4
    if case["as"].startswith("kohya"):
        os.makedirs(folder)
        file = kohya_names(state, text) if case["as"] == "kohya" else convert_state_dict_to_kohya({"unet." + k: v for k, v in state.items()})
        for name in [n for n in file if n.endswith("lora_down.weight")]:
            file[name.replace("lora_down.weight", "alpha")] = torch.tensor(3.0)
        file = {k: v.contiguous() for k, v in file.items()}
        save_file(file, os.path.join(folder, "lora.safetensors"))
    else:
        how = {"unet_lora_layers": state, "text_encoder_lora_layers": text, "weight_name": "lora.safetensors"}
        scale = 1
        # newer versions store alpha in the metadata; older ones leave it out, and it is the rank then
        if "unet_lora_adapter_metadata" in inspect.signature(pipe.save_lora_weights).parameters and case["as"] == "metadata":
            how["unet_lora_adapter_metadata"] = metadata(pipe.unet)
            if text:
                how["text_encoder_lora_adapter_metadata"] = metadata(pipe.text_encoder)
            scale = 3 / 4
        pipe.save_lora_weights(folder, **how)
    plain = reference(model)
    plain.load_lora_weights(folder, weight_name="lora.safetensors")
    (a, _), (b, _) = theirs(plain, PROMPT), theirs(pipe, PROMPT)
    if scale == 3 / 4:
        assert off(a, b) < LIMIT, f"diffusers itself reads another LoRA (off by {off(a, b):.2g})"
    return same(plain, FOLDERS[model], "--lora", os.path.join(folder, "lora.safetensors"), prompt=PROMPT)


lora_saved_by_peft.cases = {
    "peft": {"as": "peft", "targets": ATTENTION},
    "peft, text encoder": {"as": "peft", "targets": ATTENTION, "text": 1},
    "peft, alpha in the metadata": {"as": "metadata", "targets": ATTENTION, "text": 1},
    "peft, convolutions": {"as": "peft", "targets": ATTENTION + ["conv1", "conv2", "conv_shortcut", "proj_in", "proj_out", "ff.net.2", "ff.net.0.proj"]},
    "kohya": {"as": "kohya", "targets": ATTENTION, "text": 1},
    "kohya, as diffusers exports it": {"as": "kohya by diffusers", "targets": ATTENTION},
    "kohya, convolutions": {"as": "kohya", "targets": ATTENTION + ["conv1", "conv2", "proj_in", "proj_out", "ff.net.2"]},
}


@check
def lora_merged(model):
    """A LoRA file merged into the model by booth is the model with the LoRA."""
    pipe, path, out = with_lora(model, ATTENTION, True), os.path.join(WORK, model + "-kohya.safetensors"), fresh(model + "-merged")
    file = kohya_names(get_peft_model_state_dict(pipe.unet), get_peft_model_state_dict(pipe.text_encoder))
    for name in [n for n in file if n.endswith("lora_down.weight")]:
        file[name.replace("lora_down.weight", "alpha")] = torch.tensor(3.0)
    save_file({k: v.contiguous() for k, v in file.items()}, path)
    booth("convert", "--model", FOLDERS[model], "--from-lora", path, "--merge", "--dtype", "f32", "--to", "diffusers", "--out", out)
    assert off(theirs(pipeline(out), PROMPT)[0], theirs(pipe, PROMPT)[0]) <= LIMIT, "the merged model is another one"
    return same(pipe, out, prompt=PROMPT)


def run(name, f, *args):
    try:
        note = f(*args)
        print(f"ok {name}" + (f" # {note}" if note else ""), flush=True)
        return "passed"
    except Skip as e:
        print(f"ok {name} # skip: {e}", flush=True)
        return "skipped"
    except Exception as e:
        print(f"not ok {name}\n# {type(e).__name__}: {e}", flush=True)
        if not isinstance(e, AssertionError):
            print("# " + traceback.format_exc().replace("\n", "\n# "))
        return "failed"


def main():
    only = sys.argv[3] if len(sys.argv) > 3 else ""
    count = dict(passed=0, failed=0, skipped=0)
    os.makedirs(WORK, exist_ok=True)
    torch.set_num_threads(1)     # the models are tiny, and threads that spin are slow on a busy machine
    for model in FOLDERS:
        for f in checks:
            for case, value in getattr(f, "cases", {"": None}).items():
                name = f"{model}: {f.__name__.replace('_', ' ')}" + (f" ({case})" if case else "")
                if re.search(only, name):
                    count[run(name, f, model, *([value] if case else []))] += 1
    shutil.rmtree(WORK, ignore_errors=True)
    print(", ".join(f"{n} {k}" for k, n in count.items()))
    sys.exit(count["failed"] > 0)


main()
