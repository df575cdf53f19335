# Killed at any instant (kill -9), the same command again ends with the same bytes as one that was never killed. What is
# on disk changes with calls that write, so each kill is at one of them: the same on every machine, however fast.
. tests/shell/lib.sh

MODELS=$SHARED/golden/models
if [ -z "$SHARED" ] || [ ! -d "$MODELS/sd1-tiny" ] || [ ! -d "$SHARED/photos/dog" ]; then
	skip "killed" "the tiny models and the photographs are not there"
	finish
fi
GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
export GOMP_SPINCOUNT
SD1=$MODELS/sd1-tiny
mkdir rex && cp "$SHARED"/photos/dog/*.jpg rex/ && touch -d "1 hour ago" rex/*
BOOTH_STORE=whole
export BOOTH_STORE

# The inputs of each stage, made once and never killed.
stage() { stage_name=$1; shift; booth-$stage_name --threads 1 "$@" 2>>talk; }
latents() { booth prep rex 2>>talk | booth caption --text "a photo of sks dog, {name}" 2>>talk | booth bucket --resolution 64 2>>talk | stage encode-latents --model "$SD1"; }
latents >latents || { cat talk; exit 1; }
booth prep rex 2>>talk >prepped
booth caption --text "a photo of sks dog, {name}" <prepped 2>>talk >captions
booth bucket --resolution 64 <captions 2>>talk >buckets

# killed LEAST COMMAND...: run the command (which works in the store "shot", a copy of the one with the inputs)
# again and again, killed after a number of writes that grows by 1.4, until it ends by itself; its output is in "end".
# LEAST times at least it must have been killed. What it said is in "said".
killed() {
	killed_least=$1 killed_times=0 killed_next=1; shift
	rm -rf shot && cp -r whole shot && : >said
	while :; do
		( BOOTH_STORE=shot; killed_at $killed_next "$@" ) >end 2>>said
		killed_code=$?
		[ $killed_code = 137 ] || break
		killed_times=$((killed_times + 1)) killed_next=$((killed_next * 7 / 5 + 1))
		[ $killed_times -lt 40 ] || { echo "it never ends"; return 1; }
	done
	cat said
	echo "killed $killed_times times, then exit $killed_code"
	[ $killed_code = 0 ] && [ $killed_times -ge "$killed_least" ] && BOOTH_STORE=shot booth check >/dev/null
}
# whole COMMAND...: the same command, never killed, in another copy of the store; its output is in "want".
whole() { rm -rf calm && cp -r whole calm && BOOTH_STORE=calm "$@" >want 2>>talk; }

test "prep" 'whole booth-prep --threads 1 "$SHARED/photos/cat" "$SHARED/photos/can" && killed 1 booth-prep --threads 1 "$SHARED/photos/cat" "$SHARED/photos/can" && cmp want end'
test "caption" 'whole booth-caption --text "{name}" "$(cat prepped)" && killed 0 booth-caption --text "{name}" "$(cat prepped)" && cmp want end'
test "bucket" 'whole booth-bucket --flip "$(cat captions)" && killed 0 booth-bucket --flip "$(cat captions)" && cmp want end'
test "encode-latents: what was encoded is known" '
	booth bucket --square --resolution 128 --crop random:8 <captions >big 2>>talk &&
	set -- booth-encode-latents --threads 1 --model "$SD1" "$(cat big)" && whole "$@" && killed 2 "$@" && cmp want end && grep -qE "encoded, [1-9][0-9]* known" said'
test "encode-text" '
	set -- booth-encode-text --threads 1 --model "$SD1" --max-tokens 225 "$(cat latents)" && whole "$@" && killed 1 "$@" && cmp want end'

# learns TITLE OPTION...: killed between two saved states, often enough that it must have gone on from one
learns() {
	learns_title=$1; shift
	test "train, $learns_title" "
		set -- booth-train --threads 1 --model \"\$SD1\" --seed 5 --lr 1e-3 --save-every 3 $* \"\$(cat latents)\"
		whole \"\$@\" && killed 3 \"\$@\" && cmp want end && says \"going on from step\" said"
}
learns "LoRA" --steps 25 --hold-out 1 --validate-every 4
learns "LoRA, UNet and text encoder" --steps 15 --train unet,text --lora-target conv --lora-dropout .1
learns "all weights, UNet and text encoder" --method full --steps 10 --train unet,text --accumulate 2 --ema .9
learns "fp16, the first steps skipped" --method full --steps 12 --ema .9 --precision fp16 --prior-weight 1000 --class $(cat latents)
test "fp16: skipped steps are told and logged" '
	BOOTH_STORE=calm && says "is skipped: its gradients do not fit into fp16 with the loss times 65536; 32768 from here on" said &&
	booth cat "$(booth cat "$(cat want)" | sed -n "s/^log	\([^	]*\).*/\1/p")" >steps && head -n 1 steps | grep -q "loss_scale$" &&
	awk -F "\t" "\$4 ~ /inf|nan/ { n++ } \$4 ~ /^[0-9]/ { ok++ } END { exit !(n > 1 && ok > 1) }" steps'
# However fast the machine is: the signal comes once a step has been reported (as to the runner, which hears of the first
# one already), and the run is too long to have ended by then.
test "train, asked to end: the step at hand is finished and saved" '
	set -- booth-train --threads 1 --model "$SD1" --seed 6 --save-every 1000 "$(cat latents)"
	rm -rf shot && cp -r whole shot && export BOOTH_STORE=shot && : >said
	BOOTH_REPORT=2 "$@" --steps 100000 2>said >end & asked=$!
	await grep "^bar.*steps	[1-9]" said
	kill -TERM $asked; wait $asked; code=$?
	cat said; [ $code = 1 ] && says "which are saved; the same command goes on from there" said &&
	reached=$(sed -n "s/.*stopped after \([0-9]*\) .*/\1/p" said | tail -n 1) && [ "$reached" -gt 0 ] && more=$((reached + 5)) &&
	BOOTH_STORE=calm && rm -rf calm && cp -r whole calm && "$@" --steps $more >want 2>>talk &&
	BOOTH_STORE=shot && "$@" --steps $more >end 2>said && says "going on from step $reached" said && cmp want end'

test "gen-class" '
	set -- booth-gen-class --threads 1 --model "$SD1" --prompt "a dog" --count 4 --batch 1 --width 64 --height 64 --steps 4
	whole "$@" && killed 1 "$@" && cmp want end'
test "sample: the file is whole or not there" '
	set -- booth-sample --threads 1 --model "$SD1" --prompt "a dog" --count 4 --batch 1 --width 64 --height 64 --steps 4 --out picture.png
	whole "$@" && mv picture.png want.png && killed 1 "$@" && cmp want end && cmp want.png picture.png'
test "convert: the file is whole or not there" '
	booth-train --threads 1 --model "$SD1" --steps 1 "$(cat latents)" >lora 2>>talk
	set -- booth-convert --to kohya --out out.safetensors "$(cat lora)"
	whole "$@" && mv out.safetensors want.safetensors && killed 10 "$@" && cmp want end && cmp want.safetensors out.safetensors && [ -z "$(find . -maxdepth 1 -name ".booth-*")" ]'

cat >rex.booth <<END
subject: rex
	prep | caption --text "a photo of sks dog" | bucket --resolution 64 --flip | encode-latents --model "$SD1" --threads 1
lora: subject
	train --model "$SD1" --rank 4 --steps 15 --seed 3 --save-every 4 --threads 1
\$(OUT)/lora.safetensors: lora
	convert --to kohya
END
test "the runner, and with it its stages" '
	set -- booth run rex.booth lora OUT=out
	whole "$@" && killed 3 "$@" && cmp want end &&
	BOOTH_STORE=calm booth run rex.booth OUT=calm-out && BOOTH_STORE=shot booth run rex.booth OUT=shot-out && cmp calm-out/lora.safetensors shot-out/lora.safetensors'
finish
