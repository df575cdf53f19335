# (e) Every bit of a small store flipped, one at a time. ROUNDS=1 takes each, which is hours; else one of every 97, from
# another first one each day; in `make test` a sample.
. tests/torture/lib.sh
step=$(rounds 97 9973)
test "flipped bits are found, refused or without effect" '"$TORTURE/flip" "$scratch/flip" $step $(($(date +%j | sed "s/^0*//") % step)); code=$?; rm -rf "$scratch/flip"; exit $code'
finish
