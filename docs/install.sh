#!/bin/sh
# Installs bitnet from a release, for this user alone: the program into ~/.local/bin, its
# documentation, its licences and the script that installs a Vulkan driver into ~/.local/share/bitnet.
#
#   sh install.sh
#   BITNET_RELEASES=ADDRESS BITNET_PREFIX=/opt/bitnet sh install.sh
#
#   BITNET_RELEASES  address of a folder with a release's files, or the folder itself
#   BITNET_PREFIX    where to install, ~/.local by default
#
# It needs tar, gzip, sha256sum or shasum, and curl or wget. What it downloads must match SHA256SUMS,
# or nothing is installed.
set -eu

# A release fills in where it can be downloaded from.
default_releases=

releases=${BITNET_RELEASES:-$default_releases}
prefix=${BITNET_PREFIX:-${HOME:-}/.local}

say() { printf 'install: %s\n' "$*"; }

fail() {
	printf 'install: %s\n' "$*" >&2
	exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# archive prints the name of the archive for this system.
archive() {
	case $(uname -s) in
	Linux) system=linux ;;
	Darwin) system=darwin ;;
	MINGW* | MSYS* | CYGWIN*) fail "this script is for Linux and macOS: on Windows unpack bitnet-windows-amd64.zip and start bitnet.exe in a terminal" ;;
	*) fail "there is no release for $(uname -s): build bitnet from its source" ;;
	esac
	case $(uname -m) in
	x86_64 | amd64) processor=amd64 ;;
	aarch64 | arm64) processor=arm64 ;;
	*) fail "there is no release for $(uname -m) processors: build bitnet from its source" ;;
	esac
	printf 'bitnet-%s-%s.tar.gz\n' "$system" "$processor"
}

# get NAME puts a file of the release into the temporary folder.
get() {
	case $releases in
	http://* | https://*)
		if has curl; then
			curl -fsSL --retry 3 -o "$temp/$1" "$releases/$1" && return
		elif has wget; then
			wget -q -O "$temp/$1" "$releases/$1" && return
		else
			fail "curl or wget is missing: install one of them"
		fi
		fail "cannot download $releases/$1: check the address (BITNET_RELEASES) and the network"
		;;
	*) cp "$releases/$1" "$temp/$1" 2>/dev/null || fail "there is no file $1 in $releases: set BITNET_RELEASES to the address or the folder of a release" ;;
	esac
}

# sum FILE prints its SHA-256.
sum() {
	if has sha256sum; then
		sha256sum "$1" | cut -d ' ' -f 1
	elif has shasum; then
		shasum -a 256 "$1" | cut -d ' ' -f 1
	else
		fail "sha256sum or shasum is missing: install one of them"
	fi
}

# place moves what was unpacked to where it stays. A driver that install-vulkan.sh put there before stays, too.
place() {
	share=$prefix/share/bitnet
	mkdir -p "$prefix/bin" "$prefix/share" || fail "cannot write to $prefix: set BITNET_PREFIX to another folder"
	new=$(mktemp -d "$prefix/share/.bitnet.XXXXXX") || fail "cannot write to $prefix/share: set BITNET_PREFIX to another folder"
	cp -R "$temp/$folder/." "$new" || fail "cannot write to $prefix/share: make room there"
	chmod 755 "$new"
	mv "$new/bitnet" "$prefix/bin/.bitnet.new"
	if [ -d "$share/.vulkan" ]; then mv "$share/.vulkan" "$new/.vulkan"; fi
	rm -rf "$share"
	mv "$new" "$share"
	new=
	mv -f "$prefix/bin/.bitnet.new" "$prefix/bin/bitnet"
}

[ -n "$releases" ] || fail "set BITNET_RELEASES to the address or the folder of a release"
[ "$prefix" != /.local ] || fail "HOME is not set: set BITNET_PREFIX to the folder to install into"
for tool in tar gzip uname mktemp; do
	has "$tool" || fail "$tool is missing: install it"
done

name=$(archive)
folder=${name%.tar.gz}
temp=$(mktemp -d) || fail "no temporary folder: free some space or set TMPDIR"
new=
trap 'rm -rf "$temp" ${new:+"$new"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

get SHA256SUMS
want=$(awk -v name="$name" '$2 == name { print $1 }' "$temp/SHA256SUMS")
[ -n "$want" ] || fail "this release has no $name: build bitnet from its source"
get "$name"
got=$(sum "$temp/$name")
[ "$got" = "$want" ] || fail "$name is damaged: its SHA-256 is $got, not $want; nothing was installed, try again"
tar -xzf "$temp/$name" -C "$temp" || fail "cannot unpack $name: make room in ${TMPDIR:-/tmp}"
# It must start here before it replaces another.
version=$("$temp/$folder/bitnet" version) || fail "the program does not start on this system: build bitnet from its source"
place

say "$version is installed as $prefix/bin/bitnet"
case :$PATH: in
*":$prefix/bin:"*) ;;
*) say "$prefix/bin is not on the path: export PATH=$prefix/bin:\$PATH" ;;
esac
if ! "$prefix/bin/bitnet" devices >/dev/null 2>&1; then
	case $name in
	bitnet-linux-*)
		say "there is no Vulkan driver. On a GPU, install your card's; to compute on the CPU, run (on Debian or Ubuntu)"
		say "    sh $share/gpu/install-vulkan.sh"
		if [ "$(id -u)" != 0 ]; then say "    . $share/.vulkan/env        # unless the driver was installed with sudo"; fi
		;;
	*) say "no graphics adapter was found: see bitnet doctor" ;;
	esac
fi
say "start with: bitnet train --exp simple"
