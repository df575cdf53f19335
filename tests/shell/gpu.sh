# tests/gpu/check without a GPU: what it says then, and a little of each piece through the kernels over the host's layer;
# what it makes of PyTorch's figures, which come from a script here whose figures are known.
. tests/shell/lib.sh

B=${BIN%/bin}
export B
check() { ( cd "$TOP" && sh tests/gpu/check ); }
# cell PIECE ROW N: of the table
cell() { awk -F ' *[|] *' -v piece="## $1 (" -v row="$2" -v n="$3" '/^#/ { on = index($0, piece) == 1 } on && $2 == row { print $(n + 2) }' results.md; }

test "no GPU: one sentence, exit 1" '
	mkdir none && export BOOTH_LIB_PATH=$scratch/none
	fails 1 check >said 2>&1 && says "gpu-check: no GPU to check: " said && [ "$(wc -l <said)" = 1 ]'
test "a piece that is none" 'export GPU=host,speed BOOTH_LIB_PATH=$B/lib-host; fails 2 check >said 2>&1 && says "is no piece" said'
if [ ! -f "$B/lib-host/booth-cuda.so" ] || [ -n "${SANITIZE-}" ]; then
	skip "through the host" "lib-host/booth-cuda.so is not there, or takes minutes with sanitizers"
	finish
fi
export SHORT=1 SEED=1 LOGS=$scratch/logs RESULTS=$scratch/results.md

# In place of PyTorch: 9 s a step and 3 compiled, 8 s a picture and 2 compiled. FAKE_FULL: what it does with batch 2.
cat >python <<'END'
#!/bin/sh
case "$*" in
-c*) echo "${FAKE_LACKS-}" ;;
*--sample*) printf 'first-picture 99 s\npicture 8.000000 s\nfirst-compiled-picture 99 s\ncompiled-picture 2.000000 s\n' ;;
*"--batch 2"*) eval "${FAKE_FULL-}" ;;
*) printf 'warm-step 99 s, loss 1\nstep 9.000000 s, loss 1\nmemory 77 MB measured\nwarm-compiled-step 99 s, loss 1\ncompiled-step 3.000000 s, loss 1\n' ;;
esac
END
chmod +x python

test "through the host: every piece" '
	export GPU=host; check >said 2>&1 || { cat said; exit 1; }
	says " 0 failed" said && says "every op, f32, bf16 and f16" results.md && says "no Python with torch and diffusers asked for" results.md &&
	[ "$(cell lora "tiny LoRA, 32 px, batch 1, memory as predicted within 1 %" 1)" = ok ] &&
	[ "$(cell ops-time ceilings 1)" = ok ] && says " of the product, " results.md && says_not "not finished" results.md && {
		[ -z "$SHARED" ] || {
			says "kill -9 and again: the same bytes" said && [ "$(cell start "tiny LoRA, from start to first step" 1)" = ok ] &&
			cell start "seconds in all, wanted 1 and the weights" 1 | grep "^[0-9]*\.[0-9][0-9]*$"
		}
	}'
test "beside PyTorch: medians, images in a second and ratios; other pieces stay in the table" '
	export GPU=host,lora,sample PYTHON=$scratch/python; check >said 2>&1 || { cat said; exit 1; }
	name="tiny LoRA, 32 px, batch 1" own=$(cell lora "tiny LoRA, 32 px, batch 1, ms a step" 1)
	[ "$(cell lora "$name, ms a step" 2)" = 9000.00 ] && [ "$(cell lora "$name, images/s" 2)" = 0.1 ] &&
	says "| torch.compile 3000.00 |" results.md && [ "$(cell lora "$name, MB of device memory" 2)" = 77 ] &&
	cell lora "$name, images/s" 1 | awk -v own="$own" "{ exit !(\$1 > 1000 / own - .06 && \$1 < 1000 / own + .06) }" &&
	cell lora "$name, images/s" 3 | awk -v own="$own" "{ exit !(\$2 > 9000 / own - .02 && \$2 < 9000 / own + .02 && \$7 > 3000 / own - .02 && \$7 < 3000 / own + .02) }" && {
		[ -z "$SHARED" ] || {
			[ "$(cell sample "tiny, a picture of 32 px, 1 steps, seconds" 2)" = 8.000 ] && says "| torch.compile 2.000; ratio " results.md
		}
	} && [ "$(grep -c "^## lora (" results.md)" = 1 ] && [ "$(cell ops-time ceilings 1)" = ok ] && says "## golden (" results.md'
test "one side fails: the other side stays, and the reason" '
	export GPU=host,full PYTHON=$scratch/python FAKE_FULL="echo step 7 s; echo RuntimeError: no memory left >&2; exit 1"; check >said 2>&1
	says "| torch.compile -; PyTorch: RuntimeError: no memory left |" results.md && [ "$(cell full "tiny full, 32 px, batch 2, ms a step" 2)" = 7000.00 ] || exit 1
	export BOOTH_HOST_CUDA=memory=10M
	fails 1 check >said 2>&1 && [ "$(cell full "tiny full, 32 px, batch 2" 1)" = FAILED ] && cell full "tiny full, 32 px, batch 2" 3 | grep "has no memory for"'
test "PyTorch without diffusers, and one that comes to no end" '
	export GPU=host,full PYTHON=$scratch/python FAKE_LACKS=diffusers; check >said 2>&1 && says "python has torch, but not diffusers" results.md || exit 1
	export FAKE_LACKS= LIMIT=5 FAKE_FULL="echo step 7 s; exec sleep 1000"; check >said 2>&1; says "| 7000.00 | torch.compile -; PyTorch: not done in the 5 s" results.md'
test "killed in mid-piece: what was finished is in the table" '
	export GPU=host,lora,full PYTHON=$scratch/python FAKE_FULL="kill -9 \$(cut -d\" \" -f4 /proc/\$PPID/stat)"; rm results.md
	fails 137 check >said 2>&1 && [ "$(cell lora "tiny LoRA, 32 px, batch 1, ms a step" 2)" = 9000.00 ] && says_not "not finished" results.md'
finish
