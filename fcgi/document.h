/* document: values out of a JSON text (RFC 8259) that another program has sent. It is looked through anew for each value, so
 * nothing is allocated; whatever the bytes are, nothing outside of them is read. */
#ifndef FIBCGI_DOCUMENT_H
#define FIBCGI_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>

/* A value: where it begins, and where the text ends that it is in. begin is NULL where there is none. */
struct document {
    const char *begin, *end;
};

/* The value that a text begins with; none where that is no JSON. */
struct document document_open(const char *text, size_t length);

/* The member of an object; none where there is no such, or it is no object. */
struct document document_member(const struct document *object, const char *name);

/* The elements of an array: document_first, then document_next of the one before. None: it was the last. */
struct document document_first(const struct document *array);
struct document document_next(const struct document *element);

/* The number; otherwise where the value is none, null among them. */
double document_number(const struct document *value, double otherwise);

/* Copies a string, cut to size; "" where the value is none. What is not printable ASCII comes as ?, so that it may go to a
 * terminal. Returns text. */
const char *document_text(const struct document *value, char *text, size_t size);

#endif
