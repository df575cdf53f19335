#include "kernels/run/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "kernels/run/claim.h"
#include "kernels/run/config.h"
#include "kernels/run/device.h"
#include "kernels/run/precision.h"

/* ---- graphs ---- */

id pipeline_unet_graph(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	const struct unet_config *c = config;
	id x = g_input(m->g, "x", DT_F32, s[0], s[1], s[2], c->in_channels);
	id t = g_input(m->g, "t", DT_F32, 1, 1, 1, s[0]);

	return unet(m, c, x, t, g_input(m->g, "text", DT_F32, s[0], 1, s[3], c->cross_width));
}

/* side 0: rows of ids, side 1: layers left out */
static id build_text(struct model *m, const void *config, const int64_t s[SHAPE_SIDES])
{
	return text_encoder(m, config, g_input(m->g, "ids", DT_I32, 1, 1, s[0], s[3]),
			    (int)s[1], NULL);
}

/* ---- opening ---- */

static int read_configs(struct pipeline *p, struct err *e)
{
	const struct checkpoint *c = &p->model;

	if (c->part[PART_UNET].config && config_unet(&p->unet, c->part[PART_UNET].config, e) < 0)
		return -1;
	if (c->part[PART_VAE].config && config_vae(&p->vae, c->part[PART_VAE].config, e) < 0)
		return -1;
	if (c->part[PART_TEXT].config && config_text(&p->text, c->part[PART_TEXT].config, e) < 0)
		return -1;
	return noise_config_read(&p->noise, c->scheduler, e);
}

char *pipeline_installed_tokenizer(void)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	char *path;

	if (data && *data)
		path = xasprintf("%s/booth/clip-tokenizer", data);
	else
		path = xasprintf("%s/.local/share/booth/clip-tokenizer", home ? home : "");
	if (is_folder(path))
		return path;
	free(path);
	return NULL;
}

/* The user's, the model's own, or the one that tools/get-clip-vocabulary installed. */
static char *find_tokenizer(const struct pipeline *p, const char *given)
{
	if (given)
		return xstrdup(given);
	return p->model.tokenizer ? xstrdup(p->model.tokenizer) : pipeline_installed_tokenizer();
}

int pipeline_open(struct pipeline *p, const struct pipeline_options *o, struct err *e)
{
	struct checkpoint_options co = { .configs_only = o->configs_only };

	*p = (struct pipeline){ 0 };
	p->precision = o->precision ? o->precision : "f32";
	if (device_open(&p->b, o->device, o->threads, e) < 0 ||
	    precision_use(p->b, p->precision, &p->type, e) < 0 ||
	    checkpoint_open(&p->model, o->model, &co, e) < 0)
		return -1;
	if (o->vae && checkpoint_take_vae(&p->model, o->vae, e) < 0)
		return -1;
	weights_begin(&p->weights, &p->model);
	p->tokenizer_path = find_tokenizer(p, o->tokenizer);
	if (read_configs(p, e) < 0 || (!o->configs_only && claim_check(p, e) < 0))
		return err_prefix(e, "'%s'", o->model);
	p->text_skip = -1;
	return 0;
}

void pipeline_close(struct pipeline *p)
{
	network_release(&p->net_unet);
	network_release(&p->net_text);
	network_release(&p->net_encode);
	network_release(&p->net_decode);
	weights_release(&p->weights);
	checkpoint_close(&p->model);
	tokenizer_close(p->tokenizer);
	free(p->tokenizer_path);
	if (p->b)
		p->b->close(p->b);
	*p = (struct pipeline){ 0 };
}

int pipeline_no_tokenizer(const char *model, struct err *e)
{
	return fail(e, "'%s' has no vocabulary, as single files never have: give --tokenizer FOLDER with CLIP's vocab.json "
		    "and merges.txt, or install one by tools/get-clip-vocabulary", model);
}

int pipeline_need_tokenizer(struct pipeline *p, struct err *e)
{
	if (p->tokenizer)
		return 0;
	if (!p->tokenizer_path)
		return pipeline_no_tokenizer(p->model.path, e);
	return tokenizer_open(&p->tokenizer, p->tokenizer_path, e);
}

struct network *pipeline_network(struct pipeline *p, struct network *net, enum part part,
				 network_build *build, const void *config, struct err *e)
{
	if (!p->model.part[part].config) {
		fail(e, "'%s' has no %s%s", p->model.path, part_name(part), part == PART_VAE ? ": give --vae PATH" : "");
		return NULL;
	}
	if (!net->b)
		network_begin(net, p->b, p->type, build, config,
			      (struct weight_source){ weights_get, &p->weights, p->model.path, weights_trim });
	return net;
}

/* ---- text ---- */

int64_t text_tokens(int64_t max_tokens)
{
	return max_tokens <= 75 ? 77 : max_tokens + 2;
}

/* H[0][0], H[k][1..75] of every chunk, H[last][76] (reference/kohya.md 2.5). */
static void join_chunks(float *out, const float *hidden, int64_t chunks, int64_t width)
{
	size_t row = (size_t)width * sizeof *out;

	memcpy(out, hidden, row);
	for (int64_t k = 0; k < chunks; k++)
		memcpy(out + (1 + 75 * k) * width, hidden + (k * 77 + 1) * width, 75 * row);
	memcpy(out + (1 + 75 * chunks) * width, hidden + (chunks * 77 - 1) * width, row);
}

static int run_text(struct pipeline *p, const int32_t *ids, int64_t rows, int64_t skip,
		    int64_t length, float *out, struct err *e)
{
	struct network *net = pipeline_network(p, &p->net_text, PART_TEXT, build_text, &p->text, e);
	struct network_shape *s;
	float *hidden;
	int ret = -1;

	/* Fewer layers would leave the pool without the last ones' weights: another network. */
	if (net && p->text_skip != skip && p->text_skip >= 0) {
		network_release(net);
		net = pipeline_network(p, &p->net_text, PART_TEXT, build_text, &p->text, e);
	}
	p->text_skip = skip;
	s = net ? network_shape(net, (int64_t[SHAPE_SIDES]){ rows, skip, 0, length }, e) : NULL;
	if (!s)
		return -1;
	hidden = xmalloc((size_t)(rows * length * p->text.width) * sizeof *hidden);
	if (session_put(&s->session, "ids", ids, e) == 0 && session_run(&s->session, e) == 0 &&
	    session_get(&s->session, s->out, hidden, e) == 0) {
		if (rows > 1)
			join_chunks(out, hidden, rows, p->text.width);
		else
			memcpy(out, hidden, (size_t)(length * p->text.width) * sizeof *out);
		ret = 0;
	}
	free(hidden);
	return ret;
}

static int check_ids(const struct pipeline *p, const int32_t *ids, int64_t n, struct err *e)
{
	for (int64_t i = 0; i < n; i++)
		if (ids[i] < 0 || ids[i] >= p->text.vocab)
			return fail(e, "token %d is not in the text encoder's table of %lld: the tokenizer '%s' belongs to another model",
				    ids[i], (long long)p->text.vocab, p->tokenizer_path);
	return 0;
}

int pipeline_text(struct pipeline *p, const char *caption, int64_t clip_skip, int64_t max_tokens,
		  float *out, int *cut, struct err *e)
{
	int64_t chunks = max_tokens / 75;
	int32_t ids[3 * 77];
	int lost;

	if (max_tokens != 75 && max_tokens != 150 && max_tokens != 225)
		return fail(e, "max tokens is %lld, not 75, 150 or 225", (long long)max_tokens);
	if (clip_skip < 1 || clip_skip > p->text.layers)
		return fail(e, "clip skip is %lld, the text encoder has %lld layers", (long long)clip_skip, (long long)p->text.layers);
	if (p->text.positions != 77)
		return fail(e, "the text encoder has %lld positions, 77 are supported", (long long)p->text.positions);
	if (pipeline_need_tokenizer(p, e) < 0)
		return -1;
	lost = chunks == 1 ? tokenizer_row(p->tokenizer, caption, ids, 77, e)
			   : tokenizer_chunks(p->tokenizer, caption, ids, (int)max_tokens, e);
	if (lost < 0 || check_ids(p, ids, chunks * 77, e) < 0)
		return -1;
	if (cut)
		*cut = lost;
	return run_text(p, ids, chunks, clip_skip - 1, 77, out, e);
}

int pipeline_text_bytes(struct pipeline *p, int64_t clip_skip, int64_t max_tokens, size_t *out,
			struct err *e)
{
	struct network *net = pipeline_network(p, &p->net_text, PART_TEXT, build_text, &p->text, e);

	*out = 0;
	if (!net)
		return -1;
	return network_bytes(net, (int64_t[SHAPE_SIDES]){ max_tokens / 75, clip_skip - 1, 0, 77 }, out, e);
}
