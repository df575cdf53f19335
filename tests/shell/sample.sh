# sample and gen-class with tiny models: items, files, sheets, bad input.
. tests/shell/lib.sh

if [ -z "$SHARED" ]; then
	skip "sample" "there are no tiny models"
	finish
fi
M=$SHARED/golden/models/sd1-tiny
few="--model $M --width 64 --height 64 --steps 2"
OMP_WAIT_POLICY=passive
export OMP_WAIT_POLICY

test "four more pictures after two are drawn alone, and nothing the second time" '
	booth-sample $few --prompt "a dog" --count 2 --out two/ >a 2>talk && says "2 pictures drawn, 0 known" talk &&
	booth-sample $few --prompt "a dog" --count 4 --out four/ >b 2>talk && says "2 pictures drawn, 2 known" talk &&
	cmp two/00-001.png four/00-001.png && booth-sample $few --prompt "a dog" --count 4 --out four/ >c 2>talk &&
	cmp b c && says "nothing to do" talk'

test "a picture does not depend on batch or threads; seed N + 1 is picture 1 of seed N" '
	booth-sample $few --store other --threads 1 --batch 1 --prompt "a dog" --count 2 --out one/ >/dev/null && cmp one/00-001.png two/00-001.png &&
	booth-sample $few --prompt "a dog" --seed 1 --out seed.png 2>talk && says "0 pictures drawn, 1 known" talk && cmp seed.png two/00-001.png'

test "a file that was changed or removed is written again" '
	rm four/00-002.png && echo x >four/00-003.png && booth-sample $few --prompt "a dog" --count 4 --out four/ >c 2>talk && cmp b c &&
	says "0 pictures drawn, 4 known" talk && [ -s four/00-002.png ] && [ "$(wc -c <four/00-003.png)" -gt 100 ]'

test "a sheet has rows of other tables above, and is known the second time" '
	booth-sample $few --prompt "a dog" --prompt "a cat" --count 2 --above "$(cat a)" --enlarge 2 --out sheets/x.png >s &&
	[ "$(od -An -tu1 -j16 -N8 sheets/x.png | tr -s " ")" = " 0 0 1 15 0 0 1 148" ] &&
	booth-sample $few --prompt "a dog" --prompt "a cat" --count 2 --above "$(cat a)" --enlarge 2 --out sheets/x.png >t 2>talk && cmp s t && says "nothing to do" talk'

test "a file of prompts with suffixes" '
	printf "# comment\n\na cat --n bad --w 128 --s 3 --d 7 --l 1 --ss Euler_A\r\n" >prompts && booth-sample $few --prompts prompts --out cat.png >p &&
	booth cat "$(cat p)" | cut -f 3-11 | tail -n 1 | tr "\t" "|" >row && says "a cat|bad|7|0|3|1|Euler a|128|64" row &&
	says "Steps: 3, Sampler: Euler a, CFG scale: 1, Seed: 7, Size: 128x64, Model hash: " cat.png && says "Negative prompt: bad" cat.png'

test "bad input" '
	fails 2 booth-sample $few 2>talk && says "what to draw" talk && fails 2 booth-sample $few --prompt x --out x.jpg 2>talk && says "ends with .png" talk &&
	fails 2 booth-sample $few --prompt "x --q 3" 2>talk && says "no suffix" talk && fails 2 booth-sample $few --prompt x --sampler none 2>talk &&
	printf "a\nb --w no\n" >bad && fails 1 booth-sample $few --prompts bad 2>talk && says "bad:2: " talk &&
	fails 1 booth-sample $few --prompt x --height 63 2>talk && says "multiples of 8" talk && fails 1 booth-sample --model nowhere --prompt x 2>talk &&
	fails 1 booth-sample $few --prompt x --lora "$M/unet/config.json" 2>talk && fails 1 booth-sample $few --prompt x "$(cat a)" 2>talk && says "column" talk'

test "class pictures go through bucket" '
	booth-gen-class $few --prompt "a photo of dog" --count 2 >g 2>talk && says "2 pictures drawn" talk &&
	booth-gen-class $few --prompt "a photo of dog" --count 3 >g 2>talk && says "1 picture drawn, 2 known" talk &&
	booth-bucket --resolution 64 --min 64 <g >h && booth cat "$(cat h)" | tail -n 1 | grep -q "class/002.png.*a photo of dog"'
finish
