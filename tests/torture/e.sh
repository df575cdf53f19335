# (e) Every bit of a small store flipped, one at a time; in `make test` a sample, of other bits each day. ROUNDS=n takes
# one of n.
. tests/torture/lib.sh
step=$(rounds 1 4999)
test "flipped bits are found, refused or without effect" '
	"$TORTURE/flip" "$scratch/flip" $step $(($(date +%j | sed "s/^0*//") % step)) >flipped; code=$?; cat flipped; rm -rf "$scratch/flip"
	did "$(awk "/bits flipped/ { n += \$2; all += \$4; found += \$10 } END { print n \" bits flipped of \" all \", \" found \" found by the check, the others without a meaning\" }" flipped)"; exit $code'
finish
