# Recipes that ship: each is read, and what it would do is shown; those of real tasks also run, on tiny models with
# few steps. Plus the commands' own help.
. tests/shell/lib.sh

mkdir -p photos/rex photos/lassie photos/tom scenes && : >base.safetensors && : >out.safetensors
# given NAME: what a recipe is called with
given() {
	case $1 in
	base-tiny) echo SCENES=scenes ;;
	demo) echo PHOTOS=photos ;;
	dreambooth-*) echo MODEL=base.safetensors PHOTOS=photos SUBJECT=sks CLASS=dog ;;
	sweep) echo MODEL=base.safetensors PHOTOS=photos SUBJECT=sks CLASS=dog ;;
	style-lora | captions-full) echo MODEL=base.safetensors PICTURES=photos ;;
	concepts-lora | subjects) echo MODEL=base.safetensors PHOTOS=photos ;;
	merge) echo MODEL=base.safetensors LORAS=out.safetensors ;;
	*) echo PHOTOS=photos ;;
	esac
}
for r in "$TOP"/recipes/*.booth; do
	name=$(basename "$r" .booth)
	test "$name is read, and begins with what it is for" '
		booth graph "$r" $(given $name) >g 2>talk || { cat talk; exit 1; }
		[ -s g ] && head -n 1 "$r" | grep -q "^# [A-Z].*[^ ]"'
	test "$name tells what would run" 'booth run -n "$r" $(given $name) >plan 2>talk && says "it never ran" plan || { cat talk; exit 1; }'
done

MODELS=$SHARED/golden/models
if [ -z "$SHARED" ] || [ ! -d "$MODELS/sd1-tiny" ] || [ ! -d "$SHARED/photos/dog" ]; then
	skip "recipes run" "the tiny models and the photographs are not there"
else
	GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
	export GOMP_SPINCOUNT
	mkdir -p pets && cp -r "$SHARED/photos/dog" pets/rex && cp -r "$SHARED/photos/cat" pets/tom && chmod -R u+w pets
	for i in 0 1 2 3 4; do echo "sks dog, photo $i" >pets/rex/0$i.txt; echo "zwx cat, photo $i" >pets/tom/0$i.txt; done
	find pets -exec touch -d "1 hour ago" {} +
	mkdir counted
	for stage in "$BIN"/booth-*; do
		printf '#!/bin/sh\ncase $1 in --version|--list-options) ;; *) echo %s >>"%s/ran" ;; esac\nexec "%s" "$@"\n' \
			"$(basename "$stage")" "$scratch" "$stage" >"counted/$(basename "$stage")"
		chmod +x "counted/$(basename "$stage")"
	done
	BOOTH_EXEC_PATH=$scratch/counted
	export BOOTH_EXEC_PATH
	# tiny NAME WORD...: that recipe with few steps
	tiny() {
		tiny_name=$1; shift
		booth run "$TOP/recipes/$tiny_name.booth" MODEL="$MODELS/sd1-tiny" RESOLUTION=64 COUNT=1 DRAW_STEPS=1 "$@"
	}
	# ran STAGE N: so many processes
	ran() { n=$(grep -c "^booth-$1$" ran); [ "$n" = "$2" ] || { echo "$n $1 ran, not $2:"; cat ran; return 1; }; }
	there() { for f; do [ -s "$f" ] || { echo "no $f"; return 1; }; done; }
	sweep() { tiny sweep PHOTOS=pets/rex STEPS=2 CLASS_COUNT=1 VALIDATE=1 OUT=sweep RANKS="2 4" "$@"; }

	test "sweep: one set of latents for four trainings, a sheet of each and one of all" '
		rm -f ran; sweep RATES="1e-3 2e-3" 2>talk && ran encode-latents 2 && ran prep 1 && ran gen-class 1 && ran train 4 &&
		there sweep/1e-3-2.png sweep/2e-3-4.png sweep/lora-2e-3-4.safetensors sweep/all.png &&
		! cmp -s sweep/1e-3-2.png sweep/2e-3-4.png && booth log latents >log && [ "$(grep -c " latents " log)" = 1 ]'
	test "sweep: another rate trains what is new" '
		rm -f ran; sweep RATES="1e-3 2e-3 3e-3" loras >refs && ran encode-latents 0 && ran train 2 && [ "$(sort -u refs | grep -c ^train/)" = 6 ]'
	test "why and status know the products by name" '
		booth why lora-2e-3-4 >why && says "lora-2e-3-4" why && sweep RATES=1e-3 lora-1e-3-2 >ref 2>talk && says "nothing to do" talk'
	test "style-lora: with a trigger and mirrored" '
		tiny style-lora PICTURES=pets/rex TRIGGER="ink," FLIP=1 EPOCHS=1 RANK=2 OUT=style && there style/style.safetensors style/style.png && ref=$(tiny style-lora PICTURES=pets/rex TRIGGER="ink," FLIP=1 EPOCHS=1 RANK=2 OUT=style latents) &&
		booth cat $ref >table && says "ink, sks dog, photo 3" table && [ "$(grep -c "sks dog" table)" = 10 ]'
	test "concepts-lora: two folders, one LoRA, a sheet of each" '
		tiny concepts-lora PHOTOS=pets WORDS_rex="sks dog" STEPS=2 STOP_TEXT=1 RANK=2 OUT=both && there both/concepts.safetensors both/rex.png both/tom.png &&
		booth explain "$TOP/recipes/concepts-lora.booth" MODEL="$MODELS/sd1-tiny" PHOTOS=pets WORDS_rex="sks dog" >x &&
		says "a photo of sks dog on a beach" x && says "a photo of tom on a beach" x'
	test "captions-full: the last weights and their averages" '
		tiny captions-full PICTURES=pets/rex EPOCHS=2 BATCH=1 ACCUMULATE=1 RATE=1e-3 EMA=0.5 HOLD_OUT=1 VALIDATE=1 OUT=full &&
		there full/model/unet/config.json full/compared.png && booth log model >log && says val_loss log'
	test "merge: two LoRAs into one file, which draws; a sheet of weights" '
		tiny merge LORAS="sweep/lora-1e-3-2.safetensors both/concepts.safetensors" WEIGHT=1 WEIGHTS="0.5 1" DTYPE=keep \
			TOKENIZER="$MODELS/sd1-tiny/tokenizer" OUT=merged all sheet && there merged/model.safetensors merged/model.png merged/weights.png'
	test "subjects: class pictures once for a class, also from another recipe" '
		cp -r pets/rex pets/rex2 && rm -f ran && tiny subjects PHOTOS=pets DOGS="rex rex2" CATS=tom STEPS=1 RANK=2 CLASS_COUNT=1 OUT=each &&
		ran gen-class 1 && ran train 3 && there each/rex.safetensors each/rex2.png each/tom.png &&
		tiny subjects PHOTOS=pets DOGS=rex CATS= STEPS=1 RANK=2 CLASS_COUNT=1 OUT=each dogs >files && [ "$(cat files)" = each/rex.safetensors ]'
	unset BOOTH_EXEC_PATH
fi

test "help of every command" '
	for c in run why status explain graph ls cat log check gc; do
		booth $c --help >h || exit 1
		says "usage: booth $c" h || exit 1
		booth help $c | cmp - h || exit 1
	done'
test "help lists stages" 'booth help >h && says "runner commands" h && booth --help | cmp - h'
test "version" 'booth version >v && says "booth" v && booth --version | cmp - v'

test "an error has file, line and a mark" '
	printf "x:\n\tprep \$(NO)\n" >bad.booth
	fails 1 booth run bad.booth 2>talk && says "bad.booth:2: there is no variable or target" talk && grep -qE "^ +.*\^$" talk'
test "a cycle is named" '
	printf "a: b\n\tprep\nb: a\n\tprep\n" >cycle.booth
	fails 1 booth run cycle.booth 2>talk && says "a cycle: '"'a' needs 'b' needs 'a'"'" talk'
test "a recipe that is not there" 'fails 1 booth run nowhere.booth 2>talk && says "cannot open '"'nowhere.booth'"'" talk'
test "a variable that nobody uses is told with the word" '
	printf "STEPS ?= 1\nx:\n\tprep --min-side \$(STEPS)\n" >unused.booth
	fails 1 booth run unused.booth STPES=4 2>talk && says "'"'STPES' is set on the command line and never used, did you mean 'STEPS'"'" talk &&
	says "    STPES=4" talk && booth graph unused.booth STEPS=4'
test "several errors are told at once" '
	printf "x:\n\tprep \$(A)\ny:\n\tprep \$(B)\n" >two.booth
	fails 1 booth run two.booth 2>talk && says "two.booth:2: there is no variable" talk && says "two.booth:4: there is no variable" talk'
test "--explain shows rule, reason and command, with -q too" '
	printf "x: photos/a.tsv\n\tbucket --resolution \"\$(R)\"\n" >explain.booth && printf "item\tfile\n" >photos/a.tsv
	booth run -q --explain explain.booth R="64 x" >out 2>talk; says "explain.booth:2: x: bucket runs: it never ran" talk &&
	says "    booth bucket photos/a.tsv --resolution '"'64 x'"'" talk'
finish
