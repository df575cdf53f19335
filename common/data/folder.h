/*
 * The pictures in a user's folders, with what lies beside them: captions, masks, and kohya's folder
 * names. Nothing is decoded here.
 *
 * A folder whose children are named REPEATS_WORDS ("10_sks dog") is laid out as kohya's trainers
 * want it: only those children count, their words are the caption of pictures without one of their
 * own. Otherwise every picture below the folder counts. concepts_list.json (as ShivamShrirao's
 * DreamBooth script reads it) lists several folders with their prompts.
 *
 * Hidden files are skipped without a word; so are files without a picture's extension.
 */
#ifndef DATA_FOLDER_H
#define DATA_FOLDER_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/oid.h"

/*
 * "10_sks dog" -> 10 and "sks dog" (into name). 0: the name does not begin with a number. As
 * Python reads it: blanks, a sign and any script's digits are fine; *words is "" where the number
 * ends the name. Below 1 means "leave the folder out"; above 2^31 - 1 is 2^31 - 1.
 */
int64_t folder_repeats(const char *name, const char **words);

/*
 * The caption in a caption file's bytes, appended to out: the first line, trimmed; with `lines`
 * every line that is not blank, for wildcards. Line ends are LF, CR LF or CR, nothing else.
 */
void caption_of_file(struct buf *out, const char *at, size_t len, int lines);

/*
 * The same from a file, all lines. A byte order mark in front, which Windows programs write, is
 * dropped (kohya keeps it as a part of the caption). -1: not UTF-8, nothing but blanks, or above 1
 * MiB; the file is named.
 */
int caption_file_read(struct buf *out, const char *path, struct err *e);

enum caption_source { CAPTION_NONE, CAPTION_FOLDER, CAPTION_CONCEPT, CAPTION_SIDECAR };
const char *caption_source_name(enum caption_source s); /* "", "folder", "concept", "sidecar" */

struct photo {
	char *item;             /* path below the folder given, unique, one line of UTF-8 */
	char *path;
	char *sidecar;          /* path of the caption file, or NULL */
	char *mask;             /* path of the mask, or NULL */
	char *concept;          /* which subject of several, or "" */
	char *caption;          /* of the folder or concept, or "" */
	enum caption_source source;     /* of `caption`; CAPTION_SIDECAR if there is one */
	int64_t repeats;
	int class;              /* 1: for prior preservation */
};

struct photos {
	struct photo *at;       /* sorted by item */
	size_t n, cap;
	size_t left_out;        /* pictures in places that kohya's layout does not count */
};

struct scan_rules {
	const char *caption_extension;  /* ".txt"; NULL: .caption, then .txt */
	const char *masks;              /* folder with masks of the same relative names, or NULL */
};

/*
 * List the pictures of `n` paths: folders, picture files, or .json files (concepts). -1: a path is
 * missing, two pictures get the same name, or there is no picture at all.
 */
int photos_scan(struct photos *out, char *const *path, int n, const struct scan_rules *r,
		struct err *e);
void photos_release(struct photos *list);

/*
 * For each of n photos, by the hashes of their files, the index of the first one with the same
 * content: its own index if there is none before it. A NULL hash is like no other.
 */
void photos_doubles(size_t *first, const struct oid *const *hash, size_t n);

/* Has the name a picture's extension (1: one that booth reads, 2: another picture format), or 0. */
int picture_extension(const char *name);

#endif
