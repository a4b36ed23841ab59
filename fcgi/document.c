#include "document.h"

#include <string.h>

/* Values within values; ours have four. */
#define DEPTH_MAX 16

static const struct document none;

static bool is_in(const char *set, char c)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_in(" \t\r\n", *at))
        at++;
    return at;
}

/* Behind the string that begins at at; NULL where it does not end. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\')
            at++;
    }
    return at < end ? at + 1 : NULL;
}

/* Behind a number or a word. */
static const char *skip_atom(const char *at, const char *end)
{
    const char *from = at;
    while (at < end && (is_in("+-.", *at) || (*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == 'E'))
        at++;
    return at > from ? at : NULL;
}

/* Behind the value at at; NULL where there is no end of it. What lies in brackets is only counted. */
static const char *skip_value(const char *at, const char *end)
{
    unsigned depth = 0;
    do {
        at = skip_blanks(at, end);
        if (at >= end)
            return NULL;
        if (is_in("[{", *at)) {
            if (++depth > DEPTH_MAX)
                return NULL;
            at++;
        } else if (depth > 0 && is_in("]}", *at)) {
            depth--;
            at++;
        } else if (depth > 0 && is_in(",:", *at)) {
            at++;
        } else {
            at = *at == '"' ? skip_string(at, end) : skip_atom(at, end);
        }
    } while (at != NULL && depth > 0);
    return at;
}

/* The value at at, if there is one. */
static struct document value_at(const char *at, const char *end)
{
    at = at != NULL ? skip_blanks(at, end) : NULL;
    return at != NULL && at < end && skip_value(at, end) != NULL ? (struct document){at, end} : none;
}

struct document document_open(const char *text, size_t length)
{
    return value_at(text, text + length);
}

/* Behind what separates two elements or members; NULL where there is no further one. */
static const char *skip_comma(const char *at, const char *end)
{
    at = at != NULL ? skip_blanks(at, end) : NULL;
    return at != NULL && at < end && *at == ',' ? skip_blanks(at + 1, end) : NULL;
}

/* Behind the colon of a member whose name begins at at. */
static const char *skip_name(const char *at, const char *end)
{
    at = at < end && *at == '"' ? skip_string(at, end) : NULL;
    at = at != NULL ? skip_blanks(at, end) : NULL;
    return at != NULL && at < end && *at == ':' ? at + 1 : NULL;
}

static bool is_named(const char *at, const char *end, const char *name)
{
    size_t length = strlen(name);
    return (size_t)(end - at) > length + 1 && memcmp(at + 1, name, length) == 0 && at[length + 1] == '"';
}

struct document document_member(const struct document *object, const char *name)
{
    const char *end = object->end;
    if (object->begin == NULL || *object->begin != '{')
        return none;
    for (const char *at = skip_blanks(object->begin + 1, end); at != NULL;) {
        const char *value = skip_name(at, end);
        if (value == NULL || is_named(at, end, name))
            return value_at(value, end);
        at = skip_comma(skip_value(value, end), end);
    }
    return none;
}

struct document document_first(const struct document *array)
{
    if (array->begin == NULL || *array->begin != '[')
        return none;
    return value_at(array->begin + 1, array->end);
}

struct document document_next(const struct document *element)
{
    if (element->begin == NULL)
        return none;
    return value_at(skip_comma(skip_value(element->begin, element->end), element->end), element->end);
}

static bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* Multiplies by a power of ten. */
static double scale(double number, int power)
{
    for (; power > 0; power--)
        number *= 10;
    for (; power < 0; power++)
        number /= 10;
    return number;
}

/* The C library's own would bring locales and long arithmetic into the static program. */
double document_number(const struct document *value, double otherwise)
{
    const char *at = value->begin, *end = value->end;
    double number = 0;
    int power = 0, exponent = 0;
    if (at == NULL)
        return otherwise;
    bool is_negative = *at == '-';
    at += is_negative ? 1 : 0;
    if (!is_digit(at, end))
        return otherwise;
    for (; is_digit(at, end); at++)
        number = number * 10 + (*at - '0');
    if (at < end && *at == '.') {
        for (at++; is_digit(at, end); at++, power--)
            number = number * 10 + (*at - '0');
    }
    if (at < end && is_in("eE", *at)) {
        bool is_small = ++at < end && *at == '-';
        at += at < end && is_in("+-", *at) ? 1 : 0;
        for (; is_digit(at, end) && exponent < 400; at++)
            exponent = exponent * 10 + (*at - '0');
        power += is_small ? -exponent : exponent;
    }
    number = scale(number, power);
    return is_negative ? -number : number;
}

const char *document_text(const struct document *value, char *text, size_t size)
{
    size_t length = 0;
    const char *at = value->begin;
    if (at != NULL && *at == '"') {
        for (at++; at < value->end && *at != '"' && length + 1 < size; at++) {
            bool is_escaped = *at == '\\' && at + 1 < value->end;
            at += is_escaped ? 1 : 0;
            bool is_plain = *at >= ' ' && *at <= '~' && (!is_escaped || is_in("\"\\/", *at));
            text[length++] = '?';
            if (is_plain)
                text[length - 1] = *at;
            else if (is_escaped && *at == 'u')
                at += value->end - at > 4 ? 4 : 0;
        }
    }
    text[length] = '\0';
    return text;
}
