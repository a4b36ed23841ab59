/* record: FastCGI records, checked before anything else looks at them; a pure function over bytes.
 *
 * The checker walks the bytes of one connection and stops where a request is whole, where something is wrong, or where
 * a record has to be taken aside (answered and cut out) so that libfcgi sees nothing but one clean responder request:
 * BEGIN_REQUEST, PARAMS…, an empty PARAMS, STDIN…, an empty STDIN (FastCGI 1.0 §3.3, §5, §6.2). */
#ifndef FIBCGI_RECORD_H
#define FIBCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_SIZE 8
#define RECORD_CONTENT_MAX 65535
/* Records that may be put aside before a request is whole; web servers send one, and a flood of them must not keep a worker. */
#define RECORD_ASIDES_MAX 64

/* FastCGI 1.0 §8. */
enum record_type {
    RECORD_BEGIN_REQUEST = 1,
    RECORD_ABORT_REQUEST = 2,
    RECORD_END_REQUEST = 3,
    RECORD_PARAMS = 4,
    RECORD_STDIN = 5,
    RECORD_STDOUT = 6,
    RECORD_STDERR = 7,
    RECORD_DATA = 8,
    RECORD_GET_VALUES = 9,
    RECORD_GET_VALUES_RESULT = 10,
    RECORD_UNKNOWN_TYPE = 11,
};

/* protocolStatus of END_REQUEST, FastCGI 1.0 §5.5. */
enum record_end_status {
    RECORD_REQUEST_COMPLETE = 0,
    RECORD_CANT_MPX_CONN = 1,
    RECORD_OVERLOADED = 2,
    RECORD_UNKNOWN_ROLE = 3,
};

enum record_verdict {
    RECORD_MORE,             /* good so far: bytes are missing */
    RECORD_WHOLE,            /* [0, offset) is one complete request */
    RECORD_ASIDE,            /* [offset, aside_end) is to be answered by record_answer_aside and cut out */
    RECORD_ABORTED,          /* the web server gave the request up before its end */
    RECORD_OTHER_ROLE,       /* not a responder request */
    RECORD_PARAMS_TOO_LARGE, /* more than limits.params_bytes, or more pairs than limits.params_count */
    RECORD_BODY_TOO_LARGE,   /* more than limits.body_bytes */
    RECORD_PARAMS_UNSAFE,    /* a NUL byte in a name or value: C strings would show a part of it */
    RECORD_BROKEN,           /* against the protocol; `broken` says how */
};

struct record_limits {
    size_t params_bytes; /* of all PARAMS content together */
    size_t params_count; /* name-value pairs */
    size_t body_bytes;   /* of all STDIN content together */
};

/* Where the checker is in a stream of name-value pairs (FastCGI 1.0 §3.4), which may be cut anywhere by records. */
struct record_pairs {
    enum { PAIRS_NAME_LENGTH, PAIRS_VALUE_LENGTH, PAIRS_BYTES } at;
    uint8_t length_bytes_left; /* of a 4-byte length that has begun */
    uint64_t length;           /* being put together */
    uint64_t bytes_left;       /* of name and value */
    size_t count;
    bool has_nul;
};

struct record_check {
    struct record_limits limits;
    enum { CHECK_BEGIN, CHECK_PARAMS, CHECK_BODY, CHECK_DONE } at;
    size_t offset;    /* bytes that are checked: a whole number of records */
    size_t aside_end; /* with RECORD_ASIDE: where the record to cut out ends */
    unsigned asides;  /* records put aside so far */
    uint16_t request_id;
    uint16_t role;
    bool keep_connection; /* FCGI_KEEP_CONN was asked for */
    size_t params_bytes;
    size_t body_bytes;
    struct record_pairs pairs;
    const char *broken; /* with RECORD_BROKEN: what is wrong, for the log */
};

void record_check_init(struct record_check *check, const struct record_limits *limits);

/* Goes on from check->offset over bytes [0, length), the connection's bytes from the start of the request on. May be
 * called again with more bytes after RECORD_MORE, and after RECORD_ASIDE once those bytes are cut out. Reads nothing
 * outside [0, length); any bytes are allowed. */
enum record_verdict record_check(struct record_check *check, const uint8_t *bytes, size_t length);

/* The largest reply that record_answer_aside writes: header, three pairs. */
#define RECORD_ASIDE_REPLY_MAX 128

/* Writes the reply that FastCGI 1.0 §4.1, §4.2 and §5.5 ask for to the record at [offset, aside_end) of bytes:
 * GET_VALUES_RESULT, UNKNOWN_TYPE, or END_REQUEST with CANT_MPX_CONN. Returns its length; 0 where the record is simply
 * to be dropped (a stray id, §3.3). max_conns is what FCGI_MAX_CONNS and FCGI_MAX_REQS report. */
size_t record_answer_aside(const struct record_check *check, const uint8_t *bytes, unsigned max_conns,
                           uint8_t reply[static RECORD_ASIDE_REPLY_MAX]);

#define RECORD_END_SIZE 16
/* Writes an END_REQUEST record for request_id. */
void record_write_end(uint8_t end[static RECORD_END_SIZE], uint16_t request_id, enum record_end_status status);

/* Writes a record's header for length bytes of content (at most RECORD_CONTENT_MAX), no padding. */
void record_write_header(uint8_t header[static RECORD_HEADER_SIZE], enum record_type type, uint16_t request_id,
                         size_t length);

#endif
