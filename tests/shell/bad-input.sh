# Bad input: one clear sentence with the file's or line's name, exit 1 or 2, nothing half-written, nothing lost.
# (Recipes: runner.sh and recipe.sh; pictures beside each other in a folder: pictures.sh.)
. tests/shell/lib.sh

DAMAGE=$BIN/../tools/damage
MODELS=$SHARED/golden/models
if [ ! -x "$DAMAGE" ]; then
	skip "bad input" "there is no $DAMAGE"
	finish
fi
GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
export GOMP_SPINCOUNT

# refuses CODE TEXT COMMAND...: exit code, the text on stderr, nothing on stdout, at most three lines of talk
refuses() {
	refuses_code=$1 refuses_text=$2; shift 2
	fails "$refuses_code" "$@" >out 2>talk || { cat talk; return 1; }
	says "$refuses_text" talk && [ ! -s out ] && [ "$(grep -vc " pictures, \| left$" talk)" -le 3 ] || { cat out talk; return 1; }
}

# ---- pictures ----

mkdir empty notes zero text one
echo "dear diary" >notes/readme.md; : >zero/a.jpg; echo hello >text/a.jpg
"$DAMAGE" picture 96 80 one/a.png
test "a folder that is empty, that holds no picture, that is not there" '
	refuses 1 "'"'empty'"' holds no picture" booth prep empty && refuses 1 "'"'notes'"' holds no picture" booth prep notes && refuses 1 nowhere booth prep nowhere'
test "zero bytes; text named .jpg" 'refuses 1 "a.jpg" booth prep zero && says "0 bytes" talk && refuses 1 "a.jpg" booth prep text && says "not a picture" talk'
test "a picture cut off" 'mkdir cut && head -c 300 one/a.png >cut/b.png && refuses 1 "b.png" booth prep cut && says "truncated" talk'
test "20000 x 20000 pixels: refused by its header, without taking memory for it" '
	mkdir big && "$DAMAGE" header 20000 20000 big/c.png && ( [ -n "$SANITIZE" ] || ulimit -v 1000000; refuses 1 "c.png" booth prep --threads 1 big ) && says "20000 x 20000" talk'
test "1 x 3000 pixels" 'mkdir thin && "$DAMAGE" picture 1 3000 thin/d.png && refuses 1 "d.png" booth prep thin && says "1 x 3000" talk'
test "the same picture twice" 'mkdir twice && cp one/a.png twice/x.png && cp one/a.png twice/y.png && refuses 1 "y.png" booth prep twice && says "same picture as" talk'
test "a caption that is not UTF-8, or empty" '
	mkdir latin blank && cp one/a.png latin/ && cp one/a.png blank/ && printf "caf\351" >latin/a.txt && : >blank/a.txt &&
	refuses 1 "a.txt" booth prep latin && says "UTF-8" talk && refuses 1 "a.txt" booth prep blank && says "empty" talk'
test "the store is usable after all that" 'booth prep one >ref && booth check && booth cat "$(cat ref)" | grep -q a.png'

# ---- recipes ----

recipe() { printf "$1" >bad.booth; }
test "a cycle, an unknown stage, an unknown option, a value out of range, an undefined variable" '
	recipe "a: b\n\tprep\nb: a\n\tprep\n"; refuses 1 "a cycle" booth run bad.booth && says "bad.booth:" talk &&
	recipe "a:\n\tdevelop\n"; refuses 1 "bad.booth:2: there is no stage" booth run bad.booth &&
	recipe "a: one\n\tprep --fast\n"; refuses 1 "bad.booth:2: " booth run bad.booth && says "no option '"'--fast'"'" talk &&
	recipe "a: one\n\tprep | bucket --step 0\n"; fails 1 booth run bad.booth 2>talk && says "bad.booth:2: " talk && says "1 to 4096" talk &&
	recipe "a: one\n\tprep | caption --text \$(WHAT)\n"; refuses 1 "bad.booth:2: " booth run bad.booth && says "WHAT" talk'
test "stdin closed, empty, or no table" '
	refuses 1 "standard input is closed" sh -c "booth bucket <&-" && refuses 1 "standard input is empty" booth bucket </dev/null &&
	echo hello | refuses 1 "neither a reference" booth bucket && refuses 1 "" booth bucket bucket/00000000000000000000000000000000'
test "stdout closed or full" 'fails 1 booth prep one >/dev/full 2>talk && says "cannot write to standard output" talk && fails 1 booth prep one >&- 2>talk'

# ---- the store ----

test "a store that is a file; a store of another version; a damaged one" '
	echo x >file && refuses 1 "file" booth prep --store file one && [ "$(cat file)" = x ] &&
	booth prep --store flip one >ref && size=$(stat -c %s flip/prep/data.mdb) && cp flip/prep/data.mdb good.mdb &&
	for at in 16 4096 4112 8200 12300 20500 24576; do
		[ $at -lt $size ] || continue
		cp good.mdb flip/prep/data.mdb && printf "\377\377\377\377" | dd of=flip/prep/data.mdb bs=1 seek=$at conv=notrunc 2>/dev/null
		booth cat --store flip "$(cat ref)" >out 2>talk; code=$?
		booth prep --store flip one >out2 2>talk2; code2=$?
		booth check --store flip >out3 2>talk3; code3=$?
		echo "byte $at: cat $code, prep $code2, check $code3"; cat talk talk2 talk3
		[ $code -le 2 ] && [ $code2 -le 2 ] && [ $code3 -le 2 ] || exit 1
	done
	head -c 6000 good.mdb >flip/prep/data.mdb && booth cat --store flip "$(cat ref)" >out 2>talk; [ $? = 1 ] && [ -s talk ] && cp good.mdb flip/prep/data.mdb && booth cat --store flip "$(cat ref)" >out'

# room SIZE: a file system of that size at "disk", fresh
room() { mkdir -p disk; umount disk 2>/dev/null; mount -t tmpfs -o size="$1" none disk 2>/dev/null; }
if room 1m; then
	if [ -n "$SHARED" ]; then mkdir rex && cp "$SHARED"/photos/dog/0[0-2].jpg rex/ && touch -d "1 hour ago" rex/*; else cp -r one rex; fi
	test "a full disk at any write: told, and with more room the same command goes on" '
		booth prep rex >want && for size in 16k 64k 128k 200k 300k 400k 600k; do
			room $size && cat /dev/null >disk/x && if booth prep --store disk/s rex >out 2>talk; then continue; fi
			echo "$size:"; cat talk; [ ! -s out ] && says "No space left" talk && mount -o remount,size=64m disk && booth prep --store disk/s rex >out && cmp out want || exit 1
		done'
	test "a store that cannot be written to" '
		room 8m && booth prep --store disk/s rex >/dev/null && mount -o remount,ro disk && refuses 1 "Read-only" booth prep --store disk/s one'
	room 8m
else
	skip "a full disk" "needs the right to mount a file system"
	skip "a store that cannot be written to" "needs the right to mount a file system"
fi

# ---- models ----

if [ -z "$SHARED" ] || [ ! -d "$MODELS/sd1-tiny" ]; then
	umount disk 2>/dev/null
	skip "models" "the tiny models are not there"
	finish
fi
SD1=$MODELS/sd1-tiny
[ -d rex ] || { mkdir rex && cp "$SHARED"/photos/dog/0[0-2].jpg rex/; }
booth prep rex 2>/dev/null | booth caption --text "a photo of sks dog" 2>/dev/null | booth bucket --resolution 64 2>/dev/null >buckets
booth encode-latents --threads 1 --model "$SD1" "$(cat buckets)" 2>/dev/null >latents
# copy PART: a copy of the model at "model", whose PART will be damaged
copy() { rm -rf model && cp -r "$SD1" model && chmod -R u+w model; }
learn() { booth train --threads 1 --steps 1 "$@" "$(cat latents)"; }

for part in unet vae text_encoder; do
	case $part in
	unet) file=diffusion_pytorch_model.safetensors name=conv_in.weight ;;
	vae) file=diffusion_pytorch_model.safetensors name=encoder.conv_in.weight ;;
	*) file=model.safetensors name=text_model.final_layer_norm.weight ;;
	esac
	test "$part: a weight is missing, unexpected, of the wrong shape, not finite" '
		copy && for what in missing unexpected shape nan; do
			"$DAMAGE" $what "$SD1/'$part/$file'" '$name' model/'$part/$file' || exit 1
			name='$name'; [ $what = unexpected ] && name=a.weight.too.many
			case $what-'$part' in nan-vae) set -- booth encode-latents --threads 1 --model model "$(cat buckets)";; *) set -- learn --train unet,text --model model;; esac
			refuses 1 "$name" "$@" && says "model" talk || exit 1
			case $what in missing) says "is missing" talk;; unexpected) says "is unexpected" talk;; shape) says "the model wants" talk;; nan) says "not finite" talk;; esac || exit 1
		done'
done

# tensors JSON BYTES: a safetensors file "t.safetensors" with that header and so many bytes of data
tensors() {
	n=$(printf %s "$1" | wc -c)
	{ printf "\\$(printf %03o $((n % 256)))\\$(printf %03o $((n / 256)))\000\000\000\000\000\000"; printf %s "$1"; head -c "$2" /dev/zero; } >t.safetensors
}
test "safetensors: overlapping, overlong, cut off, a header of 2 GB" '
	tensors "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}" 12
	refuses 1 t.safetensors learn --model t.safetensors &&
	tensors "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}" 4 && refuses 1 t.safetensors learn --model t.safetensors &&
	tensors "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99999999999999999999]}}" 8 && refuses 1 t.safetensors learn --model t.safetensors &&
	tensors "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}" 8 && refuses 1 t.safetensors learn --model t.safetensors &&
	printf "\000\000\000\200\000\000\000\000{}" >huge.safetensors && truncate -s 2200M huge.safetensors && refuses 1 huge.safetensors learn --model huge.safetensors; code=$?; rm -f huge.safetensors
	[ $code = 0 ] && copy && head -c 5000 "$SD1/unet/diffusion_pytorch_model.safetensors" >model/unet/diffusion_pytorch_model.safetensors && refuses 1 model/unet learn --model model'
test "a pickle that calls os.system" '
	printf "\200\002cos\nsystem\nX\014\000\000\000touch harmed\205R." >evil.ckpt && refuses 1 evil.ckpt learn --model evil.ckpt && says "os.system" talk && [ ! -e harmed ]'
test "a model that is not there, or is a picture" 'refuses 1 nowhere learn --model nowhere && refuses 1 a.png learn --model one/a.png'
test "a configuration that is no JSON" 'copy && echo "{ no" >model/unet/config.json && refuses 1 model/unet/config.json learn --model model'

# ---- training ----

test "--memory too small: what is needed, and what would fit" '
	refuses 1 "8.4 MB is the limit" learn --model "$SD1" --memory 8M --method full && says "the least is" talk && says "with --precision bf16 --method lora" talk &&
	for memory in 72M 100M 130M; do
		refuses 1 "would fit, with" learn --model "$SD1" --memory $memory --method full --batch 4 --train unet,text &&
		learn --model "$SD1" --memory $memory --method full --batch 4 --train unet,text $(sed -n "s/.* would fit, with//p" talk) || exit 1
	done'
test "a loss that is not finite ends the training and keeps the last state" '
	refuses 1 "a lower learning rate may help" learn --model "$SD1" --train unet,text --lr 10 --clip 0 --steps 200 --seed 1 && says "step" talk'
# a run that is too long to end by itself; the signals come once it has reported (as to the runner) its beginning, or a step
training() { : >talk; BOOTH_REPORT=2 booth-train --threads 1 --model "$SD1" "$@" "$(cat latents)" >out 2>talk & pid=$!; }
# no signal is on its way to it any more
arrived() { ! grep -E "^S(ig|hd)Pnd:.*[1-9a-f]" /proc/$pid/status; }
test "ctrl-C: the step is finished and saved; the same command goes on" '
	training --steps 100000 --seed 9 --save-every 100000; await grep "^bar.*steps	[1-9]" talk; kill -INT $pid; wait $pid; code=$?
	[ $code = 1 ] && [ ! -s out ] && says "which are saved; the same command goes on from there" talk'
test "ctrl-C twice ends at once" '
	training --steps 100000 --batch 5 --accumulate 1024; await grep "^bar" talk    # in its first step, which is a long one
	kill -INT $pid; await arrived; kill -INT $pid; wait $pid; code=$?; echo $code; [ $code = 130 ]'
if room 900m; then
	test "a full disk while training: told, the states before stay" '
		train() { BOOTH_STORE=disk/s learn --model "$SD1" --steps 4 --save-every 2; }
		cp -r .booth disk/s && du -sk disk/s | cut -f1 >used && train >want && full=0 && for more in 20 1500 3000 5000; do
			room $(($(cat used) + more))k && cp -r .booth disk/s && train >out 2>talk && continue
			cat talk; [ ! -s out ] && says "No space left" talk && mount -o remount,size=900m disk && train >out && cmp out want || exit 1
			full=$((full + 1))
		done
		[ $full -ge 2 ]'
fi
test "the store is whole after all that" 'booth check'
umount disk 2>/dev/null
finish
