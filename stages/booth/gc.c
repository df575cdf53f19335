/*
 * booth gc: delete what nothing on record needs. Kept is what can be reached from
 *   - the last run of each target of each recipe (its results, and those of the steps in between),
 *   - pins (--keep REFERENCE, until --unkeep),
 *   - states that trainings go on from, and weights that --keep-every kept, unless --states is given.
 * Reached is an object itself and, if it is a table, every reference in it. The results of single
 * items are also kept if they are tables that name kept objects only. Without --yes nothing is
 * deleted.
 *
 * Stages hold ROOT/lock shared while they run and gc takes it alone, so what a running stage uses
 * is never deleted.
 */
#include "stages/booth/booth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "common/flow/lock.h"
#include "stages/booth/past.h"

#define SHOWN 20                /* of the largest that would go; --all shows every one */

struct object {
	struct ref ref;
	enum kind kind;
	size_t size;
	double seconds;         /* of the action that made it, if any */
	int kept;
};

struct doing {                  /* an action: what it is called and what came out */
	char stage[STAGE_NAME];
	struct oid key;
	struct ref out;
	char level[8];
	double seconds;
};

struct gc {
	struct stores *stores;
	const char *stage;      /* walked at the moment */
	struct object *object;
	size_t objects, cap_objects;
	struct doing *doing;
	size_t doings, cap_doings;
	struct object **stack;  /* kept, not yet looked into */
	size_t stacked, cap_stack;
};

/* ---- reading everything ---- */

static int take_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct gc *g = data;

	g->object = grow(g->object, g->objects, &g->cap_objects, sizeof *g->object);
	g->object[g->objects++] = (struct object){ .ref = *r, .kind = kind, .size = size };
	return 0;
}

static int take_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct gc *g = data;
	const char *level = strchr(text, '\n');
	struct doing *d;

	g->doing = grow(g->doing, g->doings, &g->cap_doings, sizeof *g->doing);
	d = &g->doing[g->doings++];
	*d = (struct doing){ .key = *key, .out = r->out, .seconds = r->seconds };
	snprintf(d->stage, sizeof d->stage, "%s", g->stage);
	/* what a training saved on its way is an item of its stage, named by the step */
	if (strstr(text, "\nparam state ") || strstr(text, "\nparam weights "))
		snprintf(d->level, sizeof d->level, "state");
	else if (level)
		snprintf(d->level, sizeof d->level, "%.*s", (int)strcspn(level + 1, "\n"),
			 level + 1);
	return 0;
}

static int compare_refs(const struct ref *a, const struct ref *b)
{
	int by_id = oid_compare(&a->id, &b->id);

	return by_id ? by_id : strcmp(a->stage, b->stage);
}

static int compare_objects(const void *a, const void *b)
{
	return compare_refs(&((const struct object *)a)->ref, &((const struct object *)b)->ref);
}

static struct object *find_object(struct gc *g, const struct ref *r)
{
	struct object key = { .ref = *r };

	return g->objects ? bsearch(&key, g->object, g->objects, sizeof key, compare_objects)
			  : NULL;
}

static int read_all(struct gc *g, struct err *e)
{
	struct names stages = { 0 };
	int ret = stores_list(g->stores, &stages, e);

	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		g->stage = stages.at[i];
		if (store_objects(g->stores, g->stage, take_object, g, e) < 0 ||
		    store_actions(g->stores, g->stage, take_action, g, e) < 0)
			ret = -1;
	}
	names_release(&stages);
	if (g->objects)
		qsort(g->object, g->objects, sizeof *g->object, compare_objects);
	for (size_t i = 0; i < g->doings; i++) {
		struct object *o = find_object(g, &g->doing[i].out);

		if (o && g->doing[i].seconds > o->seconds)
			o->seconds = g->doing[i].seconds;
	}
	return ret;
}

/* ---- what is kept ---- */

static void keep(struct gc *g, const struct ref *r)
{
	struct object *o = find_object(g, r);

	if (!o || o->kept)
		return;
	o->kept = 1;
	g->stack = grow(g->stack, g->stacked, &g->cap_stack, sizeof *g->stack);
	g->stack[g->stacked++] = o;
}

/* A cell as a whole reference; abbreviations never stand in tables of stages. */
static int cell_ref(const char *cell, struct ref *out)
{
	const char *slash = strchr(cell, '/');
	size_t n = slash ? (size_t)(slash - cell) : 0;

	if (!n || n >= STAGE_NAME || strlen(slash + 1) != OID_HEX ||
	    oid_parse(&out->id, slash + 1) < 0)
		return 0;
	memset(out->stage, 0, sizeof out->stage);
	memcpy(out->stage, cell, n);
	return 1;
}

typedef int cell_visit(struct gc *g, const struct ref *r, int column, const struct table *t);

static int each_cell(struct gc *g, const struct object *o, cell_visit *visit, struct err *e)
{
	struct table t = { 0 };
	struct ref r;
	int ret = 0;

	if (store_get_table(g->stores, &o->ref, &t, e) < 0)
		return -1;
	for (size_t i = 0; i < t.rows && ret == 0; i++)
		for (int c = 0; c < t.columns && ret == 0; c++)
			if (cell_ref(table_get(&t, i, c), &r))
				ret = visit(g, &r, c, &t);
	table_release(&t);
	return ret;
}

/* What folders held is part of the record. */
static void keep_listings(struct gc *g, const struct past *p)
{
	struct object *o;
	struct ref ref;

	for (size_t i = 0; i < p->t.rows; i++)
		if (starts_with(past_get(p, (long)i, "item"), "outside ") &&
		    cell_ref(past_get(p, (long)i, "ref"), &ref)) {
			o = find_object(g, &ref);
			if (o)
				o->kept = 1;
		}
}

/*
 * A run's table keeps its own results; the runs before it
 * are kept as a record, not with their results.
 */
static int keep_cell(struct gc *g, const struct ref *r, int column, const struct table *t)
{
	struct object *o;

	if (!strcmp(t->name[column], "previous")) {
		o = find_object(g, r);
		while (o && !o->kept) {
			struct past p = { 0 };
			struct err ignored;
			struct ref before;
			int more;

			o->kept = 1;
			more = past_load(&p, g->stores, &o->ref, &ignored) == 0 &&
				cell_ref(past_get(&p, 0, "previous"), &before);
			keep_listings(g, &p);
			past_release(&p);
			o = more ? find_object(g, &before) : NULL;
		}
		return 0;
	}
	keep(g, r);
	return 0;
}

static int follow(struct gc *g, struct err *e)
{
	while (g->stacked) {
		struct object *o = g->stack[--g->stacked];

		if (o->kind == KIND_TABLE && each_cell(g, o, keep_cell, e) < 0)
			return -1;
	}
	return 0;
}

static void keep_roots(struct gc *g, int states)
{
	for (size_t i = 0; i < g->doings; i++) {
		const struct doing *d = &g->doing[i];
		int ours = !strcmp(d->stage, "run");

		if ((ours &&
		     (!strcmp(d->level, "target") || !strcmp(d->level, "tool") ||
		      !strcmp(d->level, "pin"))) ||
		    (!states && !strcmp(d->level, "state")))
			keep(g, &d->out);
	}
}

static int is_dropped(struct gc *g, const struct ref *r, int column, const struct table *t)
{
	struct object *o = find_object(g, r);

	(void)column, (void)t;
	return o && o->kept ? 0 : 1;
}

/* Small tables that single items left behind: worthless only if what they name goes. */
static int keep_items(struct gc *g, struct err *e)
{
	for (size_t i = 0; i < g->doings; i++) {
		struct object *o =
			strcmp(g->doing[i].level, "item") ? NULL : find_object(g, &g->doing[i].out);
		int dropped;

		if (!o || o->kept || o->kind != KIND_TABLE)
			continue;
		dropped = each_cell(g, o, is_dropped, e);
		if (dropped < 0)
			return -1;
		o->kept = !dropped;
	}
	return 0;
}

/* ---- pins ---- */

static int set_pin(struct stores *s, const char *text, int on, struct err *e)
{
	struct action a = { 0 };
	struct result r = { 0 };
	struct oid key;
	char full[STAGE_NAME + 1 + OID_HEX + 1];
	int ret = -1;

	if (ref_parse(s, text, &r.out, e) < 0)
		return -1;
	action_begin(&a, "run", 1, "pin");
	action_param(&a, "ref", ref_text(&r.out, full));
	action_key(&a, &key);
	ret = on ? store_record(s, &a, &r, e) : store_delete_action(s, "run", &key, e);
	if (ret >= 0)
		talk("%s is %s", full, on ? "kept from now on" : "no longer kept");
	action_release(&a);
	return ret < 0 ? -1 : 0;
}

/* ---- showing and deleting ---- */

static int largest_first(const void *a, const void *b)
{
	const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;

	return x->size < y->size ? 1 : x->size > y->size ? -1 : compare_refs(&x->ref, &y->ref);
}

static size_t list_dropped(struct gc *g, struct object ***out, int64_t *bytes)
{
	size_t n = 0;

	*out = xcalloc(g->objects + 1, sizeof **out);
	*bytes = 0;
	for (size_t i = 0; i < g->objects; i++)
		if (!g->object[i].kept) {
			(*out)[n++] = &g->object[i];
			*bytes += (int64_t)g->object[i].size;
		}
	qsort(*out, n, sizeof **out, largest_first);
	return n;
}

static void show(struct object *const *dropped, size_t n, int all)
{
	struct buf b = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	for (size_t i = 0; i < n && (all || i < SHOWN); i++) {
		buf_addf(&b, "%s\t%s\t", ref_text(&dropped[i]->ref, text),
			 kind_name(dropped[i]->kind));
		text_bytes(&b, (int64_t)dropped[i]->size);
		if (dropped[i]->seconds > 0) {
			buf_adds(&b, "\tmade in ");
			text_seconds(&b, dropped[i]->seconds);
		}
		buf_addc(&b, '\n');
	}
	print_columns(buf_str(&b));
	if (!all && n > SHOWN)
		printf("... and %zu more (--all shows them)\n", n - SHOWN);
	buf_release(&b);
}

/* Seconds to make it all again. A stage's run takes as long as its items together, or longer. */
static double rebuild_cost(struct gc *g)
{
	double sum = 0, items = 0, runs = 0;

	for (size_t i = 0; i < g->doings; i++) {
		const struct doing *d = &g->doing[i];
		const struct object *o = find_object(g, &d->out);

		if (o && !o->kept && strcmp(d->stage, "run"))
			*(strcmp(d->level, "item") ? &runs : &items) += d->seconds;
		if (i + 1 < g->doings && !strcmp(d->stage, g->doing[i + 1].stage))
			continue;
		sum += items > runs ? items : runs;
		items = runs = 0;
	}
	return sum;
}

/* Actions go first: one must not name an object that is gone. */
static int delete_all(struct gc *g, struct object *const *dropped, size_t n, struct err *e)
{
	for (size_t i = 0; i < g->doings; i++) {
		const struct object *o = find_object(g, &g->doing[i].out);

		if ((!o || !o->kept) &&
		    store_delete_action(g->stores, g->doing[i].stage, &g->doing[i].key, e) < 0)
			return -1;
	}
	if (stores_flush(g->stores, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (store_delete(g->stores, &dropped[i]->ref, e) < 0)
			return -1;
	return stores_flush(g->stores, e);
}

static int collect(struct gc *g, int states, int yes, int all, struct err *e)
{
	struct object **dropped = NULL;
	struct buf size = { 0 };
	double seconds;
	int64_t bytes;
	size_t n;
	int ret = -1;

	if (read_all(g, e) < 0)
		goto out;
	keep_roots(g, states);
	if (follow(g, e) < 0 || keep_items(g, e) < 0)
		goto out;
	n = list_dropped(g, &dropped, &bytes);
	text_bytes(&size, bytes);
	seconds = rebuild_cost(g);
	if (n && seconds > 0) {
		buf_adds(&size, ", ");
		text_seconds(&size, seconds);
		buf_adds(&size, " to make again");
	}
	show(dropped, n, all);
	if (yes && delete_all(g, dropped, n, e) < 0)
		goto out;
	printf("%zu of %zu objects, %s: %s\n", n, g->objects, size.at,
	       yes ? "deleted; the files keep their size, the room in them is used again" :
	       n ? "nothing needs them; --yes deletes them" : "nothing to delete");
	ret = 0;
out:
	free(dropped);
	buf_release(&size);
	return ret;
}

static int gc_words(struct stores *s, const struct opt_list *pin, const struct opt_list *unpin,
		    int states, int yes, int all, struct err *e)
{
	struct gc g = { .stores = s };
	int lock, ret = 0;

	for (int i = 0; i < pin->n && ret == 0; i++)
		ret = set_pin(s, pin->at[i], 1, e);
	for (int i = 0; i < unpin->n && ret == 0; i++)
		ret = set_pin(s, unpin->at[i], 0, e);
	if (ret == 0)
		ret = stores_flush(s, e);
	if (ret < 0 || pin->n || unpin->n)
		return ret;
	if (!is_folder(stores_root(s)))
		return fail(e, "there is no store '%s'", stores_root(s));
	lock = lock_take(stores_root(s), 1, e);
	if (lock == LOCK_BUSY)
		return fail(e,
			    "a stage or run is using the store '%s'; try again when it has ended",
			    stores_root(s));
	if (lock < 0)
		return -1;
	ret = collect(&g, states, yes, all, e);
	close(lock);
	free(g.object);
	free(g.doing);
	free(g.stack);
	return ret;
}

int cmd_gc(int argc, char **argv, const struct command *c)
{
	int yes = 0, all = 0, states = 0, words, code;
	struct opt_list pin = { 0 }, unpin = { 0 };
	const struct opt rows[] = {
		{ "yes", OPT_FLAG, &yes, "", "delete; else it is only shown", .quiet = 1 },
		{ "all", OPT_FLAG, &all, "", "show everything that would go, not the largest only",
		  .quiet = 1 },
		{ "states", OPT_FLAG, &states, "",
		  "the states that trainings go on from may go as well", .quiet = 1 },
		{ "keep", OPT_REFS, &pin, "",
		  "never delete this and what it needs; nothing else is done", .quiet = 1 },
		{ "unkeep", OPT_REFS, &unpin, "", "take back a --keep", .quiet = 1 },
		{ 0 }
	};
	struct stores *s = NULL;
	struct err e;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words)
		code = command_usage(c, "no words are wanted, %d were given", words);
	else if (gc_words(s, &pin, &unpin, states, yes, all, &e) < 0)
		code = command_failed(&e);
	stores_close(s);
	return code;
}
