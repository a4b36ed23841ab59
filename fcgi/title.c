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
static char **moved_arguments;

/* Copies a NULL-ended vector of strings; widens [area, area + area_size) over each string that follows it directly. The
 * copies live as long as the process. */
static char **move_strings(char **strings)
{
    size_t count = 0, bytes = 0;
    for (; strings[count] != NULL; count++)
        bytes += strlen(strings[count]) + 1;
    char **copy = malloc((count + 1) * sizeof(*copy) + bytes);
    if (copy == NULL)
        return NULL;
    char *text = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(strings[i]) + 1;
        if (strings[i] == area + area_size)
            area_size += size;
        copy[i] = memcpy(text, strings[i], size);
        text += size;
    }
    copy[count] = NULL;
    return copy;
}

char **title_init(int argc, char **argv)
{
    if (argc == 0)
        return argv;
    area = argv[0];
    area_size = 0;
    moved_arguments = move_strings(argv);
    char **environment = moved_arguments != NULL ? move_strings(environ) : NULL;
    if (environment == NULL)
        return NULL;
    environ = environment;
    return moved_arguments;
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
