# prep, caption and bucket on real photographs and on what is none.
. tests/shell/lib.sh

if [ ! -d "$SHARED/photos" ]; then
	skip "pictures" "there are no photographs"
	finish
fi
# rows REF COLUMN...: those columns of a table, without its header
rows() {
	rows_ref=$1; shift
	booth cat "$rows_ref" | awk -F '\t' -v want="$*" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(want, w, " "); next }
		{ line = ""; for (i = 1; i <= n; i++) line = line (i > 1 ? "|" : "") $(at[w[i]]); print line }'
}
same() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

mkdir rex
for i in 0 1 2 3 4; do cp "$SHARED/photos/dog/0$i.jpg" rex/; done
touch -d "1 hour ago" rex/*

test "photographs are accepted" '
	booth-prep rex >one 2>talk && says "5 pictures: 5 accepted" talk &&
	same "$(rows "$(cat one)" item verdict width height | head -n 1)" "00.jpg|accepted|780|780"'

test "another name of the folder and another number of threads give the same result" '
	cp -r rex other && booth-prep --threads 1 --force other >two && cmp one two && booth-prep --store fresh other >three && cmp one three'

test "the second time nothing is done" '
	booth-prep rex >two 2>talk && cmp one two && says "nothing to do" talk'

test "one photograph replaced: one item runs in prep and bucket" '
	booth-prep rex | booth-bucket >/dev/null && cp "$SHARED/photos/dog2/00.jpg" rex/03.jpg && booth-prep rex >two 2>talk &&
	says "prep: 1 pictures" talk && booth-bucket <two >/dev/null 2>talk && says "1 picture placed, 4 known" talk'

test "what is rejected is named, fails the stage, and is kept out with --keep-going" '
	mkdir bad && cp rex/00.jpg bad/a.jpg && cp rex/00.jpg bad/b.jpg && echo hello >bad/text.jpg && : >bad/zero.png &&
	head -c 20000 rex/01.jpg >bad/cut.jpg && cp rex/01.jpg bad/c.jpg && printf "dog\377" >bad/c.txt &&
	cp rex/02.jpg bad/d.jpg && echo " " >bad/d.txt && echo notes >bad/notes.md && : >bad/.hidden.jpg && : >bad/x.heic &&
	fails 1 booth-prep bad >out 2>talk && same "$(cat out)" "" &&
	says "'\''b.jpg'\'': same picture as '\''a.jpg'\''" talk &&
	says "'\''text.jpg'\'': not a picture: it holds text" talk && says "'\''zero.png'\'': the file is empty (0 bytes)" talk &&
	says "'\''cut.jpg'\'': the JPEG data are truncated" talk && says "'\''c.txt'\'' is not UTF-8 text (at byte 3)" talk &&
	says "'\''d.txt'\'' is empty" talk && says "'\''x.heic'\'': the file is empty" talk && says_not notes talk && says_not hidden talk &&
	booth-prep --keep-going bad >out 2>talk && same "$(rows "$(cat out)" verdict | sort | uniq -c | tr -s " " | tr "\n" ",")" " 1 accepted, 7 rejected,"  &&
	booth-bucket <out 2>talk | { read ref; same "$(rows "$ref" item)" a.jpg; } && says "7 pictures rejected by prep left out" talk'

test "a side below --min-side is rejected with the numbers" '
	fails 1 booth-prep --min-side 1000 rex/00.jpg >out 2>talk && says "780 x 780 pixels, at least 1000 x 1000" talk'

test "no picture at all" '
	mkdir empty && fails 1 booth-prep empty >out 2>talk && says "holds no picture" talk &&
	fails 1 booth-prep nowhere 2>talk && says "neither a folder nor a file" talk && fails 2 booth-prep 2>talk'

test "the folders of kohya give repeats and captions" '
	mkdir -p "set/10_sks dog" set/2_dog && cp rex/00.jpg "set/10_sks dog/" && cp rex/01.jpg set/2_dog && echo "a dog, asleep" >set/2_dog/01.caption &&
	booth-prep set >out 2>talk && same "$(rows "$(cat out)" item repeats caption caption_from concept | tr "\n" ";")" \
		"10_sks dog/00.jpg|10|sks dog|folder|sks dog;2_dog/01.jpg|2|a dog, asleep|sidecar|dog;"'

test "a mask goes along if it fits the picture" '
	mkdir masked && cp rex/00.jpg masked/a.jpg && cp rex/02.jpg masked/a-masklabel.jpg && cp rex/04.jpg masked/b.jpg &&
	booth-prep masked >out 2>talk && rows "$(cat out)" item mask >list && says "a.jpg|prep/" list && says "b.jpg|" list && says_not "masklabel" list &&
	cp "$SHARED/photos/cat/00.jpg" masked/b-masklabel.jpg && fails 1 booth-prep masked >out 2>talk &&
	says "mask '\''b-masklabel.jpg'\'' has 1282 x 1282 pixels, the picture 687 x 687" talk'

test "captions: template, parts of names, replacement, prefix" '
	booth-prep set 2>/dev/null | booth-caption --text "a {folder} called {name}: {caption}" --replace sks=zwx --prefix P --suffix S >out &&
	same "$(rows "$(cat out)" caption | tr "\n" ";")" "P a zwx dog called 00: zwx dog S;P a dog called 01: a dog, asleep S;"'

test "captions: metadata as kohya writes it" '
	echo "{\"00\": {\"caption\": \"one\", \"tags\": \"a, b\"}, \"/x/set/2_dog/01.jpg\": {\"tags\": \"c\"}}" >meta.json &&
	booth-prep set 2>/dev/null | booth-caption --metadata meta.json >out &&
	same "$(rows "$(cat out)" caption | tr "\n" ";")" "one, a, b;c;"'

test "a picture without a caption is an error unless --none" '
	fails 1 booth-caption "$(booth-prep rex)" >out 2>talk && says "'\''00.jpg'\'': no caption" talk &&
	booth-caption --none "$(booth-prep rex)" >out && fails 2 booth-caption --text "{nme}" "$(booth-prep rex)" 2>talk && says "there is no {nme}" talk'

test "buckets: sizes, cut, mirrored rows" '
	printf "item\timage\twidth\theight\nx\t%s\t1920\t1080\n" "$(rows "$(cat one)" image | head -n 1)" >table &&
	booth-bucket --flip <table >out 2>talk && says "640x384" talk &&
	same "$(rows "$(cat out)" item bucket resized crop cut flip | tr "\n" ";")" \
		"x|640x384|683x384|21,0|0.0630|0;x#flip|640x384|683x384|21,0|0.0630|1;" &&
	booth-bucket --square <table >out && same "$(rows "$(cat out)" bucket resized crop)" "512x512|910x512|199,0"'

test "random crops are a function of seed and picture" '
	booth-bucket --crop random:3 --seed 7 <table >a && booth-bucket --store s2 --crop random:3 --seed 7 "$(booth-prep --store s2 other)" >/dev/null &&
	same "$(rows "$(cat a)" item | tr "\n" ";")" "x;x#crop2;x#crop3;" && [ "$(rows "$(cat a)" crop | sort -u | wc -l)" = 3 ] &&
	booth-bucket --crop random:3 --seed 8 <table >b && ! cmp -s a b && booth-bucket --force --crop random:3 --seed 7 <table >c && cmp a c'

test "limits that cannot be are wrong usage" '
	for wrong in "--min 32" "--max 448" "--resolution 0" "--resolution 5x" "--crop random:0" "--square --resolution 512x256" "--step 1024"; do
		fails 2 booth-bucket $wrong <table 2>talk || exit 1
	done'
finish
