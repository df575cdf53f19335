# Recipes that ship: each is read, and what it would do is shown; plus the commands' own help.
. tests/shell/lib.sh

for r in "$TOP"/recipes/*.booth; do
	name=$(basename "$r")
	# the folder that its first rule wants
	mkdir -p photos
	given="PHOTOS=photos SUBJECT=sks CLASS=dog"
	case $name in
	base-tiny.booth) given=SCENES=photos ;;
	demo.booth) given=PHOTOS=photos ;;
	esac
	test "$name is read" '
		booth graph "$r" $given >g 2>talk || { cat talk; exit 1; }
		[ -s g ]'
done

test "help of every command" '
	for c in run why status explain graph ls cat log check gc; do
		booth $c --help >h || exit 1
		says "usage: booth $c" h || exit 1
		booth help $c | cmp - h || exit 1
	done'
test "help lists stages" 'booth help >h && says "runner commands" h && booth --help | cmp - h'
test "version" 'booth version >v && says "booth" v && booth --version | cmp - v'

test "an error has file, line and a mark" '
	printf "x:\n\tprep \$(NO)\n" >bad.booth
	fails 1 booth run bad.booth 2>talk && says "bad.booth:2: there is no variable or target" talk && grep -qE "^ +.*\^$" talk'
test "a cycle is named" '
	printf "a: b\n\tprep\nb: a\n\tprep\n" >cycle.booth
	fails 1 booth run cycle.booth 2>talk && says "a cycle: '"'a' needs 'b' needs 'a'"'" talk'
test "a recipe that is not there" 'fails 1 booth run nowhere.booth 2>talk && says "cannot open '"'nowhere.booth'"'" talk'
finish
