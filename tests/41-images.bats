#!/usr/bin/env bats
# The container images: what is in them, how large they are, and that they can be made again.

load helpers/containers

setup_file() {
    make_in "$REPO" images >&2
}

setup() { need_podman; }

# in_image NAME COMMAND…: with the folder that the image's files are in as $ROOT.
in_image() {
    local status=0
    ROOT=$("$ENGINE" image mount "localhost/$1:$VERSION")
    "${@:2}" || status=$?
    "$ENGINE" image unmount "localhost/$1:$VERSION" >/dev/null
    return $status
}
list_files() { (cd "$ROOT" && find . ! -type d -printf '%P\n' | sort); }
inspect() { "$ENGINE" image inspect --format "$2" "localhost/$1:$VERSION"; }

@test "the pool's image is the program alone, and below 1.0 MB" {
    [ "$(in_image fibcgi list_files)" = fibcgi ]
    [ "$(inspect fibcgi '{{.Size}}')" -le 1000000 ]
}

@test "lighttpd's image is below 4 MB and has this configuration, not a copy that has aged" {
    same_configuration() { cmp "$ROOT/etc/lighttpd/fibcgi.conf" "$REPO/conf/lighttpd/fibcgi.conf"; }
    in_image fibcgi-lighttpd same_configuration
    [ "$(inspect fibcgi-lighttpd '{{.Size}}')" -le 4000000 ]
}

@test "neither has a shell, a set-user-id bit, or a file that others may write" {
    nothing_odd() {
        local odd
        odd=$(find "$ROOT" \( -perm /6000 -o \( ! -type l -perm /002 \) -o -name '*sh' -o -name busybox \) -printf '/%P\n')
        [ -z "$odd" ] || { echo "$odd" >&2; return 1; }
        [ "$(find "$ROOT" ! -user 0 -printf '%P %U:%G %m\n' | sort)" = $'run 65532:65532 755\nrun/fibcgi 65532:65532 770' ]
    }
    in_image fibcgi nothing_odd
    in_image fibcgi-lighttpd nothing_odd
}

@test "both run as numbered users of one group, and are stopped by the signal that lets them finish" {
    [ "$(inspect fibcgi '{{.Config.User}}')" = 65532:65532 ]
    [ "$(inspect fibcgi-lighttpd '{{.Config.User}}')" = 65533:65532 ]
    [ "$(inspect fibcgi-lighttpd '{{.Config.StopSignal}}')" = SIGINT ]
    # The default, SIGTERM, is a drain.
    [[ $(inspect fibcgi '{{.Config.StopSignal}}') =~ ^(SIGTERM|15)?$ ]]
}

@test "labels tell the version and the commit" {
    local commit
    commit=$(git -C "$REPO" rev-parse HEAD)
    for name in fibcgi fibcgi-lighttpd; do
        [ "$(inspect "$name" '{{index .Labels "org.opencontainers.image.version"}}')" = "$VERSION" ]
        [[ $(inspect "$name" '{{index .Labels "org.opencontainers.image.revision"}}') == "$commit"* ]]
    done
}

@test "the same commit in another folder makes the same images, byte for byte" {
    local before copy=$BATS_TEST_TMPDIR/elsewhere
    before=$(inspect fibcgi '{{.Digest}}')$(inspect fibcgi-lighttpd '{{.Digest}}')
    mkdir "$copy"
    tar -C "$REPO" -c --exclude=./build . | tar -x -C "$copy"
    "$ENGINE" image untag "localhost/fibcgi:$VERSION" "localhost/fibcgi:$VERSION"
    make_in "$copy" images BUILD="$BATS_TEST_TMPDIR/made" >&2
    [ "$(inspect fibcgi '{{.Digest}}')$(inspect fibcgi-lighttpd '{{.Digest}}')" = "$before" ]
}

@test "the static program serves as the other does, and knows users by number only" {
    local program=$REPO/build/static/fibcgi-static
    FIBCGI=$program start_stack --workers 1
    get /compute
    is_code 200 && has_body '"result":832040'
    run "$program" -t --user www-data
    [ "$status" -eq 100 ]
    [[ $output == *www-data* ]]
    run "$program" -t --user 33
    [ "$status" -eq 0 ]
}

@test "the bills of materials are SPDX and name each file with its checksum and its Debian package" {
    local python name
    python=$("$REPO/.ci/need-python" "$REPO/tests/fixtures/spdx.txt")
    for name in fibcgi fibcgi-lighttpd; do
        "${python%/*}/pyspdxtools" --infile "$REPO/build/images/$name.spdx.json"
    done
    names() { jq -r '.packages[].name' "$REPO/build/images/$1.spdx.json" | sort | xargs; }
    [ "$(names fibcgi)" = "fibcgi libc6-dev libfcgi-dev libgcc-$(gcc -dumpversion)-dev" ]
    [[ " $(names fibcgi-lighttpd) " == *' libc6 '*' lighttpd '* ]]
    listed() { jq -r '.files[].fileName' "$REPO/build/images/$1.spdx.json" | sed 's#^\./##' | sort; }
    [ "$(listed fibcgi-lighttpd)" = "$(in_image fibcgi-lighttpd list_files)" ]
    local version
    version=$(dpkg-query -W -f '${Version}' lighttpd)
    [ "$(jq -r '.packages[] | select(.name == "lighttpd").versionInfo' "$REPO/build/images/fibcgi-lighttpd.spdx.json")" = "$version" ]
    checksum() { sha256sum "$ROOT/usr/sbin/lighttpd" | cut -d ' ' -f 1; }
    [ "$(jq -r '.files[] | select(.fileName == "./usr/sbin/lighttpd").checksums[] | select(.algorithm == "SHA256").checksumValue' \
        "$REPO/build/images/fibcgi-lighttpd.spdx.json")" = "$(in_image fibcgi-lighttpd checksum)" ]
}

@test "make images again makes nothing, and makes what has gone missing" {
    local id archive=$REPO/build/images/fibcgi.tar
    id=$(inspect fibcgi '{{.Id}}')
    touch -d '2 hours ago' "$archive"
    make_in "$REPO" images >&2
    [ -z "$(find "$archive" -mmin -60)" ]
    "$ENGINE" image untag "localhost/fibcgi:$VERSION" "localhost/fibcgi:$VERSION"
    make_in "$REPO" images >&2
    [ "$(inspect fibcgi '{{.Id}}')" = "$id" ]
}

@test "where the machine is no Debian, the same images come from Debian's own" {
    local base=debian:bookworm target is_ours=
    # What a registry would give.
    if ! "$ENGINE" image exists "$base"; then
        "$REPO/tests/fixtures/debian-root" "$REPO/build/root"
        tar -C "$REPO/build/root" -c . | "$ENGINE" import --quiet - "localhost/$base" >/dev/null
        is_ours=1
    fi
    for target in responder lighttpd; do
        (cd "$REPO" && buildah build --quiet --network host --file container/Containerfile --build-arg SOURCE=debian --target "$target" \
            --tag "localhost/second-way-$target:$VERSION" --layers=false . >&2)
    done
    [ "$(in_image second-way-responder list_files)" = "$(in_image fibcgi list_files)" ]
    [ "$(in_image second-way-lighttpd list_files)" = "$(in_image fibcgi-lighttpd list_files)" ]
    runs() { "$ROOT/fibcgi" --version; }
    [ "$(in_image second-way-responder runs)" = "fibcgi $VERSION" ]
    "$ENGINE" image rm --force "localhost/second-way-responder:$VERSION" "localhost/second-way-lighttpd:$VERSION" >/dev/null
    [ -z "$is_ours" ] || "$ENGINE" image rm --force "localhost/$base" >/dev/null
}

@test "where there is no engine, the message says what to install" {
    run env PATH=/nonexistent CONTAINER_ENGINE= /bin/bash -c '. "$1"' bash "$REPO/container/engine"
    [ "$status" -eq 100 ]
    [[ $output == *'apt-get install podman'* ]]
}

teardown() { stop_all; }
