#include "line.h"

#include <string.h>

/* What an escape takes at most: \uXXXX for each half of a character beyond the first 65,536. */
#define PIECE_MAX 16
#define CUT "..."
/* The end of a line: } and a newline. */
#define END_SIZE 2

static const char digits[] = "0123456789abcdef";

/* A character, or a byte that belongs to none. */
struct character {
    uint32_t code;
    unsigned length; /* in bytes */
    bool is_valid;
};

/* Takes the first character of a text in UTF-8 (RFC 3629 §4: no surrogates, none in a longer form than it needs). */
static struct character take_character(const char *text)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *)text;
    struct character character = {bytes[0], 1, bytes[0] < 0x80};
    unsigned length = bytes[0] >= 0xf0 ? 4 : bytes[0] >= 0xe0 ? 3 : 2;
    if (bytes[0] < 0xc2 || bytes[0] > 0xf4)
        return character;
    uint32_t code = bytes[0] & (0x7fU >> length);
    for (unsigned i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return character;
        code = code << 6 | (bytes[i] & 0x3fU);
    }
    if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return character;
    return (struct character){code, length, true};
}

/* Control characters, the 8-bit ones of terminals among them; line ends of Unicode; and what turns the direction of text. */
static bool is_printable(const struct character *character)
{
    uint32_t code = character->code;
    return character->is_valid && code >= 0x20 && (code < 0x7f || code > 0x9f) && code != 0x61c &&
           (code < 0x200e || code > 0x200f) && (code < 0x2028 || code > 0x202e) && (code < 0x2066 || code > 0x2069) &&
           code != 0xfeff && (code & 0xfffe) != 0xfffe;
}

static size_t put_hex(char *to, uint32_t value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        to[i] = digits[value >> 4 * (count - 1 - i) & 15];
    return count;
}

static size_t put_json_escape(char *to, uint32_t code)
{
    size_t length = 0;
    if (code > 0xffff) {
        length = put_json_escape(to, 0xd800 + ((code - 0x10000) >> 10));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
    }
    to[length] = '\\';
    to[length + 1] = 'u';
    return length + 2 + put_hex(to + length + 2, code, 4);
}

/* A message in text has its quotes and backslashes as they are: people read it, and it ends nowhere. */
enum style { STYLE_JSON, STYLE_TEXT, STYLE_MESSAGE };

/* Writes a character as it may stand in a value; returns how much that takes. */
static size_t put_character(char to[static PIECE_MAX], enum style style, const struct character *character,
                            const char *from)
{
    size_t length = 0;
    if (style == STYLE_JSON && !is_printable(character))
        return put_json_escape(to, character->is_valid ? character->code : 0xfffd);
    if (style != STYLE_MESSAGE && (*from == '\\' || *from == '"')) {
        to[0] = '\\';
        to[1] = *from;
        return 2;
    }
    if (is_printable(character)) {
        memcpy(to, from, character->length);
        return character->length;
    }
    for (unsigned i = 0; i < character->length; i++) {
        to[length] = '\\';
        to[length + 1] = 'x';
        length += 2 + put_hex(to + length + 2, (unsigned char)from[i], 2);
    }
    return length;
}

/* True where it fitted. */
static bool put(struct line *line, const char *bytes, size_t length)
{
    if (length > LINE_SIZE - END_SIZE - line->length)
        return false;
    memcpy(line->bytes + line->length, bytes, length);
    line->length += length;
    return true;
}

static bool put_text(struct line *line, const char *text)
{
    return put(line, text, strlen(text));
}

/* Puts a value, escaped; cut where that takes more than most bytes. */
static bool put_value(struct line *line, enum style style, const char *value, size_t most)
{
    char piece[PIECE_MAX];
    const size_t start = line->length;
    size_t cut_at = start; /* the last place where the cut still fits behind */
    while (*value != '\0') {
        struct character character = take_character(value);
        size_t length = put_character(piece, style, &character, value);
        if (line->length - start + length > most) {
            line->length = cut_at;
            return put_text(line, CUT);
        }
        if (!put(line, piece, length))
            return false;
        if (line->length - start + strlen(CUT) <= most)
            cut_at = line->length;
        value += character.length;
    }
    return true;
}

/* Whether a value in text can do without quotes. */
static bool is_word(const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\' || *c == '=')
            return false;
    }
    return *value != '\0';
}

/* What stands before a value. */
static bool put_name(struct line *line, const char *name)
{
    bool is_json = line->format == LINE_JSON;
    if (line->is_begun && !put_text(line, is_json ? "," : " "))
        return false;
    if (name == NULL)
        return true;
    return put_text(line, is_json ? "\"" : "") && put_text(line, name) && put_text(line, is_json ? "\":" : "=");
}

static bool put_quoted(struct line *line, const char *value, size_t most)
{
    enum style style = line->format == LINE_JSON ? STYLE_JSON : STYLE_TEXT;
    return put_text(line, "\"") && put_value(line, style, value, most) && put_text(line, "\"");
}

/* A field is there as a whole or not at all. */
static void keep_or_undo(struct line *line, size_t length, bool is_whole)
{
    if (is_whole)
        line->is_begun = true;
    else
        line->length = length;
}

void line_begin(struct line *line, enum line_format format, const char *prefix)
{
    line->format = format;
    line->is_begun = false;
    line->length = 0;
    put_text(line, prefix);
    if (format == LINE_JSON)
        put_text(line, "{");
}

static void add_plain(struct line *line, const char *name, const char *value, size_t most)
{
    size_t length = line->length;
    if (value == NULL)
        return;
    if (line->format == LINE_JSON)
        keep_or_undo(line, length, put_name(line, name) && put_quoted(line, value, most));
    else
        keep_or_undo(line, length, put_name(line, NULL) && put_value(line, STYLE_MESSAGE, value, most));
}

void line_add_word(struct line *line, const char *name, const char *value)
{
    add_plain(line, name, value, LINE_VALUE_MAX);
}

void line_add_message(struct line *line, const char *name, const char *value)
{
    add_plain(line, name, value, LINE_MESSAGE_MAX);
}

void line_add_text(struct line *line, const char *name, const char *value)
{
    size_t length = line->length;
    if (value == NULL)
        return;
    if (line->format == LINE_TEXT && is_word(value))
        keep_or_undo(line, length, put_name(line, name) && put_value(line, STYLE_TEXT, value, LINE_VALUE_MAX));
    else
        keep_or_undo(line, length, put_name(line, name) && put_quoted(line, value, LINE_VALUE_MAX));
}

void line_add_number(struct line *line, const char *name, uint64_t value)
{
    char text[24];
    size_t at = sizeof(text), length = line->length;
    text[--at] = '\0';
    do {
        text[--at] = digits[value % 10];
        value /= 10;
    } while (value > 0);
    keep_or_undo(line, length, put_name(line, name) && put_text(line, text + at));
}

void line_end(struct line *line)
{
    if (line->format == LINE_JSON)
        line->bytes[line->length++] = '}';
    line->bytes[line->length++] = '\n';
}

const char *line_quote_word(char *word, size_t size, const char *value)
{
    size_t length = 0, cut_at = 0;
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool is_plain = c > ' ' && c <= '~' && c != '"' && c != '\\';
        if (length + (is_plain ? 1 : 3) >= size) {
            memcpy(word + cut_at, CUT, sizeof(CUT));
            return word;
        }
        word[length] = '%';
        if (is_plain)
            word[length] = *value;
        length += is_plain ? 1 : 1 + put_hex(word + length + 1, c, 2);
        if (length + sizeof(CUT) <= size)
            cut_at = length;
    }
    word[length] = '\0';
    return word;
}
