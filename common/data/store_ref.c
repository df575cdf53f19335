/* References as text, abbreviated and completed. */
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/data/store_impl.h"

#define LEAST_DIGITS 4
#define NAMED 5                 /* so many candidates are named in an error */

char *ref_text(const struct ref *r, char out[STAGE_NAME + 1 + OID_HEX])
{
	size_t n = strlen(r->stage);

	memcpy(out, r->stage, n);
	out[n] = '/';
	oid_hex(&r->id, out + n + 1);
	return out;
}

int ref_is(const char *text)
{
	const char *slash = strchr(text, '/');
	size_t n;

	if (!slash || !stage_name_valid(text, (size_t)(slash - text)))
		return 0;
	n = strspn(slash + 1, "0123456789abcdef");
	return n >= LEAST_DIGITS && n <= OID_HEX && !slash[1 + n];
}

struct search {
	const char *digits;
	size_t n;
	struct oid found[NAMED];
	size_t count;
};

/* Does it begin with the digits? */
static int consider(struct search *q, const struct oid *id)
{
	char hex[OID_HEX + 1];

	if (strncmp(oid_hex(id, hex), q->digits, q->n))
		return 0;
	for (size_t i = 0; i < q->count && i < NAMED; i++)
		if (oid_equal(&q->found[i], id))
			return 1;
	if (q->count < NAMED)
		q->found[q->count] = *id;
	q->count++;
	return 1;
}

static int search_one(void *data, const void *key, size_t key_len, const void *at, size_t len,
		      struct err *e)
{
	struct search *q = data;
	struct oid id;

	(void)at, (void)len, (void)e;
	if (key_len != sizeof id.at)
		return 1;
	memcpy(id.at, key, sizeof id.at);
	return !consider(q, &id) || q->count > NAMED;   /* behind the last that fits, or enough */
}

static int search(struct stores *s, struct shelf *f, struct search *q, struct err *e)
{
	char first[OID_HEX + 1] = "00000000000000000000000000000000";
	struct oid from;

	memcpy(first, q->digits, q->n);
	if (oid_parse(&from, first) < 0)
		BUG("'%s' is not hexadecimal", first);
	if (env_visit(f->env, ENV_OBJECTS, from.at, sizeof from.at, search_one, q, e) < 0)
		return -1;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < f->objects; i++)
		consider(q, &f->object[i].id);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/* In every store, unless a whole name is found in the first; 0: none has this stage. */
static int search_all(struct stores *s, const char *stage, struct search *q, struct err *e)
{
	struct shelf *f;
	int any = 0;

	for (; s && !(q->n == OID_HEX && q->count); s = s->second) {
		int found = shelf_find(s, stage, 0, &f, e);

		if (found < 0 || (found && search(s, f, q, e) < 0))
			return -1;
		any |= found;
	}
	return any;
}

static int fail_ambiguous(const char *text, const char *stage, const struct search *q,
			  struct err *e)
{
	struct buf b = { 0 };
	char hex[OID_HEX + 1];

	for (size_t i = 0; i < q->count && i < NAMED; i++)
		buf_addf(&b, "%s%s/%s", i ? ", " : "", stage, oid_hex(&q->found[i], hex));
	fail(e, "'%s' is ambiguous: %s%s", text, buf_str(&b), q->count > NAMED ? ", ..." : "");
	buf_release(&b);
	return -1;
}

static int fail_no_store(struct stores *s, const char *text, const char *stage, struct err *e)
{
	struct names all;
	struct buf b = { 0 };

	if (stores_list(s, &all, e) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", all.at[i]);
	if (all.n)
		fail(e, "there is no '%s': '%s' has no results of '%s', only of %s", text, s->root, stage, buf_str(&b));
	else
		fail(e, "there is no '%s': there are no results in '%s'", text, s->root);
	buf_release(&b);
	names_release(&all);
	return -1;
}

int ref_parse(struct stores *s, const char *text, struct ref *out, struct err *e)
{
	const char *slash = strchr(text, '/');
	struct search q = { 0 };
	int found;

	*out = (struct ref){ 0 };
	if (!ref_is(text))
		return fail(e, "'%s' is not a reference; STAGE/HEX with %d to %d hexadecimal digits is wanted",
			    text, LEAST_DIGITS, OID_HEX);
	memcpy(out->stage, text, (size_t)(slash - text));
	q.digits = slash + 1;
	q.n = strlen(q.digits);
	if (oid_parse(&out->id, q.digits) == 0 && store_has(s, out, e) == 1)
		return 0;       /* the usual case: nothing to complete */
	out->id = (struct oid){ 0 };
	found = search_all(s, out->stage, &q, e);
	if (found < 0)
		return -1;
	if (!found)
		return fail_no_store(s, text, out->stage, e);
	if (!q.count)
		return fail(e, "there is no object '%s' in '%s'", text, s->root);
	if (q.count > 1)
		return fail_ambiguous(text, out->stage, &q, e);
	out->id = q.found[0];
	return 0;
}
