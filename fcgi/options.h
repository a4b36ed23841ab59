/* options: one table of flags and environment variables, followed by the application's own. --help, -t and the man page's
 * list come from it. */
#ifndef FIBCGI_OPTIONS_H
#define FIBCGI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "app.h"

#define FIBCGI_VERSION "0.1.0"

enum options_mode { MODE_AUTO, MODE_CGI, MODE_SPAWNED, MODE_POOL };

enum options_action { ACTION_RUN, ACTION_HELP, ACTION_VERSION, ACTION_TEST, ACTION_STATUS, ACTION_TOP };

/* Pools that fibcgi status and top take at a time. */
#define OPTIONS_POOLS_MAX 16

/* Every number is within its bounds once options_parse has returned 0. Durations are in milliseconds. */
struct options {
    enum options_action action;
    char **pools; /* of status and top: pool_count addresses, in argv; none: as --admin-listen says */
    unsigned pool_count;
    bool json;      /* of status */
    long long mode; /* enum options_mode */
    const char *listen;
    const char *admin_listen;
    const char *admin_http;
    long long socket_mode;
    const char *socket_owner;
    const char *socket_group;
    long long backlog;
    const char *allowed_peers;
    long long workers; /* 0: from the CPU limit */
    long long max_requests;
    long long request_timeout_ms;
    long long read_timeout_ms;
    long long write_timeout_ms;
    long long idle_timeout_ms;
    long long drain_timeout_ms;
    long long drain_after; /* TCP port; 0: none */
    long long max_params_bytes;
    long long max_params_count;
    long long max_body_bytes;
    long long max_kept_bytes;
    long long queue_limit;   /* 0: none */
    long long watch_clients; /* 0 or 1 */
    const char *user;
    const char *group;
    long long sandbox;            /* enum confine_mode */
    long long memory_limit_bytes; /* of each worker; 0: none */
    const char *log;
    long long log_format; /* enum log_format */
    const char *access_log;
    long long access_log_sample; /* one of so many */
    long long slow_time_ms;      /* 0: none is slow */
    long long server_timing;     /* 0 or 1 */
    const char *probe;           /* a path or a URL: ask for it instead of serving */
    const char *expect;          /* a text that the answer has to have in it */
};

#define OPTIONS_ERROR_MAX 512

/* Reads environment variables, then a command, if there is one, and flags over them (argv[0] is skipped; argc 0: the environment alone). The values of the
 * application's options go where it says. Returns 0; or -1 with a sentence in error: what is wrong, where, and what to
 * write instead. */
int options_parse(struct options *options, const struct app *app, int argc, char **argv,
                  char error[static OPTIONS_ERROR_MAX]);

/* Writes the help text: a line for each option with its variable, default and bounds. */
void options_print_help(const struct app *app, FILE *out);

/* Writes what the program is and how to run it, for somebody who started it with neither. */
void options_print_usage(FILE *out);

#endif
