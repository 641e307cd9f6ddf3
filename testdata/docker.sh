#!/bin/sh
# Builds the container of docs/Dockerfile and trains in it, without Docker and without a registry: its
# base images are made here, a minimal Debian (debootstrap, as root), and the same with a C compiler and
# this machine's Go. buildah then takes the file as it is. It cannot show that a card is seen.
#
#   sudo sh testdata/docker.sh
set -eu
cd "$(dirname "$0")/.."

fail() {
	printf 'docker: %s\n' "$*" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "this needs root: debootstrap and buildah do"
for tool in debootstrap buildah go; do
	command -v $tool >/dev/null || fail "$tool is missing (Debian: $tool)"
done

# base N is the N-th image that the file starts from.
base() { awk -v n="$1" '$1 == "FROM" && ++i == n { print $2 }' docs/Dockerfile; }
builder=$(base 1)
debian=$(base 2)
suite=${debian#debian:}
suite=${suite%-slim}

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/images"\n' "$work" "$work" >"$work/storage.conf"
export CONTAINERS_STORAGE_CONF="$work/storage.conf" BUILDAH_ISOLATION=chroot

debootstrap --variant=minbase "$suite" "$work/root" >"$work/log" 2>&1 || fail "debootstrap cannot make $suite: $(tail -n 1 "$work/log")"
tar -C "$work/root" --exclude='./proc/*' -cf "$work/root.tar" .
rm -rf --one-file-system "$work/root"
c=$(buildah from scratch)
buildah add -q "$c" "$work/root.tar" / >/dev/null
rm "$work/root.tar"
buildah commit -q --rm "$c" "docker.io/library/$debian" >/dev/null
c=$(buildah from --pull-never "docker.io/library/$debian")
buildah run "$c" -- sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates g++ make' >"$work/log" 2>&1 || fail "no C compiler: $(tail -n 1 "$work/log")"
buildah copy -q "$c" "$(go env GOROOT)" /usr/local/go >/dev/null
buildah config --env PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$c"
buildah commit -q --rm "$c" "docker.io/library/$builder" >/dev/null
printf 'the base images are made\n'

# The caches of this machine's Go spare the download and most of the compiling.
buildah bud --pull-never -v "$(go env GOMODCACHE):/root/go/pkg/mod" -v "$(go env GOCACHE):/root/.cache/go-build" -t bitnet -f docs/Dockerfile --ignorefile docs/Dockerfile.dockerignore . || fail "the Dockerfile cannot be built"
c=$(buildah from --pull-never localhost/bitnet)
mkdir "$work/here"
inside() { buildah run -v "$work/here:/work" "$c" -- bitnet "$@"; }
inside devices
inside train --exp simple --num-steps 50
[ -d "$work/here/runs" ] || fail "the container left no run in its folder"
buildah images --format 'the image has {{.Size}}' localhost/bitnet
