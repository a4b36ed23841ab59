/* cgroup: the CPU limit that this process runs under, and how many workers follow from it. */
#ifndef FIBCGI_CGROUP_H
#define FIBCGI_CGROUP_H

#include <stdint.h>

#define CGROUP_NO_LIMIT (-1)

/* The smallest CPU quota from this process's cgroup up to the root, in thousandths of a CPU (at least 1), from cgroup v2
 * (cpu.max) and v1 (cpu.cfs_quota_us, cpu.cfs_period_us) alike; CGROUP_NO_LIMIT where none is set or nothing can be read.
 * root is put before /proc/self/cgroup and /proc/self/mountinfo and the mount points they name: "" for the real ones,
 * a folder for tests. Reads afresh at each call, a few small files. */
int64_t cgroup_cpu_limit_millicpu(const char *root);

/* The CPUs that this process may run on (sched_getaffinity(2)); at least 1. */
unsigned cgroup_cpus_allowed(void);

/* max(1, ceil(limit)), at most cpus; cpus itself where there is no limit. */
unsigned cgroup_workers_for(int64_t limit_millicpu, unsigned cpus);

#endif
