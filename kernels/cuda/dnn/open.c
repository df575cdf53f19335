#include "kernels/cuda/dnn/parts.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/library.h"

#define NAME "libcudnn.so.9"
#define OLDEST 90800
#define SCORES ((int64_t)1 << 30)

/* ---- the library ---- */

static int load(struct cudnn *c, struct err *e)
{
	const char *off = getenv("BOOTH_CUDNN");
	void *handle, *at;

	if (off && !strcmp(off, "0"))
		return fail(e, "cuDNN is not used, as BOOTH_CUDNN=0 says");
	if (!(handle = library_open(NAME)))
		return fail(e, "cuDNN (" NAME ") is not found: install it, or name its folder in BOOTH_CUDA_PATH");
#define LOAD(f) \
	if (!(at = dlsym(handle, "cudnn" #f))) \
		return fail(e, NAME " has no 'cudnn" #f "'"); \
	memcpy(&c->f, &at, sizeof at);
	DNN_FUNCTIONS(LOAD)
	c->version = c->GetVersion();
	if (c->version < OLDEST)
		return fail(e, "cuDNN %zu.%zu is too old, 9.8 is the oldest that will do", c->version / 10000,
			    c->version / 100 % 100);
	return 0;
}

int dnn_version(char *out, size_t size, struct err *e)
{
	struct cudnn c = { 0 };

	if (load(&c, e) < 0)
		return -1;
	snprintf(out, size, "cuDNN %zu.%zu.%zu", c.version / 10000, c.version / 100 % 100, c.version % 100);
	return 0;
}

/* ---- opening ---- */

static int open_device(struct cudnn *c, const struct dnn_options *o, struct err *e)
{
	struct made *m = &c->given;

	m->c = c;
	c->with = *o;
	if (o->device) {
		c->device = made_new(m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
		set_many(m, c->device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
			 (int64_t)strlen(o->device) + 1, o->device);
		made_done(m, c->device);
	} else if (made_check(m, c->Create(&c->handle), "opening it") == 0) {
		made_check(m, c->SetStream(c->handle, o->stream), "its stream");
	}
	return m->failed ? fail(e, "%s", m->why.text) : 0;
}

/* What attention's gradients may take at a time: a GB of large devices, the 32nd part of others. */
static int64_t scores_of(const struct cudnn *c)
{
	static const char name[] = "\"totalGlobalMem\":";
	const char *at = strstr(buf_str(&c->profile), name);
	int64_t part = at ? atoll(at + sizeof name - 1) / 32 : 0;

	return part > 0 && part < SCORES ? part : SCORES;
}

int dnn_open(struct dnn **out, const struct dnn_options *o, struct err *e)
{
	struct cudnn *c = xcalloc(1, sizeof *c);

	*out = NULL;
	c->dnn = (struct dnn){ SCORES, plans_filter, plans_heads, plans_prepare, plans_run_filter,
			       plans_run_heads };
	if (load(c, e) < 0) {
		free(c);
		return -1;
	}
	/* found here, they are there when it looks for them by name */
	if (!library_open("libnvrtc.so.13"))
		library_open("libnvrtc.so.12");
	if (open_device(c, o, e) < 0) {
		dnn_close(&c->dnn);
		return -1;
	}
	keep_open(c);
	c->dnn.scores = scores_of(c);
	*out = &c->dnn;
	return 0;
}

void dnn_close(struct dnn *d)
{
	struct cudnn *c = cudnn_of(d);

	if (!d)
		return;
	for (size_t i = 0; i < c->n; i++)
		made_release(&c->plan[i].made);
	free(c->plan);
	made_release(&c->given);
	buf_release(&c->profile);
	for (size_t i = 0; i < c->helpers; i++)
		c->Destroy(c->helper[i]);
	free(c->helper);
	if (c->handle)
		c->Destroy(c->handle);
	free(c);
}

/* ---- what was settled ---- */

void plan_describe(struct buf *out, const struct plan *p)
{
	static const char *const ways[] = { "convolution", "convolution, dx", "convolution, dw" };
	const struct filter *f = &p->filter;
	const struct heads *h = &p->heads;

	if (p->is_heads)
		buf_addf(out, "attention%s %lldx%lld heads of %lld, %lld x %lld tokens%s, %s", h->dx ? ", dx" : "",
			 (long long)h->n, (long long)h->heads, (long long)h->d, (long long)h->tq,
			 (long long)h->tk, h->causal ? ", causal" : "", dtype_name(h->type));
	else
		buf_addf(out, "%s%s %lldx%lldx%lldx%lld to %lld by %lldx%lld/%lld, %s", ways[f->way],
			 f->fused ? " with bias" : "", (long long)f->n, (long long)f->h, (long long)f->w,
			 (long long)f->c, (long long)f->k, (long long)f->r, (long long)f->s,
			 (long long)f->stride, dtype_name(f->y.type));
}

void dnn_report(struct dnn *d, struct buf *out)
{
	struct cudnn *c = cudnn_of(d);

	for (size_t i = 0; i < c->n; i++) {
		struct plan *p = &c->plan[i];

		if (p->told)
			continue;
		p->told = 1;
		plan_describe(out, p);
		if (p->taken)
			buf_addf(out, ": cuDNN's engine %lld%s, deterministic, %lld bytes of workspace\n",
				 (long long)p->engine, p->notes & NOTE(TENSOR_CORE) ? " on tensor cores" : "",
				 (long long)p->bytes);
		else
			buf_addf(out, ": own kernels (%s)\n", p->made.why.text);
	}
}
