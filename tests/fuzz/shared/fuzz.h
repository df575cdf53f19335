/*
 * Fuzz targets: one file each in tests/fuzz, which hands bytes to one parser of ours.
 *
 *	FUZZ(table) { ... use at, len ... return 0; }
 *
 * `make fuzz` links a target with libFuzzer (clang), and `make test` links all of them with
 * replay.c, which hands them the files in tests/fuzz/seeds/TARGET. Whatever a target gets it
 * returns 0: a finding is a sanitizer's word, an abort (BUG), a leak, half a minute, or a piece of more
 * than 64 MiB of memory.
 *
 * Parsers that take a path get files that exist only in memory (memory.c takes the place of a few
 * functions of common/base/file.h when the target is linked), so that no input touches the disk,
 * and the sanitizer sees a read behind a file's last byte.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

#define FUZZ(name) \
	int fuzz_##name(const uint8_t *at, size_t len); \
	int fuzz_##name(const uint8_t *at, size_t len)

/* Promises of a parser that must hold for every input. */
#define HOLDS(x) do { if (!(x)) BUG("does not hold: %s", #x); } while (0)

/* The next piece of an input that holds several, up to byte `cut` (which is passed over). */
struct piece {
	const uint8_t *at;
	size_t len;
};
struct piece fuzz_piece(const uint8_t **at, size_t *len, uint8_t cut);
/* The same as a string, ended by a NUL (or at the first one in it); the caller's to free. */
char *fuzz_text(const uint8_t **at, size_t *len, uint8_t cut);

/* Read every byte, so that a sanitizer sees those that are not there. */
void fuzz_read(const void *at, size_t len);

/* ---- files in memory: copied, known to file_read, map_open, is_file, is_folder, folder_list ---- */

void memory_clear(void);
void memory_file(const char *path, const uint8_t *at, size_t len);

/* ---- a store's environments in memory: every stage's holds the same pairs ---- */

void memory_pair(int table, const void *key, size_t key_len, const uint8_t *at, size_t len);
void memory_pairs_clear(void);
void memory_keep(int yes);      /* what is written too, as far as there is room; else nothing of it */

/* ---- pictures: their colour profiles are not converted, which takes five times as long as the rest ---- */

void memory_leave_profiles(int yes);

#endif
