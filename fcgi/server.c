#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "activation.h"
#include "admin.h"
#include "cgi.h"
#include "cgroup.h"
#include "clock.h"
#include "confine.h"
#include "diag.h"
#include "master.h"
#include "notify.h"
#include "options.h"
#include "probe.h"
#include "report.h"
#include "sandbox.h"
#include "title.h"
#include "top.h"
#include "worker.h"

/* 1 is an end that was not what was asked for: a drain cut short, a probe answered otherwise than by 200. */
enum exit_status { EXIT_DONE = 0, EXIT_CUT_SHORT = 1, EXIT_USAGE = 100, EXIT_SYSTEM = 111 };

struct program {
    const struct app *app;
    struct options options;
    struct log log;
    struct log access_log; /* fd -1: there is none */
    struct access_config access;
    struct activation activation;
    struct notify notify;
    struct listener listeners[LISTENERS_MAX];
    unsigned listener_count;
    struct listener admin_listener;
    struct listener http_listener;
    struct httpd_table httpd;
    struct scoreboard *board;
    struct connections connections;
    struct connections admin_connections;
    struct confinement confinement;
    struct confinement admin_confinement;
    pid_t master_pid;
    sigset_t original_mask;
};

/* Whether the user can mend it, or only the system. */
static enum exit_status status_for(int error)
{
    switch (error) {
    case EINVAL:
    case EADDRINUSE:
    case EADDRNOTAVAIL:
    case ENOTSOCK:
    case EPROTOTYPE:
    case EACCES:
    case EPERM:
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EROFS:
    case ENOSYS:
    case EOPNOTSUPP:
        return EXIT_USAGE;
    default:
        return EXIT_SYSTEM;
    }
}

/* A CGI server passes a query without "=" as arguments (RFC 3875 §4.4): whoever asks for /fibcgi?--log=/etc/x must not
 * set options. So in a CGI request nothing but the environment counts. */
static bool is_cgi_request(void)
{
    return getenv("GATEWAY_INTERFACE") != NULL && !listener_is_listening(STDIN_FILENO);
}

static enum options_mode find_mode(const struct program *program)
{
    const struct options *options = &program->options;
    if (options->mode != MODE_AUTO)
        return (enum options_mode)options->mode;
    if (is_cgi_request())
        return MODE_CGI;
    if (options->listen != NULL || program->activation.work_count > 0 || program->activation.admin >= 0 ||
        program->activation.admin_http >= 0)
        return MODE_POOL;
    return listener_is_listening(STDIN_FILENO) ? MODE_SPAWNED : MODE_AUTO;
}

static struct record_limits limits_of(const struct options *options)
{
    return (struct record_limits){
        .params_bytes = (size_t)options->max_params_bytes,
        .params_count = (size_t)options->max_params_count,
        .body_bytes = (size_t)options->max_body_bytes,
    };
}

static uint64_t ms_to_ns(long long ms)
{
    return (uint64_t)ms * CLOCK_NS_PER_MS;
}

/* Workers that started together must not all be replaced together. */
static uint64_t with_jitter(long long max_requests)
{
    uint32_t random = 0;
    if (max_requests == 0 || getrandom(&random, sizeof(random), 0) != sizeof(random))
        return (uint64_t)max_requests;
    return (uint64_t)max_requests - random % ((uint64_t)max_requests / 10 + 1);
}

/* Over FastCGI. */
static unsigned admin_listener_count(const struct program *program)
{
    return program->admin_listener.fd >= 0 ? 1 : 0;
}

static const struct httpd_table *httpd_of(const struct program *program)
{
    return program->http_listener.fd >= 0 ? &program->httpd : NULL;
}

/* NULL: a request costs nothing for the log's sake. */
static const struct access_config *access_of(const struct program *program)
{
    return program->access.log != NULL || program->access.slow_ns > 0 ? &program->access : NULL;
}

static struct exchange_config exchange_config_for(struct program *program, unsigned slot)
{
    const struct options *options = &program->options;
    bool is_admin = slot == SCOREBOARD_ADMIN;
    return (struct exchange_config){
        .app = is_admin ? &admin_app : program->app,
        .context = is_admin ? (void *)program->board : program->app->context,
        .log = &program->log,
        .access = is_admin ? NULL : access_of(program),
        .tells_timing = !is_admin && options->server_timing != 0,
        .connections = is_admin ? &program->admin_connections : &program->connections,
        .slot = &program->board->slots[slot],
        .limits = limits_of(options),
        .max_conns = atomic_load(&program->board->master.workers),
        .read_timeout_ns = ms_to_ns(options->read_timeout_ms),
        .write_timeout_ns = ms_to_ns(options->write_timeout_ms),
        .idle_timeout_ns = ms_to_ns(options->idle_timeout_ms),
    };
}

static struct worker_config worker_config_for(struct program *program, unsigned slot, const struct worker_files *files)
{
    const struct options *options = &program->options;
    bool is_admin = slot == SCOREBOARD_ADMIN;
    return (struct worker_config){
        .exchange = exchange_config_for(program, slot),
        .confinement = is_admin ? &program->admin_confinement : &program->confinement,
        .listeners = is_admin ? &program->admin_listener : program->listeners,
        .listener_count = is_admin ? admin_listener_count(program) : program->listener_count,
        .httpd = is_admin ? httpd_of(program) : NULL,
        .files = *files,
        .order = &program->board->master.orders[slot],
        .is_acceptor = slot == SCOREBOARD_ACCEPTOR,
        .queue_limit = is_admin ? 0 : (unsigned)options->queue_limit,
        .drain_timeout_ns = ms_to_ns(options->drain_timeout_ms),
        .max_requests = slot < SCOREBOARD_WORKERS_MAX ? with_jitter(options->max_requests) : 0,
    };
}

static void set_title(unsigned slot)
{
    if (slot == SCOREBOARD_ADMIN)
        title_set("fibcgi: admin");
    else if (slot == SCOREBOARD_ACCEPTOR)
        title_set("fibcgi: acceptor");
    else
        title_set("fibcgi: worker %u", slot + 1);
}

static enum confine_mode sandbox_mode(const struct program *program)
{
    return (enum confine_mode)program->options.sandbox;
}

/* What a process gives up, beside what the master has not either, before an application runs in it. */
static int give_up_workers_part(const struct program *program)
{
    const struct options *options = &program->options;
    if (options->memory_limit_bytes > 0 && sandbox_limit_memory((uint64_t)options->memory_limit_bytes) != 0)
        return -1;
    return sandbox_mode(program) != CONFINE_OFF ? sandbox_drop_capabilities() : 0;
}

/* The pool's child: becomes the worker of a slot. */
static void run_worker(void *context, unsigned slot, const struct worker_files *files)
{
    struct program *program = context;
    sigset_t mask = program->original_mask;
    if (!sandbox_die_with_parent(program->master_pid))
        _exit(WORKER_FAILED);
    set_title(slot);
    program->log.pid = program->access_log.pid = getpid();
    if (slot != SCOREBOARD_ADMIN)
        sandbox_die_before_parent();
    /* A Ctrl-C at a terminal goes to the whole process group: it is the master's to pass on. */
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGUSR1);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (give_up_workers_part(program) != 0) {
        log_error(&program->log, "a worker cannot give up its privileges: %s", strerror(errno));
        _exit(WORKER_FAILED);
    }
    struct worker_config config = worker_config_for(program, slot, files);
    config.exchange.connections->slot = slot;
    _exit((int)worker_run(&config));
}

static const char *text_or_dash(const char *text)
{
    return text != NULL ? text : "-";
}

static int find_identity(struct program *program, const char *user, const char *group, const char *option,
                         struct sandbox_identity *identity)
{
    if (sandbox_find_identity(user, group, identity) == 0)
        return 0;
    log_error(&program->log, "%s: there is no such user or group (user %s, group %s); create it or name another",
              option, text_or_dash(user), text_or_dash(group));
    errno = ENOENT;
    return -1;
}

static int find_listener_config(struct program *program, struct listener_config *config)
{
    const struct options *options = &program->options;
    *config = (struct listener_config){
        .backlog = (int)options->backlog,
        .socket_mode = (mode_t)options->socket_mode,
        .allowed_peers = options->allowed_peers,
    };
    return find_identity(program, options->socket_owner, options->socket_group, "--socket-owner, --socket-group",
                         &config->owner);
}

/* Copies the address at *list and steps over it; false at the end of the list. */
static bool next_address(const char **list, char *address, size_t size)
{
    size_t length = strcspn(*list, ",");
    if (**list == '\0')
        return false;
    snprintf(address, size, "%.*s", (int)(length < size ? length : size - 1), *list);
    *list += length + ((*list)[length] == ',');
    return true;
}

#define ADDRESS_MAX 160 /* longer than any that is right, so that a cut one is still wrong */

static int open_own_listeners(struct program *program, const struct listener_config *config)
{
    const char *list = program->options.listen;
    char address[ADDRESS_MAX];
    while (next_address(&list, address, sizeof(address))) {
        if (listener_open(&program->listeners[program->listener_count], address, config, &program->log) != 0)
            return -1;
        program->listener_count++;
    }
    return 0;
}

static int inherit_listeners(struct program *program, const struct listener_config *config)
{
    const struct activation *activation = &program->activation;
    for (unsigned i = 0; i < activation->work_count; i++) {
        if (listener_inherit(&program->listeners[i], activation->work[i], config, &program->log) != 0)
            return -1;
        program->listener_count++;
    }
    return 0;
}

/* The work sockets: those of --listen, else those that we were started with: systemd's, or fd 0. */
static int open_work_listeners(struct program *program, const struct listener_config *config)
{
    if (program->options.listen != NULL)
        return open_own_listeners(program, config);
    if (program->activation.work_count > 0)
        return inherit_listeners(program, config);
    if (!listener_is_listening(STDIN_FILENO)) {
        log_error(&program->log,
                  "there is no socket to serve: file descriptor 0 is not a listening socket%s; give "
                  "--listen, or start it from a web server or a systemd socket",
                  program->activation.admin >= 0 || program->activation.admin_http >= 0
                      ? ", and what was passed is for admin"
                      : "");
        errno = EINVAL;
        return -1;
    }
    program->listener_count = 1;
    return listener_inherit(&program->listeners[0], STDIN_FILENO, config, &program->log);
}

static int open_admin_listener(struct program *program, const struct listener_config *config)
{
    if (program->options.admin_listen != NULL)
        return listener_open(&program->admin_listener, program->options.admin_listen, config, &program->log);
    if (program->activation.admin >= 0)
        return listener_inherit(&program->admin_listener, program->activation.admin, config, &program->log);
    return 0;
}

static int open_http_listener(struct program *program, const struct listener_config *config)
{
    struct listener_config http = *config;
    http.is_for_clients = true;
    if (program->options.admin_http != NULL)
        return listener_open(&program->http_listener, program->options.admin_http, &http, &program->log);
    if (program->activation.admin_http >= 0)
        return listener_inherit(&program->http_listener, program->activation.admin_http, &http, &program->log);
    return 0;
}

/* A socket that was passed and is not served would let its clients wait for ever. */
static int check_activation(const struct program *program)
{
    const struct options *options = &program->options;
    const char *option = NULL;
    if (options->listen != NULL && program->activation.work_count > 0)
        option = "--listen";
    else if (options->admin_listen != NULL && program->activation.admin >= 0)
        option = "--admin-listen";
    else if (options->admin_http != NULL && program->activation.admin_http >= 0)
        option = "--admin-http";
    if (option == NULL)
        return 0;
    log_error(&program->log,
              "sockets were passed (LISTEN_FDS), and %s names another for the same purpose; leave that option (or its "
              "variable) out, or pass none",
              option);
    errno = EINVAL;
    return -1;
}

/* Descriptors that slow and silent peers leave to those who are served at once, beside what the workers need; and, the second,
 * to the admin worker. */
#define WORK_RESERVE 128
#define ADMIN_RESERVE 32

static int admin_reserve(const struct program *program)
{
    return ADMIN_RESERVE + (httpd_of(program) != NULL ? HTTPD_CONNECTIONS_MAX : 0);
}

static int work_reserve(const struct program *program)
{
    long long fixed = program->options.workers;
    int workers = fixed > 0 ? (int)fixed : (int)cgroup_cpus_allowed();
    return WORK_RESERVE - ADMIN_RESERVE + admin_reserve(program) + workers * WORKER_FILES;
}

static int create_shared_memory(struct program *program)
{
    /* All that the pool's peers have open counts against one limit. */
    sandbox_raise_file_limit();
    program->board = scoreboard_create();
    uint64_t kept_bytes = (uint64_t)program->options.max_kept_bytes;
    if (program->board != NULL && connections_create(&program->connections, work_reserve(program), kept_bytes) == 0 &&
        connections_create(&program->admin_connections, admin_reserve(program), kept_bytes) == 0 &&
        (httpd_of(program) == NULL || httpd_create(&program->httpd, &program->http_listener) == 0)) {
        program->board->master.version = FIBCGI_VERSION;
        program->board->master.application = program->app->name;
        program->board->master.has_acceptor = program->options.queue_limit > 0;
        program->connections.slot = CONNECTIONS_MASTER;
        program->admin_connections.slot = CONNECTIONS_MASTER;
        program->log.floods = program->access_log.floods = program->board->floods;
        return 0;
    }
    log_error(&program->log, "cannot get memory to share with the workers: %s; free some", strerror(errno));
    return -1;
}

/* With the sandbox off a core file is what one may be after. */
static int seal(const struct program *program)
{
    if (sandbox_seal() != 0)
        return -1;
    return sandbox_mode(program) != CONFINE_OFF ? sandbox_forbid_core() : 0;
}

static int give_up_privileges(struct program *program, const struct sandbox_identity *identity)
{
    if (sandbox_become(identity) == 0 && seal(program) == 0)
        return 0;
    log_error(&program->log,
              "cannot become user %s, group %s: %s; only root may: start it as root, or leave --user and "
              "--group out",
              text_or_dash(program->options.user), text_or_dash(program->options.group), strerror(errno));
    return -1;
}

static int prepare_confinement(struct program *program)
{
    struct confine_means means;
    enum confine_mode mode = sandbox_mode(program);
    confine_find_means(&means, mode);
    if (confine_check_means(&means, mode, &program->log) != 0)
        return -1;
    if (confine_prepare(&program->confinement, &means, program->app->needs) == 0 &&
        confine_prepare(&program->admin_confinement, &means, admin_app.needs) == 0)
        return 0;
    log_error(&program->log, "cannot prepare the sandbox: %s; --sandbox=off goes without", strerror(errno));
    return -1;
}

/* Sockets first, while we may still be root; then never root again. */
static int prepare_pool(struct program *program)
{
    struct listener_config config;
    struct sandbox_identity identity;
    const struct options *options = &program->options;
    if (find_listener_config(program, &config) != 0 ||
        find_identity(program, options->user, options->group, "--user, --group", &identity) != 0)
        return -1;
    if (config.owner.uid == SANDBOX_KEEP_ID)
        config.owner.uid = identity.uid;
    if (config.owner.gid == (gid_t)-1)
        config.owner.gid = identity.gid;
    /* The queue of a passed socket is whose socket it is. */
    if (options->listen != NULL)
        listener_check_queue(&config, &program->log);
    if (open_work_listeners(program, &config) != 0 || open_admin_listener(program, &config) != 0 ||
        open_http_listener(program, &config) != 0)
        return -1;
    if (create_shared_memory(program) != 0 || prepare_confinement(program) != 0)
        return -1;
    return give_up_privileges(program, &identity);
}

/* The pool does without. */
static void check_lookup(const struct program *program)
{
    int lookup = program->options.watch_clients != 0 ? diag_open() : -1;
    if (lookup >= 0)
        close(lookup);
    else if (program->options.watch_clients != 0)
        log_info(&program->log,
                 "cannot look at clients' connections (sock_diag): %s; who leaves is seen where the web server says so",
                 strerror(errno));
}

static const char *name_of(const char *address, int passed)
{
    if (address != NULL)
        return address;
    return passed >= 0 ? "the socket it was given" : "none";
}

static void announce(const struct program *program)
{
    const struct options *options = &program->options;
    char given[48] = "the socket it was given";
    if (program->listener_count > 1)
        snprintf(given, sizeof(given), "the %u sockets it was given", program->listener_count);
    log_info(&program->log, "fibcgi " FIBCGI_VERSION " serves %s on %s, admin on %s%s%s", program->app->name,
             options->listen != NULL ? options->listen : given,
             name_of(options->admin_listen, program->activation.admin),
             httpd_of(program) != NULL ? ", and over HTTP on " : "",
             httpd_of(program) != NULL ? name_of(options->admin_http, program->activation.admin_http) : "");
}

static enum exit_status run_master(struct program *program)
{
    const struct options *options = &program->options;
    struct master_config config = {
        .pool = {.board = program->board,
                 .log = &program->log,
                 .request_timeout_ns = ms_to_ns(options->request_timeout_ms),
                 .has_admin = admin_listener_count(program) > 0 || httpd_of(program) != NULL,
                 .has_acceptor = options->queue_limit > 0,
                 .watches_clients = options->watch_clients != 0,
                 .work = {program->listeners, program->listener_count, &program->connections},
                 .admin = {&program->admin_listener, admin_listener_count(program), &program->admin_connections},
                 .httpd = httpd_of(program),
                 .limits = limits_of(options),
                 .read_timeout_ns = ms_to_ns(options->read_timeout_ms),
                 .run = run_worker,
                 .run_context = program},
        .log = &program->log,
        .access_log = &program->access_log,
        .notify = &program->notify,
        .listeners = program->listeners,
        .listener_count = program->listener_count,
        .fixed_workers = (unsigned)options->workers,
        .drain_timeout_ns = ms_to_ns(options->drain_timeout_ms),
        .drain_after = (uint16_t)options->drain_after,
    };
    title_set("fibcgi: master");
    announce(program);
    check_lookup(program);
    switch (master_run(&config)) {
    case MASTER_DONE:
        return EXIT_DONE;
    case MASTER_CUT_SHORT:
        return EXIT_CUT_SHORT;
    default:
        log_error(&program->log, "the pool cannot start: %s", strerror(errno));
        return EXIT_SYSTEM;
    }
}

static enum exit_status run_pool(struct program *program)
{
    enum exit_status status;
    program->master_pid = getpid();
    /* Whoever reads the log may leave. */
    signal(SIGPIPE, SIG_IGN);
    master_block_signals(&program->original_mask);
    notify_open(&program->notify, &program->log);
    if (prepare_pool(program) != 0)
        status = status_for(errno);
    else
        status = run_master(program);
    for (unsigned i = 0; i < program->listener_count; i++)
        listener_close(&program->listeners[i]);
    listener_close(&program->admin_listener);
    listener_close(&program->http_listener);
    notify_close(&program->notify);
    return status;
}

/* One process on the socket that the web server passed; it has neither master nor admin worker. */
static enum exit_status run_spawned(struct program *program)
{
    sigset_t mask;
    struct listener_config config;
    struct sandbox_identity identity;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    struct worker_files files;
    struct record_limits limits = limits_of(&program->options);
    unsigned needs = WORKER_IS_ALONE | (program->options.watch_clients != 0 ? WORKER_LOOKS_AT_CLIENTS : 0U);
    if (create_shared_memory(program) != 0)
        return EXIT_SYSTEM;
    if (find_listener_config(program, &config) != 0 || open_work_listeners(program, &config) != 0 ||
        find_identity(program, program->options.user, program->options.group, "--user, --group", &identity) != 0 ||
        prepare_confinement(program) != 0 || give_up_privileges(program, &identity) != 0 ||
        give_up_workers_part(program) != 0)
        return status_for(errno);
    title_set("fibcgi: spawned");
    atomic_store(&program->board->master.workers, 1);
    if (worker_open_files(&files, &limits, needs) != 0) {
        log_error(&program->log, "cannot start: %s; raise the limit on open files", strerror(errno));
        return EXIT_SYSTEM;
    }
    struct worker_config worker = worker_config_for(program, 0, &files);
    worker.is_alone = true;
    worker.queue_limit = 0;
    program->connections.slot = 0;
    /* A web server that manages its processes starts the next one itself. */
    switch (worker_run(&worker)) {
    case WORKER_FAILED:
        return EXIT_SYSTEM;
    case WORKER_CUT_SHORT:
        log_warning(&program->log, "--drain-timeout has passed: leaving, what is queued is for the next process");
        return EXIT_CUT_SHORT;
    default:
        return EXIT_DONE;
    }
}

static int prepare_cgi(struct program *program)
{
    struct confine_means means;
    enum confine_mode mode = sandbox_mode(program);
    confine_find_means(&means, mode);
    if (mode == CONFINE_ON && confine_check_means(&means, mode, &program->log) != 0)
        return -1;
    /* To load the filter takes a sixth of such a process's life, so it must be asked for. */
    if (mode != CONFINE_ON)
        means.filter_error = ENOTSUP;
    if (confine_prepare(&program->confinement, &means, program->app->needs) != 0 || seal(program) != 0)
        return -1;
    return give_up_workers_part(program);
}

static enum exit_status run_cgi(struct program *program)
{
    struct record_limits limits = limits_of(&program->options);
    if (prepare_cgi(program) == 0 && cgi_run(program->app, program->app->context, &limits, &program->confinement) == 0)
        return EXIT_DONE;
    log_error(&program->log, "cannot answer as CGI: %s", strerror(errno));
    return EXIT_SYSTEM;
}

static enum exit_status run_mode(struct program *program, enum options_mode mode)
{
    switch (mode) {
    case MODE_CGI:
        return run_cgi(program);
    case MODE_SPAWNED:
        return run_spawned(program);
    case MODE_POOL:
        return run_pool(program);
    default:
        if (program->options.admin_listen != NULL || program->options.admin_http != NULL)
            log_error(&program->log, "%s alone is no pool: give --listen, where it takes requests, as well",
                      program->options.admin_listen != NULL ? "--admin-listen" : "--admin-http");
        else
            options_print_usage(stderr);
        return EXIT_USAGE;
    }
}

static unsigned count_in(const char *list, const char *address)
{
    char found[ADDRESS_MAX];
    unsigned times = 0;
    while (list != NULL && next_address(&list, found, sizeof(found)))
        times += strcmp(address, found) == 0;
    return times;
}

static bool is_twice(const struct options *options, const char *address)
{
    return count_in(options->listen, address) + count_in(options->admin_listen, address) +
               count_in(options->admin_http, address) >
           1;
}

static int check_addresses(const struct program *program, const char *option, const char *list, unsigned most)
{
    char address[ADDRESS_MAX];
    unsigned count = 0;
    const char *rest = list;
    while (rest != NULL && next_address(&rest, address, sizeof(address))) {
        const char *wrong = listener_check_address(address);
        if (++count > most) {
            log_error(&program->log, "%s: \"%s\" has more than the %u address(es) that it takes; give fewer", option,
                      list, most);
            return -1;
        }
        if (wrong != NULL) {
            log_error(&program->log, "cannot listen on \"%s\": %s", address, wrong);
            return -1;
        }
        if (is_twice(&program->options, address)) {
            log_error(&program->log, "%s: \"%s\" is given twice; give each address once", option, address);
            return -1;
        }
    }
    return 0;
}

/* What can be found wrong without touching anything: before a start, and all that -t does. */
static int check_configuration(struct program *program)
{
    const struct options *options = &program->options;
    struct sandbox_identity identity;
    struct listener peers = {0};
    struct confine_means means;
    if (check_addresses(program, "--listen", options->listen, LISTENERS_MAX) != 0 ||
        check_addresses(program, "--admin-listen", options->admin_listen, 1) != 0 ||
        check_addresses(program, "--admin-http", options->admin_http, 1) != 0 ||
        listener_set_peers(&peers, options->allowed_peers, &program->log) != 0) {
        errno = EINVAL;
        return -1;
    }
    if (find_identity(program, options->socket_owner, options->socket_group, "--socket-owner, --socket-group",
                      &identity) != 0)
        return -1;
    if (find_identity(program, options->user, options->group, "--user, --group", &identity) != 0)
        return -1;
    confine_find_means(&means, sandbox_mode(program));
    return sandbox_mode(program) == CONFINE_ON ? confine_check_means(&means, CONFINE_ON, &program->log) : 0;
}

static enum exit_status test_configuration(struct program *program)
{
    if (check_configuration(program) != 0)
        return EXIT_USAGE;
    puts("fibcgi: the configuration is fine");
    return EXIT_DONE;
}

/* Whether the answer is what was asked for; says why where it is not. */
static enum exit_status judge_answer(const struct program *program, int answered, const char *body)
{
    const struct options *options = &program->options;
    bool is_expected = options->expect == NULL || strstr(body, options->expect) != NULL;
    fputs(body, stdout);
    if (answered == 200 && !is_expected)
        log_error(&program->log, "the answer does not have \"%s\" in it", options->expect);
    return answered == 200 && is_expected ? EXIT_DONE : EXIT_CUT_SHORT;
}

static enum exit_status run_probe(struct program *program)
{
    const struct options *options = &program->options;
    unsigned timeout_ms = (unsigned)options->read_timeout_ms;
    bool is_url = strncmp(options->probe, "http://", strlen("http://")) == 0;
    const char *asked = is_url ? options->probe : options->admin_listen;
    char *body = NULL;
    if (!is_url && (options->admin_listen == NULL || options->probe[0] != '/')) {
        log_error(&program->log,
                  "--probe %s: give a path such as /readyz, and the pool's --admin-listen, or http://ADDRESS:PORT/PATH",
                  options->probe);
        return EXIT_USAGE;
    }
    int answered = is_url ? probe_get(options->probe, timeout_ms, &body)
                          : probe_ask(options->admin_listen, options->probe, timeout_ms, &body);
    if (answered < 0) {
        log_error(&program->log, "no answer from %s: %s; is %s running?", asked, strerror(errno),
                  is_url ? "it" : "the pool");
        return EXIT_CUT_SHORT;
    }
    enum exit_status status = judge_answer(program, answered, body);
    free(body);
    return status;
}

/* Opens one of the logs; says on the terminal why that fails. */
static int open_log(const struct program *program, struct log *log, const char *target, const struct log *terminal)
{
    struct log opened;
    if (log_open(&opened, target) != 0) {
        int error = errno;
        log_error(terminal, "cannot open the log %s: %s; %s", target, strerror(error),
                  strcmp(target, "syslog") == 0 ? "is a syslog daemon running, with its socket at /dev/log?"
                                                : "create its folder, or name a file that may be written");
        errno = error;
        return -1;
    }
    /* What a CGI program says goes to its web server's log. */
    enum log_format format = (enum log_format)program->options.log_format;
    log_set_format(&opened, format == LOG_FORMAT_AUTO && is_cgi_request() ? LOG_FORMAT_TEXT : format);
    *log = opened;
    return 0;
}

static int open_logs(struct program *program, const struct log *terminal)
{
    const struct options *options = &program->options;
    if (open_log(program, &program->log, options->log, terminal) != 0)
        return -1;
    if (options->access_log != NULL && open_log(program, &program->access_log, options->access_log, terminal) != 0)
        return -1;
    program->access = (struct access_config){
        .log = options->access_log != NULL ? &program->access_log : NULL,
        .sample = (uint32_t)options->access_log_sample,
        .slow_log = options->access_log != NULL ? &program->access_log : &program->log,
        .slow_ns = ms_to_ns(options->slow_time_ms),
    };
    return 0;
}

#define ADMIN_LISTEN_OTHERWISE "unix:/run/fibcgi/admin.sock"

/* The pools that a command is about. Returns how many. */
static unsigned find_pools(const struct options *options, const char *pools[static OPTIONS_POOLS_MAX])
{
    for (unsigned i = 0; i < options->pool_count; i++)
        pools[i] = options->pools[i];
    if (options->pool_count > 0)
        return options->pool_count;
    pools[0] = options->admin_listen != NULL ? options->admin_listen : ADMIN_LISTEN_OTHERWISE;
    return 1;
}

static int check_pools(const struct program *program, const char *const *pools, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool is_url = strncmp(pools[i], "http://", strlen("http://")) == 0;
        const char *wrong = is_url ? NULL : listener_check_address(pools[i]);
        if (wrong == NULL && strlen(pools[i]) < REPORT_ADDRESS_MAX)
            continue;
        log_error(&program->log, "\"%s\" is no pool's address: %s; or give http://ADDRESS:PORT", pools[i],
                  wrong != NULL ? wrong : "it is too long");
        return -1;
    }
    return 0;
}

static enum report_health print_status(const struct program *program, const char *pool)
{
    struct report report;
    char *answer = NULL;
    if (report_ask(&report, pool, (unsigned)program->options.read_timeout_ms, &answer) != 0) {
        report_print_none(pool, errno, program->options.json, stdout);
        return REPORT_OUT;
    }
    if (program->options.json)
        fputs(answer, stdout);
    else
        report_print(&report, pool, stdout);
    free(answer);
    return report_health(&report);
}

static enum exit_status run_status(const struct program *program)
{
    const char *pools[OPTIONS_POOLS_MAX];
    unsigned count = find_pools(&program->options, pools);
    enum report_health worst = REPORT_FINE;
    if (check_pools(program, pools, count) != 0)
        return EXIT_USAGE;
    for (unsigned i = 0; i < count; i++) {
        enum report_health health = print_status(program, pools[i]);
        worst = health > worst ? health : worst;
    }
    return (enum exit_status)worst;
}

static enum exit_status run_top(const struct program *program)
{
    const char *pools[OPTIONS_POOLS_MAX];
    unsigned count = find_pools(&program->options, pools);
    int signal_number = 0;
    if (check_pools(program, pools, count) != 0)
        return EXIT_USAGE;
    if (top_run(pools, count, (unsigned)program->options.read_timeout_ms, &signal_number) != 0) {
        log_error(&program->log, "fibcgi top needs a terminal: %s; fibcgi status says the same once", strerror(errno));
        return EXIT_USAGE;
    }
    return signal_number != 0 ? (enum exit_status)(128 + signal_number) : EXIT_DONE;
}

static enum exit_status run(struct program *program)
{
    const struct log terminal = program->log;
    enum exit_status status;
    switch (program->options.action) {
    case ACTION_HELP:
        options_print_help(program->app, stdout);
        return EXIT_DONE;
    case ACTION_VERSION:
        puts("fibcgi " FIBCGI_VERSION);
        return EXIT_DONE;
    case ACTION_TEST:
        return test_configuration(program);
    case ACTION_STATUS:
        return run_status(program);
    case ACTION_TOP:
        return run_top(program);
    case ACTION_RUN:
        break;
    }
    if (program->options.probe != NULL)
        return run_probe(program);
    if (open_logs(program, &terminal) != 0)
        return status_for(errno);
    int passed = activation_read(&program->activation, &program->log);
    enum options_mode mode = find_mode(program);
    if (passed != 0 || (mode != MODE_CGI && (check_configuration(program) != 0 || check_activation(program) != 0)))
        status = status_for(errno);
    else
        status = run_mode(program, mode);
    if (status >= EXIT_USAGE && program->options.log != NULL)
        log_error(&terminal, "did not run; the reason is in the log %s", program->options.log);
    return status;
}

/* A closed standard descriptor would be taken by the next socket, and something would write into it. */
static void open_standard_descriptors(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

int server_main(int argc, char **argv, const struct app *app)
{
    static struct program program;
    char error[OPTIONS_ERROR_MAX];
    program.app = app;
    program.admin_listener.fd = program.http_listener.fd = program.access_log.fd = -1;
    open_standard_descriptors();
    log_open(&program.log, NULL);
    program.log.bare = true;
    char **arguments = title_init(argc, argv);
    if (arguments == NULL)
        return EXIT_SYSTEM;
    if (options_parse(&program.options, app, is_cgi_request() ? 0 : argc, arguments, error) != 0) {
        log_error(&program.log, "%s", error);
        return EXIT_USAGE;
    }
    return (int)run(&program);
}
