/* booth export, import: the same through a stream of bytes. See share.h. */
#include "stages/booth/share.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/data/copy.h"
#include "common/flow/lock.h"
#include "stages/booth/booth.h"

/* ---- export ---- */

/* What the other side has, one a line: STAGE/HEX, or STAGE/HEX action; sorted. */
struct having {
	struct has {
		struct ref ref;
		char type;
	} *at;
	size_t n, cap;
	struct stream stream;
};

static int compare_has(const void *a, const void *b)
{
	const struct has *x = a, *y = b;
	int by = oid_compare(&x->ref.id, &y->ref.id);

	by = by ? by : x->type - y->type;
	return by ? by : strcmp(x->ref.stage, y->ref.stage);
}

static int read_has(struct has *h, char *line)
{
	char *blank = strchr(line, ' '), *slash = strchr(line, '/');

	*h = (struct has){ .type = 'o' };
	if (blank) {
		if (strcmp(blank, " action"))
			return -1;
		*blank = 0;
		h->type = 'a';
	}
	if (!slash || !ref_is(line) || oid_parse(&h->ref.id, slash + 1) < 0)
		return -1;
	memcpy(h->ref.stage, line, (size_t)(slash - line));
	return 0;
}

static int read_having(struct having *all, const char *path, struct err *e)
{
	FILE *f = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0, n = 0;
	int ret = 0;

	if (!f)
		return fail_errno(e, "cannot open '%s'", path);
	while (ret == 0 && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\n")] = 0;
		n++;
		all->at = grow(all->at, all->n, &all->cap, sizeof *all->at);
		if (read_has(&all->at[all->n++], line) < 0)
			ret = fail(e, "%s:%zu: '%.60s' is no line of booth export --list", path, n, line);
	}
	if (ret == 0 && ferror(f))
		ret = fail_errno(e, "cannot read '%s'", path);
	if (all->n)
		qsort(all->at, all->n, sizeof *all->at, compare_has);
	free(line);
	fclose(f);
	return ret;
}

static int stream_has(void *data, char type, const struct ref *r, struct err *e)
{
	const struct having *all = data;
	struct has key = { *r, type };

	(void)e;
	return all->n && bsearch(&key, all->at, all->n, sizeof key, compare_has) != NULL;
}

static int stream_put(void *data, const struct stream_record *r, struct err *e)
{
	return stream_write(&((struct having *)data)->stream, r, e);
}

static int write_stream(struct stores *s, char *const *words, int n, const struct share_options *o,
			struct err *e)
{
	struct having all = { 0 };
	const struct sink sink = { stream_has, o->dry_run ? NULL : stream_put, &all };
	struct send send = { 0 };
	struct sent sent;
	int ret = -1;

	if ((o->except && read_having(&all, o->except, e) < 0) || send_roots(&send, s, words, n, e) < 0 ||
	    send_gather(&send, share_depth(o), o->states, e) < 0)
		goto out;
	if (!o->dry_run && stream_begin(&all.stream, stdout, e) < 0)
		goto out;
	if (send_all(&send, &sink, 1, &sent, e) < 0 || (!o->dry_run && stream_end(&all.stream, e) < 0))
		goto out;
	if (!talk_is_quiet())
		share_print(stderr, o->dry_run ? " would be sent" : " sent", &sent);
	ret = 0;
out:
	stream_close(&all.stream);
	send_release(&send);
	free(all.at);
	return ret;
}

static int list_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	(void)data, (void)kind, (void)size;
	puts(ref_text(r, text));
	return 0;
}

static int list_action(void *data, const struct oid *key, const struct result *r, const char *text,
		       struct err *e)
{
	char hex[OID_HEX + 1];

	(void)r, (void)e;
	if (action_is_shared(text))
		printf("%s/%s action\n", (const char *)data, oid_hex(key, hex));
	return 0;
}

static int list_all(struct stores *s, struct err *e)
{
	struct names stages = { 0 };
	int ret = stores_list(s, &stages, e);

	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		if (strcmp(stages.at[i], "run"))
			ret = store_objects(s, stages.at[i], list_object, NULL, e);
		if (ret == 0)
			ret = records_visit(s, stages.at[i], list_action, stages.at[i], e);
	}
	names_release(&stages);
	return ret < 0 ? -1 : 0;
}

static int export_words(struct stores *s, char *const *words, int n, const struct share_options *o,
			struct err *e)
{
	int hold, ret;

	stores_first_only(s);
	if (o->list)            /* a store that is not there yet has nothing */
		return list_all(s, e);
	if (!o->dry_run && isatty(1))
		return fail(e, "standard output is a terminal, the stream is not for people; send it to a file or "
			    "a pipe: booth export ... | ssh HOST booth import");
	if (share_check_own(s, e) < 0)
		return -1;
	hold = stores_hold(s);
	ret = write_stream(s, words, n, o, e);
	if (hold >= 0)
		close(hold);
	return ret;
}

int cmd_export(int argc, char **argv, const struct command *c)
{
	struct share_options o = { 0 };
	const struct opt rows[] = {
		ROW_ONLY(&o), ROW_STATES(&o), ROW_DRY(&o),
		{ "list", OPT_FLAG, &o.list, "", "print what this store has, for --except on the other side",
		  .quiet = 1 },
		{ "except", OPT_PATH, &o.except, "file", "leave out what this list says the other side has",
		  .quiet = 1 },
		{ 0 }
	};
	struct stores *s = NULL;
	struct err e;
	int words, code;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	signal(SIGPIPE, SIG_IGN);       /* a reader that went away is an error with a sentence */
	if (o.list && words)
		code = command_usage(c, "--list lists everything, '%s' is one word too many", argv[1]);
	else if (export_words(s, argv + 1, words, &o, &e) < 0)
		code = command_failed(&e);
	stores_close(s);
	return code;
}

/* ---- import ---- */

static int read_stream(struct stores *s, int keep, struct err *e)
{
	struct receive end = { .to = s, .keep = keep };
	struct stream_record rec;
	struct stream in = { 0 };
	int more = stream_open(&in, stdin, e) < 0 ? -1 : 1;

	while (more > 0) {
		more = stream_read(&in, &rec, e);
		if (more > 0 && receive_record(&end, &rec, e) < 0)
			more = -1;
		stream_release(&rec);
	}
	if (more < 0) {
		struct err ignored;

		(void)stores_flush(s, &ignored);        /* what came whole is kept */
	} else if (receive_end(&end, e) < 0) {
		more = -1;
	} else {
		share_print(stdout, " taken", &end.got);
	}
	stream_close(&in);
	receive_release(&end);
	return more;
}

int cmd_import(int argc, char **argv, const struct command *c)
{
	struct share_options o = { .keep = 1 };
	const struct opt rows[] = { ROW_KEEP(&o), { 0 } };
	struct stores *s = NULL;
	struct err e;
	int words, code, lock;

	if (command_begin(argc, argv, c, rows, &words, &s, &code) < 0)
		return code;
	if (words || isatty(0)) {
		code = words ? command_usage(c, "the stream comes on standard input, '%s' is one word too many", argv[1])
			     : command_usage(c, "a stream of booth export is wanted on standard input");
		stores_close(s);
		return code;
	}
	stores_first_only(s);
	lock = lock_take(stores_root(s), 0, &e);
	if (lock < 0 || read_stream(s, o.keep, &e) < 0)
		code = command_failed(&e);
	stores_close(s);
	if (lock >= 0)
		close(lock);
	return code;
}
