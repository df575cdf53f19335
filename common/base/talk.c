#include "common/base/talk.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/text.h"

#define DRAW_EVERY 0.1          /* seconds, on a terminal */
#define LINE_EVERY 10.0         /* seconds, elsewhere */
#define CLEAR_LINE "\r\033[K"

double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int talk_is_quiet(void)
{
	const char *s = getenv("BOOTH_QUIET");

	return s && *s && strcmp(s, "0");
}

int talk_redraws(void)
{
	const char *term = getenv("TERM");

	return isatty(2) && term && *term && strcmp(term, "dumb");
}

size_t talk_columns(int fd)
{
	struct winsize w;

	return !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col : 80;
}

size_t text_fits(const char *text, size_t columns)
{
	size_t at = 0;

	while (text[at]) {
		uint32_t code;

		if (!columns--)
			break;
		at += (size_t)utf8_next(text + at, strlen(text + at), &code);
	}
	return at;
}

void talk_report(const char *fmt, ...)
{
	const char *fd = getenv("BOOTH_REPORT");
	struct buf b = { 0 };
	va_list ap;

	if (!fd || *fd < '0' || *fd > '9')
		return;
	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	buf_addc(&b, '\n');
	if (write(atoi(fd), b.at, b.len) < 0)   /* nobody listens any more */
		unsetenv("BOOTH_REPORT");
	buf_release(&b);
}

static int runner_draws(void)
{
	const char *report = getenv("BOOTH_REPORT");

	return report && strstr(report, "drawn");
}

void talk(const char *fmt, ...)
{
	struct buf b = { 0 };
	va_list ap;

	if (talk_is_quiet())
		return;
	va_start(ap, fmt);
	buf_addv(&b, fmt, ap);
	va_end(ap);
	/* A progress line may be drawn at the cursor; it comes back with the next progress_at. */
	fprintf(stderr, "%s%s: %s\n", talk_redraws() ? CLEAR_LINE : "", program_name, buf_str(&b));
	buf_release(&b);
}

void progress_begin(struct progress *p, const char *what, const char *unit, int64_t total)
{
	*p = (struct progress){ .what = what, .unit = unit, .total = total };
	p->start = p->last = clock_now();
	p->tty = talk_redraws();
	p->quiet = talk_is_quiet() || runner_draws();
	talk_report("bar\t%s\t%s\t0\t0\t%lld\t", what, unit, (long long)total);
}

/* "12 of 120 pictures", without anything that depends on time. */
static void put_count(struct buf *b, const struct progress *p)
{
	buf_addf(b, "%lld", (long long)p->done);
	if (p->total > 0 && p->total != p->done)
		buf_addf(b, " of %lld", (long long)p->total);
	buf_addf(b, " %s", p->unit);
}

static void put_rate(struct buf *b, const struct progress *p, double now, int left)
{
	double seconds = now - p->start, n = (double)(p->done - p->from);

	if (n <= 0 || seconds <= 0)
		return;
	if (n >= seconds)
		buf_addf(b, ", %.1f/s", n / seconds);
	else
		buf_addf(b, ", %.1f s each", seconds / n);
	if (left && p->total > p->done) {
		buf_adds(b, ", ");
		text_seconds(b, (double)(p->total - p->done) * seconds / n);
		buf_adds(b, " left");
	}
}

void progress_text(struct buf *b, const struct progress *p, double now, const char *note)
{
	put_count(b, p);
	put_rate(b, p, now, 1);
	if (note && *note)
		buf_addf(b, ", %s", note);
}

static void report_bar(struct progress *p, double now, const char *note)
{
	if (now - p->reported < DRAW_EVERY)
		return;
	p->reported = now;
	talk_report("bar\t%s\t%s\t%lld\t%lld\t%lld\t%s", p->what, p->unit, (long long)p->done,
		    (long long)p->from, (long long)p->total, note ? note : "");
}

void progress_at(struct progress *p, int64_t done, const char *note)
{
	struct buf b = { 0 };
	double now = clock_now();

	p->done = done;
	report_bar(p, now, note);
	if (p->quiet || now - p->last < (p->tty ? DRAW_EVERY : LINE_EVERY))
		return;
	p->last = now;
	buf_addf(&b, "%s: ", p->what);
	progress_text(&b, p, now, note);
	if (p->tty) {
		/* a line that wraps could not be cleared again */
		b.at[text_fits(b.at, talk_columns(2) - 1)] = 0;
		fprintf(stderr, "%s%s", CLEAR_LINE, buf_str(&b));
		p->drawn = 1;
	} else {
		fprintf(stderr, "%s\n", buf_str(&b));
	}
	fflush(stderr);
	buf_release(&b);
}

void progress_end(struct progress *p)
{
	struct buf b = { 0 };
	double now = clock_now();

	talk_report("end\t%s\t%s\t%lld\t%lld\t%.6f", p->what, p->unit, (long long)p->done,
		    (long long)p->from, now - p->start);
	if (p->quiet || (!p->done && !p->drawn))
		return;
	buf_addf(&b, "%s: ", p->what);
	put_count(&b, p);
	put_rate(&b, p, now, 0);
	buf_adds(&b, ", ");
	text_seconds(&b, now - p->start);
	fprintf(stderr, "%s%s\n", p->drawn ? CLEAR_LINE : "", buf_str(&b));
	buf_release(&b);
	p->drawn = 0;
}

/* The one thing here that has to be global: a signal has no other place to leave word. */
static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	static const char hint[] = "\nstopping after the item or step at hand; once more ends at once\n";

	if (stopped && sig == SIGINT)
		_exit(130);
	if (!stopped && sig == SIGINT && isatty(2) && write(2, hint, sizeof hint - 1) < 0)
		stopped = 1;    /* nothing can be said; the flag is what counts */
	stopped = 1;
}

void stop_catch(void)
{
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
	sigaction(SIGTERM, &a, NULL);
}

int stop_wanted(void)
{
	return stopped != 0;
}
