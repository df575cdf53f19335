# booth why: the leaf, the chain, what merely follows, what was not run; of the last run and of the next.
. tests/shell/lib.sh

TOY=$BIN/../tools/toy-stage
if [ ! -x "$TOY" ]; then
	skip "why" "there is no $TOY"
	finish
fi
mkdir tools out photos photos/rex
cp "$BIN/booth" tools/booth
for name in prep caption train sample gen-class; do ln -s "$TOY" "tools/booth-$name"; done
ln -s "$TOY" tools/booth-list
ln -s "$TOY" tools/booth-real
# a stage whose version can be raised
cat >tools/booth-bucket <<END
#!/bin/sh
[ "\$1" = --version ] && exec cat $scratch/version
exec $scratch/tools/booth-real "\$@"
END
chmod +x tools/booth-bucket
booth() { "$scratch/tools/booth" "$@"; }
raise() { echo "$1" >version; touch -d "$1 days ago" tools/booth-bucket; }
raise 2

for i in 1 2 3; do echo $i >photos/rex/0$i.jpg; done
echo model >model
touch -d "1 hour ago" photos/rex/* model
cat >dog.booth <<'END'
MODEL ?= model
PHOTOS ?= photos
SUBJECT ?= sks dog
STEPS = 2

subject: "$(PHOTOS)/rex"
	list | caption --text "a photo of $(SUBJECT)" | bucket
prior:
	gen-class --model $(MODEL)
lora: subject
	train --class $(prior) --size $(STEPS)
out/rex.txt: lora
	sample --text hello
END
# lines FROM TO FILE: the part below the heading FROM, up to the heading TO
part() { sed -n "/^$1/,/^what/p" "$2"; }

test "a first run has nothing to compare with" '
	booth run -q dog.booth && booth why lora >why && says "it never ran before" why && fails 1 booth why loar 2>talk &&
	says "no run of a target" talk && fails 2 booth why && fails 2 booth why lora STEPS=3 2>talk && says "give -n as well" talk'

test "a parameter: the variable that led to it, the chain, the two lines" '
	booth run -q dog.booth STEPS=4 && booth why out/rex.txt >why &&
	says "train: size 2 -> 4 (STEPS on the command line)" why && says "      lora: train -> out/rex.txt: sample" why &&
	says "- param size 2" why && says "+ param size 4" why'
test "what merely follows is told apart" '
	part "what follows" why >part && says "out/rex.txt: sample ran: another result of lora" part &&
	part "what changed" why >part && says_not "another result" part'
test "what did not run, and why not" '
	part "what did not run" why >part && says "subject: nothing that it depends on changed" part &&
	says "prior: nothing that it depends on changed" part'

test "a prompt leads to the subject" '
	booth run -q dog.booth STEPS=4 "SUBJECT=zwx dog" && booth why out/rex.txt >why &&
	says "caption: text a photo of sks dog -> a photo of zwx dog (SUBJECT = sks dog -> zwx dog on the command line)" why &&
	says "subject: caption | bucket -> lora: train -> out/rex.txt: sample" why && says_not "input in" why &&
	says "subject: bucket ran: another result of caption" why && says "lora: train ran: another result of subject" why && booth run -q dog.booth'
test "an edited recipe is told as what it changes" '
	sed "s/^STEPS = 2/STEPS = 3/" dog.booth >new && cp dog.booth old && cp new dog.booth && booth run -q dog.booth && booth why lora >why &&
	says "train: size 2 -> 3 (STEPS in the recipe)" why && cp old dog.booth && booth run -q dog.booth'
test "a result of before that was taken" '
	booth why lora >why && says "lora: train did not run, its result for this was known" why'

test "a photograph that changed and gave the same table: nothing follows" '
	echo other >photos/rex/02.jpg && booth run -q dog.booth && booth why subject >why &&
	says "photograph photos/rex/02.jpg: content" why && says "subject: list, which gave the same table: nothing follows" why &&
	part "what did not run" why >part && says "caption: list ran again and gave the same table: nothing follows" part'
test "why a target was not run again" '
	booth why lora >why && says "since then subject ran" why && says "gave the same table: nothing follows" why'
test "a new photograph and a missing one" '
	echo 4 >photos/rex/04.jpg && rm photos/rex/01.jpg && booth run -q dog.booth && booth why lora >why &&
	says "photograph photos/rex/04.jpg: new" why && says "photograph photos/rex/01.jpg: gone" why &&
	says "subject: list | caption | bucket -> lora: train" why && says "new: 04.jpg (1 of 3 items)" why'
test "a stage that was raised" '
	raise 3 && booth run -q dog.booth && booth why out/rex.txt >why && says "stage bucket: version 2 -> 3" why &&
	says "subject: bucket, which gave the same table: nothing follows" why ||
	{ booth why subject >why && says "stage bucket: version 2 -> 3" why && says "which gave the same table" why; }'
test "one file that two steps take is one leaf with two chains" '
	sed "s/train --class/train --model \$(MODEL) --class/" dog.booth >both.booth && booth run -q both.booth &&
	echo other >model && booth run -q both.booth && booth why lora >why && [ "$(grep -c "file model: content" why)" = 1 ] &&
	says "      prior: gen-class" why && says "      lora: train" why'
test "another folder is named with its variable" '
	cp -r photos album && echo 9 >album/rex/09.jpg && booth run -q dog.booth PHOTOS=album && booth why subject >why &&
	says "photos/rex -> album/rex (PHOTOS = photos -> album on the command line)" why && says "photograph album/rex/09.jpg: new" why'
test "-B, and a file that somebody else changed" '
	booth run -q dog.booth && booth run -q -B dog.booth lora && booth why lora >why && says "train: asked for by -B" why &&
	echo x >out/rex.txt && booth run -q dog.booth && booth why out/rex.txt >why && says "was changed by something else" why'
test "the last run that was used counts, not a later one of another target" '
	booth run -q dog.booth && booth why lora >one && booth run -q dog.booth subject "SUBJECT=cat" && booth why lora >two &&
	says "another table, which was not used yet" two && grep -vE "since then|what did not" two >three && grep -vE "since then|what did not" one | cmp - three &&
	booth run -q dog.booth'

test "-n: up to date" '
	booth why -n out/rex.txt >why && says "it is up to date" why && part "what would not run" why >part && says "lora: nothing that" part'
test "-n: what would follow; nothing runs" '
	TOY_RAN=$scratch/ran booth why -n out/rex.txt STEPS=7 >why && says "train: size 2 -> 7 (STEPS" why &&
	says "lora: train -> out/rex.txt: sample" why && part "what would follow" why >part && says "out/rex.txt: sample" part &&
	part "what would not run" why >part && says "subject: nothing that it depends on changed" part && [ ! -e ran ]'
test "-n: a photograph is named before anything runs" '
	echo 5 >photos/rex/05.jpg && booth why -n lora >why && says "photograph photos/rex/05.jpg: new" why &&
	says "subject: list | caption | bucket -> lora: train" why && rm photos/rex/05.jpg'
test "-n: two leaves, of which one lies behind the other" '
	booth why -n lora "SUBJECT=cat" STEPS=5 >why && says "caption: text" why && says "train: size 2 -> 5" why'
test "-n takes the variables of the last run" '
	booth run -q dog.booth STEPS=6 && booth why -n lora >why && says "with STEPS=6" why && says "it is up to date" why'
test "folders of earlier runs are known after gc" '
	echo 6 >photos/rex/06.jpg && booth run -q dog.booth STEPS=6 && booth gc --yes && booth check && booth why lora >why &&
	says "photograph photos/rex/06.jpg: new" why'
test "a long text is shown where it differs" '
	long="one two three four five six seven eight nine ten eleven twelve thirteen fourteen" &&
	printf "x:\n\tcaption --text \"\$(T)\"\n" >long.booth && booth run -q long.booth "T=$long end" && booth run -q long.booth "T=$long other" &&
	booth why x >why && says "text ...e thirteen fourteen end -> ...e thirteen fourteen other (T on the command line)" why'
finish
