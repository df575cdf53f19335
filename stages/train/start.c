/*
 * How long a training took to begin, told once: from the start of the program to the end of its
 * first step.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "stages/train/train.h"

/* Seconds since the program was started; what the loader did counts. Linux counts in 1/100 s. */
static double age(void)
{
	/* field 22 of them; the second, the program's name, is in parentheses */
	static const char fields[] = "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u "
		"%*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu";
	FILE *f = fopen("/proc/self/stat", "r");
	unsigned long long ticks = 0;
	struct timespec now;

	if (f && fscanf(f, fields, &ticks) != 1)
		ticks = 0;
	if (f)
		fclose(f);
	if (!ticks || clock_gettime(CLOCK_BOOTTIME, &now) < 0)
		return 0;
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec -
		(double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double in_kernel(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_stime.tv_sec + 1e-6 * (double)u.ru_stime.tv_usec;
}

void start_mark(struct run *r, enum start_phase done)
{
	const double *at = r->start_at;

	r->start_at[done] = age();
	if (done != START_STEP)
		return;
	talk("first step after %.2f s: open %.2f, plan %.2f, text %.2f, weights %.2f, state %.2f, step %.2f (in the kernel %.2f)",
	     at[START_STEP], at[START_OPEN], at[START_PLAN] - at[START_OPEN],
	     at[START_TEXT] - at[START_PLAN], at[START_WEIGHTS] - at[START_TEXT], at[START_STATE] - at[START_WEIGHTS],
	     at[START_STEP] - at[START_STATE], in_kernel());
}
