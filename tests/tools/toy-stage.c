/*
 * A stage for tests of the runner: its name is that of the executable (booth-NAME; tests link it
 * under many). It passes its table on with a column of its own, as slowly as it is told to, and
 * notes each run in a file. As 'list' it takes paths, one row a file. With --items each row is an
 * item with an action and a result of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/flow/stage.h"

#define TICKS 100               /* of the progress of a wait */
#define LONGEST 1200            /* seconds, where nobody ends it any more */

struct toy {
	const char *text, *model, *class, *out, *ran, *device, *until;
	int64_t size;
	double sleep;
	int fail, items_fail, items;
};

static void note_run(const struct toy *p, const char *name, const char *what)
{
	FILE *f = p->ran ? fopen(p->ran, "a") : NULL;

	if (f) {
		fprintf(f, "%s %s\n", what, name);
		fclose(f);
	}
}

/* The ticks of `seconds` of a wait, TICKS if it is over. */
static int64_t ticks(const struct toy *p, double seconds)
{
	int64_t n = (int64_t)(seconds / (p->until ? 1 : p->sleep) * TICKS);

	if (p->until && is_file(p->until))
		return TICKS;
	return n < TICKS ? n : p->until ? TICKS - 1 : TICKS;
}

static int toy_wait(const struct toy *p, struct err *e)
{
	const struct timespec some = { 0, 5000000 };
	double start = clock_now();
	struct progress bar;

	if (p->sleep <= 0 && !p->until)
		return 0;
	progress_begin(&bar, "toy", "ticks", TICKS);

	for (int64_t n; (n = ticks(p, clock_now() - start)) < TICKS; ) {
		if (stop_wanted())
			return fail(e, "asked to stop");
		if (clock_now() - start > LONGEST)
			return fail(e, "nobody made '%s'", p->until ? p->until : "");
		progress_at(&bar, n, "a note");
		nanosleep(&some, NULL);
	}
	progress_at(&bar, TICKS, NULL);
	progress_end(&bar);
	return 0;
}

static void list_paths(struct job *j, struct table *out)
{
	for (int i = 0; i < j->paths; i++) {
		struct names all = { 0 };
		struct err ignored;

		if (!is_folder(j->path[i]) || folder_list(&all, j->path[i], &ignored) < 0)
			names_add(&all, j->path[i]);
		for (size_t k = 0; k < all.n; k++)
			table_set(out, table_add_row(out), table_add_column(out, "item"),
				  all.at[k]);
		names_release(&all);
	}
}

/* One item: looked up, or made, put and recorded. */
static int toy_item(struct job *j, const char *item, char ref[STAGE_NAME + 1 + OID_HEX],
		    struct err *e)
{
	static const char *const keyed[] = { "text", "size", NULL };
	const struct toy *p = j->params;
	struct action a = { 0 };
	struct result r = { 0 };
	struct buf text = { 0 };
	int found = job_item_action(j, &a, keyed, e);

	action_param(&a, "item", item);
	if (found == 0)
		found = j->force ? 0 : store_find(j->stores, &a, &r, e);
	if (found == 0) {
		buf_addf(&text, "%s of %s\n", p->text, item);
		found = store_put(j->stores, j->stage->name, KIND_TEXT, text.at, text.len, &r.out, e);
		if (found == 0)
			found = store_record_later(j->stores, &a, &r, e);
	}
	if (found >= 0)
		ref_text(&r.out, ref);
	action_release(&a);
	result_release(&r);
	buf_release(&text);
	return found < 0 ? -1 : 0;
}

static int toy_items(struct job *j, struct table *out, int column, struct err *e)
{
	char ref[STAGE_NAME + 1 + OID_HEX];
	int item = table_need(out, "item", j->stage->name, e);

	if (item < 0)
		return -1;
	for (size_t i = 0; i < out->rows; i++) {
		if (toy_item(j, table_get(out, i, item), ref, e) < 0)
			return -1;
		table_set(out, i, column, ref);
	}
	return 0;
}

static int toy_run(struct job *j, struct table *out, struct err *e)
{
	struct toy *p = j->params;
	int column;

	note_run(p, j->stage->name, "begin");
	if (toy_wait(p, e) < 0)
		return -1;
	if (p->fail)
		return fail(e, "told to fail");
	if (p->items_fail) {
		fail(e, "told to fail");
		job_item_failed(j, "an item", e);
	}
	table_copy(out, &j->in);
	if (j->stage->input == INPUT_PATHS)
		list_paths(j, out);
	else if (!out->rows)
		table_set(out, table_add_row(out), table_add_column(out, "item"), "one");
	column = table_add_column(out, j->stage->name);
	for (size_t i = 0; i < out->rows && !p->items; i++)
		table_setf(out, i, column, "%s %lld", p->text, (long long)p->size);
	if (p->items && toy_items(j, out, column, e) < 0)
		return -1;
	if (p->out) {
		char *line = xasprintf("%s %zu rows\n", p->text, out->rows);
		int ret = file_replace(p->out, line, strlen(line), e);

		free(line);
		table_set(out, 0, table_add_column(out, "file"), p->out);
		if (ret < 0)
			return -1;
	}
	note_run(p, j->stage->name, "end");
	return 0;
}

static int toy_still(struct job *j, const struct ref *result, struct err *e)
{
	const struct toy *p = j->params;

	(void)result, (void)e;
	return !p->out || is_file(p->out);
}

static int toy_key(struct job *j, struct action *a, struct err *e)
{
	struct oid id;

	for (int i = 0; i < j->paths; i++) {
		if (outside_hash(j->stores, j->path[i], &id, e) < 0)
			return -1;
		action_input(a, "path", &id);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct toy p = { .text = "x", .size = 1 };
	const char *name = strstr(path_base(argv[0]), "booth-");
	const struct opt opts[] = {
		{ "text", OPT_TEXT, &p.text, "", "what to write into the column", .quiet = 0 },
		{ "size", OPT_INT, &p.size, "", "a number for the column", .min = 1, .max = 9 },
		{ "model", OPT_PATH, &p.model, "", "a file that counts", .quiet = 0 },
		{ "class", OPT_REF, &p.class, "", "a table that counts", .quiet = 0 },
		{ "out", OPT_TEXT, &p.out, "", "a file to write", .quiet = 1 },
		{ "sleep", OPT_FLOAT, &p.sleep, "seconds", "how long to take", .quiet = 1 },
		{ "until", OPT_TEXT, &p.until, "file", "wait until somebody makes it", .quiet = 1 },
		{ "fail", OPT_FLAG, &p.fail, "", "fail", .quiet = 0 },
		{ "items-fail", OPT_FLAG, &p.items_fail, "", "one item fails", .quiet = 0 },
		{ "items", OPT_FLAG, &p.items, "", "an action for each row", .quiet = 0 },
		{ "ran", OPT_TEXT, &p.ran, "", "a file to note runs in", .quiet = 1 },
		{ "device", OPT_TEXT, &p.device, "", "where to run", .quiet = 1 },
		{ 0 }
	};
	const struct stage stage = {
		.name = name ? name + 6 : "toy", .version = 1, .about = "do next to nothing",
		.input = name && !strcmp(name, "booth-list") ? INPUT_PATHS : INPUT_TABLE_OPTIONAL,
		.run = toy_run, .key = toy_key, .still = toy_still,
	};

	p.ran = getenv("TOY_RAN");
	return stage_main(argc, argv, &stage, opts, &p);
}
