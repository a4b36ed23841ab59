/* app: what an application is, and the small tools that every application needs.
 *
 * An application is one struct of function pointers. The same application is served as CGI, by one spawned process or
 * by the pool; it sees a request and fills a response, and knows nothing of sockets, records or processes. */
#ifndef FIBCGI_APP_H
#define FIBCGI_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct app_request {
    const char *method; /* REQUEST_METHOD, never NULL */
    const char *path;   /* inside the mount: "/compute" whether mounted at "/", a prefix or a script's name */
    const char *query;  /* QUERY_STRING, "" where there is none; still percent-encoded */
    uint64_t body_length;

    /* A CGI variable (RFC 3875 §4.1) such as "CONTENT_TYPE" or "HTTP_ACCEPT"; NULL where it is not set. */
    const char *(*variable)(const struct app_request *request, const char *name);
    /* Up to size bytes of the body that were not read yet; returns their number, 0 at the end, -1 on an error. */
    ssize_t (*read_body)(const struct app_request *request, void *buffer, size_t size);
    void *source; /* the server's own */
};

#define APP_HEADERS_MAX 1024

struct app_response {
    int status;                    /* 100 to 599; the server starts it at 200 */
    const char *content_type;      /* NULL: no body is sent */
    char headers[APP_HEADERS_MAX]; /* further header lines, each ended by \r\n; app_add_header fills it */
    size_t headers_length;
    char *body;
    size_t body_length;
    size_t body_capacity;
    bool failed; /* memory ran out: the server answers 500 instead */
};

/* An option of the application's own, set by --name or by its variable as the server's options are. A whole number. */
struct app_option {
    const char *name;     /* "max-n"; none of the server's own */
    const char *variable; /* "FIBCGI_MAX_N" */
    const char *help;     /* a line */
    long long initial;    /* the default */
    long long min, max;   /* bounds, 0 or more; initial is within */
    long long *value;     /* set before the application is opened */
};

#define APP_OPTIONS_MAX 32

/* What an application calls in serve() beyond computing and its connection: the sandbox lets it do no more than it says here.
 * What it opens in open() needs none of them. */
enum app_need {
    APP_NEEDS_FILES = 1,   /* opens files by path */
    APP_NEEDS_NETWORK = 2, /* makes sockets; to look up names it needs files, too */
    APP_NEEDS_EXEC = 4,    /* runs programs: with all that those may do, network aside */
};

struct app {
    const char *name;
    unsigned needs;                   /* of enum app_need; 0: nothing */
    void *context;                    /* what its functions are called with; may be NULL */
    const struct app_option *options; /* at most APP_OPTIONS_MAX, then one without a name; NULL: none */
    /* Called once in each worker before its first request. Returns 0, or -1 with errno: the worker then ends and is tried
     * again later. May be NULL. */
    int (*open)(void *context);
    /* Answers one request. Always leaves a complete response behind. */
    void (*serve)(void *context, const struct app_request *request, struct app_response *response);
};

/* Gets a response ready for the next request; keeps its buffer. */
void app_response_reset(struct app_response *response);
/* Frees the buffer. */
void app_response_free(struct app_response *response);

/* Append to the body. On lack of memory response->failed is set and the rest is dropped. */
void app_write(struct app_response *response, const void *bytes, size_t length);
void app_printf(struct app_response *response, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends a text as a JSON string, in quotes. */
void app_write_json_string(struct app_response *response, const char *text);

/* Adds one header line. Returns 0, or -1 with errno EINVAL (a control character in it) or ENOSPC. */
int app_add_header(struct app_response *response, const char *name, const char *value);

/* Fills the response with an application/problem+json document (RFC 9457): type about:blank, the status and its title,
 * detail (one sentence, quoted as JSON), then extra: further members as JSON text that starts with a comma, or "". */
void app_problem(struct app_response *response, int status, const char *detail, const char *extra);

/* For a resource that is only read: true for GET and HEAD. Otherwise the response is already filled, 204 with Allow for
 * OPTIONS and 405 with Allow for the rest, and false comes back. */
bool app_allows_reading(const struct app_request *request, struct app_response *response);

/* "OK" for 200, "Not Found" for 404, …; "Unknown" for what is not in the table. */
const char *app_status_title(int status);

/* The path inside the mount from what a web server passes (RFC 3875 §4.1.5, §4.1.13): PATH_INFO where there is one;
 * else the last segment of SCRIPT_NAME, as nginx and a bare alias pass it. Either may be NULL. Points into them. */
const char *app_path(const char *path_info, const char *script_name);

enum app_query_result { APP_QUERY_NONE, APP_QUERY_FOUND, APP_QUERY_TWICE, APP_QUERY_BAD };

/* Looks for name in a query string (name=value pairs joined by &) and decodes its value (%XX and +) into value.
 * APP_QUERY_BAD: a broken escape, a NUL byte, or a value of size bytes or more. */
enum app_query_result app_query(const char *query, const char *name, char *value, size_t size);

#endif
