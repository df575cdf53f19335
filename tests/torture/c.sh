# (c) Many runners at once on one store: the same results, and nothing is computed twice.
. tests/torture/lib.sh

toys list add slow
mkdir photos && for i in 1 2 3; do echo $i >photos/$i.jpg; done
cat >all.booth <<'END'
WHO ?= me
a: photos
	list --sleep 0.05 | add --sleep 0.1 --text one
b: a
	slow --sleep 0.2 --text two
$(WHO)/b.txt: b
	slow --text three
END
cat >some.booth <<'END'
x: photos
	list | add --text one
y: x
	slow --text other --sleep 0.1
END

# together N COMMAND...: so many at once; %d in a word is the number. Their outputs are in out.NUMBER
together() {
	together_n=$1 together_pids=; shift
	for i in $(seq "$together_n"); do
		"$@" WHO=who$i >out.$i 2>talk.$i & together_pids="$together_pids $!"
	done
	for pid in $together_pids; do wait "$pid" || { cat talk.*; return 1; }; done
	for i in $(seq "$together_n"); do sed "s/who$i/who/" out.$i >same.$i; cmp same.1 same.$i || return 1; done
}
test "8 runners of one recipe: each step is computed once" '
	for round in $(seq $(rounds 20 1)); do
		rm -rf .booth ran who*; together 8 booth run all.booth || exit 1
		[ "$(grep -c "begin" ran)" = 11 ] || { cat ran; exit 1; }   # list, add, slow; the file of each runner
		[ "$(grep -c "begin list\|begin add" ran)" = 2 ] && cmp who1/b.txt who8/b.txt && booth check >/dev/null || exit 1
	done
	did "$round times 8 runners of one recipe"'
test "8 runners of overlapping recipes" '
	for round in $(seq $(rounds 20 1)); do
		rm -rf .booth ran who*; pids=
		for i in 1 2 3 4; do
			booth run all.booth b >all.$i 2>talk.a$i & pids="$pids $!"
			booth run some.booth >some.$i 2>talk.s$i & pids="$pids $!"
		done
		for pid in $pids; do wait $pid || { cat talk.*; exit 1; }; done
		for i in 2 3 4; do cmp all.1 all.$i && cmp some.1 some.$i || exit 1; done
		[ "$(grep -c begin ran)" = 4 ] || { cat ran; exit 1; }
	done
	did "$round times 8 of overlapping ones"'
test "a stage that waits says so; killed, it leaves no claim behind" '
	rm -rf .booth ran; printf "item\tx\n1\t2\n" >table
	toys/booth-slow --until never table >/dev/null 2>talk1 & first=$!
	await [ -s ran ]
	toys/booth-slow table >ref 2>talk2 & second=$!
	await grep waiting talk2
	kill -KILL $first; wait $second && says "another process is computing the same" talk2 && [ -s ref ] && [ "$(grep -c begin ran)" = 2 ]'
test "asked to end while waiting" '
	rm -rf .booth ran talk1 talk2; printf "item\tx\n1\t2\n" >table
	toys/booth-slow --until never table >/dev/null 2>talk1 & first=$!
	await [ -s ran ]
	toys/booth-slow table >ref 2>talk2 & second=$!
	await grep waiting talk2
	kill -TERM $second; wait $second; code=$?; kill -KILL $first
	[ $code = 1 ] && says "stopped while another process was computing the same" talk2'

if [ -z "$SHARED" ] || [ ! -d "$MODELS/sd1-tiny" ]; then
	skip "with real stages" "the tiny models are not there"
	finish
fi
unset BOOTH_EXEC_PATH
SD1=$MODELS/sd1-tiny
mkdir rex && cp "$SHARED"/photos/dog/*.jpg rex/ && touch -d "1 hour ago" rex/*
# 256 pixels: what takes less than a write to disk is not claimed (STORE_WRITE_SECONDS)
test "items that another stage encodes are waited for" '
	rm -rf .booth; pids=
	prepared() { booth prep "$@" 2>>talk | booth bucket --resolution 256 2>>talk; }
	prepared rex >all && prepared $(ls -d rex/* | tail -n +2) >less || { cat talk; exit 1; }
	for i in 1 2; do
		booth encode-latents --threads 1 --model "$SD1" "$(cat all)" >out.a$i 2>said.a$i & pids="$pids $!"
		booth encode-latents --threads 1 --model "$SD1" "$(cat less)" >out.b$i 2>said.b$i & pids="$pids $!"
	done
	for pid in $pids; do wait $pid || { cat said.*; exit 1; }; done
	cmp out.a1 out.a2 && cmp out.b1 out.b2 || exit 1
	n=0; for i in $(sed -n "s/.* \([0-9]*\) pictures encoded.*/\1/p" said.*); do n=$((n + i)); done
	echo "$n encoded of $(ls rex | wc -l)"; [ $n = $(ls rex | wc -l) ]'
test "two trainings of one trajectory go one after the other" '
	booth prep rex 2>>talk | booth bucket --resolution 64 2>>talk | booth encode-latents --threads 1 --model "$SD1" >latents 2>>talk || { cat talk; exit 1; }
	booth train --threads 1 --model "$SD1" --steps 4 --seed 2 "$(cat latents)" >four 2>said.4 & one=$!
	booth train --threads 1 --model "$SD1" --steps 8 --save-every 4 --seed 2 "$(cat latents)" >eight 2>said.8; wait $one || exit 1
	grep -q "going on from step 4" said.4 said.8 || says "of 8 steps" said.8'
finish
