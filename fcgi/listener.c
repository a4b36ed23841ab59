#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define UNIX_PREFIX "unix:"
#define TCP_PREFIX "tcp:"
#define LOCK_MS 3000
#define LOCK_STEP_MS 20
#define ORPHANS_MS 1000
#define ORPHANS_STEP_MS 5

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* "127.0.0.1:9000" or "[::1]:9000"; numbers only, so that nothing depends on a resolver. */
static bool parse_tcp(const char *text, union address *address, socklen_t *size)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port == 0 || port > 65535)
        return false;
    *address = (union address){0};
    size_t length = strlen(host);
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = '\0';
        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_port = htons((uint16_t)port);
        *size = sizeof(address->in6);
        return inet_pton(AF_INET6, host + 1, &address->in6.sin6_addr) == 1;
    }
    address->in.sin_family = AF_INET;
    address->in.sin_port = htons((uint16_t)port);
    *size = sizeof(address->in);
    return inet_pton(AF_INET, host, &address->in.sin_addr) == 1;
}

const char *listener_check_address(const char *address)
{
    union address parsed;
    socklen_t size;
    if (starts_with(address, UNIX_PREFIX)) {
        const char *path = address + strlen(UNIX_PREFIX);
        if (path[0] != '/')
            return "the path of a Unix socket must be absolute, as in unix:/run/fibcgi/fib.sock";
        if (strlen(path) >= sizeof(parsed.un.sun_path))
            return "the path of a Unix socket can have at most 107 characters; choose a shorter one";
        return NULL;
    }
    if (starts_with(address, TCP_PREFIX))
        return parse_tcp(address + strlen(TCP_PREFIX), &parsed, &size)
                   ? NULL
                   : "a TCP address is written tcp:127.0.0.1:9000 or tcp:[::1]:9000, with a port from 1 to 65535";
    return "an address starts with unix: or tcp:, as in unix:/run/fibcgi/fib.sock or tcp:127.0.0.1:9000";
}

static void map_ipv4(struct in_addr from, struct in6_addr *to)
{
    *to = (struct in6_addr){0};
    to->s6_addr[10] = to->s6_addr[11] = 0xff;
    memcpy(&to->s6_addr[12], &from, sizeof(from));
}

static int parse_peer(const char *text, struct in6_addr *peer)
{
    struct in_addr ipv4;
    if (inet_pton(AF_INET, text, &ipv4) == 1) {
        map_ipv4(ipv4, peer);
        return 0;
    }
    return inet_pton(AF_INET6, text, peer) == 1 ? 0 : -1;
}

int listener_set_peers(struct listener *listener, const char *list, const struct log *log)
{
    char text[INET6_ADDRSTRLEN];
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        snprintf(text, sizeof(text), "%.*s", (int)(length < sizeof(text) ? length : sizeof(text) - 1), list);
        if (listener->peer_count == LISTENER_PEERS_MAX || length >= sizeof(text) ||
            parse_peer(text, &listener->peers[listener->peer_count]) != 0) {
            log_error(log,
                      "allowed peers: \"%s\" is not an IP address, or one more than %d; write addresses with commas "
                      "between, as in FCGI_WEB_SERVER_ADDRS=127.0.0.1,::1",
                      text, LISTENER_PEERS_MAX);
            errno = EINVAL;
            return -1;
        }
        listener->peer_count++;
        list += length + (list[length] == ',');
    }
    return 0;
}

static int set_peers(struct listener *listener, const struct listener_config *config, const struct log *log)
{
    return config->is_for_clients ? 0 : listener_set_peers(listener, config->allowed_peers, log);
}

void listener_check_queue(const struct listener_config *config, const struct log *log)
{
    char text[32];
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    if (file == NULL)
        return;
    long somaxconn = fgets(text, sizeof(text), file) != NULL ? strtol(text, NULL, 10) : 0;
    if (somaxconn > 0 && somaxconn < config->backlog)
        log_warning(log,
                    "the listen queue holds %ld connections, not the %d of --backlog, because net.core.somaxconn is "
                    "lower; raise it (sysctl net.core.somaxconn=%d) or let the web server hold fewer requests",
                    somaxconn, config->backlog, config->backlog);
    fclose(file);
}

bool listener_is_listening(int fd)
{
    int listening = 0, type = 0;
    socklen_t size = sizeof(listening), type_size = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM;
}

/* The process that called listen(2) is gone: what still holds the socket are its workers, on their way out. */
static bool is_orphan(int probe)
{
    struct ucred listener;
    socklen_t size = sizeof(listener);
    return getsockopt(probe, SOL_SOCKET, SO_PEERCRED, &listener, &size) == 0 && listener.pid > 0 &&
           kill(listener.pid, 0) != 0 && errno == ESRCH;
}

enum life { LIFE_STALE, LIFE_ORPHAN, LIFE_LIVE, LIFE_UNKNOWN };

/* Whether somebody listens on path; LIFE_UNKNOWN with errno where that can't be told. */
static enum life find_life(const union address *address, socklen_t size)
{
    enum life life = LIFE_UNKNOWN;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return LIFE_UNKNOWN;
    if (connect(probe, &address->any, size) == 0)
        life = is_orphan(probe) ? LIFE_ORPHAN : LIFE_LIVE;
    else if (errno == EAGAIN) /* a full queue: alive, and busy */
        life = LIFE_LIVE;
    else if (errno == ECONNREFUSED)
        life = LIFE_STALE;
    int saved_errno = errno;
    close(probe);
    errno = saved_errno;
    return life;
}

/* The same, but waits for workers that lost their master to be gone, at most ORPHANS_MS. */
static enum life find_settled_life(const union address *address, socklen_t size)
{
    enum life life = find_life(address, size);
    for (int waited_ms = 0; life == LIFE_ORPHAN && waited_ms < ORPHANS_MS; waited_ms += ORPHANS_STEP_MS) {
        poll(NULL, 0, ORPHANS_STEP_MS);
        life = find_life(address, size);
    }
    return life;
}

/* Makes way for bind(2) at a path; only a socket that nobody listens on is removed. */
static int clear_path(const union address *address, socklen_t size, const struct log *log)
{
    struct stat old;
    const char *path = address->un.sun_path;
    if (lstat(path, &old) != 0)
        return errno == ENOENT ? 0 : -1;
    if (!S_ISSOCK(old.st_mode)) {
        errno = ENOTSOCK;
        return -1;
    }
    enum life life = find_settled_life(address, size);
    if (life == LIFE_LIVE || life == LIFE_ORPHAN)
        errno = EADDRINUSE;
    if (life != LIFE_STALE)
        return -1;
    log_info(log, "taking over %s: nobody listens on it any more", path);
    return unlink(path);
}

static int bind_unix(struct listener *listener, const union address *address, socklen_t size,
                     const struct listener_config *config)
{
    struct stat made;
    const char *path = address->un.sun_path;
    /* The umask cuts the mode at birth, so there is no moment at which the socket is open to more than it should be. */
    mode_t old_mask = umask(0777 & ~config->socket_mode);
    int bound = bind(listener->fd, &address->any, size);
    umask(old_mask);
    if (bound != 0)
        return -1;
    snprintf(listener->path, sizeof(listener->path), "%s", path);
    if (lstat(path, &made) != 0)
        return -1;
    listener->device = made.st_dev;
    listener->inode = made.st_ino;
    if (lchown(path, config->owner.uid, config->owner.gid) != 0)
        return -1;
    return listen(listener->fd, config->backlog);
}

/* Two programs that start at once must not both find the same path stale: the folder's lock lets one in at a time. In a
 * folder that others can open too, such as /tmp, anybody may hold that lock, so it is not waited for without end. */
static int lock_folder(const char *path)
{
    char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(copy, sizeof(copy), "%s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int locked = folder < 0 ? -1 : flock(folder, LOCK_EX | LOCK_NB);
    for (int waited_ms = 0; folder >= 0 && locked != 0 && waited_ms < LOCK_MS; waited_ms += LOCK_STEP_MS) {
        poll(NULL, 0, LOCK_STEP_MS);
        locked = flock(folder, LOCK_EX | LOCK_NB);
    }
    if (folder >= 0 && locked != 0) {
        close(folder);
        errno = EDEADLK;
        return -1;
    }
    return folder;
}

static int open_unix(struct listener *listener, const char *path, const struct listener_config *config,
                     const struct log *log)
{
    union address address = {.un = {.sun_family = AF_UNIX}};
    snprintf(address.un.sun_path, sizeof(address.un.sun_path), "%s", path);
    int folder = lock_folder(path);
    int result = folder < 0 ? -1 : clear_path(&address, sizeof(address.un), log);
    if (result == 0) {
        listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        result = listener->fd < 0 ? -1 : bind_unix(listener, &address, sizeof(address.un), config);
    }
    int saved_errno = errno;
    if (folder >= 0)
        close(folder);
    errno = saved_errno;
    return result;
}

static bool is_loopback(const union address *address)
{
    if (address->any.sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&address->in6.sin6_addr);
    return (ntohl(address->in.sin_addr.s_addr) >> 24) == 127;
}

static void tell_who_can_ask(const char *address, const struct listener_config *config, const struct log *log)
{
    if (config->is_for_clients)
        log_info(log,
                 "tcp:%s answers every host that reaches it: --allowed-peers are web servers and have no meaning "
                 "there; a firewall or a NetworkPolicy can close it to others",
                 address);
    else
        log_warning(log,
                    "tcp:%s takes requests from every host that reaches it; name the web servers in "
                    "FCGI_WEB_SERVER_ADDRS or --allowed-peers",
                    address);
}

static int open_tcp(struct listener *listener, const char *text, const struct listener_config *config,
                    const struct log *log)
{
    union address address;
    socklen_t size;
    int on = 1;
    if (!parse_tcp(text, &address, &size)) {
        errno = EINVAL;
        return -1;
    }
    listener->is_tcp = true;
    listener->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 || setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        return -1;
    if (bind(listener->fd, &address.any, size) != 0 || listen(listener->fd, config->backlog) != 0)
        return -1;
    if (listener->peer_count == 0 && !is_loopback(&address))
        tell_who_can_ask(text, config, log);
    return 0;
}

static const char *remedy_for(int error, bool is_tcp)
{
    switch (error) {
    case EACCES:
    case EPERM:
        if (is_tcp)
            return "choose a port of 1024 or more, or run as a user who may take lower ones";
        return "run as a user who may write in that folder and give the socket away, or choose another address";
    case ENOENT:
    case ENOTDIR:
        return "create the folder first, or choose another address";
    case EADDRINUSE:
        return "another process is serving there; stop that one first, or choose another address";
    case EDEADLK:
        return "another program holds a lock on that folder; end it, or use a folder of your own such as /run/fibcgi";
    case EPROTOTYPE:
        return "a socket of another kind is there; stop the process that holds it, or choose another path";
    case ENOTSOCK:
        return "something that is not a socket is there; choose another path, or remove it if nobody needs it";
    case EADDRNOTAVAIL:
        return "choose an address that this machine has";
    default:
        return "see errno(3); the system may be short of something";
    }
}

int listener_open(struct listener *listener, const char *address, const struct listener_config *config,
                  const struct log *log)
{
    *listener = (struct listener){.fd = -1};
    const char *wrong = listener_check_address(address);
    if (wrong != NULL) {
        log_error(log, "cannot listen on \"%s\": %s", address, wrong);
        errno = EINVAL;
        return -1;
    }
    if (set_peers(listener, config, log) != 0)
        return -1;
    int result = starts_with(address, UNIX_PREFIX) ? open_unix(listener, address + strlen(UNIX_PREFIX), config, log)
                                                   : open_tcp(listener, address + strlen(TCP_PREFIX), config, log);
    if (result != 0) {
        int saved_errno = errno;
        log_error(log, "cannot listen on %s: %s; %s", address, strerror(saved_errno),
                  remedy_for(saved_errno, listener->is_tcp));
        listener_close(listener);
        errno = saved_errno;
    }
    return result;
}

int listener_connect(const char *address, unsigned timeout_ms)
{
    union address peer = {.un = {.sun_family = AF_UNIX}};
    socklen_t size = sizeof(peer.un);
    const struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    if (listener_check_address(address) != NULL) {
        errno = EINVAL;
        return -1;
    }
    if (starts_with(address, UNIX_PREFIX))
        snprintf(peer.un.sun_path, sizeof(peer.un.sun_path), "%s", address + strlen(UNIX_PREFIX));
    else
        parse_tcp(address + strlen(TCP_PREFIX), &peer, &size);
    int fd = socket(peer.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 && connect(fd, &peer.any, size) == 0)
        return fd;
    int saved_errno = errno;
    if (fd >= 0)
        close(fd);
    errno = saved_errno;
    return -1;
}

int listener_inherit(struct listener *listener, int fd, const struct listener_config *config, const struct log *log)
{
    union address own = {0};
    socklen_t size = sizeof(own);
    *listener = (struct listener){.fd = fd, .is_inherited = true};
    if (!listener_is_listening(fd)) {
        log_error(
            log,
            "file descriptor %d, passed to be served, is not a listening socket; look at what started us (a socket "
            "unit needs ListenStream= and Accept=no), or give --listen",
            fd);
        errno = ENOTSOCK;
        return -1;
    }
    if (set_peers(listener, config, log) != 0)
        return -1;
    if (getsockname(fd, &own.any, &size) != 0)
        return -1;
    listener->is_tcp = own.any.sa_family == AF_INET || own.any.sa_family == AF_INET6;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static bool is_allowed(const struct listener *listener, const union address *peer)
{
    struct in6_addr address;
    if (listener->peer_count == 0)
        return true;
    if (peer->any.sa_family == AF_INET)
        map_ipv4(peer->in.sin_addr, &address);
    else
        address = peer->in6.sin6_addr;
    for (unsigned i = 0; i < listener->peer_count; i++) {
        if (memcmp(&listener->peers[i], &address, sizeof(address)) == 0)
            return true;
    }
    return false;
}

int listener_accept(const struct listener *listener)
{
    if (!listener->is_tcp)
        return accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    union address peer = {0};
    socklen_t size = sizeof(peer);
    int fd = accept4(listener->fd, &peer.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 && !is_allowed(listener, &peer)) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

bool listener_accepted(const struct listener *listener, int fd)
{
    union address ours = {0}, theirs = {0};
    socklen_t our_size = sizeof(ours), their_size = sizeof(theirs);
    if (listener_is_listening(fd) || getsockname(fd, &theirs.any, &their_size) != 0 ||
        getsockname(listener->fd, &ours.any, &our_size) != 0 || ours.any.sa_family != theirs.any.sa_family)
        return false;
    switch (ours.any.sa_family) {
    case AF_UNIX:
        return our_size == their_size && memcmp(&ours, &theirs, our_size) == 0;
    case AF_INET:
        return ours.in.sin_port == theirs.in.sin_port;
    case AF_INET6:
        return ours.in6.sin6_port == theirs.in6.sin6_port;
    default:
        return false;
    }
}

/* Somebody may have put another socket there since: that one is not ours to remove. */
static void remove_path(struct listener *listener)
{
    struct stat now;
    if (listener->path[0] == '\0' || listener->inode == 0)
        return;
    if (lstat(listener->path, &now) == 0 && now.st_dev == listener->device && now.st_ino == listener->inode)
        unlink(listener->path);
    listener->path[0] = '\0';
}

/* Drops whatever reaches a listening TCP socket from now on. Connections that are queued have sockets of their own. */
static void drop_new_segments(int fd)
{
    struct sock_filter drop[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {.len = 1, .filter = drop};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void listener_stop_intake(struct listener *listener)
{
    if (listener->is_inherited)
        return;
    if (listener->is_tcp) {
        drop_new_segments(listener->fd);
        return;
    }
    remove_path(listener);
    /* On a Unix socket this refuses further connects and lets accept go on until the queue is empty; a connect that has
     * looked the path up but not joined the queue yet is refused too, instead of being reset later. */
    shutdown(listener->fd, SHUT_RD);
}

void listener_close(struct listener *listener)
{
    remove_path(listener);
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}
