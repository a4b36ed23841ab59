/* status: the scoreboard as JSON, for programs and for the page that shows it. docs/operations.md has each member. */
#ifndef FIBCGI_STATUS_H
#define FIBCGI_STATUS_H

#include "app.h"
#include "scoreboard.h"

/* Appends all of it to out's body. since: of the history only the samples behind that number. */
void status_write(const struct scoreboard *board, uint64_t since, uint64_t now_ns, struct app_response *out);

#endif
