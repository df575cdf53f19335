/*
 * Every bit of a small store flipped, one at a time: `flip FOLDER STEP FIRST` makes a store there and
 * flips bits FIRST, FIRST + STEP, ... of its file. For each, in processes of their own:
 *	check   looks at all of it, as `booth check` does
 *	run     finds what it needs or makes it again, writes more, and looks again
 * Nothing may die or hang, no wrong byte may be read; and what check calls sound must be whole, now
 * and after more was written.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_impl.h"

#define OBJECTS 24
#define MORE 8
#define WRONG 3                 /* exit codes: 0 fine, 1 failed with a sentence */
#define LOST 4

static const char *root;

static size_t text_of(int i, char *out)
{
	size_t n = (size_t)(i % 10 == 9 ? 5000 : i * 13 % 200);

	for (size_t k = 0; k < n; k++)
		out[k] = (char)('a' + (unsigned)(i * 7919 + (int)k * (int)k) % 26);
	return n + (size_t)sprintf(out + n, "object %d", i);
}

static void action_of(struct action *a, int i)
{
	action_begin(a, "toy", 1, "item");
	action_paramf(a, "number", "%d", i);
}

static int fatal(const struct err *e)
{
	(void)e;
	_exit(1);
}

/* KIND_IMAGE is stored as it is, KIND_TEXT packed. */
static enum kind kind_of(int i)
{
	return i % 2 ? KIND_TEXT : KIND_IMAGE;
}

static void put_one(struct stores *s, int i)
{
	struct action a;
	struct result r = { .seconds = i };
	char text[6000];
	struct err e;

	if (store_put(s, "toy", kind_of(i), text, text_of(i, text), &r.out, &e) < 0)
		fatal(&e);
	action_of(&a, i);
	buf_addf(&r.note, "note=%d\n", i);
	if (store_record_later(s, &a, &r, &e) < 0)
		fatal(&e);
	action_release(&a);
	result_release(&r);
}

/* 1 whole, 0 absent; ends the process if it is damaged, with WRONG if that was not noticed. */
static int look_one(struct stores *s, int i)
{
	struct action a;
	struct result r;
	struct blob b;
	struct pin p;
	char text[6000], note[32];
	size_t n = text_of(i, text);
	struct err e;
	int found;

	snprintf(note, sizeof note, "note=%d\n", i);
	action_of(&a, i);
	found = store_find(s, &a, &r, &e);
	action_release(&a);
	if (found < 0)
		fatal(&e);
	if (!found)
		return 0;
	if (strcmp(buf_str(&r.note), note) || r.seconds != i)
		_exit(WRONG);
	found = store_get(s, &r.out, &b, &e);
	if (found < 0 || store_pin(s, &r.out, &p, &e) < 0)
		fatal(&e);
	if (!found)
		return 0;
	if (b.len != n || memcmp(b.at, text, n) || b.kind != kind_of(i) || p.len != n || memcmp(p.at, text, n))
		_exit(WRONG);
	store_unpin(&p);
	blob_release(&b);
	result_release(&r);
	return 1;
}

static struct stores *open_it(void)
{
	struct stores *s;
	struct err e;

	if (stores_open(&s, root, &e) < 0)
		fatal(&e);
	return s;
}

static void flush(struct stores *s)
{
	struct err e;

	if (stores_flush(s, &e) < 0)
		fatal(&e);
}

struct listed {
	struct ref at[2 * OBJECTS];
	int n;
};

static int take_object(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct listed *l = data;

	(void)kind, (void)size;
	if (l->n < 2 * OBJECTS)
		l->at[l->n++] = *r;
	return 0;
}

static int take_action(void *data, const struct oid *key, const char *text, const struct result *r)
{
	(void)key, (void)text, (void)r;
	++*(int *)data;
	return 0;
}

/* As booth check: the pages, every object and action. `n` are to be there. */
static void check_all(int n)
{
	struct stores *s = open_it();
	struct listed l = { .n = 0 };
	int actions = 0;
	struct err e;

	if (store_check(s, "toy", &e) < 0 || store_objects(s, "toy", take_object, &l, &e) < 0 ||
	    store_actions(s, "toy", take_action, &actions, &e) < 0)
		fatal(&e);
	for (int i = 0; i < l.n; i++) {
		struct blob b;

		if (store_get(s, &l.at[i], &b, &e) != 1)
			fatal(&e);
		blob_release(&b);
	}
	for (int i = 0; i < n; i++)
		if (!look_one(s, i))
			_exit(LOST);
	if (l.n != n || actions != n)
		_exit(LOST);
	stores_close(s);
	_exit(0);
}

/* As a stage: what is not there is made again. Then a lot more, some of it taken away again. */
static void run_all(int n)
{
	struct stores *s = open_it();
	struct err e;

	for (int i = 0; i < n + MORE; i++)
		if (!look_one(s, i))
			put_one(s, i);
	flush(s);
	for (int i = n; i < n + MORE; i += 3) {
		struct action a;
		struct oid key;

		action_of(&a, i);
		action_key(&a, &key);
		if (store_delete_action(s, "toy", &key, &e) < 0)
			fatal(&e);
		action_release(&a);
	}
	for (int i = n; i < n + MORE; i++)
		if (!look_one(s, i))
			put_one(s, i);
	flush(s);
	stores_close(s);
	s = open_it();
	for (int i = 0; i < n + MORE; i++)
		if (!look_one(s, i))
			_exit(LOST);
	_exit(0);
}

static int in_child(void (*work)(int), int n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 2);
		alarm(20);
		work(n);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die(1, "cannot start a process");
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void make_store(void)
{
	for (int i = 0; i < OBJECTS; i++) {     /* many transactions, so that there are free pages */
		struct stores *s = open_it();

		put_one(s, i);
		stores_close(s);
	}
}

static void put_file(const char *path, const struct buf *b)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0666);

	if (fd < 0 || pwrite(fd, b->at, b->len, 0) != (ssize_t)b->len || ftruncate(fd, (off_t)b->len))
		die(1, "cannot write '%s'", path);
	close(fd);
}

/* The pages that the file counts; behind them is room. */
static size_t counted(const struct buf *b)
{
	uint64_t last[2];

	memcpy(&last[0], b->at + 16 + 120, 8);
	memcpy(&last[1], b->at + 4096 + 16 + 120, 8);
	return (size_t)((last[0] > last[1] ? last[0] : last[1]) + 1) * 4096;
}

int main(int argc, char **argv)
{
	struct buf good = { 0 };
	struct err e;
	char *path;
	size_t step, bits, seen = 0, unseen = 0, failed = 0, bad = 0;

	program_name = "flip";
	if (argc != 4)
		die(2, "FOLDER STEP FIRST are wanted");
	root = argv[1];
	step = strtoul(argv[2], NULL, 10);
	make_store();
	path = xasprintf("%s/toy/data.mdb", root);
	if (file_read(&good, path, 1 << 30, &e) < 0)
		die(1, "%s", e.text);
	if (in_child(check_all, OBJECTS) || in_child(run_all, OBJECTS))
		die(1, "the store is not whole to begin with (%d)", in_child(check_all, OBJECTS));
	bits = counted(&good) * 8;
	for (size_t bit = strtoul(argv[3], NULL, 10); bit < bits; bit += step) {
		int check, run;

		good.at[bit / 8] ^= (char)(1 << bit % 8);
		put_file(path, &good);
		check = in_child(check_all, OBJECTS);
		run = in_child(run_all, OBJECTS);
		good.at[bit / 8] ^= (char)(1 << bit % 8);
		if (check == 1 ? run < 0 || run == WRONG : check || run) {
			printf("bit %zu (byte %zu of page %zu): check %d, run %d\n", bit, bit / 8 % 4096,
			       bit / 8 / 4096, check, run);
			bad++;
		}
		seen += check == 1;
		unseen += check == 0;
		failed += run == 1;
	}
	printf("%zu bits in %zu pages: %zu found by the check, %zu without effect; %zu runs refused; %zu bad\n",
	       seen + unseen, bits / 8 / 4096, seen, unseen, failed, bad);
	free(path);
	buf_release(&good);
	return bad > 0;
}
