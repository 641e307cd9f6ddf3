#!/bin/sh
# Measures this machine's graphics card with bitnet and writes a report. Nothing is installed, and
# no network is needed: everything but the card's driver is in this folder.
#
#   ./report.sh [flags of bitnet bench report, for example --minutes 15]
#
# The report goes to bitnet-report/ in the current folder (-o DIR), and to an archive next to it.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf 'report: %s\n' "$*"; }

fail() {
	printf 'report: %s\n' "$*" >&2
	exit 1
}

# The folders of shared libraries where drivers are, also where no linker cache lists them.
folders="/usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu /usr/lib64 /usr/lib64/nvidia /usr/local/nvidia/lib64 /usr/lib/nvidia
/usr/lib/nvidia-current /run/opengl-driver/lib /usr/lib/wsl/lib /usr/lib /lib64 /lib/x86_64-linux-gnu /lib/aarch64-linux-gnu"
cache=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) || cache=

# find_library NAME prints where a library is.
find_library() {
	path=$(printf '%s\n' "$cache" | sed -n "s/^[[:space:]]*$1 .*x86-64.* => //p; s/^[[:space:]]*$1 .*AArch64.* => //p" | head -n 1)
	if [ -n "$path" ]; then
		printf '%s\n' "$path"
		return
	fi
	IFS_=$IFS
	IFS=:
	for folder in ${LD_LIBRARY_PATH:-}; do
		if [ -n "$folder" ] && [ -e "$folder/$1" ]; then
			IFS=$IFS_
			printf '%s\n' "$folder/$1"
			return
		fi
	done
	IFS=$IFS_
	for folder in $folders; do
		if [ -e "$folder/$1" ]; then
			printf '%s\n' "$folder/$1"
			return
		fi
	done
	return 1
}

# Libraries of this folder are used only where the system has none: a driver may need the system's.
mkdir "$temp/lib"
for library in "$here"/lib/*.so*; do
	name=${library##*/}
	if ! find_library "$name" >/dev/null; then ln -s "$library" "$temp/lib/$name"; fi
done
export LD_LIBRARY_PATH="$temp/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export BITNET_NODE="$here/bin/node" BITNET_DAWN="$here/dawn"

bitnet=$here/bin/bitnet
"$bitnet" version >/dev/null 2>"$temp/why" || fail "the program does not start here ($(head -n 1 "$temp/why")): this kit is for $(cat "$here/platform")"

# shows NAME: does the program see a card with this in its name?
shows() { "$bitnet" devices --backend wgpu 2>/dev/null | grep -q -i -e "$1"; }

# try_nvidia LIBRARY lets the loader use a library of NVIDIA's driver by a manifest of our own.
try_nvidia() {
	path=$(find_library "$1") || return 1
	printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$path" >"$temp/nvidia.json"
	if VK_DRIVER_FILES=$temp/nvidia.json VK_ICD_FILENAMES=$temp/nvidia.json shows nvidia; then
		export VK_DRIVER_FILES="$temp/nvidia.json" VK_ICD_FILENAMES="$temp/nvidia.json"
		say "using $path through VK_DRIVER_FILES: no manifest of this driver worked"
		return
	fi
	return 1
}

# An NVIDIA card is there if its kernel driver or its tool is.
has_nvidia() { [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] || command -v nvidia-smi >/dev/null 2>&1; }

if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
	say "using the driver that VK_DRIVER_FILES names"
elif has_nvidia && ! shows nvidia; then
	# The first needs X libraries; the second is of the same driver, and needs none.
	try_nvidia libGLX_nvidia.so.0 || try_nvidia libEGL_nvidia.so.0 ||
		say "this machine has an NVIDIA card, but its Vulkan driver is not here: install it, or start the container with NVIDIA_DRIVER_CAPABILITIES=all"
fi
if ! "$bitnet" devices >"$temp/devices" 2>"$temp/why"; then
	if grep -q 'no graphics adapter was found' "$temp/why"; then
		fail "no Vulkan driver was found: install the card's (Debian: nvidia-driver and nvidia-vulkan-icd, or mesa-vulkan-drivers), or name its manifest in VK_DRIVER_FILES"
	fi
	fail "$(sed 's/^bitnet: //' "$temp/why" | tail -n 1)"
fi
cat "$temp/devices"
if ! grep -q 'discrete GPU\|integrated GPU' "$temp/devices"; then
	say "no graphics card was found: measuring on the CPU instead, which says nothing about a card"
fi

# The folder of the report: the value of -o, if there is one.
dir=bitnet-report
previous=
for argument; do
	case $argument in
	--output=*) dir=${argument#*=} ;;
	*) case $previous in -o | --output) dir=$argument ;; esac ;;
	esac
	previous=$argument
done
status=0
"$bitnet" bench report -o "$dir" "$@" || status=$?
if [ -f "$dir/report.json" ]; then
	# nvidia-smi's whole view, for questions that come later.
	if command -v nvidia-smi >/dev/null 2>&1; then nvidia-smi -q >"$dir/nvidia-smi.txt" 2>&1 || true; fi
	tar -czf "$dir.tar.gz" -C "$(dirname -- "$dir")" "$(basename -- "$dir")"
	say "read $dir/report.md; send $dir.tar.gz"
fi
exit "$status"
