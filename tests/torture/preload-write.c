/*
 * LD_PRELOAD: the FAULT_AT-th call that writes fails, once in all processes that share FAULT_COUNT (a
 * file of 16 bytes: calls counted, calls failed). FAULT_KIND: ENOSPC, EIO, or short (half is written,
 * as at the end of a quota; a call that writes no bytes fails with EIO). FAULT_AT=0 only counts.
 * With kill and torn it ends its process with SIGKILL instead, and the process FAULT_SHOOTS as well:
 * before anything is written, or when half is. What a file holds changes with such calls only, so
 * that kills at them are kills at any instant, and at the same one on every machine.
 * Streams end in write() here too, but by libc's own name for it, so fwrite and fflush are taken over
 * as far as files go, where they write (fwrite mostly fills a buffer).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) \
	static type (*real)(__VA_ARGS__); \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, name)

enum fault { NONE, FAIL, SHORT };

static uint64_t *counters(void)
{
	static uint64_t *at;
	const char *path = getenv("FAULT_COUNT");
	int fd;

	if (at || !path)
		return at;
	fd = (int)open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		at = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		at = NULL;
	if (fd >= 0)
		close(fd);
	return at;
}

static int kind_is(const char *name)
{
	const char *kind = getenv("FAULT_KIND");

	return kind && !strcmp(kind, name);
}

static void shoot(void)
{
	const char *other = getenv("FAULT_SHOOTS");

	if (other)
		kill(atoi(other), SIGKILL);
	kill(getpid(), SIGKILL);
}

/* Does this call fail? errno is set. */
static enum fault next(void)
{
	const char *at = getenv("FAULT_AT");
	uint64_t *c = counters(), mine;

	if (!c)
		return NONE;
	mine = __atomic_add_fetch(&c[0], 1, __ATOMIC_SEQ_CST);
	if (!at || mine != strtoull(at, NULL, 10))
		return NONE;
	__atomic_add_fetch(&c[1], 1, __ATOMIC_SEQ_CST);
	if (kind_is("kill"))
		shoot();
	errno = kind_is("ENOSPC") ? ENOSPC : EIO;
	return kind_is("short") || kind_is("torn") ? SHORT : FAIL;
}

/* Of a call that writes all or nothing. */
static int fails(void)
{
	enum fault f = next();

	if (f && kind_is("torn"))
		shoot();
	return f != NONE;
}

/* What a call that may write half returns. */
static ssize_t wrote(enum fault f, ssize_t n)
{
	if (f && kind_is("torn"))
		shoot();
	return n;
}

/* Regular files only: pipes and terminals have errors of their own. */
static int is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t write(int fd, const void *at, size_t n)
{
	enum fault f = is_file(fd) ? next() : NONE;

	REAL(ssize_t, "write", int, const void *, size_t);
	return f == FAIL ? -1 : wrote(f, real(fd, at, f == SHORT ? n / 2 : n));
}

ssize_t pwrite(int fd, const void *at, size_t n, off_t to)
{
	enum fault f = next();

	REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
	return f == FAIL ? -1 : wrote(f, real(fd, at, f == SHORT ? n / 2 : n, to));
}

ssize_t pwrite64(int fd, const void *at, size_t n, off_t to)
{
	return pwrite(fd, at, n, to);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
	enum fault f = is_file(fd) ? next() : NONE;

	REAL(ssize_t, "writev", int, const struct iovec *, int);
	return f == FAIL ? -1 : wrote(f, real(fd, v, f == SHORT ? (n + 1) / 2 : n));
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t to)
{
	enum fault f = next();

	REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
	return f == FAIL ? -1 : wrote(f, real(fd, v, f == SHORT ? (n + 1) / 2 : n, to));
}

int fsync(int fd)
{
	REAL(int, "fsync", int);
	return fails() ? -1 : real(fd);
}

int fdatasync(int fd)
{
	REAL(int, "fdatasync", int);
	return fails() ? -1 : real(fd);
}

int msync(void *at, size_t n, int flags)
{
	REAL(int, "msync", void *, size_t, int);
	return fails() ? -1 : real(at, n, flags);
}

int ftruncate(int fd, off_t n)
{
	REAL(int, "ftruncate", int, off_t);
	return fails() ? -1 : real(fd, n);
}

int rename(const char *from, const char *to)
{
	REAL(int, "rename", const char *, const char *);
	return fails() ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode)
{
	REAL(int, "mkdir", const char *, mode_t);
	return access(path, F_OK) < 0 && fails() ? -1 : real(path, mode);
}

static int open_file(const char *path, int flags, mode_t mode)
{
	REAL(int, "open", const char *, int, ...);
	return flags & O_CREAT && strncmp(path, "/dev/null", 9) && fails() ? -1 : real(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	return open_file(path, flags, mode);
}

/* Does it not fit into the stream's buffer, so that something is written? */
static int overflows(FILE *f, size_t n)
{
	size_t room = __fbufsize(f);

	return __fpending(f) + n > (room ? room : BUFSIZ / 2);
}

size_t fwrite(const void *at, size_t size, size_t n, FILE *f)
{
	enum fault fault = fileno(f) > 2 && overflows(f, size * n) && is_file(fileno(f)) ? next() : NONE;

	REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *);
	return fault == FAIL ? 0 : (size_t)wrote(fault, (ssize_t)real(at, size, fault == SHORT ? n / 2 : n, f));
}

int fflush(FILE *f)
{
	REAL(int, "fflush", FILE *);
	return f && fileno(f) > 2 && is_file(fileno(f)) && fails() ? EOF : real(f);
}

int fclose(FILE *f)
{
	int fault = fileno(f) > 2 && is_file(fileno(f)) &&
		(fcntl(fileno(f), F_GETFL) & O_ACCMODE) != O_RDONLY && fails();
	int error = errno, ret;

	REAL(int, "fclose", FILE *);
	ret = real(f);
	errno = error;
	return fault ? EOF : ret;
}
