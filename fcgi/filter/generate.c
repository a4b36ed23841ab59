/* Prints fcgi/filter.h's table as C. It runs when the program is built, so that a pool and a CGI process neither take the
 * time and the memory that libseccomp needs, nor the library. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../app.h"
#include "../filter.h"

/* A call is allowed; or refused with EPERM, where a program could mean it; or the death of the process, where none does.
 * What is in no list fails with ENOSYS: a C library that knows a newer call than we do then takes the older one, where EPERM
 * or a kill would end every worker.
 *
 * The lists hold what workers were seen to call, what the C library does on its rare ways (malloc, abort, stdio, qsort, a
 * clock without vDSO), and what only asks. */

static const int for_requests[] = {
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl),   SCMP_SYS(accept4),     SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),    SCMP_SYS(sendto),      SCMP_SYS(sendmsg),     SCMP_SYS(poll),        SCMP_SYS(ppoll),
    SCMP_SYS(read),       SCMP_SYS(readv),       SCMP_SYS(pread64),     SCMP_SYS(write),       SCMP_SYS(writev),
    SCMP_SYS(pwrite64),   SCMP_SYS(sendfile),    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
    SCMP_SYS(close)};

static const int for_memory[] = {SCMP_SYS(brk),       SCMP_SYS(munmap),       SCMP_SYS(mremap),
                                 SCMP_SYS(madvise),   SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
                                 SCMP_SYS(fallocate), SCMP_SYS(lseek),        SCMP_SYS(fstat)};

static const int for_time[] = {SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
                               SCMP_SYS(time),          SCMP_SYS(nanosleep),    SCMP_SYS(clock_nanosleep)};

static const int for_itself[] = {
    SCMP_SYS(rt_sigaction),    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall), SCMP_SYS(futex),          SCMP_SYS(sched_yield),  SCMP_SYS(exit),
    SCMP_SYS(exit_group),      SCMP_SYS(getrandom)};

static const int for_questions[] = {SCMP_SYS(getpid),  SCMP_SYS(getppid),   SCMP_SYS(gettid),
                                    SCMP_SYS(getuid),  SCMP_SYS(geteuid),   SCMP_SYS(getgid),
                                    SCMP_SYS(getegid), SCMP_SYS(getrusage), SCMP_SYS(sched_getaffinity),
                                    SCMP_SYS(sysinfo), SCMP_SYS(uname)};

static const int for_files[] = {
    SCMP_SYS(open),      SCMP_SYS(openat),   SCMP_SYS(openat2),    SCMP_SYS(creat),     SCMP_SYS(stat),
    SCMP_SYS(lstat),     SCMP_SYS(statx),    SCMP_SYS(newfstatat), SCMP_SYS(access),    SCMP_SYS(faccessat),
    SCMP_SYS(readlink),  SCMP_SYS(statfs),   SCMP_SYS(readlinkat), SCMP_SYS(fstatfs),   SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),    SCMP_SYS(chdir),    SCMP_SYS(fchdir),     SCMP_SYS(truncate),  SCMP_SYS(rename),
    SCMP_SYS(renameat),  SCMP_SYS(link),     SCMP_SYS(renameat2),  SCMP_SYS(linkat),    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat), SCMP_SYS(unlink),   SCMP_SYS(unlinkat),   SCMP_SYS(mkdir),     SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),     SCMP_SYS(chmod),    SCMP_SYS(fchmod),     SCMP_SYS(fchmodat),  SCMP_SYS(chown),
    SCMP_SYS(fchown),    SCMP_SYS(fchownat), SCMP_SYS(utimensat),  SCMP_SYS(fadvise64), SCMP_SYS(umask),
    SCMP_SYS(fsync),     SCMP_SYS(flock),    SCMP_SYS(fdatasync),  SCMP_SYS(dup),       SCMP_SYS(dup2),
    SCMP_SYS(dup3)};
/* Some of whose uses are allowed to all: see below. */
static const int for_files_too[] = {SCMP_SYS(fcntl)};

static const int for_network[] = {SCMP_SYS(socket),        SCMP_SYS(socketpair), SCMP_SYS(connect),  SCMP_SYS(bind),
                                  SCMP_SYS(listen),        SCMP_SYS(accept),     SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
                                  SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2)};
static const int for_network_too[] = {SCMP_SYS(setsockopt), SCMP_SYS(getsockopt)};

/* clone3 is in no list: then the C library takes clone. */
static const int for_programs[] = {SCMP_SYS(clone), SCMP_SYS(fork),      SCMP_SYS(vfork),
                                   SCMP_SYS(tkill), SCMP_SYS(setrlimit), SCMP_SYS(prctl)};
static const int for_execution[] = {SCMP_SYS(execve), SCMP_SYS(execveat)};

static const int for_privilege[] = {SCMP_SYS(setuid),    SCMP_SYS(setgid),    SCMP_SYS(setreuid),  SCMP_SYS(setregid),
                                    SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups), SCMP_SYS(capset)};

/* Whoever calls one of these is no longer the application that was started. */
static const int for_intruders[] = {SCMP_SYS(ptrace),
                                    SCMP_SYS(process_vm_readv),
                                    SCMP_SYS(process_vm_writev),
                                    SCMP_SYS(unshare),
                                    SCMP_SYS(setns),
                                    SCMP_SYS(mount),
                                    SCMP_SYS(umount2),
                                    SCMP_SYS(pivot_root),
                                    SCMP_SYS(chroot),
                                    SCMP_SYS(open_by_handle_at),
                                    SCMP_SYS(bpf),
                                    SCMP_SYS(init_module),
                                    SCMP_SYS(finit_module),
                                    SCMP_SYS(delete_module),
                                    SCMP_SYS(kexec_load),
                                    SCMP_SYS(kexec_file_load),
                                    SCMP_SYS(reboot)};

_Static_assert(FILTER_COUNT == 2 * APP_NEEDS_EXEC, "a filter for each combination of enum app_need");

#define ALWAYS 0U
#define NEVER (1U << 31)
#define REFUSED SCMP_ACT_ERRNO(EPERM)
#define UNKNOWN SCMP_ACT_ERRNO(ENOSYS)

#define LIST(calls) calls, sizeof(calls) / sizeof((calls)[0])

static const struct group {
    const int *calls;
    size_t count;
    unsigned need;      /* who has it may call them */
    uint32_t otherwise; /* what becomes of others */
} groups[] = {
    {LIST(for_requests), ALWAYS, 0},
    {LIST(for_memory), ALWAYS, 0},
    {LIST(for_time), ALWAYS, 0},
    {LIST(for_itself), ALWAYS, 0},
    {LIST(for_questions), ALWAYS, 0},
    {LIST(for_files), APP_NEEDS_FILES, REFUSED},
    {LIST(for_files_too), APP_NEEDS_FILES, UNKNOWN},
    {LIST(for_network), APP_NEEDS_NETWORK, REFUSED},
    {LIST(for_network_too), APP_NEEDS_NETWORK, UNKNOWN},
    {LIST(for_programs), APP_NEEDS_EXEC, REFUSED},
    {LIST(for_execution), APP_NEEDS_EXEC, SCMP_ACT_KILL_PROCESS},
    {LIST(for_privilege), NEVER, REFUSED},
    {LIST(for_intruders), NEVER, SCMP_ACT_KILL_PROCESS},
};

#define LOW_HALF 0xffffffffU /* the kernel looks at no more of these arguments */

/* For whom no group allows it whatever its arguments. */
static const struct use {
    int call;
    uint32_t action;
    unsigned argument; /* counted from 0 */
    enum scmp_compare comparison;
    uint64_t first, second; /* MASKED_EQ: bits, and what they are */
} uses[] = {
    /* Nothing becomes code that was not in the program. */
    {SCMP_SYS(mmap), SCMP_ACT_ALLOW, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
    {SCMP_SYS(mmap), REFUSED, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC},
    {SCMP_SYS(mprotect), SCMP_ACT_ALLOW, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), REFUSED, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC},
    {SCMP_SYS(setsockopt), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, SOL_SOCKET},
    {SCMP_SYS(setsockopt), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, IPPROTO_TCP},
    {SCMP_SYS(getsockopt), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, SOL_SOCKET},
    {SCMP_SYS(getsockopt), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, IPPROTO_TCP},
    {SCMP_SYS(ioctl), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, SIOCINQ},
    {SCMP_SYS(ioctl), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, SIOCOUTQ},
    {SCMP_SYS(fcntl), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, F_GETFL},
    {SCMP_SYS(fcntl), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, F_SETFL},
    {SCMP_SYS(fcntl), SCMP_ACT_ALLOW, 1, SCMP_CMP_MASKED_EQ, LOW_HALF, F_DUPFD_CLOEXEC},
    /* getrlimit(3) without setrlimit(3) */
    {SCMP_SYS(prlimit64), SCMP_ACT_ALLOW, 2, SCMP_CMP_EQ, 0, 0},
    {SCMP_SYS(prlimit64), REFUSED, 2, SCMP_CMP_NE, 0, 0},
    /* raise(3), abort(3) */
    {SCMP_SYS(tgkill), SCMP_ACT_ALLOW, 0, SCMP_CMP_EQ, FILTER_OWN_PID, 0},
    {SCMP_SYS(tgkill), REFUSED, 0, SCMP_CMP_NE, FILTER_OWN_PID, 0},
    {SCMP_SYS(kill), SCMP_ACT_ALLOW, 0, SCMP_CMP_EQ, FILTER_OWN_PID, 0},
    {SCMP_SYS(kill), REFUSED, 0, SCMP_CMP_NE, FILTER_OWN_PID, 0},
};

/* An application that runs programs runs them under its own filter, and what a program may call cannot be listed: then
 * only what is never allowed is forbidden. */
static uint32_t default_action(unsigned needs)
{
    return (needs & APP_NEEDS_EXEC) != 0 ? SCMP_ACT_ALLOW : UNKNOWN;
}

static int add_group(scmp_filter_ctx rules, const struct group *group, unsigned needs)
{
    bool is_granted = (needs & group->need) == group->need;
    uint32_t action = is_granted ? SCMP_ACT_ALLOW : group->otherwise;
    /* The library takes no rule that says what holds anyway. */
    if (action == default_action(needs) || action == UNKNOWN)
        return 0;
    for (size_t i = 0; i < group->count; i++) {
        int error = seccomp_rule_add(rules, action, group->calls[i], 0);
        if (error != 0)
            return error;
    }
    return 0;
}

static int add_use(scmp_filter_ctx rules, const struct use *use)
{
    struct scmp_arg_cmp condition = {use->argument, use->comparison, use->first, use->second};
    return seccomp_rule_add_array(rules, use->action, use->call, 1, &condition);
}

static int add_rules(scmp_filter_ctx rules, unsigned needs)
{
    int error = seccomp_attr_set(rules, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* As a tree: the kernel asks the filter about each call there is when it is loaded, which is most of what it costs. */
    if (error == 0)
        error = seccomp_attr_set(rules, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; error == 0 && i < sizeof(groups) / sizeof(groups[0]); i++)
        error = add_group(rules, &groups[i], needs);
    for (size_t i = 0; error == 0 && i < sizeof(uses) / sizeof(uses[0]) && (needs & APP_NEEDS_EXEC) == 0; i++)
        error = add_use(rules, &uses[i]);
    return error;
}

/* The library writes a filter's code into a file. Returns the number of instructions; 0 with errno. */
static size_t export_code(scmp_filter_ctx rules, struct sock_filter code[static FILTER_LENGTH_MAX])
{
    ssize_t size = -1;
    int file = memfd_create("filter", MFD_CLOEXEC);
    if (file >= 0 && seccomp_export_bpf(rules, file) == 0)
        size = pread(file, code, FILTER_LENGTH_MAX * sizeof(code[0]), 0);
    if (file >= 0)
        close(file);
    return size > 0 ? (size_t)size / sizeof(code[0]) : 0;
}

static size_t make_filter(unsigned needs, struct sock_filter code[static FILTER_LENGTH_MAX])
{
    scmp_filter_ctx rules = seccomp_init(default_action(needs));
    if (rules == NULL)
        return 0;
    int error = add_rules(rules, needs);
    size_t length = error == 0 ? export_code(rules, code) : 0;
    seccomp_release(rules);
    if (error != 0)
        errno = -error;
    return length;
}

static int print_filter(unsigned needs)
{
    struct sock_filter code[FILTER_LENGTH_MAX];
    /* A program is a file, and opens others. */
    size_t length = make_filter((needs & APP_NEEDS_EXEC) != 0 ? needs | APP_NEEDS_FILES : needs, code);
    if (length == 0 || length == FILTER_LENGTH_MAX) {
        fprintf(stderr, "cannot make the filter of system calls for needs %u: %s\n", needs,
                length == 0 ? strerror(errno) : "it is longer than FILTER_LENGTH_MAX");
        return -1;
    }
    printf("static const struct sock_filter needs_%u[] = {\n", needs);
    for (size_t i = 0; i < length; i++)
        printf("{0x%x, %u, %u, 0x%x},\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
    puts("};");
    return 0;
}

int main(void)
{
    /* What the machine that builds can do does not count: KILL_PROCESS. */
    seccomp_api_set(3);
    puts("#include \"filter.h\"\n");
    for (unsigned needs = 0; needs < FILTER_COUNT; needs++) {
        if (print_filter(needs) != 0)
            return EXIT_FAILURE;
    }
    puts("const struct filter filters[FILTER_COUNT] = {");
    for (unsigned needs = 0; needs < FILTER_COUNT; needs++)
        printf("{needs_%u, sizeof(needs_%u) / sizeof(needs_%u[0])},\n", needs, needs, needs);
    puts("};");
    return EXIT_SUCCESS;
}
