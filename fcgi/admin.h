/* admin: /healthz, /readyz, /metrics and /status, answered from the scoreboard by a worker of its own. */
#ifndef FIBCGI_ADMIN_H
#define FIBCGI_ADMIN_H

#include "app.h"
#include "scoreboard.h"

/* Its context is a const struct scoreboard. */
extern const struct app admin_app;

#endif
