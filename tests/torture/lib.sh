# Shared by the scripts of this folder, beside tests/shell/lib.sh. SHORT=1: the few seconds that `make test` has for them.
. tests/shell/lib.sh
# In memory where there is some to have: the disk's own speed is not the matter here.
memory=$(mktemp -d -p /dev/shm 2>/dev/null) && trap 'umount "$memory/disk" 2>/dev/null; rm -rf "$memory"' EXIT && scratch=$memory && cd "$scratch" || exit 1
trap "exit 1" INT TERM
TOOLS=$(cd "$BIN/../tools" && pwd)
TORTURE=$BIN/../torture
MODELS=$SHARED/golden/models
GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-2000}
export GOMP_SPINCOUNT

# toys NAME...: stages that do next to nothing, beside the real ones; each run is noted in "ran"
toys() {
	mkdir -p toys && for toy in "$BIN"/booth-*; do ln -sf "$toy" toys/; done
	for toy in "$@"; do ln -sf "$TOOLS/toy-stage" "toys/booth-$toy"; done
	BOOTH_EXEC_PATH=$scratch/toys TOY_RAN=$scratch/ran
	export BOOTH_EXEC_PATH TOY_RAN
}

# did WORDS: what was done, for the line that `make torture` prints
did() { echo "$*" >>"${DID:-$scratch/did}"; }

# rounds LONG SHORT: how often
rounds() { if [ -n "$SHORT" ]; then echo "$2"; else echo "${ROUNDS:-$1}"; fi; }

# ids STORE: what is in it, but for the records of runs (which carry times) and what files were looked at
ids() {
	for ids_stage in $(ls "$1"); do
		case $ids_stage in run|stat) continue;; esac
		[ ! -e "$1/$ids_stage/data.mdb" ] || booth ls --store "$1" "$ids_stage" | grep -o "$ids_stage/[0-9a-f]*"
	done | sort
}
