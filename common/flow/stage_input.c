/* The main input: a word, a line on stdin, or a table itself. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/flow/stage_impl.h"

#define TABLE_LIMIT ((size_t)1 << 30)

/* The text of a table becomes an object of this stage; with --dry-run only its name is made. */
static int take_table(struct job *j, const struct buf *text, const char *what, int dry_run,
		      struct err *e)
{
	struct buf canonical = { 0 };

	if (table_parse(&j->in, text->at, text->len, what, e) < 0)
		return -1;
	if (!dry_run)
		return store_put_table(j->stores, j->stage->name, &j->in, &j->in_ref, e);
	table_text(&canonical, &j->in);
	oid_of(&j->in_ref.id, KIND_TABLE, canonical.at, canonical.len);
	memcpy(j->in_ref.stage, j->stage->name, strlen(j->stage->name));
	buf_release(&canonical);
	return 0;
}

static int take_reference(struct job *j, const char *text, struct err *e)
{
	if (ref_parse(j->stores, text, &j->in_ref, e) < 0)
		return -1;
	return store_get_table(j->stores, &j->in_ref, &j->in, e);
}

static enum input_found from_word(struct job *j, const char *word, int dry_run, struct err *e)
{
	struct buf b = { 0 };
	enum input_found found = INPUT_FAILED;

	if (is_file(word)) {
		if (file_read(&b, word, TABLE_LIMIT, e) == 0 &&
		    take_table(j, &b, word, dry_run, e) == 0)
			found = INPUT_FOUND;
	} else if (!ref_is(word)) {
		fail(e, "'%s' is neither a reference (STAGE/HEX) nor a file with a table", word);
		found = INPUT_USAGE;
	} else if (take_reference(j, word, e) == 0) {
		found = INPUT_FOUND;
	}
	buf_release(&b);
	return found;
}

static int read_stdin(struct buf *b, struct err *e)
{
	ssize_t n;

	do {
		char *to = buf_extend(b, 65536);

		n = read(0, to, 65536);
		b->len -= 65536 - (n > 0 ? (size_t)n : 0);
		b->at[b->len] = 0;
		if (b->len > TABLE_LIMIT)
			return fail(e, "standard input has more than %zu bytes", TABLE_LIMIT);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		fail_errno(e, "cannot read standard input");
	return n < 0 ? -1 : 0;
}

static int fail_empty(const char *stage, int closed, struct err *e)
{
	return fail(e, "standard input is %s, a reference or a table is wanted; in a pipe, the command before "
		    "'%s' probably failed, and its message is above", closed ? "closed" : "empty", stage);
}

/* What came on stdin: a table, a line with a reference, or the line of a stage with --dry-run. */
static enum input_found take_text(struct job *j, struct buf *b, int dry_run, struct err *e)
{
	size_t n;

	if (table_is(b->at, b->len))
		return take_table(j, b, "standard input", dry_run, e) < 0 ? INPUT_FAILED : INPUT_FOUND;
	while (b->len && strchr(" \r\n", b->at[b->len - 1]))
		b->at[--b->len] = 0;
	if (dry_run && starts_with(b->at, "would run: "))
		return INPUT_NOT_YET;
	if (dry_run && starts_with(b->at, "fresh "))
		return take_reference(j, b->at + 6, e) < 0 ? INPUT_FAILED : INPUT_FOUND;
	if (ref_is(b->at))
		return take_reference(j, b->at, e) < 0 ? INPUT_FAILED : INPUT_FOUND;
	n = strcspn(b->at, "\n");
	n = utf8_valid(b->at, n < 60 ? n : 60);
	fail(e, "standard input is neither a reference (STAGE/HEX) nor a table (a header line with tabs): '%.*s'",
	     (int)n, b->at);
	return INPUT_FAILED;
}

static enum input_found from_stdin(struct job *j, int dry_run, struct err *e)
{
	int optional = j->stage->input == INPUT_TABLE_OPTIONAL;
	enum input_found found = INPUT_FAILED;
	struct buf b = { 0 };
	struct stat st = { 0 };

	/* files_guard_std has made a closed one write-only */
	if (fstat(0, &st) < 0 || (fcntl(0, F_GETFL) & O_ACCMODE) == O_WRONLY) {
		if (optional)
			return INPUT_ABSENT;
		fail_empty(j->stage->name, 1, e);
		return INPUT_FAILED;
	}
	if (isatty(0)) {
		if (optional)
			return INPUT_ABSENT;
		fail(e, "a table is needed: give a reference (STAGE/HEX) as an argument, or pipe one in");
		return INPUT_USAGE;
	}
	if (S_ISDIR(st.st_mode))
		fail(e, "standard input is a folder, a reference or a table is wanted");
	else if (read_stdin(&b, e) < 0)
		found = INPUT_FAILED;
	else if (strspn(buf_str(&b), " \t\r\n") < b.len)
		found = take_text(j, &b, dry_run, e);
	else if (optional && !S_ISFIFO(st.st_mode))
		/* an empty pipe is another matter: something before it failed */
		found = INPUT_ABSENT;
	else
		fail_empty(j->stage->name, 0, e);
	buf_release(&b);
	return found;
}

enum input_found job_read_input(struct job *j, char **word, int words, int dry_run, struct err *e)
{
	enum stage_input kind = j->stage->input;

	if (kind == INPUT_PATHS) {
		j->path = word;
		j->paths = words;
		return INPUT_FOUND;
	}
	if (words > (kind != INPUT_NONE)) {
		fail(e, "'%s' is one argument too many", word[kind != INPUT_NONE]);
		return INPUT_USAGE;
	}
	if (kind == INPUT_NONE)
		return INPUT_ABSENT;
	return words ? from_word(j, word[0], dry_run, e) : from_stdin(j, dry_run, e);
}
