/* json: says whether a text is JSON (RFC 8259), by a plain walk over it. */
#ifndef TESTS_JSON_H
#define TESTS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static inline void json_skip_space(const char **at)
{
    *at += strspn(*at, " \t\r\n");
}

static inline bool json_take(const char **at, char wanted)
{
    json_skip_space(at);
    if (**at != wanted)
        return false;
    (*at)++;
    return true;
}

static inline bool json_take_escape(const char **at)
{
    if (**at == 'u') {
        bool hex = strspn(*at + 1, "0123456789abcdefABCDEF") >= 4;
        *at += hex ? 5 : 0;
        return hex;
    }
    return **at != '\0' && strchr("\"\\/bfnrt", *(*at)++) != NULL;
}

static inline bool json_take_string(const char **at)
{
    if (!json_take(at, '"'))
        return false;
    for (;;) {
        unsigned char c = (unsigned char)*(*at)++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !json_take_escape(at)))
            return false;
    }
}

static inline bool json_take_digits(const char **at)
{
    size_t count = strspn(*at, "0123456789");
    *at += count;
    return count > 0;
}

static inline bool json_take_number(const char **at)
{
    *at += **at == '-';
    bool leading_zero = **at == '0' && (*at)[1] >= '0' && (*at)[1] <= '9';
    if (leading_zero || !json_take_digits(at))
        return false;
    if (**at == '.' && ((*at)++, !json_take_digits(at)))
        return false;
    if (**at != 'e' && **at != 'E')
        return true;
    (*at)++;
    *at += **at == '+' || **at == '-';
    return json_take_digits(at);
}

static inline bool json_take_value(const char **at, int depth);

/* What is between brackets: values, or with a closing brace members. */
static inline bool json_take_list(const char **at, char close, int depth)
{
    if (json_take(at, close))
        return true;
    do {
        if (close == '}' && (!json_take_string(at) || !json_take(at, ':')))
            return false;
        if (!json_take_value(at, depth))
            return false;
    } while (json_take(at, ','));
    return json_take(at, close);
}

static inline bool json_take_value(const char **at, int depth)
{
    static const char *const words[] = {"true", "false", "null"};
    if (depth == 0)
        return false;
    if (json_take(at, '{'))
        return json_take_list(at, '}', depth - 1);
    if (json_take(at, '['))
        return json_take_list(at, ']', depth - 1);
    if (**at == '"')
        return json_take_string(at);
    for (size_t i = 0; i < 3; i++) {
        if (strncmp(*at, words[i], strlen(words[i])) == 0) {
            *at += strlen(words[i]);
            return true;
        }
    }
    return json_take_number(at);
}

static inline bool json_is_valid(const char *text)
{
    if (!json_take_value(&text, 32))
        return false;
    json_skip_space(&text);
    return *text == '\0';
}

#endif
