/*
 * golden FOLDER [WORD]: every case and table of the folder, or those whose name holds WORD.
 * One line each, the last line counts them; the exit code is 1 if one failed.
 */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

/* Groups whose file is not there yet are NULL. */
#define GROUPS(X) \
	X(unet) \
	X(vae) X(text) X(training) X(pipeline) X(sampler) X(schedule) X(loss) X(optimizer) \
		X(resize) X(table_tokenizer) X(table_chunks) X(table_weights) X(table_buckets) \
			X(table_bucket_lists) X(table_captions) X(table_caption_files) \
				X(table_folders) X(table_rates) X(table_resize) X(table_crop) \
					X(table_img2img)

#define WEAK(name) extern const struct golden_group golden_##name __attribute__((weak));
GROUPS(WEAK)

#define ROW(name) &golden_##name,
static const struct golden_group *const groups[] = { GROUPS(ROW) };

static int passed, failed, skipped;

static const struct golden_group *group_find(const char *name)
{
	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
		if (groups[i] && !strcmp(groups[i]->name, name))
			return groups[i];
	return NULL;
}

static void case_open(struct gcase *c, const char *path, struct err *e, int *ok)
{
	const char *text;

	*ok = safetensors_open(&c->file, path, e) == 0;
	if (!*ok)
		return;
	text = safetensors_meta(&c->file, "case");
	if (!text)
		*ok = fail(e, "'%s' has no metadata 'case'", path) == 0;
	else
		*ok = json_parse(&c->doc, text, strlen(text), path, e) == 0;
}

static void case_report(const struct gcase *c, enum golden_verdict v)
{
	if (v == GOLDEN_NOT_YET) {
		skipped++;
		printf("not yet %s/%s\n", c->group, c->name);
	} else if (!c->compared) {
		failed++;
		printf("FAILED %s/%s: nothing was compared\n", c->group, c->name);
	} else {
		*(c->over ? &failed : &passed) += 1;
		printf("%s %s/%s %.1e of %.0e (%s)\n", c->over ? "FAILED" : "ok", c->group, c->name,
		       c->worst, c->worst_of, c->worst_at);
	}
}

static void case_run(const char *root, const char *group, const char *file, const char *path)
{
	const struct golden_group *g = group_find(group);
	struct gcase c = { .root = root };
	enum golden_verdict v = g && g->check ? GOLDEN_CHECKED : GOLDEN_NOT_YET;
	struct err e = { "" };
	int ok;

	snprintf(c.group, sizeof c.group, "%s", group);
	snprintf(c.name, sizeof c.name, "%.*s", (int)(strlen(file) - strlen(".safetensors")), file);
	case_open(&c, path, &e, &ok);
	if (ok && v == GOLDEN_CHECKED)
		ok = g->check(&c, &v, &e) == 0;
	if (ok) {
		case_report(&c, v);
	} else {
		failed++;
		printf("FAILED %s/%s: %s\n", c.group, c.name, e.text);
	}
	fflush(stdout);
	json_free(c.doc);
	safetensors_close(&c.file);
}

static void table_run(const char *root, const char *file, const char *path)
{
	char *name = xasprintf("tables/%s", file);
	const struct golden_group *g = group_find(name);
	struct err e = { "" };
	int rows = 0, wrong = 0;

	if (!g || !g->check_table) {
		skipped++;
		printf("not yet %s\n", name);
	} else if (g->check_table(root, path, &rows, &wrong, &e) < 0) {
		failed++;
		printf("FAILED %s: %s\n", name, e.text);
	} else {
		*(wrong || !rows ? &failed : &passed) += 1;
		printf("%s %s %d of %d rows differ\n", wrong || !rows ? "FAILED" : "ok", name,
		       wrong, rows);
	}
	fflush(stdout);
	free(name);
}

static int wanted(const char *word, const char *group, const char *file)
{
	char *name = xasprintf("%s/%s", group, file);
	int yes = !word || strstr(name, word) != NULL;

	free(name);
	return yes;
}

static void group_run(const char *root, const char *group, const char *folder, const char *suffix,
		      const char *word)
{
	struct names files = { 0 };
	struct err e;

	if (folder_list(&files, folder, &e) < 0) {
		failed++;
		printf("FAILED %s: %s\n", group, e.text);
	}
	for (size_t i = 0; i < files.n; i++) {
		char *path = path_join(folder, files.at[i]);
		if (!ends_with(files.at[i], suffix) || !wanted(word, group, files.at[i]))
			;
		else if (!strcmp(group, "tables"))
			table_run(root, files.at[i], path);
		else
			case_run(root, group, files.at[i], path);
		free(path);
	}
	names_release(&files);
}

int main(int argc, char **argv)
{
	struct names list = { 0 };
	struct err e;
	char *cases, *tables;

	program_name = "golden";
	if (argc < 2 || argc > 3)
		die(2, "usage: golden FOLDER [WORD]");
	cases = path_join(argv[1], "cases");
	tables = path_join(argv[1], "tables");
	if (!is_folder(cases)) {
		printf("# '%s' has no folder 'cases': nothing to hold against\n0 passed, 0 failed, 1 skipped\n",
		       argv[1]);
		free(cases);
		free(tables);
		return 0;
	}
	if (folder_list(&list, cases, &e) < 0)
		die(1, "%s", e.text);
	for (size_t i = 0; i < list.n; i++) {
		char *folder = path_join(cases, list.at[i]);
		if (is_folder(folder))
			group_run(argv[1], list.at[i], folder, ".safetensors", argv[2]);
		free(folder);
	}
	if (is_folder(tables))
		group_run(argv[1], "tables", tables, ".tsv", argv[2]);
	printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
	names_release(&list);
	free(cases);
	free(tables);
	return failed > 0;
}
