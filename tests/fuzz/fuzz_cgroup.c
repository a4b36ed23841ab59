/* cgroup_read_cpu on arbitrary files. The input is up to nine files, a line "%" between: /proc/self/cgroup,
 * /proc/self/mountinfo, and below the mount point /cg: cpu.max, a/cpu.max, a/b/cpu.max, cpu.cfs_quota_us,
 * cpu.cfs_period_us, cpu.stat, cpu.pressure. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "fuzz.h"

#define FILES 9

static char root[] = "/dev/shm/fibcgi-fuzz-XXXXXX";
static int files[FILES];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_root(void)
{
    nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void make_root(void)
{
    static const char *const folders[] = {"/proc", "/proc/self", "/cg", "/cg/a", "/cg/a/b"};
    static const char *const names[FILES] = {
        "/proc/self/cgroup",    "/proc/self/mountinfo",  "/cg/cpu.max",  "/cg/a/cpu.max",    "/cg/a/b/cpu.max",
        "/cg/cpu.cfs_quota_us", "/cg/cpu.cfs_period_us", "/cg/cpu.stat", "/cg/cpu.pressure",
    };
    char path[128];
    assert(mkdtemp(root) != NULL);
    atexit(remove_root);
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", root, folders[i]);
        assert(mkdir(path, 0755) == 0);
    }
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof(path), "%s%s", root, names[i]);
        files[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        assert(files[i] >= 0);
    }
}

static void write_files(const uint8_t *data, size_t size)
{
    static const char line[] = "%\n";
    for (size_t i = 0; i < FILES; i++) {
        const uint8_t *end = i + 1 < FILES ? memmem(data, size, line, 2) : NULL;
        size_t length = end != NULL ? (size_t)(end - data) : size;
        assert(ftruncate(files[i], (off_t)length) == 0);
        assert(pwrite(files[i], data, length, 0) == (ssize_t)length);
        size_t taken = end != NULL ? length + 2 : length;
        data += taken;
        size -= taken;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (files[0] == 0)
        make_root();
    write_files(data, size);
    int fd = lowest_free_fd();
    struct cgroup_cpu cpu;
    cgroup_read_cpu(root, &cpu);
    int64_t limit = cpu.limit_millicpu;
    assert(limit == CGROUP_NO_LIMIT || limit >= 1);
    assert(lowest_free_fd() == fd);
    for (unsigned cpus = 1; cpus <= 512; cpus *= 8) {
        unsigned workers = cgroup_workers_for(limit, cpus);
        assert(workers >= 1 && workers <= cpus);
    }
    return 0;
}
