/*
 * Every bit of a small store flipped, one at a time: `flip FOLDER STEP FIRST` makes a store there and
 * flips bits FIRST, FIRST + STEP, ... of the files of its two kinds of environment: a stage's, and that
 * of what files outside hashed to. For each:
 *	check   looks at all of it, as `booth check` does
 *	run     finds what it needs or makes it again, writes more, and looks again
 * Nothing may die or hang, no wrong byte may be read; and what check calls sound must be whole, now
 * and after more was written.
 *
 * There are as many processes at it as processors, each with a copy of the store and a share of the
 * bits. It goes from one to the next by itself, which makes thousands a second; where a page ends it
 * (the store's own way out, store_guard.h), its parent takes note and starts another one behind it.
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/talk.h"
#include "common/data/store_pages.h"
#include "tests/torture/flip.h"

#define GO_ON 9                 /* exit code of a process that leaves the rest to a next one */
#define ENOUGH 20000            /* bits for one process, which forgets to free what failed */
#define PATIENCE 60             /* seconds for one bit: it hangs */
#define WORKERS 64
#define SHOWN 10                /* bad bits of each worker */

/* ---- the store, and its bits ---- */

struct victim {
	const char *stage;
	void (*check)(void), (*run)(void);
	struct buf good;        /* its file, as far as pages count */
	int fd;                 /* of this worker's copy */
};

struct tally {
	size_t found, silent, refused, bad;
};

struct worker {                 /* in memory that it shares with its parent */
	size_t bit;             /* it is at */
	int running, check;     /* the check is over and was that */
	char said[SAID];         /* when it failed last */
	struct tally tally;
};

/* 0, or what it gave up with; the store is closed again. */
static int attempt(void (*work)(void))
{
	int code = setjmp(way_out);

	if (code == 0) {
		*said = 0;
		alarm(PATIENCE);
		work();
	}
	alarm(0);
	if (open_one)
		close_it();
	return code;
}

static void judge(struct worker *w, int run)
{
	int check = w->check;

	if (check == FAILED ? run < 0 || run == WRONG || run == LOST : check || run) {
		if (w->tally.bad++ < SHOWN)
			printf("bit %zu (byte %zu of page %zu): check %d, run %d; %s\n", w->bit,
			       w->bit / 8 % 4096, w->bit / 8 / 4096, check, run, w->said);
	}
	w->tally.found += check == FAILED;
	w->tally.silent += check == 0;
	w->tally.refused += run == FAILED;
	w->running = 0;
}

/* The file as it was, but for one bit. */
static void place(const struct victim *v, size_t bit)
{
	char byte = (char)(v->good.at[bit / 8] ^ 1 << bit % 8);

	if (pwrite(v->fd, v->good.at, v->good.len, 0) != (ssize_t)v->good.len ||
	    ftruncate(v->fd, (off_t)v->good.len) || pwrite(v->fd, &byte, 1, (off_t)bit / 8) != 1)
		die(1, "cannot write the store's file");
}

static void flip_some(const struct victim *v, struct worker *w, size_t step)
{
	int null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	said = w->said;
	for (int n = 0; w->bit < v->good.len * 8; w->bit += step, n++) {
		if (n == ENOUGH)
			exit(GO_ON);
		place(v, w->bit);
		if (!w->running) {
			w->check = attempt(v->check);
			w->running = 1;
		}
		judge(w, attempt(v->run));
	}
	exit(0);
}

/* Every so many bits of one file, in a copy of the store of its own; says nothing of its own end. */
static void flip_all(struct victim *v, struct worker *w, size_t step)
{
	size_t bits = v->good.len * 8;
	char *path = xasprintf("%s/%s/data.mdb", root, v->stage);
	int status;

	v->fd = open(path, O_RDWR | O_CLOEXEC);
	free(path);
	while (w->bit < bits) {
		pid_t pid = fork();

		if (pid == 0)
			flip_some(v, w, step);
		if (pid < 0 || v->fd < 0 || waitpid(pid, &status, 0) != pid)
			die(1, "cannot start a process, or open the store's file");
		status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
		if (w->bit >= bits || status == GO_ON)
			continue;
		if (w->running) {
			judge(w, status);
			w->bit += step;
		} else {
			w->check = status;
			w->running = 1;
		}
	}
	close(v->fd);
}

static struct pages pages_of(const struct buf *b, struct snapshot *out)
{
	struct pages p = { (const unsigned char *)b->at, b->len, 4096 };
	struct err e;
	uint64_t txn[2];

	memcpy(&txn[0], b->at + 16 + 128, 8);
	memcpy(&txn[1], b->at + 4096 + 16 + 128, 8);
	if (pages_snapshot(&p, txn[0] > txn[1] ? txn[0] : txn[1], out, &e) < 0)
		die(1, "%s", e.text);
	return p;
}

/* Read its file, without the room behind the pages that it counts. */
static void load(struct victim *v)
{
	char *path = xasprintf("%s/%s/data.mdb", root, v->stage);
	struct snapshot s;
	struct err e;

	if (file_read(&v->good, path, 1 << 30, &e) < 0)
		die(1, "%s", e.text);
	pages_of(&v->good, &s);
	v->good.len = (size_t)(s.last + 1) * 4096;
	free(path);
}

/* Branches, leaves, lists of free pages, large values, of objects and of actions. */
static void need_kinds(const struct victim *v)
{
	struct snapshot s;
	struct pages p = pages_of(&v->good, &s);
	struct tree objects, actions;
	struct err e;

	if (pages_table(&p, &s, "objects", &objects, &e) < 0 || pages_table(&p, &s, "actions", &actions, &e) < 0)
		die(1, "%s", e.text);
	if (!objects.branches || !actions.branches || !objects.overflow || !actions.overflow || !s.free.leaves)
		die(1, "the store lacks a kind of page: %d branches, %d large values, %d free lists",
		    (int)objects.branches + (int)actions.branches, (int)objects.overflow + (int)actions.overflow,
		    (int)s.free.leaves);
}

/* A copy of the store for each worker. */
static void place_copy(const struct victim *v)
{
	char *folder = xasprintf("%s/%s", root, v->stage), *path = path_join(folder, "data.mdb");
	struct err e;

	if (make_folder(folder, &e) < 0 || file_replace(path, v->good.at, v->good.len, &e) < 0)
		die(1, "%s", e.text);
	free(path);
	free(folder);
}

/* ---- all of it ---- */

static void work(struct victim *v, int n, struct worker *w, int number, int workers, size_t step, size_t first)
{
	free(root);
	root = xasprintf("%s/%d", base, number);
	for (int i = 0; i < n; i++)
		place_copy(&v[i]);
	for (int i = 0; i < n; i++) {
		if (attempt(v[i].check) || attempt(v[i].run))
			die(1, "the store is not whole to begin with");
		w[i].bit = first + (size_t)number * step;
		flip_all(&v[i], &w[i], step * (size_t)workers);
	}
	exit(0);
}

static int report(const struct victim *v, const struct worker *w, int workers, int victims)
{
	struct tally t = { 0 };

	for (int i = 0; i < workers; i++, w += victims) {
		t.found += w->tally.found;
		t.silent += w->tally.silent;
		t.refused += w->tally.refused;
		t.bad += w->tally.bad;
	}
	printf("%s: %zu of %zu bits flipped in %zu pages: %zu found by the check, %zu without effect; %zu runs "
	       "refused; %zu bad\n", v->stage, t.found + t.silent, v->good.len * 8, v->good.len / 4096, t.found,
	       t.silent, t.refused, t.bad);
	return t.bad > 0;
}

int main(int argc, char **argv)
{
	struct victim v[2] = { { "toy", check_toy, run_toy, { 0 }, -1 },
			       { STAT_STAGE, check_stat, run_stat, { 0 }, -1 } };
	int workers = (int)sysconf(_SC_NPROCESSORS_ONLN), bad = 0, status;
	struct worker *w;
	size_t step, first;

	program_name = "flip";
	setvbuf(stdout, NULL, _IOLBF, 0);
	mallopt(M_MMAP_THRESHOLD, 64 << 20);    /* what was freed is used again, not asked for again */
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	if (argc != 4)
		die(2, "FOLDER STEP FIRST are wanted");
	base = argv[1];
	step = strtoul(argv[2], NULL, 10);
	first = strtoul(argv[3], NULL, 10);
	workers = workers < 1 ? 1 : workers > WORKERS ? WORKERS : workers;
	w = mmap(NULL, 2 * (size_t)workers * sizeof *w, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	root = path_join(base, "made");
	make_samples();
	if (w == MAP_FAILED || !step || attempt(make_toy) || attempt(make_stat))
		die(1, "cannot make the store");
	load(&v[0]);
	load(&v[1]);
	need_kinds(&v[0]);
	for (int i = 0; i < workers; i++)
		if (fork() == 0)
			work(v, 2, w + 2 * i, i, workers, step, first);
	while (wait(&status) > 0)
		bad |= status != 0;
	for (int i = 0; i < 2; i++) {
		bad |= report(&v[i], w + i, workers, 2);
		buf_release(&v[i].good);
	}
	free(root);
	return bad;
}
