/*
 * Attention's plans are compiled, half a second each: too long for every start of every program. So they
 * are kept, with their kernels, in the user's cache folder (booth/plans below XDG_CACHE_HOME or ~/.cache).
 *
 *	what it is for: cuDNN's version, the attention, all of the device's properties and the driver's version
 *	engine, its notes, bytes of workspace, hash of what follows
 *	the plan as cuDNN writes it (JSON, with the kernels)
 *
 * A file is taken for what it names and nothing else. Its place follows from that, and a newcomer takes the
 * place of whoever was there: PLACES files of 100 KB are the most there will ever be. What can't be read or
 * written is not kept, nor what failed when it was run.
 */
#include "kernels/cuda/dnn/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/oid.h"

#define FORM 1                  /* goes up when other engines are wanted, or other graphs made */
#define PLACES 4096
#define LARGEST ((size_t)16 << 20)

/* All of an attribute that is text; 0: there is none. */
static int get_text(struct made *m, desc d, cudnnBackendAttributeName_t name, struct buf *out)
{
	int64_t n = get_many(m, d, name, CUDNN_TYPE_CHAR, 0, NULL);

	if (n > 0)
		n = get_many(m, d, name, CUDNN_TYPE_CHAR, n, buf_extend(out, (size_t)n));
	return n > 0;
}

void keep_open(struct cudnn *c)
{
	struct made m = { .c = c };
	desc d = c->device;

	if (!d) {
		d = made_new(&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
		set_many(&m, d, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle);
		made_done(&m, d);
	}
	if (!get_text(&m, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, &c->profile))
		buf_clear(&c->profile);
	while (c->profile.len && !c->profile.at[c->profile.len - 1])
		c->profile.len--;
	made_release(&m);
}

/* What p is for. */
static void add_key(struct buf *out, const struct plan *p)
{
	const struct cudnn *c = p->made.c;

	buf_addf(out, "booth plan %d, cuDNN %zu\n", FORM, c->version);
	plan_describe(out, p);
	buf_addc(out, '\n');
	buf_add(out, c->profile.at, c->profile.len);
	buf_addc(out, '\n');
}

/* The caller's to free; NULL: nowhere. */
static char *place_of(const struct buf *key, int make)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char *folder = NULL, *path;
	struct oid o;
	struct err e;

	if (cache && *cache == '/')
		folder = xasprintf("%s/booth/plans", cache);
	else if (home && *home == '/')
		folder = xasprintf("%s/.cache/booth/plans", home);
	if (!folder || (make && make_folder(folder, &e) < 0)) {
		free(folder);
		return NULL;
	}
	oid_of(&o, KIND_BYTES, key->at, key->len);
	path = xasprintf("%s/%03x", folder, (unsigned)(o.at[0] << 8 | o.at[1]) % PLACES);
	free(folder);
	return path;
}

static char *hash_of(const void *at, size_t n, char out[OID_HEX + 1])
{
	struct oid o;

	oid_of(&o, KIND_BYTES, at, n);
	return oid_hex(&o, out);
}

/* The file's last part, its head read into p; 0: it is for something else, or damaged. */
static const char *read_head(struct plan *p, const struct buf *file, const struct buf *key, size_t *n)
{
	char hash[OID_HEX + 1], real[OID_HEX + 1];
	long long engine, bytes;
	const char *head, *json;

	if (file->len <= key->len || memcmp(file->at, key->at, key->len))
		return NULL;
	head = file->at + key->len;
	json = strchr(head, '\n');
	if (!json++ || sscanf(head, "%lld %x %lld %32[0-9a-f]\n", &engine, &p->notes, &bytes, hash) != 4)
		return NULL;
	p->engine = engine;
	p->bytes = bytes;
	*n = file->len - (size_t)(json - file->at);
	return strcmp(hash_of(json, *n, real), hash) ? NULL : json;
}

static int revive(struct plan *p, const char *json, size_t n)
{
	struct made *m = &p->made;
	int64_t bytes = -1;

	p->what = made_new(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
	set_many(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)n, json);
	if (m->handle)
		set_many(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &m->handle);
	else
		set_desc(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, m->c->device);
	made_done(m, p->what);
	get_many(m, p->what, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &bytes);
	return !m->failed && bytes == p->bytes;
}

int keep_load(struct plan *p)
{
	struct buf key = { 0 }, file = { 0 };
	const char *json = NULL;
	char *path = NULL;
	size_t n;
	struct err e;
	int found = 0;

	if (!p->made.c->profile.len)
		return 0;
	add_key(&key, p);
	path = place_of(&key, 0);
	if (path && file_read(&file, path, LARGEST, &e) == 0)
		json = read_head(p, &file, &key, &n);
	if (json) {
		found = revive(p, json, n);
		if (!found)
			made_release(&p->made);
		p->made.failed = 0;
	}
	buf_release(&key);
	buf_release(&file);
	free(path);
	return found;
}

void keep_save(struct plan *p)
{
	struct made m = { .c = p->made.c };
	struct buf file = { 0 }, json = { 0 };
	char hash[OID_HEX + 1], *path = NULL;
	struct err e;

	if (!m.c->profile.len)
		return;
	add_key(&file, p);
	if (get_text(&m, p->what, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, &json))
		path = place_of(&file, 1);
	buf_addf(&file, "%lld %x %lld %s\n", (long long)p->engine, p->notes, (long long)p->bytes,
		 hash_of(json.at, json.len, hash));
	buf_add(&file, json.at, json.len);
	if (path)
		file_replace(path, file.at, file.len, &e);
	buf_release(&file);
	buf_release(&json);
	free(path);
}

void keep_drop(const struct plan *p)
{
	struct buf key = { 0 };
	char *path;

	add_key(&key, p);
	path = place_of(&key, 0);
	if (path)
		unlink(path);
	buf_release(&key);
	free(path);
}
