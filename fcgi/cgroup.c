#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One cgroup tree that may hold a CPU limit: where it is mounted, and which part of the tree that mount shows. */
struct tree {
    bool v2;
    char mount_point[PATH_MAX]; /* "/sys/fs/cgroup/cpu" */
    char mount_root[PATH_MAX];  /* "/", or in a container often the container's own cgroup */
    char group[PATH_MAX];       /* from /proc/self/cgroup: "/kubepods/pod1/c2" */
};

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static FILE *open_below(const char *root, const char *path)
{
    char full[2 * PATH_MAX + 64];
    snprintf(full, sizeof(full), "%s%s", root, path);
    return fopen(full, "re");
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Mount points with spaces are written \040 in mountinfo (proc(5)). */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && is_octal(from[2]) && is_octal(from[3])) {
            *to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Copies the word at number (from 0) of a line of words; false where there is none, or where it does not fit. scanf(3) would
 * do, but makes the static program a tenth larger. */
static bool copy_word(const char *line, unsigned number, char *word, size_t size)
{
    line += strspn(line, " ");
    for (unsigned i = 0; i < number; i++) {
        line += strcspn(line, " ");
        line += strspn(line, " ");
    }
    size_t length = strcspn(line, " \n");
    if (length == 0 || length >= size)
        return false;
    memcpy(word, line, length);
    word[length] = '\0';
    return true;
}

/* A line of mountinfo: "id parent dev root mount_point options… - type source super_options". */
static bool parse_mount(char *line, struct tree *tree)
{
    char type[32], super_options[PATH_MAX];
    const char *separator = strstr(line, " - ");
    if (separator == NULL || !copy_word(line, 3, tree->mount_root, sizeof(tree->mount_root)) ||
        !copy_word(line, 4, tree->mount_point, sizeof(tree->mount_point)))
        return false;
    if (!copy_word(separator, 1, type, sizeof(type)) || !copy_word(separator, 3, super_options, sizeof(super_options)))
        return false;
    unescape(tree->mount_point);
    unescape(tree->mount_root);
    return tree->v2 ? strcmp(type, "cgroup2") == 0 : strcmp(type, "cgroup") == 0 && has_word(super_options, "cpu");
}

static bool find_mount(const char *root, struct tree *tree)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = open_below(root, "/proc/self/mountinfo");
    if (file == NULL)
        return false;
    while (!found && getline(&line, &size, file) > 0)
        found = parse_mount(line, tree);
    free(line);
    fclose(file);
    return found;
}

/* A line of /proc/self/cgroup: "id:controllers:group"; v2 has id 0 and no controllers (cgroups(7)). */
static bool parse_group(char *line, struct tree *tree)
{
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL || strlen(group + 1) >= sizeof(tree->group))
        return false;
    *group++ = '\0';
    *controllers++ = '\0';
    bool matches = tree->v2 ? strcmp(line, "0") == 0 && *controllers == '\0' : has_word(controllers, "cpu");
    if (matches)
        snprintf(tree->group, sizeof(tree->group), "%s", group);
    return matches;
}

static bool find_group(const char *root, struct tree *tree)
{
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *file = open_below(root, "/proc/self/cgroup");
    if (file == NULL)
        return false;
    while (!found && getline(&line, &size, file) > 0)
        found = parse_group(line, tree);
    free(line);
    fclose(file);
    return found;
}

static bool read_line(const char *root, const char *directory, const char *name, char *text, int size)
{
    char path[2 * PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = open_below(root, path);
    if (file == NULL)
        return false;
    bool read = fgets(text, size, file) != NULL;
    fclose(file);
    return read;
}

static int64_t to_millicpu(int64_t quota_us, int64_t period_us)
{
    if (quota_us <= 0 || period_us <= 0 || quota_us > INT64_MAX / 1000)
        return CGROUP_NO_LIMIT;
    int64_t limit = quota_us * 1000 / period_us;
    return limit > 0 ? limit : 1;
}

/* cpu.max is "QUOTA PERIOD" or "max PERIOD". */
static int64_t read_v2(const char *root, const char *directory)
{
    char text[64], *period;
    if (!read_line(root, directory, "cpu.max", text, sizeof(text)))
        return CGROUP_NO_LIMIT;
    int64_t quota_us = strtoll(text, &period, 10);
    return period != text ? to_millicpu(quota_us, strtoll(period, NULL, 10)) : CGROUP_NO_LIMIT;
}

static int64_t read_v1(const char *root, const char *directory)
{
    char quota[64], period[64];
    if (!read_line(root, directory, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !read_line(root, directory, "cpu.cfs_period_us", period, sizeof(period)))
        return CGROUP_NO_LIMIT;
    return to_millicpu(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The group as the mount shows it: a container's mount may start at the container's own group, or at one above. */
static const char *group_below_mount(const struct tree *tree)
{
    size_t length = strlen(tree->mount_root);
    if (strcmp(tree->mount_root, "/") == 0)
        return tree->group;
    if (strncmp(tree->group, tree->mount_root, length) == 0 &&
        (tree->group[length] == '/' || tree->group[length] == '\0'))
        return tree->group + length;
    return "";
}

/* A line that is looked for in a file of words and numbers: "nr_periods 12", "some avg10=0.00 … total=1234". */
struct entry {
    const char *key;
    uint64_t *number;
    bool is_found;
};

static void read_entry(const char *line, struct entry *entry)
{
    size_t length = strlen(entry->key);
    if (strncmp(line, entry->key, length) != 0 || line[length] != ' ')
        return;
    const char *total = strstr(line, "total=");
    *entry->number = strtoull(total != NULL ? total + strlen("total=") : line + length, NULL, 10);
    entry->is_found = true;
}

static void read_entries(const char *root, const char *directory, const char *name, struct entry *entries, size_t count)
{
    char path[2 * PATH_MAX], line[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    FILE *file = open_below(root, path);
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL) {
        for (size_t i = 0; i < count; i++)
            read_entry(line, &entries[i]);
    }
    fclose(file);
}

static void read_throttling(const char *root, const char *directory, struct cgroup_cpu *cpu)
{
    uint64_t throttled_ns = 0;
    struct entry entries[] = {{"nr_periods", &cpu->periods, false},
                              {"nr_throttled", &cpu->throttled_periods, false},
                              {"throttled_usec", &cpu->throttled_us, false},
                              {"throttled_time", &throttled_ns, false}};
    read_entries(root, directory, "cpu.stat", entries, sizeof(entries) / sizeof(entries[0]));
    cpu->has_throttling = entries[0].is_found && entries[1].is_found;
    /* v1 has nanoseconds. */
    if (entries[3].is_found)
        cpu->throttled_us = throttled_ns / 1000;
}

static void read_pressure(const char *root, const char *directory, struct cgroup_cpu *cpu)
{
    struct entry of_cpu[] = {{"some", &cpu->cpu_waiting_us, false}};
    struct entry of_memory[] = {{"some", &cpu->memory_waiting_us, false}, {"full", &cpu->memory_stalled_us, false}};
    read_entries(root, directory, "cpu.pressure", of_cpu, 1);
    read_entries(root, directory, "memory.pressure", of_memory, 2);
    cpu->has_pressure = of_cpu[0].is_found;
}

/* A limit on any group above holds too, so walk from the own group up to the mount point. */
static void read_tree(const char *root, const struct tree *tree, struct cgroup_cpu *cpu)
{
    char directory[2 * PATH_MAX];
    snprintf(directory, sizeof(directory), "%s%s", tree->mount_point, group_below_mount(tree));
    size_t top = strlen(tree->mount_point);
    if (tree->v2)
        read_pressure(root, directory, cpu);
    for (;;) {
        int64_t limit = tree->v2 ? read_v2(root, directory) : read_v1(root, directory);
        if (limit != CGROUP_NO_LIMIT && (cpu->limit_millicpu == CGROUP_NO_LIMIT || limit < cpu->limit_millicpu)) {
            cpu->limit_millicpu = limit;
            read_throttling(root, directory, cpu);
        }
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= top || slash == NULL)
            return;
        *slash = '\0';
    }
}

void cgroup_read_cpu(const char *root, struct cgroup_cpu *cpu)
{
    *cpu = (struct cgroup_cpu){.limit_millicpu = CGROUP_NO_LIMIT};
    for (int v2 = 0; v2 < 2; v2++) {
        struct tree tree = {.v2 = v2 != 0};
        if (find_mount(root, &tree) && find_group(root, &tree))
            read_tree(root, &tree, cpu);
    }
}

unsigned cgroup_cpus_allowed(void)
{
    /* The kernel refuses a mask smaller than its own, so grow until it fits: 1,024 CPUs are not the end. */
    for (int cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        if (set == NULL)
            return 1;
        int failed = sched_getaffinity(0, size, set);
        int count = failed != 0 ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (failed == 0)
            return count > 0 ? (unsigned)count : 1;
        if (errno != EINVAL)
            return 1;
    }
    return 1;
}

unsigned cgroup_workers_for(int64_t limit_millicpu, unsigned cpus)
{
    if (limit_millicpu == CGROUP_NO_LIMIT || limit_millicpu > (int64_t)cpus * 1000)
        return cpus;
    int64_t workers = (limit_millicpu + 999) / 1000;
    return workers < 1 ? 1 : (unsigned)workers;
}
