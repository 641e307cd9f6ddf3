#!/bin/sh
# Runs the program for Linux on Arm: under qemu, or as it is on such a machine. First what needs no
# adapter: version, doctor, and the Go tests of the packages that compute, read and write; then
# training and resuming on Arm's lavapipe. Without an argument it takes the archive of make release,
# or else builds the program. What is missing on this machine is named in one line, and that is no
# failure. An emulator is slow: this takes minutes.
#
#   sh testdata/arm64/test.sh [bitnet-linux-arm64.tar.gz]
set -eu
cd "$(dirname "$0")/../.."

# Packages whose results could depend on the processor: arithmetic, formats, memory maps, locks.
packages="./data/atomicfile ./data/order ./data/plainfile ./data/printable ./data/tokenizer ./data/shard
	./bitnet/modelfile/... ./bitnet/runs ./bitnet/task/arithmetic ./shaders/..."
suite=trixie # whose lavapipe is used

say() { printf 'test-arm64: %s\n' "$*"; }

skip() {
	say "left out: $*"
	exit 0
}

fail() {
	printf 'test-arm64: failed: %s\n' "$*" >&2
	exit 1
}

mkdir -p build/arm64
out=$PWD/build/arm64
qemu=
if [ "$(uname -m)" != aarch64 ]; then
	qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) || skip "qemu is missing (Debian: qemu-user-static)"
	CC=aarch64-linux-gnu-gcc
	command -v $CC >/dev/null || skip "the C compiler for Arm is missing (Debian: gcc-aarch64-linux-gnu)"
	export CC
	system=$PWD/.sysroot/vulkan-arm64
	sh .ci/unpack $suite arm64 "$system" libvulkan1 mesa-vulkan-drivers || skip "lavapipe for Arm could not be fetched"
	set -- "${1:-build/release/bitnet-linux-arm64.tar.gz}"
	# Of this machine's drivers, none is for Arm.
	unset LD_LIBRARY_PATH VK_ADD_DRIVER_FILES VK_DRIVER_FILES VK_ICD_FILENAMES
	# Most of an emulator's time would go to LLVM, which optimises the kernels: that is switched
	# off. What is compiled is kept for the next time.
	export GALLIVM_PERF=nopt MESA_SHADER_CACHE_DIR="$out/kernels"
	emulate() { "$qemu" -L "$system" "$@"; }
	execute="$qemu -L $system"
else
	set -- "${1:-build/release/bitnet-linux-arm64.tar.gz}"
	emulate() { "$@"; }
	execute=
	packages="$packages ./data/mapped" # qemu loses the address of a fault in a memory map
fi

rm -rf "$out/runs"
if [ -f "$1" ]; then
	tar -xzf "$1" -C "$out"
	program=$out/bitnet-linux-arm64/bitnet
else
	program=$out/bitnet
	GOOS=linux GOARCH=arm64 CGO_ENABLED=1 go build -trimpath -buildvcs=false -o "$program" ./cmd/bitnet
fi

emulate "$program" version
say "tests that need no adapter"
# Pure Go, so that each test is one file; -vet=off: it is the same for every processor.
# shellcheck disable=SC2086 # a list
GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go test -vet=off -timeout 20m ${execute:+-exec "$execute"} $packages || fail "tests"

say "training on lavapipe"
emulate "$program" devices
emulate "$program" doctor | grep -q 'its result is correct' || fail "doctor's kernel"
train() { emulate "$program" train --quiet --runs-dir "$out/runs" --eval-interval 0 --sample-interval 0 --log-interval 1 "$@"; }
train --exp simple --run-id whole --num-steps 8 || fail "training"
train --exp simple --run-id parts --num-steps 8 --checkpoint-interval 4 || fail "training"
rm -r "$out/runs/parts/checkpoints/step_00000008"
train --resume "$out/runs/parts" || fail "resuming"
for file in model.safetensors optimizer.safetensors; do
	cmp "$out/runs/whole/checkpoints/step_00000008/$file" "$out/runs/parts/checkpoints/step_00000008/$file" || fail "the resumed run is not the same"
done
say "trained 8 steps, and resumed after 4 of them with the same bits"
