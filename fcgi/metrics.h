/* metrics: the scoreboard as Prometheus reads it. */
#ifndef FIBCGI_METRICS_H
#define FIBCGI_METRICS_H

#include "app.h"
#include "scoreboard.h"

enum metrics_format {
    METRICS_TEXT,        /* the text exposition format, version 0.0.4 */
    METRICS_OPENMETRICS, /* OpenMetrics 1.0: the names of the types differ, and the end is marked */
};

/* What a client that sent this Accept field is to get; NULL: it sent none. */
enum metrics_format metrics_format_for(const char *accept);

/* Writes the whole scoreboard as the response's body, and its content type. */
void metrics_write(const struct scoreboard *board, enum metrics_format format, struct app_response *out);

#endif
