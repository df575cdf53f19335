# (f) Clocks that jump, stamps that lie, files that change, network file systems.
. tests/torture/lib.sh
mkdir one && "$TOOLS/damage" picture 96 80 one/a.png && "$TOOLS/damage" picture 64 80 one/b.png
printf 'x: one\n\tprep --threads 1 | caption --text "a dog" | bucket --resolution 64\n' >x.booth
world() { LD_PRELOAD=$TORTURE/preload-world.so; export LD_PRELOAD; }
booth run x.booth >want 2>talk || cat talk

test "a clock that jumps by days with each look" '
	world; export CLOCK_JUMPS=1
	for round in $(seq $(rounds 20 1)); do
		rm -rf .booth; booth run x.booth >got && cmp want got && booth run x.booth 2>talk >got && cmp want got && says "nothing to do" talk && booth why x && booth log && booth gc || exit 1
	done
	did "$round runs with a clock that jumps"'
test "a clock that went back a year, or on by one" '
	booth run x.booth && world && for by in -31536000 31536000; do
		CLOCK_SHIFT=$by booth run x.booth 2>talk >got && cmp want got && says "nothing to do" talk && CLOCK_SHIFT=$by booth status x.booth || exit 1
	done'
printf "x\ty\n1\t2\n" >t1 && printf "x\ty\n1\t3\n" >t2 && touch -d "1 hour ago" t1 t2
test "another content of the same size under the same time, at once and when the first is remembered" '
	toys slow
	for age in 0 2.5; do
		rm -rf .booth ran; cp t1 t; touch -r t1 t; sleep $age
		toys/booth-slow --model t t1 >/dev/null 2>>talk && cp t2 t && touch -r t1 t && toys/booth-slow --model t t1 >/dev/null 2>>talk &&
		toys/booth-slow --model t t1 >/dev/null 2>>talk && [ "$(grep -c begin ran)" = 2 ] || { cat talk ran; exit 1; }
	done'
for pair in 26985:NFS 4283649346:CIFS 16914839:9P; do
	test "a store on ${pair#*:}: told where to put it" '
		world; export FILE_SYSTEM='${pair%:*}'
		fails 1 booth run --store net x.booth 2>talk && says "'${pair#*:}'" talk && says "BOOTH_STORE" talk && [ ! -e net/prep ] &&
		fails 1 booth prep --store net one 2>talk && says "network file system" talk'
done
finish
