#include "kernels/cuda/host/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/mem.h"

int memory_take(struct memory *m, size_t bytes, void **shown, struct err *e)
{
	size_t whole = (bytes + 4096) / 4096 * 4096;    /* an empty tensor at the end has an address, too */
	void *real;

	*shown = NULL;
	if (mem_try(&real, whole, "the GPU's memory", e) < 0)
		return -1;
	*shown = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (*shown == MAP_FAILED) {
		free(real);
		*shown = NULL;
		return fail(e, "no addresses for %zu MB of the GPU's memory", bytes >> 20);
	}
	memset(real, 0xff, whole);
	m->piece = grow(m->piece, m->n, &m->cap, sizeof *m->piece);
	m->piece[m->n++] = (struct piece){ *shown, real, whole };
	return 0;
}

void memory_give(struct memory *m, void *shown)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->piece[i].shown == shown) {
			munmap(shown, m->piece[i].bytes);
			free(m->piece[i].real);
			m->piece[i] = m->piece[--m->n];
			return;
		}
	if (shown)
		BUG("%p is given back and was not taken", shown);
}

void memory_release(struct memory *m)
{
	while (m->n)
		memory_give(m, m->piece[0].shown);
	free(m->piece);
	*m = (struct memory){ 0 };
}

void *memory_at(const struct memory *m, const void *at)
{
	char *p;

	memcpy(&p, &at, sizeof p);
	for (size_t i = 0; i < m->n; i++)
		if (p >= m->piece[i].shown && p < m->piece[i].shown + m->piece[i].bytes)
			return m->piece[i].real + (p - m->piece[i].shown);
	return p;
}

struct call memory_call(const struct memory *m, const struct call *c)
{
	struct call at = *c;

	for (int i = 0; i < MAX_IN; i++)
		at.in[i].at = memory_at(m, c->in[i].at);
	for (int i = 0; i < MAX_OUT; i++)
		at.out[i].at = memory_at(m, c->out[i].at);
	at.scratch = memory_at(m, c->scratch);
	return at;
}
