/* cgroup: the CPU limit found in made-up proc and cgroup trees, and the workers that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cgroup.h"
#include "folder.h"

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHER_MOUNTS                                                                                                   \
    "22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"                                                          \
    "28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"                                        \
    "34 32 0:31 / /sys/fs/cgroup/cpuset rw,nosuid shared:10 - cgroup cgroup rw,cpuset\n"                               \
    "35 32 0:32 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"

static void given(const char *root, const char *cgroup, const char *mountinfo)
{
    folder_write(root, "/proc/self/cgroup", cgroup);
    folder_write(root, "/proc/self/mountinfo", mountinfo);
}

static int64_t limit_in(const char *root)
{
    struct cgroup_cpu cpu;
    cgroup_read_cpu(root, &cpu);
    return cpu.limit_millicpu;
}

/* A v1 group's quota and period, below the usual mount point. */
static void given_v1_quota(const char *root, const char *group, const char *quota, const char *period)
{
    char path[512];
    snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_quota_us", group);
    folder_write(root, path, quota);
    snprintf(path, sizeof(path), "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_period_us", group);
    folder_write(root, path, period);
}

/* Version 2. */

static void a_v2_quota_is_the_limit(void **state)
{
    const char *root = *state;
    given(root, "0::/system.slice/fibcgi.service\n", OTHER_MOUNTS V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/system.slice/fibcgi.service/cpu.max", "50000 100000\n");
    assert_int_equal(limit_in(root), 500);
}

static void a_v2_quota_of_max_is_no_limit(void **state)
{
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void a_v2_period_other_than_the_default_counts(void **state)
{
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "30000 20000\n");
    assert_int_equal(limit_in(root), 1500);
}

static void the_smallest_quota_from_the_group_to_the_root_holds(void **state)
{
    const char *root = *state;
    given(root, "0::/kubepods/pod1/c2\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/kubepods/pod1/c2/cpu.max", "400000 100000\n");
    folder_write(root, "/sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
    folder_write(root, "/sys/fs/cgroup/kubepods/cpu.max", "max 100000\n");
    assert_int_equal(limit_in(root), 1500);
    folder_write(root, "/sys/fs/cgroup/kubepods/cpu.max", "5000 100000\n");
    assert_int_equal(limit_in(root), 50);
    folder_write(root, "/sys/fs/cgroup/kubepods/pod1/c2/cpu.max", "4000 100000\n");
    assert_int_equal(limit_in(root), 40);
}

static void a_quota_at_the_mount_point_itself_holds(void **state)
{
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    folder_write(root, "/sys/fs/cgroup/cpu.max", "20000 100000\n");
    assert_int_equal(limit_in(root), 200);
}

static void a_quota_of_a_sibling_or_a_child_does_not_hold(void **state)
{
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/child/cpu.max", "1000 100000\n");
    folder_write(root, "/sys/fs/cgroup/b/cpu.max", "1000 100000\n");
    folder_write(root, "/sys/fs/cpu.max", "1000 100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void a_container_in_a_namespace_of_its_own_finds_its_quota(void **state)
{
    const char *root = *state;
    given(root, "0::/\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/cpu.max", "25000 100000\n");
    assert_int_equal(limit_in(root), 250);
}

static void a_mount_that_shows_the_containers_own_group_alone_finds_its_quota(void **state)
{
    const char *root = *state;
    given(root, "0::/kubepods/pod1/c2\n",
          "30 23 0:26 /kubepods/pod1/c2 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    folder_write(root, "/sys/fs/cgroup/cpu.max", "70000 100000\n");
    assert_int_equal(limit_in(root), 700);
}

static void a_mount_that_starts_above_the_group_is_walked_from_there(void **state)
{
    const char *root = *state;
    given(root, "0::/kubepods/pod1/c2\n", "30 23 0:26 /kubepods /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    folder_write(root, "/sys/fs/cgroup/pod1/c2/cpu.max", "90000 100000\n");
    folder_write(root, "/sys/fs/cgroup/pod1/cpu.max", "80000 100000\n");
    assert_int_equal(limit_in(root), 800);
}

static void a_group_whose_name_only_begins_like_the_mounts_is_not_taken_for_one_below_it(void **state)
{
    const char *root = *state;
    given(root, "0::/pod10/c\n", "30 23 0:26 /pod1 /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    folder_write(root, "/sys/fs/cgroup/0/c/cpu.max", "1000 100000\n");
    folder_write(root, "/sys/fs/cgroup/cpu.max", "60000 100000\n");
    assert_int_equal(limit_in(root), 600);
}

static void a_mount_root_outside_the_namespace_is_read_at_the_mount_point(void **state)
{
    const char *root = *state;
    given(root, "0::/\n", "30 23 0:26 /../.. /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");
    folder_write(root, "/sys/fs/cgroup/cpu.max", "60000 100000\n");
    assert_int_equal(limit_in(root), 600);
}

static void a_mount_point_with_a_space_is_found(void **state)
{
    const char *root = *state;
    given(root, "0::/my group\n", "30 23 0:26 / /mnt/my\\040cgroups\\134here rw - cgroup2 cgroup2 rw\n");
    folder_write(root, "/mnt/my cgroups\\here/my group/cpu.max", "10000 100000\n");
    assert_int_equal(limit_in(root), 100);
}

static void a_group_that_was_removed_leaves_the_limits_above_it(void **state)
{
    const char *root = *state;
    given(root, "0::/pod1/gone (deleted)\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/pod1/cpu.max", "10000 100000\n");
    assert_int_equal(limit_in(root), 100);
}

static void the_limit_is_read_afresh_each_time(void **state)
{
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    assert_int_equal(limit_in(root), 500);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "150000 100000\n");
    assert_int_equal(limit_in(root), 1500);
}

static void the_smallest_quotas_are_still_a_limit(void **state)
{
    static const struct {
        const char *text;
        int64_t millicpu;
    } cases[] = {
        {"1000 100000\n", 10}, {"1000 1000000\n", 1}, {"1999 1000000\n", 1}, {"999 1000000\n", 1}, {"1 1000000\n", 1},
    };
    const char *root = *state;
    given(root, "0::/a\n", V2_MOUNT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        folder_write(root, "/sys/fs/cgroup/a/cpu.max", cases[i].text);
        assert_int_equal(limit_in(root), cases[i].millicpu);
    }
}

/* Version 1, and both. */

static void a_v1_quota_is_the_limit(void **state)
{
    const char *root = *state;
    given(root, "5:memory:/m\n4:cpu,cpuacct:/docker/abc\n3:cpuset:/s\n1:name=systemd:/n\n", OTHER_MOUNTS V1_MOUNT);
    given_v1_quota(root, "/docker/abc", "250000\n", "100000\n");
    assert_int_equal(limit_in(root), 2500);
}

static void a_v1_quota_of_minus_one_is_no_limit(void **state)
{
    const char *root = *state;
    given(root, "4:cpu,cpuacct:/docker/abc\n", V1_MOUNT);
    given_v1_quota(root, "/docker/abc", "-1\n", "100000\n");
    given_v1_quota(root, "", "-1\n", "100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void a_v1_parent_with_a_smaller_quota_holds(void **state)
{
    const char *root = *state;
    given(root, "4:cpuacct,cpu:/kubepods/pod1/c2\n", V1_MOUNT);
    given_v1_quota(root, "/kubepods/pod1/c2", "-1\n", "100000\n");
    given_v1_quota(root, "/kubepods/pod1", "50000\n", "100000\n");
    given_v1_quota(root, "/kubepods", "300000\n", "100000\n");
    assert_int_equal(limit_in(root), 500);
}

static void a_v1_container_whose_mount_is_its_own_group_finds_its_quota(void **state)
{
    const char *root = *state;
    given(root, "4:cpu,cpuacct:/docker/abc\n",
          "33 32 0:30 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpuacct,cpu\n");
    given_v1_quota(root, "", "20000\n", "100000\n");
    assert_int_equal(limit_in(root), 200);
}

static void controllers_that_only_begin_with_cpu_are_not_the_cpu_controller(void **state)
{
    const char *root = *state;
    given(root, "4:cpuset:/a\n3:cpuacct:/b\n", OTHER_MOUNTS V1_MOUNT);
    given_v1_quota(root, "/a", "1000\n", "100000\n");
    given_v1_quota(root, "/b", "1000\n", "100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void of_both_versions_the_smaller_limit_holds(void **state)
{
    const char *root = *state;
    given(root, "4:cpu,cpuacct:/a\n0::/b\n",
          "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n" OTHER_MOUNTS V1_MOUNT);
    given_v1_quota(root, "/a", "300000\n", "100000\n");
    assert_int_equal(limit_in(root), 3000);
    folder_write(root, "/sys/fs/cgroup/unified/b/cpu.max", "200000 100000\n");
    assert_int_equal(limit_in(root), 2000);
    given_v1_quota(root, "/a", "100000\n", "100000\n");
    assert_int_equal(limit_in(root), 1000);
}

/* Nothing, or nothing sensible, to read. */

static void without_proc_there_is_no_limit(void **state)
{
    const char *root = *state;
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
    folder_write(root, "/proc/self/cgroup", "0::/a\n");
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void without_a_cgroup_mount_there_is_no_limit(void **state)
{
    const char *root = *state;
    given(root, "4:cpu:/a\n0::/a\n", "28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n");
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void without_a_group_or_its_files_there_is_no_limit(void **state)
{
    const char *root = *state;
    given(root, "", V2_MOUNT V1_MOUNT);
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
    given(root, "4:cpu,cpuacct:/a\n0::/a\n", V2_MOUNT V1_MOUNT);
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void a_quota_that_is_no_quota_is_no_limit(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "max\n",
        "rubbish\n",
        "50000\n",
        "0 100000\n",
        "-50000 100000\n",
        "50000 0\n",
        "50000 -100000\n",
        "50000 max\n",
        "\x01\x02\xff",
        "max max\n",
    };
    const char *root = *state;
    given(root, "4:cpu,cpuacct:/a\n0::/a\n", V2_MOUNT V1_MOUNT);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        folder_write(root, "/sys/fs/cgroup/a/cpu.max", texts[i]);
        given_v1_quota(root, "/a", texts[i], "rubbish");
        if (limit_in(root) != CGROUP_NO_LIMIT)
            fail_msg("\"%s\" is taken for a limit", texts[i]);
    }
}

static void a_quota_beyond_all_measure_does_not_wrap_around(void **state)
{
    const char *root = *state;
    given(root, "4:cpu,cpuacct:/a\n0::/a\n", V2_MOUNT V1_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "9223372036854775807 100000\n");
    given_v1_quota(root, "/a", "99999999999999999999999\n", "100000\n");
    assert_int_equal(limit_in(root), CGROUP_NO_LIMIT);
}

static void garbage_in_proc_is_passed_over(void **state)
{
    const char *root = *state;
    static char cgroup[9000], mountinfo[9000];
    snprintf(cgroup, sizeof(cgroup), "\n:\n::\nx\n0:\n4:cpu\n0::/%05000d\n0::/a\n", 0);
    snprintf(mountinfo, sizeof(mountinfo), "\n - \n1 2 - cgroup2\n1 2 3 / /x rw - cgroup2\n%05000d\n" V2_MOUNT, 0);
    given(root, cgroup, mountinfo);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000\n");
    assert_int_equal(limit_in(root), 500);
}

static void files_without_a_last_newline_are_read(void **state)
{
    const char *root = *state;
    given(root, "0::/a", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "50000 100000");
    assert_int_equal(limit_in(root), 500);
}

/* What it has cost. */

static void throttling_is_that_of_the_group_with_the_smallest_quota(void **state)
{
    const char *root = *state;
    struct cgroup_cpu cpu;
    given(root, "0::/pod/container\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/pod/cpu.max", "50000 100000\n");
    folder_write(root, "/sys/fs/cgroup/pod/cpu.stat",
                 "usage_usec 5\nnr_periods 120\nnr_throttled 30\nthrottled_usec 1500000\n");
    folder_write(root, "/sys/fs/cgroup/pod/container/cpu.max", "max 100000\n");
    folder_write(root, "/sys/fs/cgroup/pod/container/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_usec 3\n");
    cgroup_read_cpu(root, &cpu);
    assert_true(cpu.has_throttling);
    assert_int_equal(cpu.periods, 120);
    assert_int_equal(cpu.throttled_periods, 30);
    assert_int_equal(cpu.throttled_us, 1500000);
    folder_write(root, "/sys/fs/cgroup/pod/container/cpu.max", "20000 100000\n");
    cgroup_read_cpu(root, &cpu);
    assert_int_equal(cpu.throttled_periods, 2);
}

static void v1_counts_throttled_time_in_nanoseconds(void **state)
{
    const char *root = *state;
    struct cgroup_cpu cpu;
    given(root, "4:cpu,cpuacct:/a\n", V1_MOUNT);
    given_v1_quota(root, "/a", "50000\n", "100000\n");
    folder_write(root, "/sys/fs/cgroup/cpu,cpuacct/a/cpu.stat",
                 "nr_periods 7\nnr_throttled 5\nthrottled_time 2000000000\n");
    cgroup_read_cpu(root, &cpu);
    assert_true(cpu.has_throttling);
    assert_int_equal(cpu.throttled_periods, 5);
    assert_int_equal(cpu.throttled_us, 2000000);
}

static void without_a_quota_nothing_is_throttled(void **state)
{
    const char *root = *state;
    struct cgroup_cpu cpu;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(root, "/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    folder_write(root, "/sys/fs/cgroup/a/cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n");
    cgroup_read_cpu(root, &cpu);
    assert_false(cpu.has_throttling);
    assert_false(cpu.has_pressure);
}

static void pressure_is_read_where_there_is_some(void **state)
{
    const char *root = *state;
    struct cgroup_cpu cpu;
    given(root, "0::/a\n", V2_MOUNT);
    folder_write(
        root, "/sys/fs/cgroup/a/cpu.pressure",
        "some avg10=1.00 avg60=2.00 avg300=3.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
    folder_write(root, "/sys/fs/cgroup/a/memory.pressure",
                 "some avg10=0.00 avg60=0.00 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=33\n");
    cgroup_read_cpu(root, &cpu);
    assert_true(cpu.has_pressure);
    assert_int_equal(cpu.cpu_waiting_us, 123456);
    assert_int_equal(cpu.memory_waiting_us, 99);
    assert_int_equal(cpu.memory_stalled_us, 33);
}

/* Workers. */

static void workers_are_the_limit_rounded_up(void **state)
{
    (void)state;
    static const struct {
        int64_t limit_millicpu;
        unsigned workers;
    } cases[] = {
        {1, 1},    {50, 1},   {500, 1},  {999, 1},  {1000, 1},   {1001, 2},
        {1500, 2}, {2000, 2}, {2001, 3}, {4000, 4}, {64000, 64},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(cgroup_workers_for(cases[i].limit_millicpu, 64), cases[i].workers);
}

static void there_are_never_more_workers_than_cpus(void **state)
{
    (void)state;
    assert_int_equal(cgroup_workers_for(4000, 4), 4);
    assert_int_equal(cgroup_workers_for(4000, 2), 2);
    assert_int_equal(cgroup_workers_for(3001, 3), 3);
    assert_int_equal(cgroup_workers_for(2500, 3), 3);
    assert_int_equal(cgroup_workers_for(1500, 1), 1);
    assert_int_equal(cgroup_workers_for(INT64_MAX, 8), 8);
}

static void without_a_limit_there_is_a_worker_for_each_cpu(void **state)
{
    (void)state;
    assert_int_equal(cgroup_workers_for(CGROUP_NO_LIMIT, 1), 1);
    assert_int_equal(cgroup_workers_for(CGROUP_NO_LIMIT, 12), 12);
}

static void this_machine_has_a_cpu_for_us(void **state)
{
    (void)state;
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    assert_in_range(cgroup_cpus_allowed(), 1, configured > 0 ? configured : 1);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(a_v2_quota_is_the_limit),
        IN_A_FOLDER(a_v2_quota_of_max_is_no_limit),
        IN_A_FOLDER(a_v2_period_other_than_the_default_counts),
        IN_A_FOLDER(the_smallest_quota_from_the_group_to_the_root_holds),
        IN_A_FOLDER(a_quota_at_the_mount_point_itself_holds),
        IN_A_FOLDER(a_quota_of_a_sibling_or_a_child_does_not_hold),
        IN_A_FOLDER(a_container_in_a_namespace_of_its_own_finds_its_quota),
        IN_A_FOLDER(a_mount_that_shows_the_containers_own_group_alone_finds_its_quota),
        IN_A_FOLDER(a_mount_that_starts_above_the_group_is_walked_from_there),
        IN_A_FOLDER(a_group_whose_name_only_begins_like_the_mounts_is_not_taken_for_one_below_it),
        IN_A_FOLDER(a_mount_root_outside_the_namespace_is_read_at_the_mount_point),
        IN_A_FOLDER(a_mount_point_with_a_space_is_found),
        IN_A_FOLDER(a_group_that_was_removed_leaves_the_limits_above_it),
        IN_A_FOLDER(the_limit_is_read_afresh_each_time),
        IN_A_FOLDER(the_smallest_quotas_are_still_a_limit),
        IN_A_FOLDER(a_v1_quota_is_the_limit),
        IN_A_FOLDER(a_v1_quota_of_minus_one_is_no_limit),
        IN_A_FOLDER(a_v1_parent_with_a_smaller_quota_holds),
        IN_A_FOLDER(a_v1_container_whose_mount_is_its_own_group_finds_its_quota),
        IN_A_FOLDER(controllers_that_only_begin_with_cpu_are_not_the_cpu_controller),
        IN_A_FOLDER(of_both_versions_the_smaller_limit_holds),
        IN_A_FOLDER(without_proc_there_is_no_limit),
        IN_A_FOLDER(without_a_cgroup_mount_there_is_no_limit),
        IN_A_FOLDER(without_a_group_or_its_files_there_is_no_limit),
        IN_A_FOLDER(a_quota_that_is_no_quota_is_no_limit),
        IN_A_FOLDER(a_quota_beyond_all_measure_does_not_wrap_around),
        IN_A_FOLDER(garbage_in_proc_is_passed_over),
        IN_A_FOLDER(files_without_a_last_newline_are_read),
        IN_A_FOLDER(throttling_is_that_of_the_group_with_the_smallest_quota),
        IN_A_FOLDER(v1_counts_throttled_time_in_nanoseconds),
        IN_A_FOLDER(without_a_quota_nothing_is_throttled),
        IN_A_FOLDER(pressure_is_read_where_there_is_some),
        cmocka_unit_test(workers_are_the_limit_rounded_up),
        cmocka_unit_test(there_are_never_more_workers_than_cpus),
        cmocka_unit_test(without_a_limit_there_is_a_worker_for_each_cpu),
        cmocka_unit_test(this_machine_has_a_cpu_for_us),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
