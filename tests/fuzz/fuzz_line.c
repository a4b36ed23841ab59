/* Lines of the log out of arbitrary values: always one line, its fields just those that were added, its values what they were: read
 * back, they are the same but for what had to be escaped for good or cut. The input is up to four texts, a NUL between: a message and
 * three values. Also traces, and words for messages. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/json.h"
#include "fuzz.h"
#include "line.h"
#include "trace.h"

#define TEXTS 4
#define TEXT_MAX 4096

static const char *const names[TEXTS] = {"message", "path", "query", "client"};

/* A whole character of UTF-8 at at, by a plain reading of RFC 3629; returns its length, 0: none. */
static size_t character_at(const unsigned char *at)
{
    size_t length = at[0] < 0x80             ? 1
                    : (at[0] & 0xe0) == 0xc0 ? 2
                    : (at[0] & 0xf0) == 0xe0 ? 3
                    : (at[0] & 0xf8) == 0xf0 ? 4
                                             : 0;
    if (length == 0)
        return 0;
    unsigned long code = length == 1 ? at[0] : at[0] & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3f);
    }
    static const unsigned long smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    bool is_good = code >= smallest[length] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
    return is_good ? length : 0;
}

/* Nothing that a terminal or a reader of lines would take for more than a character. */
static void check_bytes(const struct line *line)
{
    static unsigned char bytes[LINE_SIZE + 1];
    assert(line->length > 0 && line->length <= LINE_SIZE && line->bytes[line->length - 1] == '\n');
    memcpy(bytes, line->bytes, line->length - 1);
    bytes[line->length - 1] = '\0';
    assert(strlen((char *)bytes) == line->length - 1);
    for (const unsigned char *at = bytes; *at != '\0';) {
        size_t length = character_at(at);
        assert(length > 0 && at[0] >= 0x20 && at[0] != 0x7f && !(at[0] == 0xc2 && at[1] < 0xa0));
        at += length;
    }
}

/* Takes a quoted value of text, from behind its first quote; returns what is behind its last. */
static const char *skip_quoted(const char *at)
{
    for (; *at != '"'; at++) {
        assert(*at != '\0');
        at += *at == '\\';
    }
    return at + 1;
}

/* Behind the message come just the names that were added, each once and in order. */
static void check_text_fields(const struct line *line, const char *message_end, const char *const *texts)
{
    static char copy[LINE_SIZE + 1];
    size_t skipped = (size_t)(message_end - line->bytes);
    memcpy(copy, message_end, line->length - skipped - 1);
    copy[line->length - skipped - 1] = '\0';
    const char *at = copy;
    for (size_t i = 1; i < TEXTS; i++) {
        if (texts[i] == NULL)
            continue;
        assert(*at++ == ' ');
        assert(strncmp(at, names[i], strlen(names[i])) == 0 && at[strlen(names[i])] == '=');
        at += strlen(names[i]) + 1;
        at = *at == '"' ? skip_quoted(at + 1) : at + strcspn(at, " ");
    }
    assert(strcmp(at, " status=200") == 0);
}

static void check_text(const char *const *texts)
{
    static struct line line;
    line_begin(&line, LINE_TEXT, "<6>");
    line_add_word(&line, "level", "info");
    line_add_message(&line, names[0], texts[0]);
    const char *message_end = line.bytes + line.length;
    assert(line.length <= strlen("<6>info ") + LINE_MESSAGE_MAX);
    for (size_t i = 1; i < TEXTS; i++)
        line_add_text(&line, names[i], texts[i]);
    line_add_number(&line, "status", 200);
    line_end(&line);
    check_bytes(&line);
    check_text_fields(&line, message_end, texts);
}

/* The members of one flat object, in order, each a string but the last. */
static void check_json_fields(char *text, const char *const *texts)
{
    assert(json_is_valid(text) && *text++ == '{');
    for (size_t i = 0; i < TEXTS; i++) {
        if (texts[i] == NULL)
            continue;
        size_t length = strlen(names[i]);
        assert(*text++ == '"' && strncmp(text, names[i], length) == 0 && strncmp(text + length, "\":\"", 3) == 0);
        const char *end = skip_quoted(text + length + 3);
        assert((size_t)(end - text) <= length + 4 + (i == 0 ? LINE_MESSAGE_MAX : LINE_VALUE_MAX));
        text += end - text;
        assert(*text++ == ',');
    }
    assert(strcmp(text, "\"status\":200}") == 0);
}

static void check_json(const char *const *texts)
{
    static struct line line;
    static char text[LINE_SIZE];
    line_begin(&line, LINE_JSON, "");
    line_add_message(&line, names[0], texts[0]);
    for (size_t i = 1; i < TEXTS; i++)
        line_add_text(&line, names[i], texts[i]);
    line_add_number(&line, "status", 200);
    line_end(&line);
    check_bytes(&line);
    memcpy(text, line.bytes, line.length - 1);
    text[line.length - 1] = '\0';
    check_json_fields(text, texts);
}

static void check_word(const char *text, size_t size)
{
    char *word = malloc(size);
    assert(word != NULL);
    line_quote_word(word, size, text);
    assert(strlen(word) < size);
    for (const char *at = word; *at != '\0'; at++)
        assert(*at > ' ' && *at <= '~' && *at != '"' && *at != '\\');
    free(word);
}

static void check_trace(const char *text)
{
    struct trace trace;
    memset(&trace, 'x', sizeof(trace));
    char *exact = strdup(text);
    assert(exact != NULL);
    if (trace_read(&trace, exact)) {
        assert(strlen(text) >= 55 && strlen(trace.trace_id) == 32 && strlen(trace.parent_id) == 16);
        assert(strncmp(text + 3, trace.trace_id, 32) == 0 && strncmp(text + 36, trace.parent_id, 16) == 0);
        assert(strspn(text, "0123456789abcdef-") >= 55 && strspn(trace.trace_id, "0") < 32);
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char copy[TEXT_MAX + 1];
    const char *texts[TEXTS] = {NULL};
    struct dice dice = dice_from(data, size);
    if (size > TEXT_MAX)
        return 0;
    memcpy(copy, data, size);
    copy[size] = '\0';
    size_t at = 0;
    for (size_t i = 0; i < TEXTS && at <= size; i++) {
        texts[i] = copy + at;
        at += strlen(texts[i]) + 1;
        check_word(texts[i], 4 + dice_roll(&dice, 60));
        check_trace(texts[i]);
    }
    check_text(texts);
    check_json(texts);
    return 0;
}
