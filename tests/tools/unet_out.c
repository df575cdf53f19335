/*
 * What a model's UNet says, for comparison with other programs:
 *
 *	unet_out MODEL IN OUT [--lora FILE]... [--weight X] [--prompt TEXT] [--tokenizer FOLDER]
 *
 * IN and OUT are safetensors. IN: sample [n][c][h][w], timestep [n], hidden [n][t][d] (all f32;
 * without hidden, the prompt's hidden states). OUT: out [n][c][h][w], and hidden as it was used.
 * --weight is of the LoRAs after it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/data/safetensors.h"
#include "kernels/run/pipeline.h"

struct args {
	const char *model, *in, *out, *prompt, *tokenizer, *lora[8];
	float weight[8];
	int loras;
};

static int parse(struct args *a, int argc, char **argv)
{
	float weight = 1;
	const char **plain[] = { &a->model, &a->in, &a->out };
	int n = 0;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--", 2)) {
			if (n == 3)
				return -1;
			*plain[n++] = argv[i];
			continue;
		}
		if (i + 1 == argc)
			return -1;
		if (!strcmp(argv[i], "--weight")) {
			weight = (float)atof(argv[i + 1]);
		} else if (!strcmp(argv[i], "--prompt")) {
			a->prompt = argv[i + 1];
		} else if (!strcmp(argv[i], "--tokenizer")) {
			a->tokenizer = argv[i + 1];
		} else if (!strcmp(argv[i], "--lora") && a->loras < 8) {
			a->lora[a->loras] = argv[i + 1];
			a->weight[a->loras++] = weight;
		} else {
			return -1;
		}
		i++;
	}
	return n == 3 ? 0 : -1;
}

/* A copy of an input as owned f32. */
static int take(struct tensor *out, const struct safetensors *s, const char *name, int rank,
		struct err *e)
{
	const struct tensor *t = safetensors_find(s, name);

	if (!t)
		return fail(e, "there is no tensor '%s'", name);
	if (t->rank != rank)
		return fail(e, "'%s' has %d sides, %d wanted", name, t->rank, rank);
	*out = *t;
	out->own = NULL;
	return tensor_to_f32(out, e);
}

/* The prompt's hidden states, the same for every picture. */
static int from_prompt(struct pipeline *p, const char *prompt, int64_t n, struct tensor *out,
		       struct err *e)
{
	int64_t tokens = text_tokens(75), each = tokens * p->text.width;
	void *to;

	if (tensor_new(out, DT_F32, 3, (int64_t[]){ n, tokens, p->text.width }, &to, e) < 0 ||
	    pipeline_text(p, prompt, 1, 75, to, NULL, e) < 0)
		return -1;
	for (int64_t i = 1; i < n; i++)
		memcpy((float *)to + i * each, to, (size_t)each * sizeof(float));
	return 0;
}

static int predict(struct pipeline *p, const struct tensor *x, const struct tensor *t,
		   const struct tensor *text, struct tensor *out, struct err *e)
{
	const int64_t *s = x->side;
	struct network *net = pipeline_network(p, &p->net_unet, PART_UNET, pipeline_unet_graph, &p->unet, e);
	struct network_shape *shape = NULL;
	void *to;
	float *nhwc = xmalloc((size_t)tensor_bytes(x));
	int ret = -1;

	if (net)
		shape = network_shape(net, (int64_t[SHAPE_SIDES]){ s[0], s[2], s[3], text->side[1] }, e);
	if (!shape || tensor_new(out, DT_F32, 4, s, &to, e) < 0)
		goto out;
	to_nhwc(nhwc, x->at, s[0], s[1], s[2], s[3]);
	if (session_put(&shape->session, "x", nhwc, e) < 0 ||
	    session_put(&shape->session, "t", t->at, e) < 0 ||
	    session_put(&shape->session, "text", text->at, e) < 0 ||
	    session_run(&shape->session, e) < 0 ||
	    session_get(&shape->session, shape->out, nhwc, e) < 0)
		goto out;
	to_nchw(to, nhwc, s[0], s[1], s[2], s[3]);
	ret = 0;
out:
	free(nhwc);
	return ret;
}

static int check(const struct pipeline *p, const struct tensor *x, const struct tensor *t,
		 const struct tensor *text, struct err *e)
{
	if (x->side[1] != p->unet.in_channels || p->unet.in_channels != p->unet.out_channels)
		return fail(e, "'sample' has %lld channels, the model %lld", (long long)x->side[1], (long long)p->unet.in_channels);
	if (t->side[0] != x->side[0] || text->side[0] != x->side[0])
		return fail(e, "'timestep' and 'hidden' want %lld rows", (long long)x->side[0]);
	if (text->side[2] != p->unet.cross_width)
		return fail(e, "'hidden' is %lld wide, the model wants %lld", (long long)text->side[2], (long long)p->unet.cross_width);
	return 0;
}

static int work(const struct args *a, struct err *e)
{
	struct pipeline p = { 0 };
	struct safetensors in = { 0 };
	struct tensor x = { 0 }, t = { 0 }, text = { 0 }, y = { 0 };
	const struct pipeline_options o = { .model = a->model, .tokenizer = a->tokenizer };
	int ret = -1;

	if (pipeline_open(&p, &o, e) < 0 || safetensors_open(&in, a->in, e) < 0)
		goto out;
	for (int i = 0; i < a->loras; i++)
		if (weights_add_lora_file(&p.weights, a->lora[i], a->weight[i], e) < 0)
			goto out;
	if (weights_check_loras(&p.weights, e) < 0 || take(&x, &in, "sample", 4, e) < 0 ||
	    take(&t, &in, "timestep", 1, e) < 0)
		goto out;
	if ((a->prompt ? from_prompt(&p, a->prompt, x.side[0], &text, e) :
	     take(&text, &in, "hidden", 3, e)) < 0)
		goto out;
	if (check(&p, &x, &t, &text, e) < 0 || predict(&p, &x, &t, &text, &y, e) < 0)
		goto out;
	ret = safetensors_write(a->out, (struct named[]){ { "hidden", text }, { "out", y } }, 2, NULL, 0, e);
out:
	tensor_release(&x);
	tensor_release(&t);
	tensor_release(&text);
	tensor_release(&y);
	safetensors_close(&in);
	pipeline_close(&p);
	return ret;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct err e;

	program_name = "unet_out";
	if (parse(&a, argc, argv) < 0)
		die(2, "usage: unet_out MODEL IN OUT [--lora FILE]... [--weight X] [--prompt TEXT] [--tokenizer FOLDER]");
	if (work(&a, &e) < 0)
		die(1, "%s", e.text);
	return 0;
}
