#include "record.h"

#include <stdio.h>
#include <string.h>

#define FASTCGI_VERSION 1
#define ROLE_RESPONDER 1
#define FLAG_KEEP_CONN 1
#define BEGIN_CONTENT_SIZE 8

struct header {
    uint8_t version;
    uint8_t type;
    uint16_t id;
    uint16_t content_length;
    uint8_t padding_length;
};

static uint16_t read_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static struct header read_header(const uint8_t *bytes)
{
    return (struct header){
        .version = bytes[0],
        .type = bytes[1],
        .id = read_u16(bytes + 2),
        .content_length = read_u16(bytes + 4),
        .padding_length = bytes[6],
    };
}

void record_write_header(uint8_t header[static RECORD_HEADER_SIZE], enum record_type type, uint16_t request_id,
                         size_t length)
{
    header[0] = FASTCGI_VERSION;
    header[1] = (uint8_t)type;
    header[2] = (uint8_t)(request_id >> 8);
    header[3] = (uint8_t)request_id;
    header[4] = (uint8_t)(length >> 8);
    header[5] = (uint8_t)length;
    header[6] = 0;
    header[7] = 0;
}

static enum record_verdict broken(struct record_check *check, const char *why)
{
    check->broken = why;
    return RECORD_BROKEN;
}

/* Takes one byte of a name's or value's length (1 byte, or 4 with the top bit set). True once the length is known. */
static bool take_length_byte(struct record_pairs *pairs, uint8_t byte)
{
    if (pairs->length_bytes_left == 0) {
        if (byte < 0x80) {
            pairs->length = byte;
            return true;
        }
        pairs->length = byte & 0x7f;
        pairs->length_bytes_left = 3;
        return false;
    }
    pairs->length = pairs->length << 8 | byte;
    return --pairs->length_bytes_left == 0;
}

static void finish_length(struct record_pairs *pairs)
{
    pairs->bytes_left += pairs->length;
    if (pairs->at == PAIRS_NAME_LENGTH) {
        pairs->at = PAIRS_VALUE_LENGTH;
        return;
    }
    pairs->count++;
    pairs->at = pairs->bytes_left > 0 ? PAIRS_BYTES : PAIRS_NAME_LENGTH;
}

static void take_pairs(struct record_pairs *pairs, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        if (pairs->at != PAIRS_BYTES) {
            if (take_length_byte(pairs, bytes[i++]))
                finish_length(pairs);
            continue;
        }
        size_t span = length - i < pairs->bytes_left ? length - i : (size_t)pairs->bytes_left;
        if (memchr(bytes + i, 0, span) != NULL)
            pairs->has_nul = true;
        i += span;
        pairs->bytes_left -= span;
        if (pairs->bytes_left == 0)
            pairs->at = PAIRS_NAME_LENGTH;
    }
}

static bool pairs_are_complete(const struct record_pairs *pairs)
{
    return pairs->at == PAIRS_NAME_LENGTH && pairs->length_bytes_left == 0;
}

static enum record_verdict take_begin(struct record_check *check, struct header header, const uint8_t *content)
{
    if (header.content_length != BEGIN_CONTENT_SIZE)
        return broken(check, "a BEGIN_REQUEST whose content is not 8 bytes");
    if (header.id == 0)
        return broken(check, "a BEGIN_REQUEST with request id 0");
    check->request_id = header.id;
    check->role = read_u16(content);
    check->keep_connection = content[2] & FLAG_KEEP_CONN;
    if (check->role != ROLE_RESPONDER)
        return RECORD_OTHER_ROLE;
    check->at = CHECK_PARAMS;
    return RECORD_MORE;
}

static enum record_verdict take_params(struct record_check *check, struct header header, const uint8_t *content)
{
    if (header.type != RECORD_PARAMS)
        return broken(check, "a record other than PARAMS before the PARAMS have ended");
    if (header.content_length == 0) {
        if (!pairs_are_complete(&check->pairs))
            return broken(check, "PARAMS that end inside a name-value pair");
        if (check->pairs.has_nul)
            return RECORD_PARAMS_UNSAFE;
        check->at = CHECK_BODY;
        return RECORD_MORE;
    }
    check->params_bytes += header.content_length;
    take_pairs(&check->pairs, content, header.content_length);
    if (check->params_bytes > check->limits.params_bytes || check->pairs.count > check->limits.params_count)
        return RECORD_PARAMS_TOO_LARGE;
    return RECORD_MORE;
}

static enum record_verdict take_body(struct record_check *check, struct header header)
{
    if (header.type != RECORD_STDIN)
        return broken(check, "a record other than STDIN after the PARAMS");
    if (header.content_length == 0) {
        check->at = CHECK_DONE;
        return RECORD_WHOLE;
    }
    check->body_bytes += header.content_length;
    return check->body_bytes > check->limits.body_bytes ? RECORD_BODY_TOO_LARGE : RECORD_MORE;
}

/* Records that are not part of the request in hand: management, a type nobody knows, an id that is not in use. */
static bool belongs_aside(const struct record_check *check, struct header header)
{
    if (header.id == 0)
        return header.type != RECORD_BEGIN_REQUEST;
    if (header.type == 0 || header.type > RECORD_UNKNOWN_TYPE)
        return true;
    return check->at == CHECK_BEGIN ? header.type != RECORD_BEGIN_REQUEST : header.id != check->request_id;
}

/* libfcgi 2.4.2 forgets the padding of a BEGIN_REQUEST and of the PARAMS that end the PARAMS, and would read it as records
 * that nobody has checked. Legal, but no web server pads what is 8 bytes long or empty. */
static bool misleads_libfcgi(struct header header)
{
    return header.type == RECORD_BEGIN_REQUEST || (header.type == RECORD_PARAMS && header.content_length == 0);
}

static enum record_verdict take_record(struct record_check *check, struct header header, const uint8_t *content)
{
    if (header.type == RECORD_ABORT_REQUEST)
        return RECORD_ABORTED;
    switch (check->at) {
    case CHECK_BEGIN:
        return take_begin(check, header, content);
    case CHECK_PARAMS:
        return take_params(check, header, content);
    case CHECK_BODY:
        return take_body(check, header);
    case CHECK_DONE:
        break;
    }
    return RECORD_WHOLE;
}

void record_check_init(struct record_check *check, const struct record_limits *limits)
{
    *check = (struct record_check){.limits = *limits, .at = CHECK_BEGIN};
}

enum record_verdict record_check(struct record_check *check, const uint8_t *bytes, size_t length)
{
    enum record_verdict verdict = check->at == CHECK_DONE ? RECORD_WHOLE : RECORD_MORE;
    while (verdict == RECORD_MORE && length - check->offset >= RECORD_HEADER_SIZE) {
        const uint8_t *record = bytes + check->offset;
        struct header header = read_header(record);
        if (header.version != FASTCGI_VERSION)
            return broken(check, "a record that is not FastCGI version 1");
        size_t size = (size_t)RECORD_HEADER_SIZE + header.content_length + header.padding_length;
        if (length - check->offset < size)
            return RECORD_MORE;
        if (belongs_aside(check, header)) {
            if (check->asides++ == RECORD_ASIDES_MAX)
                return broken(check, "more records outside the request than any web server sends");
            check->aside_end = check->offset + size;
            return RECORD_ASIDE;
        }
        if (header.padding_length > 0 && misleads_libfcgi(header))
            return broken(check, "padding where libfcgi would take it for records");
        verdict = take_record(check, header, record + RECORD_HEADER_SIZE);
        check->offset += size;
    }
    return verdict;
}

void record_write_end(uint8_t end[static RECORD_END_SIZE], uint16_t request_id, enum record_end_status status)
{
    memset(end, 0, RECORD_END_SIZE);
    record_write_header(end, RECORD_END_REQUEST, request_id, 8);
    end[RECORD_HEADER_SIZE + 4] = (uint8_t)status;
}

/* Reads a pair's length at *at; false where it runs past end. */
static bool read_length(const uint8_t **at, const uint8_t *end, size_t *length)
{
    if (*at == end)
        return false;
    if (**at < 0x80) {
        *length = *(*at)++;
        return true;
    }
    if (end - *at < 4)
        return false;
    *length = (size_t)((*at)[0] & 0x7f) << 24 | (size_t)(*at)[1] << 16 | (size_t)(*at)[2] << 8 | (*at)[3];
    *at += 4;
    return true;
}

/* Which of the three variables that a responder knows (FastCGI 1.0 §4.1) this name is, or -1. */
static int known_value(const uint8_t *name, size_t length)
{
    static const char *const names[] = {"FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"};
    for (int i = 0; i < 3; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return i;
    }
    return -1;
}

/* Appends the pair for one known variable to reply; returns the new length. */
static size_t append_value(uint8_t *reply, size_t used, const uint8_t *name, size_t name_length, const char *value)
{
    size_t value_length = strlen(value);
    reply[used++] = (uint8_t)name_length;
    reply[used++] = (uint8_t)value_length;
    memcpy(reply + used, name, name_length);
    used += name_length;
    for (size_t i = 0; i < value_length; i++)
        reply[used++] = (uint8_t)value[i];
    return used;
}

/* Each variable is answered once however often it is asked for, so the reply has a bound that no request can pass. */
static size_t answer_get_values(const uint8_t *content, size_t length, unsigned max_conns, uint8_t *reply)
{
    const uint8_t *at = content, *end = content + length;
    bool answered[3] = {false};
    size_t used = RECORD_HEADER_SIZE, name_length, value_length;
    while (read_length(&at, end, &name_length) && read_length(&at, end, &value_length)) {
        size_t left = (size_t)(end - at);
        if (name_length > left || value_length > left - name_length)
            break;
        int which = known_value(at, name_length);
        if (which >= 0 && !answered[which]) {
            char value[16];
            snprintf(value, sizeof(value), "%u", which == 2 ? 0U : max_conns);
            used = append_value(reply, used, at, name_length, value);
            answered[which] = true;
        }
        at += name_length + value_length;
    }
    record_write_header(reply, RECORD_GET_VALUES_RESULT, 0, used - RECORD_HEADER_SIZE);
    return used;
}

size_t record_answer_aside(const struct record_check *check, const uint8_t *bytes, unsigned max_conns,
                           uint8_t reply[static RECORD_ASIDE_REPLY_MAX])
{
    const uint8_t *record = bytes + check->offset;
    struct header header = read_header(record);
    if (header.id == 0 && header.type == RECORD_GET_VALUES)
        return answer_get_values(record + RECORD_HEADER_SIZE, header.content_length, max_conns, reply);
    if (header.id == 0) {
        memset(reply, 0, RECORD_HEADER_SIZE + 8);
        record_write_header(reply, RECORD_UNKNOWN_TYPE, 0, 8);
        reply[RECORD_HEADER_SIZE] = header.type;
        return RECORD_HEADER_SIZE + 8;
    }
    if (header.type == RECORD_BEGIN_REQUEST) {
        record_write_end(reply, header.id, RECORD_CANT_MPX_CONN);
        return RECORD_END_SIZE;
    }
    return 0;
}
