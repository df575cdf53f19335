# (a) kill -9 at random instants of a recipe with every stage, the runner and its stages at once; started again until it
# ends: the same results as a run that was never killed, nothing left that gc doesn't take, no temporary files.
. tests/torture/lib.sh
SD1=$MODELS/sd1-tiny
if [ -z "$SHARED" ] || [ ! -d "$SD1" ]; then
	skip "killed at random instants" "the tiny models are not there"
	finish
fi
mkdir rex && for i in 0 1 2; do cp "$SHARED/photos/dog/0$i.jpg" rex/; done && touch -d "1 hour ago" rex/*
cat >every.booth <<END
all: out/lora.safetensors out/model out/rex.png words
subject: rex
	prep --threads 1 | caption --text "a photo of sks dog, {name}" | bucket --resolution 64 | encode-latents --model "$SD1" --threads 1
words: subject
	encode-text --model "$SD1" --threads 1
prior:
	gen-class --model "$SD1" --prompt "a dog" --count 2 --batch 1 --width 64 --height 64 --steps 2 --threads 1 | bucket --resolution 64 | encode-latents --model "$SD1" --threads 1
lora: subject
	train --model "$SD1" --rank 2 --steps 6 --seed 3 --save-every 2 --class \$(prior) --threads 1
out/lora.safetensors: lora
	convert --to kohya
out/model: lora
	convert --to diffusers --merge --model "$SD1" --tokenizer "$SHARED/data/clip-tokenizer"
out/rex.png: lora
	sample --model "$SD1" --prompt "a sks dog" --count 2 --batch 1 --width 64 --height 64 --steps 2 --threads 1
END
[ -d "$SHARED/data/clip-tokenizer" ] || sed -i "s/ --tokenizer .*//" every.booth

# What is to be the same: results, files, and what gc leaves.
kept() { booth gc --yes >gc.log 2>&1 && ids .booth >"$1"; }
start=$(date +%s%N)
test "a run that is never killed" 'booth run every.booth >want.refs && mv out want && kept want.ids && [ -s want.ids ]'
took=$((($(date +%s%N) - start) / 1000000))
booth train --model "$SD1" --help >/dev/null 2>&1 || true

# kill_all SESSION: the runner is stopped first, so that it neither sees its stages end nor starts others
kill_all() {
	kill -STOP "$1" 2>/dev/null
	for round in 1 2 3; do
		kill_pids=$(ps -o pid= -s "$1" | grep -vw "$1")
		[ -z "$kill_pids" ] || kill -KILL $kill_pids 2>/dev/null
	done
	kill -KILL "$1" 2>/dev/null
}
test "killed at random instants, and started again" '
	want=$(rounds 200 5) kills=0 ends=0 seed=${SEED:-$(date +%s)}
	echo "seed $seed, a whole run takes $took ms"; rm -rf .booth
	while [ $kills -lt $want ]; do
		seed=$(((seed * 1103515245 + 12345) % 2147483648)); after=$((seed / 7 % took))
		setsid booth run every.booth >got.refs 2>talk & run=$!
		sleep $((after / 1000)).$(printf %03d $((after % 1000)))
		if kill -0 $run 2>/dev/null; then kill_all $run; fi
		wait $run; code=$?
		if [ $code = 137 ]; then kills=$((kills + 1)); [ $kills -lt $want ] && continue; booth run every.booth >got.refs 2>talk; code=$?; fi
		[ $code = 0 ] || { cat talk; exit 1; }
		ends=$((ends + 1))
		left=$(find . -name "*.tmp*" -o -name ".booth-*" -o -name "*-unchecked*")
		cmp want.refs got.refs && diff -r want out && booth check >check.log 2>&1 && kept got.ids && cmp want.ids got.ids && [ -z "$left" ] || { cat check.log; diff want.ids got.ids; echo "left: $left"; exit 1; }
		rm -rf .booth out
	done
	did "$kills kills in $ends runs of a recipe with every stage"'
finish
