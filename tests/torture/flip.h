/*
 * What tests/torture/flip.c damages: a small store with every kind of page and record, and two ways to
 * look at each of its kinds of environment.
 *	check_...       looks at all of it, as `booth check` does
 *	run_...         finds what it needs or makes it again, writes more, and looks again
 * They return if all was well, else they leave by give_up().
 */
#ifndef TORTURE_FLIP_H
#define TORTURE_FLIP_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_impl.h"

#define OBJECTS 22              /* enough for two leaves below a branch, of objects and of actions */
#define MORE 4
#define FILES 6
#define FAILED 1                /* with a sentence; 0: fine */
#define WRONG 3
#define LOST 4
#define SAID 1024

static const char *base;        /* the folder of all this */
static char *root;              /* of the store at hand */
static struct stores *open_one; /* to be closed when it failed */
static jmp_buf way_out;
static struct sample {
	char text[5100], note[4100];
	size_t len;             /* of the text */
} sample[OBJECTS + MORE];
static char first_said[SAID], *said = first_said;       /* the sentence with which a look failed */

/* Letters that do not pack well. */
static size_t letters(int i, char *out, size_t n)
{
	uint32_t x = (uint32_t)i;

	for (size_t k = 0; k < n; k++) {
		x = x * 1664525 + 1013904223;
		out[k] = (char)('a' + (x >> 16) % 26);
	}
	return n;
}

/* Small and large ones, of objects and of actions; LMDB keeps the large ones in pages of their own. */
static void make_samples(void)
{
	for (int i = 0; i < OBJECTS + MORE; i++) {
		struct sample *p = &sample[i];
		size_t n = letters(i, p->text, (size_t)(i == 9 || i == 14 ? 5000 : i * 59 % 1000));

		p->len = n + (size_t)sprintf(p->text + n, "object %d", i);
		n = (size_t)sprintf(p->note, "note=%d ", i);
		n += letters(i, p->note + n, i == 4 ? 4000 : 90);
		strcpy(p->note + n, "\n");
	}
}

static void action_of(struct action *a, int i)
{
	action_begin(a, "toy", 1, "item");
	action_paramf(a, "number", "%d", i);
}

/* Out of the look that is going on, with that code. */
static _Noreturn void give_up(int code)
{
	longjmp(way_out, code);
}

static _Noreturn void fatal(const struct err *e)
{
	snprintf(said, SAID, "%s", e->text);
	give_up(FAILED);
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
	const struct sample *p = &sample[i];
	struct err e;

	if (store_put(s, "toy", kind_of(i), p->text, p->len, &r.out, &e) < 0)
		fatal(&e);
	action_of(&a, i);
	buf_adds(&r.note, p->note);
	if (store_record_later(s, &a, &r, &e) < 0)
		fatal(&e);
	action_release(&a);
	result_release(&r);
}

/* 1 whole, 0 absent; gives up if it is damaged, with WRONG if that was not noticed. */
static int look_one(struct stores *s, int i)
{
	const struct sample *want = &sample[i];
	struct action a;
	struct result r;
	struct blob b;
	struct pin p;
	struct err e;
	int found;

	action_of(&a, i);
	found = store_find(s, &a, &r, &e);
	action_release(&a);
	if (found < 0)
		fatal(&e);
	if (!found)
		return 0;
	if (strcmp(buf_str(&r.note), want->note) || r.seconds != i)
		give_up(WRONG);
	found = store_get(s, &r.out, &b, &e);
	if (found < 0 || store_pin(s, &r.out, &p, &e) < 0)
		fatal(&e);
	if (!found)
		return 0;
	if (b.kind != kind_of(i) || b.len != want->len || memcmp(b.at, want->text, want->len) ||
	    p.len != want->len || memcmp(p.at, want->text, want->len))
		give_up(WRONG);
	store_unpin(&p);
	blob_release(&b);
	result_release(&r);
	return 1;
}

static struct stores *open_it(void)
{
	struct err e;

	if (stores_open(&open_one, root, &e) < 0)
		fatal(&e);
	return open_one;
}

static void close_it(void)
{
	struct stores *s = open_one;

	open_one = NULL;
	stores_close(s);
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

/* As booth check: the pages, every object and action. */
static void check_toy(void)
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
	for (int i = 0; i < OBJECTS; i++)
		if (!look_one(s, i))
			give_up(LOST);
	if (l.n != OBJECTS || actions != OBJECTS)
		give_up(LOST);
	close_it();
}

/* As a stage: what is not there is made again. Then a lot more, some of it taken away again. */
static void run_toy(void)
{
	struct stores *s = open_it();
	struct err e;

	for (int i = 0; i < OBJECTS + MORE; i++)
		if (!look_one(s, i))
			put_one(s, i);
	flush(s);
	for (int i = OBJECTS; i < OBJECTS + MORE; i += 3) {
		struct action a;
		struct oid key;

		action_of(&a, i);
		action_key(&a, &key);
		if (store_delete_action(s, "toy", &key, &e) < 0)
			fatal(&e);
		action_release(&a);
	}
	for (int i = OBJECTS; i < OBJECTS + MORE; i++)
		if (!look_one(s, i))
			put_one(s, i);
	flush(s);
	close_it();
	s = open_it();
	for (int i = 0; i < OBJECTS + MORE; i++)
		if (!look_one(s, i))
			give_up(LOST);
}

/* ---- the environment of what files outside hashed to ---- */

static void hash_one(struct stores *s, int i)
{
	char *path = xasprintf("%s/files/%d", base, i), text[24];
	struct oid is, want;
	struct err e;
	int ret = outside_hash(s, path, &is, &e);

	free(path);
	oid_of(&want, KIND_BYTES, text, (size_t)sprintf(text, "file %d", i));
	if (ret < 0)
		fatal(&e);
	if (!oid_equal(&is, &want))
		give_up(WRONG);
}

static void check_stat(void)
{
	struct err e;

	if (store_check(open_it(), STAT_STAGE, &e) < 0)
		fatal(&e);
	close_it();
}

static void run_stat(void)
{
	for (int round = 0; round < 2; round++) {
		struct stores *s = open_it();

		for (int i = 0; i < (round + 1) * FILES; i++)
			hash_one(s, i);
		flush(s);
		close_it();
	}
}

/* ---- making it ---- */

/* Many transactions, so that there are free pages. */
static void make_toy(void)
{
	for (int i = 0; i < OBJECTS; i++) {
		put_one(open_it(), i);
		close_it();
	}
}

/* A file's hash is remembered once its stamp is old enough. */
static void make_stat(void)
{
	char *folder = path_join(base, "files"), *made = xasprintf("%s/" STAT_STAGE "/data.mdb", root);
	struct err e;

	if (make_folder(folder, &e) < 0)
		fatal(&e);
	for (int i = 0; i < 2 * FILES; i++) {
		char *path = xasprintf("%s/%d", folder, i), text[24];

		if (file_replace(path, text, (size_t)sprintf(text, "file %d", i), &e) < 0)
			fatal(&e);
		free(path);
	}
	for (int i = FILES - 1; i >= 0; ) {
		hash_one(open_it(), i);
		close_it();
		if (is_file(made))
			i--;
		else
			usleep(100000);
	}
	free(made);
	free(folder);
}

#endif
