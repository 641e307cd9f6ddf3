#!/bin/sh
# Compares a swarm with synchronous training on the same tokens of real text, and with a swarm of
# which a worker is killed in every third round and joins again as a new one:
#
#	sh testdata/swarm/study.sh FOLDER [SETTING...]
#	SEEDS="1 2" RULES="50 100 -1 -1" sh testdata/swarm/study.sh /tmp/study steps=1000 batch_size=32 learning_rate=8e-3
#
# SETTINGS are those of bitnet train --set for a worker; the model has 35,000 parameters unless they
# say more. The synchronous run has as many micro-batches in a step as there are WORKERS (4). RULES
# are local steps, steps over which rounds grow, outer rate and outer momentum (-1: bitnet's own
# choice). SYNC are settings of the synchronous run alone, such as its own learning rate, SWARM those
# of the swarm. PARTS (sync, swarm, kill) leaves out what is not wanted.
#
# All workers train in one process, one after another, with the swarm's own code (TestStudy in
# bitnet/swarm); so every run can be repeated to the bit. What has been trained is not trained again:
# FOLDER keeps it. compare.sh does the same with processes and a meeting point.
set -eu
here=$(dirname "$(realpath "$0")")
mkdir -p "$1"
dir=$(realpath "$1")
shift
workers=${WORKERS:-4} rules=${RULES:-50 0 -1 -1}
test -d "$dir/text" || { sh "$here/text.sh" "$dir/new" && mv "$dir/new" "$dir/text"; }
(cd "$here/../.." && go test -c -o "$dir/swarm.test" ./bitnet/swarm)

# run PART SEED SETTING... trains unless that is done, and gives the validation loss.
run() {
	part=$1 seed=$2
	shift 2
	case $part in
	sync) n=0 kill=0 ;;
	swarm) n=$workers kill=0 ;;
	kill) n=$workers kill=1 ;;
	*) echo "unknown part $part" >&2 && exit 2 ;;
	esac
	what="$part seed=$seed $*"
	test "$n" = 0 || what="$what, $n workers, rules $rules"
	file=$dir/$(echo "$what" | tr -c '[:alnum:].=_\n-' '_').log
	if ! grep -qs "^PASS" "$file"; then
		(cd "$dir" && BITNET_STUDY="source=text:$dir/text dir=$dir/shards seed=$seed $*" BITNET_WORKERS=$n BITNET_RULES=$rules BITNET_KILL=$kill \
			./swarm.test -test.timeout 10h -test.run '^TestStudy$' -test.v >"$file.part" 2>&1) || { cat "$file.part" >&2; exit 1; }
		mv "$file.part" "$file"
	fi
	sed -n 's/^step .*: //p' "$file" | tail -n 1
}

# percent A B is how far A is above B.
percent() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%+.1f%%", 100 * (a / b - 1); else printf "-" }'; }

printf '%-5s %9s %9s %8s %9s %8s\n' seed sync swarm above killed differs
for seed in ${SEEDS:-1 2}; do
	sync=- swarm=- kill=-
	for part in ${PARTS:-sync swarm kill}; do
		# shellcheck disable=SC2086 # lists
		case $part in
		sync) sync=$(run sync "$seed" "$@" "grad_accum=$workers" ${SYNC:-}) ;;
		swarm) swarm=$(run swarm "$seed" "$@" ${SWARM:-}) ;;
		*) kill=$(run "$part" "$seed" "$@" ${SWARM:-}) ;;
		esac
	done
	printf '%-5s %9s %9s %8s %9s %8s\n' "$seed" "$sync" "$swarm" "$(percent "$swarm" "$sync")" "$kill" "$(percent "$kill" "$swarm")"
done
