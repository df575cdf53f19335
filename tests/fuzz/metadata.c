/* kohya's caption metadata, then byte 0xff and a picture to look for (else some whose names the seeds have). */
#include <stdlib.h>

#include "common/data/caption_meta.h"
#include "tests/fuzz/shared/fuzz.h"

static void look(const struct caption_meta *m, const char *item)
{
	struct buf text = { 0 };
	int found = caption_meta_find(m, item, &text);

	HOLDS(found == (text.len > 0));
	fuzz_read(text.at, text.len);
	buf_release(&text);
}

FUZZ(metadata)
{
	static const char *const item[] = { "1.jpg", "rex/1.jpg", "x/rex/.png", "" };
	struct piece doc = fuzz_piece(&at, &len, 0xff);
	struct caption_meta *m;
	struct err e;
	char *name;

	memory_file("m.json", doc.at, doc.len);
	if (caption_meta_open(&m, "m.json", &e) == 0) {
		name = fuzz_text(&at, &len, 0xff);
		look(m, name);
		free(name);
		for (size_t i = 0; i < sizeof item / sizeof *item; i++)
			look(m, item[i]);
		caption_meta_close(m);
	}
	memory_clear();
	return 0;
}
