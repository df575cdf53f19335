/* booth status: all targets at a glance. */
#include "stages/booth/booth.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/estimate.h"

/* ---- sizes ---- */

struct size {
	struct ref ref;
	size_t task;
};

struct sizes {
	struct size *at;
	size_t n, cap;
	int64_t *of;            /* each task's bytes */
};

/* By reference, then by task. */
static int compare(const void *a, const void *b)
{
	const struct size *x = a, *y = b;
	int order = oid_compare(&x->ref.id, &y->ref.id);

	if (!order)
		order = strcmp(x->ref.stage, y->ref.stage);
	return order ? order : x->task < y->task ? -1 : x->task > y->task;
}

static void add(struct sizes *s, const struct ref *r, size_t task)
{
	s->at = grow(s->at, s->n, &s->cap, sizeof *s->at);
	s->at[s->n++] = (struct size){ *r, task };
}

static int cell_ref(const char *cell, struct ref *out)
{
	const char *slash = strchr(cell, '/');
	size_t n = slash ? (size_t)(slash - cell) : 0;

	*out = (struct ref){ "" };
	if (!n || n >= STAGE_NAME || strlen(slash + 1) != OID_HEX)
		return 0;
	memcpy(out->stage, cell, n);
	return oid_parse(&out->id, slash + 1) == 0;
}

/* The result itself and what it names: pictures, latents, weights. */
static void add_result(struct sizes *s, struct runner *r, size_t task)
{
	struct table t = { 0 };
	struct ref ref;
	struct err ignored;

	add(s, &r->task[task].result, task);
	if (store_get_table(r->stores, &r->task[task].result, &t, &ignored) < 0)
		return;
	for (size_t i = 0; i < t.rows; i++)
		for (int c = 0; c < t.columns; c++)
			if (cell_ref(table_get(&t, i, c), &ref))
				add(s, &ref, task);
	table_release(&t);
}

static int take_size(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct sizes *s = data;
	size_t from = 0, to = s->n;
	struct size key = { *r, 0 };

	(void)kind;
	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (compare(&s->at[mid], &key) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	for (; from < s->n && oid_equal(&s->at[from].ref.id, &r->id) &&
	       !strcmp(s->at[from].ref.stage, r->stage); from++)
		if (!from || compare(&s->at[from - 1], &s->at[from]))
			s->of[s->at[from].task] += (int64_t)size;
	return 0;
}

/* One walk over each stage's objects, for all targets. */
static int measure(struct sizes *s, struct runner *r, struct err *e)
{
	struct names stages = { 0 };
	int ret;

	s->of = xcalloc(r->tasks + 1, sizeof *s->of);
	for (size_t i = 0; i < r->tasks; i++)
		if (r->task[i].state == TASK_FRESH && r->task[i].rule->kind == RULE_RESULT)
			add_result(s, r, i);
	if (s->n)
		qsort(s->at, s->n, sizeof *s->at, compare);
	ret = stores_list(r->stores, &stages, e);
	for (size_t i = 0; i < stages.n && ret == 0; i++)
		if (strcmp(stages.at[i], "run"))
			ret = store_objects(r->stores, stages.at[i], take_size, s, e);
	names_release(&stages);
	for (size_t i = 0; i < r->tasks; i++) {
		struct stat st;

		if (r->task[i].rule->kind == RULE_FILE && !stat(r->task[i].rule->target, &st))
			s->of[i] = st.st_size;
	}
	return ret;
}

/* ---- the table ---- */

static void put_status(const struct task *t, int64_t bytes, struct buf *b)
{
	static const char *const word[] = {
		[TASK_FRESH] = "up to date", [TASK_STALE] = "to run", [TASK_UNSURE] = "may run"
	};
	char text[STAGE_NAME + 1 + OID_HEX + 1] = "-";
	int group = t->rule->kind == RULE_GROUP;

	buf_addf(b, "%s\t%s%s%s\t", t->rule->target,
		 paint(t->state == TASK_FRESH ? PAINT_GOOD : PAINT_WAIT), word[t->state],
		 paint(PAINT_OFF));
	if (t->state == TASK_FRESH && !group)
		ref_short(&t->result, text);
	buf_addf(b, "%s\t", text);
	if (bytes)
		text_bytes(b, bytes);
	else
		buf_addc(b, '-');
	buf_addc(b, '\t');
	put_time(b, past_time(&t->past));
	buf_addc(b, '\t');
	if (group || !t->past.found)
		buf_addc(b, '-');
	else
		text_seconds(b, rebuild_seconds(&t->past));
	buf_addf(b, "\t%s\n", t->state == TASK_STALE ? buf_str(&t->why) : "");
}

static int status(struct runner *r, struct err *e)
{
	struct sizes s = { 0 };
	struct buf text = { 0 };
	int ret = measure(&s, r, e);

	buf_adds(&text, "target\tstate\tresult\tsize\tlast run\trebuild\twhy\n");
	for (size_t i = 0; i < r->tasks; i++)
		put_status(&r->task[i], s.of[i], &text);
	if (ret == 0)
		print_columns(text.at);
	buf_release(&text);
	free(s.at);
	free(s.of);
	return ret;
}

int cmd_status(int argc, char **argv, const struct command *c)
{
	const struct opt rows[] = { { 0 } };
	struct stores *s = NULL;
	struct runner r = { 0 };
	struct err e;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1) {
		stores_close(s);
		return command_usage(c, "no recipe was given");
	}
	r.stores = s;
	if (runner_open(&r, argv[1], argv + 2, (size_t)words - 1, &e) < 0 ||
	    runner_check_tools(&r, &e) < 0 || runner_look(&r, &e) < 0 || status(&r, &e) < 0)
		code = command_failed(&e);
	runner_close(&r);
	stores_close(s);
	return code;
}
