/* options_parse on arbitrary environments and arguments. The input is lines: the environment up to an empty line, then the
 * arguments. */
#include <stdbool.h>
#include <stdlib.h>

#include "compute.h"
#include "confine.h"
#include "fib.h"
#include "fuzz.h"
#include "log.h"
#include "options.h"
#include "scoreboard.h"

#define WORDS_MAX 64
#define DAY_MS (24LL * 3600 * 1000)

/* The input cut up. Every word lies between start and end. */
struct command {
    char *start, *end;
    char *environment[WORDS_MAX + 1];
    char *words[WORDS_MAX + 1];       /* argv; getopt sorts it */
    const char *given[WORDS_MAX + 1]; /* as it was before that */
    int count;
};

static void cut(struct command *command, const uint8_t *data, size_t size)
{
    static char name[] = "fibcgi";
    size_t variables = 0;
    *command = (struct command){.start = strndup((const char *)data, size)};
    assert(command->start != NULL);
    command->end = command->start + strlen(command->start) + 1;
    char *rest = command->start, *line;
    while (variables < WORDS_MAX && (line = strsep(&rest, "\n")) != NULL && *line != '\0')
        command->environment[variables++] = line;
    command->words[command->count++] = name;
    while (command->count < WORDS_MAX && (line = strsep(&rest, "\n")) != NULL)
        command->words[command->count++] = line;
    memcpy(command->given, command->words, sizeof(command->given));
}

static void check_text(const struct command *command, const char *text)
{
    assert(text == NULL || (text > command->start && text < command->end && *text != '\0'));
}

static void check_texts(const struct command *command, const struct options *options)
{
    check_text(command, options->listen);
    check_text(command, options->admin_listen);
    check_text(command, options->admin_http);
    check_text(command, options->socket_owner);
    check_text(command, options->socket_group);
    check_text(command, options->allowed_peers);
    check_text(command, options->user);
    check_text(command, options->group);
    check_text(command, options->log);
    check_text(command, options->access_log);
    for (unsigned i = 0; i < options->pool_count; i++)
        assert(options->pools[i] >= command->start && options->pools[i] < command->end);
    check_text(command, options->probe);
}

static void check_number(long long value, long long min, long long max)
{
    assert(value >= min && value <= max);
}

static void check_numbers(const struct options *options)
{
    check_number(options->action, ACTION_RUN, ACTION_TOP);
    check_number(options->pool_count, 0, OPTIONS_POOLS_MAX);
    check_number(options->log_format, LOG_FORMAT_AUTO, LOG_FORMAT_JSON);
    check_number(options->access_log_sample, 1, 1000000);
    check_number(options->slow_time_ms, 0, DAY_MS);
    check_number(options->server_timing, 0, 1);
    check_number(options->mode, MODE_AUTO, MODE_POOL);
    check_number(options->socket_mode, 0, 0777);
    check_number(options->backlog, 1, 65535);
    check_number(options->workers, 0, SCOREBOARD_WORKERS_MAX);
    check_number(options->max_requests, 0, INT32_MAX);
    check_number(options->request_timeout_ms, 10, DAY_MS);
    check_number(options->read_timeout_ms, 10, DAY_MS);
    check_number(options->write_timeout_ms, 10, DAY_MS);
    check_number(options->drain_timeout_ms, 10, DAY_MS);
    const struct compute_context *compute = compute_app.context;
    check_number(compute->max_n, 0, FIB_N_MAX);
    check_number(options->max_params_bytes, 1024, 16LL << 20);
    check_number(options->max_params_count, 16, 65535);
    check_number(options->max_body_bytes, 0, 1LL << 30);
    check_number(options->watch_clients, 0, 1);
    check_number(options->drain_after, 0, 65535);
    check_number(options->sandbox, CONFINE_AUTO, CONFINE_OFF);
    if (options->memory_limit_bytes != 0)
        check_number(options->memory_limit_bytes, 4LL << 20, 64LL << 30);
}

/* "-x is not an option": the letter may be any byte, a further - as well. */
static bool is_about_letter(const char *error)
{
    return error[0] == '-' && error[1] != '\0' &&
           strcmp(error + 2, " is not an option of fibcgi; see fibcgi --help") == 0;
}

/* The error begins with a variable that is set, or names a word that was given, as a whole or up to its value; a word of
 * more than 64 bytes is cut. */
static bool names_something(const struct command *command, const char *error)
{
    for (size_t i = 0; command->environment[i] != NULL; i++) {
        size_t length = strcspn(command->environment[i], "=");
        if (strncmp(error, command->environment[i], length) == 0 && error[length] == ':')
            return true;
    }
    if (is_about_letter(error) || strstr(error, " addresses are more than the ") != NULL)
        return true;
    for (int i = 1; i < command->count; i++) {
        char word[65];
        size_t length = strnlen(command->given[i], 64);
        memcpy(word, command->given[i], length);
        word[length] = '\0';
        if (length == 0 && strncmp(error, "\"\"", 2) != 0)
            continue;
        if (strstr(error, word) != NULL || (length > 2 && strncmp(error, word, 2) == 0))
            return true;
    }
    return false;
}

/* What the error says of a word has to hold for that word. */
static void check_blame(const char *error)
{
    static const char takes_none[] = ": this option takes no value; see fibcgi --help";
    const char *behind = strstr(error, takes_none);
    if (behind != NULL && strcmp(behind, takes_none) == 0) {
        assert(strncmp(error, "--", 2) == 0);
        assert(behind - error == 64 || memchr(error, '=', (size_t)(behind - error)) != NULL);
    } else if (is_about_letter(error)) {
        assert(strchr("hVt", error[1]) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command command;
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    char **saved = environ;
    cut(&command, data, size);
    memset(error, 'x', sizeof(error));
    environ = command.environment;
    int result = options_parse(&options, &compute_app, command.count, command.words, error);
    environ = saved;
    if (result == 0) {
        check_texts(&command, &options);
        check_numbers(&options);
    } else {
        assert(result == -1 && memchr(error, '\0', sizeof(error)) != NULL && error[0] != '\0');
        assert(names_something(&command, error));
        check_blame(error);
    }
    free(command.start);
    return 0;
}
