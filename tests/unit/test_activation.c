/* activation: which passed socket is for what, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "activation.h"
#include "folder.h"

struct fixture {
    char *folder;
    struct log log;
    char logged[2048];
};

static int make(void **state)
{
    static struct fixture fixture;
    static char path[FOLDER_PATH_MAX + 16];
    void *folder;
    if (folder_make(&folder) != 0)
        return -1;
    fixture = (struct fixture){.folder = folder};
    snprintf(path, sizeof(path), "%s/log", fixture.folder);
    *state = &fixture;
    return log_open(&fixture.log, path);
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    void *folder = fixture->folder;
    close(fixture->log.fd);
    return folder_remove(&folder);
}

static void set_or_unset(const char *name, const char *value)
{
    if (value != NULL)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* What activation_read says about these variables; LISTEN_PID is ours. */
static int read_passed(struct fixture *fixture, struct activation *activation, const char *count, const char *names)
{
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", getpid());
    setenv("LISTEN_PID", pid, 1);
    set_or_unset("LISTEN_FDS", count);
    set_or_unset("LISTEN_FDNAMES", names);
    errno = 0;
    return activation_read(activation, &fixture->log);
}

static void assert_work(const struct activation *activation, unsigned count, int first)
{
    assert_int_equal(activation->work_count, count);
    if (count > 0)
        assert_int_equal(activation->work[0], first);
}

static void without_names_the_first_is_for_work_and_the_second_for_admin(void **state)
{
    struct activation activation;
    assert_int_equal(read_passed(*state, &activation, "1", NULL), 0);
    assert_work(&activation, 1, 3);
    assert_int_equal(activation.admin, -1);
    assert_int_equal(read_passed(*state, &activation, "2", NULL), 0);
    assert_work(&activation, 1, 3);
    assert_int_equal(activation.admin, 4);
}

static void the_one_named_admin_is_for_admin_wherever_it_stands_and_all_others_for_work(void **state)
{
    static const struct {
        const char *count, *names;
        unsigned work_count;
        int first, admin, admin_http;
    } cases[] = {
        {"1", "work", 1, 3, -1, -1},
        {"1", "", 1, 3, -1, -1},
        {"2", "fibcgi.socket:fibcgi.socket", 2, 3, -1, -1},
        {"3", "admin:work:work", 2, 4, 3, -1},
        {"3", "work:admin:work", 2, 3, 4, -1},
        {"3", "work::admin", 2, 3, 5, -1},
        {"4", "administrator:adm:admin-https:admin-htt", 4, 3, -1, -1},
        {"10", "a:b:c:d:e:f:g:h:admin:admin-http", 8, 3, 11, 12},
        {"3", "admin-http:work:admin", 1, 4, 5, 3},
        {"1", "admin", 0, 0, 3, -1},
    };
    struct activation activation;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_passed(*state, &activation, cases[i].count, cases[i].names), 0);
        assert_work(&activation, cases[i].work_count, cases[i].first);
        assert_int_equal(activation.admin, cases[i].admin);
        assert_int_equal(activation.admin_http, cases[i].admin_http);
    }
    assert_int_equal(read_passed(*state, &activation, "3", "work:admin:work"), 0);
    assert_int_equal(activation.work[1], 5);
}

static void nothing_is_taken_that_is_meant_for_another_process_or_for_nobody(void **state)
{
    static const char *const pids[] = {"1", "", "x", "-5", "99999999999999999999", NULL};
    struct fixture *fixture = *state;
    struct activation activation;
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        setenv("LISTEN_FDS", "2", 1);
        set_or_unset("LISTEN_PID", pids[i]);
        assert_int_equal(activation_read(&activation, &fixture->log), 0);
        assert_work(&activation, 0, 0);
        assert_int_equal(activation.admin, -1);
    }
    assert_int_equal(read_passed(fixture, &activation, NULL, NULL), 0);
    assert_work(&activation, 0, 0);
    assert_int_equal(read_passed(fixture, &activation, "0", ""), 0);
    assert_work(&activation, 0, 0);
}

static void no_child_finds_the_variables(void **state)
{
    struct activation activation;
    assert_int_equal(read_passed(*state, &activation, "1", "work"), 0);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
}

static const char *logged(struct fixture *fixture)
{
    int fd = open(fixture->log.path, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, fixture->logged, sizeof(fixture->logged) - 1);
    fixture->logged[length > 0 ? length : 0] = '\0';
    close(fd);
    return fixture->logged;
}

static void what_does_not_fit_together_is_refused_and_said(void **state)
{
    static const struct {
        const char *count, *names, *said;
    } cases[] = {
        {"x", NULL, "LISTEN_FDS=\"x\" is not a number"},
        {"", NULL, "LISTEN_FDS=\"\" is not a number"},
        {"-1", NULL, "LISTEN_FDS=\"-1\" is not a number"},
        {"2x", "a:b", "LISTEN_FDS=\"2x\" is not a number"},
        {"99999999999999999999", NULL, "is not a number"},
        {"11", "a:b:c:d:e:f:g:h:i:admin:admin-http", "11 sockets were passed"},
        {"9", "a:b:c:d:e:f:g:h:i", "more than 8 sockets for work"},
        {"3", NULL, "3 sockets were passed without names"},
        {"2", "work", "LISTEN_FDNAMES=\"work\" does not have the 2 names"},
        {"2", "work:work:admin", "does not have the 2 names"},
        {"3", "admin:work:admin", "two of the passed sockets are named admin"},
        {"2", "admin-http:admin-http", "two of the passed sockets are named admin-http"},
    };
    struct fixture *fixture = *state;
    struct activation activation;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_passed(fixture, &activation, cases[i].count, cases[i].names), -1);
        assert_int_equal(errno, EINVAL);
        assert_non_null(strstr(logged(fixture), cases[i].said));
        assert_int_equal(truncate(fixture->log.path, 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_names_the_first_is_for_work_and_the_second_for_admin, make, drop),
        cmocka_unit_test_setup_teardown(the_one_named_admin_is_for_admin_wherever_it_stands_and_all_others_for_work,
                                        make, drop),
        cmocka_unit_test_setup_teardown(nothing_is_taken_that_is_meant_for_another_process_or_for_nobody, make, drop),
        cmocka_unit_test_setup_teardown(no_child_finds_the_variables, make, drop),
        cmocka_unit_test_setup_teardown(what_does_not_fit_together_is_refused_and_said, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
