# The short forms of tests/torture/*.sh; `make torture` runs them at length.
top=$(pwd)
. tests/shell/lib.sh
cd "$top" || exit 1
export SHORT=1 BIN
for letter in ${LETTER:-a b c d e f g h}; do
	log=$scratch/$letter
	sh "tests/torture/$letter.sh" >"$log" 2>&1
	grep -v '^[0-9]* passed, ' "$log"
	set -- $(tail -n 1 "$log" | tr -dc '0-9 ')
	[ $# = 3 ] || { cat "$log"; set -- 0 1 0; }
	tests_passed=$((tests_passed + $1)) tests_failed=$((tests_failed + $2)) tests_skipped=$((tests_skipped + $3))
done
finish
