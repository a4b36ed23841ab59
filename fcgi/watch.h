/* watch: what each process of the pool uses, since when it is there, and why its predecessor is not: the master writes that down in the
 * scoreboard. */
#ifndef FIBCGI_WATCH_H
#define FIBCGI_WATCH_H

#include "scoreboard.h"

/* A process has been started in that slot. */
void watch_begin(struct scoreboard *board, unsigned slot, uint64_t now_ns);

/* It has ended, and used so much CPU time in all. */
void watch_end(struct scoreboard *board, unsigned slot, uint64_t cpu_ns);

/* It gets a successor. detail: its signal or exit status. */
void watch_restart(struct scoreboard *board, unsigned slot, enum restart_cause cause, unsigned detail);

struct watch {
    uint64_t master_cpu_ns; /* at the last look */
    unsigned turn;          /* whose memory is looked at next */
};

/* Looks at all processes; elapsed_ns: since the last time. */
void watch_look(struct watch *watch, struct scoreboard *board, uint64_t elapsed_ns);

#endif
