#!/usr/bin/env bats
# README's section for each web server, pasted as it stands into a fresh Debian where that server runs.

load helpers/fresh

setup_file() { build_packages; }
setup() { prepare_box; }
teardown() { leave_box; }

# section HEADING: the lines that README has to paste there.
section() { awk -v heading="### $1" '/^##/ { is_in = $0 == heading } is_in && sub(/^    /, "")' "$REPO/README.md"; }
# The sections below README's heading for web servers, but the last, which has nothing to paste.
sections() { awk '/^## / { is_in = $0 == "## Put it behind your web server" } is_in && sub(/^### /, "")' "$REPO/README.md"; }

# runs_alone SERVICE: of all web servers only this one runs, on the port that Debian gives it.
runs_alone() {
    boot_systemd
    fresh systemctl stop apache2 lighttpd
    fresh sed -i 's/^server.port .*/server.port = 80/' /etc/lighttpd/lighttpd.conf
    fresh systemctl start "$1"
    wait_for 20 fresh systemctl is-active --quiet "$1"
}

# pasted HEADING: four lines, read by a shell from the terminal's place, so that a command that asks something eats the next line.
pasted() {
    [ "$(section "$1" | wc -l)" -eq 4 ]
    fresh mkdir -p build/deb
    fresh sh -c 'mv fibcgi_*.deb build/deb/'
    section "$1" | fresh bash -e >"$BODY.all" 2>"$BODY.errors" || { cat "$BODY.all" "$BODY.errors" >&2; return 1; }
    tail -n 1 "$BODY.all" | jq -e '.n == 30 and .result == 832040' || { cat "$BODY.all" "$BODY.errors" >&2; return 1; }
}

@test "each of README's sections for a web server is tested here" {
    [ "$(sections | grep -vx Elsewhere | sort)" = "$(sed -n 's/^@test ".*section for \(.*\), pasted.*/\1/p' "$BATS_TEST_FILENAME" | sort)" ]
}

@test "README's section for lighttpd, pasted, leads to an answer" { runs_alone lighttpd; pasted lighttpd; }
@test "README's section for Apache, pasted, leads to an answer" { runs_alone apache2; pasted Apache; }
@test "README's section for nginx, pasted, leads to an answer" { runs_alone nginx; pasted nginx; }
@test "README's section for HAProxy, pasted, leads to an answer" { runs_alone haproxy; pasted HAProxy; }
@test "README's section for Caddy, pasted, leads to an answer" { runs_alone caddy; pasted Caddy; }
