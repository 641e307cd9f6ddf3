#!/bin/sh
# Measures what the exchange of gradients costs apart from the arithmetic: ranks on hosts of hosts.sh
# train the experiment baseline on a card that computes nothing (testdata/cards). First over links
# without a limit, which gives the rate at which this machine copies and adds gradients; then over
# links of given speeds, where bitnet cost with that rate is compared with what came.
#
#   exchange.sh BITNET RANKS EXCHANGE SPEED...      exchange.sh build/bitnet 2 f32 1gbit 10gbit 25gbit
#
# STEPS (default 10) are measured at each speed. Needs root, mpich, a C compiler and lavapipe; 2 GiB
# of memory for each rank. All hosts share this machine's processors, and so the rate: run nothing else.
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

"$here/hosts.sh" down
"$here/hosts.sh" up "$ranks" none
"$here/hosts.sh" on host0 mpirun.mpich -launcher ssh -launcher-exec "$here/rsh.sh" -hosts "$("$here/hosts.sh" list)" -iface eth0 -n "$ranks" \
	"$bitnet" train --exp baseline --data "tokens:$work/ids.u16" --no-shuffle --tuning off --exchange "$exchange" --batch-size "$ranks" --grad-accum 1 \
	--seq-len 8 --num-steps 100000 --log-interval 1 --checkpoint-minutes 0 --run-id run --json >log 2>&1 &
job=$!
python3 - "$here" "$bitnet" "$ranks" "$exchange" "$job" "${STEPS:-10}" "$@" <<-'END'
	import json, os, statistics, subprocess, sys, time
	here, bitnet, ranks, exchange, job, count = sys.argv[1:7]
	hosts, count = here + "/hosts.sh", int(count)

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

	def processor():
	    "seconds that all ranks have computed"
	    ticks = 0
	    for pid in subprocess.check_output(["ip", "netns", "pids", "host0"]).split():
	        stat = open("/proc/%d/stat" % int(pid)).read().rsplit(")", 1)
	        if "(bitnet" in stat[0]:
	            ticks += sum(map(int, stat[1].split()[11:13]))
	    return ticks / os.sysconf("SC_CLK_TCK")

	def measure(speed):
	    subprocess.check_call([hosts, "link", speed])
	    first = len(lines()) + 2 # the steps that the change is in
	    steps(first)
	    bytes, seconds = sent(), processor()
	    steps(first + count)
	    times = [l["step_time_ms"] for l in lines()[first:first + count]]
	    return statistics.median(times), min(times), (sent() - bytes) / count / 1e6, (processor() - seconds) / count

	def expect(link, rate):
	    command = [bitnet, "cost", "--exp", "baseline", "--device", "4090", "--workers", ranks, "--link", link, "--exchange", exchange, "--copy-rate", repr(rate), "--json"]
	    cost = json.loads(subprocess.check_output(command))["scaling"][0]
	    return 1e3 * cost["exchange_seconds"], cost["bytes_per_step"] / 1e6

	steps(3) # the first compile
	free, fastest, sent_free, cpu = measure("none")
	messages = expect("1000000gbit", 1e6)[0]
	rate = (expect("1000000gbit", 1.0)[0] - messages) / (free - messages)
	print(f"no limit: {free:.0f} ms (fastest {fastest:.0f}) and {sent_free:.0f} MB sent per step, {cpu:.2f} s of processor time on each rank: --copy-rate {rate:.3g}", flush=True)
	for speed in sys.argv[7:]:
	    ms, fastest, mb, cpu = measure(speed)
	    want, want_mb = expect(speed, rate)
	    print(f"{speed}: {ms:.0f} ms (fastest {fastest:.0f}) and {mb:.0f} MB sent per step, {cpu:.2f} s of processor time; "
	        f"expected {want:.0f} ms, {want_mb:.0f} MB; measured / expected {ms / want:.2f}", flush=True)
END
# No checkpoint is wanted: it takes longer than all steps.
for host in $(ip netns list | sed -n 's/^\(host[0-9]*\).*/\1/p'); do "$here/hosts.sh" kill "$host" || true; done
wait $job || true
