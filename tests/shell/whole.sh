# The whole way on tiny models: photographs in, a LoRA, a checkpoint and pictures out; and nothing twice.
. tests/shell/lib.sh

MODELS=$SHARED/golden/models
if [ -z "$SHARED" ] || [ ! -d "$MODELS/sd1-tiny" ] || [ ! -d "$SHARED/photos/dog" ]; then
	skip "the whole way" "the tiny models and the photographs are not there"
	finish
fi
GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
export GOMP_SPINCOUNT
SD1=$MODELS/sd1-tiny SD2=$MODELS/sd2-tiny
mkdir rex && cp "$SHARED"/photos/dog/*.jpg rex/ && chmod u+w rex/* && touch -d "1 hour ago" rex/*

# Stages through wrappers that leave a line in "ran" for every one that is started to do work.
mkdir counted
for stage in "$BIN"/booth-*; do
	name=$(basename "$stage")
	printf '#!/bin/sh\ncase $1 in --version|--list-options) ;; *) echo %s >>"%s/ran" ;; esac\nexec "%s" "$@"\n' \
		"$name" "$scratch" "$stage" >"counted/$name"
	chmod +x "counted/$name"
done
ran() { n=$(grep -c . ran 2>/dev/null); [ "${n:-0}" = "$1" ] || { echo "$n stages ran, not $1:"; cat ran; return 1; }; }

# rows REF COLUMN...: those columns of a table, without its header
rows() {
	rows_ref=$1; shift
	booth cat "$rows_ref" | awk -F '\t' -v want="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(want, w, " "); next }
		{ line = ""; for (i = 1; i <= n; i++) line = line (i > 1 ? "|" : "") $(at[w[i]]); print line }'
}
same() { [ -n "$1" ] && [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
# falls REF SHARE: the last validation loss of a training is below that share of the first
falls() {
	rows "$(rows "$1" item tensor | sed -n 's/^log|//p')" step val_loss | awk -F '|' -v share="$2" '
		$2 != "" { if (first == "") first = $2; last = $2; n++ }
		END { print n " validations, from " first " to " last; exit !(n > 2 && last < share * first) }'
}
# latents STORE MODEL FOLDER: the reference of its encoded pictures
latents() {
	booth prep --store "$1" "$3" | booth caption --store "$1" --text "a photo of sks dog, asleep" | booth bucket --store "$1" --resolution 64 |
		booth encode-latents --store "$1" --model "$2" --threads 1
}
# learn STORE OPTION...: a training on those latents; prints its reference
learn() {
	learn_store=$1; shift
	booth train --store "$learn_store" --model "$SD1" --threads 1 --seed 7 --lr 1e-3 "$@" "$(cat latents)"
}

for model in sd1 sd2; do
	test "$model: the LoRA recipe: files are written, what was left out is learned too" '
		recipe() { booth run "$TOP/recipes/dreambooth-lora.booth" MODEL="$MODELS/'$model'-tiny" PHOTOS=rex RESOLUTION=64 STEPS=16 RATE=2e-3 \
			CLASS_COUNT=2 COUNT=1 DRAW_STEPS=2 HOLD_OUT=1 VALIDATE=8 OUT='$model' "$@"; }
		recipe && [ -s '$model'/lora.safetensors ] && [ -s '$model'/before.png ] && [ -s '$model'/after.png ] &&
		! cmp -s '$model'/before.png '$model'/after.png && recipe lora >ref 2>talk && says "nothing to do" talk && falls "$(cat ref)" .9'
	test "$model: the recipe for all weights" '
		booth run "$TOP/recipes/dreambooth-full.booth" MODEL="$MODELS/'$model'-tiny" PHOTOS=rex RESOLUTION=64 STEPS=16 RATE=5e-4 TRAIN=unet,text \
			CLASS_COUNT=2 COUNT=1 DRAW_STEPS=2 HOLD_OUT=1 VALIDATE=8 OUT='$model' model >ref && falls "$(cat ref)" .9'
done

cat >rex.booth <<END
subject: rex
	prep | caption --text "a photo of sks dog" | bucket --resolution 64 | encode-latents --model "$SD1"
lora: subject
	train --model "$SD1" --rank 4 --steps 4 --seed 3
out/lora.safetensors: lora
	convert --to kohya
END
test "the same recipe again: no stage starts" '
	export BOOTH_EXEC_PATH=$scratch/counted BOOTH_STORE=r
	rm -f ran; booth run rex.booth >one && ran 6 && rm ran && booth run rex.booth >two 2>talk && ran 0 && cmp one two && says "nothing to do" talk'

test "one photograph replaced: one item runs in prep, bucket and encode-latents" '
	export BOOTH_EXEC_PATH=$scratch/counted BOOTH_STORE=r
	cp "$SHARED/photos/dog2/00.jpg" rex/03.jpg && rm -f ran && booth run rex.booth 2>talk && ran 6 && says "prep: 1 pictures" talk &&
	says "1 picture placed, 4 known" talk && says "1 pictures encoded, 4 known" talk; code=$?
	cp "$SHARED/photos/dog/03.jpg" rex/03.jpg && touch -d "1 hour ago" rex/03.jpg && exit $code'

latents a "$SD1" rex >latents 2>talk || { cat talk; exit 1; }

test "more steps go on from where the fewer ended, and end where a fresh training does" '
	learn a --steps 10 --hold-out 1 --validate-every 4 >/dev/null && learn a --steps 20 --hold-out 1 --validate-every 4 >more 2>talk &&
	says "going on from step 10 of 20" talk && latents b "$SD1" rex && learn b --steps 20 --hold-out 1 --validate-every 4 >fresh 2>talk &&
	says_not "going on" talk && cmp more fresh'
test "epochs are steps" 'learn b --epochs 5 --hold-out 1 --validate-every 4 >epochs && cmp epochs fresh'
test "a training that is looked at more often, or not at all, has the same weights" '
	learn b --steps 20 --hold-out 1 --validate-every 3 >often && ! cmp -s often fresh &&
	export BOOTH_STORE=b && same "$(rows "$(cat often)" item tensor | grep -v "^log")" "$(rows "$(cat fresh)" item tensor | grep -v "^log")"'
test "fewer steps, a state of which was saved, end as a fresh training does" '
	learn c --steps 6 --save-every 3 >/dev/null 2>&1; latents c "$SD1" rex >/dev/null && learn c --steps 8 --save-every 4 >/dev/null &&
	learn c --steps 4 >short 2>talk && says "going on from step 4 of 4" talk && latents d "$SD1" rex && learn d --steps 4 >fresh4 && cmp short fresh4'
test "a schedule that ends with the steps is another training for other steps" '
	learn c --steps 4 --schedule cosine >/dev/null && learn c --steps 8 --schedule cosine 2>talk >more && says_not "going on" talk &&
	learn d --steps 8 --schedule cosine >fresh && cmp more fresh &&
	learn c --steps 4 --schedule constant_with_warmup --warmup 50% >/dev/null &&
	learn c --steps 8 --schedule constant_with_warmup --warmup 50% >more 2>talk && says_not "going on" talk &&
	learn c --steps 12 --schedule constant_with_warmup --warmup 4 >/dev/null 2>talk && says "going on from step 8" talk'

test "another number of threads, another name of the folder: the same hashes all the way" '
	cp -r rex album && for n in 1 2 3; do
		booth prep --store t$n --threads $n album | booth caption --store t$n --text "a photo of sks dog, asleep" |
			booth bucket --store t$n --threads $n --resolution 64 | booth encode-latents --store t$n --threads $n --model "$SD1" >t$n.latents &&
		cmp t$n.latents latents && booth train --store t$n --threads $n --model "$SD1" --seed 7 --steps 4 --lr 1e-3 "$(cat latents)" >t$n.lora &&
		booth sample --store t$n --threads $n --model "$SD1" --prompt dog --width 64 --height 64 --steps 2 --out t$n.png <t$n.lora >t$n.picture || exit 1
	done
	cmp t1.lora t2.lora && cmp t2.lora t3.lora && cmp t1.png t2.png && cmp t2.png t3.png'
test "how often a state is saved changes nothing" '
	learn s1 --steps 1 >/dev/null 2>&1; latents s1 "$SD1" rex >/dev/null && learn s1 --steps 9 --save-every 2 >one &&
	learn s1 --force --steps 9 --save-every 4 --keep-every 3 >two 2>said && cmp one two && says "weights of step 6: train/" said'

test "gc keeps what a training goes on from; --states lets it go" '
	learn s1 --steps 5 --lr 2e-3 --keep-every 2 >/dev/null 2>said && kept=$(sed -n "s|.*step 2: ||p" said) &&
	export BOOTH_STORE=s1 && booth gc --yes >/dev/null 2>&1 && booth cat "$kept" >/dev/null &&
	latents s1 "$SD1" rex >/dev/null && learn s1 --steps 7 --lr 2e-3 >/dev/null 2>said &&
	says "going on from step 5" said && booth gc --yes --states >/dev/null 2>&1 && fails 1 booth cat "$kept" &&
	latents s1 "$SD1" rex >/dev/null && learn s1 --steps 9 --lr 2e-3 >/dev/null 2>said && says_not "going on" said'

# The subject in 64x64 and 64x128, the class in 128x64: gradients of micro-batches of two shapes are summed.
booth prep --store a "$SHARED/photos/cat" 2>/dev/null | booth caption --store a --text "a photo of a cat" |
	booth bucket --store a --square --resolution 128 2>/dev/null | booth encode-latents --store a --model "$SD1" --threads 1 >class 2>/dev/null
deep() { learn a --class "$(cat class)" --batch 2 --accumulate 2 --prior-weight .7 "$@"; }
test "class pictures of another shape, batches, sums of gradients" '
	deep --steps 3 >/dev/null && deep --steps 6 >more 2>talk && says "going on from step 3" talk &&
	deep --force --threads 2 --steps 6 >fresh 2>talk && says_not "going on" talk && cmp more fresh'
test "class pictures change what is learned" 'learn a --batch 2 --accumulate 2 --steps 6 >without && ! cmp -s without more'

for method in lora full; do
	test "$method: text encoder and UNet, and everything that draws: 3 and 3 steps are 6" '
		both() { learn a --method '$method' --train unet,text --stop-text 4 --shuffle-caption --keep-tokens 1 --caption-dropout .2 --min-snr 5 \
			--noise-offset .05 --ema .99 --schedule constant_with_warmup --warmup 2 "$@"; }
		both --steps 3 >/dev/null && both --steps 6 >more 2>talk && says "going on from step 3" talk && both --force --threads 2 --steps 6 >fresh && cmp more fresh'
done
test "the autoencoder: 2 and 2 steps are 4" '
	tuned() { booth train --store a --model "$SD1" --method vae --threads 1 --lr 1e-4 --hold-out 1 "$@" "$(cat latents)"; }
	tuned --steps 2 >/dev/null && tuned --steps 4 >more 2>talk && says "going on from step 2" talk && tuned --force --threads 2 --steps 4 >fresh && cmp more fresh'
test "300 class pictures after 200 are 100: two after one is one" '
	draw() { booth gen-class --store a --threads 1 --model "$SD1" --prompt "a dog" --width 64 --height 64 --steps 1 "$@"; }
	draw --count 1 >/dev/null && draw --count 2 >/dev/null 2>talk && says "1 picture drawn, 1 known" talk'
test "captions are encoded once" '
	booth encode-text --store a --model "$SD1" --clip-skip 2 --threads 1 "$(cat latents)" 2>talk >one && says "1 captions encoded, 4 known" talk &&
	booth encode-text --store a --model "$SD1" --clip-skip 2 --threads 2 --force "$(cat latents)" >two && cmp one two'
finish
