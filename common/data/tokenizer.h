/*
 * CLIP's byte-pair encoding from a model's own files: vocab.json + merges.txt, or tokenizer.json
 * (or both), with tokenizer_config.json / special_tokens_map.json for the padding token.
 * Text is treated as the fast tokenizer of transformers does: special tokens cut out first, then
 * NFC, runs of blanks to one, lower case, CLIP's pattern (letters, single digits, runs of others),
 * bytes, merges; nothing is dropped, so any UTF-8 has ids.
 */
#ifndef DATA_TOKENIZER_H
#define DATA_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/err.h"

struct tokenizer;

/* `folder` holds the files. -1 with a sentence naming the missing or damaged file. */
int tokenizer_open(struct tokenizer **out, const char *folder, struct err *e);
void tokenizer_close(struct tokenizer *t);

int tokenizer_vocab(const struct tokenizer *t);         /* number of ids */
int tokenizer_bos(const struct tokenizer *t);
int tokenizer_eos(const struct tokenizer *t);
int tokenizer_pad(const struct tokenizer *t);

/*
 * Pad with another id. kohya pads SDXL's second encoder with 0 although "!" stays plain text
 * there; where a model's own files name "!" as the padding token, each "!" in a text is one too.
 */
void tokenizer_set_pad(struct tokenizer *t, int id);

/*
 * Ids of `text` without begin and end: *out is the caller's to free, returns their number or -1
 * (not UTF-8, or longer than 1 MiB). The second form takes text that may hold NUL.
 */
int tokenizer_encode(const struct tokenizer *t, const char *text, int32_t **out, struct err *e);
int tokenizer_encode_n(const struct tokenizer *t, const char *text, size_t len, int32_t **out,
		       struct err *e);

/*
 * One row of `length` ids (77 for CLIP): BOS, ids cut to length - 2, EOS, padding. Returns the
 * number of content ids that were cut away (0 = all fit), -1 on failure.
 */
int tokenizer_row(const struct tokenizer *t, const char *text, int32_t *out, int length,
		  struct err *e);

/*
 * kohya's long captions: max_tokens 75, 150 or 225 -> max_tokens / 75 rows of 77, each with BOS and
 * EOS placed as kohya does (reference/kohya.md 2.5). Returns tokens cut away, or -1.
 */
int tokenizer_chunks(const struct tokenizer *t, const char *text, int32_t *out, int max_tokens,
		     struct err *e);

/*
 * The visible character that stands for a byte in vocabulary files: printable Latin-1 for itself,
 * the other 68 bytes in order from U+0100.
 */
uint32_t tokenizer_byte_code(int byte);

#endif
