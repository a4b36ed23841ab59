#include "trace.h"

#include <stddef.h>
#include <string.h>

/* version-trace_id-parent_id-flags: where each begins, and how long all of it is. */
#define TRACE_AT 3
#define PARENT_AT 36
#define FLAGS_AT 53
#define LENGTH 55

static bool is_hex(const char *text, size_t length)
{
    return strspn(text, "0123456789abcdef") >= length;
}

static bool is_zero(const char *text, size_t length)
{
    return strspn(text, "0") >= length;
}

static void copy(char *to, const char *from, size_t length)
{
    memcpy(to, from, length);
    to[length] = '\0';
}

/* Each length is checked before what lies behind it is looked at. */
bool trace_read(struct trace *trace, const char *traceparent)
{
    const char *text = traceparent;
    if (text == NULL || strnlen(text, LENGTH) < LENGTH || text[TRACE_AT - 1] != '-' || text[PARENT_AT - 1] != '-' ||
        text[FLAGS_AT - 1] != '-')
        return false;
    bool is_version_0 = strncmp(text, "00", 2) == 0;
    if (!is_hex(text, 2) || strncmp(text, "ff", 2) == 0 ||
        (text[LENGTH] != '\0' && (is_version_0 || text[LENGTH] != '-')))
        return false;
    const char *trace_id = text + TRACE_AT, *parent_id = text + PARENT_AT;
    const size_t trace_length = sizeof(trace->trace_id) - 1, parent_length = sizeof(trace->parent_id) - 1;
    if (!is_hex(trace_id, trace_length) || is_zero(trace_id, trace_length) || !is_hex(parent_id, parent_length) ||
        is_zero(parent_id, parent_length) || !is_hex(text + FLAGS_AT, 2))
        return false;
    copy(trace->trace_id, trace_id, trace_length);
    copy(trace->parent_id, parent_id, parent_length);
    return true;
}
