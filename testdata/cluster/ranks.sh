#!/bin/sh
# Trains across four hosts (hosts.sh), pulls a cable, kills a host, and continues with those that are
# left. It fails where the ranks do not end within a minute, or no line says which is lost.
#
#   ranks.sh BITNET [MPI]      needs root, and openmpi-bin or mpich
set -eu

bitnet=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap '"$here/hosts.sh" down; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work"

say() { printf 'ranks: %s\n' "$*"; }

fail() {
	say "$*" >&2
	cat log >&2
	exit 1
}

# mpirun MPI N ARGUMENTS...: bitnet train on the first N hosts.
mpirun() {
	mpi=$1 n=$2
	shift 2
	addresses=$("$here/hosts.sh" list | cut -d, -f"1-$n")
	case $mpi in
	openmpi) set -- mpirun.openmpi --allow-run-as-root --host "$addresses" --mca plm_rsh_agent "$here/rsh.sh" \
		--mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0 \
		--mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 5 --mca oob_tcp_keepalive_probes 3 -n "$n" "$bitnet" train "$@" ;;
	mpich) set -- env UCX_TLS=tcp,self mpirun.mpich -launcher ssh -launcher-exec "$here/rsh.sh" -hosts "$addresses" -iface eth0 -n "$n" "$bitnet" train "$@" ;;
	esac
	"$here/hosts.sh" on host0 "$@"
}

checkpoint() { find "runs/$1/checkpoints" -name 'step_*' 2>/dev/null | sort | tail -n 1; }

# begin MPI RUN: a long run with four ranks, until its first checkpoint.
begin() {
	mpirun "$1" 4 --exp simple --batch-size 12 --num-steps 1000000 --checkpoint-interval 20 --log-interval 20 --run-id "$2" >log 2>&1 &
	job=$!
	tries=600
	until [ -n "$(checkpoint "$2")" ]; do
		tries=$((tries - 1))
		if [ $tries = 0 ] || ! kill -0 $job 2>/dev/null; then fail "$1: training did not begin"; fi
		sleep 0.1
	done
}

# left says whether something still runs on a host.
left() {
	for host in host0 host1 host2 host3; do
		if [ -n "$(ip netns pids $host)" ]; then return 0; fi
	done
	return 1
}

# ends MPI WHAT WORDS: all ranks end within a minute, and one says why.
ends() {
	began=$(date +%s)
	while left && [ $(($(date +%s) - began)) -le 60 ]; do sleep 0.2; done
	took=$(($(date +%s) - began))
	if left; then fail "$1: $2: something still runs after $took s"; fi
	wait $job && fail "$1: $2: mpirun reports success"
	grep -qE "$3" log || fail "$1: $2: no line says why"
	say "$1: $2: all ended after $took s: $(grep -m 1 -E "$3" log)"
}

"$here/hosts.sh" down
"$here/hosts.sh" up 4 1gbit
# UCX, which MPICH uses here, would talk through shared memory: it sees one machine.
# shellcheck disable=SC2086 # a list
for mpi in ${2:-openmpi mpich}; do
	if ! command -v mpirun.$mpi >/dev/null; then
		say "mpirun.$mpi is not installed: left out"
		continue
	fi
	begin $mpi $mpi-cut
	"$here/hosts.sh" cut host2
	ends $mpi "the cable of host2 is cut" 'bitnet: .*(rank [0-9] on host[0-9]|network)|lost communication|has disconnected|unexpectedly'
	"$here/hosts.sh" mend host2
	mpirun $mpi 3 --resume $mpi-cut --num-steps "$(($(checkpoint $mpi-cut | sed 's/.*step_0*//') + 20))" --quiet >log 2>&1 || fail "$mpi: three ranks cannot resume"
	say "$mpi: three hosts resumed and ended at $(basename "$(checkpoint $mpi-cut)")"

	begin $mpi $mpi-kill
	"$here/hosts.sh" kill host3
	ends $mpi "host3 is killed" 'bitnet: .*rank [0-9] on host[0-9]|exited on signal|lost communication|daemon|TERMINATION|mpiexec@'
	mpirun $mpi 2 --resume $mpi-kill --num-steps "$(($(checkpoint $mpi-kill | sed 's/.*step_0*//') + 20))" --quiet >log 2>&1 || fail "$mpi: two ranks cannot resume"
	say "$mpi: two hosts resumed and ended at $(basename "$(checkpoint $mpi-kill)")"
done
