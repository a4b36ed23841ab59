#!/usr/bin/env bats
# The Debian packages, as somebody has them who runs Apache or lighttpd already: in a fresh Debian of the test's own, with a
# systemd of its own or with no init system at all.

bats_require_minimum_version 1.5.0
load helpers/fresh

setup_file() { build_packages; }
setup() { prepare_box; }
teardown() { leave_box; }

main_pid() { fresh systemctl show -P MainPID fibcgi.service; }

# ask_without_end PORT: requests one after the other, their codes in the file $CODES; until end_asking, which is true where all
# were answered by 200.
ask_without_end() {
    CODES=$BATS_TEST_TMPDIR/codes
    while [ ! -e "$BATS_TEST_TMPDIR/enough" ]; do
        fresh curl -sS --max-time 20 -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$1/fibcgi/compute?n=20" >>"$CODES" 2>&1
    done 3>&- &
    ASKING=$!
    wait_for 20 test -s "$CODES"
}
end_asking() {
    touch "$BATS_TEST_TMPDIR/enough"
    wait "$ASKING" || true
    [ "$(sort -u "$CODES")" = 200 ] || { sort "$CODES" | uniq -c >&2; return 1; }
}

# nothing_is_left: no file, no user, no process.
nothing_is_left() {
    local left
    left=$(fresh find / -xdev -name '*fibcgi*' -not -path '/root/*' -not -path '/proc/*'
        fresh find /run -name '*fibcgi*'
        fresh grep -h fibcgi /etc/passwd /etc/group
        fresh pgrep -f '^fibcgi') || true
    [ -z "$left" ] || { echo "left: $left" >&2; return 1; }
}

@test "lintian finds neither an error nor a warning in the packages" {
    lintian --allow-root --fail-on error,warning "$DEB"/*.changes
}

@test "the packages are of the program's version, and are built with what make builds with" {
    local version package depends
    version=$(sed -n 's/^.define FIBCGI_VERSION "\(.*\)"/\1/p' "$REPO/fcgi/options.h")
    [ -f "$DEB/fibcgi_${version}_$(dpkg --print-architecture).deb" ]
    depends=" $(sed -n 's/^Build-Depends: //p' "$REPO/debian/control" | tr -d ,) build-essential gcc libc6-dev "
    while read -r package; do
        [[ $depends == *" $package "* ]] || { echo "debian/control: Build-Depends is without $package" >&2; return 1; }
    done < <(sed -n 's/^PACKAGES_BUILD := //p' "$REPO/Makefile" | tr ' ' '\n')
}

@test "an application builds against what libfibcgi-dev has, and runs in fibcgi's place under its unit" {
    local at=$BATS_TEST_TMPDIR/dev
    dpkg-deb -x "$DEB"/libfibcgi-dev_*.deb "$at"
    dpkg-deb -x "$DEB"/fibcgi_*.deb "$at"
    cp -r "$at/usr/share/doc/fibcgi/examples" "$at/mine"
    PKG_CONFIG_PATH=$(dirname "$at"/usr/lib/*/pkgconfig/fibcgi.pc) PKG_CONFIG_SYSROOT_DIR=$at \
        env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CFLAGS -u LDFLAGS make -C "$at/mine" -s
    boot_systemd
    fresh sh -c 'apt install -y ./fibcgi_*.deb'
    fresh tee /usr/local/bin/echo-app <"$at/mine/echo" >/dev/null
    fresh sh -c 'chmod 755 /usr/local/bin/echo-app; mkdir /etc/systemd/system/fibcgi.service.d;
        printf "[Service]\nExecStart=\nExecStart=/usr/local/bin/echo-app --mode=pool\n" >/etc/systemd/system/fibcgi.service.d/mine.conf
        systemctl daemon-reload; systemctl restart fibcgi'
    fresh fibcgi --probe /readyz --admin-listen unix:/run/fibcgi/admin.sock
    run fresh fibcgi --probe / --admin-listen unix:/run/fibcgi/fib.sock
    [[ $output == *'ask for /echo'* ]]
}

@test "three commands lead from a running lighttpd to an answer within a minute, and an upgrade loses no request" {
    local begin=$SECONDS before
    boot_systemd
    begin=$SECONDS
    fresh sh -c 'apt install -y ./fibcgi_*.deb'
    fresh lighty-enable-mod fibcgi
    fresh systemctl reload lighttpd
    wait_for 10 computes 8080
    [ $((SECONDS - begin)) -lt 60 ]
    answers 8080 /fibcgi/readyz
    [ "$(fresh ps -o user= -p "$(main_pid)")" = fibcgi ]
    fresh fibcgi --probe /readyz --admin-listen unix:/run/fibcgi/admin.sock
    before=$(main_pid)
    ask_without_end 8080
    fresh sh -c 'apt install -y --reinstall ./fibcgi_*.deb'
    wait_for 10 fresh fibcgi --probe /readyz --admin-listen unix:/run/fibcgi/admin.sock
    end_asking
    [ "$(main_pid)" != "$before" ]
}

@test "three commands lead from a running Apache to an answer within a minute, and a purge leaves nothing but running web servers" {
    local begin
    boot_systemd
    begin=$SECONDS
    fresh sh -c 'apt install -y ./fibcgi_*.deb'
    fresh a2enconf fibcgi
    fresh systemctl reload apache2
    wait_for 10 computes 80
    [ $((SECONDS - begin)) -lt 60 ]
    answers 80 /fibcgi/readyz
    fresh lighty-enable-mod fibcgi
    fresh systemctl reload lighttpd
    wait_for 10 computes 8080
    fresh apt-get remove -y fibcgi
    wait_for 10 is_refused 8080 /fibcgi/compute 404
    wait_for 10 is_refused 80 /fibcgi/compute 404
    fresh apt-get purge -y fibcgi
    nothing_is_left
    fresh systemctl restart apache2 lighttpd
    [ "$(fresh systemctl is-active apache2 lighttpd)" = $'active\nactive' ]
}

@test "without systemd an init script does the same: apt starts the pool where services may start, and a purge stops it" {
    boot sleep infinity
    # What a sysvinit would say; without it Debian starts no service at all.
    fresh sh -c 'printf "#!/bin/sh\nexit 0\n" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d'
    fresh service lighttpd start
    fresh sh -c 'apt install -y ./fibcgi_*.deb'
    fresh lighty-enable-mod fibcgi
    fresh service lighttpd force-reload
    wait_for 10 computes 8080
    answers 8080 /fibcgi/readyz
    fresh service fibcgi status
    [ "$(fresh sh -c 'stat -c %U /proc/$(cat /run/fibcgi/fibcgi.pid)')" = fibcgi ]
    fresh apt-get purge -y fibcgi
    nothing_is_left
    is_refused 8080 /fibcgi/compute 404
}

@test "the init script reloads, keeps a running pool where the new options are wrong, and logs to a file that can be rotated" {
    local first
    boot sleep infinity
    fresh sh -c 'apt install -y ./fibcgi_*.deb'
    # Nothing may be started here by itself.
    run ! fresh service fibcgi status
    fresh service fibcgi start
    fresh service fibcgi start
    probe() { fresh fibcgi --probe "$1" --admin-listen unix:/run/fibcgi/admin.sock; }
    worker() { probe "/status?json" | jq '.workers[0].pid'; }
    is_another() { [ "$(worker)" != "$first" ]; }
    probe /readyz
    first=$(worker)
    fresh service fibcgi reload
    wait_for 10 is_another
    first=$(worker)
    fresh sh -c 'echo FIBCGI_WORKERS=many >>/etc/default/fibcgi'
    run ! fresh service fibcgi restart
    [[ $output == *'FIBCGI_WORKERS: "many" is not a whole number'* ]]
    probe /readyz
    [ "$(worker)" = "$first" ]
    fresh sed -i s/many/3/ /etc/default/fibcgi
    fresh service fibcgi restart
    probe "/status?json" | jq -e '.workers | length == 3'
    fresh mv /var/log/fibcgi/pool.log /var/log/fibcgi/pool.log.1
    fresh sh -c 'sh -c "$(sed -n "/postrotate/,/endscript/ { /script\|postrotate/d; p }" /etc/logrotate.d/fibcgi)"'
    wait_for 10 fresh test -e /var/log/fibcgi/pool.log
    fresh service fibcgi stop
    [ -z "$(fresh sh -c 'ls /run/fibcgi')" ]
    run ! fresh service fibcgi status
}
