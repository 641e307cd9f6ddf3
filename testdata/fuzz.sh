#!/bin/sh
# Runs every fuzz target of the module in turn and prints how many inputs each one
# tried and the most memory that one process of it held:
# sh testdata/fuzz.sh [MINUTES [PATTERN]]. MINUTES (default 10) is shared among the
# targets whose package/name matches the pattern. Ends with 1 if a target failed,
# tried so few inputs that it tests nothing, or held more than MEMORY MiB (default
# 512): a small input must not make the program ask for much.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10}
pattern=${2:-.}
bound=${MEMORY:-512}

targets=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . |
	sed 's|^\./||; s|/[^/:]*:func |/|' | sort -u | grep -E "$pattern") || {
	echo "no fuzz target matches $pattern" >&2
	exit 1
}
count=$(echo "$targets" | wc -l)
seconds=$((minutes * 60 / count))
test "$seconds" -ge 3 || seconds=3
echo "$count targets, $seconds s each, at most $bound MiB"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
cache=$(go env GOCACHE)/fuzz
module=$(go list -m)

# watch keeps the highest peak, in KiB, of process $1 and the workers that it starts in
# $work/peak, until it is killed. A process's own peak stays in /proc as long as it lives.
watch() {
	peak=0
	while :; do
		for p in "$1" $(pgrep -P "$1" 2>/dev/null); do
			kib=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$p/status" 2>/dev/null) || kib=
			if [ "${kib:-0}" -gt "$peak" ]; then
				peak=$kib
				echo "$peak" >"$work/peak"
			fi
		done
		sleep 0.2
	done
}

status=0
for t in $targets; do
	dir=${t%/*} name=${t##*/}
	if ! go test -c -o "$work/fuzz.test" -fuzz "^$name\$" "./$dir" >"$log" 2>&1; then
		printf '%-45s DOES NOT COMPILE\n' "$t"
		cat "$log"
		status=1
		continue
	fi
	# Minimising is worth its time only for an input that fails, and then 1000 tries do.
	(cd "$dir" && exec "$work/fuzz.test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "${seconds}s" \
		-test.fuzzminimizetime 1000x -test.fuzzcachedir "$cache/$module/$dir") >"$log" 2>&1 &
	fuzzer=$!
	echo 0 >"$work/peak"
	watch "$fuzzer" &
	watcher=$!
	passed=yes
	wait "$fuzzer" || passed=
	kill "$watcher"
	wait "$watcher" 2>/dev/null || true
	memory=$((($(cat "$work/peak") + 1023) / 1024)) # 0 where the system has no /proc
	if [ "$passed" ]; then
		tried=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
		note=
		if [ "${tried:-0}" -lt $((seconds * 10)) ]; then
			note=" too few: make its seeds smaller or its body cheaper"
			status=1
		fi
		if [ "$memory" -gt "$bound" ]; then
			note="$note too much memory: find the input that asks for it"
			status=1
		fi
		printf '%-45s %10s inputs %6s MiB%s\n' "$t" "${tried:-0}" "$memory" "$note"
	else
		printf '%-45s FAILED\n' "$t"
		cat "$log"
		status=1
	fi
done
exit $status
