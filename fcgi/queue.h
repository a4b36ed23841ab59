/* queue: how many connections wait in the kernel's queues for a worker, and for how long they have waited.
 *
 * The kernel tells how many there are, not since when. But they are taken in the order in which they came. So what came until now is
 * what has been accepted and what is waiting, and of each accepted one it can be told when it came: between the two looks between
 * which the sum passed its number. How exact that is depends on how often is looked: QUEUE_STEP_NS apart while something moves.
 * A worker does nothing for it but to count. */
#ifndef FIBCGI_QUEUE_H
#define FIBCGI_QUEUE_H

#include <stdint.h>

#include "clock.h"
#include "listener.h"
#include "scoreboard.h"

#define QUEUE_STEP_NS (50 * CLOCK_NS_PER_MS)
/* Looks are further apart where they would take more than this part of the time: the kernel looks through all its Unix sockets. */
#define QUEUE_SHARE 1000
/* Looks whose connections may wait still. Where they become more, every second one is forgotten: who waits for long is known less
 * exactly. */
#define QUEUE_LOOKS_MAX 64

/* So many connections had come at that time. */
struct queue_look {
    uint64_t at_ns;
    uint64_t arrived;
};

/* What the workers have counted. */
struct queue_counts {
    uint64_t accepted;
    uint64_t set_aside;
};

struct queue {
    struct scoreboard *board;
    const struct listener *listeners;
    unsigned listener_count;
    uint32_t inodes[LISTENERS_MAX];
    struct queue_look looks[QUEUE_LOOKS_MAX];
    unsigned look_count;
    struct queue_counts counts; /* at the last look */
    uint64_t next_ns;
    uint64_t took_ns; /* the last look */
    uint32_t least;   /* waited at a look since queue_begin_second; HISTORY_NONE: not known */
    uint32_t most;
};

void queue_init(struct queue *queue, struct scoreboard *board, const struct listener *listeners, unsigned count);

/* Looks, where it is time to, and writes to the scoreboard what it finds. diag: see diag_open; below 0: there is none. Returns when to
 * be called again. */
uint64_t queue_tick(struct queue *queue, int diag, uint64_t now_ns);

/* What a look finds; depth HISTORY_NONE: it cannot be asked. counts: from before depth was asked. */
void queue_note(struct queue *queue, const struct queue_counts *counts, uint32_t depth, uint64_t now_ns);

/* Begins a new second for least and most: they are then what the last look saw. */
void queue_begin_second(struct queue *queue);

#endif
