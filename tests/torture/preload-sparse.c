/* LD_PRELOAD: pages of zeros are left out of what pwrite writes, so that a large file takes little room. */
#include <dlfcn.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static ssize_t real_pwrite(int fd, const void *at, size_t n, off_t to)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	return real(fd, at, n, to);
}

static int is_zero(const char *at, size_t n)
{
	return n == 0 || (!at[0] && !memcmp(at, at + 1, n - 1));
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t to)
{
	const char *at = data;
	struct stat st;

	if (n <= PAGE)
		return real_pwrite(fd, at, n, to);
	/* longer than it will be, so that every page left out is a hole in the file */
	if (fstat(fd, &st) < 0 || (st.st_size < to + (off_t)n && ftruncate(fd, to + (off_t)n) < 0))
		return -1;
	for (size_t i = 0; i < n; i += PAGE) {
		size_t k = n - i < PAGE ? n - i : PAGE;

		if (!is_zero(at + i, k) && real_pwrite(fd, at + i, k, to + (off_t)i) != (ssize_t)k)
			return -1;
	}
	return (ssize_t)n;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t to)
{
	return pwrite(fd, data, n, to);
}
