# Every command that README.md and the manual pages show is run, and prints what is shown there.
#
# Commands are the lines that begin with "$ ": in README.md in blocks marked console, in pages between .EX and .EE.
# What follows, up to the next command, is what it prints (standard output and error together); nothing: anything
# goes. "..." stands for anything in a line, and alone on a line for any number of lines; blanks are alike.
# Each document has a folder of its own, with what its commands take: a model, photographs, recipes.
#
# Commands are made small, with the same words, by `small` (what is shown too) and by the environment.
. tests/shell/lib.sh

small() {
	sed -E 's/--resolution 512/--resolution 64/; s/--steps [0-9]{3,}/--steps 4/; s/STEPS=1200/STEPS=6/; s/STEPS=[0-9]{3,}/STEPS=4/;
		s/800 -> 1200/4 -> 6/'
}
export STEPS=4 RESOLUTION=64 CLASS_COUNT=2 COUNT=1 DRAW_STEPS=2 RANK=4

# Not run here, and where they are. A line that no document shows any more is an error too.
cat >elsewhere <<'END'
sh tools/setup demo	takes minutes; its recipe is looked through below, and set-up is what sh tools/setup test begins with
sudo make install	install.sh, into another folder
tools/get-clip-vocabulary	fetches a package; the tokenizer tests hold what it makes against CLIP's
END

# A small model of Stable Diffusion 1's architecture as a single file, its vocabulary where an installed one would be.
export HOME=$scratch/user XDG_DATA_HOME=$scratch/user/data
mkdir -p "$XDG_DATA_HOME/booth" && cp -r "$TOP/examples/base/tokenizer" "$XDG_DATA_HOME/booth/clip-tokenizer"
cp -r "$TOP/examples/subject" "$HOME/rex" && touch -d "1 hour ago" "$HOME"/rex/*
booth convert --store model --quiet --model "$TOP/examples/base" --to single --out "$HOME/sd15.safetensors" >/dev/null || exit 1
touch -d "1 hour ago" "$HOME/sd15.safetensors"
fixture() {
	mkdir "$1" && cd "$1" && cp -r "$HOME/rex" . && ln -s "$HOME/sd15.safetensors" . && ln -s "$TOP/recipes" "$TOP/tools" . &&
		mkdir build && ln -s "$BIN" build/bin && awk '/^\.EX/ { on = 1; next } /^\.EE/ { exit } on' "$TOP/stages/man/booth-recipe.5" |
		small >rex.booth
}

# blocks FILE FOLDER: its commands as FOLDER/N.command, what they print as FOLDER/N.shown
blocks() {
	awk -v to="$2" '
	/^```console/ || /^\.EX/ { on = 1; next }
	/^```/ || /^\.EE/ { on = more = 0; shown = ""; next }
	!on { next }
	more { print >name; more = /\\$/; next }
	/^\$ / { n++; name = sprintf("%s/%03d.command", to, n); shown = sprintf("%s/%03d.shown", to, n)
		print substr($0, 3) >name; printf "" >shown; more = /\\$/; next }
	shown != "" { print >shown }' "$1"
}

# alike SHOWN GOT
alike() {
	awk '
	# "a...b" against a line: the first part begins it, the last ends it, the others follow each other
	function line_fits(want, got,   part, n, i, at) {
		n = split(want, part, /\.\.\./)
		if (n < 2) return want == got
		if (substr(got, 1, length(part[1])) != part[1]) return 0
		got = substr(got, length(part[1]) + 1)
		for (i = 2; i < n; i++) {
			if (!(at = index(got, part[i])) && part[i] != "") return 0
			got = substr(got, at + length(part[i]))
		}
		return length(got) >= length(part[n]) && substr(got, length(got) - length(part[n]) + 1) == part[n]
	}
	function fits(i, j) {
		if (i > wants) return j > gots
		if (want[i] == "...") return fits(i + 1, j) || (j <= gots && fits(i, j + 1))
		return j <= gots && line_fits(want[i], got[j]) && fits(i + 1, j + 1)
	}
	{ gsub(/[ \t]+/, " "); sub(/ $/, "") }
	FILENAME == ARGV[1] { want[++wants] = $0; next }
	{ got[++gots] = $0 }
	END { exit !fits(1, 1) }' "$1" "$2"
}

is_elsewhere() {
	cut -f 1 "$scratch/elsewhere" | while read -r words; do
		case $(cat "$1") in *"$words"*) echo "$words" >>"$scratch/excused"; echo yes; break ;; esac
	done | grep -q yes
}

shown() {
	is_elsewhere "$1" && return
	small <"$1" >"$1.small"
	sh "$1.small" >"$1.got" 2>&1 || { echo "exit $?: $(cat "$1.small")"; cat "$1.got"; return 1; }
	small <"${1%command}shown" >"$1.want"
	[ ! -s "$1.want" ] || alike "$1.want" "$1.got" ||
		{ echo "shown is:"; cat "$1.want"; echo "printed is:"; cat "$1.got"; return 1; }
}

for document in "$TOP/README.md" "$TOP"/stages/man/*.[15]; do
	name=$(basename "$document")
	mkdir -p "$scratch/blocks/$name" && blocks "$document" "$scratch/blocks/$name"
	( fixture "$scratch/$name" ) || exit 1
	for command in "$scratch/blocks/$name"/*.command; do
		[ -f "$command" ] || continue
		test "$name: $(head -n 1 "$command")" 'cd "$scratch/$name" && shown "$command"'
	done
done

test "the demonstration: its recipe" '
	cd "$TOP" && booth run -n --store "$scratch/demo" recipes/demo.booth STEPS=2 OUT="$scratch/demo-out" >"$scratch/plan" && says demo.png "$scratch/plan"'
test "commands that run elsewhere are still shown somewhere" '
	cut -f 1 elsewhere | while read -r words; do grep -qxF -e "$words" excused || { echo "$words"; exit 1; }; done'
test "blocks of README that are no console show no commands of booth" '
	awk "/^\`\`\`/ { on = !on && !/console/ && length(\$0) == 3 ? 1 : 0; if (/console/) skip = 1; else if (skip) { skip = 0; on = 0 }; next }
		on && /^(booth|make|sh) / { print FILENAME \":\" FNR \": \" \$0; bad = 1 } END { exit bad }" "$TOP/README.md"'
test "the convention itself: what differs is seen" '
	printf "a ... c\n...\nlast\n" >w; printf "a b  c\nx\ny\nlast\n" >g; alike w g || exit 1
	printf "a c\nlast\n" >g; ! alike w g && printf "a b c\nlast\nmore\n" >g && ! alike w g && printf "a b c\nlast\n" >g && alike w g'
finish
