#include "http.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"

/* Bytes of a head, not ended by a NUL. */
struct text {
    const char *at;
    size_t length;
};

/* What the fields say of the message as a whole. */
struct framing {
    bool is_1_0;
    unsigned lengths;
    unsigned encodings;
    unsigned hosts;
    unsigned fields;
};

static enum http_verdict refuse(struct http_request *request, int status, const char *wrong)
{
    request->status = status;
    request->wrong = wrong;
    return HTTP_REFUSED;
}

static bool equals(struct text text, const char *word)
{
    return text.length == strlen(word) && strncasecmp(text.at, word, text.length) == 0;
}

static bool starts_with(struct text text, const char *word)
{
    return text.length >= strlen(word) && strncasecmp(text.at, word, strlen(word)) == 0;
}

static struct text skip(struct text text, size_t count)
{
    return (struct text){text.at + count, text.length - count};
}

/* Up to the first of that byte, or all. */
static struct text before(struct text text, char end)
{
    const char *found = memchr(text.at, end, text.length);
    return (struct text){text.at, found != NULL ? (size_t)(found - text.at) : text.length};
}

/* A method or a field's name (RFC 9110 §5.6.2). */
static bool is_token(struct text text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (!isalnum((unsigned char)text.at[i]) &&
            (text.at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", text.at[i]) == NULL))
            return false;
    }
    return text.length > 0;
}

/* No control character; a lone CR, LF or NUL is what requests are smuggled with. */
static bool is_printable(struct text text)
{
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* A line and its CRLF are taken off *rest; false where it has not ended. */
static bool next_line(struct text *rest, struct text *line)
{
    const char *end = memmem(rest->at, rest->length, "\r\n", 2);
    if (end == NULL)
        return false;
    *line = (struct text){rest->at, (size_t)(end - rest->at)};
    *rest = skip(*rest, line->length + 2);
    return true;
}

static void append(struct http_request *request, const char *bytes, size_t length)
{
    memcpy(request->variables + request->used, bytes, length);
    request->used += length;
}

static char *add_variable(struct http_request *request, const char *name, struct text value)
{
    append(request, name, strlen(name));
    append(request, "=", 1);
    char *start = request->variables + request->used;
    append(request, value.at, value.length);
    append(request, "", 1);
    return start;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    int lower = tolower((unsigned char)c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Decodes a path; false for a broken escape or a NUL byte. */
static bool add_path(struct http_request *request, struct text path)
{
    char *to = add_variable(request, "PATH_INFO", path);
    request->path = to;
    for (size_t i = 0; i < path.length; i++) {
        char c = path.at[i];
        if (c == '%') {
            int high = i + 2 < path.length ? hex_digit(path.at[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(path.at[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return false;
        *to++ = c;
    }
    *to++ = '\0';
    request->used = (size_t)(to - request->variables);
    return true;
}

/* Returns the value of the variable of that name before end; NULL: there is none. */
static const char *find_variable(const struct http_request *request, size_t end, const char *name)
{
    size_t length = strlen(name);
    for (const char *entry = request->variables; entry < request->variables + end; entry += strlen(entry) + 1) {
        if (strncmp(entry, name, length) == 0 && entry[length] == '=')
            return entry + length + 1;
    }
    return NULL;
}

/* Writes a field's name as CGI has it behind the variables. */
static void write_name(struct http_request *request, struct text name)
{
    if (!equals(name, "Content-Type") && !equals(name, "Content-Length"))
        append(request, "HTTP_", 5);
    for (size_t i = 0; i < name.length; i++) {
        char c = (char)toupper((unsigned char)name.at[i]);
        append(request, c == '-' ? "_" : &c, 1);
    }
}

static void join(struct http_request *request, const char *known, struct text value)
{
    size_t place = (size_t)(known - request->variables) + strlen(known);
    char *end = request->variables + place;
    memmove(end + 2 + value.length, end, request->used - place);
    end[0] = ',';
    end[1] = ' ';
    memcpy(end + 2, value.at, value.length);
    request->used += 2 + value.length;
}

static void add_field(struct http_request *request, struct text name, struct text value)
{
    size_t start = request->used;
    /* A_b would be taken for A-b. */
    if (before(name, '_').length < name.length)
        return;
    write_name(request, name);
    request->variables[request->used] = '\0';
    const char *known = find_variable(request, start, request->variables + start);
    if (known != NULL) {
        request->used = start;
        join(request, known, value);
        return;
    }
    append(request, "=", 1);
    append(request, value.at, value.length);
    append(request, "", 1);
}

/* "HTTP/1.1": exactly that form (RFC 9112 §2.3). */
static enum http_verdict check_version(struct http_request *request, struct text version, struct framing *framing)
{
    if (version.length != 8 || memcmp(version.at, "HTTP/", 5) != 0 || !isdigit((unsigned char)version.at[5]) ||
        version.at[6] != '.' || !isdigit((unsigned char)version.at[7]))
        return refuse(request, 400, "This is not an HTTP request: its first line is not METHOD PATH HTTP/1.1.");
    if (version.at[5] != '1')
        return refuse(request, 505, "Here is HTTP/1.1 only.");
    framing->is_1_0 = version.at[7] == '0';
    add_variable(request, "SERVER_PROTOCOL", version);
    return HTTP_WHOLE;
}

/* What a client sends to a proxy has to be taken, too (RFC 9112 §3.2.2): of http://host/path the path. */
static struct text path_of(struct text target)
{
    size_t scheme = starts_with(target, "http://") ? 7 : starts_with(target, "https://") ? 8 : 0;
    if (scheme == 0)
        return target;
    struct text rest = skip(target, scheme);
    size_t authority = before(before(rest, '/'), '?').length;
    rest = skip(rest, authority);
    return rest.length > 0 && rest.at[0] == '/' ? rest : (struct text){"/", 1};
}

static enum http_verdict check_target(struct http_request *request, struct text target)
{
    struct text path = path_of(target);
    for (size_t i = 0; i < target.length; i++) {
        if (target.at[i] < 0x21 || target.at[i] == '#')
            return refuse(request, 400, "The path has characters that a URL has not; write them as %XX.");
    }
    if (path.length == 0 || (path.at[0] != '/' && !(equals(path, "*") && strcmp(request->method, "OPTIONS") == 0)))
        return refuse(request, 400, "The path does not begin with a slash.");
    struct text plain = before(path, '?');
    if (!add_path(request, plain))
        return refuse(request, 400, "The path has a broken %XX, or a NUL byte.");
    struct text query = skip(path, plain.length < path.length ? plain.length + 1 : plain.length);
    request->query = add_variable(request, "QUERY_STRING", query);
    return HTTP_WHOLE;
}

static enum http_verdict check_request_line(struct http_request *request, struct text line, struct framing *framing)
{
    struct text method = before(line, ' ');
    struct text rest = skip(line, method.length < line.length ? method.length + 1 : method.length);
    struct text target = before(rest, ' ');
    struct text version = skip(rest, target.length < rest.length ? target.length + 1 : target.length);
    if (!is_token(method) || !is_printable(line))
        return refuse(request, 400, "This is not an HTTP request: its first line is not METHOD PATH HTTP/1.1.");
    enum http_verdict verdict = check_version(request, version, framing);
    if (verdict != HTTP_WHOLE)
        return verdict;
    request->method = add_variable(request, "REQUEST_METHOD", method);
    return check_target(request, target);
}

static struct text trim(struct text text)
{
    while (text.length > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = skip(text, 1);
    while (text.length > 0 && (text.at[text.length - 1] == ' ' || text.at[text.length - 1] == '\t'))
        text.length--;
    return text;
}

static bool consists_of(struct text text, const char *characters)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.at[i] == '\0' || strchr(characters, text.at[i]) == NULL)
            return false;
    }
    return true;
}

#define DIGITS "0123456789"
#define HOST_CHARACTERS DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~%!$&'()*+,;=:[]"

/* The fields that say how long a message is, and for whom it is. */
static enum http_verdict note_field(struct http_request *request, struct text name, struct text value,
                                    struct framing *framing)
{
    if (equals(name, "Host")) {
        framing->hosts++;
        if (!consists_of(value, HOST_CHARACTERS))
            return refuse(request, 400, "The Host field is not a host.");
    } else if (equals(name, "Content-Length")) {
        framing->lengths++;
        if (value.length == 0 || !consists_of(value, DIGITS))
            return refuse(request, 400, "The Content-Length field is not a number.");
    } else if (equals(name, "Transfer-Encoding")) {
        framing->encodings++;
        if (!equals(value, "chunked"))
            return refuse(request, 501, "Of transfer codings only chunked is known here.");
    }
    return HTTP_WHOLE;
}

static enum http_verdict check_field(struct http_request *request, struct text line, struct framing *framing)
{
    struct text name = before(line, ':');
    /* A line that begins with a blank goes on with the one before, which nobody may send any more: no token either. */
    if (name.length == line.length || !is_token(name) || !is_printable(line))
        return refuse(request, 400, "A line of the head is not a field: NAME: VALUE.");
    if (++framing->fields > HTTP_FIELDS_MAX)
        return refuse(request, 431, "The head has more fields than this server takes.");
    struct text value = trim(skip(line, name.length + 1));
    add_field(request, name, value);
    return note_field(request, name, value, framing);
}

/* Where it is not clear how long a message is, somebody in between may have taken it for another (RFC 9112 §6.1, §11.2). */
static enum http_verdict check_framing(struct http_request *request, const struct framing *framing)
{
    if (framing->hosts > 1 || (framing->hosts == 0 && !framing->is_1_0))
        return refuse(request, 400, "HTTP/1.1 wants exactly one Host field.");
    if (framing->lengths + framing->encodings > 1 || (framing->encodings > 0 && framing->is_1_0))
        return refuse(request, 400, "The fields contradict each other about the length of the body.");
    return HTTP_WHOLE;
}

/* The last line has not ended. What cannot become HTTP is refused without waiting for its end: that may never come. */
static enum http_verdict check_rest(struct http_request *request, struct text rest, size_t length, int too_long)
{
    if (rest.length > 0 && rest.at[rest.length - 1] == '\r')
        rest.length--;
    if (!is_printable(rest))
        return refuse(request, 400, "This is not an HTTP request: it has bytes that no head has.");
    if (length >= HTTP_HEAD_MAX)
        return refuse(request, too_long, "The request's head is larger than this server takes.");
    return HTTP_MORE;
}

enum http_verdict http_check(struct http_request *request, const char *bytes, size_t length)
{
    struct text rest = {bytes, length}, line = {0};
    struct framing framing = {0};
    request->used = 0;
    /* Some clients once sent empty lines behind a body (RFC 9112 §2.2). */
    while (line.length == 0) {
        if (!next_line(&rest, &line))
            return check_rest(request, rest, length, 414);
    }
    enum http_verdict verdict = check_request_line(request, line, &framing);
    while (verdict == HTTP_WHOLE) {
        if (!next_line(&rest, &line))
            return check_rest(request, rest, length, 431);
        if (line.length == 0)
            return check_framing(request, &framing);
        verdict = check_field(request, line, &framing);
    }
    return verdict;
}

const char *http_variable(const struct http_request *request, const char *name)
{
    return find_variable(request, request->used, name);
}

/* Two of them would both have to be kept. */
static bool has_policy(const struct app_response *response)
{
    return strstr(response->headers, "Content-Security-Policy: ") != NULL;
}

size_t http_write_head(const struct app_response *response, char head[static HTTP_ANSWER_HEAD_MAX])
{
    char date[CLOCK_DATE_SIZE];
    clock_date(date);
    int length =
        snprintf(head, HTTP_ANSWER_HEAD_MAX,
                 "HTTP/1.1 %d %s\r\n"
                 "Date: %s\r\n"
                 "Connection: close\r\n"
                 "Cache-Control: no-store\r\n"
                 "Referrer-Policy: no-referrer\r\n"
                 "X-Content-Type-Options: nosniff\r\n"
                 "%s%s",
                 response->status, app_status_title(response->status), date,
                 has_policy(response) ? "" : "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
                 response->headers);
    size_t room = HTTP_ANSWER_HEAD_MAX - (size_t)length;
    /* With 204 there is no body that could have a length (RFC 9110 §8.6). */
    if (response->content_type != NULL && response->status != 204)
        length += snprintf(head + length, room, "Content-Type: %.128s\r\nContent-Length: %zu\r\n\r\n",
                           response->content_type, response->body_length);
    else
        length += snprintf(head + length, room, response->status != 204 ? "Content-Length: 0\r\n\r\n" : "\r\n");
    return (size_t)length;
}
