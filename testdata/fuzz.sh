#!/bin/sh
# Runs every fuzz target of the module in turn and prints how many inputs each one
# tried: sh testdata/fuzz.sh [MINUTES [PATTERN]]. MINUTES (default 10) is shared among
# the targets whose package/name matches the pattern. Ends with 1 if a target failed,
# or tried so few inputs that it tests nothing.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10}
pattern=${2:-.}

targets=$(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . |
	sed 's|^\./||; s|/[^/:]*:func |/|' | sort -u | grep -E "$pattern") || {
	echo "no fuzz target matches $pattern" >&2
	exit 1
}
count=$(echo "$targets" | wc -l)
seconds=$((minutes * 60 / count))
test "$seconds" -ge 3 || seconds=3
echo "$count targets, $seconds s each"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
for t in $targets; do
	dir=${t%/*} name=${t##*/}
	# Minimising is worth its time only for an input that fails, and then 1000 tries do.
	if go test "./$dir" -run '^$' -fuzz "^$name\$" -fuzztime "${seconds}s" -fuzzminimizetime 1000x >"$log" 2>&1; then
		tried=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
		note=
		if [ "${tried:-0}" -lt $((seconds * 10)) ]; then
			note=" too few: make its seeds smaller or its body cheaper"
			status=1
		fi
		printf '%-45s %10s inputs%s\n' "$t" "${tried:-0}" "$note"
	else
		printf '%-45s FAILED\n' "$t"
		cat "$log"
		status=1
	fi
done
exit $status
