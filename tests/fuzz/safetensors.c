/* safetensors files: the header, and every value that it promises. */
#include "common/data/safetensors.h"
#include "tests/fuzz/shared/fuzz.h"

FUZZ(safetensors)
{
	struct safetensors s;
	struct err e;

	memory_file("a.safetensors", at, len);
	if (safetensors_open(&s, "a.safetensors", &e) == 0) {
		for (size_t i = 0; i < s.n; i++) {
			fuzz_read(s.at[i].t.at, (size_t)tensor_bytes(&s.at[i].t));
			HOLDS(safetensors_find(&s, s.at[i].name) == &s.at[i].t);
		}
		safetensors_meta(&s, "format");
		safetensors_close(&s);
	}
	memory_clear();
	return 0;
}
