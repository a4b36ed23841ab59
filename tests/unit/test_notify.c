/* notify: what the service manager is told, and when it is told again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "folder.h"
#include "notify.h"

#define NOW_NS (5000 * CLOCK_NS_PER_S)

/* A manager that listens at a path in a folder. */
struct fixture {
    char *folder;
    char path[FOLDER_PATH_MAX + 16];
    int manager;
    struct log log;
    struct notify notify;
    char message[512];
};

static int bind_manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name) + (name[0] == '/');
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    assert_true(fd >= 0);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)), 0);
    return fd;
}

static int make(void **state)
{
    static struct fixture fixture;
    void *folder;
    if (folder_make(&folder) != 0)
        return -1;
    fixture = (struct fixture){.folder = folder};
    static char log_path[FOLDER_PATH_MAX + 16];
    snprintf(fixture.path, sizeof(fixture.path), "%s/notify", fixture.folder);
    snprintf(log_path, sizeof(log_path), "%s/log", fixture.folder);
    fixture.manager = bind_manager(fixture.path);
    setenv("NOTIFY_SOCKET", fixture.path, 1);
    *state = &fixture;
    return log_open(&fixture.log, log_path);
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    void *folder = fixture->folder;
    notify_close(&fixture->notify);
    close(fixture->manager);
    close(fixture->log.fd);
    return folder_remove(&folder);
}

/* The next message, "" where there is none. */
static const char *received(struct fixture *fixture)
{
    ssize_t length = recv(fixture->manager, fixture->message, sizeof(fixture->message) - 1, 0);
    fixture->message[length > 0 ? length : 0] = '\0';
    return fixture->message;
}

static uint64_t tell(struct fixture *fixture, enum notify_phase phase, const char *status, uint64_t now_ns)
{
    struct notify_news news = {.phase = phase, .status = status, .time_ns = 40 * CLOCK_NS_PER_S};
    return notify_tell(&fixture->notify, &news, now_ns);
}

static void a_change_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    notify_open(&fixture->notify, &fixture->log);
    assert_true(tell(fixture, NOTIFY_STARTING, "0 of 2", NOW_NS) == UINT64_MAX);
    assert_string_equal(received(fixture), "STATUS=0 of 2\n");
    tell(fixture, NOTIFY_STARTING, "0 of 2", NOW_NS + 1);
    assert_string_equal(received(fixture), "");
    tell(fixture, NOTIFY_READY, "2 of 2", NOW_NS + 2);
    assert_string_equal(received(fixture), "READY=1\nSTATUS=2 of 2\n");
    tell(fixture, NOTIFY_READY, "2 of 2", NOW_NS + 3);
    assert_string_equal(received(fixture), "");
    tell(fixture, NOTIFY_READY, "1 of 2", NOW_NS + 4);
    assert_string_equal(received(fixture), "STATUS=1 of 2\n");
    tell(fixture, NOTIFY_STOPPING, "1 of 2", NOW_NS + 5);
    assert_string_equal(received(fixture), "STOPPING=1\nEXTEND_TIMEOUT_USEC=40000000\n");
}

static void each_reload_is_told_with_its_time(void **state)
{
    struct fixture *fixture = *state;
    notify_open(&fixture->notify, &fixture->log);
    tell(fixture, NOTIFY_READY, "", NOW_NS);
    received(fixture);
    notify_reload(&fixture->notify);
    tell(fixture, NOTIFY_RELOADING, "", NOW_NS + 7000);
    assert_string_equal(received(fixture), "RELOADING=1\nMONOTONIC_USEC=5000000007\nEXTEND_TIMEOUT_USEC=40000000\n");
    tell(fixture, NOTIFY_RELOADING, "", NOW_NS + 8000);
    assert_string_equal(received(fixture), "");
    notify_reload(&fixture->notify);
    tell(fixture, NOTIFY_RELOADING, "", NOW_NS + 9000);
    assert_string_equal(received(fixture), "RELOADING=1\nMONOTONIC_USEC=5000000009\nEXTEND_TIMEOUT_USEC=40000000\n");
    tell(fixture, NOTIFY_READY, "", NOW_NS + 10000);
    assert_string_equal(received(fixture), "READY=1\n");
}

static void more_time_is_asked_for_again_as_long_as_it_is_needed(void **state)
{
    static const enum notify_phase phases[] = {NOTIFY_RELOADING, NOTIFY_STOPPING};
    struct fixture *fixture = *state;
    notify_open(&fixture->notify, &fixture->log);
    for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
        uint64_t next_ns = NOW_NS + 10 * CLOCK_NS_PER_S;
        assert_true(tell(fixture, phases[i], "", NOW_NS) == next_ns);
        assert_non_null(strstr(received(fixture), "EXTEND_TIMEOUT_USEC=40000000\n"));
        assert_true(tell(fixture, phases[i], "", next_ns - 1) == next_ns);
        assert_string_equal(received(fixture), "");
        assert_true(tell(fixture, phases[i], "", next_ns) == next_ns + 10 * CLOCK_NS_PER_S);
        assert_string_equal(received(fixture), "EXTEND_TIMEOUT_USEC=40000000\n");
        assert_true(tell(fixture, NOTIFY_READY, "", next_ns + 1) == UINT64_MAX);
        assert_string_equal(received(fixture), "READY=1\n");
        tell(fixture, NOTIFY_READY, "", next_ns + 100 * CLOCK_NS_PER_S);
        assert_string_equal(received(fixture), "");
    }
}

static void a_sign_of_life_is_given_at_half_of_the_watchdogs_time(void **state)
{
    struct fixture *fixture = *state;
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", getpid());
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    notify_open(&fixture->notify, &fixture->log);
    uint64_t due_ns = NOW_NS + 1500 * CLOCK_NS_PER_MS;
    assert_true(tell(fixture, NOTIFY_STARTING, "", NOW_NS) == due_ns);
    assert_string_equal(received(fixture), "WATCHDOG=1\n");
    assert_true(tell(fixture, NOTIFY_STARTING, "", due_ns - 1) == due_ns);
    assert_string_equal(received(fixture), "");
    assert_true(tell(fixture, NOTIFY_STARTING, "up", due_ns) == due_ns + 1500 * CLOCK_NS_PER_MS);
    assert_string_equal(received(fixture), "STATUS=up\nWATCHDOG=1\n");
}

static void no_sign_of_life_is_given_where_none_is_wanted_of_us(void **state)
{
    static const char *const values[][2] = {{"3000000", "1"}, {"0", NULL},  {"x", NULL},
                                            {"3s", NULL},     {"-1", NULL}, {"99999999999999999999", NULL}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        setenv("NOTIFY_SOCKET", fixture->path, 1);
        setenv("WATCHDOG_USEC", values[i][0], 1);
        if (values[i][1] != NULL)
            setenv("WATCHDOG_PID", values[i][1], 1);
        notify_open(&fixture->notify, &fixture->log);
        assert_true(tell(fixture, NOTIFY_STARTING, "", NOW_NS) == UINT64_MAX);
        assert_string_equal(received(fixture), "");
        notify_close(&fixture->notify);
    }
}

static void what_the_manager_did_not_take_is_told_again(void **state)
{
    struct fixture *fixture = *state;
    int filled = 0;
    notify_open(&fixture->notify, &fixture->log);
    /* Its queue is as long as net.unix.max_dgram_qlen says. */
    while (send(fixture->notify.fd, "x", 1, 0) == 1)
        filled++;
    assert_int_equal(errno, EAGAIN);
    uint64_t again_ns = tell(fixture, NOTIFY_READY, "up", NOW_NS);
    assert_true(again_ns > NOW_NS && again_ns <= NOW_NS + CLOCK_NS_PER_S);
    for (; filled > 0; filled--)
        assert_string_equal(received(fixture), "x");
    assert_string_equal(received(fixture), "");
    tell(fixture, NOTIFY_READY, "up", again_ns);
    assert_string_equal(received(fixture), "READY=1\nSTATUS=up\n");
}

static void a_manager_that_made_its_socket_anew_is_found_again(void **state)
{
    struct fixture *fixture = *state;
    notify_open(&fixture->notify, &fixture->log);
    close(fixture->manager);
    tell(fixture, NOTIFY_READY, "", NOW_NS);
    unlink(fixture->path);
    fixture->manager = bind_manager(fixture->path);
    tell(fixture, NOTIFY_READY, "", NOW_NS + CLOCK_NS_PER_S);
    assert_string_equal(received(fixture), "READY=1\n");
}

static void an_abstract_name_and_the_longest_path_are_found(void **state)
{
    struct fixture *fixture = *state;
    char name[108 + 1];
    snprintf(name, sizeof(name), "@fibcgi-unit-%d-%0*d", getpid(), 80, 7);
    for (int i = 0; i < 2; i++) {
        close(fixture->manager);
        fixture->manager = bind_manager(name);
        setenv("NOTIFY_SOCKET", name, 1);
        notify_open(&fixture->notify, &fixture->log);
        tell(fixture, NOTIFY_READY, "", NOW_NS);
        assert_string_equal(received(fixture), "READY=1\n");
        notify_close(&fixture->notify);
        /* 107 characters, and the NUL. */
        snprintf(name, sizeof(name), "%s/%0*d", fixture->folder, (int)(106 - strlen(fixture->folder)), 7);
    }
}

static void a_socket_that_cannot_be_used_is_logged_and_costs_nothing(void **state)
{
    struct fixture *fixture = *state;
    char too_long[120];
    memset(too_long, 'x', sizeof(too_long));
    too_long[0] = '/';
    too_long[108] = '\0';
    const char *const names[] = {"relative", "vsock:2:1", "/", "@", "/nonexistent/notify", too_long};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char line[512] = "";
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_open(&fixture->notify, &fixture->log);
        assert_int_equal(fixture->notify.fd, -1);
        assert_true(tell(fixture, NOTIFY_READY, "up", NOW_NS) == UINT64_MAX);
        FILE *log = fopen(fixture->log.path, "re");
        assert_non_null(log);
        assert_non_null(fgets(line, sizeof(line), log));
        fclose(log);
        assert_non_null(strstr(line, names[i]));
        assert_non_null(strstr(line, "going on without"));
        assert_int_equal(truncate(fixture->log.path, 0), 0);
    }
}

static void no_child_finds_the_variables(void **state)
{
    struct fixture *fixture = *state;
    setenv("WATCHDOG_USEC", "1000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_open(&fixture->notify, &fixture->log);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
}

static void a_status_that_is_too_long_is_cut(void **state)
{
    struct fixture *fixture = *state;
    char status[NOTIFY_STATUS_MAX + 100];
    memset(status, 'x', sizeof(status) - 1);
    status[sizeof(status) - 1] = '\0';
    notify_open(&fixture->notify, &fixture->log);
    tell(fixture, NOTIFY_STOPPING, status, NOW_NS);
    const char *message = received(fixture);
    assert_int_equal(strspn(strchr(message, 'x'), "x"), NOTIFY_STATUS_MAX - 1);
    assert_int_equal(message[strlen(message) - 1], '\n');
    tell(fixture, NOTIFY_STOPPING, status, NOW_NS);
    assert_string_equal(received(fixture), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_change_is_told_once, make, drop),
        cmocka_unit_test_setup_teardown(each_reload_is_told_with_its_time, make, drop),
        cmocka_unit_test_setup_teardown(more_time_is_asked_for_again_as_long_as_it_is_needed, make, drop),
        cmocka_unit_test_setup_teardown(a_sign_of_life_is_given_at_half_of_the_watchdogs_time, make, drop),
        cmocka_unit_test_setup_teardown(no_sign_of_life_is_given_where_none_is_wanted_of_us, make, drop),
        cmocka_unit_test_setup_teardown(what_the_manager_did_not_take_is_told_again, make, drop),
        cmocka_unit_test_setup_teardown(a_manager_that_made_its_socket_anew_is_found_again, make, drop),
        cmocka_unit_test_setup_teardown(an_abstract_name_and_the_longest_path_are_found, make, drop),
        cmocka_unit_test_setup_teardown(a_socket_that_cannot_be_used_is_logged_and_costs_nothing, make, drop),
        cmocka_unit_test_setup_teardown(no_child_finds_the_variables, make, drop),
        cmocka_unit_test_setup_teardown(a_status_that_is_too_long_is_cut, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
