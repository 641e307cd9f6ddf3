#!/bin/sh
# Puts naga (the compiler of WGSL in wgpu and Firefox) where the test of translations finds it: an
# npm package of it for WebAssembly, in the user's cache, without running what it brings along.
set -e
version=0.0.1 # of naga 25.0.1
dir=${BITNET_TRANSLATE:-${XDG_CACHE_HOME:-$HOME/.cache}/bitnet/translate-$version}
if [ -f "$dir/node_modules/wgsl-wasm-transpiler-bundler/package.json" ]; then exit 0; fi
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
	echo "npm and node are missing: install them (Debian: nodejs npm) and run make test-translations again" >&2
	exit 1
fi
mkdir -p "$dir"
echo '{"private": true}' >"$dir/package.json"
cd "$dir"
npm install --ignore-scripts --no-audit --no-fund --save-exact wgsl-wasm-transpiler-bundler@$version
