#!/bin/sh
# The second stage of the Dockerfile without Docker: its RUN lines in a new minimal Debian
# (debootstrap, as root), the program of make build in its place, and training there with the stage's
# environment. It cannot show that Docker takes the file, nor that a card is seen.
#
#   make build && sh testdata/docker.sh
set -eu
cd "$(dirname "$0")/.."

fail() {
	printf 'docker: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and chroot do"
command -v debootstrap >/dev/null || fail "debootstrap is missing (Debian: debootstrap)"
[ -x build/bitnet ] || fail "there is no build/bitnet: run make build"

# stage KEYWORD prints what follows a keyword in the last stage.
stage() { awk -v keyword="$1" '$1 == "FROM" { text = "" } $1 == keyword { text = text substr($0, length(keyword) + 2) "\n" } END { printf "%s", text }' docs/Dockerfile; }

image=$(awk '$1 == "FROM" { last = $2 } END { print last }' docs/Dockerfile)
suite=${image#debian:}
suite=${suite%-slim}
work=$(mktemp -d)
trap 'umount "$work/root/proc" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

debootstrap --variant=minbase "$suite" "$work/root" >"$work/log" 2>&1 || fail "debootstrap cannot make $suite: $(tail -n 1 "$work/log")"
cp /etc/resolv.conf "$work/root/etc/" 2>/dev/null || true
mount -t proc proc "$work/root/proc"
inside() { chroot "$work/root" /usr/bin/env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }
stage RUN | while read -r line; do
	printf 'RUN %s\n' "$line"
	inside sh -c "$line" >"$work/log" 2>&1 || fail "this step failed: $(tail -n 3 "$work/log")"
done
cp build/bitnet "$work/root/usr/local/bin/bitnet"
mkdir -p "$work/root/work"
# shellcheck disable=SC2046 # assignments
inside $(stage ENV) sh -c 'cd /work && bitnet devices && bitnet train --exp simple --num-steps 50 && bitnet --help >/dev/null'
printf 'the second stage has %s\n' "$(du -sh --exclude=proc "$work/root" | cut -f 1)"
