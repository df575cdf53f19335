"""The same step in PyTorch and diffusers: SD 1.5's UNet at full size with random weights, f32, channels_last,
forward and backward with all gradients, no optimizer. Prints as tests/tools/bench_unet.c does.

	python torch_unet.py [--size 64] [--batch 1] [--threads 2] [--steps 1] [--lora RANK] [--model FOLDER]

With --model the weights are those of a folder in diffusers' layout.
"""
import argparse
import os
import time

with open("/proc/self/stat") as f:      # when the program was started, in seconds since the machine was
    start = int(f.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def age():
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start


import torch
from diffusers import UNet2DConditionModel

SD15 = dict(
    sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=768, attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280), norm_num_groups=32, norm_eps=1e-5, flip_sin_to_cos=True, freq_shift=0,
    down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
)


def fill(unet):
    """Weights as bench_unet.c draws them; the classes' own initialization takes much longer."""
    for name, p in unet.named_parameters():
        with torch.no_grad():
            if p.dim() > 1:
                bound = (3 / p[0].numel()) ** 0.5
                p.uniform_(-bound, bound)
            else:
                p.fill_(float("norm" in name and name.endswith(".weight")))


def make(lora, model):
    if model:
        unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet", torch_dtype=torch.float32, local_files_only=True)
    else:
        with torch.device("meta"):
            unet = UNet2DConditionModel(**SD15)
        unet = unet.to_empty(device="cpu")
        fill(unet)
    unet = unet.to(memory_format=torch.channels_last)
    if lora:
        from peft import LoraConfig

        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=lora, lora_alpha=lora, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    return unet.train()


def peak_memory():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def main():
    a = argparse.ArgumentParser()
    for name, value in (("size", 64), ("batch", 1), ("threads", 2), ("steps", 1), ("lora", 0)):
        a.add_argument("--" + name, type=int, default=value)
    a.add_argument("--model")
    a = a.parse_args()
    if a.lora:
        import peft  # noqa: F401 (with the other libraries, for the time it takes)
    imported = age()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    unet = make(a.lora, a.model)
    print(f"imported {imported:.2f} s\nloaded {age() - imported:.2f} s", flush=True)
    x = torch.randn(a.batch, 4, a.size, a.size).to(memory_format=torch.channels_last)
    target, text = torch.randn_like(x), torch.randn(a.batch, 77, 768)
    t = torch.full((a.batch,), 500)
    for i in range(a.steps + 1):
        unet.zero_grad(set_to_none=True)
        begin = time.perf_counter()
        loss = torch.nn.functional.mse_loss(unet(x, t, text).sample, target)
        loss.backward()
        print(f"{'step' if i else 'first-step'} {time.perf_counter() - begin:.3f} s, loss {loss.item():g}", flush=True)
        if i == 0:
            print(f"first-step-after {age():.2f} s\nkernel {os.times().system:.2f} s", flush=True)
    print(f"memory {peak_memory() / 1e6:.0f} MB measured")


main()
