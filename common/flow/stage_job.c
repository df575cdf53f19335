/* What a running stage asks of its job. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/flow/stage_impl.h"

static int is_content(const struct opt *row)
{
	return row->type == OPT_PATH || row->type == OPT_PATHS || row->type == OPT_REF ||
		row->type == OPT_REFS;
}

/* The content that one word of an option stands for. */
static int content_of(struct job *j, const struct opt *row, const char *value, struct oid *out,
		      struct err *e)
{
	struct ref r;
	int path = row->type == OPT_PATH || row->type == OPT_PATHS,
		is_ref = !path || (access(value, F_OK) < 0 && ref_is(value));

	if (is_ref ? ref_parse(j->stores, value, &r, e) < 0 :
	    outside_hash(j->stores, value, out, e) < 0)
		return err_prefix(e, "option '--%s'", row->name);
	if (is_ref)
		*out = r.id;
	return 0;
}

/* 1 filled, 0 not given, -1. */
static int load_option(struct job *j, const struct opt *row, struct job_option *out, struct err *e)
{
	const char *const *value = row->at;
	int n = 1;

	if (row->type == OPT_REFS || row->type == OPT_PATHS) {
		const struct opt_list *list = row->at;

		value = list->at;
		n = list->n;
	}
	*out = (struct job_option){ .row = row };
	if (n == 0 || !value[0])
		return 0;
	out->id = xcalloc((size_t)n, sizeof *out->id);
	for (; out->n < n; out->n++)
		if (content_of(j, row, value[out->n], &out->id[out->n], e) < 0) {
			free(out->id);
			return -1;
		}
	return 1;
}

int job_inputs_load(struct job *j, struct err *e)
{
	struct job_inputs *all = j->inputs = xcalloc(1, sizeof *all);

	for (const struct opt *row = j->opts; row->name; row++) {
		struct job_option one;
		int found = is_content(row) && !row->quiet ? load_option(j, row, &one, e) : 0;

		if (found < 0)
			return -1;
		if (!found)
			continue;
		all->at = grow(all->at, all->n, &all->cap, sizeof *all->at);
		all->at[all->n++] = one;
	}
	return 0;
}

void job_inputs_release(struct job *j)
{
	if (!j->inputs)
		return;
	for (size_t i = 0; i < j->inputs->n; i++)
		free(j->inputs->at[i].id);
	free(j->inputs->at);
	free(j->inputs);
	j->inputs = NULL;
}

static const struct job_option *find_loaded(const struct job *j, const struct opt *row)
{
	for (size_t i = 0; j->inputs && i < j->inputs->n; i++)
		if (j->inputs->at[i].row == row)
			return &j->inputs->at[i];
	return NULL;
}

void job_add_option(struct job *j, struct action *a, const struct opt *row)
{
	const struct job_option *known;
	struct buf value = { 0 };

	if (row->quiet)
		return;
	if (is_content(row)) {
		known = find_loaded(j, row);
		for (int i = 0; known && i < known->n; i++)
			action_input(a, row->name, &known->id[i]);
	} else if (opt_value(row, &value) == 0) {
		action_param(a, row->name, buf_str(&value));
	}
	buf_release(&value);
}

static int is_named(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return 1;
	return 0;
}

int job_item_action(struct job *j, struct action *a, const char *const *params, struct err *e)
{
	(void)e;
	for (int i = 0; params && params[i]; i++)
		if (!opt_find(j->opts, params[i]))
			BUG("stage '%s' has no option '%s'", j->stage->name, params[i]);
	action_begin(a, j->stage->name, j->stage->version, "item");
	for (const struct opt *row = j->opts; row->name; row++)
		if (!params || is_named(params, row->name))
			job_add_option(j, a, row);
	return 0;
}

int job_find(struct job *j, const struct action *a, struct result *r, int *claim, struct err *e)
{
	int found = j->force ? 0 : store_find(j->stores, a, r, e);
	struct oid key;

	*claim = CLAIM_NONE;
	if (found)
		return found;
	action_key(a, &key);
	*claim = claim_take(stores_root(j->stores), &key, e);
	if (*claim == CLAIM_STOPPED)
		return -1;
	found = j->force || *claim < 0 ? 0 : store_find(j->stores, a, r, e);
	if (found) {
		claim_drop(*claim);
		*claim = CLAIM_NONE;
	}
	return found;
}

void job_item_failed(struct job *j, const char *item, const struct err *why)
{
	__atomic_add_fetch(&j->failed, 1, __ATOMIC_SEQ_CST);
	if (talk_redraws())     /* a progress line may be drawn at the cursor */
		fputs("\r\033[K", stderr);
	warn("'%s': %s", item, why->text);
}

int job_input(struct job *j, const char *option, struct oid *out, struct err *e)
{
	const struct opt *row = opt_find(j->opts, option);
	const struct job_option *known;
	struct job_option one = { 0 };
	int found = 1;

	if (!row || !is_content(row))
		BUG("stage '%s' has no path or reference '%s'", j->stage->name, option);
	known = find_loaded(j, row);
	if (!known) {
		found = load_option(j, row, &one, e);
		known = &one;
	}
	if (found == 0)
		return fail(e, "option '--%s' is not given", option);
	if (found < 0)
		return -1;
	if (known->n == 1)
		*out = known->id[0];
	else
		oid_of(out, KIND_BYTES, known->id, (size_t)known->n * sizeof *known->id);
	free(one.id);
	return 0;
}
