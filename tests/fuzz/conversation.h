/* conversation: a second opinion on what a web server sent, straight from the specification (FastCGI 1.0 §3, §5) and
 * sharing nothing with fcgi/record.c: all bytes at once, the PARAMS put together first and taken apart afterwards. */
#ifndef TESTS_CONVERSATION_H
#define TESTS_CONVERSATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CONVERSATION_MAX 16384

struct wire_record {
    const uint8_t *content;
    size_t content_length;
    unsigned version, type, id;
    size_t size; /* with header and padding */
};

struct conversation {
    bool is_whole;   /* a complete responder request with complete PARAMS */
    bool is_clean;   /* nothing but that request: no record between, no byte behind */
    bool is_aborted; /* one that the web server gave up before its end */
    bool is_kept;    /* the next request may follow: FCGI_KEEP_CONN */
    bool has_nul;    /* in a name or value */
    unsigned id;
    size_t end; /* of a whole or aborted request, with what is skipped on the way */
    uint8_t params[CONVERSATION_MAX];
    size_t params_length;
    size_t pair_count;
    uint8_t body[CONVERSATION_MAX];
    size_t body_length;
    size_t skipped; /* records on the way that are none of the request's */
};

/* Reads the record at the start of the bytes; false where it is not all there. */
static inline bool wire_read(struct wire_record *record, const uint8_t *bytes, size_t length)
{
    if (length < 8)
        return false;
    record->version = bytes[0];
    record->type = bytes[1];
    record->id = bytes[2] * 256U + bytes[3];
    record->content = bytes + 8;
    record->content_length = bytes[4] * 256U + bytes[5];
    record->size = 8 + record->content_length + bytes[6];
    return record->size <= length;
}

struct wire_pair {
    const uint8_t *name, *value;
    size_t name_length, value_length;
};

/* Reads a length of 1 or 4 bytes; returns how many, 0 where they are not all there. */
static inline size_t wire_read_length(const uint8_t *bytes, size_t left, size_t *length)
{
    if (left >= 1 && bytes[0] < 128) {
        *length = bytes[0];
        return 1;
    }
    if (left < 4)
        return 0;
    *length = (((bytes[0] - 128U) * 256U + bytes[1]) * 256U + bytes[2]) * 256U + bytes[3];
    return 4;
}

/* Reads the pair at the start of the bytes; returns its size, 0 where it is not all there. */
static inline size_t wire_read_pair(struct wire_pair *pair, const uint8_t *bytes, size_t left)
{
    size_t first = wire_read_length(bytes, left, &pair->name_length);
    size_t second = first > 0 ? wire_read_length(bytes + first, left - first, &pair->value_length) : 0;
    if (second == 0 || pair->name_length + pair->value_length > left - first - second)
        return 0;
    pair->name = bytes + first + second;
    pair->value = pair->name + pair->name_length;
    return first + second + pair->name_length + pair->value_length;
}

/* Counts the pairs; false where the last one is cut off, which counts where its lengths are there. */
static inline bool conversation_read_pairs(struct conversation *conversation)
{
    struct wire_pair pair;
    for (size_t at = 0; at < conversation->params_length;) {
        const uint8_t *bytes = conversation->params + at;
        size_t left = conversation->params_length - at, length;
        size_t size = wire_read_pair(&pair, bytes, left);
        if (size == 0) {
            size_t first = wire_read_length(bytes, left, &length);
            conversation->pair_count += first > 0 && wire_read_length(bytes + first, left - first, &length) > 0;
            return false;
        }
        at += size;
        conversation->pair_count++;
        if (memchr(pair.name, 0, pair.name_length + pair.value_length) != NULL)
            conversation->has_nul = true;
    }
    return true;
}

/* The type that has to come next, and what becomes of it. */
enum conversation_step { STEP_BEGIN = 1, STEP_PARAMS = 4, STEP_BODY = 5, STEP_END };

static inline enum conversation_step conversation_take(struct conversation *conversation, enum conversation_step step,
                                                       const struct wire_record *record)
{
    if (step == STEP_BEGIN) {
        conversation->id = record->id;
        conversation->is_kept = record->content[2] % 2 == 1;
        return STEP_PARAMS;
    }
    if (step == STEP_PARAMS && record->content_length > 0) {
        memcpy(conversation->params + conversation->params_length, record->content, record->content_length);
        conversation->params_length += record->content_length;
        return STEP_PARAMS;
    }
    if (step == STEP_PARAMS)
        return STEP_BODY;
    memcpy(conversation->body + conversation->body_length, record->content, record->content_length);
    conversation->body_length += record->content_length;
    return record->content_length > 0 ? STEP_BODY : STEP_END;
}

/* Records that a responder answers or drops in passing: of the connection itself (id 0), of types that do not exist, and
 * of any request but the one in hand. */
static inline bool conversation_skips(const struct conversation *conversation, enum conversation_step step,
                                      const struct wire_record *record)
{
    if (record->id == 0)
        return record->type != 1;
    if (record->type == 0 || record->type > 11)
        return true;
    return step == STEP_BEGIN ? record->type != 1 : record->id != conversation->id;
}

static inline bool is_responder_begin(const struct wire_record *record)
{
    return record->id != 0 && record->content_length == 8 && record->content[0] == 0 && record->content[1] == 1;
}

/* Reads length bytes, at most CONVERSATION_MAX, from the start of a connection. */
static inline void conversation_read(struct conversation *conversation, const uint8_t *bytes, size_t length)
{
    struct wire_record record;
    enum conversation_step step = STEP_BEGIN;
    conversation->is_whole = conversation->is_clean = conversation->is_aborted = conversation->has_nul = false;
    conversation->params_length = conversation->pair_count = 0;
    conversation->body_length = conversation->skipped = 0;
    size_t at = 0;
    for (; step != STEP_END; at += record.size) {
        if (!wire_read(&record, bytes + at, length - at) || record.version != 1)
            return;
        if (conversation_skips(conversation, step, &record)) {
            /* No web server sends so many; a flood of them is broken off. */
            if (++conversation->skipped > 64)
                return;
            continue;
        }
        /* Legal, but libfcgi takes that padding for records. */
        if (record.size > 8 + record.content_length && record.type == step &&
            (step == STEP_BEGIN || (step == STEP_PARAMS && record.content_length == 0)))
            return;
        if (record.type == 2 && step != STEP_BEGIN) {
            bool is_complete = conversation_read_pairs(conversation);
            conversation->is_aborted = step == STEP_PARAMS || (is_complete && !conversation->has_nul);
            conversation->end = at + record.size;
            return;
        }
        if (record.type != step || (step == STEP_BEGIN && !is_responder_begin(&record)))
            return;
        step = conversation_take(conversation, step, &record);
    }
    conversation->is_whole = conversation_read_pairs(conversation);
    conversation->end = at;
    conversation->is_clean = conversation->skipped == 0 && at == length;
}

/* The value of a variable as a C program sees it that has each pair as a string "name=value"; "" where it is not set.
 * Cut off at size - 1. */
static inline void conversation_variable(const struct conversation *conversation, const char *name, char *value,
                                         size_t size)
{
    struct wire_pair pair;
    size_t pair_size, used = 0, name_length = strlen(name);
    for (size_t at = 0; at < conversation->params_length; at += pair_size) {
        pair_size = wire_read_pair(&pair, conversation->params + at, conversation->params_length - at);
        if (pair_size == 0)
            break;
        bool is_it = pair.name_length == name_length;
        /* "N=1" with the value "2" reads as N with the value "1=2". */
        if (pair.name_length > name_length && pair.name[name_length] == '=')
            is_it = true;
        if (!is_it || memcmp(pair.name, name, name_length) != 0)
            continue;
        for (size_t i = name_length + 1; i < pair.name_length && used + 1 < size; i++)
            value[used++] = (char)pair.name[i];
        if (pair.name_length > name_length && used + 1 < size)
            value[used++] = '=';
        for (size_t i = 0; i < pair.value_length && used + 1 < size; i++)
            value[used++] = (char)pair.value[i];
        break;
    }
    value[used] = '\0';
}

#endif
