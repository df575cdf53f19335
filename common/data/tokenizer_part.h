/*
 * What the files of the tokenizer share: tokenizer_load.c fills the tables, tokenizer_words.c
 * cuts text into words and merges them, tokenizer.c is the front.
 *
 * Merging works on ids alone: a word is its bytes' ids (the last byte's with the end-of-word
 * mark), and a hash table says of a pair of neighbours which rank their merge has and which id
 * it gives.
 */
#ifndef DATA_TOKENIZER_PART_H
#define DATA_TOKENIZER_PART_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

struct merge {                  /* a slot of the hash table; id < 0: empty */
	uint32_t left, right;
	int32_t rank, id;
};

struct special {                /* cut out of the text as it stands, before anything else */
	char *text;
	size_t len;
	int32_t id;
};

struct tokenizer {
	int n_ids;                      /* largest id + 1 */
	int32_t bos, eos, pad, unk;
	int32_t byte[256], last[256];   /* id of a byte; of a byte that ends a word */
	struct merge *merge;
	uint32_t merge_mask;            /* slots - 1, a power of two less one */
	struct special *special;        /* longest first */
	size_t n_special, cap_special;
};

/* Fill a zeroed tokenizer; tokenizer_close cleans up after a failure. */
int tokenizer_load(struct tokenizer *t, const char *folder, struct err *e);

/* The merge of two neighbours, or NULL. */
const struct merge *merge_find(const struct tokenizer *t, int32_t left, int32_t right);
uint32_t merge_slot(uint32_t left, uint32_t right);

struct ids {                    /* a growing row of ids */
	int32_t *at;
	size_t n, cap;
};

/* Append the ids of valid UTF-8 without special tokens. */
int words_encode(const struct tokenizer *t, const char *text, size_t len, struct ids *out,
		 struct err *e);

#endif
