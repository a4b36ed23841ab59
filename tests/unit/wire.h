/* wire: what a web server sends (FastCGI 1.0), put together record by record, and what comes back. */
#ifndef TESTS_WIRE_H
#define TESTS_WIRE_H

#include <string.h>

#include "record.h"

#define WIRE_MAX ((size_t)512 * 1024)
#define WIRE_KEEP 1 /* FCGI_KEEP_CONN */

struct wire {
    size_t length;
    uint8_t bytes[WIRE_MAX];
};

static inline void wire_put(struct wire *wire, const void *bytes, size_t length)
{
    assert_true(length <= WIRE_MAX - wire->length);
    if (length > 0)
        memcpy(wire->bytes + wire->length, bytes, length);
    wire->length += length;
}

/* A record without padding; length is at most RECORD_CONTENT_MAX. */
static inline void wire_put_record(struct wire *wire, enum record_type type, uint16_t id, const void *content,
                                   size_t length)
{
    uint8_t header[RECORD_HEADER_SIZE];
    record_write_header(header, type, id, length);
    wire_put(wire, header, sizeof(header));
    wire_put(wire, content, length);
}

static inline void wire_put_begin(struct wire *wire, uint16_t id, uint8_t flags)
{
    const uint8_t content[8] = {0, 1, flags};
    wire_put_record(wire, RECORD_BEGIN_REQUEST, id, content, sizeof(content));
}

/* One variable, name and value shorter than 128 bytes, in a record of its own. */
static inline void wire_put_variable(struct wire *wire, uint16_t id, const char *name, const char *value)
{
    uint8_t content[256] = {(uint8_t)strlen(name), (uint8_t)strlen(value)};
    memcpy(content + 2, name, content[0]);
    memcpy(content + 2 + content[0], value, content[1]);
    wire_put_record(wire, RECORD_PARAMS, id, content, 2U + content[0] + content[1]);
}

static inline void wire_put_body(struct wire *wire, uint16_t id, const uint8_t *body, size_t length)
{
    while (length > 0) {
        size_t piece = length < RECORD_CONTENT_MAX ? length : RECORD_CONTENT_MAX;
        wire_put_record(wire, RECORD_STDIN, id, body, piece);
        body += piece;
        length -= piece;
    }
    wire_put_record(wire, RECORD_STDIN, id, NULL, 0);
}

/* A whole request for /compute?QUERY. */
static inline void wire_put_request(struct wire *wire, uint16_t id, uint8_t flags, const char *method,
                                    const char *query, const uint8_t *body, size_t body_length)
{
    wire_put_begin(wire, id, flags);
    wire_put_variable(wire, id, "REQUEST_METHOD", method);
    wire_put_variable(wire, id, "SCRIPT_NAME", "/compute");
    wire_put_variable(wire, id, "QUERY_STRING", query);
    wire_put_record(wire, RECORD_PARAMS, id, NULL, 0);
    wire_put_body(wire, id, body, body_length);
}

#endif
