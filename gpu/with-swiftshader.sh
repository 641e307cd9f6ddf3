#!/bin/sh
# Runs a command on SwiftShader, a second Vulkan driver that computes on the CPU, which shares no
# code with Mesa's lavapipe. Chromium brings it (Debian: apt-get install chromium). Where there is
# none, this says so and ends without an error.
#
#   gpu/with-swiftshader.sh go test ./graph
#   gpu/with-swiftshader.sh build/bitnet bench report
#
# $SWIFTSHADER may name its manifest, vk_swiftshader_icd.json, where it is in no usual place.
set -eu

for manifest in "${SWIFTSHADER:-}" /usr/lib/chromium/vk_swiftshader_icd.json /usr/lib64/chromium-browser/vk_swiftshader_icd.json \
	/usr/lib/chromium-browser/vk_swiftshader_icd.json /opt/google/chrome/vk_swiftshader_icd.json; do
	if [ -f "$manifest" ]; then
		unset VK_ADD_DRIVER_FILES
		export VK_DRIVER_FILES="$manifest" VK_ICD_FILENAMES="$manifest" BITNET_BACKEND="${BITNET_BACKEND:-wgpu}"
		exec "$@"
	fi
done
if [ -n "${SWIFTSHADER:-}" ]; then
	printf 'with-swiftshader: %s is missing: SWIFTSHADER has to name vk_swiftshader_icd.json\n' "$SWIFTSHADER" >&2
	exit 1
fi
printf 'with-swiftshader: SwiftShader is not installed (Debian: apt-get install chromium): left out\n'
