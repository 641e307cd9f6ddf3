#!/bin/sh
# Puts node-llama-cpp, llama.cpp ready-made for node, and the clients of OpenAI, Vercel and Hugging Face where the
# interop tests find them: in the user's cache, without builds for GPUs and without running what the packages
# bring along.
set -e
version=3.22.1
openai=7.57.0
ai=6.0.325
compatible=2.0.92
hub=2.17.5
dir=${BITNET_INTEROP:-${XDG_CACHE_HOME:-$HOME/.cache}/bitnet/interop-$version}
if [ -f "$dir/node_modules/node-llama-cpp/package.json" ] && [ -f "$dir/node_modules/openai/package.json" ] &&
	[ -f "$dir/node_modules/@ai-sdk/openai-compatible/package.json" ] && [ -f "$dir/node_modules/ai/package.json" ] &&
	[ -f "$dir/node_modules/@huggingface/hub/package.json" ]; then exit 0; fi
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
	echo "npm and node are missing: install them (Debian: nodejs npm) and run make interop again" >&2
	exit 1
fi
case $(uname -sm) in
"Linux x86_64") build=linux-x64 ;;
"Linux aarch64") build=linux-arm64 ;;
"Darwin arm64") build=mac-arm64-metal ;;
"Darwin x86_64") build=mac-x64 ;;
*) echo "there is no ready-made llama.cpp for $(uname -sm)" >&2; exit 1 ;;
esac
mkdir -p "$dir"
echo '{"private": true}' > "$dir/package.json"
cd "$dir"
npm install --ignore-scripts --omit=optional --no-audit --no-fund --save-exact \
	node-llama-cpp@$version "@node-llama-cpp/$build@$version" openai@$openai \
	ai@$ai @ai-sdk/openai-compatible@$compatible @huggingface/hub@$hub
