#include "stages/booth/share.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/talk.h"
#include "common/base/text.h"
#include "common/data/copy.h"
#include "stages/booth/past.h"

/* ---- roots ---- */

static void add_root(struct send *s, const struct ref *r, const char *name)
{
	for (size_t i = 0; i < s->roots; i++)
		if (oid_equal(&s->root[i].ref.id, &r->id) && !strcmp(s->root[i].ref.stage, r->stage))
			return;
	s->root = grow(s->root, s->roots, &s->cap_roots, sizeof *s->root);
	s->root[s->roots++] = (struct root){ *r, name ? xstrdup(name) : NULL };
}

/* A result on record that is there still: 1, 0, -1. */
static int look_up(struct send *s, const char *text, struct ref *out, struct err *e)
{
	const char *slash = strchr(text, '/');

	*out = (struct ref){ 0 };
	if (!slash || !ref_is(text) || oid_parse(&out->id, slash + 1) < 0)
		return 0;
	memcpy(out->stage, text, (size_t)(slash - text));
	return store_has(s->from, out, e);
}

/* The newest run of a target of that name, of whatever recipe; of all of them with NULL. */
static int add_targets(struct send *s, const char *target, struct err *e)
{
	struct pasts all = { 0 };
	struct ref r;
	int ret = pasts_read(&all, s->from, target, e), found = 0;

	for (size_t i = 0; i < all.n && ret == 0 && !(target && found); i++) {
		int one = look_up(s, past_get(&all.at[i], 0, "ref"), &r, e);

		if (one > 0)
			add_root(s, &r, all.at[i].target);
		ret = one < 0 ? -1 : 0;
		found |= one > 0;
	}
	pasts_release(&all);
	return ret < 0 ? -1 : found;
}

/* What is kept: the references, with the names under which they were received. */
struct pins {
	struct root *at;
	size_t n, cap;
};

static int take_pin(void *data, const struct oid *key, const char *text, const struct result *r)
{
	static const char begin[] = "stage run 1\npin\nparam ref ";
	struct pins *p = data;
	const char *slash, *note = buf_str(&r->note);
	struct root *new;
	char hex[OID_HEX + 1];

	(void)key;
	slash = starts_with(text, begin) ? strchr(text + strlen(begin), '/') : NULL;
	text += strlen(begin);
	if (!slash || slash - text >= STAGE_NAME)
		return 0;
	p->at = grow(p->at, p->n, &p->cap, sizeof *p->at);
	new = &p->at[p->n];
	*new = (struct root){ .name = NULL };
	memcpy(new->ref.stage, text, (size_t)(slash - text));
	snprintf(hex, sizeof hex, "%.*s", OID_HEX, slash + 1);
	if (oid_parse(&new->ref.id, hex) < 0)
		return 0;
	if (starts_with(note, "name "))
		new->name = xstrndup(note + 5, strcspn(note + 5, "\n"));
	p->n++;
	return 0;
}

/* All of them, or (name not NULL) the newest of that name. */
static int add_pins(struct send *s, const char *name, struct err *e)
{
	struct pins all = { 0 };
	int ret = store_actions(s->from, "run", take_pin, &all, e), found = 0;

	for (size_t i = all.n; i-- > 0 && ret >= 0 && !(name && found); ) {
		if (name && (!all.at[i].name || strcmp(all.at[i].name, name)))
			continue;
		ret = store_has(s->from, &all.at[i].ref, e);
		if (ret > 0)
			add_root(s, &all.at[i].ref, all.at[i].name);
		found |= ret > 0;
	}
	for (size_t i = 0; i < all.n; i++)
		free(all.at[i].name);
	free(all.at);
	return ret < 0 ? -1 : found;
}

static int add_all(struct send *s, struct err *e)
{
	if (add_targets(s, NULL, e) < 0 || add_pins(s, NULL, e) < 0)
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
		if (ref_parse(s->from, word, &r, e) < 0)
			return -1;
		add_root(s, &r, NULL);
	} else {
		found = add_targets(s, word, e);
		if (found == 0)
			found = add_pins(s, word, e);
	}
	if (found == 0)
		fail(e, "'%s' is neither a reference (STAGE/HEX) nor a target that '%s' has a result of", word,
		     stores_root(s->from));
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
		if (reach_add(s->reach, &s->root[i].ref, depth, e) < 0)
			return -1;
	return states ? reach_add_states(s->reach, e) : 0;
}

void send_release(struct send *s)
{
	for (size_t i = 0; i < s->roots; i++)
		free(s->root[i].name);
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
static int send_keep(struct send *s, const struct root *root, const struct sink *sink,
		     struct err *e)
{
	struct stream_record rec = { .type = 'k', .id = root->ref.id };
	struct buf b = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];
	int ret;

	memcpy(rec.stage, root->ref.stage, STAGE_NAME);
	if (root->name)
		buf_addf(&b, "name %s\n", root->name);
	buf_addf(&b, "%s\n", ref_text(&root->ref, text));
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
