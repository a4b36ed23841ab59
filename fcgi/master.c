#include "master.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cgroup.h"
#include "clock.h"
#include "metrics.h"

#define LIMIT_INTERVAL_NS CLOCK_NS_PER_S

struct master {
    const struct master_config *config;
    struct pool pool;
    int signals;
    uint64_t next_limit_ns;
    uint64_t drain_deadline_ns; /* 0: not draining */
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

static void follow_cpu_limit(struct master *master)
{
    struct scoreboard_master *board = board_of(master);
    int64_t limit = cgroup_cpu_limit_millicpu("");
    unsigned workers = master->config->fixed_workers;
    atomic_store(&board->cpu_limit_millicpu, limit);
    if (workers == 0)
        workers = cgroup_workers_for(limit, cgroup_cpus_allowed());
    if (workers > SCOREBOARD_WORKERS_MAX)
        workers = SCOREBOARD_WORKERS_MAX;
    if (workers == master->pool.wanted)
        return;
    if (master->config->fixed_workers != 0)
        log_info(master->config->log, "%u workers, as --workers says", workers);
    else if (limit == CGROUP_NO_LIMIT)
        log_info(master->config->log, "%u workers: no CPU limit, %u CPUs to run on", workers, cgroup_cpus_allowed());
    else
        log_info(master->config->log, "%u workers: the CPU limit is %" PRId64 "m", workers, limit);
    pool_resize(&master->pool, workers);
}

static void begin_drain(struct master *master, const char *signal_name)
{
    log_info(master->config->log, "%s: draining, what is queued and running is answered", signal_name);
    master->drain_deadline_ns = clock_now_ns() + master->config->drain_timeout_ns;
    atomic_store(&board_of(master)->phase, PHASE_DRAINING);
    for (unsigned i = 0; i < master->config->listener_count; i++)
        listener_stop_intake(&master->config->listeners[i]);
    pool_drain(&master->pool);
}

static void stop_now(struct master *master, const char *why)
{
    log_warning(master->config->log, "%s: stopping at once", why);
    master->was_cut_short = master->drain_deadline_ns != 0;
    master->is_stopping = true;
    pool_kill(&master->pool);
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
             master->drain_deadline_ns != 0 ? "draining" : "serving", metrics_workers_up(board), master->pool.wanted,
             requests, restarts);
}

static void reopen_log(struct master *master)
{
    struct log *log = master->config->log;
    if (log->path == NULL)
        log_info(log, "SIGUSR1: the log is stderr, there is nothing to reopen; --log names a file");
    else if (log_reopen(log) != 0)
        log_error(log, "cannot reopen the log %s: %s; writing on to the old one", log->path, strerror(errno));
    else
        log_info(log, "log reopened");
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
            begin_drain(master, number == SIGTERM ? "SIGTERM" : "SIGINT");
        else
            stop_now(master, "a second signal");
        break;
    case SIGQUIT:
        stop_now(master, "SIGQUIT");
        break;
    case SIGHUP:
        log_info(master->config->log, "SIGHUP: replacing the workers one by one");
        pool_roll(&master->pool);
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

static void wait_for_signals(struct master *master, uint64_t until_ns)
{
    struct pollfd wanted = {.fd = master->signals, .events = POLLIN};
    struct signalfd_siginfo info;
    poll(&wanted, 1, clock_ms_until(until_ns, clock_now_ns()));
    while (read(master->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        handle_signal(master, info.ssi_signo);
}

static uint64_t do_what_is_due(struct master *master)
{
    uint64_t now_ns = clock_now_ns();
    if (master->drain_deadline_ns == 0 && now_ns >= master->next_limit_ns) {
        follow_cpu_limit(master);
        master->next_limit_ns = now_ns + LIMIT_INTERVAL_NS;
    }
    if (master->drain_deadline_ns != 0 && now_ns >= master->drain_deadline_ns && !master->is_stopping)
        stop_now(master, "--drain-timeout has passed");
    uint64_t next_ns = pool_tick(&master->pool, now_ns);
    uint64_t timer_ns = master->drain_deadline_ns != 0 ? master->drain_deadline_ns : master->next_limit_ns;
    return timer_ns < next_ns && timer_ns > now_ns ? timer_ns : next_ns;
}

enum master_end master_run(const struct master_config *config)
{
    struct master master = {.config = config};
    sigset_t set;
    wanted_signals(&set);
    master.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (master.signals < 0)
        return MASTER_FAILED;
    pool_init(&master.pool, &config->pool);
    board_of(&master)->started_at = clock_wall_seconds();
    uint64_t next_ns = do_what_is_due(&master);
    atomic_store(&board_of(&master)->phase, PHASE_SERVING);
    while (!pool_is_empty(&master.pool)) {
        wait_for_signals(&master, next_ns);
        next_ns = do_what_is_due(&master);
    }
    close(master.signals);
    log_info(config->log, master.was_cut_short ? "stopped before the drain was done" : "stopped");
    return master.was_cut_short ? MASTER_CUT_SHORT : MASTER_DONE;
}
