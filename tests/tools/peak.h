/* The most memory that a process has had. */
#ifndef TOOLS_PEAK_H
#define TOOLS_PEAK_H

#include <stdio.h>
#include <sys/types.h>

/* "VmHWM:   1234 kB" of a process that is still there, in bytes; 0: not told. */
static inline double peak_memory(pid_t pid)
{
	char path[64], line[256];
	long long kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "VmHWM: %lld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return (double)kb * 1024;
}

#endif
