/* compute: the demonstration application: GET /compute?n=N answers the Nth Fibonacci number. */
#ifndef FIBCGI_COMPUTE_H
#define FIBCGI_COMPUTE_H

#include "app.h"

struct compute_context {
    long long max_n; /* the largest n that is accepted, 0 to FIB_N_MAX */
};

/* Its context is a struct compute_context, which its option --max-n sets. */
extern const struct app compute_app;

#endif
