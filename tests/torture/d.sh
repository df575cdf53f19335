# (d) gc all the time while recipes run: nothing that they use is taken.
. tests/torture/lib.sh
toys list add slow
mkdir photos && for i in 1 2 3; do echo $i >photos/$i.jpg; done
for i in 1 2 3; do
	printf 'a: photos\n\tlist | add --sleep 0.02 --text t$(N) | slow --sleep 0.05 --text u$(N)\nout%s.txt: a\n\tslow --text v$(N)-%s\n' $i $i >r$i.booth
done
test "gc --yes all the time, while three recipes run with ever other values" '
	rm -rf .booth; booth run r1.booth N=0 || exit 1
	( while [ ! -e done ]; do booth gc --yes >>gc.log 2>>gc.err; done ) & gc=$!
	bad=0; pids=
	for i in 1 2 3; do
		( for n in $(seq $(rounds 60 4)); do
			booth run r$i.booth N=$n >refs.$i 2>talk.$i && booth cat "$(booth run r$i.booth a N=$n 2>>talk.$i)" >table.$i && grep -q "u$n" table.$i && grep -q "v$n-$i" out$i.txt || { cat talk.$i; exit 1; }
		done ) & pids="$pids $!"
	done
	for pid in $pids; do wait $pid || bad=1; done
	touch done; wait $gc
	booth check || bad=1
	grep -v "is using the store" gc.err && bad=1
	did "gc ran $(grep -c " of " gc.log) times, was refused $(wc -l <gc.err) times, while recipes ran $(rounds 60 4) times each"; [ $bad = 0 ]'
finish
