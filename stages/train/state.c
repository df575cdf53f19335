#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/train/train.h"

#define SCALE_ITEM "loss_scale"

/*
 * What a state's key says of the options: all that can change the trajectory or the log. Not the
 * number of steps, unless the schedule depends on it (a warm-up given as a fraction enters as
 * steps, see below); not how often is validated where nothing was left out.
 */
static int in_trajectory(const struct run *r, const struct opt *o)
{
	int total = r->lr.kind != LR_CONSTANT && r->lr.kind != LR_CONSTANT_WITH_WARMUP &&
		r->lr.kind != LR_PIECEWISE_CONSTANT && r->lr.kind != LR_INVERSE_SQRT;

	if (!strcmp(o->name, "epochs") || !strcmp(o->name, "warmup"))
		return 0;
	if (!strcmp(o->name, "validate-every"))
		return r->n_held > 0;
	return strcmp(o->name, "steps") || total;
}

static int state_key(struct run *r, const char *level, int64_t step, struct action *a,
		     struct err *e)
{
	const char *names[128];
	int n = 0, ret;

	for (const struct opt *o = r->j->opts; o->name; o++)
		if (!o->quiet && in_trajectory(r, o))
			names[n++] = o->name;
	names[n] = NULL;
	ret = job_item_action(r->j, a, names, e);
	if (ret < 0)
		return -1;
	action_input(a, "items", &r->j->in_ref.id);
	if (r->line.tokenizer_path && !is_vae(r))
		action_input(a, "vocabulary", &r->hidden.tokenizer);
	action_paramf(a, "warmup-steps", "%lld", (long long)r->lr.warmup);
	action_paramf(a, level, "%lld", (long long)step);
	if (r->lr.kind != LR_CONSTANT && !r->o->steps)
		action_paramf(a, "total", "%lld", (long long)r->steps);
	return 0;
}

static int add_row(struct run *r, struct table *t, const struct pool_entry *w, struct err *e)
{
	size_t row;
	struct tensor x = { 0 };
	struct ref ref;
	char text[STAGE_NAME + 1 + OID_HEX], shape[96];
	int ret = -1;

	if (pool_get(&r->t.pool, w, &x, e) < 0 ||
	    store_put_tensor(r->j->stores, "train", &x, &ref, e) < 0)
		goto out;
	row = table_add_row(t);
	table_set(t, row, table_add_column(t, "item"), w->name);
	table_set(t, row, table_add_column(t, "tensor"), ref_text(&ref, text));
	table_set(t, row, table_add_column(t, "dtype"), dtype_name(x.type));
	table_set(t, row, table_add_column(t, "shape"), tensor_shape_text(&x, shape));
	if (starts_with(w->name, "lora.")) {
		int filter = x.rank == 4 && x.side[2] * x.side[3] > 1;
		const struct lora *l = &r->lora[strstr(w->name, "lora.unet.") == w->name ?
						PART_UNET : PART_TEXT];

		/* B of a 3x3 module is 1x1: its alpha is that of the module, which A says */
		table_setf(t, row, table_add_column(t, "alpha"), "%.9g",
			   (double)(filter ? l->conv_alpha : l->alpha));
	}
	ret = 0;
out:
	tensor_release(&x);
	return ret;
}

/* Scale, good steps in a row, skipped steps: no part of what was trained, but of how it goes on. */
static int add_scale(struct run *r, struct table *t, struct err *e)
{
	const double v[3] = { r->scale.scale, (double)r->scale.good, (double)r->scale.skipped };
	struct tensor x = { DT_F64, 1, { 3 }, v, NULL };
	struct ref ref;
	char text[STAGE_NAME + 1 + OID_HEX];
	size_t row;

	if (store_put_tensor(r->j->stores, "train", &x, &ref, e) < 0)
		return -1;
	row = table_add_row(t);
	table_set(t, row, table_add_column(t, "item"), SCALE_ITEM);
	table_set(t, row, table_add_column(t, "tensor"), ref_text(&ref, text));
	table_set(t, row, table_add_column(t, "dtype"), dtype_name(x.type));
	table_set(t, row, table_add_column(t, "shape"), "3");
	return 0;
}

static int add_log(struct run *r, struct table *t, struct err *e)
{
	struct ref ref;
	char text[STAGE_NAME + 1 + OID_HEX];
	size_t row;

	if (store_put_table(r->j->stores, "train", &r->log, &ref, e) < 0)
		return -1;
	row = table_add_row(t);
	table_set(t, row, table_add_column(t, "item"), "log");
	table_set(t, row, table_add_column(t, "tensor"), ref_text(&ref, text));
	table_set(t, row, table_add_column(t, "dtype"), "table");
	return 0;
}

/* Weights that learned, and their averages; with `moments` what a continuation needs too. */
static int make_table(struct run *r, struct table *t, int moments, struct err *e)
{
	table_add_column(t, "item");
	table_add_column(t, "tensor");
	table_add_column(t, "dtype");
	table_add_column(t, "shape");
	table_add_column(t, "alpha");
	for (size_t i = 0; i < r->t.pool.n; i++) {
		const struct pool_entry *w = &r->t.pool.entry[i];
		int is_moment = starts_with(w->name, "adam_");

		if (starts_with(w->name, "grad.") || (is_moment && !moments) ||
		    (w->kind == OP_WEIGHT && !w->trainable))
			continue;
		if (add_row(r, t, w, e) < 0)
			return -1;
	}
	if (moments && is_scaled(r) && add_scale(r, t, e) < 0)
		return -1;
	return add_log(r, t, e);
}

static int record(struct run *r, const char *level, int moments, struct ref *out, struct err *e)
{
	struct action a = { 0 };
	struct result res = { 0 };
	struct table t = { 0 };
	int ret = -1;

	if (state_key(r, level, r->step, &a, e) < 0 || make_table(r, &t, moments, e) < 0 ||
	    store_put_table(r->j->stores, "train", &t, &res.out, e) < 0)
		goto out;
	res.seconds = clock_now() - r->started;
	*out = res.out;
	ret = store_record(r->j->stores, &a, &res, e);
out:
	table_release(&t);
	result_release(&res);
	action_release(&a);
	return ret;
}

static int keep_is_due(const struct run *r)
{
	return r->o->keep_every && r->step % r->o->keep_every == 0;
}

int state_keep(struct run *r, struct err *e)
{
	char text[STAGE_NAME + 1 + OID_HEX];
	struct ref kept;

	if (!keep_is_due(r))
		return 0;
	if (record(r, "weights", 0, &kept, e) < 0)
		return -1;
	talk("weights of step %lld: %s", (long long)r->step, ref_text(&kept, text));
	return 0;
}

/* Forget a state that is no longer one of the last two: its action; what only it named is gc's. */
static int forget(struct run *r, int64_t step, struct err *e)
{
	struct action a = { 0 };
	struct oid key;
	int ret = state_key(r, "state", step, &a, e);

	if (ret == 0) {
		action_key(&a, &key);
		ret = store_delete_action(r->j->stores, "train", &key, e);
	}
	action_release(&a);
	return ret < 0 ? -1 : 0;
}

static int save_is_due(const struct run *r)
{
	if (r->step == r->steps || stop_wanted())
		return 1;
	if (r->o->save_every && r->step % r->o->save_every == 0)
		return 1;
	return !r->o->save_every && r->o->save_minutes > 0 &&
		clock_now() - r->saved_at >= r->o->save_minutes * 60;
}

int state_is_due(const struct run *r)
{
	return keep_is_due(r) || save_is_due(r);
}

int state_save(struct run *r, struct err *e)
{
	int64_t old = r->states[0];
	struct ref saved;

	if (!save_is_due(r))
		return 0;
	if (record(r, "state", 1, &saved, e) < 0)
		return err_prefix(e, "state %lld", (long long)r->step);
	r->saved_at = clock_now();
	r->states[0] = r->states[1];
	r->states[1] = r->step;
	return old > 0 ? forget(r, old, e) : 0;
}

/* ---- resuming ---- */

static int restore_log(struct run *r, const struct ref *ref, struct err *e)
{
	table_release(&r->log);
	return store_get_table(r->j->stores, ref, &r->log, e);
}

static int restore_scale(struct run *r, const struct ref *ref, struct err *e)
{
	struct tensor x = { 0 };
	const double *v;
	int ret = store_get_tensor(r->j->stores, ref, &x, e);

	v = x.at;
	if (ret == 0 && (x.type != DT_F64 || tensor_count(&x) != 3))
		ret = fail(e, "the state's loss scale is no row of three numbers");
	if (ret == 0)
		r->scale = (struct loss_scale){ (float)v[0], (int64_t)v[1], (int64_t)v[2] };
	tensor_release(&x);
	return ret;
}

static int restore_row(struct run *r, const struct table *t, size_t row, struct err *e)
{
	const char *item = table_get(t, row, table_column(t, "item"));
	struct pool_entry *w = pool_find(&r->t.pool, item);
	struct tensor x = { 0 };
	struct ref ref;
	int ret = -1;

	if (ref_parse(r->j->stores, table_get(t, row, table_column(t, "tensor")), &ref, e) < 0)
		return -1;
	if (!strcmp(item, "log"))
		return restore_log(r, &ref, e);
	if (!strcmp(item, SCALE_ITEM))
		return restore_scale(r, &ref, e);
	if (!w)
		return fail(e, "the state has '%s', which this training has not", item);
	if (store_get_tensor(r->j->stores, &ref, &x, e) == 0)
		ret = pool_put(&r->t.pool, w, &x, e);
	tensor_release(&x);
	return ret;
}

/*
 * 1: the state of that step was there and is in the pool; 0: not there (or not whole any more); -1.
 */
static int restore(struct run *r, int64_t step, struct err *e)
{
	struct action a = { 0 };
	struct result res = { 0 };
	struct table t = { 0 };
	int found = state_key(r, "state", step, &a, e) < 0 ? -1 : store_find(r->j->stores, &a, &res, e);

	if (found == 1 && store_get_table(r->j->stores, &res.out, &t, e) < 0)
		found = -1;
	for (size_t i = 0; found == 1 && i < t.rows; i++)
		if (restore_row(r, &t, i, e) < 0)
			found = -1;
	table_release(&t);
	result_release(&res);
	action_release(&a);
	return found;
}

/* Only numbers of steps that were saved are looked up: read from the actions' texts. */
struct known {
	const char *prefix;     /* the key's text up to the step's number */
	size_t len;
	int64_t *step;
	size_t n, cap;
	int64_t most;
};

static int note_step(void *data, const struct oid *key, const char *text, const struct result *res)
{
	struct known *k = data;
	char *end;
	int64_t step;

	(void)key;
	(void)res;
	if (strncmp(text, k->prefix, k->len))
		return 0;
	step = strtoll(text + k->len, &end, 10);
	if (step < 1 || step > k->most)
		return 0;
	k->step = grow(k->step, k->n, &k->cap, sizeof *k->step);
	k->step[k->n++] = step;
	return 0;
}

static int find_known(struct run *r, struct known *k, struct err *e)
{
	struct action a = { 0 };
	char *number;
	int ret = state_key(r, "state", 7, &a, e);

	if (ret == 0) {
		k->most = r->steps;
		number = strstr(buf_str(&a.text), "param state 7");
		if (!number)
			BUG("a state's key without its step: %s", buf_str(&a.text));
		k->len = (size_t)(number - a.text.at) + strlen("param state ");
		k->prefix = a.text.at;
		ret = store_actions(r->j->stores, "train", note_step, k, e);
	}
	k->prefix = NULL;
	action_release(&a);
	return ret < 0 ? -1 : 0;
}

static int64_t largest(struct known *k)
{
	size_t at = 0;
	int64_t step;

	for (size_t i = 1; i < k->n; i++)
		if (k->step[i] > k->step[at])
			at = i;
	step = k->step[at];
	k->step[at] = k->step[--k->n];
	return step;
}

/* Back to the beginning: a state that broke off half-way left some of its values behind. */
static int start_over(struct run *r, struct err *e)
{
	table_release(&r->log);
	loss_scale_begin(&r->scale);
	for (size_t i = 0; i < r->t.pool.n; i++) {
		struct pool_entry *w = &r->t.pool.entry[i];

		w->set = 0;
		if (w->kind == OP_STATE && pool_fill(&r->t.pool, w, 0, e) < 0)
			return -1;
	}
	return weights_fill(r, e);
}

int state_claim(struct run *r, int *claim, struct err *e)
{
	struct action a = { 0 };
	struct oid key;

	if (state_key(r, "state", 0, &a, e) < 0)
		return -1;
	action_key(&a, &key);
	action_release(&a);
	*claim = claim_take(stores_root(r->j->stores), &key, e);
	return *claim == CLAIM_STOPPED ? -1 : 0;
}

int state_resume(struct run *r, struct err *e)
{
	struct known k = { 0 };
	int found = r->j->force ? 0 : find_known(r, &k, e);

	while (found == 0 && k.n) {
		int64_t step = largest(&k);

		found = restore(r, step, e);
		if (found == 1) {
			r->step = r->states[1] = step;
			if (k.n)
				r->states[0] = largest(&k);
			talk("going on from step %lld of %lld", (long long)step, (long long)r->steps);
		} else if (found < 0) {         /* a damaged state: say so, try the one before */
			talk("the state of step %lld cannot be used: %s", (long long)step, e->text);
			found = start_over(r, e) < 0 ? -1 : 0;
		}
	}
	free(k.step);
	return found < 0 ? -1 : 0;
}

int state_result(struct run *r, struct table *out, struct err *e)
{
	return make_table(r, out, 0, e);
}
