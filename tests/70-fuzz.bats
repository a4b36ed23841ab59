#!/usr/bin/env bats
# What web servers really send, odd input, and whatever was once a finding, through the fuzz targets: once each.

load helpers/common

@test "every seed goes through its fuzz target without a finding" {
    # A make above this one would hand its own flags and folder down; the targets are always built the same.
    run env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u BUILD make -C "$REPO" --no-print-directory -s fuzz-replay
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(grep -c '^ok ' <<<"$output")" -eq "$(find "$REPO/tests/fuzz/corpus" -type f | wc -l)" ]
    # shellcheck disable=SC2314
    ! grep -q '^not ok ' <<<"$output"
}
