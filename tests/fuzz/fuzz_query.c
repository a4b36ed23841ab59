/* app_query, app_path, app_add_header, app_problem and the compute application on arbitrary text. The input is up to five
 * texts, a newline between: query, path info, script name, a sentence, a name. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/json.h"
#include "app.h"
#include "compute.h"
#include "fuzz.h"

#define TEXTS 5
#define TEXT_MAX 4096
#define MAX_N 5

static int hex(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) % 16 : -1;
}

/* Decodes text in place; false for what app_query has to call bad, the length of the result set aside. */
static bool decode_plainly(char *text)
{
    char *to = text;
    for (char *from = text; *from != '\0'; from++, to++) {
        *to = *from;
        if (*from == '+')
            *to = ' ';
        if (*from != '%')
            continue;
        if (hex(from[1]) < 0 || hex(from[2]) < 0)
            return false;
        *to = (char)(hex(from[1]) * 16 + hex(from[2]));
        if (*to == '\0')
            return false;
        from += 2;
    }
    *to = '\0';
    return true;
}

/* The same search, with a copy cut at each &. */
static enum app_query_result find_plainly(char *query, const char *name, char **value, size_t size)
{
    static char nothing[1];
    enum app_query_result result = APP_QUERY_NONE;
    for (char *pair, *rest = query; (pair = strsep(&rest, "&")) != NULL;) {
        char *text = pair;
        char *key = strsep(&text, "=");
        /* What is empty between two & is a pair without a name; what is empty behind the last is nothing. */
        if (strcmp(key, name) != 0 || (text == NULL && *key == '\0' && rest == NULL))
            continue;
        if (result != APP_QUERY_NONE)
            return APP_QUERY_TWICE;
        *value = text != NULL ? text : nothing;
        result = decode_plainly(*value) && strlen(*value) < size ? APP_QUERY_FOUND : APP_QUERY_BAD;
    }
    return result;
}

static void check_query(const char *query, const char *name, size_t size)
{
    static char copy[TEXT_MAX];
    /* Just as large as they need be: a byte beyond is a finding. */
    char *value = malloc(size), *exact = strdup(query), *expected = NULL;
    assert(value != NULL && exact != NULL);
    memcpy(copy, query, strlen(query) + 1);
    enum app_query_result result = app_query(exact, name, value, size);
    assert(result == find_plainly(copy, name, &expected, size));
    if (result == APP_QUERY_FOUND)
        assert(strcmp(value, expected) == 0);
    free(exact);
    free(value);
}

static void check_path(const char *path_info, const char *script_name)
{
    const char *path = app_path(path_info, script_name);
    assert(path != NULL);
    if (path_info != NULL && *path_info != '\0')
        assert(path == path_info);
    else
        assert(path[0] == '/' && strchr(path + 1, '/') == NULL);
}

static void check_json(const struct app_response *response)
{
    static char text[8 * TEXT_MAX];
    assert(response->body_length < sizeof(text));
    memcpy(text, response->body, response->body_length);
    text[response->body_length] = '\0';
    assert(strlen(text) == response->body_length);
    assert(!response->failed && json_is_valid(text));
}

static void check_problem(struct app_response *response, const char *detail)
{
    app_response_reset(response);
    app_problem(response, 400, detail, ",\"field\":\"n\"");
    check_json(response);
    assert(response->body_length >= strlen(detail));
}

static void check_header(struct app_response *response, const char *name, const char *value)
{
    for (int i = 0; i < 8; i++) {
        size_t before = response->headers_length;
        int result = app_add_header(response, name, value);
        assert(response->headers_length < APP_HEADERS_MAX);
        assert(strlen(response->headers) == response->headers_length);
        assert((result == 0) == (response->headers_length > before));
    }
    size_t lines = 0;
    for (const char *at = response->headers; *at != '\0'; at++) {
        lines += *at == '\n';
        assert((unsigned char)*at >= 0x20 || *at == '\r' || *at == '\n');
    }
    assert(lines <= 8);
}

/* Compute answers 200 to plain digits up to its bound and to nothing else. */
static void check_compute(struct app_response *response, const char *query, const char *path)
{
    struct compute_context context = {.max_n = MAX_N};
    struct app_request request = {.method = "GET", .path = path, .query = query};
    char text[32];
    app_response_reset(response);
    compute_app.serve(&context, &request, response);
    check_json(response);
    bool is_good = strcmp(path, "/compute") == 0 && app_query(query, "n", text, sizeof(text)) == APP_QUERY_FOUND &&
                   *text != '\0' && strspn(text, "0123456789") == strlen(text) && strtoull(text, NULL, 10) <= MAX_N;
    assert((response->status == 200) == is_good);
    assert(is_good || response->status == (strcmp(path, "/compute") == 0 ? 400 : 404));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct app_response response; /* as a worker's: its buffer is used again */
    static char copy[TEXT_MAX];
    char *rest = copy;
    const char *texts[TEXTS] = {NULL};
    struct dice dice = dice_from(data, size);
    if (size >= TEXT_MAX)
        return 0;
    memcpy(copy, data, size);
    copy[size] = '\0';
    for (size_t i = 0; i < TEXTS && rest != NULL; i++)
        texts[i] = strsep(&rest, "\n");
    check_query(texts[0], "n", 1 + dice_roll(&dice, 40));
    check_query(texts[0], texts[4] != NULL ? texts[4] : "", 1 + dice_roll(&dice, 4));
    check_path(texts[1], texts[2]);
    check_compute(&response, texts[0], app_path(texts[1], texts[2]));
    if (texts[3] != NULL) {
        check_problem(&response, texts[3]);
        check_header(&response, texts[4] != NULL ? texts[4] : "Name", texts[3]);
    }
    return 0;
}
