#!/usr/bin/env bats
# HAProxy as Debian ships it, with conf/haproxy/fibcgi.cfg.
# Each test's name is a cell of the table in docs/servers.md.

load helpers/servers

setup() { build_house; }
teardown() { leave_house; }

kept() { LISTEN=tcp:127.0.0.1:9000; ADMIN_LISTEN=tcp:127.0.0.1:9001; start_house_pool; start_haproxy; }
staying() { LISTEN=tcp:127.0.0.1:9000; ADMIN_LISTEN=tcp:127.0.0.1:9001; start_staying_pool; start_haproxy; }

@test "HAProxy, TCP, kept: holds the contract at /" { MOUNT=''; kept; mounted_contract; }
@test "HAProxy, TCP, kept: holds the contract under a prefix" { kept; mounted_contract; }
@test "HAProxy, TCP, kept: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; kept; mounted_contract; }
@test "HAProxy, TCP, kept: 10,000 requests over 50 connections, none failed" { kept; serves_all 10000; keeps_connections; }
@test "HAProxy, TCP, kept: a reload under load loses nothing" { kept; survives_reloads reload_haproxy; }
@test "HAProxy, TCP, kept: the admin pages are for this machine only" { kept; has_closed_admin; }
@test "HAProxy, TCP, kept: killed workers lose nothing" { kept; survives_kills; }
@test "HAProxy, TCP, kept: HUP and another number of workers lose nothing" { enrol; kept; survives_rolls; }
@test "HAProxy, TCP, kept: a pool that takes over the sockets loses nothing" { staying; survives_restarts; }
