#!/bin/sh
# Installs Dawn, a second GPU backend that can use matrix units, for package dawn: the npm package
# webgpu at the version of package-lock.json, into $BITNET_DAWN or a folder of the user's cache.
# Needs Node.js and npm. If that version is installed already, it does nothing and prints nothing.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
	printf 'install-dawn: %s\n' "$*" >&2
	exit 1
}

version=$(sed -n 's/.*"webgpu": "\([0-9.]*\)".*/\1/p' "$here/package.json")

# The same folder as Go's os.UserCacheDir.
case $(uname -s) in
Darwin) cache=${HOME:-}/Library/Caches ;;
MINGW* | MSYS* | CYGWIN*) cache=$(printf '%s' "${LocalAppData:-${LOCALAPPDATA:-}}" | tr '\\' /) ;;
*) cache=${XDG_CACHE_HOME:-${HOME:-}/.cache} ;;
esac
folder=${BITNET_DAWN:-$cache/bitnet/dawn-$version}

if cmp -s "$here/package-lock.json" "$folder/installed.json"; then exit 0; fi

command -v node >/dev/null || fail "Node.js is missing: install version 18 or newer (Debian: nodejs npm)"
command -v npm >/dev/null || fail "npm is missing: install it (Debian: npm)"
printf 'install-dawn: installing the npm package webgpu %s into %s\n' "$version" "$folder"
mkdir -p "$folder" && cp "$here/package.json" "$here/package-lock.json" "$folder/" ||
	fail "cannot write to $folder: set BITNET_DAWN to another folder"
log=$(cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund 2>&1) ||
	fail "npm failed: check the network and npm's settings, then run this again:
$log"
cp "$folder/package-lock.json" "$folder/installed.json"
