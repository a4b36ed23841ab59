#include "compute.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "fib.h"

#define N_DEFAULT 30
#define N_TEXT_MAX 32

/* Digits only: no sign, no space, no exponent. */
static bool parse_n(const char *text, unsigned max_n, unsigned *n)
{
    unsigned value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > max_n)
            return false;
    }
    *n = value;
    return true;
}

static void refuse_n(struct app_response *response, unsigned max_n, const char *what)
{
    char detail[128], extra[96];
    snprintf(detail, sizeof(detail), "%s: give n once, as a whole number from 0 to %u, in digits.", what, max_n);
    snprintf(extra, sizeof(extra), ",\"field\":\"n\",\"minimum\":0,\"maximum\":%u", max_n);
    app_problem(response, 400, detail, extra);
}

/* Finds n, or fills the response with the reason why not. */
static bool choose_n(const char *query, unsigned max_n, unsigned *n, struct app_response *response)
{
    char text[N_TEXT_MAX];
    *n = N_DEFAULT;
    switch (app_query(query, "n", text, sizeof(text))) {
    case APP_QUERY_NONE:
        if (N_DEFAULT <= max_n)
            return true;
        refuse_n(response, max_n, "The default n of 30 is above this server's bound");
        return false;
    case APP_QUERY_TWICE:
        refuse_n(response, max_n, "n is given more than once");
        return false;
    case APP_QUERY_FOUND:
        if (parse_n(text, max_n, n))
            return true;
        break;
    case APP_QUERY_BAD:
        break;
    }
    refuse_n(response, max_n, "n is not acceptable");
    return false;
}

static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    const struct compute_context *compute = context;
    unsigned max_n = (unsigned)compute->max_n, n;
    if (strcmp(request->path, "/compute") != 0) {
        app_problem(response, 404, "There is nothing at this path. The application answers at /compute.", "");
        return;
    }
    if (!app_allows_reading(request, response) || !choose_n(request->query, max_n, &n, response))
        return;
    uint64_t start_ns = clock_now_ns();
    uint64_t result = fib(n);
    uint64_t elapsed_us = (clock_now_ns() - start_ns) / CLOCK_NS_PER_US;
    response->content_type = "application/json";
    app_printf(response, "{\"n\":%u,\"result\":%" PRIu64 ",\"elapsed_us\":%" PRIu64 "}\n", n, result, elapsed_us);
}

static struct compute_context own;

static const struct app_option own_options[] = {
    {"max-n", "FIBCGI_MAX_N", "largest n that /compute takes; each step costs 1.6 times more", N_DEFAULT, 0, FIB_N_MAX,
     &own.max_n},
    {0},
};

const struct app compute_app = {.name = "compute", .context = &own, .options = own_options, .serve = serve};
