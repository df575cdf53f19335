#include "stages/shared/hidden.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/talk.h"

int hidden_begin(struct hidden *h, struct stores *s, struct pipeline *p, const char *model_path,
		 int64_t clip_skip, int64_t max_tokens, struct err *e)
{
	*h = (struct hidden){ .stores = s, .p = p, .clip_skip = clip_skip,
			      .max_tokens = max_tokens };
	if (outside_hash(s, model_path, &h->model, e) < 0 || pipeline_need_tokenizer(p, e) < 0)
		return -1;
	return outside_hash(s, p->tokenizer_path, &h->tokenizer, e);
}

/* The caption enters by its hash: it may hold anything but fits no line. */
static void key(const struct hidden *h, struct action *a, const char *caption)
{
	struct oid o;

	oid_of(&o, KIND_TEXT, caption, strlen(caption));
	action_begin(a, "encode-text", ENCODE_TEXT_VERSION, "item");
	action_paramf(a, "clip-skip", "%lld", (long long)h->clip_skip);
	action_paramf(a, "max-tokens", "%lld", (long long)h->max_tokens);
	if (strcmp(h->p->precision, "f32"))
		action_param(a, "precision", h->p->precision);
	action_input(a, "model", &h->model);
	action_input(a, "tokenizer", &h->tokenizer);
	action_input(a, "caption", &o);
}

static int compute(struct hidden *h, struct action *a, const char *caption, struct result *r,
		   int *cut, struct err *e)
{
	double start = clock_now();
	struct tensor t = { 0 };
	void *values;
	int ret = -1;

	if (tensor_new(&t, DT_F32, 2, (int64_t[]){ text_tokens(h->max_tokens), h->p->text.width },
		       &values, e) < 0)
		return -1;
	if (pipeline_text(h->p, caption, h->clip_skip, h->max_tokens, values, cut, e) < 0 ||
	    store_put_tensor(h->stores, "encode-text", &t, &r->out, e) < 0)
		goto out;
	r->seconds = clock_now() - start;
	h->computed++;
	ret = store_record_item(h->stores, a, r, e);
out:
	tensor_release(&t);
	return ret;
}

int hidden_ref(struct hidden *h, const char *caption, struct ref *out, int *cut, struct err *e)
{
	struct action a;
	struct result r = { 0 };
	int lost = 0, found;

	key(h, &a, caption);
	found = store_find(h->stores, &a, &r, e);
	h->found += found == 1;
	if (found == 0)
		found = compute(h, &a, caption, &r, &lost, e);
	if (found >= 0)
		*out = r.out;
	if (cut)
		*cut = lost;
	result_release(&r);
	action_release(&a);
	return found < 0 ? err_prefix(e, "caption '%.60s'", caption) : 0;
}

int hidden_get(struct hidden *h, const char *caption, struct tensor *out, struct err *e)
{
	struct ref r;

	if (hidden_ref(h, caption, &r, NULL, e) < 0)
		return -1;
	return store_get_tensor(h->stores, &r, out, e);
}
