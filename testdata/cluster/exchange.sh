#!/bin/sh
# Measures what the exchange of gradients costs apart from the arithmetic: ranks on hosts of hosts.sh
# train the experiment baseline on a card that computes nothing (testdata/cards). Over links
# without a limit, which gives the rate at which this machine copies and adds gradients, and over
# links of given speeds, where bitnet cost with that rate is compared with what came. The speeds take
# turns, so that other work on the machine weighs on all of them.
#
#   exchange.sh BITNET RANKS EXCHANGE SPEED...      exchange.sh build/bitnet 2 f32 1gbit 10gbit 25gbit
#
# STEPS (default 4) are measured at each speed in each of ROUNDS (default 5). Needs root, mpich, a C compiler and lavapipe; 2 GiB
# of memory for each rank. All hosts share this machine's processors, and so the rate: run nothing else.
set -eu

bitnet=$(realpath "$1") ranks=$2 exchange=$3
shift 3
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d)
trap '"$here/hosts.sh" down; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work"

driver=$(find /usr/lib /usr/local/lib -name libvulkan_lvp.so | head -n 1)
cc -shared -fPIC -DNO_ARITHMETIC "-DDRIVER=\"$driver\"" "$here/../cards/driver.c" -o driver.so -ldl
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s/driver.so", "api_version": "1.3.0"}}' "$work" >card.json
head -c 100000 /dev/zero >ids.u16 # it computes nothing
export VK_DRIVER_FILES="$work/card.json" VK_ICD_FILENAMES="$work/card.json" UCX_TLS=tcp,self

"$here/hosts.sh" down
"$here/hosts.sh" up "$ranks" none
"$here/hosts.sh" on host0 mpirun.mpich -launcher ssh -launcher-exec "$here/rsh.sh" -hosts "$("$here/hosts.sh" list)" -iface eth0 -n "$ranks" \
	"$bitnet" train --exp baseline --data "tokens:$work/ids.u16" --no-shuffle --tuning off --exchange "$exchange" --batch-size "$ranks" --grad-accum 1 \
	--seq-len 8 --num-steps 100000 --log-interval 1 --checkpoint-minutes 0 --run-id run --json >log 2>&1 &
job=$!
python3 - "$here" "$bitnet" "$ranks" "$exchange" "$job" "${STEPS:-4}" "${ROUNDS:-5}" "$@" <<-'END'
	import json, os, statistics, subprocess, sys, time
	here, bitnet, ranks, exchange, job, count, rounds = sys.argv[1:8]
	hosts, count, rounds, speeds = here + "/hosts.sh", int(count), int(rounds), sys.argv[8:]

	def lines():
	    try:
	        return [json.loads(l) for l in open("runs/run/logs/metrics.jsonl").read().split("\n")[:-1]]
	    except FileNotFoundError:
	        return []

	def steps(n):
	    while len(lines()) < n:
	        if not os.path.exists("/proc/" + job + "/stat") or open("/proc/" + job + "/stat").read().split()[2] == "Z":
	            sys.exit(open("log").read() + "training ended")
	        time.sleep(0.05)

	def sent():
	    return int(subprocess.check_output(["ip", "netns", "exec", "host0", "cat", "/sys/class/net/eth0/statistics/tx_bytes"]))

	def again():
	    "segments of TCP that host0 has sent once more"
	    lines = [l.split() for l in subprocess.check_output(["ip", "netns", "exec", "host0", "cat", "/proc/net/snmp"], text=True).splitlines() if l.startswith("Tcp:")]
	    return int(lines[1][lines[0].index("RetransSegs")])

	def measure(speed):
	    "times of the steps in ms, MB that host0 sent in each, segments that it sent again"
	    subprocess.check_call([hosts, "link", speed])
	    first = len(lines()) + 2 # the steps that the change is in
	    steps(first)
	    bytes, lost = sent(), again()
	    steps(first + count)
	    done = len(lines()) - first
	    return [l["step_time_ms"] for l in lines()[first:first + count]], (sent() - bytes) / done / 1e6, again() - lost

	def expect(link, rate):
	    command = [bitnet, "cost", "--exp", "baseline", "--device", "4090", "--workers", ranks, "--link", link, "--exchange", exchange, "--copy-rate", repr(rate), "--json"]
	    cost = json.loads(subprocess.check_output(command))["scaling"][0]
	    return 1e3 * cost["exchange_seconds"], cost["bytes_per_step"] / 1e6

	def copy_rate(ms):
	    "the rate with which the formula gives so many ms on links without a limit"
	    messages = expect("1000000gbit", 1e6)[0]
	    return (expect("1000000gbit", 1.0)[0] - messages) / (ms - messages)

	steps(3) # the first compile
	times, ratios = {s: [] for s in ["none", *speeds]}, {s: [] for s in speeds}
	for r in range(rounds):
	    for speed in ["none", *speeds]:
	        got, mb, lost = measure(speed)
	        times[speed] += got
	        ms = statistics.median(got)
	        if speed == "none":
	            rate = copy_rate(ms)
	            print(f"round {r + 1}: no limit: {ms:.0f} ms, {mb:.0f} MB sent per step: --copy-rate {rate:.3g}", flush=True)
	            continue
	        ratios[speed].append(ms / expect(speed, rate)[0])
	        print(f"round {r + 1}: {speed}: {ms:.0f} ms, {mb:.0f} MB sent per step, {lost} segments again; measured / expected {ratios[speed][-1]:.2f}", flush=True)
	rate = copy_rate(statistics.median(times["none"]))
	print(f"no limit: {statistics.median(times['none']):.0f} ms (fastest {min(times['none']):.0f}): --copy-rate {rate:.3g}")
	for speed in speeds:
	    ms, (want, mb) = statistics.median(times[speed]), expect(speed, rate)
	    print(f"{speed}: {ms:.0f} ms (fastest {min(times[speed]):.0f}); expected {want:.0f} ms, {mb:.0f} MB; measured / expected {ms / want:.2f}, by round "
	        + ", ".join(f"{x:.2f}" for x in ratios[speed]))
END
# No checkpoint is wanted: it takes longer than all steps.
for host in $(ip netns list | sed -n 's/^\(host[0-9]*\).*/\1/p'); do "$here/hosts.sh" kill "$host" || true; done
wait $job || true
