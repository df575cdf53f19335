/*
 * grow FOLDER GIGABYTES MAP: objects of 64 MB are put into a store, each committed, until it has that
 * size, with a map that has MAP bytes to begin with (0: the usual). Says how long opening it takes then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/data/store_impl.h"

#define SIZE ((size_t)64 << 20)

static int fill(struct stores *s, unsigned char *at, long n, struct ref *first, struct err *e)
{
	for (long i = 0; i < n; i++) {
		memcpy(at, &i, sizeof i);
		if (store_put(s, "big", KIND_IMAGE, at, SIZE, i ? NULL : first, e) < 0)
			return -1;
	}
	return stores_flush(s, e);
}

int main(int argc, char **argv)
{
	struct stores *s;
	struct ref first = { 0 };
	struct blob b = { 0 };
	struct err e = { "" };
	unsigned char *at = xcalloc(1, SIZE);
	double start;
	int bad;

	program_name = "grow";
	if (argc != 4)
		die(2, "FOLDER GIGABYTES MAP are wanted");
	if (stores_open(&s, argv[1], &e) < 0)
		die(1, "%s", e.text);
	s->map = strtoul(argv[3], NULL, 10);
	if (fill(s, at, atol(argv[2]) * 16, &first, &e) < 0)
		die(1, "%s", e.text);
	stores_close(s);
	start = clock_now();
	if (stores_open(&s, argv[1], &e) < 0 || store_has(s, &first, &e) != 1)
		die(1, "%s", e.text);
	printf("opened in %.2f ms\n", (clock_now() - start) * 1e3);
	bad = store_get(s, &first, &b, &e) != 1 || store_check(s, "big", &e) < 0;
	if (bad)
		warn("%s", e.text);
	blob_release(&b);
	stores_close(s);
	free(at);
	return bad;
}
