#!/usr/bin/env bats
# nginx as Debian ships it, with the snippets of conf/nginx.
# Each test's name is a cell of the table in docs/servers.md.

load helpers/servers

setup() { build_house; }
teardown() { leave_house; }

unix() { start_house_pool; start_nginx fibcgi; }
staying_unix() { start_staying_pool; start_nginx fibcgi; }

@test "nginx, Unix socket: holds the contract at /" { MOUNT=''; unix; mounted_contract; }
@test "nginx, Unix socket: holds the contract under a prefix" { unix; mounted_contract; }
@test "nginx, Unix socket: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; unix; mounted_contract; }
@test "nginx, Unix socket: 10,000 requests over 50 connections, none failed" { unix; serves_all 10000; }
@test "nginx, Unix socket: a reload under load loses nothing" { unix; survives_reloads reload_nginx; }
@test "nginx, Unix socket: the admin pages are for this machine only" { unix; has_closed_admin; }
@test "nginx, Unix socket: killed workers lose nothing" { unix; survives_kills; }
@test "nginx, Unix socket: HUP and another number of workers lose nothing" { enrol; unix; survives_rolls; }
@test "nginx, Unix socket: a pool that takes over the sockets loses nothing" { staying_unix; survives_restarts; }

kept() { start_house_pool; start_nginx fibcgi-keepalive; }
staying_kept() { start_staying_pool; start_nginx fibcgi-keepalive; }
two() {
    start_two_pools
    start_nginx fibcgi-keepalive "s/#server /server /"
}

@test "nginx, Unix socket, kept: holds the contract at /" { MOUNT=''; kept; mounted_contract; }
@test "nginx, Unix socket, kept: holds the contract under a prefix" { kept; mounted_contract; }
@test "nginx, Unix socket, kept: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; kept; mounted_contract; }
@test "nginx, Unix socket, kept: 10,000 requests over 50 connections, none failed" { kept; serves_all 10000; keeps_connections; }
@test "nginx, Unix socket, kept: a reload under load loses nothing" { kept; survives_reloads reload_nginx; }
@test "nginx, Unix socket, kept: the admin pages are for this machine only" { kept; has_closed_admin; }
@test "nginx, Unix socket, kept: killed workers lose nothing" { kept; survives_kills; }
@test "nginx, Unix socket, kept: HUP and another number of workers lose nothing" { enrol; kept; survives_rolls; }
@test "nginx, Unix socket, kept: a pool that takes over the sockets loses nothing" { staying_kept; survives_restarts; }
@test "nginx, Unix socket, kept: one of two pools may leave" { two; survives_leaving; }
