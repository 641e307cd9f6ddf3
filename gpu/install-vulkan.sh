#!/bin/sh
# Installs a Vulkan driver if this machine has none: the Vulkan loader and lavapipe, Mesa's Vulkan
# driver that computes on the CPU. If there is a driver, it does nothing and prints nothing.
#
#   gpu/install-vulkan.sh [--force] [--private]
#
#   --force    install lavapipe even if there is another driver
#   --private  unpack into .vulkan/ of this project and change nothing else on the machine
#
# As root, or through sudo, the packages are installed with apt; otherwise they are unpacked
# into .vulkan/, and ". .vulkan/env" makes a shell use them (the Makefile does that).
#
# Debian's backports have a Mesa that is several times faster than Debian 12's. The script reads
# them from the machine's own mirror, through temporary apt lists, and changes no file under
# /etc/apt or /var/lib/apt/lists.
set -eu

project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
private_dir=$project/.vulkan
packages="libvulkan1 mesa-vulkan-drivers"
temp=

say() { printf 'install-vulkan: %s\n' "$*"; }

fail() {
	printf 'install-vulkan: %s\n' "$*" >&2
	exit 1
}

# library NAME|PATH: does this shared library exist?
library() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*)
		case $linker_cache in *"	$1 "*) return ;; esac
		in_path "$1" "${LD_LIBRARY_PATH:-}"
		;;
	esac
}

# in_path FILE DIR:DIR:... is true when one of the folders holds the file.
in_path() (
	IFS=:
	for dir in $2; do
		if [ -e "$dir/$1" ]; then return 0; fi
	done
	return 1
)

# manifest_places prints the files and folders that a Vulkan loader reads drivers' manifests from.
# shellcheck disable=SC2086 # the lists are split at their colons
manifest_places() (
	IFS=:
	if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
		printf '%s\n' ${VK_DRIVER_FILES:-$VK_ICD_FILENAMES}
		return
	fi
	if [ -n "${VK_ADD_DRIVER_FILES:-}" ]; then printf '%s\n' $VK_ADD_DRIVER_FILES; fi
	for base in ${XDG_CONFIG_HOME:-${HOME:-}/.config} ${XDG_CONFIG_DIRS:-/etc/xdg} /usr/local/etc /etc \
		${XDG_DATA_HOME:-${HOME:-}/.local/share} ${XDG_DATA_DIRS:-/usr/local/share:/usr/share}; do
		printf '%s\n' "$base/vulkan/icd.d"
	done
)

# manifest_works FILE: does the library that the manifest names exist?
manifest_works() {
	# One pass of the shell's own: this runs at every make.
	while read -r line || [ -n "$line" ]; do
		case $line in *'"library_path"'*:*) ;; *) continue ;; esac
		lib=${line#*'"library_path"'*:*\"}
		lib=${lib%%\"*}
		case $lib in
		/*) ;;
		*/*) lib=${1%/*}/$lib ;;
		esac
		if library "$lib"; then return 0; fi
	done <"$1"
	return 1
}

# usable: a loader, and a driver whose library exists.
usable() {
	linker_cache=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) || linker_cache=
	library libvulkan.so.1 || return 1
	manifest_places | {
		while read -r place; do
			for manifest in "$place" "$place"/*.json; do
				if [ -f "$manifest" ] && manifest_works "$manifest"; then exit 0; fi
			done
		done
		exit 1
	}
}

# with_backports FILE copies an apt sources file, adding "<suite>-backports" wherever it names
# the suite of this Debian release.
with_backports() {
	case $1 in
	*.sources)
		awk -v RS= -v codename="$codename" '
			{
				n = split($0, lines, "\n")
				main = 0
				for (i = 1; i <= n; i++)
					if (lines[i] ~ /^Components:/ && (lines[i] " ") ~ /[ \t:]main[ \t]/) main = 1
				for (i = 1; i <= n; i++) {
					if (main && lines[i] ~ /^Suites:/) {
						m = split(lines[i], words, /[ \t]+/)
						for (j = 2; j <= m; j++)
							if (words[j] == codename || words[j] ~ /^(old)*stable$/)
								if (index(lines[i] " ", " " words[j] "-backports ") == 0)
									lines[i] = lines[i] " " words[j] "-backports"
					}
					print lines[i]
				}
				print ""
			}' "$1"
		;;
	*)
		awk -v codename="$codename" '
			{ print }
			$1 == "deb" {
				suite = 3
				if ($2 ~ /^\[/) {
					for (suite = 2; suite < NF && $suite !~ /\]$/; suite++);
					suite += 2
				}
				main = 0
				for (i = suite + 1; i <= NF; i++) if ($i == "main") main = 1
				if (main && ($suite == codename || $suite ~ /^(old)*stable$/)) {
					$suite = $suite "-backports"
					print
				}
			}' "$1"
		;;
	esac
}

# apt runs apt-get on the temporary sources and lists; what it says goes to the log.
apt() {
	apt-get -q -y \
		-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$temp/sources" \
		-o Dir::State::Lists="$temp/lists" -o Dir::Cache="$temp/cache" \
		-o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 \
		-o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o Acquire::Languages=none \
		-o APT::Install-Recommends=false "$@" >>"$temp/log" 2>&1
}

# prepare_apt makes the temporary sources and reads their package lists.
prepare_apt() {
	temp=$(mktemp -d 2>/dev/null) || fail "no temporary directory: free some space or set TMPDIR"
	trap 'rm -rf "$temp" "${new:-$temp}"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	# apt downloads as the user _apt, who must be able to enter the folder.
	chmod 755 "$temp"
	mkdir -p "$temp/sources" "$temp/lists/partial" "$temp/cache/archives/partial"

	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		if [ ! -r "$file" ]; then continue; fi
		copy=$temp/sources/$(basename "$file")
		if [ "$distribution" = debian ]; then
			with_backports "$file" >"$copy"
		else
			cp "$file" "$copy"
		fi
	done
	# Lists that the machine has need no download.
	find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -exec cp -p {} "$temp/lists/" \; 2>/dev/null || true

	# A source that fails is no reason to stop: the others may have the packages.
	apt update || true
	backports=
	if grep -q -s "^Codename: $codename-backports\$" "$temp"/lists/*Release; then backports=$codename-backports; fi
}

# reason prints why apt or dpkg failed: a line of the log that names a cause, or else the last error.
reason() {
	for cause in 'No space left' 'Could not get lock' 'Failed to fetch' '^E: '; do
		if grep -q -e "$cause" "$temp/log"; then
			grep -e "$cause" "$temp/log" | tail -n 1 | sed 's/^[EW]: //; s/  */ /g'
			return
		fi
	done
	tail -n 1 "$temp/log"
}

# try_install ARG... installs the packages from backports, or else from the other sources.
try_install() {
	# shellcheck disable=SC2086 # $packages is a list
	if [ -n "$backports" ] && apt install "$@" -t "$backports" $packages; then return; fi
	# shellcheck disable=SC2086
	if apt install "$@" $packages; then return; fi
	fail "apt could not get $packages ($(reason)): check the network and /etc/apt," \
		"or install the two packages yourself, then run this again"
}

# version PACKAGE prints the version that is installed, without Debian's revision.
version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null | sed 's/^[0-9]*://'; }

install_system() {
	say "installing the Vulkan loader and lavapipe (a Vulkan driver for the CPU) with apt"
	prepare_apt
	export DEBIAN_FRONTEND=noninteractive
	try_install
	usable || fail "$packages are installed, but no driver was found: look at VK_DRIVER_FILES and /usr/share/vulkan/icd.d"
	say "lavapipe of Mesa $(version mesa-vulkan-drivers) and Vulkan loader $(version libvulkan1) are installed"
}

install_private() {
	say "downloading the Vulkan loader and lavapipe (a Vulkan driver for the CPU) into .vulkan/"
	prepare_apt
	try_install --reinstall --download-only -o Debug::NoLocking=true

	new=$(mktemp -d "$private_dir.XXXXXX" 2>/dev/null) || fail "cannot write to $project: correct its permissions, then run this again"
	chmod 755 "$new"
	for deb in "$temp"/cache/archives/*.deb; do
		if ! dpkg -x "$deb" "$new" 2>>"$temp/log"; then
			fail "cannot unpack into $project ($(reason)): make room there, then run this again"
		fi
	done
	driver=$(cd "$new" && find usr/lib -name libvulkan_lvp.so | head -n 1)
	manifest=$(find "$new/usr/share/vulkan/icd.d" -name 'lvp_icd*.json' | head -n 1)
	if [ -z "$driver" ] || [ -z "$manifest" ]; then
		fail "the package mesa-vulkan-drivers of this system has no lavapipe: install another Vulkan driver"
	fi
	sed "s#\(\"library_path\"[^\"]*\"\)[^\"]*\"#\1./$driver\"#" "$manifest" >"$new/lavapipe.json"
	libs=${driver%/*}
	cat >"$new/env" <<-END
		# Source this in a shell: Vulkan programs then find the lavapipe in this folder.
		export VK_ADD_DRIVER_FILES="$private_dir/lavapipe.json\${VK_ADD_DRIVER_FILES:+:\$VK_ADD_DRIVER_FILES}"
		export LD_LIBRARY_PATH="$private_dir/$libs:$private_dir/${libs#usr/}\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
	END
	rm -rf "$private_dir"
	mv -T "$new" "$private_dir"
	mesa=$(find "$temp/cache/archives" -name 'mesa-vulkan-drivers_*.deb' | sed 's/.*drivers_//; s/_[^_]*$//')
	say "lavapipe of Mesa $mesa is in $private_dir: make uses it; in a shell, run \". $private_dir/env\" first"
}

force=
private=
for arg; do
	case $arg in
	--force) force=1 ;;
	--private) private=1 ;;
	*)
		printf 'usage: %s [--force] [--private]\n' "$0" >&2
		exit 2
		;;
	esac
done

case $(uname -s) in
Linux) ;;
Darwin | MINGW* | MSYS* | CYGWIN*) exit 0 ;; # Metal and DX12 come with the system
*) fail "don't know how to install Vulkan on $(uname -s): install a Vulkan loader and driver" ;;
esac

if [ -z "$force" ]; then
	# shellcheck source=/dev/null
	if [ -f "$private_dir/env" ]; then . "$private_dir/env"; fi
	if usable; then exit 0; fi
	if [ -n "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}" ]; then
		fail "VK_DRIVER_FILES or VK_ICD_FILENAMES is set, but names no Vulkan driver that exists: correct it or unset it"
	fi
fi

if ! command -v apt-get >/dev/null 2>&1; then
	for tool in dnf:"vulkan-loader mesa-vulkan-drivers" zypper:"libvulkan1 libvulkan_lvp" \
		pacman:"vulkan-icd-loader vulkan-swrast" apk:"vulkan-loader mesa-vulkan-swrast"; do
		case ${tool%%:*} in
		pacman) how="pacman -S" ;;
		apk) how="apk add" ;;
		*) how="${tool%%:*} install" ;;
		esac
		if command -v "${tool%%:*}" >/dev/null 2>&1; then
			fail "no Vulkan driver was found: as root, run \"$how ${tool#*:}\""
		fi
	done
	fail "no Vulkan driver was found: install a Vulkan loader and Mesa's lavapipe with this system's package manager"
fi

# shellcheck source=/dev/null
distribution=$(. /etc/os-release && printf '%s' "${ID:-}")
# shellcheck source=/dev/null
codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")

if [ -n "$private" ]; then
	install_private
elif [ "$(id -u)" = 0 ]; then
	install_system
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
	say "using sudo to install a Vulkan driver; decline, and it goes into .vulkan/ instead"
	# Arguments again, so that the run as root does the same.
	sudo -- sh "$0" ${force:+--force} || install_private
else
	install_private
fi
