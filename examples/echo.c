/* echo: an application of your own in one file. It answers as JSON what it was told:
 *
 *   GET /echo?text=hello&times=2    {"text":"hellohello"}
 *   POST /echo?times=2              the same with the request's body for the text
 *
 * Built and served by the pool: make example (in fibcgi's own tree), or see docs/your-own-app.md. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fibcgi/app.h>
#include <fibcgi/server.h>

#define TEXT_MAX 4096 /* bytes of a text, and a NUL */

struct echo {
    long long max_times;
    char text[TEXT_MAX]; /* of the request in hand: a worker has one at a time */
};

static void write_json_string(struct app_response *response, const char *text, long times)
{
    app_printf(response, "\"");
    while (times-- > 0) {
        for (const char *c = text; *c != '\0'; c++) {
            if ((unsigned char)*c < 0x20)
                app_printf(response, "\\u%04x", (unsigned)*c);
            else
                app_printf(response, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        }
    }
    app_printf(response, "\"");
}

/* Each of the following returns true; or false, and has filled the response with what the client did wrong. */

static bool allows_method(const struct app_request *request, struct app_response *response)
{
    static const char *const methods[] = {"GET", "HEAD", "POST"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(request->method, methods[i]) == 0)
            return true;
    }
    app_add_header(response, "Allow", "GET, HEAD, POST, OPTIONS");
    if (strcmp(request->method, "OPTIONS") == 0)
        response->status = 204;
    else
        app_problem(response, 405, "Use GET, HEAD or POST.", "");
    return false;
}

static bool find_times(const struct echo *echo, const struct app_request *request, long *times,
                       struct app_response *response)
{
    char digits[8], detail[96], *end = digits;
    enum app_query_result result = app_query(request->query, "times", digits, sizeof(digits));
    *times = 1;
    if (result == APP_QUERY_NONE)
        return true;
    if (result == APP_QUERY_FOUND && digits[0] >= '0' && digits[0] <= '9')
        *times = strtol(digits, &end, 10);
    if (end != digits && *end == '\0' && *times >= 1 && *times <= echo->max_times)
        return true;
    snprintf(detail, sizeof(detail), "times is given once, as a whole number from 1 to %lld.", echo->max_times);
    app_problem(response, 400, detail, ",\"field\":\"times\"");
    return false;
}

static bool find_text_in_query(struct echo *echo, const struct app_request *request, struct app_response *response)
{
    if (app_query(request->query, "text", echo->text, sizeof(echo->text)) == APP_QUERY_FOUND)
        return true;
    app_problem(response, 400, "Give text once, percent-encoded, in less than 4096 bytes.", ",\"field\":\"text\"");
    return false;
}

static bool read_text(struct echo *echo, const struct app_request *request, struct app_response *response)
{
    size_t length = 0;
    ssize_t got;
    if (request->body_length >= sizeof(echo->text)) {
        app_problem(response, 413, "The body is the text; it has less than 4096 bytes.", "");
        return false;
    }
    /* It comes in pieces of any size; 0 is its end. */
    while ((got = request->read_body(request, echo->text + length, sizeof(echo->text) - 1 - length)) > 0)
        length += (size_t)got;
    echo->text[length] = '\0';
    if (got == 0 && strlen(echo->text) == length)
        return true;
    app_problem(response, 400, "The body is a text: it has no NUL, and is as long as it says.", "");
    return false;
}

static bool is_utf8(const char *text, struct app_response *response)
{
    if (mbstowcs(NULL, text, 0) != (size_t)-1)
        return true;
    app_problem(response, 400, "The text is not UTF-8, which JSON has to be.", ",\"field\":\"text\"");
    return false;
}

/* Called for each request, in a worker of the pool. What it leaves in response is the answer. */
static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    struct echo *echo = context;
    long times;
    if (strcmp(request->path, "/echo") != 0) {
        app_problem(response, 404, "There is nothing at this path; ask for /echo.", "");
        return;
    }
    if (!allows_method(request, response) || !find_times(echo, request, &times, response))
        return;
    bool has_text = strcmp(request->method, "POST") == 0 ? read_text(echo, request, response)
                                                         : find_text_in_query(echo, request, response);
    if (!has_text || !is_utf8(echo->text, response))
        return;
    response->content_type = "application/json";
    app_printf(response, "{\"text\":");
    write_json_string(response, echo->text, times);
    app_printf(response, "}\n");
}

/* Called once in each worker, before its first request. */
static int open_echo(void *context)
{
    (void)context;
    if (setlocale(LC_CTYPE, "C.UTF-8") != NULL)
        return 0;
    errno = ENOENT;
    return -1;
}

static struct echo own;

/* --max-times and the variable ECHO_MAX_TIMES set it; --help lists it. */
static const struct app_option options[] = {
    {"max-times", "ECHO_MAX_TIMES", "how often a text may be repeated in an answer", 100, 1, 10000, &own.max_times},
    {0},
};

static const struct app echo_app = {
    .name = "echo", .context = &own, .options = options, .open = open_echo, .serve = serve};

int main(int argc, char **argv)
{
    return server_main(argc, argv, &echo_app);
}
