/*
 * Files: read whole, mapped, replaced in one step. Paths are as the user gave them.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include "common/base/buf.h"
#include "common/base/err.h"

/* Append the whole file to b. -1: "cannot open 'x': ...", or larger than `limit` bytes. */
int file_read(struct buf *b, const char *path, size_t limit, struct err *e);

/* A file mapped read-only. An empty file has at == NULL, len == 0. {0} is unmapped. */
struct map {
	const unsigned char *at;
	size_t len;
};
int map_open(struct map *m, const char *path, struct err *e);
void map_close(struct map *m);
/* Its pages no longer count as the process' memory; one that is read again comes from the system's cache. */
void map_trim(const struct map *m);

/*
 * Replace `path` by new contents: written to a temporary name in the same folder, flushed to
 * disk, renamed. On any failure (disk full, short write) the old file is untouched and the
 * temporary one removed.
 */
int file_replace(const char *path, const void *at, size_t len, struct err *e);

/*
 * Is `name` of the form PREFIXnumber..., and the number that of a process that has ended (on this
 * machine)? Then what is there was left by a kill. Names of file_replace need no such look: who
 * writes the same file next takes them over.
 */
int temp_abandoned(const char *name, const char *prefix);
/*
 * Remove what killed processes left in a folder of files that file_begin began. For those who write
 * under names that nobody will write again.
 */
void temp_sweep(const char *folder);

/* The same for contents written in pieces. file_commit or file_abort ends it, both free it. */
struct file_new;
int file_begin(struct file_new **out, const char *path, struct err *e);
int file_write(struct file_new *f, const void *at, size_t len, struct err *e);
int64_t file_tell(const struct file_new *f);                    /* bytes written so far */
int file_commit(struct file_new *f, struct err *e);
void file_abort(struct file_new *f);                            /* NULL is fine */

/*
 * The errno that explains why a write of `want` bytes came
 * out short: ENOSPC, EFBIG, or EIO if there is room.
 */
int file_why_short(int fd, uint64_t want);

/*
 * First thing in main: standard streams that the caller closed become ones on which reading and
 * writing fail. Otherwise the next file opened (a store) would take their place and get our output.
 */
void files_guard_std(void);

/* with its parents; there already is fine */
int make_folder(const char *path, struct err *e);
int is_folder(const char *path);
int is_file(const char *path);

/* Names in a folder, sorted by bytes, without . and .. ; release with names_release. */
struct names {
	char **at;
	size_t n, cap;
};
int folder_list(struct names *out, const char *path, struct err *e);
void names_add(struct names *list, const char *name);           /* copies the name */
void names_release(struct names *list);

const char *path_base(const char *path);                        /* after the last '/', into path */
char *path_join(const char *folder, const char *name);          /* the caller's to free */

#endif
