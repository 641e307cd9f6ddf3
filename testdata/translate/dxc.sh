#!/bin/sh
# Compiles the HLSL files of a folder with Microsoft's compiler, in Wine: EACH=2 kernels of each WGSL
# file, because all of them take minutes. Says what it leaves out where Wine, mingw-w64 or Dawn's
# package, which brings the compiler, is missing.
#
#   EACH=100 testdata/translate/dxc.sh FOLDER
set -eu
each=${EACH:-2}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

for tool in wine x86_64-w64-mingw32-gcc; do
	command -v "$tool" >/dev/null || {
		echo "dxc: $tool is missing (Debian: wine gcc-mingw-w64-x86-64): HLSL is translated, but not compiled"
		exit 0
	}
done
compiler=$(find "${BITNET_DAWN:-${XDG_CACHE_HOME:-$HOME/.cache}/bitnet}" -name dxcompiler.dll -path '*win32-x64*' 2>/dev/null | head -n 1)
if [ -z "$compiler" ]; then
	echo "dxc: Dawn's package is missing (make dawn): HLSL is translated, but not compiled"
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
x86_64-w64-mingw32-gcc -O1 "$here/dxc.c" -o "$work/dxc.exe"
cd "$1"
# NUMBER-FAMILY-FILE.hlsl
# shellcheck disable=SC2046 # a list
set -- $(ls -- *.hlsl | sed 's/^\([0-9]*\)-\(.*\)\.hlsl$/\2 &/' | awk -v each="$each" 'n[$1]++ < each { print $2 }')
status=0
WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=' \
	wine "$work/dxc.exe" "$(printf 'Z:%s' "$compiler" | tr / '\\')" "$@" >"$work/log" 2>"$work/wine.log" || status=$?
grep '^error' "$work/log" || true
printf 'dxc: %s of %s kernels compile as HLSL\n' "$(grep -c '^ok' "$work/log")" "$#"
exit "$status"
