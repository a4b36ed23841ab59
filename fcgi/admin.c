#include "admin.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "metrics.h"
#include "page.h"
#include "status.h"

/* Alive means that the admin worker answers at all; it never depends on the work queue. */
static void serve_health(const struct scoreboard *board, const struct app_request *request,
                         struct app_response *response)
{
    (void)board, (void)request;
    response->content_type = "text/plain";
    app_printf(response, "ok\n");
}

static void serve_ready(const struct scoreboard *board, const struct app_request *request,
                        struct app_response *response)
{
    if (atomic_load(&board->master.phase) == PHASE_DRAINING)
        app_problem(response, 503, "The pool is draining: send new work elsewhere.", "");
    else if (scoreboard_workers_up(board) == 0)
        app_problem(response, 503, "No worker is up.", "");
    else
        serve_health(board, request, response);
}

static void serve_metrics(const struct scoreboard *board, const struct app_request *request,
                          struct app_response *response)
{
    metrics_write(board, metrics_format_for(request->variable(request, "HTTP_ACCEPT")), response);
}

/* Programs say so; a browser takes HTML before all else. */
static bool wants_json(const struct app_request *request)
{
    char value[8];
    const char *accept = request->variable(request, "HTTP_ACCEPT");
    return app_query(request->query, "json", value, sizeof(value)) != APP_QUERY_NONE ||
           (accept != NULL && strstr(accept, "application/json") != NULL && strstr(accept, "text/html") == NULL);
}

static void serve_status(const struct scoreboard *board, const struct app_request *request,
                         struct app_response *response)
{
    char since[24] = "";
    if (wants_json(request)) {
        app_query(request->query, "since", since, sizeof(since));
        response->content_type = "application/json";
        status_write(board, strtoull(since, NULL, 10), clock_now_ns(), response);
        return;
    }
    response->content_type = "text/html; charset=utf-8";
    app_write(response, page_html, page_html_length);
}

static const struct {
    const char *path;
    void (*serve)(const struct scoreboard *board, const struct app_request *request, struct app_response *response);
} pages[] = {
    {"/healthz", serve_health},
    {"/readyz", serve_ready},
    {"/metrics", serve_metrics},
    {"/status", serve_status},
};

/* What it is to do in a browser: the one page for people runs its own script; the others run nothing. */
static bool is_html(const struct app_response *response)
{
    return response->content_type != NULL && strstr(response->content_type, "text/html") != NULL;
}

static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(request->path, pages[i].path) != 0)
            continue;
        if (app_allows_reading(request, response))
            pages[i].serve(context, request, response);
        app_add_header(response, "Content-Security-Policy",
                       is_html(response) ? page_policy : "default-src 'none'; frame-ancestors 'none'");
        return;
    }
    app_problem(response, 404, "There is nothing at this path. Here are /healthz, /readyz, /metrics and /status.", "");
}

const struct app admin_app = {.name = "admin", .serve = serve};
