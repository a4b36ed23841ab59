#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "connections.h"
#include "scoreboard.h"

enum kind {
    KIND_TEXT,
    KIND_COUNT,
    KIND_WORKERS,
    KIND_DURATION,
    KIND_BYTES,
    KIND_OCTAL,
    KIND_MODE,
    KIND_SANDBOX,
    KIND_LOG_FORMAT,
    KIND_SWITCH
};

struct spec {
    const char *name;
    const char *variable;
    enum kind kind;
    size_t offset;       /* of own_specs into struct options: const char * for KIND_TEXT, else long long */
    const char *initial; /* the default as a user would write it; NULL: none */
    long long min, max;  /* bounds, in the unit that is stored */
    const char *help;
};

#define FIELD(name) offsetof(struct options, name)
#define DAY_MS (24LL * 3600 * 1000)
#define MIB (1024LL * 1024)

static const struct spec own_specs[] = {
    {"mode", "FIBCGI_MODE", KIND_MODE, FIELD(mode), "auto", 0, 0,
     "auto, cgi, spawned (a web server gave us its socket as fd 0) or pool"},
    {"listen", "FIBCGI_LISTEN", KIND_TEXT, FIELD(listen), NULL, 0, 0,
     "where the pool takes requests: unix:/run/fibcgi/fib.sock or tcp:127.0.0.1:9000; up to 8, commas between"},
    {"admin-listen", "FIBCGI_ADMIN_LISTEN", KIND_TEXT, FIELD(admin_listen), NULL, 0, 0,
     "where it answers /healthz, /readyz, /metrics and /status; same form"},
    {"admin-http", "FIBCGI_ADMIN_HTTP", KIND_TEXT, FIELD(admin_http), NULL, 0, 0,
     "where it answers the same over HTTP, without a web server: tcp:0.0.0.0:9180, say"},
    {"socket-mode", "FIBCGI_SOCKET_MODE", KIND_OCTAL, FIELD(socket_mode), "0660", 0, 0777,
     "mode of the Unix sockets, octal"},
    {"socket-owner", "FIBCGI_SOCKET_OWNER", KIND_TEXT, FIELD(socket_owner), NULL, 0, 0,
     "user who owns the Unix sockets: the web server's, say"},
    {"socket-group", "FIBCGI_SOCKET_GROUP", KIND_TEXT, FIELD(socket_group), NULL, 0, 0, "group of the Unix sockets"},
    {"backlog", "FIBCGI_BACKLOG", KIND_COUNT, FIELD(backlog), "4096", 1, 65535,
     "connections that may wait for a worker; the kernel allows net.core.somaxconn"},
    {"allowed-peers", "FCGI_WEB_SERVER_ADDRS", KIND_TEXT, FIELD(allowed_peers), NULL, 0, 0,
     "TCP: addresses of the web servers, commas between; all others are turned away"},
    {"workers", "FIBCGI_WORKERS", KIND_WORKERS, FIELD(workers), "auto", 1, SCOREBOARD_WORKERS_MAX,
     "number of workers; auto: the CPU limit, rounded up"},
    {"max-requests", "FIBCGI_MAX_REQUESTS", KIND_COUNT, FIELD(max_requests), "0", 0, INT_MAX,
     "a worker is replaced after this many requests, up to a tenth earlier; 0: never"},
    {"request-timeout", "FIBCGI_REQUEST_TIMEOUT", KIND_DURATION, FIELD(request_timeout_ms), "30s", 10, DAY_MS,
     "the application's time for a request; then its worker is killed"},
    {"read-timeout", "FIBCGI_READ_TIMEOUT", KIND_DURATION, FIELD(read_timeout_ms), "5s", 10, DAY_MS,
     "the web server's time to send a whole request"},
    {"write-timeout", "FIBCGI_WRITE_TIMEOUT", KIND_DURATION, FIELD(write_timeout_ms), "5s", 10, DAY_MS,
     "the web server's time to take 64 KB of an answer, then the next"},
    {"idle-timeout", "FIBCGI_IDLE_TIMEOUT", KIND_DURATION, FIELD(idle_timeout_ms), "5m", 10, DAY_MS,
     "how long a connection is kept for a next request, where the web server wants that (FCGI_KEEP_CONN)"},
    {"drain-timeout", "FIBCGI_DRAIN_TIMEOUT", KIND_DURATION, FIELD(drain_timeout_ms), "30s", 10, DAY_MS,
     "time for what is queued and running once SIGTERM has come"},
    {"drain-after", "FIBCGI_DRAIN_AFTER", KIND_COUNT, FIELD(drain_after), "0", 0, 65535,
     "TCP port of the web server, on this machine: after SIGTERM serve on until it has left that; 0: drain at once"},
    {"max-params-size", "FIBCGI_MAX_PARAMS_SIZE", KIND_BYTES, FIELD(max_params_bytes), "64K", 1024, 16 * MIB,
     "size of a request's header as FastCGI PARAMS; beyond: 431"},
    {"max-params-count", "FIBCGI_MAX_PARAMS_COUNT", KIND_COUNT, FIELD(max_params_count), "512", 16, 65535,
     "number of a request's FastCGI PARAMS; beyond: 431"},
    {"max-body-size", "FIBCGI_MAX_BODY_SIZE", KIND_BYTES, FIELD(max_body_bytes), "1M", 0, 1024 * MIB,
     "size of a request's body; beyond: 413"},
    {"max-kept-size", "FIBCGI_MAX_KEPT_SIZE", KIND_BYTES, FIELD(max_kept_bytes), "64M", 1024, 1024LL * 1024 * MIB,
     "incomplete requests and unread answers of slow peers, all together; beyond: the connection is closed"},
    {"queue-limit", "FIBCGI_QUEUE_LIMIT", KIND_COUNT, FIELD(queue_limit), "0", 0, CONNECTIONS_MAX,
     "requests that may wait for a worker; beyond: 503 with Retry-After at once; 0: as many as --backlog holds"},
    {"watch-clients", "FIBCGI_WATCH_CLIENTS", KIND_SWITCH, FIELD(watch_clients), "on", 0, 0,
     "on: nothing is computed for who has left, also where only the kernel knows; off: the web server has to say so"},
    {"user", "FIBCGI_USER", KIND_TEXT, FIELD(user), NULL, 0, 0, "user to become when started as root, name or number"},
    {"group", "FIBCGI_GROUP", KIND_TEXT, FIELD(group), NULL, 0, 0, "group to become; default: that user's login group"},
    {"sandbox", "FIBCGI_SANDBOX", KIND_SANDBOX, FIELD(sandbox), "auto", 0, 0,
     "on: no start where the workers cannot be locked in; auto: as far as it goes; off: not at all, for debugging"},
    {"memory-limit", "FIBCGI_MEMORY_LIMIT", KIND_BYTES, FIELD(memory_limit_bytes), NULL, 4 * MIB, 65536 * MIB,
     "memory that a worker may allocate for itself; beyond, its request gets 500"},
    {"log", "FIBCGI_LOG", KIND_TEXT, FIELD(log), NULL, 0, 0,
     "where the log goes: a file to append to, reopened on SIGUSR1; stderr, also the default; stdout; or syslog"},
    {"log-format", "FIBCGI_LOG_FORMAT", KIND_LOG_FORMAT, FIELD(log_format), "auto", 0, 0,
     "auto, text or json; auto: json into a pipe, which a program reads, text for people"},
    /* FIBCGI_ACCESS_LOG is lighttpd's own, in conf/lighttpd/fibcgi.conf, and may be in the same environment. */
    {"access-log", "FIBCGI_POOL_ACCESS_LOG", KIND_TEXT, FIELD(access_log), NULL, 0, 0,
     "where a line for each request goes, as --log; default: nowhere"},
    {"access-log-sample", "FIBCGI_ACCESS_LOG_SAMPLE", KIND_COUNT, FIELD(access_log_sample), "1", 1, 1000000,
     "of so many requests one has a line in --access-log, slow ones beside"},
    {"slow-time", "FIBCGI_SLOW_TIME", KIND_DURATION, FIELD(slow_time_ms), NULL, 1, DAY_MS,
     "a request that takes so long has a line, a warning, in --access-log, or in --log where there is none"},
    {"server-timing", "FIBCGI_SERVER_TIMING", KIND_SWITCH, FIELD(server_timing), "off", 0, 0,
     "on: answers have a Server-Timing header with what they took"},
    {"probe", "FIBCGI_PROBE", KIND_TEXT, FIELD(probe), NULL, 0, 0,
     "ask the pool at --admin-listen for this path, such as /readyz, or http://127.0.0.1:8080/path, and leave: 0 where "
     "the "
     "answer is 200, else 1"},
    {"expect", "FIBCGI_EXPECT", KIND_TEXT, FIELD(expect), NULL, 0, 0,
     "a text that the answer to --probe has to have in it; else 1"},
};

#define OWN_SPECS (sizeof(own_specs) / sizeof(own_specs[0]))
#define SPECS_MAX (OWN_SPECS + APP_OPTIONS_MAX)
/* Behind those of the table; no letter, so that it is none in a cluster. */
#define JSON_FLAG (256 + (int)SPECS_MAX)

/* The program's options, then the application's. */
struct table {
    struct options *options;
    const struct app *app;
    struct spec specs[SPECS_MAX];
    size_t count;
    char initial[APP_OPTIONS_MAX][24];
};

/* Returns 0; or -1 where the application has more options than fit. */
static int fill_table(struct table *table, struct options *options, const struct app *app)
{
    const struct app_option *option = app->options;
    table->options = options;
    table->app = app;
    table->count = OWN_SPECS;
    memcpy(table->specs, own_specs, sizeof(own_specs));
    for (size_t i = 0; option != NULL && option[i].name != NULL; i++) {
        if (i == APP_OPTIONS_MAX)
            return -1;
        snprintf(table->initial[i], sizeof(table->initial[i]), "%lld", option[i].initial);
        table->specs[table->count++] = (struct spec){
            .name = option[i].name,
            .variable = option[i].variable,
            .kind = KIND_COUNT,
            .initial = table->initial[i],
            .min = option[i].min,
            .max = option[i].max,
            .help = option[i].help,
        };
    }
    return 0;
}

static void *field_of(const struct table *table, const struct spec *spec)
{
    size_t i = (size_t)(spec - table->specs);
    return i < OWN_SPECS ? (char *)table->options + spec->offset : (void *)table->app->options[i - OWN_SPECS].value;
}

/* In the order of enum options_mode, of enum confine_mode, of enum log_format, and of false and true. */
static const char *const mode_names[] = {"auto", "cgi", "spawned", "pool", NULL};
static const char *const sandbox_names[] = {"auto", "on", "off", NULL};
static const char *const log_format_names[] = {"auto", "text", "json", NULL};
static const char *const switch_names[] = {"off", "on", NULL};

/* A number and what follows it; false where there is no number, or one that does not fit. */
static bool parse_number(const char *text, int base, long long *value, const char **rest)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoll(text, &end, base);
    *rest = end;
    return errno == 0;
}

/* Multiplies by the factor of the suffix found in the table; false for an unknown suffix or an overflow. */
static bool apply_suffix(const char *suffix, const char *const names[], const long long factors[], long long *value)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(suffix, names[i]) == 0)
            return !__builtin_mul_overflow(*value, factors[i], value);
    }
    return false;
}

static bool parse_duration(const char *text, long long *ms)
{
    static const char *const names[] = {"", "ms", "s", "m", "h", NULL};
    static const long long factors[] = {1000, 1, 1000, 60000, 3600000};
    const char *suffix;
    return parse_number(text, 10, ms, &suffix) && apply_suffix(suffix, names, factors, ms);
}

static bool parse_bytes(const char *text, long long *bytes)
{
    static const char *const names[] = {"", "K", "M", "G", NULL};
    static const long long factors[] = {1, 1024, MIB, 1024 * MIB};
    const char *suffix;
    return parse_number(text, 10, bytes, &suffix) && apply_suffix(suffix, names, factors, bytes);
}

static bool parse_name(const char *const names[], const char *text, long long *value)
{
    for (long long i = 0; names[i] != NULL; i++) {
        if (strcmp(text, names[i]) == 0) {
            *value = i;
            return true;
        }
    }
    return false;
}

static bool parse_value(const struct spec *spec, const char *text, long long *value)
{
    const char *rest;
    switch (spec->kind) {
    case KIND_MODE:
        return parse_name(mode_names, text, value);
    case KIND_SANDBOX:
        return parse_name(sandbox_names, text, value);
    case KIND_LOG_FORMAT:
        return parse_name(log_format_names, text, value);
    case KIND_SWITCH:
        return parse_name(switch_names, text, value);
    case KIND_DURATION:
        return parse_duration(text, value) && *value >= spec->min && *value <= spec->max;
    case KIND_BYTES:
        return parse_bytes(text, value) && *value >= spec->min && *value <= spec->max;
    case KIND_WORKERS:
        if (strcmp(text, "auto") == 0) {
            *value = 0;
            return true;
        }
        break;
    default:
        break;
    }
    return parse_number(text, spec->kind == KIND_OCTAL ? 8 : 10, value, &rest) && *rest == '\0' &&
           *value >= spec->min && *value <= spec->max;
}

static void write_duration(char *text, size_t size, long long ms)
{
    if (ms % 3600000 == 0)
        snprintf(text, size, "%lldh", ms / 3600000);
    else if (ms % 1000 == 0)
        snprintf(text, size, "%llds", ms / 1000);
    else
        snprintf(text, size, "%lldms", ms);
}

static void write_bytes(char *text, size_t size, long long bytes)
{
    if (bytes >= MIB && bytes % MIB == 0)
        snprintf(text, size, "%lldM", bytes / MIB);
    else if (bytes >= 1024 && bytes % 1024 == 0)
        snprintf(text, size, "%lldK", bytes / 1024);
    else
        snprintf(text, size, "%lld", bytes);
}

/* What may be written for an option: "a whole number from 1 to 512, or auto". */
static void describe_values(const struct spec *spec, char *text, size_t size)
{
    char low[32], high[32];
    switch (spec->kind) {
    case KIND_TEXT:
        snprintf(text, size, "a text");
        break;
    case KIND_MODE:
        snprintf(text, size, "auto, cgi, spawned or pool");
        break;
    case KIND_SANDBOX:
        snprintf(text, size, "auto, on or off");
        break;
    case KIND_LOG_FORMAT:
        snprintf(text, size, "auto, text or json");
        break;
    case KIND_SWITCH:
        snprintf(text, size, "on or off");
        break;
    case KIND_DURATION:
        write_duration(low, sizeof(low), spec->min);
        write_duration(high, sizeof(high), spec->max);
        snprintf(text, size, "a time from %s to %s, such as 500ms, 30s or 2m", low, high);
        break;
    case KIND_BYTES:
        write_bytes(low, sizeof(low), spec->min);
        write_bytes(high, sizeof(high), spec->max);
        snprintf(text, size, "a size from %s to %s, such as 64K or 1M", low, high);
        break;
    case KIND_OCTAL:
        snprintf(text, size, "an octal mode from %llo to 0%llo", spec->min, spec->max);
        break;
    case KIND_COUNT:
    case KIND_WORKERS:
        snprintf(text, size, "a whole number from %lld to %lld%s", spec->min, spec->max,
                 spec->kind == KIND_WORKERS ? ", or auto" : "");
        break;
    }
}

static int set_value(const struct table *table, const struct spec *spec, const char *text, const char *source,
                     char *error)
{
    char values[128];
    long long value;
    if (spec->kind == KIND_TEXT && text[0] != '\0') {
        memcpy(field_of(table, spec), &text, sizeof(text));
        return 0;
    }
    if (spec->kind != KIND_TEXT && parse_value(spec, text, &value)) {
        memcpy(field_of(table, spec), &value, sizeof(value));
        return 0;
    }
    describe_values(spec, values, sizeof(values));
    if (spec->kind == KIND_TEXT)
        snprintf(error, OPTIONS_ERROR_MAX, "%s: the value is empty; give one, or leave the option out", source);
    else
        snprintf(error, OPTIONS_ERROR_MAX, "%s: \"%.64s\" is not %s", source, text, values);
    return -1;
}

static int read_environment(const struct table *table, char *error)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct spec *spec = &table->specs[i];
        const char *text = getenv(spec->variable);
        /* An empty variable is how a shell or a pod says "not set". */
        if (text == NULL || text[0] == '\0')
            text = spec->initial;
        else if (set_value(table, spec, text, spec->variable, error) != 0)
            return -1;
        else
            continue;
        if (text != NULL && set_value(table, spec, text, spec->name, error) != 0)
            return -1;
    }
    return 0;
}

/* getopt's table: the options with their index + 256, then those that ask for something. */
static void fill_getopt_table(struct option flags[static SPECS_MAX + 5], const struct table *table)
{
    size_t count = table->count;
    for (size_t i = 0; i < count; i++)
        flags[i] = (struct option){table->specs[i].name, required_argument, NULL, 256 + (int)i};
    flags[count] = (struct option){"help", no_argument, NULL, 'h'};
    flags[count + 1] = (struct option){"version", no_argument, NULL, 'V'};
    flags[count + 2] = (struct option){"test", no_argument, NULL, 't'};
    flags[count + 3] = (struct option){"json", no_argument, NULL, JSON_FLAG};
    flags[count + 4] = (struct option){0};
}

/* getopt leaves a letter in optopt, also one in the middle of a cluster; the number of a long option that was given a
 * value it does not take; and 0 for a long option that it does not know. */
static void refuse_flag(const char *argument, char *error)
{
    if (optopt != 0 && optopt < 256 && strchr("hVt", optopt) == NULL)
        snprintf(error, OPTIONS_ERROR_MAX, "-%c is not an option of fibcgi; see fibcgi --help", optopt);
    else if (optopt != 0)
        snprintf(error, OPTIONS_ERROR_MAX, "%.64s: this option takes no value; see fibcgi --help", argument);
    else
        snprintf(error, OPTIONS_ERROR_MAX, "%.64s is not an option of fibcgi; see fibcgi --help", argument);
}

static int take_flag(const struct table *table, int flag, char **argv, char *error)
{
    char source[64];
    switch (flag) {
    case 'h':
        table->options->action = ACTION_HELP;
        return 0;
    case 'V':
        table->options->action = ACTION_VERSION;
        return 0;
    case 't':
        table->options->action = ACTION_TEST;
        return 0;
    case JSON_FLAG:
        table->options->json = true;
        return 0;
    case ':':
        snprintf(error, OPTIONS_ERROR_MAX, "%.64s needs a value; see fibcgi --help", argv[optind - 1]);
        return -1;
    case '?':
        refuse_flag(argv[optind - 1], error);
        return -1;
    default:
        snprintf(source, sizeof(source), "--%s", table->specs[flag - 256].name);
        return set_value(table, &table->specs[flag - 256], optarg, source, error);
    }
}

/* A word in the first place that asks for something else than to serve. */
static enum options_action find_command(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "status") == 0)
        return ACTION_STATUS;
    return argc > 1 && strcmp(argv[1], "top") == 0 ? ACTION_TOP : ACTION_RUN;
}

static bool is_command(enum options_action action)
{
    return action == ACTION_STATUS || action == ACTION_TOP;
}

/* What is left behind the flags: the addresses of a command. */
static int take_operands(struct options *options, enum options_action command, int count, char **operands, char *error)
{
    if (options->json && command != ACTION_STATUS)
        snprintf(error, OPTIONS_ERROR_MAX, "--json is for fibcgi status only; see fibcgi --help");
    else if (count > 0 && !is_command(command))
        snprintf(error, OPTIONS_ERROR_MAX, "\"%.64s\" is left over: fibcgi takes options only; see fibcgi --help",
                 operands[0]);
    else if (count > OPTIONS_POOLS_MAX)
        snprintf(error, OPTIONS_ERROR_MAX, "%d addresses are more than the %d that fit; give fewer", count,
                 OPTIONS_POOLS_MAX);
    else {
        options->pools = operands;
        options->pool_count = (unsigned)count;
        return 0;
    }
    return -1;
}

static int parse_arguments(const struct table *table, int argc, char **argv, char *error)
{
    struct option flags[SPECS_MAX + 5];
    int flag;
    enum options_action command = find_command(argc, argv);
    if (is_command(command)) {
        table->options->action = command;
        argc--;
        argv++;
    }
    fill_getopt_table(flags, table);
    optind = 0;
    while ((flag = getopt_long(argc, argv, ":hVt", flags, NULL)) != -1) {
        if (take_flag(table, flag, argv, error) != 0)
            return -1;
    }
    return take_operands(table->options, command, argc - optind, argv + optind, error);
}

int options_parse(struct options *options, const struct app *app, int argc, char **argv,
                  char error[static OPTIONS_ERROR_MAX])
{
    struct table table;
    *options = (struct options){.action = ACTION_RUN};
    if (fill_table(&table, options, app) != 0) {
        snprintf(error, OPTIONS_ERROR_MAX, "the application %s has more than %d options; leave some out", app->name,
                 APP_OPTIONS_MAX);
        return -1;
    }
    if (read_environment(&table, error) != 0)
        return -1;
    return argc > 0 ? parse_arguments(&table, argc, argv, error) : 0;
}

void options_print_usage(FILE *out)
{
    fputs(
        "fibcgi serves an application to a web server: as CGI, as FastCGI, or as a supervised pool of workers.\n"
        "It was started with none of these, so there is nothing to serve. Run it as one of:\n"
        "\n"
        "  fibcgi --listen unix:/run/fibcgi/fib.sock   a pool of its own, for lighttpd, nginx or Apache to connect to\n"
        "  bin-path = \"/usr/bin/fibcgi\"                from lighttpd's fastcgi.server, which gives it the socket\n"
        "  a copy or link in cgi-bin                   as CGI\n"
        "\n"
        "fibcgi --help lists the options.\n",
        out);
}

static void print_option(const struct spec *spec, FILE *out)
{
    char values[128];
    describe_values(spec, values, sizeof(values));
    fprintf(out, "  --%s VALUE\n      %s\n      ", spec->name, spec->help);
    if (spec->kind != KIND_TEXT && spec->kind != KIND_MODE && spec->kind != KIND_SANDBOX &&
        spec->kind != KIND_LOG_FORMAT)
        fprintf(out, "%s; ", values);
    fprintf(out, "default %s; variable %s\n", spec->initial != NULL ? spec->initial : "none", spec->variable);
}

void options_print_help(const struct app *app, FILE *out)
{
    struct table table;
    fill_table(&table, NULL, app);
    fprintf(
        out,
        "Usage: fibcgi [OPTION]…\n"
        "       fibcgi status [--json] [ADDRESS]…\n"
        "       fibcgi top [ADDRESS]…\n"
        "Serves the application %s as CGI, FastCGI or a supervised pool of FastCGI workers; or says how such pools\n"
        "are, once or in a view that stays. ADDRESS: an --admin-listen of theirs, or http://ADDRESS:PORT of an\n"
        "--admin-http; without one, this --admin-listen, or unix:/run/fibcgi/admin.sock.\n\n",
        app->name);
    for (size_t i = 0; i < table.count; i++) {
        if (i == OWN_SPECS)
            fprintf(out, "\nOptions of the application %s:\n", app->name);
        print_option(&table.specs[i], out);
    }
    fputs("\n  -t, --test\n      check the options and leave\n"
          "  -V, --version\n  -h, --help\n"
          "  --json\n      with status: all that the pool says of itself, a JSON document in a line for each\n\n"
          "Exit status: 0 done, 1 a drain cut short or a probe not answered by 200, 100 wrong usage or configuration,\n"
          "111 a system error that may pass.\n"
          "Of status, that of the worst pool: 0 serving, 1 starting, saturated or draining, 2 no worker or no answer.\n"
          "Signals to the pool: TERM or INT drains, twice stops at once; QUIT stops at once; HUP replaces the\n"
          "workers one by one; USR1 reopens the log; USR2 logs the status.\n",
          out);
}
