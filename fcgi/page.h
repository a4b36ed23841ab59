/* page: the status page, of the files in web/; web/embed makes it when the program is built. It fetches nothing but /status?json. */
#ifndef FIBCGI_PAGE_H
#define FIBCGI_PAGE_H

#include <stddef.h>

/* HTML with its style and its script in it. */
extern const unsigned char page_html[];
extern const size_t page_html_length;

/* The Content-Security-Policy under which it works: nothing runs but what has the hashes in it. */
extern const char page_policy[];

#endif
