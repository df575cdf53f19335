/* Option rows as text: for people (--help), and for programs (--list-options). */
#include "common/base/opt.h"

#include <string.h>

#include "common/base/opt_impl.h"

#define HELP_LEFT 27            /* columns for the names of options */
#define HELP_WIDTH 100

int opt_is_list(const struct opt *row)
{
	return row->type == OPT_LIST || row->type == OPT_REFS || row->type == OPT_PATHS;
}

void opt_limits(struct buf *b, const struct opt *row)
{
	if (row->min >= row->max)
		return;
	if (row->max >= 0x1p62)
		buf_addf(b, "at least %.9g", row->min);
	else if (row->min <= -0x1p62)
		buf_addf(b, "at most %.9g", row->max);
	else
		buf_addf(b, "%.9g to %.9g", row->min, row->max);
}

static const char *placeholder(enum opt_type t)
{
	switch (t) {
	case OPT_FLAG: return "";
	case OPT_INT: return " N";
	case OPT_FLOAT: return " X";
	case OPT_TEXT: return " TEXT";
	case OPT_CHOICE: return " WORD";
	case OPT_SIZE: return " SIZE";
	case OPT_PATH: return " PATH";
	case OPT_LIST: return " TEXT...";
	case OPT_REFS: return " REF...";
	case OPT_PATHS: return " PATH...";
	default: return " REF";
	}
}

static void put_default(struct buf *b, const struct opt *row)
{
	if (row->required) {
		buf_adds(b, "must be given");
	} else if (row->type == OPT_FLAG) {
		buf_addf(b, "default %s", *(int *)row->at ? "on" : "off");
	} else if (row->type == OPT_FLOAT) {
		buf_addf(b, "default %.9g", *(double *)row->at);
	} else if (row->type == OPT_SIZE) {
		int64_t v = *(int64_t *)row->at;
		int i = 0;

		for (; v && v % 1024 == 0 && i < 4; i++)
			v /= 1024;
		buf_addf(b, "default %lld%.1s", (long long)v, &"\0KMGT"[i]);
	} else {
		struct buf v = { 0 };

		if (opt_value(row, &v) == 0)
			buf_addf(b, "default %s", buf_str(&v));
		else
			buf_adds(b, opt_is_list(row) ? "may be repeated" : "not given by default");
		buf_release(&v);
	}
}

static void put_detail(struct buf *b, const struct opt *row)
{
	if (row->unit && *row->unit)
		buf_addf(b, "%s; ", row->unit);
	if (row->type == OPT_CHOICE)
		buf_addf(b, "one of %s; ", row->choices);
	if (row->min < row->max) {
		opt_limits(b, row);
		buf_adds(b, "; ");
	}
	put_default(b, row);
}

/* Words of `text` behind a left column that is already printed, on as many lines as they need. */
static void print_wrapped(FILE *to, const char *text)
{
	size_t column = HELP_LEFT;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column + 1 + n > HELP_WIDTH && column > HELP_LEFT) {
			fprintf(to, "\n%*s", HELP_LEFT, "");
			column = HELP_LEFT;
		}
		fprintf(to, " %.*s", (int)n, text);
		column += n + 1;
		text += n + (text[n] == ' ');
	}
	fputc('\n', to);
}

/* "--steps N", and what stands beside it; a flag that is on is shown as what switches it off. */
static void put_row(struct buf *left, struct buf *right, const struct opt *row)
{
	int off = row->type == OPT_FLAG && *(int *)row->at;

	buf_clear(left);
	buf_clear(right);
	buf_addf(left, "--%s%s%s", off ? "no-" : "", row->name, placeholder(row->type));
	buf_addf(right, "%s%s (", off ? "switch off: " : "", row->help);
	put_detail(right, row);
	buf_addc(right, ')');
}

void opt_help(const struct opt *rows, FILE *to)
{
	struct buf left = { 0 }, right = { 0 };

	for (; rows->name; rows++) {
		put_row(&left, &right, rows);
		fprintf(to, "  %-*s", HELP_LEFT - 2, buf_str(&left));
		if (left.len > HELP_LEFT - 2)
			fprintf(to, "\n%*s", HELP_LEFT, "");
		print_wrapped(to, buf_str(&right));
	}
	buf_release(&left);
	buf_release(&right);
}

void opt_list_rows(const struct opt *rows, FILE *to)
{
	static const char *const type[] = {
		[OPT_FLAG] = "flag", [OPT_INT] = "int", [OPT_FLOAT] = "float", [OPT_TEXT] = "text",
		[OPT_CHOICE] = "choice", [OPT_SIZE] = "size", [OPT_REF] = "ref", [OPT_PATH] = "path",
		[OPT_LIST] = "list", [OPT_REFS] = "refs", [OPT_PATHS] = "paths",
	};
	struct buf left = { 0 }, right = { 0 };

	for (; rows->name; rows++) {
		put_row(&left, &right, rows);
		fprintf(to, "%s\t%s\t%d\t%s\t%s\t%s\n", rows->name, type[rows->type], !!rows->quiet,
			rows->choices ? rows->choices : "", buf_str(&left), buf_str(&right));
	}
	buf_release(&left);
	buf_release(&right);
}
