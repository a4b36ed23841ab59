/* filter: the filters of system calls (seccomp), ready to be loaded. fcgi/filter/generate.c makes the table when the program
 * is built, and says which calls are allowed. */
#ifndef FIBCGI_FILTER_H
#define FIBCGI_FILTER_H

#include <linux/filter.h>
#include <stddef.h>

/* Every combination of enum app_need. */
#define FILTER_COUNT 8
#define FILTER_LENGTH_MAX 512

/* Where a filter has this, which is above all pids, belongs the pid of the process that loads it. */
#define FILTER_OWN_PID 0x7fffff01U

struct filter {
    const struct sock_filter *code;
    size_t length; /* instructions, less than FILTER_LENGTH_MAX */
};

/* By needs. */
extern const struct filter filters[FILTER_COUNT];

#endif
