# (g) A store grows without a setting: 50 GB of objects (1 GB in `make test`), most of them zeros that take no room in the
# file, as the library between leaves them out.
. tests/torture/lib.sh
grow() { LD_PRELOAD=$TORTURE/preload-sparse.so "$TORTURE/grow" grown "$@"; code=$?; ls -ls grown/big; rm -rf grown; return $code; }
test "from a map of 1 MB" 'grow $(rounds 2 1) 1048576 && did "$(rounds 2 1) GB from a map of 1 MB"'
[ -n "$SHORT" ] || test "from the usual map to ${ROUNDS:-50} GB" 'grow ${ROUNDS:-50} 0 && did "${ROUNDS:-50} GB from the usual one"'
finish
