# tests/gpu/check without a GPU: what it says then, and a little of each piece through the kernels over the host's layer.
. tests/shell/lib.sh

B=${BIN%/bin}
export B
check() { ( cd "$TOP" && sh tests/gpu/check ); }

test "no GPU: one sentence, exit 1" '
	mkdir none && export BOOTH_LIB_PATH=$scratch/none
	fails 1 check >said 2>&1 && says "gpu-check: no GPU to check: " said && [ "$(wc -l <said)" = 1 ]'
test "a piece that is none" 'export GPU=host,speed BOOTH_LIB_PATH=$B/lib-host; fails 2 check >said 2>&1 && says "is no piece" said'
if [ ! -f "$B/lib-host/booth-cuda.so" ] || [ -n "${SANITIZE-}" ]; then
	skip "through the host" "lib-host/booth-cuda.so is not there, or takes minutes with sanitizers"
	finish
fi
test "through the host: ops, recorded cases, a training" '
	export GPU=host SHORT=1 SEED=1; check >said 2>&1 || { cat said; false; }
	says " 0 failed" said && says "every op, f32, bf16 and f16" said && { [ -z "$SHARED" ] || says "kill -9 and again: the same bytes" said; }'
finish
