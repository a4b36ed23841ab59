/* listener: the forms of an address, and the taking and leaving of Unix sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "folder.h"
#include "listener.h"

#define NOBODY 65534

/* A folder with a log in it, and a socket's path and address. */
struct fixture {
    char *folder;
    char log_path[FOLDER_PATH_MAX + 16];
    char path[FOLDER_PATH_MAX + 16];
    char address[FOLDER_PATH_MAX + 32];
    struct log log;
    struct listener_config config;
    char logged[8192];
};

static int make(void **state)
{
    static struct fixture fixture;
    void *folder;
    if (folder_make(&folder) != 0)
        return -1;
    fixture = (struct fixture){.folder = folder};
    fixture.config = (struct listener_config){
        .backlog = 16, .socket_mode = 0660, .owner = {.uid = SANDBOX_KEEP_ID, .gid = (gid_t)-1}};
    snprintf(fixture.log_path, sizeof(fixture.log_path), "%s/log", fixture.folder);
    snprintf(fixture.path, sizeof(fixture.path), "%s/fib.sock", fixture.folder);
    snprintf(fixture.address, sizeof(fixture.address), "unix:%s", fixture.path);
    *state = &fixture;
    return log_open(&fixture.log, fixture.log_path);
}

static int drop(void **state)
{
    struct fixture *fixture = *state;
    void *folder = fixture->folder;
    close(fixture->log.fd);
    return folder_remove(&folder);
}

static int open_at_path(struct fixture *fixture, struct listener *listener)
{
    return listener_open(listener, fixture->address, &fixture->config, &fixture->log);
}

static const char *logged(struct fixture *fixture)
{
    FILE *file = fopen(fixture->log_path, "re");
    assert_non_null(file);
    size_t length = fread(fixture->logged, 1, sizeof(fixture->logged) - 1, file);
    fclose(file);
    fixture->logged[length] = '\0';
    return fixture->logged;
}

static void expect_refusal(struct fixture *fixture, int expected_errno, const char *reason)
{
    struct listener listener;
    errno = 0;
    assert_int_equal(open_at_path(fixture, &listener), -1);
    assert_int_equal(errno, expected_errno);
    assert_int_equal(listener.fd, -1);
    if (strstr(logged(fixture), reason) == NULL)
        fail_msg("the log does not say \"%s\": %s", reason, fixture->logged);
}

/* Returns the connection, or -1 with connect(2)'s errno. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return -1;
}

static bool can_connect(const char *path)
{
    int fd = connect_to(path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool exists(const char *path)
{
    struct stat found;
    return lstat(path, &found) == 0;
}

/* Leaves a socket file behind that nobody listens on, as a killed process does. */
static void leave_stale_socket(struct fixture *fixture)
{
    struct listener listener;
    assert_int_equal(open_at_path(fixture, &listener), 0);
    close(listener.fd);
    assert_true(exists(fixture->path));
}

/* Addresses. */

static void good_addresses_pass(void **state)
{
    (void)state;
    static const char *const good[] = {
        "unix:/run/fibcgi/fib.sock",
        "unix:/a",
        "unix:/with space:and colon",
        "tcp:127.0.0.1:9000",
        "tcp:0.0.0.0:1",
        "tcp:255.255.255.255:65535",
        "tcp:[::1]:9000",
        "tcp:[::]:9000",
        "tcp:[fe80::1]:80",
        "tcp:[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        "tcp:[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const char *wrong = listener_check_address(good[i]);
        if (wrong != NULL)
            fail_msg("%s: %s", good[i], wrong);
    }
}

static void expect_wrong(const char *const addresses[], const char *remedy)
{
    for (size_t i = 0; addresses[i] != NULL; i++) {
        const char *wrong = listener_check_address(addresses[i]);
        if (wrong == NULL || strstr(wrong, remedy) == NULL)
            fail_msg("%s: %s", addresses[i], wrong != NULL ? wrong : "passes");
    }
}

static void an_address_of_another_kind_is_refused_with_both_forms_to_write(void **state)
{
    (void)state;
    static const char *const addresses[] = {"",
                                            "unix",
                                            "/run/fib.sock",
                                            "127.0.0.1:9000",
                                            ":9000",
                                            "TCP:127.0.0.1:9000",
                                            "UNIX:/a",
                                            "udp:127.0.0.1:9000",
                                            "http://localhost",
                                            " unix:/a",
                                            NULL};
    expect_wrong(addresses, "unix:/run/fibcgi/fib.sock or tcp:127.0.0.1:9000");
}

static void a_unix_path_that_is_not_absolute_is_refused(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "unix:", "unix:fib.sock", "unix:./fib.sock", "unix:~/fib.sock", "unix: /a", "unix:@abstract", NULL};
    expect_wrong(addresses, "must be absolute, as in unix:/");
}

static void a_tcp_address_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const addresses[] = {"tcp:",
                                            "tcp::",
                                            "tcp:9000",
                                            "tcp::9000",
                                            "tcp:127.0.0.1",
                                            "tcp:127.0.0.1:",
                                            "tcp:localhost:9000",
                                            "tcp:*:9000",
                                            "tcp:127.0.0.1:0",
                                            "tcp:127.0.0.1:65536",
                                            "tcp:127.0.0.1:-1",
                                            "tcp:127.0.0.1:+1",
                                            "tcp:127.0.0.1: 1",
                                            "tcp:127.0.0.1:80x",
                                            "tcp:127.0.0.1:80 ",
                                            "tcp:127.0.0.1:0x50",
                                            "tcp:127.0.0.1:99999999999999999999999",
                                            "tcp:127.0.0.1:4294967376",
                                            "tcp:127.0.0.1:80:80",
                                            "tcp:256.0.0.1:80",
                                            "tcp:127.1:80",
                                            "tcp:127.0.0.1.1:80",
                                            "tcp:::1:9000",
                                            "tcp:[::1:9000",
                                            "tcp:::1]:9000",
                                            "tcp:[::1]9000",
                                            "tcp:[::1]",
                                            "tcp:[]:80",
                                            "tcp:[:80",
                                            "tcp:]:80",
                                            "tcp:[127.0.0.1]:80",
                                            "tcp:[::g]:80",
                                            "tcp:[fe80::1%lo]:80",
                                            "tcp:[[::1]]:80",
                                            " tcp:[::1]:80 ",
                                            "tcp:[00000000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80",
                                            NULL};
    for (size_t i = 0; addresses[i] != NULL; i++)
        assert_non_null(listener_check_address(addresses[i]));
    expect_wrong((const char *const[]){"tcp:127.0.0.1", "tcp:9000", NULL},
                 "tcp:127.0.0.1:9000 or tcp:[::1]:9000, with a port from 1 to 65535");
}

static void a_unix_path_may_have_107_characters(void **state)
{
    (void)state;
    char address[128];
    memset(address, 'p', sizeof(address));
    memcpy(address, "unix:/", 6);
    address[5 + 107] = '\0';
    assert_null(listener_check_address(address));
    address[5 + 107] = 'p';
    address[5 + 108] = '\0';
    const char *wrong = listener_check_address(address);
    assert_non_null(wrong);
    assert_non_null(strstr(wrong, "at most 107 characters"));
}

static void a_bad_address_is_not_opened(void **state)
{
    struct fixture *fixture = *state;
    snprintf(fixture->address, sizeof(fixture->address), "unix:relative");
    expect_refusal(fixture, EINVAL, "must be absolute");
}

/* Opening a Unix socket. */

static void an_opened_socket_listens_and_takes_connections(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    assert_int_equal(open_at_path(fixture, &listener), 0);
    assert_true(listener_is_listening(listener.fd));
    assert_false(listener.is_tcp);
    assert_false(listener.is_inherited);
    int client = connect_to(fixture->path);
    int server = listener_accept(&listener);
    assert_true(client >= 0 && server >= 0);
    assert_int_equal(fcntl(server, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(server, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close(server);
    close(client);
    listener_close(&listener);
}

static void the_socket_does_not_block_and_is_closed_on_exec(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    assert_int_equal(open_at_path(fixture, &listener), 0);
    assert_int_equal(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(listener.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(listener_accept(&listener), -1);
    assert_int_equal(errno, EAGAIN);
    listener_close(&listener);
}

static void the_socket_has_its_mode_whatever_the_umask_and_leaves_that_alone(void **state)
{
    struct fixture *fixture = *state;
    static const mode_t modes[] = {0660, 0600, 0666, 0777, 0}, masks[] = {022, 0, 077};
    for (size_t i = 0; i < 15; i++) {
        struct listener listener;
        struct stat made;
        fixture->config.socket_mode = modes[i / 3];
        mode_t before = umask(masks[i % 3]);
        int result = open_at_path(fixture, &listener);
        mode_t after = umask(before);
        assert_int_equal(result, 0);
        assert_int_equal(after, masks[i % 3]);
        assert_int_equal(lstat(fixture->path, &made), 0);
        assert_int_equal(made.st_mode & 07777, modes[i / 3]);
        listener_close(&listener);
    }
}

static void the_socket_belongs_to_whom_it_was_to_be_given(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    struct stat made;
    /* Only root can give it to another. */
    uid_t uid = geteuid() == 0 ? NOBODY : geteuid();
    gid_t gid = geteuid() == 0 ? NOBODY : getegid();
    fixture->config.owner = (struct sandbox_identity){.uid = uid, .gid = gid};
    assert_int_equal(open_at_path(fixture, &listener), 0);
    assert_int_equal(lstat(fixture->path, &made), 0);
    assert_int_equal(made.st_uid, uid);
    assert_int_equal(made.st_gid, gid);
    listener_close(&listener);
}

/* Tries as somebody who is not root; returns what listener_open did, with its errno. */
static int open_without_privilege(struct fixture *fixture, struct listener *listener)
{
    bool was_root = geteuid() == 0;
    if (was_root && (chown(fixture->folder, NOBODY, NOBODY) != 0 || seteuid(NOBODY) != 0))
        fail_msg("cannot become another user");
    int result = open_at_path(fixture, listener);
    int saved_errno = errno;
    if (was_root)
        assert_int_equal(seteuid(0), 0);
    errno = saved_errno;
    return result;
}

static void a_socket_that_cannot_be_given_away_is_refused_and_not_left_behind(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    fixture->config.owner.uid = 0;
    assert_int_equal(open_without_privilege(fixture, &listener), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(listener.fd, -1);
    assert_non_null(strstr(logged(fixture), "give the socket away"));
    assert_false(exists(fixture->path));
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;
    snprintf(fixture->address, sizeof(fixture->address), "unix:%.60s/none/fib.sock", fixture->folder);
    expect_refusal(fixture, ENOENT, "create the folder first");
}

static void a_folder_that_is_a_file_is_told(void **state)
{
    struct fixture *fixture = *state;
    snprintf(fixture->address, sizeof(fixture->address), "unix:%.60s/log/fib.sock", fixture->folder);
    expect_refusal(fixture, ENOTDIR, "create the folder first");
}

static void a_backlog_that_the_kernel_cuts_is_warned_of(void **state)
{
    struct fixture *fixture = *state;
    fixture->config.backlog = 1;
    listener_check_queue(&fixture->config, &fixture->log);
    assert_null(strstr(logged(fixture), "net.core.somaxconn"));
    fixture->config.backlog = INT_MAX;
    listener_check_queue(&fixture->config, &fixture->log);
    assert_non_null(strstr(logged(fixture), "net.core.somaxconn"));
}

/* What is at the path already. */

static void a_stale_socket_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    leave_stale_socket(fixture);
    assert_false(can_connect(fixture->path));
    assert_int_equal(open_at_path(fixture, &listener), 0);
    assert_true(can_connect(fixture->path));
    assert_non_null(strstr(logged(fixture), "taking over"));
    listener_close(&listener);
    assert_false(exists(fixture->path));
}

static void a_socket_that_somebody_listens_on_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct listener first;
    assert_int_equal(open_at_path(fixture, &first), 0);
    expect_refusal(fixture, EADDRINUSE, "another process is serving there");
    assert_null(strstr(fixture->logged, "taking over"));
    assert_true(can_connect(fixture->path));
    listener_close(&first);
}

static void a_socket_whose_queue_is_full_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct listener first;
    int clients[8], count = 0;
    fixture->config.backlog = 1;
    assert_int_equal(open_at_path(fixture, &first), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fixture->path);
    for (bool full = false; !full; count++) {
        assert_true(count < 8);
        clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(clients[count] >= 0);
        full = connect(clients[count], (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == EAGAIN;
    }
    expect_refusal(fixture, EADDRINUSE, "another process is serving there");
    assert_true(exists(fixture->path));
    while (count > 0)
        close(clients[--count]);
    listener_close(&first);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct stat found;
    folder_write(fixture->folder, "/fib.sock", "somebody's data");
    expect_refusal(fixture, ENOTSOCK, "not a socket");
    assert_int_equal(lstat(fixture->path, &found), 0);
    assert_true(S_ISREG(found.st_mode));
    assert_int_equal(found.st_size, strlen("somebody's data"));
}

static void a_folder_or_a_link_at_the_path_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    expect_refusal(fixture, ENOTSOCK, "not a socket");
    assert_int_equal(rmdir(fixture->path), 0);
    assert_int_equal(symlink("nowhere", fixture->path), 0);
    expect_refusal(fixture, ENOTSOCK, "not a socket");
    assert_true(exists(fixture->path));
}

/* The end. */

static void closing_removes_the_path(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    assert_int_equal(open_at_path(fixture, &listener), 0);
    listener_close(&listener);
    assert_int_equal(listener.fd, -1);
    assert_false(exists(fixture->path));
}

static void closing_leaves_a_path_that_somebody_else_has_taken(void **state)
{
    struct fixture *fixture = *state;
    struct listener first, second;
    assert_int_equal(open_at_path(fixture, &first), 0);
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(open_at_path(fixture, &second), 0);
    listener_close(&first);
    assert_true(can_connect(fixture->path));
    listener_close(&second);
    assert_false(exists(fixture->path));
}

static void after_the_end_of_intake_only_what_is_queued_is_taken(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    char moved[FOLDER_PATH_MAX + 32];
    assert_int_equal(open_at_path(fixture, &listener), 0);
    int queued = connect_to(fixture->path);
    assert_true(queued >= 0);
    /* A second name, as a peer has it that looked the path up before it went. */
    snprintf(moved, sizeof(moved), "%s.too", fixture->path);
    assert_int_equal(link(fixture->path, moved), 0);
    listener_stop_intake(&listener);
    assert_false(exists(fixture->path));
    assert_int_equal(connect_to(moved), -1);
    assert_int_equal(errno, ECONNREFUSED);
    int taken = listener_accept(&listener);
    assert_true(taken >= 0);
    assert_int_equal(listener_accept(&listener), -1);
    /* accept4 looks at the shutdown only where it would wait: EAGAIN for us, EINVAL for a socket that blocks. */
    assert_true(errno == EAGAIN || errno == EINVAL);
    close(taken);
    close(queued);
    listener_close(&listener);
}

/* Sockets that come from somebody else, and peers. */

/* A TCP socket on a free port of the loopback address. */
static int listen_on_loopback(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

/* Connects once and says what listener_accept makes of it; errno is its own. */
static int accept_one(const struct listener *listener, const struct sockaddr_in *address)
{
    struct pollfd waiting = {.fd = listener->fd, .events = POLLIN};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client >= 0);
    assert_int_equal(connect(client, (const struct sockaddr *)address, sizeof(*address)), 0);
    assert_int_equal(poll(&waiting, 1, 5000), 1);
    int server = listener_accept(listener);
    int saved_errno = errno;
    if (server >= 0)
        close(server);
    close(client);
    errno = saved_errno;
    return server;
}

static void expect_peers(struct fixture *fixture, const char *allowed_peers, bool is_allowed)
{
    struct listener listener;
    struct sockaddr_in address;
    int fd = listen_on_loopback(&address);
    fixture->config.allowed_peers = allowed_peers;
    assert_int_equal(listener_inherit(&listener, fd, &fixture->config, &fixture->log), 0);
    assert_true(listener.is_tcp);
    int taken = accept_one(&listener, &address);
    if ((taken >= 0) != is_allowed || (!is_allowed && errno != EPERM))
        fail_msg("allowed peers \"%s\": %s", allowed_peers != NULL ? allowed_peers : "", strerror(errno));
    listener_close(&listener);
}

static void only_allowed_peers_are_taken(void **state)
{
    struct fixture *fixture = *state;
    expect_peers(fixture, NULL, true);
    expect_peers(fixture, "", true);
    expect_peers(fixture, "127.0.0.1", true);
    expect_peers(fixture, "::1,10.0.0.1,127.0.0.1", true);
    expect_peers(fixture, "::ffff:127.0.0.1", true);
    expect_peers(fixture, "10.0.0.1", false);
    expect_peers(fixture, "127.0.0.2,::1", false);
}

static void a_list_of_peers_that_is_none_is_refused(void **state)
{
    struct fixture *fixture = *state;
    static const char *const wrong[] = {
        "localhost",      ",127.0.0.1",     "127.0.0.1,,::1",
        "127.0.0.1, ::1", "127.0.0.1 ::1",  "10.0.0.0/8",
        "[::1]",          "127.0.0.1:9000", "0000:0000:0000:0000:0000:ffff:255.255.255.256",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct listener listener;
        fixture->config.allowed_peers = wrong[i];
        if (open_at_path(fixture, &listener) == 0)
            fail_msg("\"%s\" passes", wrong[i]);
        assert_int_equal(errno, EINVAL);
        assert_false(exists(fixture->path));
    }
    assert_non_null(strstr(logged(fixture), "is not an IP address"));
}

static void a_peer_with_something_behind_the_longest_address_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    fixture->config.allowed_peers = "0000:0000:0000:0000:0000:ffff:255.255.255.255";
    assert_int_equal(open_at_path(fixture, &listener), 0);
    listener_close(&listener);
    fixture->config.allowed_peers = "0000:0000:0000:0000:0000:ffff:255.255.255.255/96";
    expect_refusal(fixture, EINVAL, "is not an IP address");
}

static void as_many_peers_as_there_is_room_for_may_be_listed(void **state)
{
    struct fixture *fixture = *state;
    struct listener listener;
    char list[(LISTENER_PEERS_MAX + 1) * 16] = "10.0.0.1";
    for (int i = 1; i < LISTENER_PEERS_MAX; i++)
        strcat(list, ",10.0.0.1");
    fixture->config.allowed_peers = list;
    assert_int_equal(open_at_path(fixture, &listener), 0);
    assert_int_equal(listener.peer_count, LISTENER_PEERS_MAX);
    listener_close(&listener);
    strcat(list, ",10.0.0.1");
    expect_refusal(fixture, EINVAL, "one more than 64");
}

static void an_inherited_unix_socket_outlives_us(void **state)
{
    struct fixture *fixture = *state;
    struct listener owner, heir;
    assert_int_equal(open_at_path(fixture, &owner), 0);
    int fd = dup(owner.fd);
    assert_true(fd >= 0);
    assert_int_equal(listener_inherit(&heir, fd, &fixture->config, &fixture->log), 0);
    assert_true(heir.is_inherited);
    assert_false(heir.is_tcp);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    listener_stop_intake(&heir);
    listener_close(&heir);
    assert_true(can_connect(fixture->path));
    listener_close(&owner);
}

static void what_does_not_listen_is_told_apart(void **state)
{
    struct fixture *fixture = *state;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_false(listener_is_listening(pair[0]));
    assert_false(listener_is_listening(fixture->log.fd));
    assert_false(listener_is_listening(-1));
    close(pair[0]);
    close(pair[1]);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses_pass),
        cmocka_unit_test(an_address_of_another_kind_is_refused_with_both_forms_to_write),
        cmocka_unit_test(a_unix_path_that_is_not_absolute_is_refused),
        cmocka_unit_test(a_tcp_address_that_is_none_is_refused),
        cmocka_unit_test(a_unix_path_may_have_107_characters),
        IN_A_FOLDER(a_bad_address_is_not_opened),
        IN_A_FOLDER(an_opened_socket_listens_and_takes_connections),
        IN_A_FOLDER(the_socket_does_not_block_and_is_closed_on_exec),
        IN_A_FOLDER(the_socket_has_its_mode_whatever_the_umask_and_leaves_that_alone),
        IN_A_FOLDER(the_socket_belongs_to_whom_it_was_to_be_given),
        IN_A_FOLDER(a_socket_that_cannot_be_given_away_is_refused_and_not_left_behind),
        IN_A_FOLDER(a_folder_that_is_not_there_is_told),
        IN_A_FOLDER(a_folder_that_is_a_file_is_told),
        IN_A_FOLDER(a_backlog_that_the_kernel_cuts_is_warned_of),
        IN_A_FOLDER(a_stale_socket_is_taken_over),
        IN_A_FOLDER(a_socket_that_somebody_listens_on_is_left_alone),
        IN_A_FOLDER(a_socket_whose_queue_is_full_is_left_alone),
        IN_A_FOLDER(a_file_that_is_no_socket_is_left_alone),
        IN_A_FOLDER(a_folder_or_a_link_at_the_path_is_left_alone),
        IN_A_FOLDER(closing_removes_the_path),
        IN_A_FOLDER(closing_leaves_a_path_that_somebody_else_has_taken),
        IN_A_FOLDER(after_the_end_of_intake_only_what_is_queued_is_taken),
        IN_A_FOLDER(only_allowed_peers_are_taken),
        IN_A_FOLDER(a_list_of_peers_that_is_none_is_refused),
        IN_A_FOLDER(a_peer_with_something_behind_the_longest_address_is_refused),
        IN_A_FOLDER(as_many_peers_as_there_is_room_for_may_be_listed),
        IN_A_FOLDER(an_inherited_unix_socket_outlives_us),
        IN_A_FOLDER(what_does_not_listen_is_told_apart),
    };
    return cmocka_run_group_tests_name("listener", tests, NULL, NULL);
}
