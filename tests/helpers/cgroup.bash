# A CPU limit of a test's own.
# shellcheck shell=bash

# make_group: a group under the cgroup that limits the CPU here (v1 or v2), for this test alone. in_group COMMAND… runs in it.
make_group() {
    if [ -d /sys/fs/cgroup/cpu ]; then
        GROUP=/sys/fs/cgroup/cpu/fibcgi-test-$$-$BATS_TEST_NUMBER
    else
        echo +cpu >/sys/fs/cgroup/cgroup.subtree_control
        GROUP=/sys/fs/cgroup/fibcgi-test-$$-$BATS_TEST_NUMBER
    fi
    mkdir "$GROUP"
}

in_group() { exec bash -c "echo \$\$ >$GROUP/cgroup.procs; exec \"\$@\"" in_group "$@"; }
# set_limit THOUSANDTHS: of a CPU; -1: none.
set_limit() {
    if [ -e "$GROUP/cpu.max" ]; then
        if [ "$1" -lt 0 ]; then echo max; else echo "$(($1 * 100)) 100000"; fi >"$GROUP/cpu.max"
    else
        if [ "$1" -lt 0 ]; then echo -1; else echo $(($1 * 100)); fi >"$GROUP/cpu.cfs_quota_us"
    fi
}
