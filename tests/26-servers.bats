#!/usr/bin/env bats
# docs/servers.md says what works behind which web server; this holds it against the tests' names.

load helpers/common

# The tests that the table promises: row, colon, the sentence of the column; a number in a cell stands for N there.
promised() {
    awk -F ' *[|] *' '
        /^- [^:]+: / && in_table { # the columns, below the table
            name = $0; sub(/^- /, "", name); sub(/:.*/, "", name); gsub(/`/, "", name)
            sentence = $0; sub(/^[^:]*: /, "", sentence)
            none = sentence; sub(/.*; none: /, "", none)
            sub(/( \(.*|; none: .*)$/, "", sentence)
            for (row = 1; row <= rows; row++) {
                value = cell[row, name]
                if (value == "yes") print label[row] ": " sentence
                else if (value == "none") print label[row] ": " none
                else if (value ~ /^[0-9]/) { s = sentence; sub(/^N/, value, s); print label[row] ": " s }
                else if (value != "no" && value != "–") print "a cell that says \"" value "\""
            }
        }
        /^## / { in_table = 0 }
        /^[|] server, how/ { in_table = 1; for (i = 3; i < NF; i++) { column[i] = $i; gsub(/`/, "", column[i]) } }
        in_table && /^[|]/ && $2 != "server, how" && $2 !~ /^-/ {
            label[++rows] = $2
            for (i = 3; i < NF; i++) cell[rows, column[i]] = $i
        }' "$REPO/docs/servers.md" | sort
}
tested() { sed -n 's/^@test "\(.*\)" {.*/\1/p' "$REPO"/tests/2[1-5]-*.bats | sort; }

@test "each cell of the table in docs/servers.md is a test of its name, and each test is a cell" {
    [ "$(promised | wc -l)" -gt 50 ]
    diff <(promised) <(tested)
}
