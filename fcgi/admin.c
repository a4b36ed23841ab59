#include "admin.h"

#include <string.h>

#include "clock.h"
#include "metrics.h"

/* Alive means that the admin worker answers at all; it never depends on the work queue. */
static void serve_health(const struct scoreboard *board, struct app_response *response)
{
    (void)board;
    response->content_type = "text/plain";
    app_printf(response, "ok\n");
}

static void serve_ready(const struct scoreboard *board, struct app_response *response)
{
    if (atomic_load(&board->master.phase) == PHASE_DRAINING)
        app_problem(response, 503, "The pool is draining: send new work elsewhere.", "");
    else if (metrics_workers_up(board) == 0)
        app_problem(response, 503, "No worker is up.", "");
    else
        serve_health(board, response);
}

static void serve_metrics(const struct scoreboard *board, struct app_response *response)
{
    response->content_type = METRICS_CONTENT_TYPE;
    metrics_prometheus(board, response);
}

static void serve_status(const struct scoreboard *board, struct app_response *response)
{
    response->content_type = "application/json";
    metrics_json(board, clock_now_ns(), response);
}

static const struct {
    const char *path;
    void (*serve)(const struct scoreboard *board, struct app_response *response);
} pages[] = {
    {"/healthz", serve_health},
    {"/readyz", serve_ready},
    {"/metrics", serve_metrics},
    {"/status", serve_status},
};

static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(request->path, pages[i].path) != 0)
            continue;
        if (app_allows_reading(request, response))
            pages[i].serve(context, response);
        return;
    }
    app_problem(response, 404, "There is nothing at this path. Here are /healthz, /readyz, /metrics and /status.", "");
}

const struct app admin_app = {.name = "admin", .serve = serve};
