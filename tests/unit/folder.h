/* folder: a temporary folder of a test's own, and files in it. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER_PATH_MAX 64

/* A cmocka setup: *state is the folder's path. */
static inline int folder_make(void **state)
{
    char *path = malloc(FOLDER_PATH_MAX);
    if (path == NULL)
        return -1;
    snprintf(path, FOLDER_PATH_MAX, "/tmp/fibcgi-unit-XXXXXX");
    *state = path;
    return mkdtemp(path) != NULL ? 0 : -1;
}

static inline int folder_remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

/* Its teardown: removes the folder with all that is in it. */
static inline int folder_remove(void **state)
{
    int result = nftw(*state, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return result;
}

/* Writes text to a file below the folder; path starts with a slash. Folders on the way are made. */
static inline void folder_write(const char *folder, const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof(full), "%s%s", folder, path);
    for (char *slash = strchr(full + strlen(folder) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0755);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#endif
