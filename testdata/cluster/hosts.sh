#!/bin/sh
# Hosts that are network namespaces of this machine, each with its own address and name, on one
# switch: to see what training does where cables are cut and hosts die. Needs root, ip, tc and
# unshare; Linux only.
#
#   hosts.sh up 4 1gbit       four hosts, host0 to host3 (10.77.0.1 to 10.77.0.4), each on such a link
#   hosts.sh on host0 CMD     run CMD there
#   hosts.sh list             the addresses, with commas
#   hosts.sh cut host2        pull the cable; mend host2 puts it back
#   hosts.sh kill host2       end all that runs there
#   hosts.sh link 10gbit      other links; none: as fast as the machine is
#   hosts.sh down
#
# ranks.sh is the example: training across them, with Open MPI and MPICH.
set -eu

switch=bitnet-switch
network=10.77.0

hosts() { ip netns list | sed -n 's/^\(host[0-9]*\).*/\1/p' | sort -V; }

address() { echo "$network.$((${1#host} + 1))"; }

# shape NAMESPACE DEVICE RATE: a token bucket as deep as what passes in a tick of the clock, before it a
# queue that holds the window of TCP: with 20 ms packets are lost, and 1 Gbit/s carries 0.3 to 0.8.
shape() {
	namespace=$1 device=$2 rate=$3
	if [ "$rate" = none ]; then
		ip netns exec "$namespace" tc qdisc delete dev "$device" root 2>/dev/null || true
		return
	fi
	bits=$(echo "$rate" | sed 's/gbit$/000000000/; s/mbit$/000000/; s/kbit$/000/')
	burst=$((bits / 8 / 250))
	if [ "$burst" -lt 131072 ]; then burst=131072; fi
	ip netns exec "$namespace" tc qdisc replace dev "$device" root tbf rate "$rate" burst "$burst" latency 100ms
}

link() {
	for host in $(hosts); do
		shape "$host" eth0 "$1"
		shape $switch "$host" "$1"
	done
}

up() {
	ip netns add $switch
	ip -n $switch link add name bridge type bridge
	ip -n $switch link set bridge up
	for i in $(seq 0 $(($1 - 1))); do
		host=host$i
		ip netns add $host
		ip -n $host link add eth0 type veth peer name $host netns $switch
		ip -n $host address add "$(address $host)/24" dev eth0
		ip -n $host link set lo up
		ip -n $host link set eth0 up
		ip -n $switch link set $host master bridge
		ip -n $switch link set $host up
	done
	link "$2"
}

end() { ip netns pids "$1" | xargs -r kill -9; }

down() {
	for namespace in $(hosts) $switch; do
		if ! ip netns list | grep -qw $namespace; then continue; fi
		end $namespace
		ip netns delete $namespace
	done
}

# on HOST CMD: there a process also sees the host's name, by which MPI tells hosts apart.
on() {
	host=$1
	shift
	# shellcheck disable=SC2016 # the inner shell expands it
	exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0"; exec "$@"' "$host" "$@"
}

command=$1
shift
case $command in
up | link | down | on) "$command" "$@" ;;
list) for host in $(hosts); do address "$host"; done | paste -sd, ;;
kill) end "$1" ;;
cut) ip -n $switch link set "$1" down ;;
mend) ip -n $switch link set "$1" up ;;
*) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
