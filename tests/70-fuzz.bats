#!/usr/bin/env bats
# What web servers really send, odd input, and whatever was once a finding, through the fuzz targets: once each; then half a
# minute of new input for each target.

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

@test "half a minute of fuzzing for each target finds nothing" {
    run env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u BUILD timeout 500 make -C "$REPO" --no-print-directory -s fuzz SECONDS=30
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(grep -cE '^[a-z]+: [1-9][0-9]* executions$' <<<"$output")" -eq 8 ]
}
