/*
 * JSON, read by jansson behind this header (nothing else includes it). Values belong to the
 * document; a missing member is NULL, and every accessor takes NULL and gives its default, so
 * a path of optional members needs no checks:
 *	json_int(json_get(json_get(doc, "text_config"), "hidden_size"), 768)
 * Numbers keep 64 bits. Depth and size are limited; duplicate keys are an error.
 */
#ifndef DATA_JSON_H
#define DATA_JSON_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"
#include "common/base/err.h"

struct json;    /* a value; the one returned by json_parse is also the document */

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_INT, JSON_FLOAT, JSON_TEXT, JSON_LIST,
		 JSON_OBJECT };

/* -1: the sentence names `what` with line and column. Release with json_free. */
int json_parse(struct json **out, const char *at, size_t len, const char *what, struct err *e);
/* a file of at most 1 GiB */
int json_read(struct json **out, const char *path, struct err *e);
void json_free(struct json *doc);

enum json_type json_type(const struct json *v);
const struct json *json_get(const struct json *object, const char *name);
const struct json *json_at(const struct json *list, size_t i);
size_t json_count(const struct json *v);                /* of a list or an object, else 0 */
/* Members in the file's order; i < json_count. */
const struct json *json_member(const struct json *object, size_t i, const char **name);
int64_t json_int(const struct json *v, int64_t otherwise);      /* a float is truncated */
double json_float(const struct json *v, double otherwise);
int json_bool(const struct json *v, int otherwise);
const char *json_text(const struct json *v, const char *otherwise);

/* Writing: append s as a JSON string with its quotes. */
void json_put_text(struct buf *b, const char *s);

#endif
