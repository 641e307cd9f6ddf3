#!/bin/sh
# A remote shell to the hosts of hosts.sh, for mpirun: rsh.sh [OPTIONS] ADDRESS COMMAND...
set -eu
while [ "${1#-}" != "$1" ]; do shift; done
host=host$((${1##*.} - 1))
shift
exec "$(dirname "$0")/hosts.sh" on "$host" sh -c "cd '$PWD'; $*"
