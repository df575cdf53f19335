/* A file of prompts with kohya's suffixes. */
#include "stages/shared/prompts.h"
#include "tests/fuzz/shared/fuzz.h"

FUZZ(prompts)
{
	static const struct prompt otherwise = { .steps = 30, .scale = 7.5 };
	struct prompts p = { 0 };
	struct err e;

	memory_file("prompts.txt", at, len);
	if (prompts_add_file(&p, "prompts.txt", &otherwise, &e) == 0)
		for (size_t i = 0; i < p.n; i++)
			HOLDS(p.at[i].text && p.at[i].negative);
	prompts_release(&p);
	memory_clear();
	return 0;
}
