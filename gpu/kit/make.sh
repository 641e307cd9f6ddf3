#!/bin/sh
# Makes one archive that measures a graphics card on a Linux machine without a network:
# build/bitnet-kit-linux-ARCH.tar.xz. Needs Go, a C compiler, Node.js with npm, xz, and libvulkan1
# (make dawn and gpu/install-vulkan.sh install what is missing of Dawn and the loader).
set -eu
project=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$project"

fail() {
	printf 'make kit: %s\n' "$*" >&2
	exit 1
}

[ "$(uname -s)" = Linux ] || fail "the kit is made on Linux, for Linux"
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) fail "Node.js and Dawn have no binaries for $(uname -m)" ;;
esac
for tool in go node npm xz tar ldd; do
	command -v "$tool" >/dev/null || fail "$tool is missing: install it (Debian: golang nodejs npm xz-utils)"
done

name=bitnet-kit-linux-$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kit=$work/$name
mkdir -p "$kit/bin" "$kit/lib" "$kit/licenses" build

# The report names the commit, so it must be there wherever git can tell it.
vcs=-buildvcs=true
if ! git rev-parse HEAD >/dev/null 2>&1; then vcs=-buildvcs=false; fi
go build $vcs -trimpath -ldflags '-s -w' -o "$kit/bin/bitnet" ./cmd/bitnet
cp LICENSE "$kit/licenses/bitnet"

# Dawn: the npm package with the one binary that this system needs.
BITNET_DAWN=$work/dawn sh gpu/dawn/install.sh >"$work/log" 2>&1 || fail "Dawn could not be installed: $(tail -n 1 "$work/log")"
package=$work/dawn/node_modules/webgpu
find "$package/dist" -mindepth 1 -maxdepth 1 -type d ! -name "linux-$arch" -exec rm -r {} +
[ -d "$package/dist/linux-$arch" ] || fail "Dawn's package has no linux-$arch"
mv "$work/dawn" "$kit/dawn"
rm -rf "$kit/dawn/node_modules/.bin"
find "$kit/dawn" -iname 'license*' -path '*webgpu*' -exec cp {} "$kit/licenses/dawn" \; -quit

# Node.js: the system's if it is one file, else the npm package that holds its binary.
node=$(readlink -f "$(command -v node)")
if ldd "$node" 2>/dev/null | grep -q 'libnode\|not found' || ! ldd "$node" >/dev/null 2>&1; then
	node=
fi
if [ -z "$node" ]; then
	(cd "$work" && npm pack --silent "node-linux-$arch@22" >"$work/log" 2>&1) || fail "npm could not get Node.js: $(tail -n 1 "$work/log")"
	tar -xzf "$work"/node-linux-*.tgz -C "$work"
	node=$work/package/bin/node
	cp "$work/package/LICENSE" "$kit/licenses/node" 2>/dev/null || true
fi
cp "$node" "$kit/bin/node"
chmod +x "$kit/bin/node"
if command -v strip >/dev/null; then strip "$kit/bin/node" 2>/dev/null || true; fi
"$kit/bin/node" -e 0 || fail "the Node.js of this system does not run by itself"
node --print 'const v = process.versions; `Node.js ${v.node}, https://nodejs.org: MIT and the licenses of what it includes, see https://github.com/nodejs/node/blob/main/LICENSE`' >>"$kit/licenses/node"

# The Vulkan loader, and what drivers load, for systems without them.
library() { PATH=$PATH:/sbin:/usr/sbin ldconfig -p | sed -n "s/^[[:space:]]*$1 .*=> //p" | head -n 1; }
for so in libvulkan.so.1 libX11.so.6 libXext.so.6 libxcb.so.1 libXau.so.6 libXdmcp.so.6 libbsd.so.0 libmd.so.0 libstdc++.so.6 libgcc_s.so.1; do
	path=$(library "$so")
	if [ -n "$path" ]; then
		cp -L "$path" "$kit/lib/$so"
	elif [ "$so" = libvulkan.so.1 ]; then
		fail "there is no Vulkan loader here: run gpu/install-vulkan.sh"
	fi
done
for package in libvulkan1 libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0 libstdc++6; do
	if [ -f "/usr/share/doc/$package/copyright" ]; then cp -L "/usr/share/doc/$package/copyright" "$kit/licenses/$package"; fi
done

cp gpu/kit/report.sh gpu/kit/README.txt "$kit/"
chmod +x "$kit/report.sh"
glibc=$(for file in "$kit/bin/bitnet" "$kit/bin/node"; do tr -c 'A-Za-z0-9_.' '\n' <"$file" | grep -x 'GLIBC_2\.[0-9.]*'; done | sed 's/GLIBC_//' | sort -t. -k2n | tail -n 1)
printf 'Linux on %s with glibc %s or newer\n' "$(uname -m)" "$glibc" >"$kit/platform"

out=build/$name.tar.xz
tar -C "$work" --owner=0 --group=0 -cf - "$name" | xz -9e -T0 >"$out.part"
mv "$out.part" "$out"
size=$(wc -c <"$out")
printf '%s: %s.%s MB, for %s\n' "$out" "$((size / 1000000))" "$((size / 100000 % 10))" "$(cat "$kit/platform")"
[ "$size" -lt 60000000 ] || fail "the archive is larger than 60 MB"
