#include "kernels/run/precision.h"

#include <string.h>

static const struct { const char *word; enum dtype type; } known[] = {
	[PRECISION_F32] = { "f32", DT_F32 },
	[PRECISION_TF32] = { "tf32", DT_F32 },
	[PRECISION_BF16] = { "bf16", DT_BF16 },
	[PRECISION_FP16] = { "fp16", DT_F16 },
};

#define N_KNOWN ((int)(sizeof known / sizeof *known))

const char *precision_name(enum dtype type)
{
	return type == DT_BF16 ? "bf16" : type == DT_F16 ? "fp16" : "f32";
}

static int refuse(const struct backend *b, int p, struct err *e)
{
	if (!strcmp(b->name, "cpu"))
		return fail(e, "--precision %s is for GPUs: the CPU computes in f32, bf16 or fp16", known[p].word);
	return fail(e, "%s can't compute in %s, which takes compute capability 8.0: use --precision fp16 or f32",
		    b->device, known[p].word);
}

int precision_use(struct backend *b, const char *word, enum dtype *type, struct err *e)
{
	int p = 0;

	while (word && p < N_KNOWN && strcmp(word, known[p].word))
		p++;
	if (p == N_KNOWN)
		return fail(e, "unknown precision '%s', wanted f32, tf32, bf16 or fp16", word);
	if (b->lacks >> p & 1)
		return refuse(b, p, e);
	*type = known[p].type;
	b->tf32 = p == PRECISION_TF32;
	return 0;
}
