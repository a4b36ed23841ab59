#!/usr/bin/env bats
# lighttpd as Debian ships it, with the snippets of conf/lighttpd.
# Each test's name is a cell of the table in docs/servers.md.

load helpers/servers

setup() { build_house; }
teardown() { leave_house; }

pool() { start_house_pool; start_lighty fibcgi; }
staying() { start_staying_pool; start_lighty fibcgi; }

@test "lighttpd, pool: holds the contract at /" { MOUNT=''; pool; mounted_contract; }
@test "lighttpd, pool: holds the contract under a prefix" { pool; mounted_contract; }
@test "lighttpd, pool: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; pool; mounted_contract; }
@test "lighttpd, pool: 10,000 requests over 50 connections, none failed" { pool; serves_all 10000; }
@test "lighttpd, pool: a reload under load loses nothing" { pool; survives_reloads reload_lighty; }
@test "lighttpd, pool: the admin pages are for this machine only" { pool; has_closed_admin; }
@test "lighttpd, pool: killed workers lose nothing" { pool; survives_kills; }
@test "lighttpd, pool: HUP and another number of workers lose nothing" { enrol; pool; survives_rolls; }
@test "lighttpd, pool: a pool that takes over the sockets loses nothing" { staying; survives_restarts; }

spawned() { start_lighty fibcgi-spawn; }

@test "lighttpd, spawned: holds the contract at /" { MOUNT=''; spawned; mounted_contract; }
@test "lighttpd, spawned: holds the contract under a prefix" { spawned; mounted_contract; }
@test "lighttpd, spawned: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; spawned; mounted_contract; }
@test "lighttpd, spawned: 10,000 requests over 50 connections, none failed" { spawned; serves_all 10000; }
@test "lighttpd, spawned: a reload under load loses nothing" { spawned; survives_reloads reload_lighty; }
@test "lighttpd, spawned: has no admin pages" { spawned; has_no_admin; }

# A process for each request takes its time: fewer requests.
cgi() { start_lighty fibcgi-cgi; }

@test "lighttpd, CGI: holds the contract at /" { MOUNT=''; cgi; mounted_contract; }
@test "lighttpd, CGI: holds the contract under a prefix" { cgi; mounted_contract; }
@test "lighttpd, CGI: holds the contract as a script" { MOUNT=/cgi-bin/fib.fcgi; cgi; mounted_contract; }
@test "lighttpd, CGI: 1,000 requests over 50 connections, none failed" { cgi; serves_all 1000; }
@test "lighttpd, CGI: a reload under load loses nothing" { cgi; survives_reloads reload_lighty; }
@test "lighttpd, CGI: has no admin pages" { cgi; has_no_admin; }
