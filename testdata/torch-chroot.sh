#!/bin/sh
# Makes a folder with Debian 13 and its PyTorch (2.6, with what torch.compile needs), to measure
# against where the system's own PyTorch is older. Prints the folder. It takes 2.6 GB and some
# minutes the first time; after that it does nothing. As root: debootstrap and chroot need it.
# Packages come from the machine's own Debian mirror.
#
#   testdata/torch-chroot.sh [FOLDER]      # default: ~/.cache/bitnet/torch-trixie
set -eu

fail() {
	printf 'torch-chroot: %s\n' "$*" >&2
	exit 1
}

suite=trixie
packages="python3-torch libopenblas0-pthread g++ python3-dev python3-setuptools libtorch-dev"
folder=${1:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/bitnet/torch-$suite}
case $folder in /*) ;; *) folder=$PWD/$folder ;; esac
if [ -f "$folder/.complete" ]; then
	printf '%s\n' "$folder"
	exit 0
fi
[ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and chroot do"
for tool in debootstrap apt-get chroot; do
	command -v $tool >/dev/null || fail "$tool is missing (Debian: apt-get install debootstrap)"
done
# The first mirror of Debian that apt uses, without the one for security updates.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep debian | grep -v security | head -n 1)
[ -n "$mirror" ] || fail "apt knows no Debian mirror: add one under /etc/apt, and run apt-get update"

mkdir -p "$(dirname "$folder")"
new=$(mktemp -d "$folder.XXXXXX") || fail "cannot write next to $folder: correct its permissions"
finish() {
	if [ -n "$new" ]; then rm -rf --one-file-system "$new"; fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$new"
say() { printf 'torch-chroot: %s\n' "$*" >&2; }

say "making a minimal Debian ($suite) in $folder"
debootstrap --variant=minbase "$suite" "$new" "$mirror" >"$new/log" 2>&1 || {
	tail -n 3 "$new/log" "$new/debootstrap/debootstrap.log" >&2 2>/dev/null || true
	fail "debootstrap cannot make $suite from the machine's mirror"
}
cp /etc/resolv.conf "$new/etc/" 2>/dev/null || true
say "installing $packages"
# shellcheck disable=SC2086 # a list of packages
chroot "$new" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive \
	http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" sh -c "
		apt-get -q update && apt-get -q -y --no-install-recommends install $packages && apt-get clean" >>"$new/log" 2>&1 || {
	tail -n 5 "$new/log" >&2
	fail "the packages cannot be installed"
}
: >"$new/.complete"
mv -T "$new" "$folder"
new=
printf '%s\n' "$folder"
