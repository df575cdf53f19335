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
: "${BOOTH_DEVICE:=cpu}"                # where there is a GPU, too
export PATH BIN TOP SHARED BOOTH_DEVICE
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

# await COMMAND...: until it succeeds, on the slowest machine too; it is told if that never comes. Tests wait for what
# must happen, never for a time.
await() {
	for await_i in $(seq 6000); do
		"$@" >/dev/null 2>&1 && return
		sleep .05
	done
	echo "never came: $*"; return 1
}

# killed_at N COMMAND...: kill -9 in the middle of its N-th call that writes (every second N: before it), which is the
# same instant on every machine; the command is an executable. Exit 137 if it had so many.
killed_at() {
	killed_n=$1; shift
	killed_kind=torn; [ $((killed_n % 2)) = 1 ] || killed_kind=kill
	head -c 16 /dev/zero >"$scratch/.count"
	FAULT_AT=$killed_n FAULT_KIND=$killed_kind FAULT_COUNT=$scratch/.count sh -c \
		'FAULT_SHOOTS=$$ LD_PRELOAD=$BIN/../torture/preload-write.so exec "$@"' - "$@"
}

finish() {
	echo "$tests_passed passed, $tests_failed failed, $tests_skipped skipped"
	[ "$tests_failed" = 0 ]
	exit
}
