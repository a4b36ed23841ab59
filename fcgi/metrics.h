/* metrics: the scoreboard as Prometheus text and as JSON. */
#ifndef FIBCGI_METRICS_H
#define FIBCGI_METRICS_H

#include "app.h"
#include "scoreboard.h"

/* Content type of metrics_prometheus: the text exposition format, version 0.0.4. */
#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Append the whole scoreboard to out's body. Counters are read one after the other while workers count on:
 * each is right, their sums may differ by the requests of that moment. */
void metrics_prometheus(const struct scoreboard *board, struct app_response *out);
void metrics_json(const struct scoreboard *board, uint64_t now_ns, struct app_response *out);

/* Workers that can take a request: those that have started and have not left. */
unsigned metrics_workers_up(const struct scoreboard *board);

#endif
