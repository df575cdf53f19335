"""What tests/tools/bench_step.c does, in PyTorch and diffusers: training steps of a UNet of full size with random
weights (autocast, channels_last, scaled-dot-product attention, gradients clipped by norm, fused AdamW), or pictures
by DDIM with guidance. Prints the same lines; with --compile "compiled-step" and "compiled-picture" as well.

	python torch_step.py [--kind sd15|sd2|tiny] [--size 64] [--batch 1] [--lora RANK] [--steps 10] [--warm 3]
	                     [--device cuda] [--precision f32|bf16|fp16] [--compile] [--sample STEPS]
"""
import argparse
import time

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

DOWN, UP = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",), ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
WIDE = dict(sample_size=64, layers_per_block=2, block_out_channels=(320, 640, 1280, 1280), down_block_types=DOWN, up_block_types=UP)
KINDS = {
    "sd15": dict(WIDE, cross_attention_dim=768, attention_head_dim=8),
    "sd2": dict(WIDE, cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True),
    "tiny": dict(sample_size=16, layers_per_block=1, block_out_channels=(32, 64), cross_attention_dim=32, attention_head_dim=2, norm_num_groups=8,
                 down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2),
}
VAE = dict(latent_channels=4, layers_per_block=2, sample_size=512, block_out_channels=(128, 256, 512, 512),
           down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
TINY_VAE = dict(VAE, block_out_channels=(32, 32), layers_per_block=1, norm_num_groups=8,
                down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fill(net):
    """Uniform weights of variance 1 / fan-in; norms are 1. The classes' own initialization takes much longer."""
    for name, p in net.named_parameters():
        with torch.no_grad():
            if p.dim() > 1:
                p.uniform_(-(3 / p[0].numel()) ** 0.5, (3 / p[0].numel()) ** 0.5)
            else:
                p.fill_(float("norm" in name and name.endswith(".weight")))
    return net


def make(cls, config, device):
    with torch.device("meta"):
        net = cls(**config)
    return fill(net.to_empty(device=device)).to(memory_format=torch.channels_last)


class Clock:
    """Seconds of what is done between start and stop, on the device too."""

    def __init__(self, device):
        self.wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def start(self):
        self.wait()
        self.at = time.perf_counter()

    def stop(self):
        self.wait()
        return time.perf_counter() - self.at


def train(a, clock):
    config = KINDS[a.kind]
    unet = make(UNet2DConditionModel, config, a.device).train()
    if a.lora:
        from peft import LoraConfig

        unet.requires_grad_(False)
        if a.precision != "f32":        # as training scripts do: what does not learn is held in 16 bits
            unet.to(TYPES[a.precision])
        unet.add_adapter(LoraConfig(r=a.lora, lora_alpha=a.lora, init_lora_weights="gaussian", target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
        for p in unet.parameters():
            if p.requires_grad:
                p.data = p.data.float()
    learns = [p for p in unet.parameters() if p.requires_grad]
    cuda = a.device.startswith("cuda")
    optimizer = torch.optim.AdamW(learns, lr=1e-5, fused=cuda)
    scaler = torch.amp.GradScaler(a.device.split(":")[0], enabled=a.precision == "fp16")
    x = torch.randn(a.batch, 4, a.size, a.size, device=a.device).to(memory_format=torch.channels_last)
    target, text = torch.randn_like(x), torch.randn(a.batch, 77, config["cross_attention_dim"], device=a.device)
    t = torch.full((a.batch,), 500, device=a.device)

    def step(net):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(a.device.split(":")[0], TYPES[a.precision], enabled=a.precision != "f32"):
            loss = torch.nn.functional.mse_loss(net(x, t, text).sample.float(), target)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(learns, 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss

    def rounds(net, name):
        for i in range(a.warm + a.steps):
            clock.start()
            loss = step(net)
            seconds = clock.stop()
            print(f"{name if i >= a.warm else 'warm-' + name} {seconds:.6f} s, loss {loss.item():g}", flush=True)

    rounds(unet, "step")
    if cuda:
        print(f"memory {torch.cuda.max_memory_reserved() / 1e6:.0f} MB measured", flush=True)
    if a.compile:
        rounds(torch.compile(unet), "compiled-step")


@torch.no_grad()
def sample(a, clock):
    config, dtype = KINDS[a.kind], TYPES[a.precision]
    unet = make(UNet2DConditionModel, config, a.device).to(dtype).eval()
    vae = make(AutoencoderKL, TINY_VAE if a.kind == "tiny" else VAE, a.device).to(dtype).eval()
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    text = torch.randn(2, 77, config["cross_attention_dim"], device=a.device, dtype=dtype)

    def picture(net, decode):
        scheduler.set_timesteps(a.sample, device=a.device)
        z = torch.randn(1, 4, a.size, a.size, device=a.device, dtype=dtype)
        for t in scheduler.timesteps:
            without, with_text = net(torch.cat([z, z]).to(memory_format=torch.channels_last), t, text).sample.chunk(2)
            z = scheduler.step(without + 7.5 * (with_text - without), t, z).prev_sample
        return ((decode(z / 0.18215).sample / 2 + 0.5).clamp(0, 1) * 255).round().byte().cpu()

    def rounds(net, decode, name):
        for i in range(a.steps + 1):
            clock.start()
            picture(net, decode)
            print(f"{name if i else 'first-' + name} {clock.stop():.6f} s", flush=True)

    rounds(unet, vae.decode, "picture")
    if a.compile:
        rounds(torch.compile(unet), torch.compile(vae.decode), "compiled-picture")


def main():
    a = argparse.ArgumentParser()
    for name, value in (("size", 64), ("batch", 1), ("lora", 0), ("steps", 10), ("warm", 3), ("sample", 0)):
        a.add_argument("--" + name, type=int, default=value)
    a.add_argument("--kind", choices=sorted(KINDS), default="sd15")
    a.add_argument("--device", default="cuda")
    a.add_argument("--precision", choices=sorted(TYPES), default="f32")
    a.add_argument("--compile", action="store_true")
    a = a.parse_args()
    torch.manual_seed(0)
    print(f"device {torch.cuda.get_device_name() if a.device.startswith('cuda') else a.device}, torch {torch.__version__}", flush=True)
    (sample if a.sample else train)(a, Clock(a.device))


main()
