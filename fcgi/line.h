/* line: one line of a log, put together from fields, as text or as JSON, in a buffer of its own: no allocation. Whatever a value
 * has in it, it stays one line with just these fields: control characters, quotes, invalid UTF-8 and what moves a terminal's cursor
 * or turns its text round come out escaped. */
#ifndef FIBCGI_LINE_H
#define FIBCGI_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* With its end. What a pipe takes in one piece (PIPE_BUF), so that lines of several processes do not mix. */
#define LINE_SIZE 4096
/* A value longer than this, escaped, is cut and ends in "...". */
#define LINE_VALUE_MAX 512
#define LINE_MESSAGE_MAX 1024

enum line_format {
    LINE_TEXT, /* TIME LEVEL MESSAGE name=value…; a value with a blank, a quote or an escape in it is in quotes */
    LINE_JSON, /* one object (RFC 8259), all of it valid UTF-8 */
};

struct line {
    enum line_format format;
    bool is_begun; /* it has a field */
    size_t length;
    char bytes[LINE_SIZE];
};

/* Begins a line; prefix, plain text or "", comes before all else in either format. */
void line_begin(struct line *line, enum line_format format, const char *prefix);

/* Each adds a field; one for which there is no room is left out as a whole. name: letters, digits and _. In text, a word and
 * the message stand without their name. value may be anything, and NULL means that there is no such field. */
void line_add_word(struct line *line, const char *name, const char *value);
void line_add_message(struct line *line, const char *name, const char *value);
void line_add_text(struct line *line, const char *name, const char *value);
void line_add_number(struct line *line, const char *name, uint64_t value);

/* Ends the line with a newline; line->bytes has line->length of it. */
void line_end(struct line *line);

/* Writes value as a single word, as a URL has it: what is not printable ASCII, blanks, quotes and backslashes as %XX. For what is
 * from outside and becomes a part of a message. What does not fit is cut and ends in "...". size: at least 4. Returns word. */
const char *line_quote_word(char *word, size_t size, const char *value);

#endif
