# The shipped recipes learn real photographs with the shipped base model: the loss of a photograph that was left out,
# with fixed noise, falls clearly below the base model's for the same prompt. One subject here; `make photos` (ALL=1)
# takes them all, and leaves the sheets in build/scratch/photos-sh.
. tests/shell/lib.sh

PHOTOS=$SHARED/photos
if [ -z "$SHARED" ] || [ ! -d "$PHOTOS/dog" ]; then
	skip "photographs" "../shared/photos is not there"
	finish
fi
BASE=$TOP/examples/base
NAMES=dog STEPS=60 DRAW=10 SHARE=0.9
[ -z "$ALL" ] || { NAMES=$(cd "$PHOTOS" && ls -d */ | tr -d /) STEPS=200 DRAW=25; }

# The class as a prompt names it: the folder's name without its number.
class() { echo "$1" | sed 's/[0-9]*$//; s/_/ /g'; }

# learns RECIPE NAME RATE: the first and the last validation loss in what the recipe's training said
learns() {
	booth run "$TOP/recipes/$1.booth" MODEL="$BASE" PHOTOS="$PHOTOS/$2" SUBJECT="sks $(class "$2")" CLASS="$(class "$2")" \
		RESOLUTION=64 CLASS_COUNT=8 DRAW_STEPS=$DRAW SAMPLER="Euler a" SCALE=3 PROMPT="a photo of sks $(class "$2")" STEPS=$STEPS RATE=$3 HOLD_OUT=1 VALIDATE=$((STEPS / 2)) COUNT=4 \
		OUT="$1-$2" >"$1-$2.out" 2>"$1-$2.said" || { cat "$1-$2.said"; return 1; }
	sed -n 's/.*validation loss \([0-9.e-]*\).*/\1/p' "$1-$2.said" | awk -v what="$1 $2" -v share=$SHARE '
		NR == 1 { first = $1 } { last = $1 }
		END { printf "%s: held-out loss %.4f -> %.4f (%.0f %%)\n", what, first, last, 100 * last / first
		      exit !(NR > 1 && last < first * share) }' >line
	code=$?
	cat line; cat line >>"$scratch/table"
	[ $code = 0 ] && [ -s "$1-$2/before.png" ] && [ -s "$1-$2/after.png" ]
}
: >table
for name in $NAMES; do
	test "LoRA learns $name" 'learns dreambooth-lora $name 2e-3'
	test "all weights learn $name" 'learns dreambooth-full $name 2e-4'
done
[ -z "$ALL" ] || cat table
finish
