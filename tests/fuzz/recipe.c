/*
 * Recipes. Byte 0xff (which no recipe holds) stands between the file, a file "b" that it may
 * include, and words of the command line.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "stages/booth/recipe.h"
#include "tests/fuzz/shared/fuzz.h"

#define WORDS 3

FUZZ(recipe)
{
	struct piece p = fuzz_piece(&at, &len, 0xff);
	char *set[WORDS] = { 0 };
	struct recipe r;
	struct err e;
	size_t n = 0;

	memory_file("a", p.at, p.len);
	p = fuzz_piece(&at, &len, 0xff);
	memory_file("b", p.at, p.len);
	while (n < WORDS && len)
		set[n++] = fuzz_text(&at, &len, 0xff);
	if (recipe_read(&r, "a", set, n, &e) == 0) {
		for (size_t i = 0; i < r.rules; i++)
			HOLDS(recipe_rule(&r, r.rule[i].target) == &r.rule[i]);
		recipe_near(&r, "lora");
	} else {
		HOLDS(*e.text);
	}
	recipe_release(&r);
	for (size_t i = 0; i < n; i++)
		free(set[i]);
	memory_clear();
	return 0;
}
