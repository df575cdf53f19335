/*
 * Files and a store's environments in memory. The linker puts __wrap_NAME in the place of NAME
 * (--wrap in the Makefile), so the parsers are the product's own.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/data/store_env.h"
#include "tests/fuzz/shared/fuzz.h"

#define MOST 16

/* ---- pieces ---- */

struct piece fuzz_piece(const uint8_t **at, size_t *len, uint8_t cut)
{
	const uint8_t *end = *len ? memchr(*at, cut, *len) : NULL;
	struct piece p = { *at, end ? (size_t)(end - *at) : *len };
	size_t used = p.len + (end != NULL);

	if (used)
		*at += used;
	*len -= used;
	return p;
}

char *fuzz_text(const uint8_t **at, size_t *len, uint8_t cut)
{
	struct piece p = fuzz_piece(at, len, cut);
	char *text = xmalloc(p.len + 1);

	if (p.len)
		memcpy(text, p.at, p.len);
	text[p.len] = 0;
	return text;
}

void fuzz_read(const void *at, size_t len)
{
	const uint8_t *p = at;
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	__asm__ volatile("" : : "r"(sum));      /* or the compiler would leave it out */
}

/* ---- files ---- */

static struct { char path[64]; uint8_t *at; size_t len; } file[MOST];
static size_t files;

void memory_clear(void)
{
	for (size_t i = 0; i < files; i++)
		free(file[i].at);
	files = 0;
}

/* Exactly as long as the file, so that a byte behind it is one too many. */
void memory_file(const char *path, const uint8_t *at, size_t len)
{
	HOLDS(files < MOST && strlen(path) < sizeof file->path);
	strcpy(file[files].path, path);
	file[files].at = xmalloc(len ? len : 1);
	if (len)
		memcpy(file[files].at, at, len);
	file[files++].len = len;
}

static long find(const char *path)
{
	for (size_t i = 0; i < files; i++)
		if (!strcmp(file[i].path, path))
			return (long)i;
	return -1;
}

int __wrap_file_read(struct buf *b, const char *path, size_t limit, struct err *e);
int __wrap_map_open(struct map *m, const char *path, struct err *e);
void __wrap_map_close(struct map *m);
int __wrap_is_file(const char *path);
int __wrap_is_folder(const char *path);
int __wrap_folder_list(struct names *out, const char *path, struct err *e);

int __wrap_file_read(struct buf *b, const char *path, size_t limit, struct err *e)
{
	long i = find(path);

	if (i < 0)
		return fail(e, "cannot open '%s': there is no such file in memory", path);
	if (file[i].len > limit)
		return fail(e, "'%s' has more than %zu bytes", path, limit);
	buf_add(b, file[i].at, file[i].len);
	return 0;
}

int __wrap_map_open(struct map *m, const char *path, struct err *e)
{
	long i = find(path);

	*m = (struct map){ 0 };
	if (i < 0)
		return fail(e, "cannot open '%s': there is no such file in memory", path);
	if (file[i].len)
		*m = (struct map){ file[i].at, file[i].len };
	return 0;
}

void __wrap_map_close(struct map *m)
{
	*m = (struct map){ 0 };
}

int __wrap_is_file(const char *path)
{
	return find(path) >= 0;
}

/* Is it what a file's path begins with? */
int __wrap_is_folder(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (size_t i = 0; i < files && n; i++)
		if (!strncmp(file[i].path, path, n) && file[i].path[n] == '/')
			return 1;
	return 0;
}

static int is_in(const struct names *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->at[i], name))
			return 1;
	return 0;
}

int __wrap_folder_list(struct names *out, const char *path, struct err *e)
{
	size_t n = strlen(path);

	*out = (struct names){ 0 };
	if (!__wrap_is_folder(path))
		return fail(e, "cannot open folder '%s'", path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	for (size_t i = 0; i < files; i++) {
		const char *rest = file[i].path + n + 1;
		char *name;

		if (strncmp(file[i].path, path, n) || file[i].path[n] != '/')
			continue;
		name = xstrndup(rest, strcspn(rest, "/"));
		if (!is_in(out, name))
			names_add(out, name);
		free(name);
	}
	return 0;
}

/* What a parser would tell the user while it works is not wanted a million times. */
void __wrap_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void __wrap_warn(const char *fmt, ...)
{
	(void)fmt;
}

/* ---- made once: thousands of powers, the same for every picture with a profile ---- */

static void *srgb;

void *__real_cmsCreate_sRGBProfileTHR(void *context);
int __real_cmsCloseProfile(void *profile);
void *__wrap_cmsCreate_sRGBProfileTHR(void *context);
int __wrap_cmsCloseProfile(void *profile);

void *__wrap_cmsCreate_sRGBProfileTHR(void *context)
{
	(void)context;
	if (!srgb)
		srgb = __real_cmsCreate_sRGBProfileTHR(NULL);
	return srgb;
}

int __wrap_cmsCloseProfile(void *profile)
{
	return profile == srgb ? 1 : __real_cmsCloseProfile(profile);
}

/* ---- profiles ---- */

static int leaves_profiles;

struct picture;
int __real_icc_to_srgb(struct picture *p, char *name, size_t size);
int __wrap_icc_to_srgb(struct picture *p, char *name, size_t size);

void memory_leave_profiles(int yes)
{
	leaves_profiles = yes;
}

int __wrap_icc_to_srgb(struct picture *p, char *name, size_t size)
{
	return leaves_profiles ? 0 : __real_icc_to_srgb(p, name, size);
}

/* ---- environments ---- */

struct env { char folder[8]; };

static struct { int table; uint8_t key[64]; size_t key_len; uint8_t *at; size_t len; } pair[MOST];
static size_t pairs;
static int keeps;

void memory_keep(int yes)
{
	keeps = yes;
}

void memory_pairs_clear(void)
{
	for (size_t i = 0; i < pairs; i++)
		free(pair[i].at);
	pairs = 0;
}

void memory_pair(int table, const void *key, size_t key_len, const uint8_t *at, size_t len)
{
	HOLDS(pairs < MOST && key_len <= sizeof pair->key);
	pair[pairs].table = table;
	memcpy(pair[pairs].key, key, key_len);
	pair[pairs].key_len = key_len;
	pair[pairs].at = xmalloc(len ? len : 1);
	if (len)
		memcpy(pair[pairs].at, at, len);
	pair[pairs++].len = len;
}

int __wrap_env_open(struct env **out, const char *folder, int format, int create, size_t map,
		    struct err *e);
void __wrap_env_close(struct env *env);
int __wrap_env_get(struct env *env, enum env_table table, const void *key, size_t key_len,
		   env_use *use, void *data, struct err *e);
int __wrap_env_hold(struct env *env, enum env_table table, const void *key, size_t key_len,
		    struct env_held *out, struct err *e);
void __wrap_env_drop(struct env_held *h);
int __wrap_env_visit(struct env *env, enum env_table table, const void *from, size_t from_len,
		     env_pair *use, void *data, struct err *e);
int __wrap_env_write(struct env *env, const struct change *c, size_t n, struct err *e);

int __wrap_env_open(struct env **out, const char *folder, int format, int create, size_t map,
		    struct err *e)
{
	/* whatever an input calls a stage, it stays below the store */
	HOLDS(!strncmp(folder, "memory/", 7) && !strchr(folder + 7, '/') && folder[7] != '.');
	(void)format, (void)create, (void)map, (void)e;
	*out = xcalloc(1, sizeof **out);
	return 1;
}

void __wrap_env_close(struct env *env)
{
	free(env);
}

int __wrap_env_get(struct env *env, enum env_table table, const void *key, size_t key_len,
		   env_use *use, void *data, struct err *e)
{
	(void)env;
	for (size_t i = 0; i < pairs; i++)
		if (pair[i].table == (int)table && pair[i].key_len == key_len &&
		    !memcmp(pair[i].key, key, key_len))
			return use && use(data, pair[i].at, pair[i].len, e) < 0 ? -1 : 1;
	return 0;
}

static int keep(void *data, const void *at, size_t len, struct err *e)
{
	struct env_held *h = data;

	(void)e;
	h->at = at;
	h->len = len;
	return 0;
}

int __wrap_env_hold(struct env *env, enum env_table table, const void *key, size_t key_len,
		    struct env_held *out, struct err *e)
{
	*out = (struct env_held){ .env = env };
	return __wrap_env_get(env, table, key, key_len, keep, out, e);
}

void __wrap_env_drop(struct env_held *h)
{
	*h = (struct env_held){ 0 };
}

int __wrap_env_visit(struct env *env, enum env_table table, const void *from, size_t from_len,
		     env_pair *use, void *data, struct err *e)
{
	(void)env, (void)from, (void)from_len;
	for (size_t i = 0; i < pairs; i++)
		if (pair[i].table == (int)table) {
			int ret = use(data, pair[i].key, pair[i].key_len, pair[i].at, pair[i].len, e);

			if (ret)
				return ret < 0 ? -1 : 0;
		}
	return 0;
}

static void written(const struct change *c)
{
	struct buf value = { 0 };

	for (size_t i = 0; i < sizeof c->part / sizeof *c->part; i++)
		buf_add(&value, c->part[i].at, c->part[i].len);
	memory_pair((int)c->table, c->key, c->key_len, (const uint8_t *)value.at, value.len);
	buf_release(&value);
}

int __wrap_env_write(struct env *env, const struct change *c, size_t n, struct err *e)
{
	(void)env, (void)e;
	for (size_t i = 0; i < n && keeps; i++)
		if (c[i].op != ENV_DELETE && pairs < MOST)
			written(&c[i]);
	return 0;
}
