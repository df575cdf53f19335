/* Tapes are CUDA graphs: what calls launch is caught instead of run, and then launched as one. */
#include "kernels/cuda/gpu.h"

/* Launches of all calls into the stream, whatever it does with them. */
static int run_all(struct gpu *g, const struct call *const *c, size_t n, struct err *e)
{
	struct lane *l = &g->lane;
	int ret = 0;

	for (size_t i = 0; i < n && ret == 0; i += 1 + (size_t)l->joined) {
		l->then = i + 1 < n ? c[i + 1] : NULL;
		l->joined = 0;
		ret = lane_run(l, c[i], e);
	}
	l->then = NULL;
	lane_flush(l);
	return ret < 0 ? -1 : l->failed ? fail(e, "%s", l->why.text) : 0;
}

int gpu_record(struct backend *b, const struct call *const *c, size_t n, void **tape, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaGraph_t graph = NULL;
	cudaGraphExec_t exec = NULL;
	cudaError_t code, end;
	int ret;

	*tape = NULL;
	if (gpu_begin(g, e) < 0)
		return -1;
	/* other threads may do what they like meanwhile, but put: that would be recorded, too */
	pthread_mutex_lock(&g->lock);
	code = cudaStreamBeginCapture(g->lane.stream, cudaStreamCaptureModeThreadLocal);
	if (code != cudaSuccess) {
		pthread_mutex_unlock(&g->lock);
		return gpu_failed(g, code, "a step was recorded", e);
	}
	ret = run_all(g, c, n, e);
	end = cudaStreamEndCapture(g->lane.stream, &graph);
	pthread_mutex_unlock(&g->lock);
	code = end == cudaSuccess && ret == 0 ? cudaGraphInstantiate(&exec, graph, 0) : end;
	if (graph)
		cudaGraphDestroy(graph);
	if (code != cudaSuccess && ret == 0)
		ret = gpu_failed(g, code, "a step was recorded", e);
	*tape = exec;
	return ret < 0 ? err_prefix(e, "recording (BOOTH_TAPE=0 in the environment does without)") : 0;
}

int gpu_replay(struct backend *b, void *tape, struct err *e)
{
	struct gpu *g = gpu_of(b);
	cudaError_t code;

	if (gpu_begin(g, e) < 0)
		return -1;
	code = cudaGraphLaunch((cudaGraphExec_t)tape, g->lane.stream);
	return code != cudaSuccess || g->lane.failed ? gpu_failed(g, code, "a step was begun", e) : 0;
}

void gpu_forget(struct backend *b, void *tape)
{
	struct err e;

	if (!tape)
		return;
	gpu_wait(b, &e);        /* it may still run */
	cudaGraphExecDestroy((cudaGraphExec_t)tape);
}
