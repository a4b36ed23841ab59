#include "sandbox.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Thousandths of the memory there is (the cgroup's, the machine's) that a worker counts for beyond what it uses: more than a
 * master ever takes, and little enough that outside a cgroup somebody else's hog still goes first. */
#define OOM_SCORE_MORE 50
#define OOM_SCORE_MAX 1000

static bool parse_id(const char *text, unsigned *id)
{
    char *end;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    /* The top value means "no change" to the kernel. */
    if (errno != 0 || *end != '\0' || value >= (unsigned)-1)
        return false;
    *id = (unsigned)value;
    return true;
}

static int find_user(const char *user, struct sandbox_identity *identity)
{
    unsigned id;
    bool is_number = parse_id(user, &id);
    const struct passwd *entry = is_number ? getpwuid(id) : getpwnam(user);
    if (entry == NULL && !is_number) {
        errno = ENOENT;
        return -1;
    }
    identity->uid = entry != NULL ? entry->pw_uid : id;
    identity->gid = entry != NULL ? entry->pw_gid : id;
    return 0;
}

static int find_group(const char *group, struct sandbox_identity *identity)
{
    unsigned id;
    const struct group *entry = getgrnam(group);
    if (entry != NULL)
        id = entry->gr_gid;
    else if (!parse_id(group, &id)) {
        errno = ENOENT;
        return -1;
    }
    identity->gid = id;
    return 0;
}

int sandbox_find_identity(const char *user, const char *group, struct sandbox_identity *identity)
{
    *identity = (struct sandbox_identity){.uid = SANDBOX_KEEP_ID, .gid = (gid_t)-1};
    if (user != NULL && find_user(user, identity) != 0)
        return -1;
    return group != NULL ? find_group(group, identity) : 0;
}

/* The kernel says EINVAL beyond the last that it knows, and EPERM to who has not the right: then there is nothing to be had
 * but what is dropped below. */
static void drop_bounding_set(void)
{
    for (unsigned long capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        ;
}

int sandbox_drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct __user_cap_data_struct had[_LINUX_CAPABILITY_U32S_3];
    drop_bounding_set();
    /* A service manager's filter may forbid the second call, to whom it leaves nothing to give up. */
    if (syscall(SYS_capget, &header, had) == 0 && memcmp(had, none, sizeof(had)) == 0)
        return 0;
    /* The ambient ones go with the permitted. */
    return (int)syscall(SYS_capset, &header, none);
}

static int take_identity(const struct sandbox_identity *identity)
{
    /* Who is that user already need not, and may not, ask for it. */
    if (geteuid() != 0 && (identity->uid == SANDBOX_KEEP_ID || identity->uid == geteuid()) &&
        (identity->gid == (gid_t)-1 || identity->gid == getegid()))
        return 0;
    if (identity->gid != (gid_t)-1 && (setgroups(1, &identity->gid) != 0 || setgid(identity->gid) != 0))
        return -1;
    if (identity->uid == SANDBOX_KEEP_ID)
        return 0;
    /* It may not any more once it is somebody else. */
    if (identity->uid != 0)
        drop_bounding_set();
    return setuid(identity->uid);
}

int sandbox_become(const struct sandbox_identity *identity)
{
    if (take_identity(identity) != 0)
        return -1;
    return geteuid() != 0 ? sandbox_drop_capabilities() : 0;
}

int sandbox_seal(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int sandbox_forbid_core(void)
{
    const struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_CORE, &none);
}

int sandbox_limit_memory(uint64_t bytes)
{
    const struct rlimit limit = {bytes, bytes};
    return setrlimit(RLIMIT_DATA, &limit);
}

void sandbox_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void raise_oom_score(int file)
{
    char text[32] = "";
    if (read(file, text, sizeof(text) - 1) <= 0)
        return;
    long score = strtol(text, NULL, 10) + OOM_SCORE_MORE;
    snprintf(text, sizeof(text), "%ld", score < OOM_SCORE_MAX ? score : OOM_SCORE_MAX);
    if (pwrite(file, text, strlen(text), 0) < 0)
        errno = 0;
}

void sandbox_die_before_parent(void)
{
    /* Who gave up root is not dumpable, and its files in /proc are root's: for as long as it takes to open this one. */
    int dumpable = prctl(PR_GET_DUMPABLE);
    prctl(PR_SET_DUMPABLE, 1);
    int file = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_DUMPABLE, dumpable == 1);
    if (file < 0)
        return;
    raise_oom_score(file);
    close(file);
}

bool sandbox_die_with_parent(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have died between the fork and the prctl: then the signal never comes. */
    return getppid() == parent;
}
