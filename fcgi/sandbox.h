/* sandbox: what a process gives up: who it is, its privileges, its limits. What it may call is confine's matter. */
#ifndef FIBCGI_SANDBOX_H
#define FIBCGI_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SANDBOX_KEEP_ID ((uid_t)-1)

struct sandbox_identity {
    uid_t uid; /* SANDBOX_KEEP_ID: stays as it is */
    gid_t gid; /* (gid_t)-1: stays as it is */
};

/* Finds a user and a group by name or number; either may be NULL. A user without a group gets its login group.
 * Returns 0, or -1 with errno ENOENT: no such user or group. */
int sandbox_find_identity(const char *user, const char *group, struct sandbox_identity *identity);

/* Gives up root for good: supplementary groups, group, user, and with them all capabilities. Who is not root (any more)
 * has none after it. Returns 0, or -1 with errno. */
int sandbox_become(const struct sandbox_identity *identity);

/* No program executed from here on gains a privilege (prctl PR_SET_NO_NEW_PRIVS). Returns 0, or -1 with errno. */
int sandbox_seal(void);

/* Gives up all capabilities, root's too, and where it may (CAP_SETPCAP) the right to get any again. Returns 0, or -1 with
 * errno of capset(2). */
int sandbox_drop_capabilities(void);

/* No core file is written: it would hold requests. Returns 0, or -1 with errno. */
int sandbox_forbid_core(void);

/* Limits the memory that this process may allocate for itself, in bytes (RLIMIT_DATA: heap and private mappings; neither
 * shared memory nor memory files). Allocating beyond fails. Returns 0, or -1 with errno. */
int sandbox_limit_memory(uint64_t bytes);

/* Raises the limit on open files as far as it may be raised (RLIMIT_NOFILE, soft to hard). */
void sandbox_raise_file_limit(void);

/* Where memory runs out, the kernel takes this process rather than its parent (oom_score_adj of proc(5), a little higher
 * than it was). Without /proc nothing changes. */
void sandbox_die_before_parent(void);

/* This process is killed when its parent dies. False where parent (its pid as it was before the fork) is gone already. */
bool sandbox_die_with_parent(pid_t parent);

#endif
