/* killed: a process that is killed at a chosen moment of its work: at a system call, before or after it, or at an instruction. */
#ifndef TESTS_KILLED_H
#define TESTS_KILLED_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* At how many instructions, evenly spread, it is tried; with a sanitizer there are many more of them on the way to each. */
#ifndef KILLED_TRIES
#ifdef __SANITIZE_ADDRESS__
#define KILLED_TRIES 2
#else
#define KILLED_TRIES 8
#endif
#endif

static inline unsigned long killed_step(unsigned long instructions)
{
    return instructions > KILLED_TRIES ? instructions / KILLED_TRIES : 1;
}

enum killed_unit { AT_SYSTEM_CALL, AT_INSTRUCTION };

/* What is done between two stops of the process, before it is killed or goes on; may be NULL. */
typedef void killed_look(pid_t pid, void *context);

static inline pid_t killed_start(bool shares_files, void (*work)(void *context), void *context)
{
    pid_t pid = shares_files ? (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        alarm(60);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        work(context);
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

/* Runs work in a process of its own, which sees this one's memory as it is now and shares what is shared; with its descriptors
 * too, or with copies of them. Kills it at its stop number at, counted from 0: each system call has two, each instruction one.
 * Returns 0; or, where it was done before, how many stops it made. */
static inline unsigned long killed_at(unsigned long at, enum killed_unit unit, bool shares_files,
                                      void (*work)(void *context), killed_look *look, void *context)
{
    int status;
    pid_t pid = killed_start(shares_files, work, context);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status));
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
    unsigned long stop = 0;
    for (;; stop++) {
        assert_int_equal(ptrace(unit == AT_INSTRUCTION ? PTRACE_SINGLESTEP : PTRACE_SYSCALL, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSTOPPED(status))
            break;
        assert_int_equal(WSTOPSIG(status), SIGTRAP);
        if (look != NULL)
            look(pid, context);
        if (stop < at)
            continue;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return 0;
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    return stop;
}

#endif
