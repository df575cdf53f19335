# convert: models and LoRAs into one another, what was trained into files, wrong use and full disks.
. tests/shell/lib.sh

if [ -z "$SHARED" ] || ! [ -x "$BIN/booth-convert" ]; then
	skip "convert" "the tiny models (../shared/golden) are missing"
	finish
fi
models=$SHARED/golden/models
one=$models/sd1-tiny
two=$models/sd2-tiny
photos=$SHARED/photos/dog

# What a safetensors file holds beside its header: the layout is fixed, so equal data are equal values.
data() { tail -c +$(($(od -An -tu8 -N8 "$1") + 9)) "$1"; }
same_data() {
	data "$1" >data.1 && data "$2" >data.2 && [ -s data.1 ] && cmp data.1 data.2
}
header() { head -c $(($(od -An -tu8 -N8 "$1") + 8)) "$1" | tail -c +9; }
# Nothing beside what was asked for is left in the folder.
only() { [ "$(ls -A "$1" | tr '\n' ' ')" = "$2 " ] || { ls -lA "$1"; return 1; }; }
quiet() { booth-convert --quiet "$@" >ref; }

for m in sd1-tiny sd2-tiny; do
	test "$m: folder to single file and back" '
		quiet --model "$models/$m" --out made/$m.safetensors && only made $m.safetensors &&
		quiet --model made/$m.safetensors --tokenizer "$models/$m/tokenizer" --out back/$m && only back $m &&
		for f in unet/diffusion_pytorch_model vae/diffusion_pytorch_model; do
			same_data "$models/$m/$f.safetensors" back/$m/$f.safetensors || exit 1
			cmp "$models/$m/${f%/*}/config.json" "back/$m/${f%/*}/config.json" || exit 1
		done
		quiet --model back/$m --out again.safetensors && same_data made/$m.safetensors again.safetensors
		rm -rf made back again.safetensors'
done

test "a pickle becomes the same as its safetensors" '
	quiet --model "$models/sd1-tiny-single.ckpt" --out a.safetensors &&
	quiet --model "$models/sd1-tiny-single.safetensors" --out b.safetensors && same_data a.safetensors b.safetensors'

test "half precision: half the size, and f32 of it is what f16 holds" '
	quiet --model "$one" --dtype f16 --out half.safetensors && quiet --model half.safetensors --dtype f32 --out full.safetensors &&
	quiet --model full.safetensors --dtype f16 --out half2.safetensors && same_data half.safetensors half2.safetensors &&
	[ $(data full.safetensors | wc -c) = $((2 * $(data half.safetensors | wc -c))) ] &&
	quiet --model half.safetensors --out kept.safetensors && same_data half.safetensors kept.safetensors &&
	quiet --model "$one" --dtype bf16 --out bf.safetensors'

test "the same again: nothing is written; changed or gone: written again" '
	booth-convert --model "$one" --out k.safetensors >r1 && touch -d "2001-01-01" k.safetensors &&
	booth-convert --model "$one" --out k.safetensors >r2 2>talk && says "nothing to do" talk && cmp r1 r2 &&
	[ "$(date -r k.safetensors +%Y)" = 2001 ] &&
	echo x >>k.safetensors && booth-convert --model "$one" --out k.safetensors >r2 2>talk && says_not "nothing" talk && cmp r1 r2 &&
	cp k.safetensors was && rm k.safetensors && quiet --model "$one" --out k.safetensors && cmp k.safetensors was &&
	quiet --model "$one" --out other.safetensors && cmp other.safetensors was'

test "another store, another folder: the same bytes" '
	mkdir -p elsewhere && cp -r "$one" elsewhere/model && quiet --model "$one" --out here.safetensors &&
	(cd elsewhere && quiet --store s --model model --threads 1 --out there.safetensors) && cmp here.safetensors elsewhere/there.safetensors &&
	header here.safetensors >head && says "booth.recipe" head && says "param to single" head && says_not "$scratch" head'

test "an autoencoder from elsewhere" '
	fails 1 booth-convert --model "$models/sd1-tiny-novae-legacy.ckpt" --tokenizer "$one/tokenizer" --out v 2>talk && says "give --vae" talk &&
	quiet --model "$models/sd1-tiny-novae-legacy.ckpt" --tokenizer "$one/tokenizer" --vae "$one" --out v &&
	same_data "$one/vae/diffusion_pytorch_model.safetensors" v/vae/diffusion_pytorch_model.safetensors'

# ---- LoRA ----

if [ -d "$photos" ]; then
	latents=$(booth-prep "$photos" 2>/dev/null </dev/null | booth-caption --quiet --text "a photo of sks dog" |
		booth-bucket --quiet --square --resolution 64 | booth-encode-latents --quiet --model "$one")
	lora=$(booth-train --quiet --model "$one" --method lora --steps 2 --rank 4 --alpha 2 --lora-target conv --conv-rank 3 \
		--conv-alpha 1.5 --train unet,text "$latents" </dev/null)
	[ -n "$lora" ] || echo "not ok: the LoRA for these tests was not trained"

	test "a trained LoRA in each dialect, and back" '
		for to in peft kohya diffusers-lora; do
			quiet "$lora" --to $to --out l/$to.safetensors || exit 1
			quiet "$lora" --to $to --model "$one" --out l/m.safetensors && same_data l/$to.safetensors l/m.safetensors || exit 1
			quiet --from-lora l/$to.safetensors --to peft --out l/back.safetensors && same_data l/peft.safetensors l/back.safetensors || exit 1
			rm l/m.safetensors l/back.safetensors
		done
		quiet --from-lora l/kohya.safetensors --to kohya --out l/again.safetensors && same_data l/kohya.safetensors l/again.safetensors'
	test "what kohya and web UIs look for is in the file" '
		quiet "$lora" --model "$one" --out l/k.safetensors && header l/k.safetensors >head &&
		for want in ss_network_dim\":\"4\" ss_network_alpha\":\"2.0\" ss_network_module\":\"networks.lora\" \
			ss_base_model_version\":\"sd_v1\" ss_v2\":\"False\" ss_steps\":\"2\" \
			"\\\"conv_dim\\\": \\\"3\\\", \\\"conv_alpha\\\": \\\"1.5\\\"" "stage train" "stage prep" \
			sshs_model_hash\":\"$(data l/k.safetensors | sha256sum | cut -c1-64)\"; do
			says "$want" head || exit 1
		done'
	test "merged: from the table, from each file, by halves" '
		quiet --model "$one" --out plain.safetensors && quiet "$lora" --model "$one" --merge --out w.safetensors &&
		for to in kohya peft diffusers-lora; do
			quiet --model "$one" --lora l/$to.safetensors --out x.safetensors && same_data w.safetensors x.safetensors || exit 1
		done
		quiet --model "$one" --from-lora l/kohya.safetensors --merge --out x.safetensors && same_data w.safetensors x.safetensors &&
		quiet --model "$one" --lora "$lora" --lora-weight 0.5 --lora l/peft.safetensors --lora-weight 0.5 --out y.safetensors &&
		! same_data y.safetensors plain.safetensors >/dev/null &&
		! same_data w.safetensors plain.safetensors >/dev/null'
	test "a LoRA of another model" '
		fails 1 booth-convert "$lora" --model "$two" --out bad.safetensors 2>talk && says "does not fit" talk &&
		fails 1 booth-convert "$lora" --model "$two" --merge --out bad.safetensors 2>talk && says "which the model has not" talk &&
		! [ -e bad.safetensors ]'
	test "a number that half precision cannot hold is named" '
		fails 1 booth-convert "$lora" --model "$one" --merge --weight 100 --lora "$lora" --lora-weight 1e13 --dtype f16 --out bad.safetensors 2>talk &&
		says "does not fit into f16" talk && says "weight '"'"'" talk && ! [ -e bad.safetensors ] && ! ls .booth-*'

	full=$(booth-train --quiet --model "$one" --method full --steps 1 --lr 1e-3 "$latents" </dev/null)
	test "trained weights go into the model, the others stay" '
		quiet "$full" --model "$one" --out t && same_data "$one/vae/diffusion_pytorch_model.safetensors" t/vae/diffusion_pytorch_model.safetensors &&
		! same_data "$one/unet/diffusion_pytorch_model.safetensors" t/unet/diffusion_pytorch_model.safetensors >/dev/null'
	test "a weight that the model has not, of another shape, twice, missing" '
		booth cat "$full" >table && grep -v "^log	" table | sed "s/unet.conv_in.bias/unet.conv_un.bias/" >bad &&
		fails 1 booth-convert bad --model "$one" --out bad.safetensors 2>talk && says "conv_un.bias" talk &&
		sed "s/^unet.conv_out.bias	/unet.conv_in.bias.x	/;s/^unet.conv_in.bias	/unet.conv_out.bias	/;s/^unet.conv_in.bias.x	/unet.conv_in.bias	/" table >bad &&
		fails 1 booth-convert bad --model "$one" --out bad.safetensors 2>talk && says "the model wants" talk &&
		fails 1 booth-convert table --add "$full" --model "$one" --out bad.safetensors 2>talk && says "two tables" talk &&
		mkdir -p part && cp -r "$one" part/m && rm part/m/unet/*.safetensors &&
		sed "/^unet.conv_in.bias	/d" table >bad &&
		fails 1 booth-convert bad --model part/m --out bad.safetensors 2>talk && says "unet.conv_in.bias'"'"' is missing" talk &&
		quiet table --model part/m --out whole.safetensors && ! [ -e bad.safetensors ]'
	test "a table that is something else" '
		fails 1 booth-convert "$latents" --model "$one" --out bad.safetensors 2>talk && says "needs a column '"'tensor'"'" talk &&
		printf "item\ttensor\nlog\t\n" >bad && fails 1 booth-convert bad --model "$one" --out bad.safetensors 2>talk && says "holds no weights" talk'
else
	skip "LoRA" "there are no photographs"
fi

# ---- wrong use, and a world that is wrong ----

test "wrong usage" '
	for wrong in "" "--out never.safetensors" "--out x.ckpt --model $one" "--out never.safetensors --to kohya --model $one" \
		"--merge --model $one --out never.safetensors" "--model $one --out never.safetensors --lora-weight 1" \
		"--model $one --out never.safetensors --to web" "--model $one --out never.safetensors --tokenizer $one/tokenizer"; do
		fails 2 booth-convert $wrong 2>talk || exit 1
	done
	! [ -e never.safetensors ]'
test "the model itself is not written over" '
	cp -r "$one" mine && fails 2 booth-convert --model mine --out mine 2>talk && says "give another name" talk'
test "a folder that is not a model stays as it is" '
	mkdir -p mine2 && echo x >mine2/letter && fails 1 booth-convert --model "$one" --out mine2 2>talk && says "not a model" talk &&
	fails 1 booth-convert --model "$one" --to single --out mine2 2>talk && says "is a folder" talk && only mine2 letter'
test "other families are refused by name" '
	fails 1 booth-convert --model "$models/sdxl-tiny" --out never.safetensors 2>talk && says "SDXL" talk &&
	fails 1 booth-convert --model "$models/blip-tiny" --out never.safetensors 2>talk &&
	fails 1 booth-convert --from-lora "$models/sd1-tiny-single.safetensors" --out never.safetensors 2>talk && ! [ -e never.safetensors ]'
test "no vocabulary" '
	quiet --model "$one" --out novoc.safetensors && XDG_DATA_HOME=$scratch/none fails 1 booth-convert --model novoc.safetensors --out novoc 2>talk &&
	says "--tokenizer" talk && says "get-clip-vocabulary" talk && ! [ -e novoc ]'
test "a disk that is full: what was there stays, nothing is left" '
	mkdir -p full && echo old >full/a.safetensors && cp -r "$two" full/dir &&
	(ulimit -f 1000; fails 1 booth-convert --model "$one" --out full/a.safetensors 2>talk && says "cannot write" talk &&
		fails 1 booth-convert --model "$one" --out full/dir 2>talk && says "cannot write" talk) || exit 1
	[ "$(cat full/a.safetensors)" = old ] && only full "a.safetensors dir" && cmp full/dir/unet/config.json "$two/unet/config.json"'
test "a place where nothing can be written" '
	fails 1 booth-convert --model "$one" --out /proc/nowhere/x.safetensors 2>talk && says "/proc/nowhere" talk'
test "killed while it works: the same command makes the same" '
	quiet --model "$one" --out ref.safetensors
	for at in 1 2 3 5 8 12 20 40 60; do
		killed_at $at booth-convert --quiet --store kill --model "$one" --out killed.safetensors >/dev/null 2>&1
		[ ! -e killed.safetensors ] || cmp killed.safetensors ref.safetensors || exit 1
	done
	booth-convert --quiet --store kill --model "$one" --out killed.safetensors >/dev/null && cmp killed.safetensors ref.safetensors'
finish
