#include "pool.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "watch.h"

#define LONGEST_SLEEP_NS CLOCK_NS_PER_S
/* How often a worker that was just started is looked at until it is up, while a roll waits for it. */
#define ROLL_STEP_NS (5 * CLOCK_NS_PER_MS)
#define TIMEOUT_STEP_MIN_NS (20 * CLOCK_NS_PER_MS)
/* How often the parked connections are looked through for those whose time is over. */
#define SWEEP_STEP_NS (50 * CLOCK_NS_PER_MS)
#define SCAN_STEP_NS (5 * CLOCK_NS_PER_MS)
#define SCAN_TIME_NS (2000 * CLOCK_NS_PER_MS)
/* What a connection gets, as a new one would, that is passed on to another worker. */
#define HEIR_TIME_NS (10000 * CLOCK_NS_PER_MS)
/* What one gets whose peer only waits for the end of it. */
#define CLOSED_TIME_NS CLOCK_NS_PER_S
/* How /proc shows the memory files of inbox.c and outbox.c. */
#define FILE_NAME "/memfd:fibcgi-"

static const struct log_event routine = {.level = LOG_LEVEL_INFO, .kind = LOG_WORKER};
static const struct log_event loss = {.level = LOG_LEVEL_WARNING, .kind = LOG_DEATH};

struct death {
    enum restart_cause cause;
    unsigned detail;  /* the signal or the exit status */
    bool was_serving; /* a request was with the application: that is what it died of, not of its start */
    char how[64];
};

static bool is_admin(unsigned slot)
{
    return slot == SCOREBOARD_ADMIN;
}

static bool is_acceptor(unsigned slot)
{
    return slot == SCOREBOARD_ACCEPTOR;
}

static const struct pool_service *service_of(const struct pool *pool, unsigned slot)
{
    return is_admin(slot) ? &pool->config.admin : &pool->config.work;
}

static const char *name_of(unsigned slot, char name[static 24])
{
    if (is_admin(slot))
        return "admin worker";
    if (is_acceptor(slot))
        return "acceptor";
    snprintf(name, 24, "worker %u", slot + 1);
    return name;
}

static unsigned workers_left(const struct pool *pool)
{
    unsigned left = 0;
    for (unsigned i = 0; i < SCOREBOARD_WORKERS_MAX; i++)
        left += pool->workers[i].pid != 0 || pool->workers[i].spawn_at_ns != 0;
    return left;
}

/* Whether a process should be in that slot; in a drain, only until it has left of its own accord. */
static bool is_wanted(const struct pool *pool, unsigned slot)
{
    if (is_admin(slot))
        return pool->config.has_admin && (!pool->is_draining || workers_left(pool) > 0);
    /* In a drain the workers take what is queued by themselves. */
    if (is_acceptor(slot))
        return pool->config.has_acceptor && !pool->is_draining;
    return slot < pool->wanted;
}

static enum slot_order order_for(const struct pool *pool, unsigned slot)
{
    return pool->is_draining && !is_admin(slot) ? ORDER_DRAIN : ORDER_SERVE;
}

void pool_init(struct pool *pool, const struct pool_config *config)
{
    *pool = (struct pool){.config = *config};
    if (config->has_admin)
        pool->workers[SCOREBOARD_ADMIN].spawn_at_ns = 1;
    if (config->has_acceptor)
        pool->workers[SCOREBOARD_ACCEPTOR].spawn_at_ns = 1;
}

static void give_order(struct pool *pool, unsigned slot, enum slot_order order)
{
    struct pool_worker *worker = &pool->workers[slot];
    if (worker->pid == 0)
        return;
    worker->was_told_to_leave = order != ORDER_SERVE;
    atomic_store_explicit(&pool->config.board->master.orders[slot], (uint32_t)order, memory_order_release);
    kill(worker->pid, SIGTERM);
}

void pool_resize(struct pool *pool, unsigned count)
{
    struct scoreboard_master *master = &pool->config.board->master;
    pool->wanted = count;
    atomic_store(&master->workers, count);
    for (unsigned i = 0; i < SCOREBOARD_WORKERS_MAX; i++) {
        struct pool_worker *worker = &pool->workers[i];
        if (i < count && worker->pid == 0 && worker->spawn_at_ns == 0) {
            worker->spawn_at_ns = 1;
        } else if (i >= count) {
            worker->spawn_at_ns = 0;
            if (!worker->was_told_to_leave)
                give_order(pool, i, ORDER_RETIRE);
        }
    }
}

void pool_roll(struct pool *pool)
{
    pool->generation++;
}

void pool_drain(struct pool *pool)
{
    pool->is_draining = true;
    for (unsigned i = 0; i < SCOREBOARD_WORKERS_MAX; i++)
        give_order(pool, i, order_for(pool, i));
    give_order(pool, SCOREBOARD_ACCEPTOR, ORDER_RETIRE);
}

void pool_kill(struct pool *pool)
{
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        pool->workers[i].spawn_at_ns = 0;
        if (pool->workers[i].pid != 0)
            kill(pool->workers[i].pid, SIGKILL);
    }
    pool->is_draining = true;
    pool->wanted = 0;
    pool->config.has_admin = false;
    pool->config.has_acceptor = false;
}

/* Doubles with each failure in a row. */
static uint64_t retry_delay(unsigned failures, uint64_t max_ns)
{
    uint64_t delay_ns = POOL_BACKOFF_FIRST_NS;
    for (unsigned i = 1; i < failures && delay_ns < max_ns; i++)
        delay_ns *= 2;
    return delay_ns < max_ns ? delay_ns : max_ns;
}

/* A process that shares the table of file descriptors, so that a worker's connection outlives the worker. The price: what
 * an application opens by itself stays open when its worker is killed. */
static pid_t clone_sharing_files(void)
{
    return (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
}

static void prepare_slot(struct pool *pool, unsigned slot, enum slot_order order)
{
    struct scoreboard *board = pool->config.board;
    atomic_store(&board->master.orders[slot], (uint32_t)order);
    slot_set_state(&board->slots[slot], SLOT_STARTING);
    atomic_store(&board->slots[slot].busy_since_ns, 0);
    atomic_store(&board->slots[slot].is_opening, 0);
    atomic_store(&board->slots[slot].is_inbox_closed, 0);
    if (slot < SCOREBOARD_WORKERS_MAX && slot >= atomic_load(&board->master.slots_used))
        atomic_store(&board->master.slots_used, slot + 1);
}

static void put_off_start(struct pool *pool, unsigned slot, int error, uint64_t now_ns)
{
    static const struct log_event event = {.level = LOG_LEVEL_ERROR, .kind = LOG_START};
    struct pool_worker *worker = &pool->workers[slot];
    char name[24];
    const char *who = name_of(slot, name);
    log_event(pool->config.log, &event, "cannot start %s: %s; trying again", who, strerror(error));
    /* The page has room for few of them. */
    if (pool->warned_ns == 0 || now_ns - pool->warned_ns >= CLOCK_NS_PER_S) {
        events_note(&pool->config.board->events, EVENT_WORKER_FAILED, EVENT_ERROR, "cannot start %s: %s", who,
                    strerror(error));
        pool->warned_ns = now_ns;
    }
    worker->failed_starts++;
    worker->spawn_at_ns = now_ns + retry_delay(worker->failed_starts, POOL_START_RETRY_MAX_NS);
}

static unsigned needs_of(const struct pool *pool, unsigned slot)
{
    return pool->config.watches_clients && slot < SCOREBOARD_WORKERS_MAX ? WORKER_LOOKS_AT_CLIENTS : 0;
}

static void spawn(struct pool *pool, unsigned slot, uint64_t now_ns)
{
    struct pool_worker *worker = &pool->workers[slot];
    struct scoreboard *board = pool->config.board;
    struct worker_files files;
    enum slot_order order = order_for(pool, slot);
    char name[24];
    prepare_slot(pool, slot, order);
    pid_t pid = worker_open_files(&files, &pool->config.limits, needs_of(pool, slot)) == 0 ? clone_sharing_files() : -1;
    if (pid == 0)
        pool->config.run(pool->config.run_context, slot, &files);
    if (pid < 0) {
        put_off_start(pool, slot, errno, now_ns);
        worker_close_files(&files);
        return;
    }
    watch_begin(board, slot, now_ns);
    atomic_store(&board->master.pids[slot], pid);
    *worker = (struct pool_worker){.pid = pid,
                                   .files = files,
                                   .started_ns = now_ns,
                                   .requests_at_start = counter_read(&board->slots[slot].requests),
                                   .deaths_in_youth = worker->deaths_in_youth,
                                   .generation = pool->generation,
                                   .was_told_to_leave = order != ORDER_SERVE};
    log_event(pool->config.log, &routine, "%s started, pid %d", name_of(slot, name), pid);
}

static struct death describe_death(const struct pool_worker *worker, int status)
{
    struct death death = {.cause = RESTART_EXIT, .detail = (unsigned)WEXITSTATUS(status)};
    if (WIFSIGNALED(status)) {
        int signal_number = WTERMSIG(status);
        death.cause = worker->was_killed_for_time ? RESTART_TIMEOUT : RESTART_SIGNAL;
        death.detail = (unsigned)signal_number;
        snprintf(death.how, sizeof(death.how), "was killed by signal %d (%s)", signal_number, strsignal(signal_number));
        if (worker->was_killed_for_time)
            snprintf(death.how, sizeof(death.how), "was killed: its request took longer than --request-timeout");
    } else if (WEXITSTATUS(status) == WORKER_MAX_REQUESTS) {
        death.cause = RESTART_MAX_REQUESTS;
        snprintf(death.how, sizeof(death.how), "left after --max-requests");
    } else if (WEXITSTATUS(status) == WORKER_LEFT && worker->was_told_to_leave) {
        death.cause = RESTART_ROLL;
        snprintf(death.how, sizeof(death.how), "left as told");
    } else {
        snprintf(death.how, sizeof(death.how), "exited with status %d", WEXITSTATUS(status));
    }
    return death;
}

static bool died_young(const struct pool *pool, unsigned slot, const struct death *death, uint64_t now_ns)
{
    const struct pool_worker *worker = &pool->workers[slot];
    uint64_t answered = counter_read(&pool->config.board->slots[slot].requests) - worker->requests_at_start;
    return (death->cause == RESTART_EXIT || death->cause == RESTART_SIGNAL) && !death->was_serving && answered == 0 &&
           now_ns - worker->started_ns < POOL_YOUNG_NS;
}

/* Decides whether and when a dead worker gets a successor. */
static void plan_successor(struct pool *pool, unsigned slot, const struct death *death, uint64_t now_ns)
{
    struct pool_worker *worker = &pool->workers[slot];
    bool has_done_its_drain = pool->is_draining && death->cause == RESTART_ROLL;
    worker->deaths_in_youth = died_young(pool, slot, death, now_ns) ? worker->deaths_in_youth + 1 : 0;
    worker->spawn_at_ns = 0;
    if (!is_wanted(pool, slot) || has_done_its_drain)
        return;
    counter_add(&pool->config.board->master.restarts[death->cause], 1);
    watch_restart(pool->config.board, slot, death->cause, death->detail);
    worker->spawn_at_ns = now_ns;
    if (worker->deaths_in_youth > 0)
        worker->spawn_at_ns += retry_delay(worker->deaths_in_youth, POOL_BACKOFF_MAX_NS);
}

static bool came_from(const struct pool_service *service, int fd)
{
    for (unsigned i = 0; i < service->listener_count; i++) {
        if (listener_accepted(&service->listeners[i], fd))
            return true;
    }
    return false;
}

/* What a dead worker was about to close. Mostly it is closed; else its peer waits for that, and sends nothing more. That number
 * may also be a new connection's by now, which a living worker has just accepted: that has sent its request, or will. */
static void settle_closed(struct pool *pool, unsigned slot, uint64_t now_ns)
{
    const struct pool_service *service = service_of(pool, slot);
    int fd = -1;
    while ((fd = connections_closed_by(service->connections, slot, fd + 1)) >= 0) {
        if (came_from(service, fd))
            connections_park_closed(service->connections, fd, now_ns, now_ns + CLOSED_TIME_NS);
        else
            connections_forget(service->connections, fd);
    }
}

/* Passes on what a dead worker had in hand, with the files in which its request and answer lie, and closes what was its
 * own. Returns whether a request was with the application. */
static bool settle_estate(struct pool *pool, unsigned slot, uint64_t now_ns)
{
    struct pool_worker *worker = &pool->workers[slot];
    struct connections *connections = service_of(pool, slot)->connections;
    bool was_serving = false;
    int fd = -1;
    if (atomic_load(&pool->config.board->slots[slot].is_inbox_closed) != 0)
        worker->files.inbox = -1;
    while ((fd = connections_held_by(connections, slot, fd + 1)) >= 0) {
        was_serving |= connections_stage(connections, fd) == STAGE_SERVING;
        connections_bequeath(connections, fd, &worker->files.inbox, &worker->files.outbox, now_ns,
                             now_ns + HEIR_TIME_NS);
        counter_add(&pool->config.board->master.replays, 1);
    }
    settle_closed(pool, slot, now_ns);
    worker_close_files(&worker->files);
    connections_watch_again(connections);
    return was_serving;
}

static bool is_anybody_opening(const struct pool *pool)
{
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (pool->workers[i].pid != 0 && atomic_load(&pool->config.board->slots[i].is_opening) != 0)
            return true;
    }
    return false;
}

static bool is_unheld(const struct pool_service *service, int fd)
{
    return fd < CONNECTIONS_MAX && atomic_load(&connections_at(service->connections, fd)->state) == CONNECTION_NONE &&
           came_from(service, fd);
}

static bool belongs_to_worker(const struct pool *pool, int fd)
{
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (pool->workers[i].pid != 0 && (pool->workers[i].files.inbox == fd || pool->workers[i].files.outbox == fd))
            return true;
    }
    return false;
}

/* A memory file that a worker made, and died before it could note whose it is, or after that was forgotten. */
static bool is_lost_file(const struct pool *pool, int fd)
{
    char link[32], name[32];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof(name));
    if (length < (ssize_t)strlen(FILE_NAME) || memcmp(name, FILE_NAME, strlen(FILE_NAME)) != 0)
        return false;
    return !belongs_to_worker(pool, fd) && !connections_refer_to(pool->config.work.connections, fd) &&
           !connections_refer_to(pool->config.admin.connections, fd) &&
           (pool->config.httpd == NULL || !httpd_refers_to(pool->config.httpd, fd));
}

/* What nobody goes on with: such a file, or a connection over HTTP, whose peer asks again. */
static bool is_lost(const struct pool *pool, int fd)
{
    return is_lost_file(pool, fd) || (pool->config.httpd != NULL && httpd_has_lost(pool->config.httpd, fd));
}

static void adopt_if_unheld(struct pool *pool, const struct pool_service *service, int fd, uint64_t now_ns)
{
    if (is_unheld(service, fd) &&
        connections_adopt(service->connections, fd, now_ns, now_ns + pool->config.read_timeout_ns))
        counter_add(&pool->config.board->master.replays, 1);
}

/* A worker may have died between the opening of a descriptor and the note of what it is for. Such a one is a connection from
 * our listeners that nobody holds, or a memory file that nobody knows, and no living worker has just opened it. Returns
 * whether all could be seen. */
static bool adopt_unheld(struct pool *pool, uint64_t now_ns)
{
    const struct dirent *entry;
    bool is_quiet = !is_anybody_opening(pool);
    DIR *folder = is_quiet ? opendir("/proc/self/fd") : NULL;
    if (folder == NULL)
        return false;
    while ((entry = readdir(folder)) != NULL) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        bool was_lost = fd > STDERR_FILENO && is_lost(pool, fd);
        if (fd <= STDERR_FILENO ||
            (!was_lost && !is_unheld(&pool->config.work, fd) && !is_unheld(&pool->config.admin, fd)))
            continue;
        /* It was there before this second look: whoever lives has noted by now what it opened. */
        if (is_anybody_opening(pool)) {
            is_quiet = false;
            break;
        }
        if (was_lost && is_lost(pool, fd))
            close(fd);
        adopt_if_unheld(pool, &pool->config.work, fd, now_ns);
        adopt_if_unheld(pool, &pool->config.admin, fd, now_ns);
    }
    closedir(folder);
    return is_quiet;
}

static uint64_t continue_scan(struct pool *pool, uint64_t now_ns)
{
    if (pool->scan_at_ns == 0)
        return UINT64_MAX;
    if (now_ns >= pool->scan_at_ns) {
        bool is_done = adopt_unheld(pool, now_ns) || now_ns >= pool->scan_until_ns;
        pool->scan_at_ns = is_done ? 0 : now_ns + SCAN_STEP_NS;
    }
    return pool->scan_at_ns != 0 ? pool->scan_at_ns : UINT64_MAX;
}

static void publish_counts(struct pool *pool, unsigned open)
{
    struct scoreboard_master *master = &pool->config.board->master;
    const struct connections *connections = pool->config.work.connections;
    atomic_store(&master->connections_open, open);
    atomic_store(&master->connections_waiting, connections_waiting(connections));
    atomic_store(&master->kept_bytes, connections_kept_bytes(connections));
}

static uint64_t sweep(struct pool *pool, const struct pool_service *service, uint64_t now_ns)
{
    unsigned left = connections_left(service->connections);
    if (left > 0)
        counter_add(&pool->config.board->master.timeouts, connections_sweep(service->connections, now_ns));
    if (service == &pool->config.work)
        publish_counts(pool, left);
    return left > 0 ? now_ns + SWEEP_STEP_NS : UINT64_MAX;
}

static void bury(struct pool *pool, unsigned slot, int status, uint64_t now_ns)
{
    struct pool_worker *worker = &pool->workers[slot];
    struct death death = describe_death(worker, status);
    char name[24], next[64] = "";
    pid_t pid = worker->pid;
    worker->pid = 0;
    atomic_store(&pool->config.board->master.pids[slot], 0);
    death.was_serving = settle_estate(pool, slot, now_ns);
    /* Who left as told has left its peers to its successor. */
    if (is_admin(slot) && pool->config.httpd != NULL && death.cause != RESTART_ROLL)
        httpd_hang_up(pool->config.httpd);
    if (death.cause != RESTART_ROLL && death.cause != RESTART_MAX_REQUESTS) {
        pool->scan_at_ns = now_ns;
        pool->scan_until_ns = now_ns + SCAN_TIME_NS;
    }
    plan_successor(pool, slot, &death, now_ns);
    if (worker->spawn_at_ns > now_ns)
        snprintf(next, sizeof(next), "; the next one starts in %d ms", clock_ms_until(worker->spawn_at_ns, now_ns));
    bool is_routine = death.cause == RESTART_ROLL || death.cause == RESTART_MAX_REQUESTS;
    log_event(pool->config.log, is_routine ? &routine : &loss, "%s (pid %d) %s%s", name_of(slot, name), pid, death.how,
              next);
    if (!is_routine)
        events_note(&pool->config.board->events, EVENT_WORKER_DIED, EVENT_WARNING, "%s (pid %d) %s%s",
                    name_of(slot, name), pid, death.how, next);
    worker->was_told_to_leave = false;
    worker->was_killed_for_time = false;
}

static uint64_t cpu_ns_of(const struct rusage *usage)
{
    uint64_t seconds = (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec);
    return seconds * CLOCK_NS_PER_S + (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * CLOCK_NS_PER_US;
}

void pool_reap(struct pool *pool)
{
    int status;
    pid_t pid;
    struct rusage usage;
    uint64_t now_ns = clock_now_ns();
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
            if (pool->workers[i].pid != pid)
                continue;
            watch_end(pool->config.board, i, cpu_ns_of(&usage));
            bury(pool, i, status, now_ns);
        }
    }
}

/* Kills the worker whose request has taken too long; returns when that would be. */
static uint64_t enforce_timeout(struct pool *pool, unsigned slot, uint64_t now_ns)
{
    struct pool_worker *worker = &pool->workers[slot];
    uint64_t step_ns = pool->config.request_timeout_ns / 8;
    /* A slot without a worker is not even looked at: shared memory that nobody has touched takes none. */
    if (worker->pid == 0 || worker->was_killed_for_time)
        return UINT64_MAX;
    uint64_t since_ns = counter_read(&pool->config.board->slots[slot].busy_since_ns);
    if (since_ns != 0 && now_ns >= since_ns + pool->config.request_timeout_ns) {
        worker->was_killed_for_time = true;
        kill(worker->pid, SIGKILL);
    }
    /* The master learns nothing when a request begins, so it looks at intervals: at most an eighth too late. */
    return now_ns + (step_ns > TIMEOUT_STEP_MIN_NS ? step_ns : TIMEOUT_STEP_MIN_NS);
}

static bool is_up(const struct pool *pool, unsigned slot)
{
    return pool->workers[slot].pid != 0 && !pool->workers[slot].was_told_to_leave &&
           atomic_load(&pool->config.board->slots[slot].state) >= SLOT_IDLE;
}

/* Takes a roll one step further; returns when to look again. */
static uint64_t continue_roll(struct pool *pool, uint64_t now_ns)
{
    int oldest = -1;
    if (pool->is_draining)
        return UINT64_MAX;
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (!is_wanted(pool, i))
            continue;
        if (oldest < 0 && pool->workers[i].pid != 0 && pool->workers[i].generation != pool->generation)
            oldest = (int)i;
        if (!is_up(pool, i))
            return now_ns + ROLL_STEP_NS;
    }
    if (oldest < 0)
        return UINT64_MAX;
    give_order(pool, (unsigned)oldest, ORDER_RETIRE);
    return now_ns + ROLL_STEP_NS;
}

bool pool_is_rolling(const struct pool *pool)
{
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        if (pool->workers[i].pid != 0 && pool->workers[i].generation != pool->generation && is_wanted(pool, i))
            return true;
    }
    return false;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The acceptor may have died after the last worker has left, with a connection in hand. */
static void finish_drain(struct pool *pool)
{
    if (pool->is_draining && pool->wanted > 0 && workers_left(pool) == 0 &&
        connections_left(pool->config.work.connections) > 0)
        pool->workers[0].spawn_at_ns = 1;
}

uint64_t pool_tick(struct pool *pool, uint64_t now_ns)
{
    uint64_t next_ns = now_ns + LONGEST_SLEEP_NS;
    finish_drain(pool);
    for (unsigned i = 0; i < SCOREBOARD_SLOTS; i++) {
        struct pool_worker *worker = &pool->workers[i];
        if (worker->pid == 0 && worker->spawn_at_ns != 0 && worker->spawn_at_ns <= now_ns) {
            worker->spawn_at_ns = 0;
            spawn(pool, i, now_ns);
        }
        if (worker->pid == 0 && worker->spawn_at_ns != 0)
            next_ns = earlier(next_ns, worker->spawn_at_ns);
        next_ns = earlier(next_ns, enforce_timeout(pool, i, now_ns));
    }
    next_ns = earlier(next_ns, continue_scan(pool, now_ns));
    next_ns = earlier(next_ns, sweep(pool, &pool->config.work, now_ns));
    next_ns = earlier(next_ns, sweep(pool, &pool->config.admin, now_ns));
    if (pool_is_rolling(pool))
        next_ns = earlier(next_ns, continue_roll(pool, now_ns));
    /* The admin worker is the last to go: until then it tells that the pool is draining. */
    if (pool->is_draining && workers_left(pool) == 0 && !pool->workers[SCOREBOARD_ADMIN].was_told_to_leave)
        give_order(pool, SCOREBOARD_ADMIN, ORDER_RETIRE);
    return next_ns;
}

bool pool_is_empty(const struct pool *pool)
{
    const struct pool_worker *admin = &pool->workers[SCOREBOARD_ADMIN];
    const struct pool_worker *acceptor = &pool->workers[SCOREBOARD_ACCEPTOR];
    return workers_left(pool) == 0 && admin->pid == 0 && admin->spawn_at_ns == 0 && acceptor->pid == 0 &&
           acceptor->spawn_at_ns == 0;
}
