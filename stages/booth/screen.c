#include "stages/booth/screen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/talk.h"
#include "common/base/text.h"

#define DRAW_EVERY 0.1          /* seconds */

int screen_wanted(void)
{
	return talk_redraws() && !talk_is_quiet();
}

void screen_clear(struct runner *r)
{
	for (; r->drawn > 0; r->drawn--)
		fputs("\033[1A\033[2K", stderr);
	fflush(stderr);
}

static void put_task(const struct task *t, double now, size_t columns, struct buf *out)
{
	const struct meter *m = &t->child.meter;
	struct buf line = { 0 };

	buf_addf(&line, "%s: %s: ", t->rule->target, task_step(t)->words.at[0].text);
	if (m->unit[0]) {
		progress_text(&line, &m->bar, now, m->note);
	} else {
		text_seconds(&line, now - t->child.start);
	}
	buf_add(out, line.at, text_fits(line.at, columns - 1));
	buf_addc(out, '\n');
	buf_release(&line);
}

void screen_draw(struct runner *r, int at_once)
{
	double now = clock_now();
	struct buf text = { 0 };
	size_t columns;
	int lines = 0;

	if (!r->draws || (!at_once && now - r->drawn_at < DRAW_EVERY))
		return;
	columns = talk_columns(2);
	for (size_t i = 0; i < r->tasks; i++)
		if (r->task[i].state == TASK_RUNNING) {
			put_task(&r->task[i], now, columns, &text);
			lines++;
		}
	screen_clear(r);
	fputs(buf_str(&text), stderr);
	fflush(stderr);
	r->drawn = lines;
	r->drawn_at = now;
	buf_release(&text);
}
