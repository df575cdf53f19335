# What a user sees: estimates, status, graph, log, ls, gc, explain; progress on a terminal and elsewhere.
. tests/shell/lib.sh

TOY=$BIN/../tools/toy-stage
if [ ! -x "$TOY" ]; then
	skip "glance" "there is no $TOY"
	finish
fi
mkdir tools out photos
cp "$BIN/booth" tools/booth
for name in list caption bucket sample gen-class slow; do ln -s "$TOY" "tools/booth-$name"; done
# a training whose plan is known
cat >tools/booth-train <<END
#!/bin/sh
case " \$* " in
*" --plan "*) printf "weights 1.0 MB, optimizer 0 bytes\nbatch 1 of 64x64: activations 2.0 MB\npeak 3.0 MB\n" ;;
*" --list-options "*) $scratch/tools/booth-real --list-options; printf "plan\tflag\t1\nsteps\tint\t0\n" ;;
*) exec $scratch/tools/booth-real "\$@" ;;
esac
END
ln -s "$TOY" tools/booth-real
chmod +x tools/booth-train
booth() { "$scratch/tools/booth" "$@"; }
for i in 1 2 3; do echo $i >photos/$i.jpg; done
touch -d "1 hour ago" photos/*
cat >dog.booth <<'END'
WAIT = 0
SIZE = 2
subject: photos
	list | caption --text "a photo" | bucket --size $(SIZE) --sleep $(WAIT)
lora: subject
	train --size 3
out/rex.txt: lora
	sample --text hello
all: out/rex.txt
END

test "-n of work that was never done says so" '
	booth run -n dog.booth >plan && says "how long it takes was never measured" plan && says "1 to run, 2 may run" plan'
test "-n: time from the record, items, and the memory of a training" '
	booth run -q dog.booth WAIT=1 && booth run -n dog.booth SIZE=3 >plan && grep -qE "^subject +runs +[1-9][0-9]*\.[0-9] s +3 items +bucket: size 2 -> 3" plan &&
	says "lora: train takes 3.0 MB of memory" plan && grep -qE "1 to run, 2 may run, 0 up to date; about [1-9][0-9]*\.[0-9] s of work" plan'
test "-n: nothing to do" 'booth run -n dog.booth >plan && says "0 to run, 0 may run, 3 up to date" plan && says_not "about" plan'
test "-n: one photograph of four is new" '
	echo 4 >photos/4.jpg && booth run -n dog.booth >plan && says "1 of 4 items" plan && rm photos/4.jpg'
test "-n -B: all of it" 'booth run -n -B dog.booth >plan && says "3 to run, 0 may run" plan && says "asked for by -B" plan'

test "status: fresh or not, size, last time, cost to rebuild" '
	booth status dog.booth >status && head -1 status | grep -qE "^target +state +result +size +last run +rebuild +why" &&
	grep -qE "^subject +up to date +bucket/[0-9a-f]{8} +[0-9.]+ [a-zA-Z]+ +[0-9-]+ [0-9:]+ +[1-9][0-9]*\.[0-9] s" status &&
	grep -qE "^out/rex.txt +up to date +sample/[0-9a-f]{8} +13 bytes" status && booth status dog.booth SIZE=4 >status && grep -q "^subject *to run" status'
test "graph: text and DOT" '
	booth graph dog.booth >g && grep -q "^lora *train *<- subject" g && booth graph --dot dog.booth >g && head -1 g | grep -q "^digraph" &&
	says "\"lora\" -> \"out/rex.txt\"" g'
test "log: every run, newest first, with its exit" '
	printf "x:\n\tslow --fail --text z\n" >fail.booth; booth run -q fail.booth 2>talk; printf "x:\n\tlist photos | slow --fail\n" >fail.booth
	booth run -q fail.booth 2>talk; booth run -q dog.booth SIZE=5 && booth log >log && head -1 log | grep -qE "^when +target +result +took +exit +what ran" &&
	[ "$(grep -c " subject " log)" = 2 ] && grep -qE " x +failed +[0-9.]+ s +1 +list: it never ran" log && says "bucket: size 2 -> 5" log'
test "ls: runs and items, and what is new in each" '
	booth ls >l && head -1 l | grep -qE "^stage +runs +items +objects +size" && booth ls bucket >l && says "size 5" l && fails 1 booth ls nothing'
test "gc shows what it costs to make again, and deletes nothing" '
	booth run -q dog.booth && booth gc >gc && says "to make again: nothing needs them; --yes deletes them" gc && booth gc >gc2 && cmp gc gc2'
test "explain: the memory of a training" '
	booth explain dog.booth >x && says "	# batch 1 of 64x64: activations 2.0 MB" x && says "	# peak 3.0 MB" x &&
	booth explain --store empty dog.booth >x && says "the memory of train is known when its input is there" x'

# ---- terminals: `script` gives one; its size is set within ----
if ! command -v script >/dev/null || ! command -v stty >/dev/null; then
	skip "terminals" "there is no script or stty"
	finish
fi
# terminal COLUMNS COMMAND: what was written to it goes to the file tty
terminal() { script -qefc "stty cols $1; $2" tty </dev/null >/dev/null; }
# shown COLUMNS COMMAND REGEX...: the stages of the command (--until go) end when each was seen on the terminal
shown() {
	rm -f go tty; terminal "$1" "$2" & shown_pid=$! shown_bad=0; shift 2
	for regex; do await seen "$regex" || shown_bad=1; done
	touch go; wait $shown_pid && [ $shown_bad = 0 ]
}
seen() { tr "\r" "\n" <tty | sed "s/\x1b\[[0-9]*[A-Za-z]//g" | grep -E "$1"; }
up=$(printf "\033[1A")
unset NO_COLOR
TERM=xterm
export TERM
printf "a:\n\tslow --sleep 0.6 --text a\nb:\n\tslow --sleep 0.6 --text b\n" >two.booth
sed "s/sleep 0.6/until go/" two.booth >until.booth

test "a line for each running stage, drawn again in place, with rate and time left" '
	shown 100 "tools/booth run -B -j 2 until.booth" "a: slow: [1-9][0-9]* of 100 ticks, [0-9.]+(/s| s each), [0-9.]+ [a-z]+ left, a note" \
		"b: slow: [1-9][0-9]* of 100 ticks" "b: slow runs" && says "$up" tty'
test "one stage too" 'shown 100 "tools/booth run -B until.booth a" "a: slow: [1-9][0-9]* of 100 ticks" && says "$up" tty'
test "narrow terminals do not wrap" '
	shown 30 "tools/booth run -B -j 2 until.booth" " of 100" && seen " of 100" >lines && [ -s lines ] &&
	[ "$(awk "length > 29" lines | wc -l)" = 0 ] && terminal 40 "tools/booth status dog.booth" &&
	[ "$(tr -d "\r" <tty | sed "s/\x1b\[[0-9]*m//g" | awk "!/^Script/ && length > 39" | wc -l)" = 0 ]'
test "TERM=dumb: plain lines" 'TERM=dumb terminal 80 "tools/booth run -B -j 2 two.booth" && says_not "$up" tty && ! grep -q "$(printf "\033")" tty'
test "no terminal: plain lines" 'booth run -B -j 2 two.booth >out.txt 2>talk && ! grep -q "$(printf "\033")" talk && says "a: toy: 100 ticks" talk'
test "--quiet says nothing, on a terminal and elsewhere" '
	booth run -q -B -j 2 two.booth >out.txt 2>talk && [ ! -s talk ] && terminal 80 "tools/booth run --quiet -B -j 2 two.booth" && says_not "$up" tty && says_not ticks tty'
test "colours on a terminal, none with NO_COLOR" '
	terminal 100 "tools/booth status dog.booth" && grep -q "$(printf "\033\[32m")up to date" tty &&
	NO_COLOR=1 terminal 100 "tools/booth status dog.booth" && ! grep -q "$(printf "\033")" tty && says "up to date" tty'
test "failures stand above the lines" '
	printf "a:\n\tslow --sleep 0.5 --text q\nbad:\n\tslow --fail --sleep 0.2\n" >bad.booth
	terminal 100 "tools/booth run -B -k -j 2 bad.booth"; says "told to fail" tty && says "1 of 2 targets failed" tty'
finish
