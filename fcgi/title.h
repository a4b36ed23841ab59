/* title: what ps shows for a process: "fibcgi: worker 3". */
#ifndef FIBCGI_TITLE_H
#define FIBCGI_TITLE_H

/* Call first in main: moves the arguments and the environment elsewhere, so that their old place can hold a title.
 * Returns the moved argv (argc + 1 entries), or NULL with errno ENOMEM. */
char **title_init(int argc, char **argv);

/* Sets the title; cut to the space that the arguments and the environment took. Without title_init: no effect. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
