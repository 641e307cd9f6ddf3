#!/bin/sh
# Makes real text to train on, from the sources of Go: text.sh FOLDER. Files of 8 kB in a shuffled
# order, so that what is held out is like the rest.
set -eu
mkdir -p "$1"
cd "$1"
find "$(go env GOROOT)/src" -name '*.go' | LC_ALL=C sort | grep -v /testdata/ | xargs cat 2>/dev/null | head -c 48000000 |
	awk 'BEGIN { n = 0 } { size += length($0) + 1; if (size > 8000) { close(file); n++; size = length($0) + 1 } file = sprintf("%05d.txt", (n * 7919) % 6007); print >file }'
