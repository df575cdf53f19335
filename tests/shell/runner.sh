# booth run and the commands around it, with toy stages (tests/tools/toy-stage.c) under many names.
. tests/shell/lib.sh

TOY=$BIN/../tools/toy-stage
if [ ! -x "$TOY" ]; then
	skip "runner" "there is no $TOY"
	finish
fi
mkdir tools
cp "$BIN/booth" tools/booth
for name in list prep caption bucket train sample gen-class encode-latents slow; do
	ln -s "$TOY" "tools/booth-$name"
done
booth() { "$scratch/tools/booth" "$@"; }
TOY_RAN=$scratch/ran
export TOY_RAN
ran() { n=$(grep -c "^begin" ran 2>/dev/null); [ "${n:-0}" = "$1" ] || { echo "$n stages ran, not $1:"; cat ran; return 1; }; }

mkdir photos out
echo one >photos/a.jpg; echo two >photos/b.jpg; echo model >model
touch -d "1 hour ago" photos/* model
cat >dog.booth <<'END'
MODEL ?= model
PHOTOS ?= photos
SIZE = 2

subject: "$(PHOTOS)"
	list | caption --text "a photo" | bucket --size $(SIZE)
prior:
	gen-class --model $(MODEL)
lora: subject
	train --model $(MODEL) --class $(prior) --size 3
out/rex.txt: lora
	sample --text hello
END

test "everything runs once" '
	booth run dog.booth >refs 2>talk && ran 6 && says "out/rex.txt" refs && says "hello 2 rows" out/rex.txt &&
	says "lora: train runs: it never ran" talk'

test "the second time no stage starts" '
	rm ran && booth run dog.booth >refs2 2>talk && ran 0 && cmp refs refs2 && says "nothing to do: 4 targets" talk'

# How long that takes is for make bench to say. A stage that was installed just now is asked for its version each time.
test "the second time no process is started at all, once the stages are two seconds old" '
	mkdir noted && ln -s "$scratch/tools/booth" noted/booth && for name in list caption bucket train sample gen-class; do
		printf "#!/bin/sh\necho $name \$* >>\"$scratch/asked\"\nexec \"$scratch/tools/booth-$name\" \"\$@\"\n" >noted/booth-$name && chmod +x noted/booth-$name || exit 1
	done
	BOOTH_EXEC_PATH=$scratch/noted && export BOOTH_EXEC_PATH && booth run dog.booth && [ -s asked ] &&
	unasked() { rm -f asked; "$scratch/tools/booth" run dog.booth && [ ! -e asked ]; } && await unasked'

test "a target prints its reference" '
	booth run dog.booth lora >ref && grep -qE "^train/[0-9a-f]{32}$" ref && booth cat $(cat ref) | grep -q "^a.jpg"'

test "a parameter that changed runs what needs it" '
	rm -f ran; booth run dog.booth SIZE=4 2>talk && ran 3 && says "subject: bucket runs: size 2 -> 4" talk &&
	says "lora: train runs: the result of '"'subject'"' changed" talk'

test "why names what changed first and what follows" '
	booth why out/rex.txt >why && says "size 2 -> 4" why && says "train ran" why && says "sample ran" why'

test "going back costs nothing but the file" '
	rm -f ran; booth run dog.booth && ran 0'

test "the same result stops the wave" '
	rm -f ran; echo more >photos/c.txt; rm photos/c.txt; touch photos/a.jpg; booth run dog.booth && ran 0'

test "a changed photograph runs list, and what follows if its result is another" '
	rm -f ran; echo three >photos/a.jpg; booth run dog.booth 2>talk && ran 1 && says "list runs: '"'photos'"' changed" talk'

test "why names the items that changed, and the run that was used" '
	echo n >photos/n.jpg && booth run dog.booth && booth why out/rex.txt >why && says "new: n.jpg (1 of 3 items)" why &&
	booth run dog.booth subject SIZE=7 && booth why out/rex.txt >why2 && cmp why why2 &&
	booth why subject >why && says "size 2 -> 7" why && says "all 3 items are changed" why && rm photos/n.jpg && booth run dog.booth'
test "a table can be edited between stages" '
	booth cat $(booth run dog.booth subject) | grep -v b.jpg | booth prep >ref && booth cat $(cat ref) >edited && [ $(wc -l <edited) = 2 ] && says a.jpg edited'

test "-n tells what would run and why, and runs nothing" '
	rm -f ran; booth run -n dog.booth SIZE=5 >plan 2>talk && ran 0 && says "size 2 -> 5" plan && says "may run" plan &&
	says "2 items" plan && grep -q "^prior *up to date" plan'

test "status is a table" '
	booth status dog.booth >status && says "target" status && grep -q "^lora *up to date *train/" status &&
	booth status dog.booth SIZE=5 >status && grep -q "^subject *to run" status'

test "a file that was changed or deleted is written again" '
	rm -f ran; echo other >out/rex.txt; booth run dog.booth 2>talk && says "hello 2 rows" out/rex.txt && ran 1 &&
	says "was changed by something else" talk && rm out/rex.txt && booth run dog.booth 2>talk &&
	says "hello 2 rows" out/rex.txt && says "is not there" talk && rm ran && booth run dog.booth && ran 0'

test "another file under the same name is not taken for it" '
	booth run dog.booth SIZE=6 && printf "x: photos\n\tlist | sample --text A\nout/f.txt: x\n\tsample --text \$(T)\n" >f.booth &&
	booth run f.booth T=1 && booth run f.booth T=2 && says "2 2 rows" out/f.txt && booth run f.booth T=1 &&
	says "1 2 rows" out/f.txt'

test "-B runs everything" '
	rm -f ran; booth run -B dog.booth 2>talk && ran 6 && says "asked for by -B" talk'

test "another name of the folder, another number of threads: nothing runs again downstream" '
	booth run dog.booth && rm -f ran; cp -r photos album; booth run dog.booth PHOTOS=album lora >ref2 && ran 0; booth run dog.booth lora >ref && cmp ref ref2'

test "a table is written by the runner for a stage without --out" '
	mkdir t && cp tools/booth-* t/ && cat >t/booth-plain <<"END" &&
#!/bin/sh
case $1 in
--version) echo 7;;
--list-options) printf "text\ttext\t0\n";;
*) booth-real "$@";;
esac
END
	ln -s "$TOY" t/booth-real; chmod +x t/booth-plain
	sed -i "s|booth-real|$scratch/t/booth-real|" t/booth-plain
	printf "out/t.tsv: photos/a.jpg\n\tlist | plain --text T\n" >plain.booth
	BOOTH_EXEC_PATH=$scratch/t booth run plain.booth && head -1 out/t.tsv | grep -q "^item" && says "T 1" out/t.tsv'

# A stage with --until goes on until the test makes that file.
begun() { [ "$(grep -c "^begin" ran)" = "$1" ]; }
let_go() { touch go; wait $pid; code=$?; rm -f go; return $code; }
printf 'a:\n\tslow --until go --text a\nb:\n\tslow --until go --text b\nt:\n\ttrain --sleep 0.2\ns:\n\tsample --sleep 0.2\n' >par.booth
test "-j runs independent rules together" '
	rm -f ran; booth run -j 2 par.booth a b & pid=$!
	await begun 2; bad=$?; let_go && [ $bad = 0 ]'
test "but one stage a device" '
	rm -f ran; booth run -j 4 par.booth t s && [ "$(sed -n 2p ran | cut -c1-3)" = end ]'
test "two devices are two places" '
	rm -f ran; printf "t:\n\ttrain --until go --device a\ns:\n\tsample --until go --device b\n" >two.booth
	booth run -B -j 4 two.booth & pid=$!
	await begun 2; bad=$?; let_go && [ $bad = 0 ]'
test "what stages say with -j carries the target" '
	touch go; booth run -B -j 2 par.booth a b 2>talk; rm go; printf "x:\n\tslow --fail\n" >x.booth; fails 1 booth run -j2 x.booth 2>talk && says "x: slow: told to fail" talk'

printf 'bad:\n\tslow --fail --text z\nafter: bad\n\tprep\ngood:\n\tcaption --text good\n' >fail.booth
test "a failed rule stops what needs it" '
	rm -f ran; fails 1 booth run fail.booth 2>talk && says "left out, because something it needs failed" talk && ran 1'
test "with -k the rest goes on" '
	rm -f ran; fails 1 booth run -k fail.booth >refs 2>talk && ran 2 && grep -q "^caption/" refs && says "1 of 3 targets failed" talk'
test "a half-done command goes on where it failed" '
	printf "x:\n\tprep --text q | slow --text w \$(FAIL)\n" >half.booth; rm -f ran
	fails 1 booth run half.booth FAIL=--fail && ran 2 && rm ran && booth run half.booth FAIL= && ran 1 && booth log x >log && says "failed" log'
test "failed items with --keep-going are tried again" '
	printf "x:\n\tprep --items-fail --keep-going\n" >items.booth; rm -f ran
	booth run items.booth && booth run items.booth && ran 2'

test "wrong options are told before anything runs" '
	rm -f ran; printf "x:\n\tprep --text a | bucket --siez 3\n" >opt.booth; fails 1 booth run opt.booth 2>talk && ran 0 &&
	says "opt.booth:2: '"'bucket' has no option '--siez', did you mean '--size'"'" talk && says "^" talk'
test "a value out of range names file and line" '
	printf "x:\n\tbucket --size 77\n" >opt.booth; fails 1 booth run opt.booth 2>talk && says "opt.booth:2: " talk && says "1 to 9" talk'
test "an unknown stage names the nearest" '
	printf "x:\n\tbuckte\n" >opt.booth; fails 1 booth run opt.booth 2>talk && says "there is no stage '"'buckte', did you mean 'bucket'"'" talk'
test "an unknown target names the nearest" '
	fails 1 booth run dog.booth laro 2>talk && says "did you mean '"'lora'"'" talk'
test "a missing folder is told" '
	fails 1 booth run dog.booth PHOTOS=nowhere 2>talk && says "dog.booth:5: '"'nowhere'"' is neither" talk'
test "a missing model is told" '
	fails 1 booth run dog.booth MODEL=nowhere 2>talk && says "nowhere" talk'
test "an unknown word names the nearest, exit 2" '
	fails 2 booth stauts 2>talk && says "did you mean '"'status'"'" talk && fails 2 booth 2>talk && fails 2 booth run && fails 2 booth run --jbos 2 dog.booth'
test "booth WORD runs booth-WORD and hands on its exit status" '
	booth prep --text z >ref && grep -q "^prep/" ref && fails 1 booth prep --fail && fails 2 booth prep --nonsense'

test "ctrl-C: stages stop by themselves, exit 130, and the same command goes on" '
	printf "x:\n\tprep --text i | slow --until go --text i\n" >int.booth; rm -f ran
	"$scratch/tools/booth" run int.booth & pid=$!
	await grep slow ran
	kill -INT $pid; wait $pid; [ $? = 130 ] && ran 2 && touch go && booth run int.booth && ran 3; code=$?; rm -f go; exit $code'
test "ctrl-C twice kills what does not listen" '
	printf "#!/bin/sh\ncase \$1 in --version) echo 1;; --list-options) ;; *) trap \"\" INT TERM; echo begin deaf >>ran; for i in \$(seq 3000); do sleep .1; done; echo end >>ran;; esac\n" >tools/booth-deaf
	chmod +x tools/booth-deaf; printf "x:\n\tdeaf\n" >deaf.booth; rm -f ran
	"$scratch/tools/booth" run deaf.booth 2>talk & pid=$!
	await grep deaf ran; kill -INT $pid; await grep "once more kills them" talk
	kill -INT $pid; wait $pid; [ $? = 130 ] && says_not end ran'
test "a stage that prints no reference, or dies, is told" '
	printf "#!/bin/sh\necho hello\n" >tools/booth-chatty; printf "#!/bin/sh\nkill -SEGV \$\$\n" >tools/booth-dying; chmod +x tools/booth-*y tools/booth-dying
	printf "x:\n\tchatty\ny:\n\tdying\n" >odd.booth; fails 1 booth run -k odd.booth 2>talk &&
	says "printed '"'hello'"' where a reference is wanted" talk && says "ended by signal 11" talk'
test "two runners at once" '
	printf "x:\n\tslow --sleep 0.3 --text two\n" >twice.booth; booth run twice.booth >ref1 & booth run twice.booth >ref2; wait; cmp ref1 ref2 && [ -s ref1 ]'
test "stdout full or closed, stdin closed, a store that is a file" '
	fails 1 booth ls >/dev/full 2>talk && says "cannot write" talk && booth run dog.booth <&- >refs 2>talk &&
	fails 1 booth run --store photos/a.jpg dog.booth 2>talk && says "is a file, a folder is wanted" talk'
test "a killed runner takes its stages along" '
	printf "x:\n\tslow --until never --text k\n" >kill.booth; rm -f ran
	"$scratch/tools/booth" run kill.booth & pid=$!
	await grep slow ran; fails 1 booth gc 2>talk && says "is using the store" talk || exit 1
	kill -9 $pid; wait $pid; await booth gc'

test "graph" '
	booth graph dog.booth >g && says "list | caption | bucket" g && booth graph --dot dog.booth >g && says "\"subject\" -> \"lora\"" g && says "style=dashed" g'
test "explain shows commands and what made a result" '
	booth explain dog.booth >x && says "--text \"a photo\"" x && booth explain $(booth run dog.booth lora) >x && says "stage train 1" x && says "param size 3" x && says "input is bucket/" x'
test "ls and check" '
	booth ls >l && says "train" l && booth ls train >l && grep -q "^train/" l && fails 1 booth ls nothing && booth check >c && says "0 damaged" c'
test "cat fails for what is not there" '
	fails 1 booth cat prep/00000000000000000000000000000000 && fails 2 booth cat'
test "log of a training: rows and a drawing" '
	{ printf "step\tloss\tval_loss\n"; for i in 1 2 3 4 5 6 7 8 9 10; do printf "$i\t0.$((99 - i * 5))\t0.9\n"; done; } >t.tsv &&
	booth prep t.tsv >ref && booth log $(cat ref) >log && says "* loss, o validation loss" log && says "0.94" log &&
	booth prep --text other </dev/null >ref2 && printf "item\ttensor\nw\t$(cat ref2)\nlog\t$(cat ref)\n" | booth prep >all && booth log $(cat all) | cmp - log'

test "gc keeps what last runs and pins reach" '
	booth run dog.booth >refs && old=$(booth prep --text pinned) && gone=$(booth prep --text lost) && booth gc --keep $old &&
	booth gc --all >gc && says "$gone" gc && says_not "$old" gc && booth cat $gone >/dev/null && booth gc --yes >gc && says "deleted" gc &&
	fails 1 booth cat $gone && booth cat $old && rm -f ran && booth run dog.booth >refs2 && ran 0 && cmp refs refs2 &&
	booth check && booth gc --unkeep $old && booth gc --yes && fails 1 booth cat $old'
test "gc waits for nobody: a store in use is left alone" '
	printf "x:\n\tslow --until go --text g\n" >g.booth; rm -f ran
	booth run g.booth & pid=$!; await grep slow ran
	fails 1 booth gc --yes 2>talk; bad=$?; let_go && [ $bad = 0 ] && says "is using the store" talk'

if [ -n "$SHARED" ] && [ -x "$BIN/booth-prep" ] && [ -x "$BIN/booth-bucket" ]; then
	unset -f booth
	mkdir real && cp "$SHARED"/photos/dog/*.jpg real/ && touch -d "1 hour ago" real/*
	printf 'x: real\n\tprep | caption --text "a dog" | bucket --resolution 512\n' >real.booth
	export BOOTH_STORE=real-store
	test "photographs: the second run does nothing, one replaced is one that changes" '
		booth run real.booth >ref && booth run real.booth >ref2 2>talk && cmp ref ref2 && says "nothing to do" talk &&
		cp "$SHARED/photos/cat/00.jpg" real/01.jpg && booth run real.booth && booth why x >why &&
		says "changed: 01.jpg (1 of 5 items)" why && booth check && booth gc --yes && booth run real.booth 2>talk &&
		says "nothing to do" talk'
else
	skip "photographs" "the stages or the photographs are not there"
fi
finish
