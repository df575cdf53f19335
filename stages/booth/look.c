/* booth cat: an object of the store. */
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
