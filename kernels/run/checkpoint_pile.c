#include "kernels/run/checkpoint_pile.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

void pile_release(struct pile *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->at[i].name);
		tensor_release(&p->at[i].t);
	}
	free(p->at);
	memset(p, 0, sizeof *p);
}

struct tensor *pile_add(struct pile *p, const char *name)
{
	p->at = grow(p->at, p->n, &p->cap, sizeof *p->at);
	memset(&p->at[p->n], 0, sizeof *p->at);
	p->at[p->n].name = xstrdup(name);
	return &p->at[p->n++].t;
}

int pile_copy(struct pile *p, const char *name, const struct tensor *t, enum dtype type,
	      struct err *e)
{
	struct tensor *to = pile_add(p, name);

	*to = *t;
	to->own = NULL;
	if (!dtype_is_float(to->type) || to->type == type)
		return 0;
	return tensor_convert(to, type, e) < 0 ? err_prefix(e, "weight '%s'", name) : 0;
}

int pile_write(const char *path, const struct pile *p, const struct checkpoint_out *o, char *key,
	       char *value, struct err *e)
{
	static char format[] = "format", pt[] = "pt";
	char **meta = xcalloc(2 * o->n_meta + 4, sizeof *meta);
	size_t n = 0;
	int ret;

	meta[n++] = format;
	meta[n++] = pt;
	if (key) {
		meta[n++] = key;
		meta[n++] = value;
	}
	for (size_t i = 0; i < o->n_meta; i++)
		if (strcmp(o->meta[2 * i], format) && (!key || strcmp(o->meta[2 * i], key))) {
			meta[n++] = o->meta[2 * i];
			meta[n++] = o->meta[2 * i + 1];
		}
	ret = safetensors_write(path, p->at, p->n, meta, n / 2, e);
	free(meta);
	return ret;
}
