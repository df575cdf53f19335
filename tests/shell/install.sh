# make install and make uninstall, into a folder of the test.
. tests/shell/lib.sh
B=$(dirname "$BIN")
made() { B=$B PREFIX=/opt/booth DESTDIR=$scratch/dest sh "$TOP/tools/install" "$@"; }
to=$scratch/dest/opt/booth

test "everything is where the FHS has it" '
	made install && cd "$to" && [ -x bin/booth ] && [ -x bin/booth-get-clip-vocabulary ] && [ -x libexec/booth/booth-train ] && [ ! -e bin/booth-train ] &&
	[ -f share/booth/recipes/dreambooth-lora.booth ] && [ -f share/booth/examples/base/unet/config.json ] &&
	[ -f share/man/man1/booth-prep.1 ] && [ -f share/man/man5/booth-store.5 ] && [ -f share/doc/booth/README.md ] &&
	[ -f share/bash-completion/completions/booth ] && [ -f share/zsh/site-functions/_booth ] && [ -z "$(find . -name "*.new")" ]'
test "it was not told where it is: the installed booth finds its stages" '
	mkdir elsewhere && cd elsewhere && "$to/bin/booth" help >help && says "encode-latents" help && "$to/bin/booth" prep --version'
test "and runs a recipe in another folder" '
	cd elsewhere && cp -r "$TOP/examples/subject" photos && printf "x: photos\n\tprep | caption | bucket --resolution 64\n" >x.booth &&
	PATH=/usr/bin:/bin "$to/bin/booth" run x.booth >ref && grep -q "^bucket/" ref'
test "installed recipes are found by name, and what they need of examples" '
	cd elsewhere && "$to/bin/booth" explain dreambooth-lora.booth >x && says "gen-class" x && "$to/bin/booth" graph dreambooth-lora >g && says lora g &&
	f="$to/share/booth/recipes/demo.booth" && grep -qx "MODEL  *?= /opt/booth/share/booth/examples/base" $f && grep -qx "OUT  *?= out" $f &&
	"$to/bin/booth" explain demo MODEL=. PHOTOS="$to/share/booth/examples/subject" >x && says "gen-class" x'
test "a file of that name here comes first; nothing of that name is told" '
	cd elsewhere && cp x.booth demo && "$to/bin/booth" graph demo >g && says_not gen-class g && rm demo && fails 1 "$to/bin/booth" graph nowhere 2>talk && says nowhere talk'
test "the stages of BOOTH_EXEC_PATH come before the installed ones" '
	mkdir mine && printf "#!/bin/sh\necho mine\n" >mine/booth-prep && chmod +x mine/booth-prep && BOOTH_EXEC_PATH=$scratch/mine "$to/bin/booth" prep >said && says mine said'
if command -v man >/dev/null; then
	test "man finds the pages" '
		export MANPATH="$to/share/man" MANPAGER=cat && man booth-train >page && grep -q . page && man 5 booth-recipe >page && grep -q . page'
else
	skip "man finds the pages" "it is not installed"
fi
test "once more over it, then away: nothing is left" '
	made install && touch "$to/bin/other" && made uninstall && find "$to" ! -type d >left && [ "$(cat left)" = "$to/bin/other" ] &&
	find "$to" -type d | sort >left && { [ ! -f "$B/lib/booth-cuda.so" ] || echo "$to/lib"; } >with &&
	printf "%s\n" "$to" "$to/bin" $(cat with) "$to/share" "$to/share/doc" "$to/share/man" | cmp - left'
test "the backend for GPUs is installed where it was built, found there, and taken away" '
	mkdir -p other/lib && cp -r "$BIN" other/bin &&
	echo "no object" >other/lib/booth-cuda.so &&
	( cd "$TOP" && B=$scratch/other PREFIX=/opt/booth DESTDIR=$scratch/gpu sh tools/install install ) && gpu/opt/booth/bin/booth doctor >told &&
	says "lib/booth/booth-cuda.so'"'"' can'"'"'t be loaded" told &&
	( cd "$TOP" && rm "$scratch/other/lib/booth-cuda.so" && B=$scratch/other PREFIX=/opt/booth DESTDIR=$scratch/gpu sh tools/install uninstall ) && [ -z "$(find gpu ! -type d)" ]'
test "uninstall without anything there is fine; a PREFIX that is no path is not" '
	made uninstall && fails 1 env PREFIX=here sh "$TOP/tools/install" install'
test "make hands on PREFIX and DESTDIR" '
	make -n -C "$TOP" install PREFIX=/usr DESTDIR=/x >said 2>&1 && says "PREFIX=\"/usr\" DESTDIR=\"/x\"" said'
finish
