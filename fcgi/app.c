#include "app.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_FIRST_CAPACITY 4096

void app_response_reset(struct app_response *response)
{
    response->status = 200;
    response->content_type = NULL;
    response->headers_length = 0;
    response->headers[0] = '\0';
    response->body_length = 0;
    response->failed = false;
}

void app_response_free(struct app_response *response)
{
    free(response->body);
    *response = (struct app_response){0};
}

/* Makes room for length more bytes and a NUL. */
static bool reserve(struct app_response *response, size_t length)
{
    if (response->failed || length >= SIZE_MAX / 4 - response->body_length) {
        response->failed = true;
        return false;
    }
    size_t needed = response->body_length + length + 1;
    if (needed <= response->body_capacity)
        return true;
    size_t capacity = response->body_capacity > 0 ? response->body_capacity : BODY_FIRST_CAPACITY;
    while (capacity < needed)
        capacity *= 2;
    char *body = realloc(response->body, capacity);
    response->failed = body == NULL;
    if (body == NULL)
        return false;
    response->body = body;
    response->body_capacity = capacity;
    return true;
}

void app_write(struct app_response *response, const void *bytes, size_t length)
{
    if (!reserve(response, length))
        return;
    memcpy(response->body + response->body_length, bytes, length);
    response->body_length += length;
}

void app_printf(struct app_response *response, const char *format, ...)
{
    va_list arguments;
    if (!reserve(response, 256))
        return;
    size_t room = response->body_capacity - response->body_length;
    va_start(arguments, format);
    int length = vsnprintf(response->body + response->body_length, room, format, arguments);
    va_end(arguments);
    if (length < 0 || !reserve(response, (size_t)length))
        return;
    if ((size_t)length >= room) {
        va_start(arguments, format);
        vsnprintf(response->body + response->body_length, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    response->body_length += (size_t)length;
}

static bool is_header_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text))
            return false;
    }
    return true;
}

int app_add_header(struct app_response *response, const char *name, const char *value)
{
    if (!is_header_text(name) || !is_header_text(value)) {
        errno = EINVAL;
        return -1;
    }
    size_t room = APP_HEADERS_MAX - response->headers_length;
    int length = snprintf(response->headers + response->headers_length, room, "%s: %s\r\n", name, value);
    if (length < 0 || (size_t)length >= room) {
        response->headers[response->headers_length] = '\0';
        errno = ENOSPC;
        return -1;
    }
    response->headers_length += (size_t)length;
    return 0;
}

void app_write_json_string(struct app_response *response, const char *text)
{
    app_write(response, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            app_printf(response, "\\%c", c);
        else if (c < 0x20)
            app_printf(response, "\\u%04x", c);
        else
            app_write(response, text, 1);
    }
    app_write(response, "\"", 1);
}

void app_problem(struct app_response *response, int status, const char *detail, const char *extra)
{
    response->status = status;
    response->content_type = "application/problem+json";
    response->body_length = 0;
    app_printf(response,
               "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", app_status_title(status),
               status);
    app_write_json_string(response, detail);
    app_printf(response, "%s}\n", extra);
}

bool app_allows_reading(const struct app_request *request, struct app_response *response)
{
    static const char allowed[] = "GET, HEAD, OPTIONS";
    if (strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0)
        return true;
    app_add_header(response, "Allow", allowed);
    if (strcmp(request->method, "OPTIONS") == 0)
        response->status = 204;
    else
        app_problem(response, 405, "This resource can only be read: use GET or HEAD.", "");
    return false;
}

const char *app_status_title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }
    return "Unknown";
}

const char *app_path(const char *path_info, const char *script_name)
{
    if (path_info != NULL && path_info[0] != '\0')
        return path_info;
    const char *last = script_name != NULL ? strrchr(script_name, '/') : NULL;
    return last != NULL ? last : "/";
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = tolower((unsigned char)c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes length characters; false for a broken escape, a NUL byte, or no room. */
static bool decode(const char *text, size_t length, char *value, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '+')
            c = ' ';
        if (c == '%') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || used + 1 >= size)
            return false;
        value[used++] = c;
    }
    value[used] = '\0';
    return true;
}

enum app_query_result app_query(const char *query, const char *name, char *value, size_t size)
{
    enum app_query_result result = APP_QUERY_NONE;
    size_t name_length = strlen(name);
    while (*query != '\0') {
        size_t length = strcspn(query, "&");
        const char *equals = memchr(query, '=', length);
        size_t key_length = equals != NULL ? (size_t)(equals - query) : length;
        if (key_length == name_length && memcmp(query, name, name_length) == 0) {
            if (result != APP_QUERY_NONE)
                return APP_QUERY_TWICE;
            const char *text = equals != NULL ? equals + 1 : "";
            size_t text_length = equals != NULL ? length - key_length - 1 : 0;
            result = decode(text, text_length, value, size) ? APP_QUERY_FOUND : APP_QUERY_BAD;
        }
        query += length + (query[length] == '&');
    }
    return result;
}
