/* The same picture twice, by content. */
#include <stdlib.h>
#include "common/base/mem.h"
#include "common/data/folder.h"

struct one {
	const struct oid *hash;
	size_t i;
};

static int by_content(const void *a, const void *b)
{
	const struct one *p = a, *q = b;
	int c = oid_compare(p->hash, q->hash);

	return c ? c : (p->i > q->i) - (p->i < q->i);
}

void photos_doubles(size_t *first, const struct oid *const *hash, size_t n)
{
	struct one *list = xcalloc(n, sizeof *list);
	size_t known = 0, lead = 0;

	for (size_t i = 0; i < n; i++) {
		first[i] = i;
		if (hash[i])
			list[known++] = (struct one){ hash[i], i };
	}
	qsort(list, known, sizeof *list, by_content);
	for (size_t i = 1; i < known; i++) {
		if (!oid_equal(list[i].hash, list[lead].hash))
			lead = i;
		first[list[i].i] = list[lead].i;
	}
	free(list);
}
