/*
 * Models and LoRA files whose containers are sound but whose names, shapes and configurations are
 * not. The first byte says which; pieces end at byte 0xff:
 *	0 a folder: configurations of unet, vae and text encoder, scheduler, model_index, shards
 *	1 a single file: header, then what stands in its metadata's "booth.config" by itself
 *	2 a LoRA file: header
 * Higher bits are options. A header is written around a safetensors file whose values are zeros.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "kernels/run/checkpoint.h"
#include "kernels/run/checkpoint_lora.h"
#include "tests/fuzz/shared/fuzz.h"

#define VALUES 4096

static void weights(const char *path, struct piece p)
{
	struct buf b = { 0 };
	size_t n = p.len > 4 ? p.len - 2 : 0;
	uint64_t values = n ? (uint64_t)(p.at[0] | p.at[1] << 8) % VALUES : 0;

	for (int i = 0; i < 64; i += 8)
		buf_addc(&b, (char)((uint64_t)n >> i & 255));
	if (n)
		buf_add(&b, p.at + 2, n);
	if (values)
		memset(buf_extend(&b, values), 0, values);
	memory_file(path, (const uint8_t *)b.at, b.len);
	buf_release(&b);
}

static void folder(const uint8_t *at, size_t len)
{
	static const char *const name[] = { "m/unet/config.json", "m/vae/config.json",
		"m/text_encoder/config.json", "m/scheduler/scheduler_config.json",
		"m/model_index.json", "m/unet/diffusion_pytorch_model.safetensors.index.json" };

	for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
		struct piece p = fuzz_piece(&at, &len, 0xff);

		if (p.len || i < 4)
			memory_file(name[i], p.at, p.len);
	}
	weights("m/unet/a.safetensors", fuzz_piece(&at, &len, 0xff));
	weights("m/vae/diffusion_pytorch_model.fp16.safetensors", fuzz_piece(&at, &len, 0xff));
	weights("m/text_encoder/model.safetensors", fuzz_piece(&at, &len, 0xff));
}

/* The table of all modules' names takes longer to make than a file to read: made once. */
void __real_lora_names_init(struct lora_names *l);
void __wrap_lora_names_init(struct lora_names *l);
void __wrap_lora_names_release(struct lora_names *l);

void __wrap_lora_names_init(struct lora_names *l)
{
	static struct lora_names all;
	static int made;

	if (!made)
		__real_lora_names_init(&all);
	made = 1;
	*l = all;
}

void __wrap_lora_names_release(struct lora_names *l)
{
	(void)l;
}

/* Every value that was promised is there; matrices that fit a weight have its sides. */
static void use_lora(struct lora_file *l)
{
	struct err e;

	for (size_t i = 0; i < l->n; i++) {
		struct lora_module *m = &l->at[i];
		struct tensor weight = { .type = DT_F32, .rank = m->a.rank };

		memcpy(weight.side, m->a.side, sizeof weight.side);
		weight.side[0] = m->b.side[0];
		fuzz_read(m->a.at, (size_t)tensor_bytes(&m->a));
		fuzz_read(m->b.at, (size_t)tensor_bytes(&m->b));
		if (lora_fit(m, &weight, &e) == 0)
			HOLDS(m->a.rank == weight.rank && m->b.rank == weight.rank);
		HOLDS(lora_find(l, m->module) == m);
	}
}

static void use_checkpoint(const struct checkpoint *c)
{
	for (int p = 0; p < PART__COUNT; p++)
		for (size_t i = 0; i < c->part[p].n; i++) {
			const struct named *w = &c->part[p].at[i];

			fuzz_read(w->t.at, (size_t)tensor_bytes(&w->t));
			HOLDS(part_find(&c->part[p], w->name) == &w->t);
		}
}

FUZZ(model)
{
	const uint8_t how = len ? *at : 0;
	const struct checkpoint_options o = {
		.configs_only = how >> 7, .ema = how >> 6 & 1, .variant = how & 32 ? "fp16" : NULL,
		.prediction = how & 16 ? "epsilon" : NULL,
	};
	struct checkpoint c;
	struct lora_file l;
	struct err e;

	if (len < 3)
		return 0;
	if ((how & 3) == 0)
		folder(at + 1, len - 1);
	else
		weights("m.safetensors", (struct piece){ at + 1, len - 1 });
	if ((how & 3) == 2) {
		if (lora_read(&l, "m.safetensors", &e) == 0) {
			use_lora(&l);
			lora_close(&l);
		}
	} else if (checkpoint_open(&c, how & 3 ? "m.safetensors" : "m", &o, &e) == 0) {
		use_checkpoint(&c);
		checkpoint_close(&c);
	}
	memory_clear();
	return 0;
}
