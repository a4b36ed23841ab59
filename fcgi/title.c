#include "title.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The kernel shows one fixed stretch of a process's memory as its command line, hence state of the process itself. */
static char *area;
static size_t area_size;

/* Copies a NULL-ended vector of strings; widens [area, area + area_size) over each string that follows it directly. */
static char **move_strings(char **strings)
{
    size_t count = 0;
    while (strings[count] != NULL)
        count++;
    char **copy = calloc(count + 1, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (strings[i] == area + area_size)
            area_size += strlen(strings[i]) + 1;
        copy[i] = strdup(strings[i]);
        if (copy[i] == NULL)
            return NULL;
    }
    return copy;
}

char **title_init(int argc, char **argv)
{
    if (argc == 0)
        return argv;
    area = argv[0];
    area_size = 0;
    char **arguments = move_strings(argv);
    char **environment = move_strings(environ);
    if (arguments == NULL || environment == NULL)
        return NULL;
    environ = environment;
    return arguments;
}

void title_set(const char *format, ...)
{
    if (area_size < 2)
        return;
    va_list arguments;
    va_start(arguments, format);
    memset(area, 0, area_size);
    vsnprintf(area, area_size, format, arguments);
    va_end(arguments);
    const char *name = strrchr(area, ':');
    prctl(PR_SET_NAME, name != NULL ? "fibcgi" : area);
}
