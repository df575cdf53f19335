# Manual pages and completion: made from the programs' own options, complete, and without complaints.
. tests/shell/lib.sh
sh "$TOP/tools/man" "$BIN" "$scratch/pages" || exit 1
# words FILE: the page's text without roff
words() { sed -e 's/\\f[BRI]//g' -e 's/\\-/-/g' -e 's/\\e/\\/g' "$1"; }

stages=$(booth --list-commands | awk -F '\t' '$2 == "stage" { print $1 }')
commands=$(booth --list-commands | awk -F '\t' '$2 == "command" { print $1 }')

test "every stage has a page, and every page a stage" '
	ls pages/*.1 | sed "s,pages/booth-,,; s,\.1$,," | grep -v pages/booth | sort >have; echo "$stages" | sort | cmp - have'
test "every option of a stage is in its page" '
	for s in $stages; do
		words pages/booth-$s.1 >page
		"$BIN/booth-$s" --list-options | cut -f 5 | while read -r option; do
			grep -qxF -e "$option" page || { echo "$s: $option"; exit 1; }
		done || exit 1
	done'
test "every command is in the page of booth, with its options" '
	words pages/booth.1 >page
	for c in $commands; do
		grep -q "^.SS booth $c\( \|$\)" page || { echo "no $c"; exit 1; }
		booth $c --list-options | awk -F "\t" "NF == 6 { print \$5 }" | while read -r option; do
			grep -qxF -e "$option" page || { echo "$c: $option"; exit 1; }
		done || exit 1
	done'
test "every stage is in the page of booth" '
	words pages/booth.1 >page; for s in $stages; do says "booth-$s" page || exit 1; done'
test "no page names an option that is none" '
	for s in $stages; do "$BIN/booth-$s" --list-options; done >rows
	for c in $commands; do booth $c --list-options; done >>rows
	awk -F "\t" "NF == 6 { print \$1; if (\$2 == \"flag\") print \"no-\" \$1 }" rows >known
	# those in prompts, for sample
	printf "%s\n" n w h d l s ss >>known
	for p in pages/*; do
		words $p | grep -oE -e "(^|[^-[:alnum:]])--[a-z][a-z0-9-]*" | sed "s/.*--//" | sort -u | while read -r name; do
			grep -qxF -e "$name" known || { echo "$p: --$name"; exit 1; }
		done || exit 1
	done'
test "no line of a page source is left over" '
	fails 1 grep -nE "^\.\\\\\" @|\`" pages/*'

if command -v mandoc >/dev/null; then
	test "mandoc has no complaints" 'for p in pages/*; do mandoc -Tlint -W warning $p || exit 1; done'
else
	skip "mandoc has no complaints" "it is not installed"
fi
if command -v groff >/dev/null && groff -man -Tutf8 "$TOP/stages/man/booth.1" >/dev/null 2>&1; then
	test "groff has no complaints" 'for p in pages/*; do groff -ww -man -Tutf8 $p >/dev/null 2>>said; done; cat said; [ ! -s said ]'
else
	skip "groff has no complaints" "it is not installed"
fi

# ---- completion ----

mkdir photos && printf 'MODEL ?= m\nSTEPS = 3\nfirst: nowhere\n\tprep\nout/all.png: first\n\tsample --model $(MODEL) --steps $(STEPS)\n' >one.booth
# bash_says WORD...: what the last word may become
cat >ask.bash <<'END'
. "$TOP/stages/complete/booth.bash"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_booth
printf '%s\n' "${COMPREPLY[@]}"
END
# zsh's own helpers need its line editor: here they print
cat >ask.zsh <<'END'
compadd() { while [[ $1 == -* ]]; do [[ $1 == -S ]] && shift; [[ $1 == -- ]] && { shift; break; }; shift; done; print -rl -- ${(M)@:#${cur##*=}*}; }
_files() { print -rl -- *(N); }
compset() { : }
words=("$@") CURRENT=$#
. "$TOP/stages/complete/_booth"
END
completes() {
	completes_shell=$1
	ask() { case $completes_shell in bash) bash --norc ask.bash "$@" ;; zsh) zsh -f ask.zsh "$@" ;; esac >asked; }
	gives() { for w; do grep -qxF -e "$w" asked || { echo "no $w:"; cat asked; return 1; }; done; }
	ask booth "" && gives run gc prep encode-latents && ask booth en && gives encode-text && says_not prep asked &&
	ask booth train --me && gives --method --memory && says_not --rank asked && ask booth convert --no && gives --no-ema &&
	ask booth train --method "" && gives full lora vae && ask booth convert --to k && gives kohya && says_not single asked &&
	ask booth prep "" && gives photos && ask booth prep --masks ph && gives photos &&
	ask booth run "" && gives one.booth && ask booth run one.booth "" && gives first out/all.png MODEL= STEPS= &&
	ask booth run -n one.booth MO && gives MODEL= && ask booth ls tr && gives train && ask booth help wh && gives why &&
	ask booth gc --ye && gives --yes && ask booth nonsense "" && ask booth run nowhere.booth ""
}
for shell in bash zsh; do
	if command -v $shell >/dev/null; then
		test "completion in $shell" 'completes $shell'
	else
		skip "completion in $shell" "it is not installed"
	fi
done
test "bash cuts words at =" '
	bash --norc ask.bash booth convert --to = ko >asked && says kohya asked && bash --norc ask.bash booth run one.booth MODEL = pho >asked && says photos asked'
finish
