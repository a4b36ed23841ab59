#include "confine.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "app.h"
#include "filter.h"

/* Landlock. The C library and Debian's headers know only a part of it. */

struct landlock_rights {
    uint64_t files;   /* version 1 */
    uint64_t network; /* version 4 */
    uint64_t scope;   /* version 6 */
};

#define LANDLOCK_VERSION_FLAG 1U
#define LANDLOCK_FILE_EXECUTE 1ULL
#define LANDLOCK_TCP_ALL 3ULL
#define LANDLOCK_SCOPE_ABSTRACT_SOCKETS 1ULL
#define LANDLOCK_SCOPE_SIGNALS 2ULL

/* All rights over files that a version of Landlock knows: it must not be asked for others. */
static uint64_t all_file_rights(int version)
{
    unsigned count = 13;
    if (version >= 2)
        count = 14; /* moving between folders */
    if (version >= 3)
        count = 15; /* truncate(2) */
    if (version >= 5)
        count = 16; /* ioctl(2) on devices */
    return (1ULL << count) - 1;
}

/* What is taken away. A ruleset without a rule gives none of it back for any path or port. */
static struct landlock_rights rights_to_take(int version, unsigned needs)
{
    struct landlock_rights rights = {0};
    if ((needs & (APP_NEEDS_FILES | APP_NEEDS_EXEC)) == 0)
        rights.files = all_file_rights(version);
    else if ((needs & APP_NEEDS_EXEC) == 0)
        rights.files = LANDLOCK_FILE_EXECUTE;
    if (version >= 4 && (needs & APP_NEEDS_NETWORK) == 0)
        rights.network = LANDLOCK_TCP_ALL;
    if (version >= 6)
        rights.scope =
            LANDLOCK_SCOPE_SIGNALS | ((needs & APP_NEEDS_NETWORK) == 0 ? LANDLOCK_SCOPE_ABSTRACT_SOCKETS : 0);
    return rights;
}

static int make_ruleset(struct confinement *confinement, int version, unsigned needs)
{
    struct landlock_rights rights = rights_to_take(version, needs);
    if (rights.files == 0 && rights.network == 0 && rights.scope == 0)
        return 0;
    confinement->ruleset = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
    return confinement->ruleset < 0 ? -1 : 0;
}

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#elif defined(__has_feature)
#define IS_SANITIZED __has_feature(address_sanitizer)
#else
#define IS_SANITIZED false
#endif

/* Without a program to load, a kernel that takes filters fails on its address, and every other one earlier. */
static int find_filter(void)
{
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL) == -1 && errno == EFAULT ? 0 : errno;
}

void confine_find_means(struct confine_means *means, enum confine_mode mode)
{
    *means = (struct confine_means){.is_off = mode == CONFINE_OFF || (mode == CONFINE_AUTO && IS_SANITIZED)};
    if (means->is_off)
        return;
    means->filter_error = find_filter();
    means->landlock = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
    means->landlock_error = means->landlock < 1 ? errno : 0;
}

static int tell_what_is_missing(enum confine_mode mode, const char *part, int error, const struct log *log)
{
    if (error == 0)
        return 0;
    if (mode != CONFINE_ON) {
        log_warning(log, "the sandbox is without %s: %s; going on", part, strerror(error));
        return 0;
    }
    log_error(log,
              "--sandbox=on: the kernel or the container does not give %s: %s; allow it there, or take --sandbox=auto "
              "to go on without",
              part, strerror(error));
    errno = error;
    return -1;
}

int confine_check_means(const struct confine_means *means, enum confine_mode mode, const struct log *log)
{
    if (means->is_off) {
        log_info(log, "the sandbox is off%s", mode == CONFINE_OFF ? "" : ": this is a build with AddressSanitizer");
        return 0;
    }
    int filter = tell_what_is_missing(mode, "its filter of system calls (seccomp)", means->filter_error, log);
    int files = tell_what_is_missing(mode, "its lock on files (Landlock)", means->landlock_error, log);
    return filter == 0 && files == 0 ? 0 : -1;
}

/* Weak, so that a static program has time zones in it only where its application uses them. */
#pragma weak tzset

int confine_prepare(struct confinement *confinement, const struct confine_means *means, unsigned needs)
{
    *confinement = (struct confinement){.ruleset = -1};
    /* The C library reads the time zone's file at its first use, and never again. */
    if (tzset != NULL)
        tzset();
    if (means->is_off)
        return 0;
    if (needs >= FILTER_COUNT) {
        errno = EINVAL;
        return -1;
    }
    if (means->filter_error == 0)
        confinement->filter = &filters[needs];
    return means->landlock_error == 0 ? make_ruleset(confinement, means->landlock, needs) : 0;
}

static int load_filter(const struct filter *filter)
{
    struct sock_filter code[FILTER_LENGTH_MAX];
    struct sock_fprog program = {.len = (unsigned short)filter->length, .filter = code};
    memcpy(code, filter->code, filter->length * sizeof(code[0]));
    for (size_t i = 0; i < filter->length; i++) {
        if (code[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && code[i].k == FILTER_OWN_PID)
            code[i].k = (uint32_t)getpid();
    }
    /* Older kernels slow a filtered process down against Spectre (no store bypass: recursion feels that). It runs our own
     * code before and after, so nothing is won by it. */
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program) == 0)
        return 0;
    return errno == EINVAL ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) : -1;
}

int confine_enter(const struct confinement *confinement)
{
    if (confinement->ruleset >= 0 && syscall(SYS_landlock_restrict_self, confinement->ruleset, 0) != 0)
        return -1;
    return confinement->filter != NULL ? load_filter(confinement->filter) : 0;
}
