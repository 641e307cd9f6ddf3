#!/bin/sh
# Four hosts in network namespaces on one machine: a meeting point and three workers.
# Cuts a cable, kills a worker, kills the meeting point and starts it again, and looks
# at what happens. Needs root and iproute2:
#
#	sh testdata/swarm/netns.sh BITNET [FOLDER]
#
# RATE (default 100mbit) shapes each cable with tc. It ends with 0 if all came as
# docs/swarm.md promises.
set -eu
bitnet=$1 dir=${2:-$(mktemp -d)} rate=${RATE:-100mbit}
mkdir -p "$dir"
cd "$dir"
tag=bn$$
pids=

clean() {
	for p in $pids; do kill -9 "$p" 2>/dev/null || true; done
	for k in 0 1 2 3; do ip netns del "$tag$k" 2>/dev/null || true; done
	ip link del "${tag}br" 2>/dev/null || true
}
trap clean EXIT
trap 'exit 1' INT TERM HUP
fail() { echo "FAILED: $*" >&2; tail -n 5 ./*.log >&2; exit 1; }
say() { echo "$(date +%T) $*"; }

# The hosts hang on one switch: host k has the address 10.77.0.k+1.
ip link add "${tag}br" type bridge
ip link set "${tag}br" up
for k in 0 1 2 3; do
	ip netns add "$tag$k"
	ip link add "${tag}v$k" type veth peer name eth0 netns "$tag$k"
	ip link set "${tag}v$k" master "${tag}br" up
	ip -n "$tag$k" addr add "10.77.0.$((k + 1))/24" dev eth0
	ip -n "$tag$k" link set eth0 up
	ip -n "$tag$k" link set lo up
	tc qdisc add dev "${tag}v$k" root tbf rate "$rate" burst 64kb latency 200ms
	ip netns exec "$tag$k" tc qdisc add dev eth0 root tbf rate "$rate" burst 64kb latency 200ms
done

# on HOST LOG COMMAND... starts a command on a host in the background; its number is in $last.
on() {
	host=$1 log=$2
	shift 2
	ip netns exec "$tag$host" "$@" >>"$log" 2>&1 &
	last=$!
	pids="$pids $last"
}

meeting() {
	on 0 serve.log "$bitnet" swarm serve --listen 10.77.0.1:4222 --dir state --token secret --tls --local-steps 50 --silence 6s --patience 20s
	served=$last
}
meeting
wait_for() { # TEXT FILE SECONDS
	n=0
	until grep -q "$1" "$2" 2>/dev/null; do
		n=$((n + 1))
		[ $n -lt $(($3 * 5)) ] || fail "no \"$1\" in $2 after $3 s"
		sleep 0.2
	done
}
rounds_of() { grep -c " round .*, $1 workers" serve.log || true; } # WORKERS
more_rounds() { # ROUNDS WORKERS SECONDS ELSE: so many more rounds end with so many workers
	n=0 before=$(rounds_of "$2")
	until [ "$(rounds_of "$2")" -ge $((before + $1)) ]; do
		n=$((n + 1))
		[ $n -lt $(($3 * 5)) ] || fail "$4"
		sleep 0.2
	done
}
wait_for "^join with" serve.log 60
address=$(sed -n "s/^join with.*--swarm '\([^']*\)'.*/\1/p" serve.log)
say "meeting point: $address"

worker() { # HOST
	on "$1" "w$1.log" "$bitnet" train --exp simple --num-steps "${STEPS:-6000}" --swarm "$address" --swarm-token secret --swarm-name "w$1" --run-id "w$1-$(date +%s)" \
		--set eval_interval=0 --set sample_interval=0 --set checkpoint_interval=0
	eval "pid$1=$last"
}
worker 1
worker 2
worker 3
wait_for "round 3: .*, 3 workers" serve.log 240
say "three workers train"

say "cutting the cable of w2"
ip link set "${tag}v2" down
wait_for "w2: no sign of life" serve.log 30
more_rounds 2 2 60 "the others do not go on"
say "the others go on without w2"
ip link set "${tag}v2" up
say "cable is back"
more_rounds 1 3 120 "w2 does not come back"
say "w2 counts again without help"

say "killing w3"
kill -9 "$pid3"
wait_for "w3: no sign of life" serve.log 30
more_rounds 2 2 60 "the others do not go on without w3"
say "the others go on; w3 joins again"
worker 3
wait_for "w3-2 joins" serve.log 120

say "killing the meeting point"
kill -9 "$served"
sleep 7
meeting
wait_for "continuing at round" serve.log 60
say "it continues: $(grep 'continuing' serve.log | tail -n 1)"
more_rounds 2 3 120 "the workers do not come back"
say "the workers are back"
ip netns exec "${tag}0" "$bitnet" swarm status "$address" --swarm-token secret | tee status.txt
say "all as promised"
