/* board: a scoreboard as a pool leaves it. */
#ifndef TESTS_BOARD_H
#define TESTS_BOARD_H

#include <stdlib.h>
#include <sys/mman.h>

#include "app.h"
#include "clock.h"
#include "scoreboard.h"

struct fixture {
    struct scoreboard *board;
    struct app_response response;
};

static int make(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture->board = scoreboard_create();
    atomic_store(&fixture->board->master.cpu_limit_millicpu, -1);
    fixture->board->master.version = "1.2.3";
    fixture->board->master.application = "compute";
    app_response_reset(&fixture->response);
    *state = fixture;
    return fixture->board != NULL ? 0 : -1;
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    app_response_free(&fixture->response);
    munmap(fixture->board, sizeof(*fixture->board));
    free(fixture);
    return 0;
}

/* Puts a worker into a slot. */
static struct slot *employ(struct scoreboard *board, unsigned index, int pid, enum slot_state slot_state)
{
    if (atomic_load(&board->master.slots_used) <= index)
        atomic_store(&board->master.slots_used, index + 1);
    atomic_store(&board->master.pids[index], pid);
    slot_set_state(&board->slots[index], slot_state);
    return &board->slots[index];
}

/* A pool in the middle of its work: three workers, and a slot that once had a fourth. */
static void employ_some(struct scoreboard *board)
{
    struct slot *first = employ(board, 0, 1001, SLOT_IDLE), *second = employ(board, 1, 1002, SLOT_BUSY);
    struct slot *left = employ(board, 2, 0, SLOT_IDLE), *last = employ(board, 3, 1004, SLOT_STARTING);
    slot_count_request(first, 200, 700 * CLOCK_NS_PER_US);
    slot_count_request(first, 200, 700 * CLOCK_NS_PER_US);
    slot_count_request(second, 200, 3 * CLOCK_NS_PER_MS);
    slot_count_request(second, 404, 10 * CLOCK_NS_PER_US);
    slot_count_request(left, 200, 60 * CLOCK_NS_PER_S);
    slot_count_request(left, 418, 1 * CLOCK_NS_PER_S);
    counter_add(&first->refused[REFUSED_BROKEN], 2);
    counter_add(&last->refused[REFUSED_BROKEN], 3);
    counter_add(&second->refused[REFUSED_GONE], 1);
    counter_add(&last->refused[REFUSED_SHORT], 6);
    counter_add(&board->master.timeouts, 7);
    counter_add(&board->master.restarts[RESTART_SIGNAL], 4);
    atomic_store(&board->master.workers, 3);
    atomic_store(&board->master.phase, PHASE_SERVING);
    board->master.started_ms = 1700000000250;
}

#endif
