/*
 * cases/unet, vae, text: forward numbers, and gradients of every weight and input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/ir/fuse.h"
#include "kernels/ir/grad.h"
#include "kernels/ir/lower.h"
#include "kernels/run/config.h"
#include "kernels/run/precision.h"
#include "tests/golden/network.h"

struct net {                    /* one network under test */
	struct backend *b;
	struct graph g;
	struct pool pool;
	struct arena arena;
	struct session s;
	id *grad;               /* by node before fusing */
	id n;                   /* nodes before gradients */
	id *map;                /* old id -> id after fusing */
	char **name;            /* of weights, by old id; NULL elsewhere */
};

static void net_release(struct net *t)
{
	for (id i = 0; t->name && i < t->n; i++)
		free(t->name[i]);
	free(t->name);
	free(t->grad);
	free(t->map);
	session_release(&t->s);
	graph_release(&t->g);
	pool_release(&t->pool);
	arena_release(&t->arena);
	if (t->b)
		t->b->close(t->b);
}

/* Fused, and in the numbers that are asked for. */
static int net_lower(struct net *t, struct err *e)
{
	id n = t->g.n, *lowered;
	enum dtype type;

	if (precision_use(t->b, golden_precision(), &type, e) < 0)
		return -1;
	t->map = graph_fuse(&t->g);
	lowered = graph_lower(&t->g, type, NULL, NULL);
	for (id i = 0; i < n; i++)
		t->map[i] = t->map[i] == NONE ? NONE : lowered[t->map[i]];
	free(lowered);
	return 0;
}

/* Gradients of `loss` for weights and the inputs in `in`; loss NONE: forward only. */
static int net_start(struct net *t, struct gcase *c, const char *part, id loss, const id *in,
		     int n_in, struct err *e)
{
	t->n = t->g.n;
	t->name = xcalloc((size_t)t->n, sizeof *t->name);
	for (id i = 0; i < t->n; i++)
		if (t->g.node[i].op == OP_WEIGHT)
			t->name[i] = xstrdup(t->g.node[i].name);
	if (loss != NONE) {
		t->grad = grad_emit(&t->g, loss, in, n_in);
		for (id i = 0; i < t->n; i++)
			if (t->grad[i] != NONE && op_info[t->g.node[i].op].source)
				graph_keep(&t->g, t->grad[i]);
		graph_keep(&t->g, loss);
	}
	if (net_lower(t, e) < 0 || pool_declare(&t->pool, &t->g, e) < 0 || session_plan(&t->s, &t->g, t->b, e) < 0 ||
	    plan_check(&t->s.plan, t->s.g, e) < 0 ||
	    pool_place(&t->pool, t->b, e) < 0 ||
	    arena_place(&t->arena, t->b, t->s.plan.arena, e) < 0 ||
	    session_bind(&t->s, &t->pool, &t->arena, e) < 0)
		return -1;
	return network_weights(c, part, &t->pool, e) < 0 || pool_complete(&t->pool, e) < 0 ? -1 : 0;
}

static int put_picture(struct net *t, struct gcase *c, const char *input, const char *tensor,
		       struct err *e)
{
	struct tensor x = { 0 };
	float *nhwc;
	int ret;

	if (golden_tensor(c, tensor, &x, e) < 0)
		return -1;
	nhwc = xmalloc((size_t)tensor_bytes(&x));
	to_nhwc(nhwc, x.at, x.side[0], x.side[1], x.side[2], x.side[3]);
	ret = session_put(&t->s, input, nhwc, e);
	free(nhwc);
	tensor_release(&x);
	return ret;
}

static int put_plain(struct net *t, struct gcase *c, const char *input, const char *tensor,
		     struct err *e)
{
	struct tensor x = { 0 };
	int ret = golden_tensor(c, tensor, &x, e) < 0 ? -1 : session_put(&t->s, input, x.at, e);

	tensor_release(&x);
	return ret;
}

static int put_ids(struct net *t, struct gcase *c, struct err *e)
{
	const struct tensor *x = safetensors_find(&c->file, "in.ids");
	int32_t *ids = xmalloc((size_t)tensor_count(x) * sizeof *ids);
	int ret;

	for (int64_t i = 0; i < tensor_count(x); i++)
		ids[i] = (int32_t)((const int64_t *)x->at)[i];
	ret = session_put(&t->s, "ids", ids, e);
	free(ids);
	return ret;
}

static float *read_node(struct net *t, id x, int picture, struct err *e)
{
	const struct node *n = &t->s.g->node[x];
	float *v = xmalloc((size_t)node_bytes(n)), *turned;

	if (session_get(&t->s, x, v, e) < 0) {
		free(v);
		return NULL;
	}
	if (!picture)
		return v;
	turned = xmalloc((size_t)node_bytes(n));
	to_nchw(turned, v, n->dim[0], n->dim[3], n->dim[1], n->dim[2]);
	free(v);
	return turned;
}

static int compare_node(struct net *t, struct gcase *c, const char *name, id old, int picture,
			double rtol, struct err *e)
{
	id x = t->map[old];
	float *v = read_node(t, x, picture, e);
	int ret = v ? golden_compare(c, name, v, node_count(&t->s.g->node[x]), rtol, 0, e) : -1;

	free(v);
	return ret;
}

/* A weight's gradient in the files' layout. Its own pool entry is borrowed to turn it. */
static int compare_gradient(struct net *t, struct gcase *c, id w, size_t skip, double floor,
			    struct err *e)
{
	struct pool_entry *entry = pool_find(&t->pool, t->name[w]);
	float *v = read_node(t, t->map[t->grad[w]], 0, e);
	struct tensor out = { 0 };
	int ret = -1;

	if (v && pool_put_raw(&t->pool, entry, v, e) == 0 &&
	    pool_get(&t->pool, entry, &out, e) == 0)
		ret = network_compare(c, "grad", t->name[w] + skip, out.at, tensor_count(&out),
				      golden_number(c, "rtol_grad", 1e-4), floor, e);
	tensor_release(&out);
	free(v);
	return ret;
}

static int compare_gradients(struct net *t, struct gcase *c, size_t skip, struct err *e)
{
	/* some are 0 but for rounding, such as that of a bias of keys */
	double floor = network_largest(c, "grad") / (strcmp(golden_precision(), "f32") ? 10 : 1000);

	for (id i = 0; i < t->n; i++)
		if (t->name[i] && t->grad[i] != NONE &&
		    compare_gradient(t, c, i, skip, floor, e) < 0)
			return -1;
	return 0;
}

static id build_unet(struct net *t, struct gcase *c, struct model *m, id in[2], id *loss,
		     struct err *e)
{
	const struct tensor *x = safetensors_find(&c->file, "in.sample"),
		*h = safetensors_find(&c->file, "in.encoder_hidden_states");
	struct unet_config uc;
	struct json *doc = NULL;
	int64_t n = x->side[0];
	id y, time;
	int ret = network_config(c, "unet", &doc, e) < 0 ? -1 : config_unet(&uc, doc, e);

	json_free(doc);
	if (ret < 0)
		return NONE;
	m->train = 1;
	in[0] = g_input(&t->g, "sample", DT_F32, n, x->side[2], x->side[3], x->side[1]);
	in[1] = g_input(&t->g, "hidden", DT_F32, n, 1, h->side[1], h->side[2]);
	time = g_input(&t->g, "timestep", DT_F32, 1, 1, 1, n);
	y = unet(m, &uc, in[0], time, in[1]);
	*loss = g_mse(&t->g, y,
		      g_input(&t->g, "target", DT_F32, n, x->side[2], x->side[3], uc.out_channels),
		      g_input(&t->g, "weight", DT_F32, 1, 1, 1, n));
	graph_keep(&t->g, y);
	return y;
}

static int check_unet(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	struct net t = { 0 };
	struct model m;
	id in[2], loss, y;
	float weight[64];
	int64_t n;
	int ret = -1;

	if (!network_is_ours(c)) {
		*v = GOLDEN_NOT_YET;
		return 0;
	}
	n = safetensors_find(&c->file, "in.sample")->side[0];
	for (int i = 0; i < 64; i++)
		weight[i] = 1.0f / (float)n;
	model_begin(&m, &t.g);
	if (golden_device(&t.b, e) < 0 || (y = build_unet(&t, c, &m, in, &loss, e)) == NONE ||
	    net_start(&t, c, "unet", loss, in, 2, e) < 0)
		goto out;
	if (put_picture(&t, c, "sample", "in.sample", e) < 0 || put_plain(&t, c, "timestep", "in.timestep", e) < 0 ||
	    put_plain(&t, c, "hidden", "in.encoder_hidden_states", e) < 0 || put_picture(&t, c, "target", "in.target", e) < 0 ||
	    session_put(&t.s, "weight", weight, e) < 0 || session_run(&t.s, e) < 0)
		goto out;
	if (compare_node(&t, c, "out.sample", y, 1, -1, e) < 0 ||
	    compare_node(&t, c, "out.loss", loss, 0, -1, e) < 0 ||
	    compare_gradients(&t, c, strlen("unet."), e) < 0)
		goto out;
	ret = 0;
	if (golden_has(c, "grad_in.sample"))
		ret = compare_node(&t, c, "grad_in.sample", t.grad[in[0]], 1, golden_number(c, "rtol_grad", 1e-4), e);
	if (ret == 0 && golden_has(c, "grad_in.encoder_hidden_states"))
		ret = compare_node(&t, c, "grad_in.encoder_hidden_states", t.grad[in[1]], 0, golden_number(c, "rtol_grad", 1e-4), e);
out:
	model_release(&m);
	net_release(&t);
	return ret;
}

/*
 * loss = sum(last r) + sum(pooled r_pooled), pooled = last
 * at the end token: one weight for every element.
 */
static float *text_weights(struct gcase *c, struct err *e)
{
	struct tensor r = { 0 }, rp = { 0 };
	const int64_t *ids = safetensors_find(&c->file, "in.ids")->at;
	float *w;

	if (golden_tensor(c, "in.r", &r, e) < 0 || golden_tensor(c, "in.r_pooled", &rp, e) < 0)
		return NULL;
	w = xmalloc((size_t)tensor_bytes(&r));
	memcpy(w, r.at, (size_t)tensor_bytes(&r));
	for (int64_t i = 0; i < r.side[0]; i++) {
		int64_t end = 0;

		while (end < r.side[1] - 1 && ids[i * r.side[1] + end] != 49407)
			end++;
		for (int64_t d = 0; d < r.side[2]; d++)
			w[(i * r.side[1] + end) * r.side[2] + d] +=
				((const float *)rp.at)[i * r.side[2] + d];
	}
	tensor_release(&r);
	tensor_release(&rp);
	return w;
}

static int check_text(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	struct net t = { 0 };
	struct model m;
	struct text_config tc;
	struct json *doc = NULL;
	id hidden[64], last, loss, r;
	const struct tensor *ids = safetensors_find(&c->file, "in.ids");
	float *w = NULL;
	char name[40];
	int ret = -1;

	if (!network_is_ours(c) || !ids) {
		*v = GOLDEN_NOT_YET;
		return 0;
	}
	model_begin(&m, &t.g);
	m.train = 1;
	if (network_config(c, "text_encoder", &doc, e) < 0 || config_text(&tc, doc, e) < 0 ||
	    golden_device(&t.b, e) < 0)
		goto out;
	last = text_encoder(&m, &tc, g_input(&t.g, "ids", DT_I32, 1, 1, ids->side[0], ids->side[1]), 0,
			    hidden);
	r = g_input(&t.g, "r", DT_F32, ids->side[0], 1, ids->side[1], tc.width);
	loss = g_sum_to(&t.g, g_mul(&t.g, last, r), (int64_t[]){ 1, 1, 1, 1 });
	for (int i = 0; i <= tc.layers; i++)
		graph_keep(&t.g, hidden[i]);
	graph_keep(&t.g, last);
	w = text_weights(c, e);
	if (!w || net_start(&t, c, "text_encoder", loss, NULL, 0, e) < 0 || put_ids(&t, c, e) < 0 ||
	    session_put(&t.s, "r", w, e) < 0 || session_run(&t.s, e) < 0)
		goto out;
	for (int i = 0; i <= tc.layers; i++) {
		snprintf(name, sizeof name, "out.hidden_%d", i);
		if (compare_node(&t, c, name, hidden[i], 0, -1, e) < 0)
			goto out;
	}
	if (compare_node(&t, c, "out.last", last, 0, -1, e) < 0)
		goto out;
	ret = compare_gradients(&t, c, strlen("text_encoder."), e);
out:
	free(w);
	json_free(doc);
	model_release(&m);
	net_release(&t);
	return ret;
}

static int check_vae(struct gcase *c, enum golden_verdict *v, struct err *e)
{
	struct net t = { 0 };
	struct model m;
	struct vae_config vc;
	struct json *doc = NULL;
	const struct tensor *x = safetensors_find(&c->file, "in.image"),
		*z = safetensors_find(&c->file, "in.latent");
	id moments, mean, logvar, image;
	int ret = -1;

	if (!network_is_ours(c)) {
		*v = GOLDEN_NOT_YET;
		return 0;
	}
	model_begin(&m, &t.g);
	if (network_config(c, "vae", &doc, e) < 0 || config_vae(&vc, doc, e) < 0 ||
	    golden_device(&t.b, e) < 0)
		goto out;
	moments = vae_encode(&m, &vc, g_input(&t.g, "image", DT_F32, x->side[0], x->side[2], x->side[3],
					      x->side[1]));
	mean = g_slice(&t.g, moments, 0, vc.latent);
	logvar = g_act(&t.g, g_slice(&t.g, moments, vc.latent, vc.latent), ACT_CLAMP_LOGVAR);
	image = vae_decode(&m, &vc, g_input(&t.g, "latent", DT_F32, z->side[0], z->side[2], z->side[3],
					    z->side[1]));
	graph_keep(&t.g, mean);
	graph_keep(&t.g, logvar);
	graph_keep(&t.g, image);
	if (net_start(&t, c, "vae", NONE, NULL, 0, e) < 0 || put_picture(&t, c, "image", "in.image", e) < 0 ||
	    put_picture(&t, c, "latent", "in.latent", e) < 0 || session_run(&t.s, e) < 0)
		goto out;
	if (compare_node(&t, c, "out.mean", mean, 1, -1, e) < 0 ||
	    compare_node(&t, c, "out.logvar", logvar, 1, -1, e) < 0)
		goto out;
	ret = compare_node(&t, c, "out.decoded", image, 1, -1, e);
out:
	json_free(doc);
	model_release(&m);
	net_release(&t);
	return ret;
}

const struct golden_group golden_unet = { .name = "unet", .check = check_unet };
const struct golden_group golden_text = { .name = "text", .check = check_text };
const struct golden_group golden_vae = { .name = "vae", .check = check_vae };
