/* http_check over arbitrary bytes: what it calls whole must be a head to a plain reading, too, and its variables must be in order;
 * and a verdict stays, whatever comes behind it. The input is what a client sends. */
#include <ctype.h>
#include <stdlib.h>

#include "fuzz.h"
#include "http.h"

static struct http_request request;

/* In memory of just that size: to read a byte beyond is a finding. */
static enum http_verdict check(const uint8_t *data, size_t size)
{
    char *exact = malloc(size > 0 ? size : 1);
    assert(exact != NULL);
    memcpy(exact, data, size);
    memset(&request, 'x', sizeof(request));
    enum http_verdict verdict = http_check(&request, exact, size);
    free(exact);
    return verdict;
}

static void check_refusal(void)
{
    static const int statuses[] = {400, 414, 431, 501, 505};
    int known = 0;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        known += request.status == statuses[i];
    assert(known == 1 && strlen(request.wrong) > 0);
}

static size_t count_variables(void)
{
    size_t count = 0;
    assert(request.used <= HTTP_VARIABLES_MAX && request.variables[request.used - 1] == '\0');
    for (const char *entry = request.variables; entry < request.variables + request.used; entry += strlen(entry) + 1) {
        const char *equals = strchr(entry, '=');
        assert(equals != NULL && equals > entry);
        for (const char *c = entry; c < equals; c++)
            assert(!islower((unsigned char)*c) && *c != '-' && *c > ' ' && *c != 0x7f);
        char *name = strndup(entry, (size_t)(equals - entry));
        assert(name != NULL);
        /* The first of its name: all of them are one. */
        assert(http_variable(&request, name) == equals + 1);
        free(name);
        count++;
    }
    return count;
}

static void check_whole(const char *head, size_t size)
{
    const char *end = memmem(head, size, "\r\n\r\n", 4);
    size_t lines = 0;
    while (size >= 2 && memcmp(head, "\r\n", 2) == 0 && end == head) {
        head += 2;
        size -= 2;
        end = memmem(head, size, "\r\n\r\n", 4);
    }
    assert(end != NULL);
    for (const char *c = head; c < end + 4; c++) {
        lines += *c == '\n';
        assert(*c != '\0' && (*c != '\n' || c[-1] == '\r') && (*c != '\r' || c[1] == '\n'));
    }
    size_t variables = count_variables();
    assert(variables >= 4 && variables <= lines + 4);
    assert(http_variable(&request, "REQUEST_METHOD") == request.method && *request.method != '\0');
    assert(http_variable(&request, "PATH_INFO") == request.path);
    assert(http_variable(&request, "QUERY_STRING") == request.query);
    assert(request.path[0] == '/' || strcmp(request.path, "*") == 0);
    assert(strstr(head, request.method) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[HTTP_HEAD_MAX + 1];
    if (size > HTTP_HEAD_MAX)
        return 0;
    struct dice dice = dice_from(data, size);
    size_t part = dice_roll(&dice, size + 1);
    enum http_verdict early = check(data, part);
    int early_status = early == HTTP_REFUSED ? request.status : 0;
    enum http_verdict verdict = check(data, size);
    assert(early == HTTP_MORE || early == verdict);
    assert(early != HTTP_REFUSED || request.status == early_status);
    assert(verdict != HTTP_MORE || size < HTTP_HEAD_MAX);
    if (verdict == HTTP_REFUSED)
        check_refusal();
    memcpy(text, data, size);
    text[size] = '\0';
    if (verdict == HTTP_WHOLE)
        check_whole(text, size);
    return 0;
}
