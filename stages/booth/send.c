#include "stages/booth/share.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "common/data/copy.h"
#include "stages/booth/past.h"

/* ---- roots ---- */

static void add_root(struct send *s, const struct ref *r)
{
	for (size_t i = 0; i < s->roots; i++)
		if (oid_equal(&s->root[i].id, &r->id) && !strcmp(s->root[i].stage, r->stage))
			return;
	s->root = grow(s->root, s->roots, &s->cap_roots, sizeof *s->root);
	s->root[s->roots++] = *r;
}

/* A result on record that is there still. */
static int add_if_there(struct send *s, const char *text, struct err *e)
{
	const char *slash = strchr(text, '/');
	struct ref r = { 0 };
	int found;

	if (!slash || !ref_is(text) || oid_parse(&r.id, slash + 1) < 0)
		return 0;
	memcpy(r.stage, text, (size_t)(slash - text));
	found = store_has(s->from, &r, e);
	if (found > 0)
		add_root(s, &r);
	return found;
}

/* The newest run of a target of that name, of whatever recipe; of all of them with NULL. */
static int add_targets(struct send *s, const char *target, struct err *e)
{
	struct pasts all = { 0 };
	int ret = pasts_read(&all, s->from, target, e), found = 0;

	for (size_t i = 0; i < all.n && ret == 0 && !(target && found); i++) {
		int one = add_if_there(s, past_get(&all.at[i], 0, "ref"), e);

		ret = one < 0 ? -1 : 0;
		found |= one > 0;
	}
	pasts_release(&all);
	return ret < 0 ? -1 : found;
}

struct pins {
	struct send *send;
	struct err *e;
	int ret;
};

static int take_pin(void *data, const struct oid *key, const char *text, const struct result *r)
{
	static const char begin[] = "stage run 1\npin\nparam ref ";
	struct pins *p = data;
	char *name;

	(void)key, (void)r;
	if (!starts_with(text, begin))
		return 0;
	text += strlen(begin);
	name = xstrndup(text, strcspn(text, "\n"));
	if (add_if_there(p->send, name, p->e) < 0)
		p->ret = -1;
	free(name);
	return p->ret;
}

static int add_all(struct send *s, struct err *e)
{
	struct pins p = { s, e, 0 };

	if (add_targets(s, NULL, e) < 0 || store_actions(s->from, "run", take_pin, &p, e) < 0 || p.ret < 0)
		return -1;
	if (!s->roots)
		return fail(e, "'%s' has no run of a target on record and nothing that is kept; name a reference "
			    "(booth ls STAGE lists them)", stores_root(s->from));
	return 0;
}

static int add_word(struct send *s, const char *word, struct err *e)
{
	struct ref r;
	int found = 1;

	if (ref_is(word)) {
		found = ref_parse(s->from, word, &r, e) < 0 ? -1 : 1;
		if (found > 0)
			add_root(s, &r);
	} else {
		found = add_targets(s, word, e);
		if (found == 0)
			fail(e, "'%s' is neither a reference (STAGE/HEX) nor a target with a run on record in '%s'", word,
			     stores_root(s->from));
	}
	return found > 0 ? 0 : -1;
}

int send_roots(struct send *s, struct stores *from, char *const *words, int n, struct err *e)
{
	*s = (struct send){ .from = from };
	for (int i = 0; i < n; i++)
		if (add_word(s, words[i], e) < 0)
			return -1;
	return n ? 0 : add_all(s, e);
}

int send_gather(struct send *s, enum reach_depth depth, int states, struct err *e)
{
	s->reach = reach_new(s->from);
	for (size_t i = 0; i < s->roots; i++)
		if (reach_add(s->reach, &s->root[i], depth, e) < 0)
			return -1;
	return states ? reach_add_states(s->reach, e) : 0;
}

void send_release(struct send *s)
{
	reach_free(s->reach);
	free(s->root);
	*s = (struct send){ 0 };
}

/* ---- sending ---- */

static int send_object(struct send *s, const struct ref *r, const struct sink *sink,
		       struct sent *out, struct err *e)
{
	struct stream_record rec = { .type = 'o', .id = r->id };
	struct blob b = { 0 };
	enum kind kind;
	size_t size = 0;
	int has = sink->has(sink->data, 'o', r, e), ret = -1;

	if (has) {
		out->left_out += has > 0;
		return has < 0 ? -1 : 0;
	}
	if (!sink->put) {
		ret = value_look(s->from, r, &kind, &size, e) < 0 ? -1 : 0;
	} else if (value_get(s->from, r, &b, e) > 0 && value_check(r, b.at, b.len, e) == 0) {
		memcpy(rec.stage, r->stage, STAGE_NAME);
		rec.at = b.at;
		rec.len = size = b.len;
		ret = sink->put(sink->data, &rec, e);
	}
	blob_release(&b);
	out->objects++;
	out->bytes += (int64_t)size;
	return ret;
}

static int send_action(struct send *s, const struct reach_action *a, const struct sink *sink,
		       struct sent *out, struct err *e)
{
	struct stream_record rec = { .type = 'a', .id = a->key };
	struct ref name = { .id = a->key };
	struct buf b = { 0 };
	int has, found, ret = 0;

	memcpy(name.stage, a->stage, STAGE_NAME);
	memcpy(rec.stage, a->stage, STAGE_NAME);
	has = sink->has(sink->data, 'a', &name, e);
	if (has)
		return has < 0 ? -1 : 0;
	found = record_get(s->from, a->stage, &a->key, &b, e);
	if (found > 0) {
		rec.at = b.at;
		rec.len = b.len;
		out->actions++;
		out->bytes += (int64_t)b.len;
		ret = sink->put ? sink->put(sink->data, &rec, e) : 0;
	}
	buf_release(&b);
	return found < 0 ? -1 : ret;
}

/* A root, and the results of all stages that were gathered: what gc over there is to keep. */
static int send_keep(struct send *s, const struct ref *root, const struct sink *sink, struct err *e)
{
	struct stream_record rec = { .type = 'k', .id = root->id };
	struct buf b = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	int ret;

	memcpy(rec.stage, root->stage, STAGE_NAME);
	buf_addf(&b, "%s\n", ref_text(root, text));
	for (size_t i = 0; i < s->reach->actions; i++) {
		const struct reach_action *a = &s->reach->action[i];

		if (a->whole && strcmp(a->stage, "run"))
			buf_addf(&b, "%s\n", ref_text(&a->out, text));
	}
	rec.at = b.at;
	rec.len = b.len;
	ret = sink->put(sink->data, &rec, e);
	buf_release(&b);
	return ret;
}

int send_all(struct send *s, const struct sink *sink, int keep, struct sent *out, struct err *e)
{
	const struct reach *g = s->reach;
	size_t total = g->objects + g->tables + g->actions, at = 0;
	struct progress p;
	int ret = 0;

	*out = (struct sent){ 0 };
	progress_begin(&p, "sharing", "objects", (int64_t)total);
	for (size_t i = 0; i < g->objects && ret == 0; i++, progress_at(&p, (int64_t)++at, NULL))
		ret = send_object(s, &g->object[i], sink, out, e);
	for (size_t i = 0; i < g->tables && ret == 0; i++, progress_at(&p, (int64_t)++at, NULL))
		ret = send_object(s, &g->table[i], sink, out, e);
	for (size_t i = 0; i < g->actions && ret == 0; i++, progress_at(&p, (int64_t)++at, NULL))
		ret = send_action(s, &g->action[i], sink, out, e);
	for (size_t i = 0; i < s->roots && ret == 0 && keep && sink->put; i++)
		ret = send_keep(s, &s->root[i], sink, e);
	progress_end(&p);
	return ret;
}
