#!/bin/sh
# Installs a software Vulkan driver with matrix units (lavapipe of Mesa 26 or newer) into
# .vulkan.matrix/, for tests on a machine without such a GPU. Nothing else on the machine changes:
# the packages come from Debian sid, through the machine's own mirror and temporary apt lists, and
# are unpacked with the C library they need. Only a Node.js that .vulkan.matrix/node starts uses
# them; ". .vulkan.matrix/env" in a shell makes bitnet start that one. Runs once; delete the
# folder to run it again.
set -eu

project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$project/.vulkan.matrix

fail() {
	printf 'install-matrix: %s\n' "$*" >&2
	exit 1
}

if [ -f "$folder/env" ]; then exit 0; fi
for tool in apt-get dpkg awk; do
	command -v "$tool" >/dev/null || fail "$tool is missing: this works on Debian only; elsewhere install Mesa 26 and set BITNET_MATRIX=1 BITNET_BACKEND=dawn"
done

new=$(mktemp -d "$folder.XXXXXX") || fail "cannot write to $project: correct its permissions"
trap 'rm -rf "$new"' EXIT
# apt downloads as the user _apt, who must be able to enter the folder.
chmod 755 "$new"
mkdir -p "$new/apt/sources" "$new/apt/lists/partial" "$new/apt/cache/archives/partial" "$new/root" "$new/shaders"
: >"$new/apt/status"

# The first source that has a Debian release, with sid in its place.
for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
	if [ ! -r "$file" ]; then continue; fi
	case $file in
	*.sources)
		awk -v RS= '/(^|\n)URIs:[^\n]*debian/ && !/security/ {
			gsub(/\nSuites:[^\n]*/, "\nSuites: sid"); gsub(/\nComponents:[^\n]*/, "\nComponents: main"); print; exit }' "$file" >"$new/apt/sources/sid.sources"
		if [ -s "$new/apt/sources/sid.sources" ]; then break; fi
		rm "$new/apt/sources/sid.sources"
		;;
	*)
		awk '$1 == "deb" && /debian/ && !/security/ {
			i = 2; if ($i ~ /^\[/) { while ($i !~ /\]$/) i++; i++ }
			for (j = 1; j <= i; j++) printf "%s ", $j
			print "sid main"; exit }' "$file" >"$new/apt/sources/sid.list"
		if [ -s "$new/apt/sources/sid.list" ]; then break; fi
		rm "$new/apt/sources/sid.list"
		;;
	esac
done
[ -n "$(ls "$new/apt/sources")" ] || fail "no Debian source was found under /etc/apt: this works on Debian only"

# With an empty list of installed packages, apt gets everything down to the C library.
apt() {
	apt-get -q -y -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$new/apt/sources" \
		-o Dir::State::Lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache" -o Dir::State::status="$new/apt/status" \
		-o Debug::NoLocking=true -o Acquire::Languages=none -o Acquire::Retries=2 -o APT::Install-Recommends=false \
		"$@" >>"$new/apt/log" 2>&1 || fail "apt failed ($(grep -e '^E: ' "$new/apt/log" | tail -n 1)): check the network and /etc/apt"
}
printf 'install-matrix: downloading a Vulkan driver with matrix units (70 MB) into .vulkan.matrix/\n'
apt update
apt install --download-only mesa-vulkan-drivers libvulkan1 libstdc++6
for deb in "$new"/apt/cache/archives/*.deb; do
	dpkg -x "$deb" "$new/root" || fail "cannot unpack into $project: make room there"
done
rm -rf "$new/apt"

relative() { (cd "$new" && find root -name "$1" ! -type d | sort | head -n 1); }
loader=$(relative 'ld-linux*')
driver=$(relative libvulkan_lvp.so)
manifest=$(relative 'lvp_icd*.json')
if [ -z "$loader" ] || [ -z "$driver" ] || [ -z "$manifest" ]; then fail "the packages have no lavapipe for this machine"; fi
sed "s#\(\"library_path\"[^\"]*\"\)[^\"]*\"#\1$folder/$driver\"#" "$new/$manifest" >"$new/lavapipe.json"
# Mesa's matrix units need vectors of 256 bits; its cache mixes up kernels of different widths.
cat >"$new/node" <<-END
	#!/bin/sh
	unset LD_LIBRARY_PATH VK_ADD_DRIVER_FILES VK_ICD_FILENAMES
	export VK_DRIVER_FILES="$folder/lavapipe.json" LP_NATIVE_VECTOR_WIDTH=256 MESA_SHADER_CACHE_DIR="$folder/shaders"
	exec "$folder/$loader" --library-path "$folder/${driver%/*}" "\$(command -v node)" "\$@"
END
chmod +x "$new/node"
cat >"$new/env" <<-END
	# Source this in a shell: bitnet then uses software matrix units.
	export BITNET_NODE="$folder/node" BITNET_BACKEND=dawn BITNET_MATRIX=1
END
rm -rf "$folder"
mv -T "$new" "$folder"
trap - EXIT
