#!/usr/bin/env bats
# Apache httpd as Debian ships it, with the snippets of conf/apache.
# Each test's name is a cell of the table in docs/servers.md.

load helpers/servers

setup() { build_house; }
teardown() { leave_house; }

unix() { start_house_pool; start_apache fibcgi-unix proxy_fcgi; }
staying_unix() { start_staying_pool; start_apache fibcgi-unix proxy_fcgi; }

@test "Apache, Unix socket: holds the contract at /" { MOUNT=''; unix; mounted_contract; }
@test "Apache, Unix socket: holds the contract under a prefix" { unix; mounted_contract; }
@test "Apache, Unix socket: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; unix; mounted_contract; }
@test "Apache, Unix socket: 10,000 requests over 50 connections, none failed" { unix; serves_all 10000; }
@test "Apache, Unix socket: a reload under load loses nothing" { unix; survives_reloads reload_apache; }
@test "Apache, Unix socket: the admin pages are for this machine only" { unix; has_closed_admin; }
@test "Apache, Unix socket: killed workers lose nothing" { unix; survives_kills; }
@test "Apache, Unix socket: HUP and another number of workers lose nothing" { enrol; unix; survives_rolls; }
@test "Apache, Unix socket: a pool that takes over the sockets loses nothing" { staying_unix; survives_restarts; }

TCP_MODULES=(proxy_fcgi proxy_balancer lbmethod_byrequests)
tcp() {
    LISTEN=tcp:127.0.0.1:9000
    ADMIN_LISTEN=tcp:127.0.0.1:9001
    start_house_pool
    start_apache fibcgi-tcp "${TCP_MODULES[@]}"
}
staying_tcp() {
    LISTEN=tcp:127.0.0.1:9000
    ADMIN_LISTEN=tcp:127.0.0.1:9001
    start_staying_pool
    start_apache fibcgi-tcp "${TCP_MODULES[@]}"
}

@test "Apache, TCP, kept: holds the contract at /" { MOUNT=''; tcp; mounted_contract; }
@test "Apache, TCP, kept: holds the contract under a prefix" { tcp; mounted_contract; }
@test "Apache, TCP, kept: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; tcp; mounted_contract; }
@test "Apache, TCP, kept: 10,000 requests over 50 connections, none failed" { tcp; serves_all 10000; keeps_connections; }
@test "Apache, TCP, kept: a reload under load loses nothing" { tcp; survives_reloads reload_apache; }
@test "Apache, TCP, kept: the admin pages are for this machine only" { tcp; has_closed_admin; }
@test "Apache, TCP, kept: killed workers lose nothing" { tcp; survives_kills; }
@test "Apache, TCP, kept: HUP and another number of workers lose nothing" { enrol; tcp; survives_rolls; }
@test "Apache, TCP, kept: a pool that takes over the sockets loses nothing" { staying_tcp; survives_restarts; }

fcgid() { start_apache fibcgi-fcgid fcgid; }

@test "Apache, mod_fcgid: holds the contract at /" { MOUNT=''; fcgid; mounted_contract; }
@test "Apache, mod_fcgid: holds the contract under a prefix" { fcgid; mounted_contract; }
@test "Apache, mod_fcgid: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; fcgid; mounted_contract; }
@test "Apache, mod_fcgid: 10,000 requests over 50 connections, none failed" { fcgid; serves_all 10000; }
@test "Apache, mod_fcgid: has no admin pages" { fcgid; has_no_admin; }

# A process for each request takes its time: fewer requests.
cgid() { start_apache fibcgi-cgi cgid; }

@test "Apache, mod_cgid: holds the contract at /" { MOUNT=''; cgid; mounted_contract; }
@test "Apache, mod_cgid: holds the contract under a prefix" { cgid; mounted_contract; }
@test "Apache, mod_cgid: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; cgid; mounted_contract; }
@test "Apache, mod_cgid: 1,000 requests over 50 connections, none failed" { cgid; serves_all 1000; }
@test "Apache, mod_cgid: has no admin pages" { cgid; has_no_admin; }
