/* body: what an application's response holds, as a string. */
#ifndef TESTS_BODY_H
#define TESTS_BODY_H

#include "app.h"

/* The body so far, with a NUL behind it that is not part of it; valid until the next write. */
static inline const char *body_text(struct app_response *response)
{
    assert_false(response->failed);
    app_write(response, "", 1);
    response->body_length--;
    assert_int_equal(strlen(response->body), response->body_length);
    return response->body;
}

#endif
