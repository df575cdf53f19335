#include "stages/booth/made.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "stages/booth/booth.h"

struct search {
	const struct ref *want;
	struct made *out;
	int level; /* of what was found: a whole stage run before
		    * an item before the runner's own step */
};

static int level_of(const char *text)
{
	const char *line = strchr(text, '\n');

	return !line								   ? 0
		: starts_with(line, "\nstage\n") || starts_with(line, "\nstate\n") ? 3
		: starts_with(line, "\nitem\n")					   ? 2
										   : 1;
}

static int look_at(void *data, const struct oid *key, const char *text, const struct result *r)
{
	struct search *s = data;

	(void)key;
	if (!oid_equal(&r->out.id, &s->want->id) || strcmp(r->out.stage, s->want->stage) ||
	    level_of(text) < s->level)
		return 0;
	made_release(s->out);
	s->level = level_of(text);
	s->out->text = xstrdup(text);
	buf_add(&s->out->note, buf_str(&r->note), r->note.len);
	s->out->seconds = r->seconds;
	s->out->time = r->time;
	snprintf(s->out->host, sizeof s->out->host, "%s", r->host);
	return 0;
}

int made_find(struct made *m, struct stores *s, const struct ref *ref, struct err *e)
{
	struct search search = { ref, m, 0 };

	*m = (struct made){ 0 };
	for (; s && !m->text; s = stores_second(s))
		if (store_actions(s, ref->stage, look_at, &search, e) < 0)
			return -1;
	return m->text != NULL;
}

void made_release(struct made *m)
{
	free(m->text);
	buf_release(&m->note);
	*m = (struct made){ 0 };
}

static void print_made(const struct ref *ref, const struct made *m)
{
	struct buf b = { 0 };
	char text[STAGE_NAME + 1 + OID_HEX + 1];

	buf_addf(&b, "%s\n", ref_text(ref, text));
	if (!m->text) {
		buf_adds(
			&b,
			"no action on record has this result; it was handed in from outside, or is part of another one\n");
	} else {
		buf_adds(&b, "made ");
		put_time(&b, m->time);
		buf_addf(&b, " on %s in ", m->host);
		text_seconds(&b, m->seconds);
		buf_addf(&b, " by\n%s", m->text);
		if (m->note.len)
			buf_addf(&b, "note\n%s%s", m->note.at,
				 ends_with(m->note.at, "\n") ? "" : "\n");
	}
	fputs(b.at, stdout);
	buf_release(&b);
}

/* Which results of which stages are inputs: by their ids, in every store. */
struct input {
	struct stores *stores;
	const char *stage;
	const char *text;
};

static int print_input(void *data, const struct ref *r, enum kind kind, size_t size)
{
	struct input *in = data;
	char hex[OID_HEX + 1], text[STAGE_NAME + 1 + OID_HEX + 1];

	(void)size;
	if (kind == KIND_TABLE && strstr(in->text, oid_hex(&r->id, hex)))
		printf("input is %s\n", ref_text(r, text));
	return 0;
}

static int print_inputs(struct stores *s, const char *text, struct err *e)
{
	struct names stages = { 0 };
	struct input in = { .stores = s, .text = text };
	int ret = stores_list(s, &stages, e);

	for (size_t i = 0; i < stages.n && ret == 0; i++) {
		in.stage = stages.at[i];
		if (strcmp(in.stage, "run"))
			ret = store_objects(s, in.stage, print_input, &in, e);
	}
	names_release(&stages);
	return ret;
}

int explain_ref(struct stores *s, const char *text)
{
	struct ref ref;
	struct made m = { 0 };
	struct err e;
	int code = 0;

	if (ref_parse(s, text, &ref, &e) < 0 || made_find(&m, s, &ref, &e) < 0)
		return command_failed(&e);
	print_made(&ref, &m);
	if (m.text && print_inputs(s, m.text, &e) < 0)
		code = command_failed(&e);
	made_release(&m);
	return code;
}
