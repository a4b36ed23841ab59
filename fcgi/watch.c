#include "watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* A file of /proc for each is a few microseconds, which nobody is to notice. */
#define MEMORY_LOOKS 32

void watch_begin(struct scoreboard *board, unsigned slot, uint64_t now_ns)
{
    struct watched *watched = &board->watched[slot];
    atomic_store(&watched->started_ns, now_ns);
    atomic_store(&watched->cpu_ns, 0);
    atomic_store(&watched->rss_bytes, 0);
    atomic_store(&watched->cpu_permille, HISTORY_NONE);
}

/* Returns what it has used since the last look. */
static uint64_t note_cpu(struct scoreboard *board, unsigned slot, uint64_t cpu_ns)
{
    struct watched *watched = &board->watched[slot];
    uint64_t before_ns = counter_read(&watched->cpu_ns);
    if (cpu_ns <= before_ns)
        return 0;
    atomic_store(&watched->cpu_ns, cpu_ns);
    counter_add(&board->master.cpu_ns, cpu_ns - before_ns);
    return cpu_ns - before_ns;
}

void watch_end(struct scoreboard *board, unsigned slot, uint64_t cpu_ns)
{
    note_cpu(board, slot, cpu_ns);
}

void watch_restart(struct scoreboard *board, unsigned slot, enum restart_cause cause, unsigned detail)
{
    struct watched *watched = &board->watched[slot];
    atomic_store(&watched->restarts, atomic_load(&watched->restarts) + 1);
    atomic_store(&watched->last_detail, detail);
    atomic_store(&watched->last_cause, (uint32_t)cause + 1);
}

/* The second number of statm: pages that are in memory. */
static uint64_t read_rss_bytes(int pid)
{
    char path[40], text[64] = "";
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    const char *second = length > 0 ? strchr(text, ' ') : NULL;
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void look_at(struct scoreboard *board, unsigned slot, bool with_memory, uint64_t elapsed_ns)
{
    struct watched *watched = &board->watched[slot];
    int pid = atomic_load(&board->master.pids[slot]);
    if (pid == 0)
        return;
    uint64_t used_ns = note_cpu(board, slot, clock_cpu_ns(pid));
    uint64_t age_ns = clock_now_ns() - counter_read(&watched->started_ns);
    uint64_t over_ns = age_ns < elapsed_ns ? age_ns : elapsed_ns;
    atomic_store(&watched->cpu_permille, over_ns > 0 ? (uint32_t)(used_ns * 1000 / over_ns) : HISTORY_NONE);
    if (with_memory)
        atomic_store(&watched->rss_bytes, read_rss_bytes(pid));
}

void watch_look(struct watch *watch, struct scoreboard *board, uint64_t elapsed_ns)
{
    unsigned used = atomic_load(&board->master.slots_used);
    for (unsigned i = 0; i < used; i++) {
        bool is_its_turn = (i + used - watch->turn % used) % used < MEMORY_LOOKS;
        look_at(board, i, is_its_turn, elapsed_ns);
    }
    watch->turn = used > 0 ? (watch->turn + MEMORY_LOOKS) % used : 0;
    look_at(board, SCOREBOARD_ADMIN, false, elapsed_ns);
    if (board->master.has_acceptor)
        look_at(board, SCOREBOARD_ACCEPTOR, false, elapsed_ns);
    uint64_t own_ns = clock_cpu_ns(0);
    counter_add(&board->master.cpu_ns, own_ns - watch->master_cpu_ns);
    watch->master_cpu_ns = own_ns;
}
