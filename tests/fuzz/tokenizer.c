/*
 * A tokenizer's files, with byte 0xff between them, and a text to encode. The first byte says which
 * files there are: vocab.json and merges.txt or tokenizer.json, then tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json, text.
 */
#include <stdlib.h>
#include <string.h>

#include "common/data/tokenizer.h"
#include "tests/fuzz/shared/fuzz.h"

static void encode(const struct tokenizer *t, const char *text)
{
	int32_t *ids = NULL, row[77], rows[2 * 77];
	struct err e;
	int n = tokenizer_encode(t, text, &ids, &e);

	for (int i = 0; i < n; i++)
		HOLDS(ids[i] >= 0 && ids[i] < tokenizer_vocab(t));
	free(ids);
	tokenizer_row(t, text, row, 77, &e);
	tokenizer_chunks(t, text, rows, 150, &e);
}

FUZZ(tokenizer)
{
	static const char *const two[] = { "t/vocab.json", "t/merges.txt" };
	static const char *const more[] = { "t/tokenizer_config.json", "t/special_tokens_map.json",
					    "t/added_tokens.json" };
	struct tokenizer *t = NULL;
	struct piece p;
	struct err e;
	uint8_t which;
	char *text;

	if (!len)
		return 0;
	which = *at++;
	len--;
	for (int i = 0; i < 2 - (which & 1); i++) {
		p = fuzz_piece(&at, &len, 0xff);
		memory_file(which & 1 ? "t/tokenizer.json" : two[i], p.at, p.len);
	}
	for (int i = 0; i < 3; i++)
		if (which & 2 << i) {
			p = fuzz_piece(&at, &len, 0xff);
			memory_file(more[i], p.at, p.len);
		}
	text = fuzz_text(&at, &len, 0xff);
	if (tokenizer_open(&t, "t", &e) == 0) {
		encode(t, text);
		tokenizer_close(t);
	}
	free(text);
	memory_clear();
	return 0;
}
