#!/bin/sh
# Measures what the exchange of gradients costs apart from the arithmetic: ranks on hosts of hosts.sh
# train the experiment baseline on a card that computes nothing (testdata/cards), over links of given
# speeds. Prints milliseconds and bytes of a step next to what bitnet cost expects.
#
#   exchange.sh BITNET RANKS EXCHANGE SPEED...      exchange.sh build/bitnet 4 f32 1gbit 10gbit 25gbit
#
# Needs root, mpich, a C compiler and lavapipe; 2 GiB of memory for each rank. All hosts share this
# machine's processors, which therefore bound what can be reached.
set -eu

bitnet=$(realpath "$1") ranks=$2 exchange=$3
shift 3
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap '"$here/hosts.sh" down; rm -rf "$work"' EXIT
cd "$work"

driver=$(find /usr/lib /usr/local/lib -name libvulkan_lvp.so | head -n 1)
cc -shared -fPIC -DNO_ARITHMETIC "-DDRIVER=\"$driver\"" "$here/../cards/driver.c" -o driver.so -ldl
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s/driver.so", "api_version": "1.3.0"}}' "$work" >card.json
head -c 100000 /dev/zero >ids.u16 # it computes nothing
export VK_DRIVER_FILES="$work/card.json" VK_ICD_FILENAMES="$work/card.json" UCX_TLS=tcp,self

sent() { ip netns exec host0 cat /sys/class/net/eth0/statistics/tx_bytes; }

step() { cat runs/run/logs/metrics.jsonl 2>/dev/null | wc -l; }

"$here/hosts.sh" down
"$here/hosts.sh" up "$ranks" 1gbit
for speed in "$@"; do
	"$here/hosts.sh" link "$speed"
	rm -rf runs
	"$here/hosts.sh" on host0 mpirun.mpich -launcher ssh -launcher-exec "$here/rsh.sh" -hosts "$("$here/hosts.sh" list)" -iface eth0 -n "$ranks" \
		"$bitnet" train --exp baseline --data "tokens:$work/ids.u16" --no-shuffle --tuning off --exchange "$exchange" --batch-size "$ranks" --grad-accum 1 \
		--seq-len 8 --log-interval 1 --checkpoint-minutes 0 --run-id run --json >log 2>&1 &
	job=$!
	until [ "$(step)" -ge 3 ]; do # the first steps compile
		if ! kill -0 $job 2>/dev/null; then cat log >&2; exit 1; fi
		sleep 0.05
	done
	first=$(step) before=$(sent)
	until [ "$(step)" -ge $((first + 10)) ]; do sleep 0.05; done
	last=$(step) after=$(sent)
	# No checkpoint is wanted: it takes longer than all steps.
	for host in $(ip netns list | sed -n 's/^\(host[0-9]*\).*/\1/p'); do "$here/hosts.sh" kill "$host" || true; done
	wait $job || true
	expected=$("$bitnet" cost --exp baseline --device 4090 --workers "$ranks" --link "$speed" --exchange "$exchange" --json)
	python3 - "$first" "$last" "$before" "$after" "$speed" "$expected" <<-'END'
		import json, statistics, sys
		first, last, before, after = map(int, sys.argv[1:5])
		cost = json.loads(sys.argv[6])["scaling"][0]
		lines = [json.loads(l) for l in open("runs/run/logs/metrics.jsonl")][first:last]
		ms = statistics.median(l["step_time_ms"] for l in lines)
		fastest = min(l["step_time_ms"] for l in lines)
		expect = 1e3 * cost["exchange_seconds"]
		print(f"{sys.argv[5]}: {ms:.0f} ms (fastest {fastest:.0f}) and {(after - before) / (last - first) / 1e6:.0f} MB sent per step; "
			f"expected {expect:.0f} ms, {cost['bytes_per_step'] / 1e6:.0f} MB; measured / expected {ms / expect:.2f}, fastest {fastest / expect:.2f}")
	END
done
