#!/bin/sh
# Runs a command under Khronos' validation layer, and ends with an error if the layer reports
# anything. It checks the calls of Vulkan, the kernels' SPIR-V and the hazards between dispatches; and
# through Dawn, on the device, accesses outside of buffers and races in workgroup memory. Where there
# is no layer, this says so and ends without an error.
#
#   gpu/with-validation.sh go test ./graph
#   BITNET_BACKEND=dawn gpu/with-validation.sh go test ./graph
#
# Chromium brings a new layer (Debian: apt-get install chromium). $VALIDATION_LAYER may name another
# libVkLayer_khronos_validation.so; that of Debian 12 is too old for Mesa 25.
set -eu

library=
for file in "${VALIDATION_LAYER:-}" /usr/lib/chromium/libVkLayer_khronos_validation.so /usr/lib/*-linux-gnu/libVkLayer_khronos_validation.so \
	/usr/lib64/libVkLayer_khronos_validation.so; do
	if [ -f "$file" ]; then
		library=$file
		break
	fi
done
if [ -n "${VALIDATION_LAYER:-}" ] && [ "$library" != "$VALIDATION_LAYER" ]; then
	printf 'with-validation: %s is missing: VALIDATION_LAYER has to name libVkLayer_khronos_validation.so\n' "$VALIDATION_LAYER" >&2
	exit 1
fi
if [ -z "$library" ]; then
	printf 'with-validation: no validation layer is installed (Debian: apt-get install chromium): left out\n'
	exit 0
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cat >"$dir/VkLayer_khronos_validation.json" <<END
{"file_format_version": "1.2.0", "layer": {"name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL", "library_path": "$library",
"api_version": "1.3.0", "implementation_version": "1", "description": "Khronos validation",
"instance_extensions": [{"name": "VK_EXT_debug_report", "spec_version": "9"}, {"name": "VK_EXT_debug_utils", "spec_version": "1"},
{"name": "VK_EXT_validation_features", "spec_version": "2"}]}}
END
# settings FOLDER LINE... makes a folder of settings. Not reported: the
# layer's notes on its own settings; that wgpu asks the loader for a function of another level, which
# the loader refuses; and that wgpu's compiler of WGSL gives arrays in workgroup memory a stride, which
# SPIR-V forbade years after its release, and which means nothing there.
settings() {
	mkdir "$1"
	cat >"$1/vk_layer_settings.txt" <<-END
		khronos_validation.report_flags = error,warn,perf
		khronos_validation.validate_sync = true
		khronos_validation.message_id_filter = VALIDATION-SETTINGS,WARNING-Setting-Limit-Adjusted,WARNING-vkGetDeviceProcAddr-device,VUID-StandaloneSpirv-None-10684
	END
	folder=$1
	shift
	for line; do printf 'khronos_validation.%s\n' "$line" >>"$folder/vk_layer_settings.txt"; done
}
# wgpu's accesses are robust by Vulkan's own means, so that the checks on the device, which are slow,
# would find nothing in them. Dawn's are not. It writes what the layer tells it to standard error, and
# nothing else may write to the standard output of its Node.js.
settings "$dir/wgpu" 'debug_action = VK_DBG_LAYER_ACTION_LOG_MSG' "log_filename = $dir/messages"
settings "$dir/dawn" 'debug_action = VK_DBG_LAYER_ACTION_IGNORE' 'gpuav_enable = true' 'gpuav_shared_memory_data_race = true'
cat >"$dir/node" <<END
#!/bin/sh
export VK_LAYER_SETTINGS_PATH=$dir/dawn
exec '${BITNET_NODE:-node}' "\$@" 2>>$dir/messages
END
chmod +x "$dir/node"

# Every process opens the log again, so it is a pipe, which is collected.
mkfifo "$dir/messages"
exec 3<>"$dir/messages"
cat "$dir/messages" >"$dir/log" 3>&- &
collector=$!

status=0
VK_LAYER_PATH=$dir VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$dir/wgpu BITNET_NODE=$dir/node "$@" 3>&- || status=$?
exec 3>&-
wait "$collector" || true
# Dawn itself says what it makes of a limit.
messages=$(grep -E '^(Validation (Error|Warning|Perf)|Error: |Warning: )' "$dir/log" | grep -c -v 'artificially reduced') || true
if [ "$messages" != 0 ]; then
	cat "$dir/log" >&2
	printf 'with-validation: %s messages of the validation layer, above\n' "$messages" >&2
	exit 1
fi
if [ "$status" = 0 ]; then printf 'with-validation: no message of the validation layer\n'; fi
exit "$status"
