/* torch's checkpoints, zip and older: every value of every tensor is looked at. */
#include "common/data/pickle.h"
#include "tests/fuzz/shared/fuzz.h"

FUZZ(pickle)
{
	struct pickle p;
	struct err e;

	memory_file("a.bin", at, len);
	if (pickle_open(&p, "a.bin", &e) == 0) {
		for (size_t i = 0; i < p.n; i++)
			fuzz_read(p.at[i].t.at, (size_t)tensor_bytes(&p.at[i].t));
		pickle_close(&p);
	}
	memory_clear();
	return 0;
}
