#!/bin/sh
# Runs testdata/walk with the program for Windows under Wine, on lavapipe through Wine's Vulkan: it
# trains, is killed and resumes, chats, serves, exports. Without an argument it takes the archive of
# make release, or else builds the program. What is missing on this machine is named in one line, and
# that is no failure.
#
#   sh testdata/windows/test.sh [bitnet.exe|bitnet-windows-amd64.zip]
set -eu
cd "$(dirname "$0")/../.."
project=$PWD

skip() {
	printf 'test-windows: left out: %s\n' "$*"
	exit 0
}

# Debian's script wine asks for 32-bit packages; the program itself does not need them.
wine=
for candidate in /usr/lib/wine/wine64 wine64 wine; do
	if command -v "$candidate" >/dev/null; then
		wine=$candidate
		break
	fi
done
[ -n "$wine" ] || skip "Wine is missing (Debian: wine64)"
command -v wineserver >/dev/null || PATH=$PATH:/usr/lib/wine
command -v Xvfb >/dev/null || skip "Xvfb is missing, and Wine's Vulkan needs a display (Debian: xvfb)"
command -v x86_64-w64-mingw32-gcc >/dev/null || skip "the C compiler for Windows is missing (Debian: gcc-mingw-w64-x86-64)"
version=$("$wine" --version 2>/dev/null | cut -d ' ' -f 1)

# compile PROGRAM PACKAGE, as cmd/release does it, so that Go has most of it already.
compile() {
	GOOS=windows GOARCH=amd64 CGO_ENABLED=1 CC=x86_64-w64-mingw32-gcc CGO_CFLAGS="-O2 -g0" go build -trimpath -buildvcs=false -o "$1" "$2"
}

mkdir -p build/windows
program=${1:-build/release/bitnet-windows-amd64.zip}
if [ ! -f "$program" ]; then
	program=build/windows/bitnet.exe
	compile "$program" ./cmd/bitnet
fi
compile build/windows/walk.exe ./testdata/walk

display=$(mktemp)
screen=
# The folder of the C drive is kept for the next time; a new one takes half a minute.
export WINEPREFIX="$project/build/windows/$version" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe=' WINEARCH=win64
stop() {
	WINEPREFIX=$WINEPREFIX wineserver -k 2>/dev/null || true
	if [ -n "$screen" ]; then kill "$screen" 2>/dev/null || true; fi
	rm -f "$display"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

Xvfb -displayfd 3 -screen 0 800x600x24 -nolisten tcp 3>"$display" >/dev/null 2>&1 &
screen=$!
for _ in $(seq 100); do
	if [ -s "$display" ]; then break; fi
	sleep 0.1
done
[ -s "$display" ] || skip "Xvfb does not start"
DISPLAY=:$(cat "$display")
export DISPLAY

if [ ! -f "$WINEPREFIX/ready" ]; then
	"$wine" wineboot --init >/dev/null 2>&1 || skip "Wine cannot make a C drive"
	wineserver -w
	system=$WINEPREFIX/drive_c/windows/system32
	if [ ! -f "$system/bcryptprimitives.dll" ]; then
		x86_64-w64-mingw32-gcc -shared -O1 -o "$system/bcryptprimitives.dll" testdata/windows/prng.c -ladvapi32
	fi
	touch "$WINEPREFIX/ready"
fi
printf 'test-windows: %s under %s\n' "$program" "$version"
rm -rf "$WINEPREFIX/drive_c/work"
mkdir -p "$WINEPREFIX/drive_c/work"
fail() {
	printf 'test-windows: failed: %s\n' "$*" >&2
	exit 1
}

work=$WINEPREFIX/drive_c/work
"$wine" build/windows/walk.exe -bitnet "$program" -dir 'C:\work' -steps 120 || fail "the walk"

# Ctrl-C: Wine makes it of SIGINT.
case $program in
*.zip)
	python3 -m zipfile -e "$program" "$work" 2>/dev/null || unzip -q "$program" -d "$work" || skip "Ctrl-C: python3 and unzip are missing"
	program=$work/bitnet-windows-amd64/bitnet.exe
	;;
esac
"$wine" "$program" train --exp simple --num-steps 3000 --log-interval 5 --runs-dir 'C:\work\runs' --run-id stopped >"$work/log" 2>&1 &
trained=$!
for _ in $(seq 300); do
	if grep -q '^step 5/' "$work/log"; then break; fi
	sleep 0.2
done
kill -INT "$trained"
code=0
wait "$trained" || code=$?
[ "$code" = 130 ] || fail "Ctrl-C ended training with code $code, not 130: $(tail -n 3 "$work/log")"
set -- "$work"/runs/stopped/checkpoints/step_*
[ -f "$1/state.json" ] || fail "Ctrl-C left no checkpoint"
printf 'ok: Ctrl-C saves a checkpoint\n'
