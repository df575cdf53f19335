# (b) Every call that writes fails once, in each of three ways: a sentence, exit 1, and the same command ends with the
# same bytes afterwards. And LMDB in a file system that is too small.
. tests/torture/lib.sh

mkdir one && "$TOOLS/damage" picture 96 80 one/a.png && "$TOOLS/damage" picture 64 80 one/b.png && touch -d "1 hour ago" one/*
toys sample plain
cat >short.booth <<'END'
pictures: one
	prep --threads 1 | caption --text "a photo of sks dog" | bucket --resolution 64
out/file.txt: pictures
	sample --text hello
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

booth run short.booth >/dev/null 2>talk || cat talk
mv out want && rm -rf .booth
faulty 0 EIO booth run short.booth >want.refs 2>talk
calls=$(counted 0)
step=$(rounds 1 41)
# A call whose failure is of no consequence (a hint, the flush of a folder, what files were looked at) is passed over in
# silence; all others fail the run with a sentence, and none may be taken for success with other bytes.
test "each of $calls calls fails once: told, and the same command ends with the same bytes" '
	[ "$calls" -gt 50 ] || { echo "only $calls calls"; exit 1; }
	told=0 silent=0
	for kind in ENOSPC EIO short; do
		case $kind in ENOSPC) first=1;; EIO) first=$((step / 3 + 1));; *) first=$((step * 2 / 3 + 1));; esac
		for at in $(seq $first $step $calls); do
			rm -rf .booth out; faulty $at $kind booth run short.booth >out.refs 2>talk; code=$?
			[ "$(counted 8)" = 1 ] || continue
			case $code in
			1) told=$((told + 1)); grep -qE "No space left|Input/output error|File too large" talk || { echo "$at $kind:"; cat talk; exit 1; };;
			0) silent=$((silent + 1)); true;;
			*) echo "$at $kind: exit $code"; cat talk; exit 1;;
			esac
			booth run short.booth >out.refs 2>talk && cmp want.refs out.refs && diff -r want out && booth check >check 2>&1 || { echo "$at $kind:"; cat talk check; exit 1; }
			[ -z "$(find . -name ".booth-*")" ] || { echo "$at $kind left:"; find . -name ".booth-*"; exit 1; }
		done
	done
	echo "$told failed with a sentence, $silent were of no consequence"; [ $told -gt $silent ]'

mkdir -p disk
if mount -t tmpfs -o size=64k none disk 2>/dev/null; then
	test "a store in a file system that is too small, of all sizes" '
		rm -rf .booth; full=0
		for size in $(seq 12 $(rounds 12 120) 700); do
			umount disk; mount -t tmpfs -o size=${size}k none disk && rm -rf out || exit 1
			if booth run --store disk/s short.booth >out.refs 2>talk; then cmp want.refs out.refs; continue; fi
			full=$((full + 1))
			says "No space left" talk && mount -o remount,size=64m disk && booth run --store disk/s short.booth >out.refs 2>talk &&
			cmp want.refs out.refs && diff -r want out && booth check --store disk/s >check 2>&1 || { echo "$size k"; cat talk; exit 1; }
		done
		[ $full -ge 2 ]'
	umount disk
else
	skip "a store in a file system that is too small" "needs the right to mount a file system"
fi
finish
