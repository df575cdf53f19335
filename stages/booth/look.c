/* booth ls, booth cat: what is in the store. */
#include "stages/booth/booth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define SHOWN_VALUES 8          /* of a tensor, on a terminal */

/* ---- ls ---- */

struct count {
	size_t objects, actions;
	int64_t bytes;
};

static int count_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct count *c = data;

	(void)r, (void)kind;
	c->objects++;
	c->bytes += (int64_t)size;
	return 0;
}

static int count_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct count *c = data;

	(void)key, (void)text, (void)r;
	c->actions++;
	return 0;
}

static int ls_one_store(struct stores *s, struct buf *b, struct err *e)
{
	struct names stages = { 0 };
	int ret = stores_list(s, &stages, e);

	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		struct count c = { 0 };

		if (store_objects(s, stages.at[i], count_object, &c, e) < 0 ||
		    store_actions(s, stages.at[i], count_action, &c, e) < 0)
			ret = -1;
		buf_addf(b, "%s\t%zu\t%zu\t", stages.at[i], c.actions, c.objects);
		text_bytes(b, c.bytes);
		buf_addc(b, '\n');
	}
	names_release(&stages);
	return ret;
}

/* More than one store: each under its name. */
static int ls_stages(struct stores *s, struct buf *b, struct err *e)
{
	int several = stores_second(s) != NULL, ret = 0;

	buf_adds(b, "stage\tactions\tobjects\tsize\n");
	for (; s && ret == 0; s = stores_second(s)) {
		if (several)
			buf_addf(b, "%s:\n", stores_root(s));
		ret = ls_one_store(s, b, e);
	}
	return ret;
}

static int ls_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct buf *b = data;
	char ref[STAGE_NAME + 1 + OID_HEX + 1];
	const char *level = strchr(text, '\n');

	(void)key;
	if (!level || starts_with(level, "\nitem\n") || starts_with(level, "\ntool\n"))
		return 0;
	buf_addf(b, "%s\t%.*s\t", ref_text(&r->out, ref), (int)strcspn(level + 1, "\n"), level + 1);
	put_time(b, r->time);
	buf_addc(b, '\t');
	text_seconds(b, r->seconds);
	buf_addc(b, '\n');
	return 0;
}

/* 1 listed, 0 this store has nothing of the stage, -1. */
static int ls_one_stage(struct stores *s, const char *stage, struct buf *b, struct err *e)
{
	struct names stages = { 0 };
	int ret = stores_list(s, &stages, e), there = 0;

	for (size_t i = 0; i < stages.n; i++)
		there |= !strcmp(stages.at[i], stage);
	names_release(&stages);
	if (ret == 0 && there)
		ret = store_actions(s, stage, ls_action, b, e);
	return ret < 0 ? -1 : there;
}

static int ls_stage(struct stores *s, const char *stage, struct buf *b, struct err *e)
{
	int several = stores_second(s) != NULL, found = 0;

	buf_adds(b, "result\twhat\twhen\ttook\n");
	for (struct stores *one = s; one; one = stores_second(one)) {
		int ret;

		if (several)
			buf_addf(b, "%s:\n", stores_root(one));
		ret = ls_one_stage(one, stage, b, e);
		if (ret < 0)
			return -1;
		found |= ret;
	}
	return found ? 0 : fail(e, "'%s' has no store of a stage '%s'", stores_root(s), stage);
}

int cmd_ls(int argc, char **argv, const struct command *c)
{
	const struct opt rows[] = { { 0 } };
	struct stores *s = NULL;
	struct buf b = { 0 };
	struct err e;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words > 1)
		code = command_usage(c, "one stage at most, %d were given", words);
	else if ((words ? ls_stage(s, argv[1], &b, &e) : ls_stages(s, &b, &e)) < 0)
		code = command_failed(&e);
	else
		print_columns(buf_str(&b));
	buf_release(&b);
	stores_close(s);
	return code;
}

/* ---- cat ---- */

static int print_tensor(struct stores *s, const struct ref *r, struct err *e)
{
	struct tensor t = { 0 };
	char shape[96];
	double sum = 0, least = INFINITY, most = -INFINITY;
	const float *v;
	int64_t n;

	if (store_get_tensor(s, r, &t, e) < 0)
		return -1;
	n = tensor_count(&t);
	printf("tensor %s %s\n", dtype_name(t.type), tensor_shape_text(&t, shape));
	if (dtype_is_float(t.type) && n > 0 && tensor_to_f32(&t, e) == 0) {
		v = t.at;
		for (int64_t i = 0; i < n; i++) {
			sum += v[i];
			least = v[i] < least ? v[i] : least;
			most = v[i] > most ? v[i] : most;
		}
		printf("least %g, most %g, mean %g\n", least, most, sum / (double)n);
		for (int64_t i = 0; i < n && i < SHOWN_VALUES; i++)
			printf("%s%g", i ? " " : "", (double)v[i]);
		puts(n > SHOWN_VALUES ? " ..." : "");
	}
	tensor_release(&t);
	return 0;
}

static int write_out(const struct blob *b, struct err *e)
{
	if (fwrite(b->at, 1, b->len, stdout) != b->len || fflush(stdout))
		return fail_errno(e, "cannot write to standard output");
	return 0;
}

static int cat_object(struct stores *s, const char *text, int raw, struct err *e)
{
	struct ref r;
	struct blob b = { 0 };
	int found, ret = -1;

	if (ref_parse(s, text, &r, e) < 0)
		return -1;
	found = store_get(s, &r, &b, e);
	if (found == 0)
		fail(e, "there is no object '%s'", text);
	if (found <= 0)
		goto out;
	if (!raw && isatty(1) && b.kind == KIND_TENSOR) {
		ret = print_tensor(s, &r, e);
	} else if (!raw && isatty(1) && b.kind == KIND_IMAGE) {
		printf("picture, %zu bytes as it was handed in; send it to a file or a program, or add --raw\n",
		       b.len);
		ret = 0;
	} else {
		ret = write_out(&b, e);
	}
out:
	blob_release(&b);
	return ret;
}

int cmd_cat(int argc, char **argv, const struct command *c)
{
	int raw = 0, words, code;
	const struct opt rows[] = {
		{ "raw", OPT_FLAG, &raw, "", "the bytes, even to a terminal", .quiet = 1 }, { 0 }
	};
	struct stores *s = NULL;
	struct err e;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words < 1)
		code = command_usage(c, "no reference was given");
	for (int i = 1; i <= words && code == 0; i++)
		if (cat_object(s, argv[i], raw, &e) < 0)
			code = command_failed(&e);
	stores_close(s);
	return code;
}
