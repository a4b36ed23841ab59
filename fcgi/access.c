#include "access.h"

#include "clock.h"

static const struct log_event access_event = {.level = LOG_LEVEL_INFO, .kind = LOG_ACCESS};
static const struct log_event slow_event = {.level = LOG_LEVEL_WARNING, .kind = LOG_SLOW};

static bool is_slow(const struct access_config *config, const struct access_request *request)
{
    return config->slow_ns > 0 && request->duration_ns >= config->slow_ns;
}

/* One of so many, and the first of them. */
static bool is_sampled(struct access *access)
{
    const struct access_config *config = access->config;
    if (config->log == NULL)
        return false;
    bool is_one = access->seen == 0;
    access->seen = access->seen + 1 < config->sample ? access->seen + 1 : 0;
    return is_one;
}

static void add_trace(struct line *line, const char *traceparent)
{
    struct trace trace;
    if (!trace_read(&trace, traceparent))
        return;
    line_add_text(line, "trace_id", trace.trace_id);
    line_add_text(line, "parent_id", trace.parent_id);
}

static void add_fields(struct line *line, const struct access_request *request)
{
    line_add_number(line, "worker", request->worker);
    line_add_text(line, "client", request->client);
    line_add_text(line, "method", request->method);
    line_add_text(line, "path", request->path);
    line_add_text(line, "query", request->query);
    line_add_number(line, "status", (uint64_t)request->status);
    line_add_number(line, "bytes", request->bytes);
    line_add_number(line, "duration_us", request->duration_ns / CLOCK_NS_PER_US);
    line_add_number(line, "app_us", request->app_ns / CLOCK_NS_PER_US);
    add_trace(line, request->traceparent);
}

void access_note(struct access *access, const struct access_request *request)
{
    const struct access_config *config = access->config;
    access->log = NULL;
    if (config == NULL)
        return;
    bool is_sample = is_sampled(access), slow = is_slow(config, request);
    access->log = slow && log_begin(config->slow_log, &slow_event, &access->line) ? config->slow_log : NULL;
    /* One of the sample, also where there were too many slow ones. */
    slow = access->log != NULL;
    if (!slow && is_sample && log_begin(config->log, &access_event, &access->line))
        access->log = config->log;
    if (access->log == NULL)
        return;
    add_fields(&access->line, request);
    if (!slow && config->sample > 1)
        line_add_number(&access->line, "sample", config->sample);
}

void access_write(struct access *access)
{
    if (access->log != NULL)
        log_send(access->log, &access->line);
    access->log = NULL;
}
