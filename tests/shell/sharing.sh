# push, pull, export, import, and a second store that is looked through.
. tests/shell/lib.sh

SCENES=$BIN/../tools/scenes
if [ ! -x "$SCENES" ]; then
	skip "sharing" "there is no $SCENES"
	finish
fi
"$SCENES" --out pictures --count 12 --seed 3 >/dev/null 2>&1 || { echo "no pictures were drawn"; exit 1; }
rm -f pictures/*.txt pictures/*.tsv
touch -d "1 hour ago" pictures/*
MODEL=$SHARED/golden/models/sd1-tiny
encode=" | encode-latents --model \"$MODEL\" --threads 1"
if [ -z "$SHARED" ] || [ ! -d "$MODEL" ]; then
	skip "with latents" "the tiny models are not there"
	encode=
fi
cat >pets.booth <<END
pets: pictures
	prep | caption --text "a photo" | bucket --resolution 64$encode
END

# Stages through wrappers that leave a line in "ran" for every one that is started to do work.
mkdir counted
for stage in "$BIN"/booth-*; do
	name=$(basename "$stage")
	printf '#!/bin/sh\ncase $1 in --version|--list-options) ;; *) echo %s >>"%s/ran" ;; esac\nexec "%s" "$@"\n' \
		"$name" "$scratch" "$stage" >"counted/$name"
	chmod +x "counted/$name"
done
export BOOTH_EXEC_PATH=$scratch/counted
idle() { rm -f ran; "$@" >out 2>talk && [ ! -e ran ] || { echo "not idle: $*"; cat talk ran; return 1; }; }
same() { [ -n "$1" ] && [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
whole() { BOOTH_STORE=$1 booth check >checked 2>&1 || { cat checked; return 1; }; says_not "1 results gone" checked; }
# sent FILE: the number of objects in what a command said
sent() { sed -n 's/^\([0-9]*\) objects and .*/\1/p' "$1"; }
data() { find "$1" -name data.mdb | sort | xargs cat | cksum; }

BOOTH_STORE=own
export BOOTH_STORE
booth run pets.booth >ref 2>talk || { cat talk; exit 1; }

test "pushed and pulled: the same recipe runs nothing" '
	booth push shared >said && [ "$(sent said)" -gt 13 ] && export BOOTH_STORE=b && booth pull shared >said2 && same "$(sent said)" "$(sent said2)" &&
	idle booth run pets.booth && cmp out ref && says "nothing to do" talk && whole b && whole shared &&
	idle booth run -n pets.booth && booth explain "$(cat ref)" >why && says "stage " why'
test "the stages themselves find it too" '
	export BOOTH_STORE=b && booth prep pictures 2>talk | booth caption --text "a photo" 2>>talk | booth bucket --resolution 64 2>>talk >out &&
	same "$(grep -c "known, nothing to do" talk)" 3'
test "what the other side has is not sent again" '
	booth push shared >said && says "0 objects and 0 actions sent, 0 bytes" said'
test "one picture more: that much is sent, and one item runs there" '
	cp -r pictures more && export BOOTH_STORE=c && booth pull shared >said && all=$(sent said) &&
	printf "x" | cat pictures/"$(ls pictures | head -n 1)" - >more/new.png; touch -d "1 hour ago" more/new.png
	sed "s/pets: pictures/pets: more/" pets.booth >more.booth && export BOOTH_STORE=own && booth run more.booth 2>talk &&
	booth push shared >said && [ "$(sent said)" -lt 8 ] && export BOOTH_STORE=c && booth run more.booth 2>talk && says "prep: 1 pictures" talk &&
	BOOTH_STORE=own && booth run pets.booth'
test "by reference, abbreviated, and by the name of its target; less with --only" '
	booth push d "$(cut -c 1-24 ref)" >said && n=$(sent said) && export BOOTH_STORE=e && booth pull shared pets >said && [ "$(sent said)" -ge "$n" ] &&
	export BOOTH_STORE=f && booth pull --only result d "$(cat ref)" >said && says " and 0 actions" said && [ "$(sent said)" -lt "$n" ] &&
	booth cat "$(cat ref)" | grep -q item && whole f && rm -f ran && booth run pets.booth 2>talk && [ -s ran ] &&
	export BOOTH_STORE=g && booth pull --only actions d "$(cat ref)" >said && says_not " and 0 actions" said && [ "$(sent said)" -lt "$n" ]'
test "how much it would be, and nothing is made" '
	booth push --dry-run nowhere >said && says "would be sent" said && [ ! -e nowhere ]'
test "gc of the receiver keeps it until it is told not to" '
	cp -r d h && export BOOTH_STORE=h && booth gc --yes >said && says "0 of " said && BOOTH_STORE=i booth pull h >said &&
	booth gc --unkeep "$(cat ref)" && booth gc --yes >said && says "deleted" said && fails 1 booth cat "$(cat ref)"'
test "with --no-keep gc takes it" '
	booth push --no-keep j >said && BOOTH_STORE=j booth gc >said && says "nothing needs them" said'
test "the folder of a project means the store in it" '
	mkdir project && cp -r d project/.booth && BOOTH_STORE=k booth pull project >said && says " sent" said && booth push project >said && [ ! -e project/prep ]'

# ---- streams ----

test "through a pipe" '
	booth export "$(cat ref)" 2>said | BOOTH_STORE=p booth import >said2 && same "$(sent said)" "$(sent said2)" &&
	export BOOTH_STORE=p && idle booth run pets.booth && cmp out ref && whole p'
booth export >stream 2>/dev/null
test "a stream is the same every time, and only the difference of it is written" '
	booth export 2>/dev/null | cmp - stream && BOOTH_STORE=q booth import <stream >/dev/null && BOOTH_STORE=q booth export --list >has &&
	booth export --except has 2>said >rest && says "0 objects and 0 actions sent" said && [ "$(wc -c <rest)" -lt 2000 ] && BOOTH_STORE=q booth import <rest &&
	grep "^prep/[0-9a-f]*$" has >some && booth export --except some 2>said >rest && [ "$(wc -c <rest)" -lt "$(wc -c <stream)" ] &&
	BOOTH_STORE=q booth import <rest >said2 && says "0 objects and 0 actions" said2 &&
	fails 1 env BOOTH_STORE=q2 booth import <rest 2>talk && says "which is not in" talk && whole q2'
size=$(wc -c <stream)
test "a damaged byte is refused wherever it is; what arrives is whole; the right one then does" '
	for i in $(seq 0 15); do
		at=$((size * i / 16 + i % 5 * 7)); [ $at -lt "$size" ] || continue
		head -c $at stream >bad; tail -c +$((at + 1)) stream | head -c 1 | tr "\000-\377" "\001-\377\000" >>bad
		tail -c +$((at + 2)) stream >>bad; [ "$(wc -c <bad)" = "$size" ] || exit 1
		fails 1 booth import --store r <bad >out 2>talk || { echo "byte $at"; exit 1; }
		says booth: talk && [ "$(wc -l <talk)" = 1 ] && whole r || { cat talk; exit 1; }
	done
	booth import --store r <stream && export BOOTH_STORE=r && idle booth run pets.booth'
test "a truncated stream is refused, what came is kept" '
	for i in 0 1 2 3 4 5 6 7; do
		head -c $((size * i / 8 + i)) stream >cut && fails 1 booth import --store t <cut 2>talk && [ "$(wc -l <talk)" = 1 ] || { cat talk; exit 1; }
	done
	says "truncated" talk && whole t && booth import --store t <stream >said && [ "$(sent said)" -lt "$(wc -l <has)" ] && export BOOTH_STORE=t && idle booth run pets.booth'
test "killed in the middle, and again" '
	for at in 1 2 3 5 8 13 20 30 45; do
		killed_at $at booth import --store u <stream >/dev/null 2>&1; [ ! -d u/prep ] || whole u || exit 1
	done
	booth import --store u <stream && export BOOTH_STORE=u && idle booth run pets.booth'
test "push killed at any instant, and again" '
	for at in 1 2 3 5 8 13 20 30 45; do killed_at $at booth push v >/dev/null 2>&1; [ ! -d v/prep ] || whole v || exit 1; done
	booth push v && whole v && export BOOTH_STORE=v && idle booth run pets.booth'
test "streams of other versions, and what is none" '
	sed "1s/stream 1/stream 7/" stream >bad && fails 1 booth import --store w <bad 2>talk && says "of version 7, this program reads version 1" talk &&
	sed "1s/format [0-9]*/format 99/" stream >bad && fails 1 booth import --store w <bad 2>talk && says "store format 99" talk &&
	fails 1 booth import --store w <pets.booth 2>talk && says "no stream of booth export" talk && fails 1 booth import --store w </dev/null 2>talk && says "empty" talk'

# ---- refusals ----

test "wrong words" '
	fails 2 booth push 2>talk && says "no folder" talk && fails 2 booth import word <stream 2>talk && fails 2 booth export --list word 2>talk &&
	fails 1 booth push shared nothing 2>talk && says "neither a reference (STAGE/HEX) nor a target" talk &&
	fails 1 booth push pictures 2>talk && says "no store and not empty" talk && fails 1 booth push none/disk 2>talk && says "is the disk mounted" talk &&
	fails 1 booth push own 2>talk && says "this store itself" talk && fails 1 booth pull pictures 2>talk && says "there is no store in" talk &&
	fails 1 booth pull none 2>talk && says "no folder '"'none'"'" talk && fails 1 booth push --store none d 2>talk && says "there is no store" talk &&
	echo hm >list && fails 1 booth export --except list 2>talk >out && says "list:1" talk && [ ! -e none ]'
test "an object damaged in the store is not sent" '
	cp -r own broken
	f=broken/prep/data.mdb; at=$(LC_ALL=C grep -obUa IDAT $f | tail -n 1 | cut -d: -f1) && printf "\001\002\003" | dd of=$f bs=1 seek=$((at + 20)) conv=notrunc 2>/dev/null &&
	fails 1 booth push --store broken x 2>talk && says "damaged" talk && { [ ! -d x/prep ] || whole x; }'

# ---- a second store ----

test "a second store: looked at without a trace, used in place of work, copied on use" '
	before=$(data shared) && export BOOTH_STORE=y:shared && idle booth run -n pets.booth && says "up to date" out && booth status pets.booth >out && says "up to date" out &&
	[ ! -e y/prep ] && booth cat "$(cat ref)" >table && [ ! -e y/prep ] && idle booth run pets.booth && cmp out ref && booth ls >out && says "shared:" out &&
	same "$before" "$(data shared)" && export BOOTH_STORE=y && idle booth run pets.booth && whole y && booth gc >said && says "nothing to delete" said'
test "single stages: known there, copied with what they name" '
	export BOOTH_STORE=z:own && booth prep pictures 2>talk >out && says "known, nothing to do" talk && says "known elsewhere and are copied" talk && whole z &&
	booth caption --text "another" <out >one 2>talk && booth bucket --resolution 64 <one 2>talk >two && says "12 known" talk && whole z'
test "a table that is handed in names what lies elsewhere: it is copied" '
	booth cat --store shared "$(cat ref)" >table && export BOOTH_STORE=aa:shared && booth caption --text "third" <table >out 2>talk && whole aa && [ -e aa/prep ]'
test "a second store that is gone is named; so is one that is none" '
	fails 1 env BOOTH_STORE=y:gone booth ls 2>talk && says "'"'gone'"'" talk && mkdir hollow && fails 1 booth prep --store y:hollow pictures 2>talk && says "is the disk mounted" talk &&
	fails 1 booth ls --store y: 2>talk && says "empty name" talk && fails 1 booth ls --store y:y 2>talk && says "named twice" talk'
test "several, and the usual one for an empty name" '
	cp -r d .booth && booth ls --store :shared:own >out && says ".booth:" out && says "shared:" out && says "own:" out'
test "gc and check mean the first" '
	before=$(data shared) && booth gc --yes --store y:shared >out && booth check --store y:shared >out && same "$before" "$(data shared)"'
# Root may write everywhere, so only a mount is really read-only; it is made in a name space of its own.
# The second time without the lock file that LMDB asks for first.
if unshare -m sh -c "mkdir ro && mount --bind shared ro && mount -o remount,bind,ro ro && ! touch ro/x" 2>/dev/null; then
	test "a second store on a read-only mount" '
		unshare -m sh -c "mount --bind shared ro && mount -o remount,bind,ro ro && booth run --store ab:ro pets.booth && booth pull --store ac ro" >out 2>talk &&
		says "nothing to do" talk && whole ab && whole ac && cp -r shared bare && rm bare/*/lock.mdb &&
		unshare -m sh -c "mount --bind bare ro && mount -o remount,bind,ro ro && booth run --store ad:ro pets.booth" 2>talk && says "nothing to do" talk && whole ad'
else
	skip "a second store on a read-only mount" "no name space for mounts can be made here"
fi
test "without the lock file nothing is made in it either" '
	rm -rf bare; cp -r shared bare && rm bare/*/lock.mdb && booth run --store ae:bare pets.booth 2>talk && says "nothing to do" talk && [ -z "$(find bare -name lock.mdb)" ]'
finish
