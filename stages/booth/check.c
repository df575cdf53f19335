/* booth check: every object is read and hashed again; every action's result must be there. */
#include "stages/booth/booth.h"

#include <stdlib.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"

struct list {                   /* gathered first: no reading within the walk's transaction */
	struct ref *at;
	size_t n, cap;
	int64_t bytes;
};

static void list_add(struct list *l, const struct ref *r)
{
	l->at = grow(l->at, l->n, &l->cap, sizeof *l->at);
	l->at[l->n++] = *r;
}

static int take_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct list *l = data;

	(void)kind;
	list_add(l, r);
	l->bytes += (int64_t)size;
	return 0;
}

static int take_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	(void)key, (void)text;
	list_add(data, &r->out);
	return 0;
}

/* The number of bad ones. */
static size_t check_objects(struct stores *s, const struct list *l, const char *stage)
{
	struct progress p;
	size_t bad = 0;

	progress_begin(&p, stage, "objects", (int64_t)l->n);
	for (size_t i = 0; i < l->n; i++) {
		struct blob b = { 0 };
		struct err e;
		char text[STAGE_NAME + 1 + OID_HEX + 1];
		int found = store_get(s, &l->at[i], &b, &e);

		if (found == 0)
			fail(&e, "object '%s' is gone", ref_text(&l->at[i], text));
		if (found <= 0) {
			warn("%s", e.text);
			bad++;
		}
		blob_release(&b);
		progress_at(&p, (int64_t)i + 1, NULL);
	}
	progress_end(&p);
	return bad;
}

static size_t check_results(struct stores *s, const struct list *l)
{
	size_t lost = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct err e;
		char text[STAGE_NAME + 1 + OID_HEX + 1];

		if (store_has(s, &l->at[i], &e) <= 0) {
			talk("the result '%s' of an action is gone; it is made again when it is wanted",
			     ref_text(&l->at[i], text));
			lost++;
		}
	}
	return lost;
}

static int check_stage(struct stores *s, const char *stage, struct buf *b, size_t *bad,
		       struct err *e)
{
	struct list objects = { 0 }, results = { 0 };
	size_t wrong = 0, lost = 0;
	int ret = -1;

	if (store_check(s, stage, e) == 0 && store_objects(s, stage, take_object, &objects, e) == 0 &&
	    store_actions(s, stage, take_action, &results, e) == 0) {
		wrong = check_objects(s, &objects, stage);
		lost = check_results(s, &results);
		buf_addf(b, "%s\t%zu objects\t", stage, objects.n);
		text_bytes(b, objects.bytes);
		buf_addf(b, "\t%zu actions\t%zu damaged\t%zu results gone\n", results.n, wrong,
			 lost);
		ret = 0;
	}
	*bad += wrong;
	free(objects.at);
	free(results.at);
	return ret;
}

int cmd_check(int argc, char **argv, const struct command *c)
{
	const struct opt rows[] = { { 0 } };
	struct stores *s = NULL;
	struct names stages = { 0 };
	struct buf b = { 0 };
	struct err e;
	size_t bad = 0;
	int words, code, ret;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words) {
		stores_close(s);
		return command_usage(c, "no words are wanted, %d were given", words);
	}
	ret = stores_list(s, &stages, &e);
	if (store_check(s, "stat", &e) < 0)     /* what files were looked at; has sums of its own */
		code = command_failed(&e);
	for (size_t i = 0; i < stages.n && ret == 0; i++)
		if (check_stage(s, stages.at[i], &b, &bad, &e) < 0) {
			command_failed(&e);
			code = 1;
		}
	print_columns(buf_str(&b));
	if (ret < 0)
		code = command_failed(&e);
	else if (bad)
		warn("%zu objects are damaged; delete the folder of the stage in '%s' and run the recipe again",
		     bad, stores_root(s));
	names_release(&stages);
	buf_release(&b);
	stores_close(s);
	return code ? code : bad > 0;
}
