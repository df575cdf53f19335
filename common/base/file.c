#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/mem.h"

/* Open for reading; folders are refused here because open() lets them pass. */
static int open_read(const char *path, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail_errno(e, "cannot open '%s'", path);
	if (fstat(fd, st) < 0) {
		fail_errno(e, "cannot read '%s'", path);
		close(fd);
		return -1;
	}
	if (S_ISDIR(st->st_mode)) {
		close(fd);
		return fail(e, "'%s' is a folder, a file is wanted", path);
	}
	return fd;
}

int file_read(struct buf *b, const char *path, size_t limit, struct err *e)
{
	size_t before = b->len, chunk;
	struct stat st;
	int fd = open_read(path, &st, e), ret = -1;

	if (fd < 0)
		return -1;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > limit) {
		fail(e, "'%s' has %lld bytes, at most %zu are read", path, (long long)st.st_size, limit);
		goto out;
	}
	chunk = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : 65536;
	for (;;) {
		char *to = buf_extend(b, chunk);
		ssize_t n = read(fd, to, chunk);

		b->len -= chunk - (n > 0 ? (size_t)n : 0);
		b->at[b->len] = 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			fail_errno(e, "cannot read '%s'", path);
			goto out;
		}
		if (n == 0)
			break;
		if (b->len - before > limit) {
			fail(e, "'%s' has more than %zu bytes", path, limit);
			goto out;
		}
		chunk = 65536;
	}
	ret = 0;
out:
	close(fd);
	return ret;
}

int map_open(struct map *m, const char *path, struct err *e)
{
	struct stat st;
	int fd = open_read(path, &st, e), ret = -1;
	void *at;

	*m = (struct map){ 0 };
	if (fd < 0)
		return -1;
	if (!S_ISREG(st.st_mode)) {
		fail(e, "'%s' is not a regular file", path);
		goto out;
	}
	if (st.st_size > 0) {
		at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (at == MAP_FAILED) {
			fail_errno(e, "cannot map '%s'", path);
			goto out;
		}
		m->at = at;
		m->len = (size_t)st.st_size;
	}
	ret = 0;
out:
	close(fd);
	return ret;
}

void map_close(struct map *m)
{
	if (m->at)
		munmap((void *)(uintptr_t)m->at, m->len);
	*m = (struct map){ 0 };
}

void map_trim(const struct map *m)
{
	if (m->at)
		madvise((void *)(uintptr_t)m->at, m->len, MADV_DONTNEED);
}

int file_why_short(int fd, uint64_t want)
{
	struct statvfs room;
	struct rlimit limit;
	struct stat st;

	if (fstat(fd, &st) || fstatvfs(fd, &room))
		return EIO;
	if ((uint64_t)room.f_bavail * room.f_frsize < want)
		return ENOSPC;
	if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur < (uint64_t)st.st_size + want)
		return EFBIG;
	return EIO;
}

void files_guard_std(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
			_exit(1);       /* no way left to say anything */
}

int make_folder(const char *path, struct err *e)
{
	char *copy = xstrdup(path);
	int ret = 0;

	for (char *p = copy + (*copy == '/'); ; p++) {
		char c = *p;

		if (c != '/' && c)
			continue;
		*p = 0;
		if (*copy && mkdir(copy, 0777) < 0) {
			int why = errno;

			if (!is_folder(copy)) {
				errno = why;
				ret = fail_errno(e, "cannot make folder '%s'", copy);
				break;
			}
		}
		*p = c;
		if (!c)
			break;
	}
	free(copy);
	return ret;
}

int is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int is_file(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int folder_list(struct names *out, const char *path, struct err *e)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	*out = (struct names){ 0 };
	if (!d)
		return fail_errno(e, "cannot open folder '%s'", path);
	for (errno = 0; (entry = readdir(d)); errno = 0)
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			names_add(out, entry->d_name);
	if (errno) {
		fail_errno(e, "cannot read folder '%s'", path);
		closedir(d);
		names_release(out);
		return -1;
	}
	closedir(d);
	if (out->n)
		qsort(out->at, out->n, sizeof *out->at, compare_names);
	return 0;
}

void names_add(struct names *list, const char *name)
{
	list->at = grow(list->at, list->n, &list->cap, sizeof *list->at);
	list->at[list->n++] = xstrdup(name);
}

void names_release(struct names *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->at[i]);
	free(list->at);
	*list = (struct names){ 0 };
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

char *path_join(const char *folder, const char *name)
{
	size_t n = strlen(folder), m = strlen(name), slash = n && folder[n - 1] != '/';
	char *path = xmalloc(n + slash + m + 1);

	memcpy(path, folder, n);
	if (slash)
		path[n] = '/';
	memcpy(path + n + slash, name, m + 1);
	return path;
}
