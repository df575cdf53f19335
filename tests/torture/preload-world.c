/*
 * LD_PRELOAD: another world for the program. CLOCK_SHIFT=SECONDS moves the clock of day; CLOCK_JUMPS=1
 * makes it jump by days, forth and back, with each look. FILE_SYSTEM=MAGIC (decimal) is what statfs says.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <time.h>

static long shift(void)
{
	static unsigned looks;
	const char *by = getenv("CLOCK_SHIFT"), *jumps = getenv("CLOCK_JUMPS");
	long n = by ? atol(by) : 0;

	if (jumps)
		n += ((long)(__atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST) * 2654435761u % 200) - 100) * 86400;
	return n;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	int ret;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	ret = real(id, t);
	if (ret == 0 && id == CLOCK_REALTIME)
		t->tv_sec += shift();
	return ret;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int statfs(const char *path, struct statfs *s)
{
	static int (*real)(const char *, struct statfs *);
	const char *magic = getenv("FILE_SYSTEM");
	int ret;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "statfs");
	ret = real(path, s);
	if (ret == 0 && magic)
		s->f_type = strtol(magic, NULL, 10);
	return ret;
}
