#include "master.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cgroup.h"
#include "clock.h"
#include "diag.h"
#include "queue.h"
#include "sampler.h"

/* The master learns nothing when a worker is up; it looks this often while somebody waits for that. */
#define READY_STEP_NS (10 * CLOCK_NS_PER_MS)
/* How often is looked whether the web server has left. */
#define FRONT_STEP_NS (50 * CLOCK_NS_PER_MS)
/* What killing, collecting the dead and starting others takes at the most, on a busy machine. */
#define KILL_TIME_NS (10 * CLOCK_NS_PER_S)

struct master {
    const struct master_config *config;
    struct pool pool;
    struct queue queue;
    struct sampler sampler;
    struct cgroup_cpu cpu; /* at most a second old */
    int signals;
    int diag; /* -1: none */
    uint64_t next_cpu_ns;
    uint64_t drain_deadline_ns; /* 0: no drain has been asked for */
    uint64_t next_front_ns;     /* when to look again whether the web server has left; 0: no drain waits for that */
    bool is_stopping;           /* every process has been killed */
    bool was_cut_short;
};

static void wanted_signals(sigset_t *set)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sigaddset(set, numbers[i]);
}

void master_block_signals(sigset_t *old)
{
    sigset_t set;
    wanted_signals(&set);
    sigprocmask(SIG_BLOCK, &set, old);
}

static struct scoreboard_master *board_of(struct master *master)
{
    return &master->config->pool.board->master;
}

static struct events *events_of(struct master *master)
{
    return &master->config->pool.board->events;
}

static unsigned workers_for(const struct master *master)
{
    unsigned workers = master->config->fixed_workers;
    if (workers == 0)
        workers = cgroup_workers_for(master->cpu.limit_millicpu, cgroup_cpus_allowed());
    return workers < SCOREBOARD_WORKERS_MAX ? workers : SCOREBOARD_WORKERS_MAX;
}

static void describe_workers(const struct master *master, unsigned workers, char *text, size_t size)
{
    int64_t limit = master->cpu.limit_millicpu;
    if (master->config->fixed_workers != 0)
        snprintf(text, size, "%u workers, as --workers says", workers);
    else if (limit == CGROUP_NO_LIMIT)
        snprintf(text, size, "%u workers: no CPU limit, %u CPUs to run on", workers, cgroup_cpus_allowed());
    else
        snprintf(text, size, "%u workers: the CPU limit is %" PRId64 "m", workers, limit);
}

static void note_limit(struct master *master)
{
    int64_t limit = master->cpu.limit_millicpu;
    int64_t before = atomic_exchange(&board_of(master)->cpu_limit_millicpu, limit);
    /* How it was at the start is told with the workers. */
    if (before == limit || master->pool.wanted == 0)
        return;
    if (limit == CGROUP_NO_LIMIT)
        events_note(events_of(master), EVENT_CPU_LIMIT, EVENT_INFO, "the CPU limit was taken away");
    else
        events_note(events_of(master), EVENT_CPU_LIMIT, EVENT_INFO, "the CPU limit is %" PRId64 "m now", limit);
}

static void follow_cpu_limit(struct master *master)
{
    char text[EVENT_TEXT_MAX];
    unsigned workers = workers_for(master);
    note_limit(master);
    if (workers == master->pool.wanted)
        return;
    describe_workers(master, workers, text, sizeof(text));
    log_info(master->config->log, "%s", text);
    events_note(events_of(master), EVENT_RESIZE, EVENT_INFO, "%s", text);
    pool_resize(&master->pool, workers);
}

static void begin_drain(struct master *master, const char *why)
{
    bool leaves_queue = master->config->listener_count > 0 && master->config->listeners[0].is_inherited;
    log_info(master->config->log, "%s: draining, what is %s is answered%s", why,
             leaves_queue ? "running" : "queued and running",
             leaves_queue ? ", what is queued waits for the next pool on the socket" : "");
    events_note(events_of(master), EVENT_DRAIN, EVENT_INFO, "%s: draining", why);
    master->next_front_ns = 0;
    for (unsigned i = 0; i < master->config->listener_count; i++)
        listener_stop_intake(&master->config->listeners[i]);
    pool_drain(&master->pool);
}

/* Returns how many sockets of the web server's port are open; -1 where that cannot be told, which is logged. */
static int count_front(struct master *master)
{
    if (master->diag < 0)
        master->diag = diag_open();
    int count = master->diag >= 0 ? diag_count_on_port(master->diag, master->config->drain_after) : -1;
    if (count < 0)
        log_warning(master->config->log,
                    "--drain-after: cannot ask who is on port %u (sock_diag): %s; a drain does not wait for them",
                    master->config->drain_after, strerror(errno));
    return count;
}

/* The drain begins when the web server has nobody left who could still ask for something; or at once. */
static void begin_leaving(struct master *master, const char *signal_name)
{
    uint64_t now_ns = clock_now_ns();
    master->drain_deadline_ns = now_ns + master->config->drain_timeout_ns;
    atomic_store(&board_of(master)->phase, PHASE_DRAINING);
    if (master->config->drain_after == 0 || count_front(master) <= 0) {
        begin_drain(master, signal_name);
        return;
    }
    log_info(master->config->log,
             "%s: /readyz says no; serving on until nobody listens on port %u and its connections have ended",
             signal_name, master->config->drain_after);
    events_note(events_of(master), EVENT_DRAIN, EVENT_INFO, "%s: serving on until the web server has left",
                signal_name);
    master->next_front_ns = now_ns + FRONT_STEP_NS;
}

/* Returns when to be called again. */
static uint64_t watch_front(struct master *master, uint64_t now_ns)
{
    if (master->next_front_ns == 0)
        return UINT64_MAX;
    if (now_ns < master->next_front_ns)
        return master->next_front_ns;
    if (count_front(master) <= 0) {
        begin_drain(master, "the web server has left");
        return UINT64_MAX;
    }
    master->next_front_ns = now_ns + FRONT_STEP_NS;
    return master->next_front_ns;
}

static void stop_now(struct master *master, const char *why)
{
    log_warning(master->config->log, "%s: stopping at once", why);
    events_note(events_of(master), EVENT_STOP, EVENT_WARNING, "%s: stopping at once", why);
    master->was_cut_short = master->drain_deadline_ns != 0;
    master->is_stopping = true;
    master->next_front_ns = 0;
    pool_kill(&master->pool);
}

/* Also while it waits for the web server to leave. */
static bool is_serving(const struct master *master)
{
    return (master->drain_deadline_ns == 0 && !master->is_stopping) || master->next_front_ns != 0;
}

static const char *describe_phase(const struct master *master)
{
    if (master->next_front_ns != 0)
        return "waiting for the web server to leave";
    return master->drain_deadline_ns != 0 ? "draining" : "serving";
}

static void log_status(struct master *master)
{
    const struct scoreboard *board = master->config->pool.board;
    uint64_t requests = 0, restarts = 0;
    for (size_t i = 0; i < atomic_load(&board->master.slots_used); i++)
        requests += counter_read(&board->slots[i].requests);
    for (size_t i = 0; i < RESTART_CAUSES; i++)
        restarts += counter_read(&board->master.restarts[i]);
    log_info(master->config->log, "status: %s, %u of %u workers up, %" PRIu64 " requests, %" PRIu64 " restarts",
             describe_phase(master), scoreboard_workers_up(board), master->pool.wanted, requests, restarts);
}

static void reopen_log(struct master *master)
{
    struct log *logs[] = {master->config->log, master->config->access_log};
    bool is_file = false, has_failed = false;
    for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++) {
        is_file |= logs[i]->path != NULL;
        if (log_reopen(logs[i]) == 0)
            continue;
        has_failed = true;
        log_error(logs[0], "cannot reopen the log %s: %s; writing on to the old one", logs[i]->path, strerror(errno));
    }
    if (!is_file)
        log_info(logs[0], "SIGUSR1: the log is no file, there is nothing to reopen; --log names one");
    else if (!has_failed)
        log_info(logs[0], "log reopened");
}

static void handle_signal(struct master *master, uint32_t number)
{
    switch (number) {
    case SIGCHLD:
        pool_reap(&master->pool);
        break;
    case SIGTERM:
    case SIGINT:
        if (master->drain_deadline_ns == 0 && !master->is_stopping)
            begin_leaving(master, number == SIGTERM ? "SIGTERM" : "SIGINT");
        else
            stop_now(master, "a second signal");
        break;
    case SIGQUIT:
        stop_now(master, "SIGQUIT");
        break;
    case SIGHUP:
        log_info(master->config->log, "SIGHUP: replacing the workers one by one");
        events_note(events_of(master), EVENT_ROLL, EVENT_INFO, "SIGHUP: replacing the workers one by one");
        pool_roll(&master->pool);
        notify_reload(master->config->notify);
        break;
    case SIGUSR1:
        reopen_log(master);
        break;
    case SIGUSR2:
        log_status(master);
        break;
    default:
        break;
    }
}

static enum notify_phase phase_of(const struct master *master, unsigned up)
{
    enum notify_phase told = master->config->notify->phase;
    if (master->drain_deadline_ns != 0 || master->is_stopping)
        return NOTIFY_STOPPING;
    if (pool_is_rolling(&master->pool) && told != NOTIFY_STARTING)
        return NOTIFY_RELOADING;
    /* Neither a start nor a roll is over before there is a worker; but one that is lost later makes the pool no less ready. */
    return up > 0 || told == NOTIFY_READY ? NOTIFY_READY : told;
}

static const char *activity_in(const struct master *master, enum notify_phase phase)
{
    if (master->is_stopping)
        return "stopping at once: ";
    if (phase == NOTIFY_STOPPING)
        return master->next_front_ns != 0 ? "waiting for the web server to leave: " : "draining: ";
    return phase == NOTIFY_RELOADING ? "replacing the workers: " : "";
}

static void describe_status(struct master *master, enum notify_phase phase, unsigned up, char *text, size_t size)
{
    int64_t limit = atomic_load(&board_of(master)->cpu_limit_millicpu);
    int length = snprintf(text, size, "%s%u of %u workers up", activity_in(master, phase), up, master->pool.wanted);
    if (limit != CGROUP_NO_LIMIT)
        snprintf(text + length, size - (size_t)length, ", CPU limit %" PRId64 "m", limit);
}

/* How long a drain may still take; or a step of a roll, which waits for a request. */
static uint64_t time_for(const struct master *master, enum notify_phase phase, uint64_t now_ns)
{
    if (phase == NOTIFY_RELOADING)
        return master->config->pool.request_timeout_ns + KILL_TIME_NS;
    return KILL_TIME_NS + (master->drain_deadline_ns > now_ns ? master->drain_deadline_ns - now_ns : 0);
}

/* Returns when there may be something to tell again. */
static uint64_t tell_manager(struct master *master, uint64_t now_ns)
{
    struct notify *notify = master->config->notify;
    char status[NOTIFY_STATUS_MAX];
    if (notify->fd < 0)
        return UINT64_MAX;
    unsigned up = scoreboard_workers_up(master->config->pool.board);
    struct notify_news news = {.phase = phase_of(master, up), .status = status};
    news.time_ns = time_for(master, news.phase, now_ns);
    describe_status(master, news.phase, up, status, sizeof(status));
    uint64_t next_ns = notify_tell(notify, &news, now_ns);
    bool is_settled = news.phase == NOTIFY_READY || news.phase == NOTIFY_STOPPING;
    return !is_settled && now_ns + READY_STEP_NS < next_ns ? now_ns + READY_STEP_NS : next_ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void wait_for_signals(struct master *master, uint64_t until_ns)
{
    struct pollfd wanted = {.fd = master->signals, .events = POLLIN};
    struct signalfd_siginfo info;
    poll(&wanted, 1, clock_ms_until(until_ns, clock_now_ns()));
    while (read(master->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        handle_signal(master, info.ssi_signo);
}

/* Each second: follows the CPU limit while it serves, and writes down how things are. */
static void keep_accounts(struct master *master, uint64_t now_ns)
{
    cgroup_read_cpu("", &master->cpu);
    if (is_serving(master))
        follow_cpu_limit(master);
    master->next_cpu_ns = sampler_tick(&master->sampler, &master->cpu, now_ns);
}

/* Keeps the accounts, and ends a drain that takes too long. Returns when there may be something to do again. */
static uint64_t keep_time(struct master *master, uint64_t now_ns)
{
    if (now_ns >= master->next_cpu_ns)
        keep_accounts(master, now_ns);
    if (master->drain_deadline_ns != 0 && now_ns >= master->drain_deadline_ns && !master->is_stopping)
        stop_now(master, "--drain-timeout has passed");
    bool has_deadline = master->drain_deadline_ns > now_ns;
    return has_deadline ? earlier(master->next_cpu_ns, master->drain_deadline_ns) : master->next_cpu_ns;
}

static uint64_t do_what_is_due(struct master *master)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t next_ns = keep_time(master, now_ns);
    next_ns = earlier(next_ns, queue_tick(&master->queue, master->diag, now_ns));
    next_ns = earlier(next_ns, watch_front(master, now_ns));
    next_ns = earlier(next_ns, pool_tick(&master->pool, now_ns));
    next_ns = earlier(next_ns, log_tell_left_out(master->config->log, now_ns));
    return earlier(next_ns, tell_manager(master, now_ns));
}

/* What is open from the start needs no descriptor when they are short. */
static void open_accounts(struct master *master)
{
    const struct master_config *config = master->config;
    struct scoreboard *board = config->pool.board;
    board->master.started_ms = clock_wall_ms();
    master->diag = diag_open();
    cgroup_read_cpu("", &master->cpu);
    queue_init(&master->queue, board, config->listeners, config->listener_count);
    sampler_init(&master->sampler, board, &master->queue, &master->cpu, clock_now_ns());
    events_note(&board->events, EVENT_POOL_STARTED, EVENT_INFO, "the pool has started, pid %d", getpid());
}

enum master_end master_run(const struct master_config *config)
{
    struct master master = {.config = config, .diag = -1};
    sigset_t set;
    wanted_signals(&set);
    master.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (master.signals < 0)
        return MASTER_FAILED;
    open_accounts(&master);
    /* Said now what will be missed then. */
    if (config->drain_after != 0)
        count_front(&master);
    pool_init(&master.pool, &config->pool);
    uint64_t next_ns = do_what_is_due(&master);
    atomic_store(&board_of(&master)->phase, PHASE_SERVING);
    while (!pool_is_empty(&master.pool)) {
        wait_for_signals(&master, next_ns);
        next_ns = do_what_is_due(&master);
    }
    close(master.signals);
    if (master.diag >= 0)
        close(master.diag);
    log_tell_left_out(config->log, UINT64_MAX);
    log_info(config->log, master.was_cut_short ? "stopped before the drain was done" : "stopped");
    return master.was_cut_short ? MASTER_CUT_SHORT : MASTER_DONE;
}
