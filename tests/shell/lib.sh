# Shared by the shell tests; read at their start:
#	. tests/shell/lib.sh
#	test "same work is not done twice" 'booth prep photos >one && booth prep photos >two && cmp one two'
#	finish
# Each script runs in a shell of its own, in a scratch folder that the whole file shares. BIN is the folder
# of the executables. A test passes if its script ends with 0; its output is shown if it does not.
# The last line is "N passed, N failed, N skipped".

BIN=$(cd "${BIN:-build/gcc/bin}" && pwd) || exit 1
TOP=$(pwd)
SHARED=
for try in "$TOP/../shared" "$TOP/shared"; do
	[ -f "$try/golden/README.md" ] && SHARED=$try && break
done
scratch=$TOP/build/scratch/$(basename "$0" .sh)-sh
rm -rf "$scratch" && mkdir -p "$scratch" && cd "$scratch" || exit 1
PATH=$BIN:$PATH
unset BOOTH_STORE BOOTH_QUIET BOOTH_EXEC_PATH
export PATH BIN TOP SHARED
tests_passed=0 tests_failed=0 tests_skipped=0

test() {
	if ( eval "$2" ) >"$scratch/.log" 2>&1 </dev/null; then
		echo "ok $1"
		tests_passed=$((tests_passed + 1))
	else
		echo "not ok $1"
		sed 's/^/# /' "$scratch/.log"
		tests_failed=$((tests_failed + 1))
	fi
}

# skip "title" "reason"
skip() {
	echo "ok $1 # skip: $2"
	tests_skipped=$((tests_skipped + 1))
}

# fails CODE COMMAND...: it must end with that code (an abort or a signal is another one).
fails() {
	fails_want=$1
	shift
	"$@"
	fails_got=$?
	[ "$fails_got" = "$fails_want" ] || { echo "exit $fails_got, not $fails_want: $*"; return 1; }
}

# says TEXT FILE; says_not TEXT FILE: the file holds it, or not.
says() {
	grep -qF -- "$1" "$2" || { echo "'$2' does not say '$1':"; cat "$2"; return 1; }
}
says_not() {
	if grep -qF -- "$1" "$2"; then echo "'$2' says '$1':"; cat "$2"; return 1; fi
}

finish() {
	echo "$tests_passed passed, $tests_failed failed, $tests_skipped skipped"
	[ "$tests_failed" = 0 ]
	exit
}
