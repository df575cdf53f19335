/* Files from outside: known by content, remembered by their stamps. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_impl.h"

#define PIECE ((size_t)1 << 20)

/* ---- files ---- */

static int hash_open(int fd, const char *path, struct oid *out, struct err *e)
{
	struct oid_state *hash = oid_start(KIND_BYTES);
	char *piece = xmalloc(PIECE);
	ssize_t n;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	do {
		n = read(fd, piece, PIECE);
		if (n > 0)
			oid_add(hash, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		fail_errno(e, "cannot read '%s'", path);
	oid_end(hash, out);
	free(piece);
	return n < 0 ? -1 : 0;
}

/* A file known by its stamp or read. Opened as `at` below the folder `dir`; `path` for sentences. */
static int hash_file(struct stores *s, struct stamps *f, int dir, const char *at,
		     const char *path, const struct stat *before, struct oid *out, struct err *e)
{
	const char *name = path_base(at);
	struct stat after;
	int fd, ret = -1;

	if (!S_ISREG(before->st_mode))
		return fail(e, "'%s' is neither a file nor a folder", path);
	if (stamps_find(s, f, name, before, out))
		return 0;
	fd = openat(dir, at, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno(e, "cannot open '%s'", path);
	if (hash_open(fd, path, out, e) < 0)
		goto out;
	if (fstat(fd, &after) < 0 || !same_stamp(before, &after)) {
		fail(e, "'%s' was changed while it was read", path);
		goto out;
	}
	stamps_add(s, f, name, &after, out);
	ret = 0;
out:
	close(fd);
	return ret;
}

/* Stamps are looked at before a file is opened: opening costs more, and waits forever for a pipe. */
static int hash_alone(struct stores *s, const char *path, const struct stat *st, struct oid *out,
		      struct err *e)
{
	const char *name = path_base(path);
	char *folder = name == path ? xstrdup(".") : xstrndup(path, (size_t)(name - path));
	struct stamps *f = stamps_of(s, folder);
	int ret = f ? hash_file(s, f, AT_FDCWD, path, path, st, out, e) :
		fail_errno(e, "cannot open '%s'", path);

	free(folder);
	return ret;
}

/* ---- folders ---- */

/* A link that leads back into its own folder would never end. */
#define DEPTH 32

static int hash_folder(struct stores *s, const char *path, const char *below, int depth,
		       struct oid_state *all, struct err *e);

/* A file's line: hash, NUL, path below the folder, NUL. A folder's: those of what is in it. */
static int hash_entry(struct stores *s, struct stamps *f, int dir, const char *name,
		      const char *path, const char *below, int depth, struct oid_state *all,
		      struct err *e)
{
	char *inside = path_join(path, name), *line = path_join(below, name), hex[OID_HEX + 1];
	struct stat st;
	struct oid id;
	int ret;

	if (fstatat(dir, name, &st, 0) < 0) {
		ret = fail_errno(e, "cannot open '%s'", inside);
	} else if (S_ISDIR(st.st_mode)) {
		ret = hash_folder(s, inside, line, depth + 1, all, e);
	} else {
		ret = hash_file(s, f, dir, name, inside, &st, &id, e);
		if (ret == 0) {
			oid_add(all, oid_hex(&id, hex), sizeof hex);
			oid_add(all, line, strlen(line) + 1);
		}
	}
	free(inside);
	free(line);
	return ret;
}

static int hash_folder(struct stores *s, const char *path, const char *below, int depth,
		       struct oid_state *all, struct err *e)
{
	struct stamps *f;
	struct names list;
	int ret = 0, dir;

	if (depth > DEPTH)
		return fail(e, "'%s' is more than %d folders deep", path, DEPTH);
	if (folder_list(&list, path, e) < 0)
		return -1;
	f = stamps_of(s, path);
	dir = f ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (dir < 0)
		ret = fail_errno(e, "cannot open folder '%s'", path);
	for (size_t i = 0; i < list.n && ret == 0; i++)
		if (list.at[i][0] != '.')
			ret = hash_entry(s, f, dir, list.at[i], path, below, depth, all, e);
	if (dir >= 0)
		close(dir);
	names_release(&list);
	return ret;
}

int outside_hash(struct stores *s, const char *path, struct oid *out, struct err *e)
{
	struct oid_state *all;
	struct stat st;
	int ret;

	if (stat(path, &st) < 0)
		return fail_errno(e, "cannot open '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return hash_alone(s, path, &st, out, e);
	all = oid_start(KIND_BYTES);
	oid_add(all, "folder", sizeof "folder");
	ret = hash_folder(s, path, "", 0, all, e);
	oid_end(all, out);
	return ret;
}
