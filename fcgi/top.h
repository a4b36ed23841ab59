/* top: a view of one or several pools in a terminal, anew each second until a key or a signal ends it. */
#ifndef FIBCGI_TOP_H
#define FIBCGI_TOP_H

#define TOP_POOLS_MAX 16

/* addresses: count of them, 1 to TOP_POOLS_MAX, as report_ask takes them. Returns 0, with *signal_number the signal that ended it, or
 * 0; or -1 with errno: ENOTTY where there is no terminal. */
int top_run(const char *const *addresses, unsigned count, unsigned timeout_ms, int *signal_number);

#endif
