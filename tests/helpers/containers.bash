# Helpers for the files that make and run container images.
# shellcheck shell=bash

load helpers/common

# shellcheck source=container/engine
. "$REPO/container/engine"

VERSION=$(sed -n 's/^.define FIBCGI_VERSION "\(.*\)"/\1/p' "$REPO/fcgi/options.h")

# make_in TREE TARGET…: make, without what a make above this one would hand down.
make_in() { env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CC -u CFLAGS -u LDFLAGS -u BUILD make -C "$1" --no-print-directory -s "${@:2}" 3>&-; }

need_podman() {
    if [ "$(id -u)" -ne 0 ] || [[ $ENGINE != *podman ]]; then
        skip 'needs root and podman'
    fi
}

# container_group CONTAINER CONTROLLER: the cgroup of its own, v1 or v2.
container_group() {
    local id
    id=$("$ENGINE" inspect --format '{{.Id}}' "$1")
    if [ -d "/sys/fs/cgroup/$2" ]; then
        find "/sys/fs/cgroup/$2" -type d -name "*$id*" | head -n 1
    else
        find /sys/fs/cgroup -type d -name "*$id*" | head -n 1
    fi
}
