#include "common/data/json.h"

#include <stdlib.h>
#include <string.h>

/*
 * jansson's names for two types are also names of ours; they are renamed while its header is read.
 */
#define json_type jansson_type
#define JSON_NULL JANSSON_NULL
#define JSON_OBJECT JANSSON_OBJECT
#include <jansson.h>
#undef json_type
#undef JSON_NULL
#undef JSON_OBJECT

#include "common/base/file.h"
#include "common/base/mem.h"

#define FILE_LIMIT ((size_t)1 << 30)
#define INDEX_FROM 16           /* objects of more members get an index by name */

/*
 * The document is copied out of jansson's: members become arrays, so that the i-th one is found
 * at once (a vocabulary is an object of 50,000 members).
 */
struct json {
	enum json_type type;
	union {
		int64_t i;              /* JSON_INT, JSON_BOOL */
		double f;
		char *text;
		struct {
			struct json *item;
			char **name;    /* of an object's members, else NULL */
			uint32_t *order;        /* members by name, or NULL if they are few */
			size_t n;
		} many;
	};
};

static void release(struct json *v)
{
	if (v->type == JSON_TEXT)
		free(v->text);
	if (v->type != JSON_LIST && v->type != JSON_OBJECT)
		return;
	for (size_t i = 0; i < v->many.n; i++) {
		release(&v->many.item[i]);
		if (v->many.name)
			free(v->many.name[i]);
	}
	free(v->many.item);
	free(v->many.name);
	free(v->many.order);
}

static int by_name(const void *a, const void *b, void *names)
{
	char *const *name = names;

	return strcmp(name[*(const uint32_t *)a], name[*(const uint32_t *)b]);
}

static void take(struct json *v, json_t *from);

static void take_object(struct json *v, json_t *from)
{
	size_t n = json_object_size(from), i = 0;

	v->type = JSON_OBJECT;
	v->many.n = n;
	v->many.item = xcalloc(n, sizeof *v->many.item);
	v->many.name = xcalloc(n, sizeof *v->many.name);
	v->many.order = n > INDEX_FROM ? xcalloc(n, sizeof *v->many.order) : NULL;
	for (void *it = json_object_iter(from); it; it = json_object_iter_next(from, it), i++) {
		v->many.name[i] = xstrdup(json_object_iter_key(it));
		take(&v->many.item[i], json_object_iter_value(it));
		if (v->many.order)
			v->many.order[i] = (uint32_t)i;
	}
	if (v->many.order)
		qsort_r(v->many.order, n, sizeof *v->many.order, by_name, v->many.name);
}

static void take_list(struct json *v, json_t *from)
{
	v->type = JSON_LIST;
	v->many.n = json_array_size(from);
	v->many.item = xcalloc(v->many.n, sizeof *v->many.item);
	v->many.name = NULL;
	v->many.order = NULL;
	for (size_t i = 0; i < v->many.n; i++)
		take(&v->many.item[i], json_array_get(from, i));
}

static void take(struct json *v, json_t *from)
{
	switch (json_typeof(from)) {
	case JANSSON_OBJECT: take_object(v, from); break;
	case JSON_ARRAY: take_list(v, from); break;
	case JSON_STRING: v->type = JSON_TEXT; v->text = xstrdup(json_string_value(from)); break;
	case JSON_INTEGER: v->type = JSON_INT; v->i = json_integer_value(from); break;
	case JSON_REAL: v->type = JSON_FLOAT; v->f = json_real_value(from); break;
	case JSON_TRUE: v->type = JSON_BOOL; v->i = 1; break;
	case JSON_FALSE: v->type = JSON_BOOL; v->i = 0; break;
	case JANSSON_NULL: v->type = JSON_NULL; break;
	}
}

/* Numbers that were read as reals because one of them was too large for an integer. */
static void restore_integers(struct json *v)
{
	if (v->type == JSON_FLOAT && v->f > -0x1p53 && v->f < 0x1p53 &&
	    v->f == (double)(int64_t)v->f) {
		v->type = JSON_INT;
		v->i = (int64_t)v->f;
	}
	if (v->type == JSON_LIST || v->type == JSON_OBJECT)
		for (size_t i = 0; i < v->many.n; i++)
			restore_integers(&v->many.item[i]);
}

int json_parse(struct json **out, const char *at, size_t len, const char *what, struct err *e)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
	json_error_t why;
	json_t *doc = json_loadb(len ? at : "", len, flags, &why);
	int wide = 0;

	/* Tokenizers write model_max_length as 10^30; such a file loses nothing but that. */
	if (!doc && json_error_code(&why) == json_error_numeric_overflow) {
		doc = json_loadb(at, len, flags | JSON_DECODE_INT_AS_REAL, &why);
		wide = 1;
	}
	if (!doc)
		return fail(e, "'%s' is not valid JSON: line %d, column %d: %s", what, why.line,
			    why.column, why.text);
	*out = xcalloc(1, sizeof **out);
	take(*out, doc);
	json_decref(doc);
	if (wide)
		restore_integers(*out);
	return 0;
}

int json_read(struct json **out, const char *path, struct err *e)
{
	struct buf b = { 0 };
	int ret = file_read(&b, path, FILE_LIMIT, e);

	if (!ret)
		ret = json_parse(out, buf_str(&b), b.len, path, e);
	buf_release(&b);
	return ret;
}

void json_free(struct json *doc)
{
	if (!doc)
		return;
	release(doc);
	free(doc);
}

enum json_type json_type(const struct json *v)
{
	return v ? v->type : JSON_NONE;
}

const struct json *json_get(const struct json *object, const char *name)
{
	size_t low = 0, high;

	if (json_type(object) != JSON_OBJECT)
		return NULL;
	high = object->many.n;
	for (size_t i = 0; i < high && !object->many.order; i++)
		if (!strcmp(object->many.name[i], name))
			return &object->many.item[i];
	while (object->many.order && low < high) {
		size_t mid = low + (high - low) / 2, at = object->many.order[mid];
		int c = strcmp(name, object->many.name[at]);
		if (!c)
			return &object->many.item[at];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct json *json_at(const struct json *list, size_t i)
{
	return json_type(list) == JSON_LIST && i < list->many.n ? &list->many.item[i] : NULL;
}

size_t json_count(const struct json *v)
{
	return json_type(v) == JSON_LIST || json_type(v) == JSON_OBJECT ? v->many.n : 0;
}

const struct json *json_member(const struct json *object, size_t i, const char **name)
{
	if (json_type(object) != JSON_OBJECT || i >= object->many.n)
		return NULL;
	if (name)
		*name = object->many.name[i];
	return &object->many.item[i];
}

int64_t json_int(const struct json *v, int64_t otherwise)
{
	if (json_type(v) == JSON_INT)
		return v->i;
	if (json_type(v) == JSON_FLOAT && v->f > -0x1p63 && v->f < 0x1p63)
		return (int64_t)v->f;
	return otherwise;
}

double json_float(const struct json *v, double otherwise)
{
	if (json_type(v) == JSON_FLOAT)
		return v->f;
	return json_type(v) == JSON_INT ? (double)v->i : otherwise;
}

int json_bool(const struct json *v, int otherwise)
{
	return json_type(v) == JSON_BOOL ? (int)v->i : otherwise;
}

const char *json_text(const struct json *v, const char *otherwise)
{
	return json_type(v) == JSON_TEXT ? v->text : otherwise;
}

void json_put_text(struct buf *b, const char *s)
{
	buf_addc(b, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_adds(b, "\\n");
		else if (c == '\t')
			buf_adds(b, "\\t");
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\u%04x", c);
		else
			buf_addc(b, (char)c);
	}
	buf_addc(b, '"');
}
