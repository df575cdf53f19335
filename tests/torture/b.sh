# (b) Every call that writes fails once, in each of three ways: a sentence, exit 1, and the same command ends with the
# same bytes afterwards. And LMDB in a file system that is too small.
. tests/torture/lib.sh

mkdir one && "$TOOLS/damage" picture 96 80 one/a.png && "$TOOLS/damage" picture 64 80 one/b.png && touch -d "1 hour ago" one/*
toys sample plain; : >writes
# A file that is larger than a stream's buffer, and one that is not.
cat >short.booth <<END
pictures: one
	prep --threads 1 | caption --text "a photo of sks dog" | bucket --resolution 64
out/file.txt: pictures
	sample --text $(printf %09000d 7)
out/table.tsv: pictures
	plain --text world
END
unset TOY_RAN
# faulty AT KIND COMMAND...: its AT-th write fails
faulty() {
	faulty_at=$1 faulty_kind=$2; shift 2
	head -c 16 /dev/zero >count
	FAULT_AT=$faulty_at FAULT_KIND=$faulty_kind FAULT_COUNT=$scratch/count LD_PRELOAD=$TORTURE/preload-write.so "$@"
}
counted() { od -An -t u8 -j "$1" -N 8 count | tr -d " "; }
fresh() { rm -rf .booth out; mkdir out; [ ! -d before ] || cp -r before .booth; }

# one AT KIND COMMAND...: that write of it fails. A call whose failure is of no consequence (a hint, the flush of a folder,
# what files were looked at) is passed over in silence and the result is the right one all the same; all others fail it
# with a sentence. The same command then ends with the same bytes.
one() {
	one_at=$1 one_kind=$2; shift 2
	fresh; faulty $one_at $one_kind "$@" >got 2>talk; one_code=$?
	[ "$(counted 8)" = 1 ] || return 0
	case $one_code in
	1) told=$((told + 1)); grep -qE "No space left|Input/output error|File too large" talk || { echo "no sentence"; return 1; };;
	0) silent=$((silent + 1)); cmp want got && diff -r want.out out || { echo "taken for success"; return 1; };;
	*) echo "exit $one_code"; return 1;;
	esac
	"$@" >got 2>talk && cmp want got && diff -r want.out out && booth check >check 2>&1 || { cat check; return 1; }
	[ -z "$(find . -name ".booth-*")" ] || { echo "left:"; find . -name ".booth-*"; return 1; }
}

# all STEP COMMAND...: each STEP-th of its writes; the command begins with the store "before", if there is one
all() {
	all_step=$1 told=0 silent=0; shift
	fresh; faulty 0 EIO "$@" >want 2>talk || { cat talk; return 1; }
	calls=$(counted 0); rm -rf want.out; mv out want.out
	[ "$calls" -ge 5 ] || { echo "only $calls calls"; return 1; }
	for kind in ENOSPC EIO short; do
		case $kind in ENOSPC) first=1;; EIO) first=$((all_step / 3 + 1));; *) first=$((all_step * 2 / 3 + 1));; esac
		for at in $(seq $first $all_step $calls); do
			one $at $kind "$@" || { echo "write $at of $calls, $kind: $*"; cat talk; return 1; }
		done
	done
	echo "$told failed with a sentence, $silent were of no consequence"
	echo "$told $silent" >>writes; [ $told -gt $silent ]
}
test "each call that writes fails once: told, and the same command ends with the same bytes" '
	all $(rounds 1 41) booth run short.booth'

SD1=$MODELS/sd1-tiny
if [ -n "$SHORT" ]; then
	:
elif [ -z "$SHARED" ] || [ ! -d "$SD1" ]; then
	skip "the same of every stage" "the tiny models are not there"
else
	unset BOOTH_EXEC_PATH
	rm -rf .booth && mkdir rex && for i in 0 1; do cp "$SHARED/photos/dog/0$i.jpg" rex/; done && touch -d "1 hour ago" rex/*
	booth prep rex 2>talk | booth caption --text "a photo of sks dog" 2>>talk | booth bucket --resolution 64 2>>talk >buckets
	booth bucket --resolution 128 "$(cat buckets)" >large 2>>talk
	booth encode-latents --threads 1 --model "$SD1" "$(cat buckets)" 2>>talk >latents
	booth train --threads 1 --model "$SD1" --steps 1 "$(cat latents)" >lora 2>>talk || cat talk
	mv .booth before
	model="--threads 1 --model $SD1" draws="--width 64 --height 64 --steps 1 --batch 1 --prompt dog"
	test "each write of encode-latents" 'all 1 booth-encode-latents $model "$(cat large)"'
	test "each write of encode-text" 'all 1 booth-encode-text $model "$(cat latents)"'
	test "each write of gen-class" 'all 1 booth-gen-class $model $draws --count 2'
	test "each write of train" 'all 1 booth-train $model --seed 9 --steps 3 --save-every 2 "$(cat latents)"'
	test "each write of sample" 'all 1 booth-sample $model $draws --count 2 --out out/sheet.png "$(cat lora)"'
	# hundreds of tensors, one like the other: every 7th
	test "writes of convert, to a file" 'all 7 booth-convert --to kohya --out out/lora.safetensors "$(cat lora)"'
	test "writes of convert, to a folder" 'all 7 booth-convert $model --tokenizer "$SHARED/data/clip-tokenizer" --to diffusers --merge --out out/model "$(cat lora)"'
	test "each write of pull" 'mv before other && all 1 sh -c "booth pull other \$0 >/dev/null && booth cat \$0" "$(cat lora)"'
fi
did "$(awk '{ told += $1; silent += $2 } END { print told + silent " writes failed, " told " with a sentence, " silent " of no consequence" }' writes)"

mkdir -p disk
if mount -t tmpfs -o size=64k none disk 2>/dev/null; then
	test "a store in a file system that is too small, of all sizes" '
		BOOTH_EXEC_PATH=$scratch/toys && export BOOTH_EXEC_PATH && rm -rf .booth out && booth run short.booth >want && rm -rf want.out && mv out want.out && rm -rf .booth && full=0
		for size in $(seq 12 $(rounds 12 120) 700); do
			umount disk; mount -t tmpfs -o size=${size}k none disk && rm -rf out || exit 1
			if booth run --store disk/s short.booth >got 2>talk; then cmp want got; continue; fi
			full=$((full + 1))
			says "No space left" talk && mount -o remount,size=64m disk && booth run --store disk/s short.booth >got 2>talk &&
			cmp want got && diff -r want.out out && booth check --store disk/s >check 2>&1 || { echo "$size k"; cat talk; exit 1; }
		done
		did "$full full file systems"; [ $full -ge 2 ]'
	umount disk
else
	skip "a store in a file system that is too small" "needs the right to mount a file system"
fi
finish
