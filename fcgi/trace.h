/* trace: the trace to which a request belongs, as its client says in traceparent (W3C Trace Context §3.2). */
#ifndef FIBCGI_TRACE_H
#define FIBCGI_TRACE_H

#include <stdbool.h>

struct trace {
    char trace_id[33];  /* 32 lowercase hexadecimal digits, not all 0 */
    char parent_id[17]; /* 16 of them: who has asked */
};

/* Reads such a header field's value; NULL is none. False where it is not valid, and is to be taken for none. Of versions to come
 * it reads the part that all of them have. */
bool trace_read(struct trace *trace, const char *traceparent);

#endif
