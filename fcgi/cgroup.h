/* cgroup: the CPU limit that this process runs under, what it has cost so far, and how many workers follow from it. */
#ifndef FIBCGI_CGROUP_H
#define FIBCGI_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#define CGROUP_NO_LIMIT (-1)

struct cgroup_cpu {
    int64_t
        limit_millicpu; /* the smallest quota from this process's cgroup up to the root, at least 1; or CGROUP_NO_LIMIT */
    /* Of the group with that quota. */
    bool has_throttling;
    uint64_t periods;
    uint64_t throttled_periods; /* in which it was used up before their end */
    uint64_t throttled_us;
    /* Of this process's cgroup v2: for how long somebody in it waited (PSI). */
    bool has_pressure;
    uint64_t cpu_waiting_us;
    uint64_t memory_waiting_us;
    uint64_t memory_stalled_us; /* everybody */
};

/* Reads them from cgroup v2 (cpu.max, cpu.stat, cpu.pressure, memory.pressure) and v1 (cpu.cfs_quota_us, cpu.cfs_period_us,
 * cpu.stat) alike; what cannot be read counts as not there. root is put before /proc/self/cgroup and /proc/self/mountinfo and the
 * mount points they name: "" for the real ones, a folder for tests. Reads afresh at each call, a few small files. */
void cgroup_read_cpu(const char *root, struct cgroup_cpu *cpu);

/* The CPUs that this process may run on (sched_getaffinity(2)); at least 1. */
unsigned cgroup_cpus_allowed(void);

/* max(1, ceil(limit)), at most cpus; cpus itself where there is no limit. */
unsigned cgroup_workers_for(int64_t limit_millicpu, unsigned cpus);

#endif
