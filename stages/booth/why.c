/*
 * booth why TARGET: what changed before its last run (with -n: before the next), down to the leaf;
 * the chain from there to the target; what merely follows; and what was not run again, and why not.
 */
#include "stages/booth/booth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/cause.h"
#include "stages/booth/items.h"
#include "stages/booth/next.h"

#define DEPTH_LIMIT 64

struct leaf {
	struct buf text, chains, diff;
};

struct why {
	struct stores *stores;
	const char *recipe;
	struct next *next;      /* NULL: the last run */
	struct leaf *leaf;
	size_t n, cap;
	struct buf follows, rest;
	struct names seen;      /* targets */
};

/* ---- other runs ---- */

static int load_before(struct past *out, struct stores *s, const struct past *now, struct err *e)
{
	struct ref ref;
	const char *text = past_get(now, 0, "previous");

	if (!*text)
		return 0;
	return ref_parse(s, text, &ref, e) < 0 ? -1 : past_load(out, s, &ref, e);
}

/* The run of another target whose result `by` took; not found if it is no longer on record. */
static int load_taken(struct past *out, struct why *w, const struct past *by, const char *need,
		      struct err *e)
{
	char *item = xasprintf("need %s", need);
	const char *took = past_get(by, past_row(by, item), "ref");
	int ret = past_read(out, w->stores, w->recipe, need, e);

	while (ret == 0 && out->found &&
	       (strcmp(past_get(out, 0, "ref"), took) || past_moment(out) > past_moment(by))) {
		struct past before = { 0 };

		ret = load_before(&before, w->stores, out, e);
		past_release(out);
		*out = before;
	}
	free(item);
	return ret;
}

/* ---- steps ---- */

/* What of the result is new. An old result that was deleted since has nothing to say. */
static void put_items(struct why *w, const struct cause *c, size_t step)
{
	const struct past *p[2] = { c->before, c->now };
	struct table t[2] = { { 0 }, { 0 } };
	struct items_diff d = { 0 };
	struct ref ref;
	struct err ignored;
	int found = 0;

	for (int i = 0; i < 2; i++) {
		const char *text = past_get(p[i], past_step(p[i], step), "ref");

		found += *text && ref_parse(w->stores, text, &ref, &ignored) == 0 &&
			store_get_table(w->stores, &ref, &t[i], &ignored) == 0;
	}
	if (found == 2)
		items_compare(&d, &t[0], &t[1]);
	items_text(&w->follows, &d, "      ");
	items_release(&d);
	table_release(&t[0]);
	table_release(&t[1]);
}

/* What changed, told once, whichever steps took it. */
static struct leaf *add_leaf(struct why *w, const struct buf *text)
{
	struct leaf *l;

	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(buf_str(&w->leaf[i].text), buf_str(text)))
			return &w->leaf[i];
	w->leaf = grow(w->leaf, w->n, &w->cap, sizeof *w->leaf);
	l = &w->leaf[w->n++];
	*l = (struct leaf){ 0 };
	buf_add(&l->text, text->at, text->len);
	return l;
}

/* The chain from the step that took it to the target that was asked for. */
static void put_chain(struct leaf *l, const struct cause *c, size_t step, const char *tail)
{
	int ends;

	buf_adds(&l->chains, "      ");
	cause_chain(c, step, &l->chains, &ends);
	buf_addf(&l->chains, "%s\n", ends ? ", which gave the same table: nothing follows" : tail);
}

static void put_leaf(struct why *w, const struct cause *c, size_t step,
		     const struct line_change *change,
		     const char *tail)
{
	struct buf text = { 0 };
	struct leaf *l;

	cause_leaf(c, step, change, "  ", &text);
	l = add_leaf(w, &text);
	put_chain(l, c, step, tail);
	if (!l->diff.len)
		change_lines(&l->diff, change, "      ");
	buf_release(&text);
}

/* A step that ran though its text is the same (asked for by -B, a file that is gone), or ever. */
static void put_reason(struct why *w, const struct cause *c, size_t step, const char *reason,
		       const char *tail)
{
	struct buf text = { 0 };

	buf_addf(&text, "  %s: %s\n", past_get(c->now, past_step(c->now, step), "stage"), reason);
	put_chain(add_leaf(w, &text), c, step, tail);
	buf_release(&text);
}

static void put_follows(struct why *w, const struct cause *c, size_t step,
			const struct line_changes *changes)
{
	const char *need, *sep = ": ";
	long row = past_step(c->now, step);
	int ran = *past_get(c->now, row, "reason") != 0;

	buf_addf(&w->follows, "  %s: %s %s", c->target, past_get(c->now, row, "stage"),
		 ran && c->next ? "runs" : ran ? "ran" : "did not run, its result for this was known");
	for (size_t i = 0; i < changes->n; i++) {
		enum cause_kind kind = cause_of(c, step, &changes->at[i], &need);

		if (kind == CAUSE_STEP)
			need = past_get(c->now, past_step(c->now, step - 1), "stage");
		if (kind == CAUSE_LEAF)
			continue;
		buf_addf(&w->follows, "%sanother result of %s", sep, need);
		sep = ", ";
	}
	buf_adds(&w->follows, cause_same_result(c, step) ? "; it gave the same table as before\n" :
		 "\n");
	if (!c->next)
		put_items(w, c, step);
}

/* A step of the next run that depends on what comes out of another one. */
static void put_may_follow(struct why *w, const struct cause *c, size_t step)
{
	buf_addf(&w->follows, "  %s: %s\n", c->target,
		 past_get(c->now, past_step(c->now, step), "stage"));
}

static void put_rest(struct why *w, const struct cause *c, size_t step)
{
	const char *stage = past_get(c->now, past_step(c->now, step), "stage"), *before = NULL;

	if (step > 0 && *past_get(c->now, past_step(c->now, step - 1), "reason") &&
	    cause_same_result(c, step - 1))
		before = past_get(c->now, past_step(c->now, step - 1), "stage");
	buf_addf(&w->rest, "  %s: %s: ", c->target, stage);
	if (before)
		buf_addf(&w->rest, "%s ran again and gave the same table: nothing follows\n",
			 before);
	else
		buf_adds(&w->rest, "nothing that it depends on changed\n");
}

static void put_step(struct why *w, const struct cause *c, size_t step, const char *tail)
{
	long row = past_step(c->now, step), before = past_step(c->before, step);
	struct line_changes changes;
	const char *need;
	int ran = *past_get(c->now, row, "reason") != 0, known = *past_get(c->now, row, "text") != 0;

	if (before < 0)
		put_reason(w, c, step, "it never ran before", tail);
	else if (!known)
		put_may_follow(w, c, step);
	if (before < 0 || !known)
		return;
	changes_find(&changes, past_get(c->before, before, "text"), past_get(c->now, row, "text"));
	for (size_t i = 0; i < changes.n; i++)
		if (cause_of(c, step, &changes.at[i], &need) == CAUSE_LEAF)
			put_leaf(w, c, step, &changes.at[i], tail);
	if (c->next && !strcmp(past_get(c->now, row, "note"), NEXT_FOLLOWS))
		put_may_follow(w, c, step);
	else if (changes.n)
		put_follows(w, c, step, &changes);
	else if (ran)
		put_reason(w, c, step, past_get(c->now, row, "reason"), tail);
	else
		put_rest(w, c, step);
	changes_release(&changes);
}

/* ---- targets ---- */

static int is_seen(struct why *w, const char *target)
{
	for (size_t i = 0; i < w->seen.n; i++)
		if (!strcmp(w->seen.at[i], target))
			return 1;
	names_add(&w->seen, target);
	return 0;
}

/* The step whose text names the need's result; 0 if it was taken in another way. */
static size_t taking_step(const struct cause *c, const char *name)
{
	char *need = xasprintf("need %s", name), *path = xasprintf("outside %s", name);
	const char *ref = strchr(past_get(c->now, past_row(c->now, need), "ref"), '/'),
		   *file = past_get(c->now, past_row(c->now, path), "text");
	size_t at = 0;

	for (size_t i = 0; past_step(c->now, i) >= 0; i++) {
		const char *text = past_get(c->now, past_step(c->now, i), "text");

		if ((ref && strstr(text, ref + 1)) || (*file && strstr(text, file))) {
			at = i;
			break;
		}
	}
	free(need);
	free(path);
	return at;
}

/* The chain from the need's result to the end: " -> lora: train -> out/rex.png: sample". */
static char *tail_of(const struct cause *c, const char *name, const char *tail)
{
	struct buf b = { 0 };
	int ends;

	buf_adds(&b, " -> ");
	cause_chain(c, taking_step(c, name), &b, &ends);
	buf_adds(&b, ends ? ", which gave the same result: nothing follows" : tail);
	return buf_detach(&b);
}

static int why_target(struct why *w, const struct cause *c, const char *tail, int depth,
		      struct err *e);

/* Is it the same run that both took? */
static int is_same(struct why *w, const struct cause *other, const struct cause *c)
{
	char *item;
	int same;

	if (!w->next)
		return other->now->found && other->before->found &&
			oid_equal(&other->now->ref.id, &other->before->ref.id);
	item = xasprintf("need %s", other->target);
	same = next_is_fresh(w->next, other->target) &&
		!strcmp(past_get(c->now, past_row(c->now, item), "ref"),
			past_get(c->before, past_row(c->before, item), "ref"));
	free(item);
	return same;
}

/* A target that was needed; with the runs whose results the two runs took. */
static int why_need(struct why *w, const struct cause *c, const char *need, const char *tail,
		    int depth, struct err *e)
{
	struct past now = { 0 }, before = { 0 };
	struct cause other = { w->stores, need, &now, &before, c->next };
	char *own = tail_of(c, need, tail);
	int ret = -1;

	if (is_seen(w, need)) {
		ret = 0;
		goto out;
	}
	if (load_taken(&before, w, c->before, need, e) < 0)
		goto out;
	if (w->next)
		other.now = next_of(w->next, need);
	else if (load_taken(&now, w, c->now, need, e) < 0)
		goto out;
	ret = 0;
	if (is_same(w, &other, c))
		buf_addf(&w->rest, "  %s: nothing that it depends on changed\n", need);
	else if (other.now && other.now->t.rows)
		ret = why_target(w, &other, own, depth + 1, e);
out:
	past_release(&now);
	past_release(&before);
	free(own);
	return ret;
}

static int why_target(struct why *w, const struct cause *c, const char *tail, int depth,
		      struct err *e)
{
	int item = table_column(&c->now->t, "item");

	for (size_t i = 0; i < c->now->t.rows && depth < DEPTH_LIMIT; i++) {
		const char *name = table_get(&c->now->t, i, item);

		if (starts_with(name, "need ") && c->before->t.rows &&
		    why_need(w, c, name + 5, tail, depth, e) < 0)
			return -1;
	}
	for (size_t i = 0; past_step(c->now, i) >= 0; i++)
		put_step(w, c, i, tail);
	return 0;
}

/* ---- since then ---- */

/*
 * Targets that it needs and that ran again later: with the same result, so that it was not run; or
 * with another one, which a run of it has not taken yet.
 */
static int put_since(struct why *w, const struct past *now, struct err *e)
{
	int item = table_column(&now->t, "item"), ret = 0;

	for (size_t i = 0; i < now->t.rows && ret == 0; i++) {
		const char *name = table_get(&now->t, i, item);
		struct past last = { 0 };

		if (!starts_with(name, "need "))
			continue;
		name += 5;
		ret = past_read(&last, w->stores, w->recipe, name, e);
		if (ret == 0 && last.found && past_moment(&last) > past_moment(now)) {
			buf_addf(&w->rest, "  since then %s ran ", name);
			put_time(&w->rest, past_time(&last));
			buf_addf(&w->rest, " and gave %s\n",
				 strcmp(past_get(&last, 0, "ref"), past_get(now, (long)i, "ref"))
				 ? "another table, which was not used yet" :
				 "the same table: nothing follows");
		}
		past_release(&last);
	}
	return ret;
}

/* ---- the command ---- */

static void print_part(const char *title, const struct buf *text)
{
	if (text->len)
		printf("%s\n%s", title, text->at);
}

static void print_why(struct why *w)
{
	if (w->n)
		printf("what changed%s\n", w->next ? " since" : "");
	for (size_t i = 0; i < w->n; i++) {
		struct leaf *l = &w->leaf[i];

		printf("%s%s%s", l->text.at, buf_str(&l->chains), buf_str(&l->diff));
		buf_release(&l->text);
		buf_release(&l->chains);
		buf_release(&l->diff);
	}
	print_part(w->next ? "what would follow, if results are others" : "what follows", &w->follows);
	print_part(w->next ? "what would not run" : "what did not run", &w->rest);
	free(w->leaf);
	buf_release(&w->follows);
	buf_release(&w->rest);
	names_release(&w->seen);
}

static int why_last(struct why *w, const char *target, const struct past *now, struct err *e)
{
	struct past before = { 0 };
	struct cause c = { w->stores, target, now, &before, 0 };
	struct buf when = { 0 };
	int ret = -1;

	put_time(&when, past_time(now));
	printf("%s (%s), last run %s%s\n", target, w->recipe, when.at,
	       *past_get(now, 0, "note") ? ", which failed" : "");
	if (load_before(&before, w->stores, now, e) < 0)
		goto out;
	if (!before.found)
		printf("it never ran before\n");
	else if (why_target(w, &c, "", 0, e) < 0)
		goto out;
	ret = put_since(w, now, e);
	if (ret == 0)
		print_why(w);
out:
	buf_release(&when);
	past_release(&before);
	return ret;
}

static int why_next(struct why *w, const char *target, struct past *last, char *const *set,
		    size_t sets, struct err *e)
{
	struct next *next = NULL;
	struct cause c = { w->stores, target, NULL, last, 1 };
	struct buf when = { 0 };
	int ret = -1;

	if (next_open(&next, w->stores, w->recipe, target, last, set, sets, e) < 0)
		goto out;
	w->next = next;
	c.now = next_of(next, target);
	put_time(&when, past_time(last));
	printf("%s (%s), last run %s%s%s\n", target, w->recipe, when.at,
	       *next_settings(next) ? ", with " : "", next_settings(next));
	if (next_is_fresh(next, target))
		printf("it is up to date\n");
	ret = why_target(w, &c, "", 0, e);
	if (ret == 0)
		print_why(w);
out:
	buf_release(&when);
	next_close(next);
	return ret;
}

int cmd_why(int argc, char **argv, const struct command *c)
{
	int coming = 0, words, code;
	const struct opt rows[] = {
		{ "next", OPT_FLAG, &coming, "", "-n: of the run that would be next", .quiet = 1 },
		{ 0 }
	};
	struct stores *s = NULL;
	struct pasts all = { 0 };
	struct why w = { 0 };
	struct err e;
	char spelt[] = "--next";
	int ret;

	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-n"))
			argv[i] = spelt;
	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1 || (words > 1 && !coming)) {
		stores_close(s);
		return command_usage(c, words ? "NAME=VALUE is for the next run, give -n as well"
				     : "no target was given");
	}
	w.stores = s;
	ret = pasts_read(&all, s, argv[1], &e);
	if (ret == 0 && !all.n)
		ret = fail(&e, "no run of a target '%s' is on record in '%s'", argv[1],
			   stores_root(s));
	if (ret == 0) {
		w.recipe = all.at[0].recipe;
		ret = coming ? why_next(&w, argv[1], &all.at[0], argv + 2, (size_t)words - 1, &e)
			: why_last(&w, argv[1], &all.at[0], &e);
	}
	if (ret < 0)
		code = command_failed(&e);
	pasts_release(&all);
	stores_close(s);
	return code;
}
