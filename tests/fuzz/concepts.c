/* concepts_list.json, beside two folders with pictures. */
#include "common/data/folder.h"
#include "tests/fuzz/shared/fuzz.h"

FUZZ(concepts)
{
	static char path[] = "c.json";
	char *const paths[] = { path };
	static const struct scan_rules rules;
	struct photos list = { 0 };
	struct err e;

	memory_file(path, at, len);
	memory_file("rex/1.jpg", at, 0);
	memory_file("rex/1.txt", at, 0);
	memory_file("dog/10_b c/2.png", at, 0);
	if (photos_scan(&list, paths, 1, &rules, &e) == 0)
		for (size_t i = 0; i < list.n; i++)
			HOLDS(list.at[i].item && list.at[i].path);
	photos_release(&list);
	memory_clear();
	return 0;
}
