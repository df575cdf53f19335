#include "common/data/reach.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/copy.h"

#define DEPTH 200               /* of tables in tables and stages behind stages */

/* One action on record: 40 bytes, as there may be millions. Stages are numbers. */
struct known {
	struct oid out, key;
	unsigned short out_stage, stage;
	unsigned char whole;
};

struct reach_index {            /* every action of the store that is shared, by its result */
	struct names stage;
	struct known *at;
	size_t n, cap;
};

static unsigned short stage_number(struct names *all, const char *stage)
{
	for (size_t i = 0; i < all->n; i++)
		if (!strcmp(all->at[i], stage))
			return (unsigned short)i;
	names_add(all, stage);
	return (unsigned short)(all->n - 1);
}

struct reach *reach_new(struct stores *s)
{
	struct reach *g = xcalloc(1, sizeof *g);

	g->stores = s;
	return g;
}

void reach_clear(struct reach *g)
{
	g->objects = g->tables = g->actions = 0;
	free(g->seen);
	g->seen = NULL;
	g->n_seen = g->cap_seen = 0;
}

void reach_free(struct reach *g)
{
	if (!g)
		return;
	reach_clear(g);
	if (g->index) {
		names_release(&g->index->stage);
		free(g->index->at);
		free(g->index);
	}
	free(g->object);
	free(g->table);
	free(g->action);
	free(g);
}

/* ---- the index ---- */

struct filling {
	struct reach_index *index;
	unsigned short stage;
};

static int fill_one(void *data, const struct oid *key, const struct result *r, const char *text,
		    struct err *e)
{
	struct filling *f = data;
	struct reach_index *x = f->index;
	const char *level = strchr(text, '\n');

	(void)e;
	if (!action_is_shared(text) || !level)
		return 0;
	x->at = grow(x->at, x->n, &x->cap, sizeof *x->at);
	x->at[x->n++] = (struct known){
		.out = r->out.id, .key = *key, .stage = f->stage,
		.out_stage = stage_number(&x->stage, r->out.stage),
		.whole = !starts_with(level + 1, "item\n"),
	};
	return 0;
}

static int compare_known(const void *a, const void *b)
{
	const struct known *x = a, *y = b;
	int by = oid_compare(&x->out, &y->out);

	by = by ? by : (int)x->out_stage - (int)y->out_stage;
	by = by ? by : (int)x->stage - (int)y->stage;
	return by ? by : oid_compare(&x->key, &y->key);
}

static int load_index(struct reach *g, struct err *e)
{
	struct names stages = { 0 };
	struct filling f;
	int ret;

	if (g->index)
		return 0;
	ret = stores_list(g->stores, &stages, e);
	g->index = f.index = xcalloc(1, sizeof *g->index);
	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		f.stage = stage_number(&f.index->stage, stages.at[i]);
		ret = records_visit(g->stores, stages.at[i], fill_one, &f, e);
	}
	if (f.index->n)
		qsort(f.index->at, f.index->n, sizeof *f.index->at, compare_known);
	names_release(&stages);
	return ret < 0 ? -1 : 0;
}

/* Where those with that result begin. */
static size_t first_known(const struct reach_index *x, const struct ref *r)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int by = oid_compare(&x->at[mid].out, &r->id);

		if (by < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- what was seen ---- */

static size_t place_of(const struct reach *g, const struct ref *r)
{
	size_t at;

	memcpy(&at, r->id.at, sizeof at);
	for (at &= g->cap_seen - 1; g->seen[at].stage[0]; at = (at + 1) & (g->cap_seen - 1))
		if (oid_equal(&g->seen[at].id, &r->id) && !strcmp(g->seen[at].stage, r->stage))
			break;
	return at;
}

static void make_place(struct reach *g)
{
	struct ref *old = g->seen;
	size_t cap = g->cap_seen;

	if (g->n_seen * 2 < cap)
		return;
	g->cap_seen = cap ? cap * 2 : 256;
	g->seen = xcalloc(g->cap_seen, sizeof *g->seen);
	for (size_t i = 0; i < cap; i++)
		if (old[i].stage[0])
			g->seen[place_of(g, &old[i])] = old[i];
	free(old);
}

static int is_seen(const struct reach *g, const struct ref *r)
{
	return g->cap_seen && g->seen[place_of(g, r)].stage[0];
}

static void note_seen(struct reach *g, const struct ref *r)
{
	make_place(g);
	g->seen[place_of(g, r)] = *r;
	g->n_seen++;
}

/* ---- the walk ---- */

struct step {
	struct reach *g;
	enum reach_depth depth;
	int level;
};

static int visit(const struct step *s, const struct ref *r, struct err *e);

static int visit_named(void *data, const struct ref *r, int must, struct err *e)
{
	const struct step *s = data;

	if (!must) {    /* looks like a reference; what is not there was none */
		int found = store_has(s->g->stores, r, e);

		if (found <= 0)
			return found;
	}
	return visit(s, r, e);
}

static int visit_table(const struct step *s, const struct ref *r, struct err *e)
{
	struct step next = { s->g, s->depth, s->level + 1 };
	struct table t = { 0 };
	int ret = store_get_table(s->g->stores, r, &t, e);

	if (ret == 0)
		ret = table_named(s->g->stores, &t, visit_named, &next, e);
	table_release(&t);
	return ret;
}

/* An input is known by its content only: it may lie in any stage's store, or outside. */
static int visit_input(const struct step *s, const struct oid *id, struct err *e)
{
	const struct names *stages = &s->g->index->stage;

	for (size_t i = 0; i < stages->n; i++) {
		struct ref r = { .id = *id };
		int found;

		if (!strcmp(stages->at[i], "run"))
			continue;
		memcpy(r.stage, stages->at[i], strlen(stages->at[i]));
		found = store_has(s->g->stores, &r, e);
		if (found < 0 || (found && visit(s, &r, e) < 0))
			return -1;
	}
	return 0;
}

/* The lines "input NAME HEX" of an action's text. */
static int visit_inputs(const struct step *s, const struct reach_action *a, struct err *e)
{
	struct buf text = { 0 };
	struct step next = { s->g, s->depth, s->level + 1 };
	int ret = record_text(s->g->stores, a->stage, &a->key, &text, e);

	for (const char *p = buf_str(&text), *end; *p && ret >= 0; p = end + (*end == '\n')) {
		struct oid id;
		const char *last;
		char hex[OID_HEX + 1];

		end = p + strcspn(p, "\n");
		if (!starts_with(p, "input ") || end - p < OID_HEX + 7)
			continue;
		last = end - OID_HEX;
		memcpy(hex, last, OID_HEX);
		hex[OID_HEX] = 0;
		if (last[-1] == ' ' && oid_parse(&id, hex) == 0)
			ret = visit_input(&next, &id, e);
	}
	buf_release(&text);
	return ret < 0 ? -1 : 0;
}

static int add_action(const struct step *s, const struct known *k, struct err *e)
{
	struct reach *g = s->g;
	const struct names *stages = &g->index->stage;
	struct reach_action *a, copy;

	g->action = grow(g->action, g->actions, &g->cap_actions, sizeof *g->action);
	a = &g->action[g->actions++];
	*a = (struct reach_action){ .key = k->key, .out.id = k->out, .whole = k->whole };
	memcpy(a->stage, stages->at[k->stage], strlen(stages->at[k->stage]));
	memcpy(a->out.stage, stages->at[k->out_stage], strlen(stages->at[k->out_stage]));
	copy = *a;
	return s->depth < REACH_CHAIN || !k->whole ? 0 : visit_inputs(s, &copy, e);
}

static int visit_actions(const struct step *s, const struct ref *r, struct err *e)
{
	const struct reach_index *x = s->g->index;

	for (size_t i = first_known(x, r); i < x->n && oid_equal(&x->at[i].out, &r->id); i++)
		if (!strcmp(x->stage.at[x->at[i].out_stage], r->stage) &&
		    add_action(s, &x->at[i], e) < 0)
			return -1;
	return 0;
}

static int visit(const struct step *s, const struct ref *r, struct err *e)
{
	struct reach *g = s->g;
	char text[STAGE_NAME + 1 + OID_HEX];
	enum kind kind;
	size_t size;
	int found;

	if (is_seen(g, r))
		return 0;
	found = value_look(g->stores, r, &kind, &size, e);
	if (found == 0)
		fail(e, "'%s' is not in '%s' any more", ref_text(r, text), stores_root(g->stores));
	if (found > 0 && s->level > DEPTH)
		found = fail(e, "'%s' lies behind more than %d others", ref_text(r, text), DEPTH);
	if (found <= 0)
		return -1;
	note_seen(g, r);
	if (kind == KIND_TABLE) {
		if (visit_table(s, r, e) < 0)
			return -1;
		g->table = grow(g->table, g->tables, &g->cap_tables, sizeof *g->table);
		g->table[g->tables++] = *r;
	} else {
		g->object = grow(g->object, g->objects, &g->cap_objects, sizeof *g->object);
		g->object[g->objects++] = *r;
	}
	return s->depth < REACH_ACTIONS ? 0 : visit_actions(s, r, e);
}

int reach_add(struct reach *g, const struct ref *r, enum reach_depth depth, struct err *e)
{
	struct step s = { g, depth, 0 };

	if (!strcmp(r->stage, "run"))
		return fail(e, "'run' holds what was done here; its records are not shared");
	if (depth > REACH_RESULT && load_index(g, e) < 0)
		return -1;
	return visit(&s, r, e);
}

/* ---- states ---- */

struct sharing {
	const struct reach *g;
	int found;
};

static int shares(void *data, const struct ref *r, int must, struct err *e)
{
	struct sharing *s = data;

	(void)must, (void)e;
	s->found |= is_seen(s->g, r);
	return 0;
}

static int is_state(struct reach *g, const struct ref *r, struct err *e)
{
	struct sharing s = { g, 0 };
	struct table t = { 0 };
	enum kind kind;
	size_t size;
	int found = is_seen(g, r) ? 0 : value_look(g->stores, r, &kind, &size, e);

	if (found <= 0 || kind != KIND_TABLE)
		return found;
	if (store_get_table(g->stores, r, &t, e) < 0)
		return -1;
	found = table_named(g->stores, &t, shares, &s, e);
	table_release(&t);
	return found < 0 ? -1 : s.found;
}

int reach_add_states(struct reach *g, struct err *e)
{
	struct step s = { g, REACH_ACTIONS, 0 };

	if (load_index(g, e) < 0)
		return -1;
	for (size_t i = 0; i < g->index->n; i++) {
		const struct known *k = &g->index->at[i];
		const char *stage = g->index->stage.at[k->out_stage];
		struct ref r = { .id = k->out };
		int is;

		memcpy(r.stage, stage, strlen(stage));
		is = k->whole ? 0 : is_state(g, &r, e);
		if (is < 0 || (is && visit(&s, &r, e) < 0))
			return -1;
	}
	return 0;
}
