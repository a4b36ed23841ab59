/* options: defaults, environment, flags over it, bounds, and what an error says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "confine.h"
#include "options.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define FIELD(name) offsetof(struct options, name)

/* An application with options of its own. */
static long long app_limit, app_level;
static const struct app_option app_options[] = {
    {"app-limit", "FIBCGI_APP_LIMIT", "how much the application takes", 30, 0, 93, &app_limit},
    {"app-level", "FIBCGI_APP_LEVEL", "how far it goes", 7, 7, 5000000000, &app_level},
    {0},
};
static const struct app app = {.name = "example", .options = app_options};

/* The value is not in struct options but where the application wants it. */
#define OF_APP(index) (sizeof(struct options) + (index))

/* Every option that takes a number: its bounds as a user writes them, one step beyond them, and the values they mean. */
static const struct number_option {
    const char *flag, *variable;
    size_t offset;
    long long initial;
    const char *low, *high, *below, *above;
    long long low_value, high_value;
    const char *allowed; /* what an error says of the values */
} numbers[] = {
    {"--socket-mode", "FIBCGI_SOCKET_MODE", FIELD(socket_mode), 0660, "0", "777", "-1", "1000", 0, 0777,
     "an octal mode from 0 to 0777"},
    {"--backlog", "FIBCGI_BACKLOG", FIELD(backlog), 4096, "1", "65535", "0", "65536", 1, 65535,
     "a whole number from 1 to 65535"},
    {"--workers", "FIBCGI_WORKERS", FIELD(workers), 0, "1", "512", "0", "513", 1, 512,
     "a whole number from 1 to 512, or auto"},
    {"--max-requests", "FIBCGI_MAX_REQUESTS", FIELD(max_requests), 0, "0", "2147483647", "-1", "2147483648", 0,
     2147483647, "a whole number from 0 to 2147483647"},
    {"--request-timeout", "FIBCGI_REQUEST_TIMEOUT", FIELD(request_timeout_ms), 30000, "10ms", "24h", "9ms",
     "86400001ms", 10, 86400000, "a time from 10ms to 24h, such as 500ms, 30s or 2m"},
    {"--read-timeout", "FIBCGI_READ_TIMEOUT", FIELD(read_timeout_ms), 5000, "10ms", "24h", "9ms", "86400001ms", 10,
     86400000, "a time from 10ms to 24h"},
    {"--write-timeout", "FIBCGI_WRITE_TIMEOUT", FIELD(write_timeout_ms), 5000, "10ms", "1440m", "0", "1441m", 10,
     86400000, "a time from 10ms to 24h"},
    {"--idle-timeout", "FIBCGI_IDLE_TIMEOUT", FIELD(idle_timeout_ms), 300000, "10ms", "24h", "9ms", "25h", 10, 86400000,
     "a time from 10ms to 24h"},
    {"--drain-timeout", "FIBCGI_DRAIN_TIMEOUT", FIELD(drain_timeout_ms), 30000, "10ms", "86400", "0s", "86401", 10,
     86400000, "a time from 10ms to 24h"},
    {"--drain-after", "FIBCGI_DRAIN_AFTER", FIELD(drain_after), 0, "0", "65535", "-1", "65536", 0, 65535,
     "a whole number from 0 to 65535"},
    {"--max-params-size", "FIBCGI_MAX_PARAMS_SIZE", FIELD(max_params_bytes), 65536, "1K", "16M", "1023", "16777217",
     1024, 16777216, "a size from 1K to 16M, such as 64K or 1M"},
    {"--max-params-count", "FIBCGI_MAX_PARAMS_COUNT", FIELD(max_params_count), 512, "16", "65535", "15", "65536", 16,
     65535, "a whole number from 16 to 65535"},
    {"--max-body-size", "FIBCGI_MAX_BODY_SIZE", FIELD(max_body_bytes), 1048576, "0", "1G", "-1", "1025M", 0, 1073741824,
     "a size from 0 to 1024M, such as 64K or 1M"},
    {"--max-kept-size", "FIBCGI_MAX_KEPT_SIZE", FIELD(max_kept_bytes), 67108864, "1K", "1024G", "1023", "1025G", 1024,
     1099511627776, "a size from 1K to 1048576M, such as 64K or 1M"},
    {"--queue-limit", "FIBCGI_QUEUE_LIMIT", FIELD(queue_limit), 0, "0", "65536", "-1", "65537", 0, 65536,
     "a whole number from 0 to 65536"},
    {"--memory-limit", "FIBCGI_MEMORY_LIMIT", FIELD(memory_limit_bytes), 0, "4M", "64G", "4194303", "65537M", 4194304,
     68719476736, "a size from 4M to 65536M, such as 64K or 1M"},
    {"--access-log-sample", "FIBCGI_ACCESS_LOG_SAMPLE", FIELD(access_log_sample), 1, "1", "1000000", "0", "1000001", 1,
     1000000, "a whole number from 1 to 1000000"},
    {"--slow-time", "FIBCGI_SLOW_TIME", FIELD(slow_time_ms), 0, "1ms", "24h", "0", "25h", 1, 86400000,
     "a time from 1ms to 24h, such as 500ms, 30s or 2m"},
    {"--app-limit", "FIBCGI_APP_LIMIT", OF_APP(0), 30, "0", "93", "-1", "94", 0, 93, "a whole number from 0 to 93"},
    {"--app-level", "FIBCGI_APP_LEVEL", OF_APP(1), 7, "7", "5000000000", "6", "5000000001", 7, 5000000000,
     "a whole number from 7 to 5000000000"},
};

static const struct text_option {
    const char *flag, *variable;
    size_t offset;
} texts[] = {
    {"--listen", "FIBCGI_LISTEN", FIELD(listen)},
    {"--admin-listen", "FIBCGI_ADMIN_LISTEN", FIELD(admin_listen)},
    {"--admin-http", "FIBCGI_ADMIN_HTTP", FIELD(admin_http)},
    {"--socket-owner", "FIBCGI_SOCKET_OWNER", FIELD(socket_owner)},
    {"--socket-group", "FIBCGI_SOCKET_GROUP", FIELD(socket_group)},
    {"--allowed-peers", "FCGI_WEB_SERVER_ADDRS", FIELD(allowed_peers)},
    {"--user", "FIBCGI_USER", FIELD(user)},
    {"--group", "FIBCGI_GROUP", FIELD(group)},
    {"--log", "FIBCGI_LOG", FIELD(log)},
    {"--access-log", "FIBCGI_POOL_ACCESS_LOG", FIELD(access_log)},
    {"--probe", "FIBCGI_PROBE", FIELD(probe)},
    {"--expect", "FIBCGI_EXPECT", FIELD(expect)},
};

static struct options options;
static char error[OPTIONS_ERROR_MAX];

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("FIBCGI_MODE");
    unsetenv("FIBCGI_SANDBOX");
    unsetenv("FIBCGI_LOG_FORMAT");
    unsetenv("FIBCGI_SERVER_TIMING");
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        unsetenv(numbers[i].variable);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        unsetenv(texts[i].variable);
    return 0;
}

static long long number_at(size_t offset)
{
    long long value;
    if (offset >= OF_APP(0))
        return *app_options[offset - OF_APP(0)].value;
    memcpy(&value, (const char *)&options + offset, sizeof(value));
    return value;
}

static const char *text_at(size_t offset)
{
    const char *value;
    memcpy(&value, (const char *)&options + offset, sizeof(value));
    return value;
}

/* Parses these arguments, at most three; NULL ends them sooner. */
static int parse(const char *first, const char *second, const char *third)
{
    static char copies[4][256];
    const char *given[] = {"fibcgi", first, second, third};
    char *argv[5] = {NULL};
    int argc = 0;
    memset(&options, 0xa5, sizeof(options));
    app_limit = app_level = -1;
    memset(error, 0, sizeof(error));
    for (; argc < 4 && given[argc] != NULL; argc++) {
        snprintf(copies[argc], sizeof(copies[argc]), "%s", given[argc]);
        argv[argc] = copies[argc];
    }
    return options_parse(&options, &app, argc, argv, error);
}

static void expect_error(int result, const char *source, const char *allowed)
{
    if (result != -1)
        fail_msg("accepted where an error on %s was due", source);
    if (strstr(error, source) == NULL || strstr(error, allowed) == NULL)
        fail_msg("the error \"%s\" names not both \"%s\" and \"%s\"", error, source, allowed);
}

/* Parses --max-body-size, whose bounds are the widest, or a timeout. */
static void expect_bytes(const char *text, long long bytes)
{
    if (parse("--max-body-size", text, NULL) != 0 || options.max_body_bytes != bytes)
        fail_msg("\"%s\" is not taken for %lld bytes: %s", text, bytes, error);
}

static void expect_duration(const char *text, long long ms)
{
    if (parse("--request-timeout", text, NULL) != 0 || options.request_timeout_ms != ms)
        fail_msg("\"%s\" is not taken for %lld ms: %s", text, ms, error);
}

/* Where values come from. */

static void without_arguments_and_environment_the_defaults_hold(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL, NULL, NULL), 0);
    assert_int_equal(options.action, ACTION_RUN);
    assert_int_equal(options.mode, MODE_AUTO);
    assert_int_equal(options.sandbox, CONFINE_AUTO);
    assert_int_equal(options.watch_clients, 1);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (number_at(numbers[i].offset) != numbers[i].initial)
            fail_msg("%s is %lld", numbers[i].flag, number_at(numbers[i].offset));
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        assert_null(text_at(texts[i].offset));
}

static void a_variable_sets_its_option(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        setenv(numbers[i].variable, numbers[i].high, 1);
        if (parse(NULL, NULL, NULL) != 0 || number_at(numbers[i].offset) != numbers[i].high_value)
            fail_msg("%s: %lld, %s", numbers[i].variable, number_at(numbers[i].offset), error);
        unsetenv(numbers[i].variable);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        setenv(texts[i].variable, "some text", 1);
        assert_int_equal(parse(NULL, NULL, NULL), 0);
        assert_string_equal(text_at(texts[i].offset), "some text");
        unsetenv(texts[i].variable);
    }
}

static void a_flag_goes_over_its_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        setenv(numbers[i].variable, numbers[i].high, 1);
        assert_int_equal(parse(numbers[i].flag, numbers[i].low, NULL), 0);
        assert_int_equal(number_at(numbers[i].offset), numbers[i].low_value);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        setenv(texts[i].variable, "from the environment", 1);
        assert_int_equal(parse(texts[i].flag, "from the flag", NULL), 0);
        assert_string_equal(text_at(texts[i].offset), "from the flag");
    }
}

static void an_empty_variable_is_one_that_is_not_set(void **state)
{
    (void)state;
    setenv("FIBCGI_MODE", "", 1);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        setenv(numbers[i].variable, "", 1);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        setenv(texts[i].variable, "", 1);
    without_arguments_and_environment_the_defaults_hold(state);
}

static void a_bad_variable_is_an_error_even_under_a_good_flag(void **state)
{
    (void)state;
    setenv("FIBCGI_BACKLOG", "many", 1);
    expect_error(parse("--backlog", "5", NULL), "FIBCGI_BACKLOG", "a whole number from 1 to 65535");
}

static void with_argc_0_arguments_do_not_count(void **state)
{
    (void)state;
    char program[] = "fibcgi", flag[] = "--no-such-option";
    char *argv[] = {program, flag, NULL};
    setenv("FIBCGI_BACKLOG", "7", 1);
    assert_int_equal(options_parse(&options, &app, 0, argv, error), 0);
    assert_int_equal(options.backlog, 7);
    assert_int_equal(options.action, ACTION_RUN);
}

static void the_last_of_repeated_flags_holds(void **state)
{
    (void)state;
    assert_int_equal(parse("--backlog=3", "--backlog=4", NULL), 0);
    assert_int_equal(options.backlog, 4);
}

static void a_value_may_follow_an_equals_sign_or_come_next(void **state)
{
    (void)state;
    assert_int_equal(parse("--listen=unix:/run/a=b.sock", NULL, NULL), 0);
    assert_string_equal(options.listen, "unix:/run/a=b.sock");
    assert_int_equal(parse("--listen", "tcp:127.0.0.1:9000", NULL), 0);
    assert_string_equal(options.listen, "tcp:127.0.0.1:9000");
}

static void parsing_twice_starts_afresh(void **state)
{
    (void)state;
    assert_int_equal(parse("--backlog", "3", "-t"), 0);
    assert_int_equal(options.action, ACTION_TEST);
    assert_int_equal(parse("--workers", "3", NULL), 0);
    assert_int_equal(options.action, ACTION_RUN);
    assert_int_equal(options.backlog, 4096);
    assert_int_equal(options.workers, 3);
}

static void what_is_asked_for_comes_back_as_the_action(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        enum options_action action;
    } cases[] = {
        {"--help", ACTION_HELP}, {"-h", ACTION_HELP},     {"--version", ACTION_VERSION},
        {"-V", ACTION_VERSION},  {"--test", ACTION_TEST}, {"-t", ACTION_TEST},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(parse(cases[i].flag, NULL, NULL), 0);
        assert_int_equal(options.action, cases[i].action);
    }
}

/* Commands. */

static void a_command_in_the_first_place_takes_addresses(void **state)
{
    (void)state;
    assert_int_equal(parse("status", "unix:/a", "tcp:192.0.2.1:9"), 0);
    assert_int_equal(options.action, ACTION_STATUS);
    assert_false(options.json);
    assert_int_equal(options.pool_count, 2);
    assert_string_equal(options.pools[0], "unix:/a");
    assert_string_equal(options.pools[1], "tcp:192.0.2.1:9");
    assert_int_equal(parse("top", NULL, NULL), 0);
    assert_int_equal(options.action, ACTION_TOP);
    assert_int_equal(options.pool_count, 0);
}

static void flags_may_stand_before_and_behind_a_commands_addresses(void **state)
{
    (void)state;
    assert_int_equal(parse("status", "--json", "unix:/a"), 0);
    assert_true(options.json);
    assert_string_equal(options.pools[0], "unix:/a");
    assert_int_equal(parse("status", "unix:/a", "--json"), 0);
    assert_true(options.json);
    assert_string_equal(options.pools[0], "unix:/a");
    assert_int_equal(parse("top", "--help", NULL), 0);
    assert_int_equal(options.action, ACTION_HELP);
}

static void words_that_are_no_command_and_flags_without_theirs_are_refused(void **state)
{
    (void)state;
    expect_error(parse("--backlog=3", "status", NULL), "\"status\" is left over", "--help");
    expect_error(parse("statuses", NULL, NULL), "\"statuses\" is left over", "--help");
    expect_error(parse("--json", NULL, NULL), "--json is for fibcgi status only", "--help");
    expect_error(parse("top", "--json", NULL), "--json is for fibcgi status only", "--help");
    expect_error(parse("status", "--json=yes", NULL), "--json=yes: this option takes no value", "--help");
}

static void more_pools_than_fit_are_refused(void **state)
{
    (void)state;
    char program[] = "fibcgi", command[] = "status", pool[] = "unix:/a";
    char *argv[OPTIONS_POOLS_MAX + 4] = {program, command};
    for (size_t i = 2; i < COUNT_OF(argv) - 1; i++)
        argv[i] = pool;
    assert_int_equal(options_parse(&options, &app, OPTIONS_POOLS_MAX + 2, argv, error), 0);
    assert_int_equal(options.pool_count, OPTIONS_POOLS_MAX);
    expect_error(options_parse(&options, &app, OPTIONS_POOLS_MAX + 3, argv, error), "17 addresses", "give fewer");
}

static void the_logs_format_is_one_of_three_words(void **state)
{
    (void)state;
    static const char *const names[] = {"auto", "text", "json"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(parse("--log-format", names[i], NULL), 0);
        assert_int_equal(options.log_format, (long long)i);
    }
    expect_error(parse("--log-format", "xml", NULL), "--log-format", "auto, text or json");
}

/* Bounds and forms. */

static void every_bound_is_allowed_itself(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        const struct number_option *option = &numbers[i];
        if (parse(option->flag, option->low, NULL) != 0 || number_at(option->offset) != option->low_value)
            fail_msg("%s %s: %s", option->flag, option->low, error);
        if (parse(option->flag, option->high, NULL) != 0 || number_at(option->offset) != option->high_value)
            fail_msg("%s %s: %s", option->flag, option->high, error);
    }
}

static void one_step_beyond_a_bound_is_an_error_that_names_flag_and_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        expect_error(parse(numbers[i].flag, numbers[i].below, NULL), numbers[i].flag, numbers[i].allowed);
        assert_non_null(strstr(error, numbers[i].below));
        expect_error(parse(numbers[i].flag, numbers[i].above, NULL), numbers[i].flag, numbers[i].allowed);
        assert_non_null(strstr(error, numbers[i].above));
    }
}

static void an_error_in_a_variable_names_the_variable_and_the_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        setenv(numbers[i].variable, numbers[i].above, 1);
        expect_error(parse(NULL, NULL, NULL), numbers[i].variable, numbers[i].allowed);
        unsetenv(numbers[i].variable);
    }
}

static void what_is_not_quite_a_number_is_refused_by_every_option(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "x",
        "-1",
        "+1",
        " 20",
        "20 ",
        "20x",
        "0x20",
        "1e2",
        "1.5",
        "20,0",
        "ten",
        "nan",
        "²",
        "99999999999999999999",
        "9223372036854775808",
        "\n20",
    };
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        for (size_t j = 0; j < COUNT_OF(wrong); j++)
            expect_error(parse(numbers[i].flag, wrong[j], NULL), numbers[i].flag, numbers[i].allowed);
    }
}

static void a_duration_has_a_unit_or_is_in_seconds(void **state)
{
    (void)state;
    expect_duration("500ms", 500);
    expect_duration("30s", 30000);
    expect_duration("2m", 120000);
    expect_duration("3h", 10800000);
    expect_duration("7", 7000);
    expect_duration("007s", 7000);
}

static void a_duration_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "ms",
        "s",
        "5d",
        "5S",
        "5 s",
        "5sec",
        "5mss",
        "1m30s",
        "0",
        "0h",
        "-5s",
        "1.5s",
        "9223372036854775807h",
        "9223372036854775807",
        "153722867280913m",
        "99999999999999999999999ms",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        expect_error(parse("--request-timeout", wrong[i], NULL), "--request-timeout", "a time from 10ms to 24h");
}

static void a_size_has_a_binary_unit_or_is_in_bytes(void **state)
{
    (void)state;
    expect_bytes("0", 0);
    expect_bytes("1", 1);
    expect_bytes("1000", 1000);
    expect_bytes("64K", 65536);
    expect_bytes("3M", 3145728);
    expect_bytes("1G", 1073741824);
}

static void a_size_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "K", "1k", "1KB", "1KiB", "1B", "1 K", "-1K", "1T", "2G", "9223372036854775807K", "17179869184G", "8589934592G",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        expect_error(parse("--max-body-size", wrong[i], NULL), "--max-body-size", "a size from 0 to 1024M");
}

static void a_socket_mode_is_octal_with_or_without_a_zero_in_front(void **state)
{
    (void)state;
    assert_int_equal(parse("--socket-mode", "0600", NULL), 0);
    assert_int_equal(options.socket_mode, 0600);
    assert_int_equal(parse("--socket-mode", "666", NULL), 0);
    assert_int_equal(options.socket_mode, 0666);
    expect_error(parse("--socket-mode", "0668", NULL), "--socket-mode", "an octal mode from 0 to 0777");
    expect_error(parse("--socket-mode", "8", NULL), "--socket-mode", "an octal mode");
    expect_error(parse("--socket-mode", "01777", NULL), "--socket-mode", "an octal mode");
    expect_error(parse("--socket-mode", "u=rw", NULL), "--socket-mode", "an octal mode");
}

static void workers_may_be_auto_and_nothing_else_may(void **state)
{
    (void)state;
    setenv("FIBCGI_WORKERS", "3", 1);
    assert_int_equal(parse("--workers", "auto", NULL), 0);
    assert_int_equal(options.workers, 0);
    expect_error(parse("--workers", "Auto", NULL), "--workers", "or auto");
    expect_error(parse("--backlog", "auto", NULL), "--backlog", "a whole number from 1 to 65535");
}

static void the_mode_is_one_of_four_names(void **state)
{
    (void)state;
    static const char *const names[] = {"auto", "cgi", "spawned", "pool"};
    static const char *const wrong[] = {"", "CGI", "fastcgi", "poo", "pools", "0"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(parse("--mode", names[i], NULL), 0);
        assert_int_equal(options.mode, i);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        expect_error(parse("--mode", wrong[i], NULL), "--mode", "auto, cgi, spawned or pool");
    setenv("FIBCGI_MODE", "fcgi", 1);
    expect_error(parse(NULL, NULL, NULL), "FIBCGI_MODE", "auto, cgi, spawned or pool");
}

static void clients_are_watched_or_not(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "ON", "yes", "of", "onn", "1", "auto"};
    assert_int_equal(parse("--watch-clients", "off", NULL), 0);
    assert_int_equal(options.watch_clients, 0);
    assert_int_equal(parse("--watch-clients", "on", NULL), 0);
    assert_int_equal(options.watch_clients, 1);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        expect_error(parse("--watch-clients", wrong[i], NULL), "--watch-clients", "on or off");
}

static void the_sandbox_is_auto_on_or_off(void **state)
{
    (void)state;
    static const char *const names[] = {[CONFINE_AUTO] = "auto", [CONFINE_ON] = "on", [CONFINE_OFF] = "off"};
    static const char *const wrong[] = {"", "ON", "yes", "of", "offf", "1"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(parse("--sandbox", names[i], NULL), 0);
        assert_int_equal(options.sandbox, i);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        expect_error(parse("--sandbox", wrong[i], NULL), "--sandbox", "auto, on or off");
    setenv("FIBCGI_SANDBOX", "false", 1);
    expect_error(parse(NULL, NULL, NULL), "FIBCGI_SANDBOX", "auto, on or off");
}

static void a_text_may_not_be_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_error(parse(texts[i].flag, "", NULL), texts[i].flag, "empty");
}

/* What is no option. */

static void an_unknown_option_is_named(void **state)
{
    (void)state;
    expect_error(parse("--no-such-option", "5", NULL), "--no-such-option is not an option", "--help");
    expect_error(parse("-x", NULL, NULL), "-x is not an option", "--help");
    expect_error(parse("--backlog", "5", "--wrong=7"), "--wrong", "--help");
}

static void an_unknown_letter_among_others_is_named(void **state)
{
    (void)state;
    expect_error(parse("-tx", NULL, NULL), "x", "--help");
    assert_null(strstr(error, "fibcgi is not an option"));
    expect_error(parse("-xt", NULL, NULL), "x", "--help");
    assert_null(strstr(error, "fibcgi is not an option"));
}

static void an_option_without_its_value_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        expect_error(parse(numbers[i].flag, NULL, NULL), numbers[i].flag, "needs a value");
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        expect_error(parse("-t", texts[i].flag, NULL), texts[i].flag, "needs a value");
}

static void an_argument_that_belongs_to_nothing_is_named(void **state)
{
    (void)state;
    expect_error(parse("unix:/run/fib.sock", NULL, NULL), "\"unix:/run/fib.sock\"", "options only");
    expect_error(parse("--backlog", "5", "6"), "\"6\"", "options only");
    expect_error(parse("--", "--backlog", NULL), "\"--backlog\"", "options only");
}

static void an_error_has_room_for_any_value(void **state)
{
    (void)state;
    char value[256];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    expect_error(parse("--max-params-size", value, NULL), "--max-params-size",
                 "a size from 1K to 16M, such as 64K or 1M");
    assert_true(strlen(error) < OPTIONS_ERROR_MAX);
    setenv("FIBCGI_MAX_PARAMS_COUNT", value, 1);
    expect_error(parse(NULL, NULL, NULL), "FIBCGI_MAX_PARAMS_COUNT", "a whole number from 16 to 65535");
    unsetenv("FIBCGI_MAX_PARAMS_COUNT");
    expect_error(parse(value, NULL, NULL), "vvv", "options only");
}

/* Help. */

/* Of that application; NULL: the usage instead. */
static char *printed(const struct app *whose)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (whose != NULL)
        options_print_help(whose, out);
    else
        options_print_usage(out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(text);
    return text;
}

static void help_lists_every_option_with_its_variable_and_bounds(void **state)
{
    (void)state;
    char *help = printed(&app);
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        assert_non_null(strstr(help, numbers[i].flag));
        assert_non_null(strstr(help, numbers[i].variable));
        if (strstr(help, numbers[i].allowed) == NULL)
            fail_msg("help does not say %s", numbers[i].allowed);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_non_null(strstr(help, texts[i].flag));
        assert_non_null(strstr(help, texts[i].variable));
    }
    assert_non_null(strstr(help, "auto, cgi, spawned"));
    assert_non_null(strstr(help, "variable FIBCGI_SANDBOX"));
    assert_non_null(strstr(help, "--test"));
    assert_non_null(strstr(help, "--version"));
    free(help);
}

/* An option that these tables do not know is one that no test here looks at. */
static void help_lists_no_option_that_these_tests_do_not_know(void **state)
{
    (void)state;
    char *help = printed(&app);
    size_t listed = 0;
    for (const char *at = strstr(help, "; variable "); at != NULL; at = strstr(at + 1, "; variable "))
        listed++;
    free(help);
    /* And --mode, --sandbox, --watch-clients, --log-format and --server-timing. */
    assert_int_equal(listed, 5 + COUNT_OF(numbers) + COUNT_OF(texts));
}

static void help_names_the_application_and_lists_its_options_last(void **state)
{
    (void)state;
    char *help = printed(&app);
    const char *heading = strstr(help, "Options of the application example:");
    assert_non_null(strstr(help, "Serves the application example as CGI"));
    assert_non_null(heading);
    assert_non_null(strstr(heading, "--app-limit VALUE\n      how much the application takes\n"
                                    "      a whole number from 0 to 93; default 30; variable FIBCGI_APP_LIMIT\n"));
    assert_non_null(strstr(heading, "--app-level"));
    assert_null(strstr(heading, "--listen"));
    free(help);
}

static void an_application_may_have_no_options(void **state)
{
    (void)state;
    static const struct app bare = {.name = "bare"};
    char program[] = "fibcgi", flag[] = "--app-limit=3";
    char *argv[] = {program, flag, NULL};
    assert_int_equal(options_parse(&options, &bare, 1, argv, error), 0);
    expect_error(options_parse(&options, &bare, 2, argv, error), "--app-limit=3 is not an option", "--help");
    char *help = printed(&bare);
    assert_null(strstr(help, "Options of the application"));
    assert_non_null(strstr(help, "--test"));
    free(help);
}

static void an_application_with_too_many_options_is_named(void **state)
{
    (void)state;
    static long long value;
    struct app_option many[APP_OPTIONS_MAX + 2] = {0};
    const struct app greedy = {.name = "greedy", .options = many};
    for (size_t i = 0; i < APP_OPTIONS_MAX; i++)
        many[i] = (struct app_option){"same", "FIBCGI_SAME", "again", 0, 0, 1, &value};
    assert_int_equal(options_parse(&options, &greedy, 0, NULL, error), 0);
    many[APP_OPTIONS_MAX] = many[0];
    expect_error(options_parse(&options, &greedy, 0, NULL, error), "greedy", "more than 32 options");
}

static void usage_shows_how_to_start_and_where_help_is(void **state)
{
    (void)state;
    char *usage = printed(NULL);
    assert_non_null(strstr(usage, "--listen"));
    assert_non_null(strstr(usage, "--help"));
    free(usage);
}

#define CLEARED(test) cmocka_unit_test_setup_teardown(test, clear_environment, clear_environment)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLEARED(without_arguments_and_environment_the_defaults_hold),
        CLEARED(a_variable_sets_its_option),
        CLEARED(a_flag_goes_over_its_variable),
        CLEARED(an_empty_variable_is_one_that_is_not_set),
        CLEARED(a_bad_variable_is_an_error_even_under_a_good_flag),
        CLEARED(with_argc_0_arguments_do_not_count),
        CLEARED(the_last_of_repeated_flags_holds),
        CLEARED(a_value_may_follow_an_equals_sign_or_come_next),
        CLEARED(parsing_twice_starts_afresh),
        CLEARED(what_is_asked_for_comes_back_as_the_action),
        CLEARED(a_command_in_the_first_place_takes_addresses),
        CLEARED(flags_may_stand_before_and_behind_a_commands_addresses),
        CLEARED(words_that_are_no_command_and_flags_without_theirs_are_refused),
        CLEARED(more_pools_than_fit_are_refused),
        CLEARED(the_logs_format_is_one_of_three_words),
        CLEARED(every_bound_is_allowed_itself),
        CLEARED(one_step_beyond_a_bound_is_an_error_that_names_flag_and_bounds),
        CLEARED(an_error_in_a_variable_names_the_variable_and_the_bounds),
        CLEARED(what_is_not_quite_a_number_is_refused_by_every_option),
        CLEARED(a_duration_has_a_unit_or_is_in_seconds),
        CLEARED(a_duration_that_is_none_is_refused),
        CLEARED(a_size_has_a_binary_unit_or_is_in_bytes),
        CLEARED(a_size_that_is_none_is_refused),
        CLEARED(a_socket_mode_is_octal_with_or_without_a_zero_in_front),
        CLEARED(workers_may_be_auto_and_nothing_else_may),
        CLEARED(the_mode_is_one_of_four_names),
        CLEARED(the_sandbox_is_auto_on_or_off),
        CLEARED(clients_are_watched_or_not),
        CLEARED(a_text_may_not_be_empty),
        CLEARED(an_unknown_option_is_named),
        CLEARED(an_unknown_letter_among_others_is_named),
        CLEARED(an_option_without_its_value_is_named),
        CLEARED(an_argument_that_belongs_to_nothing_is_named),
        CLEARED(an_error_has_room_for_any_value),
        CLEARED(help_lists_every_option_with_its_variable_and_bounds),
        CLEARED(help_lists_no_option_that_these_tests_do_not_know),
        CLEARED(help_names_the_application_and_lists_its_options_last),
        CLEARED(an_application_may_have_no_options),
        CLEARED(an_application_with_too_many_options_is_named),
        CLEARED(usage_shows_how_to_start_and_where_help_is),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
