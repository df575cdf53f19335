# What computes: --device, BOOTH_DEVICE and a GPU that is taken by itself; how trainings run on one, and what is said when
# it can't be used, has no memory or goes away. The GPU is the host's (kernels/cuda/host), which is slow, so models are tiny.
. tests/shell/lib.sh

SD1=$SHARED/golden/models/sd1-tiny
BOOTH_LIB_PATH=$(dirname "$BIN")/lib-host
if [ -z "$SHARED" ] || [ ! -d "$SD1" ] || [ ! -d "$SHARED/photos/dog" ]; then
	skip "device" "the tiny models and the photographs are not there"
	finish
fi
if [ ! -f "$BOOTH_LIB_PATH/booth-cuda.so" ] || [ -n "${SANITIZE-}" ]; then
	skip "device" "lib-host/booth-cuda.so is not there, or takes minutes with sanitizers"
	finish
fi
export BOOTH_LIB_PATH
BOOTH_DEVICE=cpu
first="cuda:0, the host's threads (forward)"

mkdir rex && cp "$SHARED"/photos/dog/*.jpg rex/ && touch -d "1 hour ago" rex/*
booth prep rex 2>talk | booth caption --text "a photo of sks dog" 2>>talk | booth bucket --resolution 64 >buckets 2>>talk &&
	booth encode-latents --model "$SD1" "$(cat buckets)" >latents 2>>talk || { cat talk; exit 1; }

# machine WORDS COMMAND...: on a machine of that kind (kernels/cuda/host/cuda_runtime_api.h); stderr is in "talk"
machine() { machine_words=$1; shift; BOOTH_HOST_CUDA=$machine_words "$@" 2>talk; }
text() { booth encode-text --force --model "$SD1" "$@" "$(cat latents)"; }
# learn STORE OPTION...
learn() { learn_store=$1; shift; booth train --store "$learn_store:.booth" --model "$SD1" --steps 4 --seed 3 --lr 1e-3 --save-every 2 "$@" "$(cat latents)"; }

test "a GPU is taken by itself, which is told" '
	BOOTH_DEVICE= text >auto 2>talk && says "device: $first, " talk && BOOTH_DEVICE=auto text --device cpu >cpu 2>talk && says_not "device:" talk'
test "the CPU is not taken for a GPU in silence" '
	BOOTH_DEVICE=auto machine sm61 text && says "device: the CPU, because $first, has compute capability 6.1 and 7.5 is the oldest" talk &&
	BOOTH_DEVICE=auto machine old-driver text && says "device: the CPU, because the NVIDIA driver is for CUDA 12.4" talk &&
	BOOTH_DEVICE=auto machine no-blas text && says "device: the CPU, because cuBLASLt" talk'
test "where there is none, nothing is said" '
	for kind in no-driver no-gpu; do BOOTH_DEVICE=auto machine $kind text && says_not "device" talk || exit 1; done
	BOOTH_LIB_PATH=nowhere BOOTH_DEVICE=auto text 2>talk && says_not "device" talk'
test "the word is no part of what a result is known by" '
	booth encode-text --device cuda --model "$SD1" "$(cat latents)" 2>talk && says "fresh" talk || { booth encode-text --dry-run --device cuda:2 --model "$SD1" "$(cat latents)" >fresh 2>&1 && says "fresh" fresh; }'

test "bad input: one sentence each" '
	fails 2 text --device gpu 2>talk && says "--device is '"'gpu'"'; cpu, cuda, cuda:N and auto are possible" talk &&
	( BOOTH_DEVICE=gpu; fails 2 text 2>talk && says "BOOTH_DEVICE is '"'gpu'"'" talk ) &&
	fails 1 text --device cuda:3 2>talk && says "there is no GPU cuda:3: this machine has 3" talk &&
	fails 1 machine no-driver text --device cuda && says "there is no NVIDIA driver on this machine" talk &&
	fails 1 machine old-driver text --device cuda && says "install a newer driver" talk &&
	fails 1 machine no-gpu text --device cuda && says "the NVIDIA driver sees no GPU" talk &&
	fails 1 machine sm61 text --device cuda:1 && says "has compute capability 6.1" talk &&
	fails 1 machine no-blas text --device cuda && says "is not found: install it, or name its folder in BOOTH_CUDA_PATH" talk &&
	fails 1 machine memory=1M text --device cuda --clip-skip 2 && says "weights and optimizer state: $first, has no memory for" talk && says "others and the driver 0" talk'
test "doctor tells what there is and what is taken" '
	booth doctor >out && says "cuda:2" out && grep -q "^auto  *cuda:0$" out && grep -q "^runs on  *cpu, as BOOTH_DEVICE says$" out &&
	BOOTH_HOST_CUDA=sm61 booth doctor >out && says "can'"'"'t be used: cuda:1" out && grep -q "^auto  *the CPU: cuda:0" out'

test "a training on it is near the one on the CPU, and the same in whatever order blocks run" '
	learn on-cpu >want 2>talk && learn a --device cuda >one 2>talk && BOOTH_TAPE=0 learn b --device cuda:2 >two 2>talk && cmp one two || { cat talk; exit 1; }
	BOOTH_STORE=on-cpu booth cat "$(cat want)" >t && BOOTH_STORE=on-cpu booth cat "$(awk "/^log\t/ { print \$2 }" t)" >w
	BOOTH_STORE=a booth cat "$(cat one)" >t && BOOTH_STORE=a booth cat "$(awk "/^log\t/ { print \$2 }" t)" >o
	paste w o | awk -F "\t" "NR > 1 { n++; if (\$2 - \$7 > 1e-3 || \$7 - \$2 > 1e-3) bad = 1 } END { exit bad || n != 4 }" || { paste w o; exit 1; }'
test "fp16: steps on their way know the scale that those before them left" '
	set -- --device cuda --precision fp16 --prior-weight 1000 --class "$(cat latents)" --steps 5
	learn far --save-every 100 "$@" >ahead 2>talk && says "loss times 32768; 16384 from here on" talk && learn near --save-every 1 "$@" >waited 2>talk && cmp ahead waited || { cat talk; exit 1; }'
test "a GPU that goes away: the last saved state is named, and the same command goes on" '
	fails 1 machine lost-graph@3 learn lost --device cuda >out && says "$first, failed while" talk &&
	says "the state of step 2 is saved, and the same command goes on from there" talk &&
	learn lost --device cuda >again 2>talk && says "going on from step 2" talk && cmp one again &&
	fails 1 machine lost-graph@1 learn other --device cuda >out && says "no state was saved yet" talk'

test "the plan counts what the device holds, within a percent" '
	learn plan --device cuda --plan >told 2>talk && says "text encoder, " told && peak=$(sed -n "s/^peak \([0-9.]*\) MB/\1/p" told) &&
	more=$(echo "$peak" | awk "{ printf \"%d\", \$1 * 1.01e6 }") less=$(echo "$peak" | awk "{ printf \"%d\", \$1 * .98e6 }") &&
	machine memory=$more learn plan --device cuda --steps 1 >got &&
	fails 1 machine memory=$less learn plan --device cuda --force && says "MB are needed" talk &&
	fails 1 machine memory=32M,others=20M learn plan --device cuda --method full --batch 2 && says "other programs and the driver hold 21" talk && says "the least is" talk && says "--method lora" talk'

test "pictures are drawn and encoded on it" '
	booth sample --model "$SD1" --prompt "a dog" --steps 2 --width 64 --height 64 --device cuda --store s1 >one 2>talk &&
	booth sample --model "$SD1" --prompt "a dog" --steps 2 --width 64 --height 64 --device cuda:1 --store s2 >two 2>talk && cmp one two &&
	booth encode-latents --store e1:.booth --force --device cuda --model "$SD1" "$(cat buckets)" >one 2>talk && booth encode-latents --store e2:.booth --force --device cuda:2 --model "$SD1" "$(cat buckets)" >two 2>talk && cmp one two'

finish
