# --precision: what stages make in bf16 and fp16, by which key it is known, what is refused.
. tests/shell/lib.sh

if [ -z "$SHARED" ] || [ ! -d "$SHARED/golden/models/sd1-tiny" ] || [ ! -d "$SHARED/photos/dog" ]; then
	skip "precision" "the tiny models and the photographs are not there"
	finish
fi
M=$SHARED/golden/models/sd1-tiny
OMP_WAIT_POLICY=passive BOOTH_DEVICE=cpu
export OMP_WAIT_POLICY BOOTH_DEVICE
mkdir rex && cp "$SHARED"/photos/dog/*.jpg rex/ && touch -d "1 hour ago" rex/*
booth prep rex 2>talk | booth caption --text "a photo of sks dog" 2>>talk | booth bucket --resolution 64 2>>talk >buckets || { cat talk; exit 1; }

test "f32 is what was always done: the same key, said or not" '
	booth encode-latents --model "$M" "$(cat buckets)" >latents 2>talk && booth encode-latents --model "$M" --precision f32 "$(cat buckets)" >b 2>talk &&
	cmp latents b && says "nothing to do" talk &&
	booth train --threads 1 --model "$M" --steps 2 "$(cat latents)" >a 2>talk &&
	booth train --threads 1 --model "$M" --steps 2 --precision f32 "$(cat latents)" >b 2>talk && cmp a b && says "nothing to do" talk &&
	! booth why "$(cat a)" 2>&1 | grep -q precision'

test "encoding in bf16 and fp16 is another action, known the second time" '
	for p in bf16 fp16; do
		booth encode-latents --model "$M" --precision $p "$(cat buckets)" >$p 2>talk && says ", 0 known" talk && ! cmp latents $p &&
		booth encode-latents --model "$M" --precision $p "$(cat buckets)" >b 2>talk && cmp $p b && says "nothing to do" talk || exit 1
	done
	! cmp bf16 fp16 &&
	booth encode-text --model "$M" "$(cat buckets)" >t32 2>talk && booth encode-text --model "$M" --precision bf16 "$(cat buckets)" >t16 2>talk &&
	says "1 captions encoded" talk && ! cmp t32 t16'

test "what was trained in 16 bits is f32, and is drawn with and written as ever" '
	for p in bf16 fp16; do
		booth train --threads 1 --model "$M" --steps 3 --precision $p "$(cat latents)" >lora 2>talk &&
		booth cat "$(cat lora)" >rows && ! awk -F "\\t" "NR > 1 && \$1 != \"log\" && \$3 != \"F32\"" rows | grep . &&
		booth convert --model "$M" --to kohya --out $p.safetensors "$(cat lora)" 2>talk &&
		grep -q "\"ss_mixed_precision\":\"$p\"" $p.safetensors &&
		booth sample --model "$M" --lora $p.safetensors --width 64 --height 64 --steps 2 --prompt "a dog" --out $p.png >/dev/null 2>talk &&
		booth sample --model "$M" --precision $p --width 64 --height 64 --steps 2 --prompt "a dog" --out own-$p.png "$(cat lora)" 2>talk >/dev/null || exit 1
	done
	booth gen-class --model "$M" --precision bf16 --prompt "a dog" --count 1 --width 64 --height 64 --steps 2 2>talk >g && [ -s g ]'

test "16 bits take less memory where weights are frozen" '
	peak() { booth train --plan --seed 9 --model "$M" --steps 2 --precision $1 "$(cat latents)" 2>/dev/null | sed -n "s/^weights \([0-9.]*\) MB.*/\1/p"; }
	wide=$(peak f32) narrow=$(peak bf16) && echo "$wide $narrow" && awk -v a="$wide" -v b="$narrow" "BEGIN { exit !(b < .6 * a && b > .4 * a) }"'

test "refused: words that are none, and tf32 on a CPU" '
	for w in f16 fp32 float16 no; do fails 2 booth train --model "$M" --steps 2 --precision $w "$(cat latents)" 2>talk && says "f32 tf32 bf16 fp16" talk || exit 1; done
	fails 1 booth train --model "$M" --steps 2 --precision tf32 "$(cat latents)" 2>talk &&
	says "--precision tf32 is for GPUs: the CPU computes in f32, bf16 or fp16" talk'

finish
