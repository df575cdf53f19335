/* Actions: their texts, and what came of them. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/data/store_impl.h"

/* ---- the text ---- */

void action_begin(struct action *a, const char *stage, int version, const char *level)
{
	size_t n = strlen(stage);

	if (!stage_name_valid(stage, n))
		BUG("'%s' is not a stage's name", stage);
	*a = (struct action){ 0 };
	memcpy(a->stage, stage, n);
	buf_adds(&a->text, "stage ");
	buf_adds(&a->text, stage);
	buf_addc(&a->text, ' ');
	buf_addi(&a->text, version);
	buf_addc(&a->text, '\n');
	buf_adds(&a->text, level);
	buf_addc(&a->text, '\n');
}

static void add_line(struct action *a, const char *what, const char *name, const char *value)
{
	if (strpbrk(name, " \n") || strchr(value, '\n'))
		BUG("%s '%s' of an action of '%s' holds a line end: '%s'", what, name, a->stage, value);
	buf_adds(&a->text, what);
	buf_addc(&a->text, ' ');
	buf_adds(&a->text, name);
	buf_addc(&a->text, ' ');
	buf_adds(&a->text, value);
	buf_addc(&a->text, '\n');
}

void action_param(struct action *a, const char *name, const char *value)
{
	add_line(a, "param", name, value);
}

void action_paramf(struct action *a, const char *name, const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	add_line(a, "param", name, buf_str(&b));
	buf_release(&b);
}

void action_input(struct action *a, const char *name, const struct oid *id)
{
	char hex[OID_HEX + 1];

	add_line(a, "input", name, oid_hex(id, hex));
}

void action_release(struct action *a)
{
	buf_release(&a->text);
	*a = (struct action){ 0 };
}

void action_key(const struct action *a, struct oid *out)
{
	oid_of(out, KIND_TEXT, a->text.at, a->text.len);
}

void result_release(struct result *r)
{
	buf_release(&r->note);
	*r = (struct result){ 0 };
}

/* ---- the record ---- */

/*
 * A record as stored: the fixed part, then stage, host, note and text. Numbers are in this
 * machine's order; stores do not travel between machines of different order. The sum is of the
 * action's key and of the record without the sum; at least two of its bits are set, so that a
 * damaged one is not taken for none at all, which is what records of format 1 have.
 */
struct fixed {
	uint8_t stage, sum[3], host, more[3];   /* lengths of names, the sum in two parts */
	uint32_t note, text;                    /* lengths */
	struct oid id;
	double seconds;
	int64_t time;                           /* nanoseconds since 1970, to keep the
						 * order of quick ones */
};

static void put_sum(struct fixed *f, const struct oid *key, const void *rest, size_t len)
{
	struct oid_state *hash = oid_start(KIND_BYTES);
	struct oid sum;

	memset(f->sum, 0, sizeof f->sum);
	memset(f->more, 0, sizeof f->more);
	oid_add(hash, key->at, sizeof key->at);
	oid_add(hash, f, sizeof *f);
	oid_add(hash, rest, len);
	oid_end(hash, &sum);
	memcpy(f->sum, sum.at, 3);
	memcpy(f->more, sum.at + 3, 3);
	f->sum[0] |= 3;
}

static void encode(struct buf *b, const struct oid *key, const struct action *a,
		   const struct result *r, int64_t ns)
{
	struct fixed f = {
		.stage = (uint8_t)strlen(r->out.stage), .host = (uint8_t)strlen(r->host),
		.note = (uint32_t)r->note.len, .text = (uint32_t)a->text.len,
		.id = r->out.id, .seconds = r->seconds, .time = ns,
	};

	buf_add(b, &f, sizeof f);
	buf_adds(b, r->out.stage);
	buf_adds(b, r->host);
	buf_add(b, r->note.at, r->note.len);
	buf_add(b, a->text.at, a->text.len);
	put_sum(&f, key, b->at + sizeof f, b->len - sizeof f);
	memcpy(b->at, &f, sizeof f);
}

static int check_sum(const struct fixed *f, const struct oid *key, const void *rest, size_t len,
		     struct err *e)
{
	struct fixed want = *f;

	if (!(f->sum[0] | f->sum[1] | f->sum[2] | f->more[0] | f->more[1] | f->more[2]))
		return 0;
	put_sum(&want, key, rest, len);
	return memcmp(&want, f, sizeof want) ? fail(e, "a recorded action is damaged: its sum is another") : 0;
}

/* `text` may be NULL. */
static int decode(struct result *r, const struct oid *key, struct buf *text, int64_t *ns,
		  const void *at, size_t len, struct err *e)
{
	const char *p = at;
	struct fixed f;
	uint64_t want;

	if (len < sizeof f)
		return fail(e, "a recorded action is damaged: it has %zu bytes", len);
	memcpy(&f, p, sizeof f);
	want = sizeof f + (uint64_t)f.stage + f.host + f.note + f.text;
	if (want != len || f.stage >= STAGE_NAME || f.host >= sizeof r->host)
		return fail(e, "a recorded action is damaged: it has %zu bytes, %llu are wanted", len,
			    (unsigned long long)want);
	p += sizeof f;
	if (check_sum(&f, key, p, len - sizeof f, e) < 0)
		return -1;
	buf_clear(&r->note);
	memset(r->out.stage, 0, sizeof r->out.stage);
	memset(r->host, 0, sizeof r->host);
	memcpy(r->out.stage, p, f.stage);
	memcpy(r->host, p + f.stage, f.host);
	p += f.stage + f.host;
	buf_add(&r->note, p, f.note);
	if (text)
		buf_add(text, p + f.note, f.text);
	r->out.id = f.id;
	r->seconds = f.seconds;
	r->time = f.time / 1000000000;
	if (ns)
		*ns = f.time;
	if (!stage_name_valid(r->out.stage, f.stage))
		return fail(e, "a recorded action is damaged: its result is of stage '%s'", r->out.stage);
	return 0;
}

int record_read(struct result *r, const struct oid *key, struct buf *text, const void *at,
		size_t len, struct err *e)
{
	return decode(r, key, text, NULL, at, len, e);
}

/* ---- counted ---- */

/* Items that belong to the running stage; what it asks of other stages' stores is no item of its. */
static void count_item(const struct action *a, int64_t *count)
{
	const char *level = strchr(buf_str(&a->text), '\n');

	if (level && !strncmp(level, "\nitem\n", 6) && !strcmp(a->stage, program_name))
		__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

void stores_items(const struct stores *s, int64_t *made, int64_t *known)
{
	*made = s->items_made;
	*known = s->items_known;
}

/* ---- find ---- */

struct found {
	struct result *r;
	const struct oid *key;
};

static int decode_found(void *data, const void *at, size_t len, struct err *e)
{
	struct found *f = data;

	return decode(f->r, f->key, NULL, NULL, at, len, e);
}

static int find_waiting(struct stores *s, struct shelf *f, const struct oid *key, struct result *r,
			struct err *e)
{
	const struct buf *record;
	ptrdiff_t at;
	int found = 0;

	pthread_mutex_lock(&s->lock);
	at = oid_index_find(&f->action_at, key, f->action, sizeof *f->action);
	if (at >= 0) {
		record = &f->action[at].record;
		found = decode(r, key, NULL, NULL, record->at, record->len, e) < 0 ? -1 : 1;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

int find_own(struct stores *s, const struct action *a, struct result *out, struct err *e)
{
	struct result r = { 0 };
	struct shelf *f;
	struct oid key;
	struct found to = { &r, &key };
	int found = shelf_find(s, a->stage, 0, &f, e);

	if (out)
		*out = r;
	if (found <= 0)
		return found;
	action_key(a, &key);
	found = find_waiting(s, f, &key, &r, e);
	if (found == 0)
		found = env_get(f->env, ENV_ACTIONS, key.at, sizeof key.at, decode_found, &to, e);
	if (found == 1)
		found = store_has(s, &r.out, e);
	if (found == 1)
		count_item(a, &s->items_known);
	if (found == 1 && out) {
		*out = r;
		r = (struct result){ 0 };
	}
	result_release(&r);
	return found;
}

int store_find(struct stores *s, const struct action *a, struct result *out, struct err *e)
{
	int found = find_own(s, a, out, e);

	return found ? found : second_find(s, a, out, e);
}

/* ---- record ---- */

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void shelf_add_action_locked(struct stores *s, struct shelf *f, const struct waiting_action *w)
{
	f->action = grow(f->action, f->actions, &f->cap_actions, sizeof *f->action);
	f->action[f->actions] = *w;
	oid_index_add(&f->action_at, f->actions++, f->action, sizeof *f->action);
	wait_bytes_locked(s, w->record.len);
}

static int record(struct stores *s, const struct action *a, struct result *r, int later,
		  struct err *e)
{
	struct waiting_action w = { 0 };
	struct shelf *f;
	int64_t ns = now_ns();
	int ret;

	count_item(a, &s->items_made);
	if (!r->out.stage[0])
		memcpy(r->out.stage, a->stage, sizeof r->out.stage);
	if (r->note.len > UINT32_MAX || a->text.len > UINT32_MAX)
		return fail(e, "an action of '%s' has a text of %zu bytes", a->stage, a->text.len);
	r->time = ns / 1000000000;
	if (gethostname(r->host, sizeof r->host) < 0)
		r->host[0] = 0;
	r->host[sizeof r->host - 1] = 0;
	if (second_take(s, &r->out, e) < 0 || shelf_find(s, a->stage, 1, &f, e) < 0)
		return -1;
	action_key(a, &w.key);
	encode(&w.record, &w.key, a, r, ns);
	pthread_mutex_lock(&s->lock);
	shelf_add_action_locked(s, f, &w);
	ret = later ? flush_some_locked(s, e) : flush_locked(s, e);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int store_record(struct stores *s, const struct action *a, struct result *r, struct err *e)
{
	return record(s, a, r, 0, e);
}

int store_record_later(struct stores *s, const struct action *a, struct result *r, struct err *e)
{
	return record(s, a, r, 1, e);
}

int store_record_item(struct stores *s, const struct action *a, struct result *r, struct err *e)
{
	return record(s, a, r, r->seconds < STORE_WRITE_SECONDS, e);
}

/* ---- list ---- */

struct entry {
	struct oid key;
	struct result r;
	struct buf text;
	int64_t ns;
};

struct listing {
	struct entry *at;
	size_t n, cap;
};

static int list_one(void *data, const void *key, size_t key_len, const void *at, size_t len,
		    struct err *e)
{
	struct listing *l = data;
	struct entry *new;

	if (key_len != sizeof new->key.at)
		return fail(e, "a recorded action is damaged: its key has %zu bytes, 16 are wanted", key_len);
	l->at = grow(l->at, l->n, &l->cap, sizeof *l->at);
	new = &l->at[l->n++];
	*new = (struct entry){ 0 };
	memcpy(new->key.at, key, key_len);
	return decode(&new->r, &new->key, &new->text, &new->ns, at, len, e);
}

static int compare_time(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->ns != y->ns)
		return x->ns < y->ns ? -1 : 1;
	return oid_compare(&x->key, &y->key);
}

int store_actions(struct stores *s, const char *stage, action_visit *visit, void *data,
		  struct err *e)
{
	struct listing l = { 0 };
	struct shelf *f;
	int ret = stores_flush(s, e), found = ret < 0 ? -1 : shelf_find(s, stage, 0, &f, e);

	if (found <= 0)
		return found;
	ret = env_visit(f->env, ENV_ACTIONS, NULL, 0, list_one, &l, e);
	if (ret == 0 && l.n)
		qsort(l.at, l.n, sizeof *l.at, compare_time);
	for (size_t i = 0; i < l.n && ret == 0; i++)
		if (visit(data, &l.at[i].key, buf_str(&l.at[i].text), &l.at[i].r))
			break;
	for (size_t i = 0; i < l.n; i++) {
		result_release(&l.at[i].r);
		buf_release(&l.at[i].text);
	}
	free(l.at);
	return ret;
}
