#!/bin/sh
# Compiles the HLSL files of a folder with Microsoft's compiler, in Wine: two kernels of each WGSL
# file, because it unrolls loops for seconds. Says what it leaves out where Wine, mingw-w64 or Dawn's
# package, which brings the compiler, is missing.
#
#   testdata/translate/fxc.sh FOLDER
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
each=${EACH:-2}

for tool in wine x86_64-w64-mingw32-gcc; do
	command -v "$tool" >/dev/null || {
		echo "fxc: $tool is missing (Debian: wine gcc-mingw-w64-x86-64): HLSL is translated, but not compiled"
		exit 0
	}
done
compiler=$(find "${BITNET_DAWN:-${XDG_CACHE_HOME:-$HOME/.cache}/bitnet}" -name d3dcompiler_47.dll -path '*win32-x64*' 2>/dev/null | head -n 1)
if [ -z "$compiler" ]; then
	echo "fxc: Dawn's package is missing (make dawn): HLSL is translated, but not compiled"
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
x86_64-w64-mingw32-gcc -O1 "$here/fxc.c" -o "$work/fxc.exe"
cd "$1"
# NUMBER-FAMILY-FILE.hlsl: some of each file.
set -- $(ls -- *.hlsl | sed 's/^\([0-9]*\)-\(.*\)\.hlsl$/\2 &/' | awk -v each="$each" 'n[$1]++ < each { print $2 }')
status=0
WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES='d3dcompiler_47=n,mscoree,mshtml=' \
	wine "$work/fxc.exe" "$(printf 'Z:%s' "$compiler" | tr / '\\')" "$@" >"$work/log" 2>"$work/wine.log" || status=$?
grep '^error' "$work/log" || true
printf 'fxc: %s of %s kernels compile as HLSL\n' "$(grep -c '^ok' "$work/log")" "$#"
exit "$status"
