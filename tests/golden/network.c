#include "tests/golden/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

int network_is_ours(const struct gcase *c)
{
	const char *model = golden_word(c, "model", "");

	return starts_with(model, "sd1-") || starts_with(model, "sd2-");
}

int network_config(struct gcase *c, const char *part, struct json **out, struct err *e)
{
	char path[600];

	snprintf(path, sizeof path, "%s/models/%s/%s/config.json", c->root, golden_word(c, "model", ""), part);
	return json_read(out, path, e);
}

static int put_all(const struct safetensors *s, const char *part, struct pool *p, struct err *e)
{
	char name[300];

	for (size_t i = 0; i < s->n; i++) {
		struct pool_entry *w;

		snprintf(name, sizeof name, "%s.%s", part, s->at[i].name);
		w = pool_find(p, name);
		if (w && pool_put(p, w, &s->at[i].t, e) < 0)
			return -1;
	}
	return 0;
}

int network_weights(struct gcase *c, const char *part, struct pool *p, struct err *e)
{
	char path[600];
	struct safetensors s = { 0 };
	int ret;

	snprintf(path, sizeof path, "%s/models/%s/%s/%s", c->root, golden_word(c, "model", ""), part,
		 strcmp(part, "text_encoder") ? "diffusion_pytorch_model.safetensors" : "model.safetensors");
	if (safetensors_open(&s, path, e) < 0)
		return -1;
	ret = put_all(&s, part, p, e);
	safetensors_close(&s);
	return ret;
}

static int compare_sample(struct gcase *c, const char *kind, const char *name,
			  const float *v, int64_t n, double rtol, double floor, struct err *e)
{
	char full[300];
	int64_t stride = (n + 1023) / 1024, m = 0;
	float *some = xmalloc((size_t)((n + stride - 1) / stride) * sizeof *some), norm;
	double sum = 0;
	int ret;

	for (int64_t i = 0; i < n; i += stride)
		some[m++] = v[i];
	for (int64_t i = 0; i < n; i++)
		sum += (double)v[i] * v[i];
	norm = (float)sqrt(sum);
	snprintf(full, sizeof full, "%s_sample.%s", kind, name);
	ret = golden_compare(c, full, some, m, rtol, floor, e);
	snprintf(full, sizeof full, "%s_norm.%s", kind, name);
	if (ret == 0)
		ret = golden_compare(c, full, &norm, 1, rtol, floor, e);
	free(some);
	return ret;
}

int network_compare(struct gcase *c, const char *kind, const char *name, const float *v, int64_t n,
		    double rtol, double floor, struct err *e)
{
	char full[300];

	snprintf(full, sizeof full, "%s.%s", kind, name);
	if (golden_has(c, full))
		return golden_compare(c, full, v, n, rtol, floor, e);
	return compare_sample(c, kind, name, v, n, rtol, floor, e);
}

double network_largest(struct gcase *c, const char *kind)
{
	size_t k = strlen(kind);
	double most = 0;

	for (size_t i = 0; i < c->file.n; i++) {
		const struct named *t = &c->file.at[i];
		const float *v = t->t.at;

		if (strncmp(t->name, kind, k) || (t->name[k] != '.' && strncmp(t->name + k, "_sample.", 8)))
			continue;
		for (int64_t j = 0; j < tensor_count(&t->t); j++)
			most = fabs(v[j]) > most ? fabs(v[j]) : most;
	}
	return most;
}
