/* server: serves an application, whichever way the program was started: as CGI, as one spawned process, or as the pool. */
#ifndef FIBCGI_SERVER_H
#define FIBCGI_SERVER_H

#include "app.h"

/* All that a program's main has to call: reads the options, serves until told to leave, and returns the exit status (0
 * done, 1 a drain cut short, 100 usage or configuration, 111 a system error). app must last as long as the process. */
int server_main(int argc, char **argv, const struct app *app);

#endif
