#!/bin/sh
# From nothing to a trained model, on a system that has nothing: a new minimal Debian or Ubuntu in a
# folder (debootstrap, as root), with curl, then docs/install.sh from a server on this machine, the
# script that installs a Vulkan driver, and training. Prints how long each took. It takes the archives
# of make release.
#
#   sh testdata/fresh.sh [--mirror ADDRESS] SUITE...        # bookworm trixie
set -eu
cd "$(dirname "$0")/.."

fail() {
	printf 'fresh: %s\n' "$*" >&2
	exit 1
}

mirror=
if [ "${1:-}" = --mirror ]; then
	mirror=$2
	shift 2
fi
[ $# -gt 0 ] || fail "usage: $0 [--mirror ADDRESS] SUITE..."
[ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and chroot do"
for tool in debootstrap python3; do
	command -v $tool >/dev/null || fail "$tool is missing (Debian: $tool)"
done
release=build/release
[ -f $release/SHA256SUMS ] || fail "there are no archives in $release: run make release"

work=$(mktemp -d)
server=
root=
finish() {
	if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
	if [ -n "$root" ]; then umount "$root/proc" 2>/dev/null || true; fi
	rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

python3 -u -m http.server --bind 127.0.0.1 --directory $release 0 >"$work/server" 2>&1 &
server=$!
for _ in $(seq 50); do
	port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$work/server")
	if [ -n "$port" ]; then break; fi
	sleep 0.1
done
[ -n "$port" ] || fail "the server does not start: $(cat "$work/server")"

# timed WHAT COMMAND... runs a command in the new system and prints how long it took.
timed() {
	what=$1
	shift
	begin=$(date +%s%N)
	chroot "$root" /usr/bin/env -i PATH=/root/.local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb DEBIAN_FRONTEND=noninteractive \
		http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" no_proxy=127.0.0.1 sh -c "$*" >"$work/log" 2>&1 || {
		cat "$work/log"
		fail "$what failed"
	}
	taken=$((($(date +%s%N) - begin) / 1000000))
	total=$((total + taken))
	printf '  %-44s %3d.%d s\n' "$what" $((taken / 1000)) $((taken % 1000 / 100))
	grep -E '^(bitnet v|install-vulkan: lavapipe|step  *100|finished)' "$work/log" | sed 's/^/      /' || true
}

for suite in "$@"; do
	root=$work/$suite
	total=0
	debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$work/log" 2>&1 || {
		tail -n 5 "$work/log"
		fail "debootstrap cannot make $suite: give the address of a mirror that has it with --mirror"
	}
	cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
	mount -t proc proc "$root/proc"
	# shellcheck source=/dev/null
	printf '%s\n' "$(. "$root/etc/os-release" && echo "$PRETTY_NAME")"
	timed "apt: curl" "apt-get update && apt-get install -y --no-install-recommends curl ca-certificates"
	timed "install.sh" "curl -fsS http://127.0.0.1:$port/install.sh | BITNET_RELEASES=http://127.0.0.1:$port sh && bitnet version"
	timed "gpu/install-vulkan.sh" "sh /root/.local/share/bitnet/gpu/install-vulkan.sh"
	timed "bitnet train --exp simple" "cd /root && bitnet train --exp simple"
	printf '  %-44s %3d.%d s\n' "from nothing to trained" $((total / 1000)) $((total % 1000 / 100))
	timed "bitnet doctor" "cd /root && bitnet doctor"
	timed "the driver of an ordinary user (--private)" "sh /root/.local/share/bitnet/gpu/install-vulkan.sh --force --private && . /root/.local/share/bitnet/.vulkan/env && bitnet devices"
	umount "$root/proc"
	rm -rf --one-file-system "$root"
	root=
done
