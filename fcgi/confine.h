/* confine: what a process that serves may still ask of the kernel: a seccomp filter of system calls, and Landlock over
 * files, TCP ports and signals. */
#ifndef FIBCGI_CONFINE_H
#define FIBCGI_CONFINE_H

#include <stdbool.h>

#include "log.h"

struct filter;

/* --sandbox: as much as there is; all of it or no start; nothing. */
enum confine_mode { CONFINE_AUTO, CONFINE_ON, CONFINE_OFF };

/* What the kernel, and whatever container is around, lets a process have of it. */
struct confine_means {
    bool is_off;
    int filter_error;   /* 0: there is one */
    int landlock_error; /* 0: there is */
    int landlock;       /* version of its interface */
};

struct confinement {
    const struct filter *filter; /* NULL: none */
    int ruleset;                 /* Landlock's; -1: none */
};

/* Asks for both. In a build with AddressSanitizer CONFINE_AUTO is off: the sanitizers call what no worker does. */
void confine_find_means(struct confine_means *means, enum confine_mode mode);

/* Logs what is missing, or that all of it is off. Returns 0; or -1 with errno where mode is CONFINE_ON and something is
 * missing. */
int confine_check_means(const struct confine_means *means, enum confine_mode mode, const struct log *log);

/* Chooses the filter and makes the ruleset of an application with these needs (of enum app_need), as far as there are
 * means. Done once, by the master, for all workers. Returns 0, or -1 with errno; EINVAL: no such needs. */
int confine_prepare(struct confinement *confinement, const struct confine_means *means, unsigned needs);

/* Puts this process under it, for good; no_new_privs must be set. Returns 0, or -1 with errno. */
int confine_enter(const struct confinement *confinement);

#endif
