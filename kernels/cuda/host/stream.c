/*
 * Streams, events and graphs. What is enqueued waits until somebody asks for the stream's end, or for an
 * event's: a stream that waits for another one's event lets that one run up to there.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "kernels/cuda/host/run.h"

struct task {
	struct task *next;
	void (*run)(struct host_stream *s, const void *data);
	_Alignas(16) unsigned char data[];
};

struct tasks {
	struct task *first, **end;
};

struct host_stream {
	struct tasks waiting;
	struct host_graph *capture;             /* tasks go there */
	struct block *block;
};

struct host_graph {
	struct tasks tasks;
	int users;                              /* itself, and what was made of it */
};

struct host_event {
	struct host_stream *stream;             /* of the last record */
	int asked, done;                        /* records */
};

_Thread_local struct host_kernel host_told;
static _Thread_local int capturing;

int stream_is_capturing(void)
{
	return capturing;
}

/* ---- tasks ---- */

static void *tasks_add(struct tasks *t, void (*run)(struct host_stream *, const void *), size_t bytes)
{
	struct task *x = xcalloc(1, sizeof *x + bytes);

	x->run = run;
	if (!t->first)
		t->end = &t->first;
	*t->end = x;
	t->end = &x->next;
	return x->data;
}

static void *add(struct host_stream *s, void (*run)(struct host_stream *, const void *), size_t bytes)
{
	return tasks_add(s->capture ? &s->capture->tasks : &s->waiting, run, bytes);
}

static void tasks_free(struct tasks *t)
{
	while (t->first) {
		struct task *x = t->first;

		t->first = x->next;
		free(x);
	}
}

/* Until nothing waits, or `event` has come about `number` times. */
static void drive(struct host_stream *s, const struct host_event *event, int number)
{
	machine_reach(1);
	while (s->waiting.first && (!event || event->done < number)) {
		struct task *x = s->waiting.first;

		s->waiting.first = x->next;
		x->run(s, x->data);
		free(x);
	}
	machine_reach(0);
}

/* ---- kernels, copies, libraries ---- */

struct launch {
	void (*kernel)(const void *args);
	struct host_kernel what;
	struct grid grid;
	_Alignas(16) unsigned char args[];
};

static void run_launch(struct host_stream *s, const void *data)
{
	const struct launch *l = data;

	if (machine_launch())
		host_run(s->block, l->kernel, l->what.name, l->grid, l->args);
}

cudaError_t cudaLaunchKernel(const void *kernel, struct dim3 blocks, struct dim3 threads, void **args,
			     size_t shared, cudaStream_t s)
{
	struct launch l = { .grid = { blocks.x, blocks.y, (int)threads.x, (int)threads.y } }, *to;

	(void)shared;
	memcpy(&l.kernel, &kernel, sizeof kernel);
	l.kernel(NULL);
	l.what = host_told;
	machine_lock();
	to = add(s, run_launch, sizeof l + l.what.bytes);
	*to = l;
	memcpy(to->args, args[0], l.what.bytes);
	machine_unlock();
	return cudaSuccess;
}

struct own { void (*run)(const void *data); _Alignas(16) unsigned char data[]; };

static void run_own(struct host_stream *s, const void *data)
{
	const struct own *o = data;

	(void)s;
	if (machine_launch())
		o->run(o->data);
}

void host_enqueue(void *stream, void (*run)(const void *data), const void *data, size_t bytes)
{
	struct own *o;

	machine_lock();
	o = add(stream, run_own, sizeof *o + bytes);
	o->run = run;
	memcpy(o->data, data, bytes);
	machine_unlock();
}

struct copy { void *to; const void *from; size_t bytes; };

static void run_copy(struct host_stream *s, const void *data)
{
	const struct copy *c = data;

	(void)s;
	if (machine_state() == cudaSuccess && c->bytes)
		memcpy(c->to, c->from, c->bytes);
}

struct given { void *to; size_t bytes; _Alignas(16) unsigned char data[]; };

static void run_given(struct host_stream *s, const void *data)
{
	const struct given *g = data;

	(void)s;
	memcpy(g->to, g->data, g->bytes);
}

/* From memory that is not page-locked a copy has left when the call is over, and to there it is done. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s)
{
	cudaError_t code = machine_state();

	if (s->capture)
		return cudaErrorStreamCaptureUnsupported;
	machine_lock();
	if (kind == cudaMemcpyHostToDevice && !machine_is_pinned(from)) {
		struct given *g = add(s, run_given, sizeof *g + bytes);

		g->to = to;
		g->bytes = bytes;
		memcpy(g->data, from, bytes);
	} else {
		*(struct copy *)add(s, run_copy, sizeof(struct copy)) = (struct copy){ to, from, bytes };
		if (kind == cudaMemcpyDeviceToHost && !machine_is_pinned(to))
			drive(s, NULL, 0);
	}
	machine_unlock();
	return code;
}

/* ---- streams and events ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags)
{
	(void)flags;
	*out = xcalloc(1, sizeof **out);
	(*out)->block = host_new((enum host_order)machine_device());
	return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
	tasks_free(&s->waiting);
	host_free(s->block);
	free(s);
	return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
	cudaError_t code;

	if (s->capture)
		return cudaErrorStreamCaptureUnsupported;
	machine_lock();
	drive(s, NULL, 0);
	code = machine_state();
	machine_unlock();
	return code;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags)
{
	(void)flags;
	*out = xcalloc(1, sizeof **out);
	return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
	free(event);
	return cudaSuccess;
}

struct moment { struct host_event *event; int number; };

static void run_record(struct host_stream *s, const void *data)
{
	const struct moment *m = data;

	(void)s;
	m->event->done = m->number;
}

static void run_wait(struct host_stream *s, const void *data)
{
	const struct moment *m = data;

	(void)s;
	if (m->event->done < m->number)
		drive(m->event->stream, m->event, m->number);
	if (m->event->done < m->number)
		BUG("a stream waits for an event that does not come");
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t s)
{
	if (s->capture)
		return cudaErrorStreamCaptureUnsupported;
	machine_lock();
	event->stream = s;
	*(struct moment *)add(s, run_record, sizeof(struct moment)) = (struct moment){ event, ++event->asked };
	machine_unlock();
	return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t event, unsigned flags)
{
	(void)flags;
	if (s->capture)
		return cudaErrorStreamCaptureUnsupported;
	machine_lock();
	*(struct moment *)add(s, run_wait, sizeof(struct moment)) = (struct moment){ event, event->asked };
	machine_unlock();
	return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
	cudaError_t code;

	machine_lock();
	if (event->stream)
		drive(event->stream, event, event->asked);
	code = machine_state();
	machine_unlock();
	return code;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
	(void)mode;
	if (s->capture)
		return cudaErrorInvalidValue;
	s->capture = xcalloc(1, sizeof *s->capture);
	s->capture->users = 1;
	capturing++;
	return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
	*out = s->capture;
	s->capture = NULL;
	capturing--;
	return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags)
{
	(void)flags;
	graph->users++;
	*out = graph;
	return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
	if (--graph->users == 0) {
		tasks_free(&graph->tasks);
		free(graph);
	}
	return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
	return cudaGraphDestroy(graph);
}

static void run_graph(struct host_stream *s, const void *data)
{
	struct host_graph *const *g = data;

	if (!machine_launch_graph())
		return;
	for (const struct task *x = (*g)->tasks.first; x; x = x->next)
		x->run(s, x->data);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t s)
{
	cudaError_t code = machine_state();

	machine_lock();
	*(struct host_graph **)add(s, run_graph, sizeof graph) = graph;
	machine_unlock();
	return code;
}
