#!/usr/bin/env bats
# Caddy as Debian ships it, with conf/caddy/fibcgi.caddy.
# Each test's name is a cell of the table in docs/servers.md.

load helpers/servers

setup() { build_house; }
teardown() { leave_house; }

unix() { SOCKET_GROUP=caddy; start_house_pool; start_caddy; }
staying() { SOCKET_GROUP=caddy; start_staying_pool; start_caddy; }

@test "Caddy, Unix socket: holds the contract at /" { MOUNT=''; unix; mounted_contract; }
@test "Caddy, Unix socket: holds the contract under a prefix" { unix; mounted_contract; }
@test "Caddy, Unix socket: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; unix; mounted_contract; }
@test "Caddy, Unix socket: 10,000 requests over 50 connections, none failed" { unix; serves_all 10000; }
@test "Caddy, Unix socket: a reload under load loses nothing" {
    # As conf/caddy/fibcgi.caddy says; in the house alone.
    unix; $UNDER sysctl net.ipv4.tcp_migrate_req=1; survives_reloads reload_caddy
}
@test "Caddy, Unix socket: the admin pages are for this machine only" { unix; has_closed_admin; }
@test "Caddy, Unix socket: killed workers lose nothing" { unix; survives_kills; }
@test "Caddy, Unix socket: HUP and another number of workers lose nothing" { enrol; unix; survives_rolls; }
@test "Caddy, Unix socket: a pool that takes over the sockets loses nothing" { staying; survives_restarts; }
