# (h) A store of a later format is refused and left as it is, one of an earlier format is read and goes on.
. tests/torture/lib.sh
mkdir one && "$TOOLS/damage" picture 96 80 one/a.png
ref=$(booth prep one 2>/dev/null)
format() { LC_ALL=C sed -i "s/format[0-9]/format$1/" .booth/prep/data.mdb; }
test "a later format is refused by its number, and not touched" '
	format 9 && cp .booth/prep/data.mdb before && for command in "prep one" "cat $ref" check gc; do
		fails 1 booth $command 2>talk && says "format 9, this program reads formats up to" talk || exit 1
	done; cmp before .booth/prep/data.mdb && did "4 commands on a later format, 4 on an earlier one"'
test "an earlier format is read, and becomes ours with the first write" '
	format 1 && booth cat "$ref" | grep -q a.png && booth prep one | grep -qx "$ref" && grep -qa format1 .booth/prep/data.mdb &&
	"$TOOLS/damage" picture 64 80 one/b.png && booth prep one >next && booth check && grep -qa format2 .booth/prep/data.mdb && booth cat "$ref" | grep -q a.png'
finish
