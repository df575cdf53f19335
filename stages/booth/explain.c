/* booth run --explain: before a stage starts, the rule it is from, why it runs, and its command. */
#include "stages/booth/run.h"

#include <stdio.h>
#include <string.h>

/* Quoted for a shell, so that the line can be tried by hand. */
static void put_argument(struct buf *b, const char *text)
{
	if (*text && !strpbrk(text, " \t\"'\\|&;<>`()$#*?[]{}!~")) {
		buf_adds(b, text);
		return;
	}
	buf_addc(b, '\'');
	for (; *text; text++)
		buf_adds(b, *text == '\'' ? "'\\''" : (char[]){ *text, 0 });
	buf_addc(b, '\'');
}

void step_explain(const struct task *t, const struct names *args)
{
	const struct word *stage = &task_step(t)->words.at[0];
	struct buf b = { 0 };

	buf_addf(&b, "booth %s", stage->text);
	for (size_t i = 1; i < args->n; i++) {
		buf_addc(&b, ' ');
		put_argument(&b, args->at[i]);
	}
	fprintf(stderr, "%s:%d: %s: %s runs: %s\n    %s\n", stage->at.source->path,
		place_line(stage->at), t->rule->target, stage->text, buf_str(&t->why), b.at);
	buf_release(&b);
}
