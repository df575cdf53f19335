/*
 * Captions: a file's bytes, what becomes of a caption at a training step, and the number in front of
 * a folder's name. Three bytes choose rules; then, with byte 0xff between them: prefix, separators,
 * folder's name, caption.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "common/data/caption.h"
#include "common/data/folder.h"
#include "tests/fuzz/shared/fuzz.h"

static void apply(const uint8_t how[3], char *const part[4], const char *caption)
{
	struct caption_rules r = {
		.prefix = part[0], .separator = *part[1] ? part[1] : ",",
		.secondary_separator = how[0] & 1 ? part[2] : NULL, .keep_separator = part[3],
		.keep_tokens = how[1] & 7, .wildcard = how[0] >> 1 & 1, .shuffle = how[0] >> 2 & 1,
		.dropout = how[0] & 8 ? 0.5 : 0, .tag_dropout = how[0] & 16 ? 0.5 : 0,
		.dropout_every_epochs = how[1] >> 3 & 3, .warmup_min = how[1] >> 5,
		.warmup_steps = how[0] & 32 ? how[2] / 8.0 : 0, .total_steps = 20,
	};
	struct buf out = { 0 };
	size_t valid;

	caption_varies(&r);
	caption_at(&out, &r, caption, how[2], how[2] % 5, 1, 3);
	valid = utf8_valid(buf_str(&out), out.len);
	/* rules that are UTF-8 leave a caption UTF-8 */
	if (!*part[0] && !*part[1] && !*part[2] && !*part[3])
		HOLDS(valid == out.len);
	buf_release(&out);
}

FUZZ(caption)
{
	struct buf text = { 0 };
	char *part[4] = { 0 };
	const char *words;
	uint8_t how[3];
	struct err e;

	if (len < 3)
		return 0;
	memcpy(how, at, 3);
	at += 3;
	len -= 3;
	for (int i = 0; i < 4; i++)
		part[i] = fuzz_text(&at, &len, 0xff);
	folder_repeats(part[3], &words);
	memory_file("a.txt", at, len);
	if (caption_file_read(&text, "a.txt", &e) == 0) {
		HOLDS(utf8_valid(text.at, text.len) == text.len && text.len);
		apply(how, part, buf_str(&text));
	}
	buf_release(&text);
	for (int i = 0; i < 4; i++)
		free(part[i]);
	memory_clear();
	return 0;
}
