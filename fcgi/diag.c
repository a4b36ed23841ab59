#include "diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

/* More than the kernel has to say of one connection, but for what is not of interest. */
#define ANSWER_MAX 256
/* The kernel makes no part of a list longer than this. */
#define PART_MAX 32768
/* Answers to questions of which nobody has read the answer, at most, before ours. */
#define STALE_MAX 8
/* How Linux has a connection that is being made (SYN_RECV) in its tables; netinet/tcp.h does not know it. */
#define STATE_NEW_SYN_RECV 12
#define OPEN_STATES                                                                                                    \
    (1U << TCP_LISTEN | 1U << TCP_SYN_RECV | 1U << STATE_NEW_SYN_RECV | 1U << TCP_ESTABLISHED | 1U << TCP_CLOSE_WAIT)

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 what;
};

struct unix_question {
    struct nlmsghdr header;
    struct unix_diag_req what;
};

union answer {
    struct nlmsghdr header;
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg socket;
    } found;
    uint8_t bytes[ANSWER_MAX];
};

int diag_open(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

static uint32_t next_number(void)
{
    static uint32_t asked;
    return ++asked;
}

static struct question question_of(uint8_t family, uint16_t flags, uint32_t states)
{
    return (struct question){
        .header = {.nlmsg_len = sizeof(struct question),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                   .nlmsg_seq = next_number()},
        .what = {.sdiag_family = family,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = states,
                 .id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
}

static int ask(int diag, const struct nlmsghdr *question)
{
    ssize_t sent = send(diag, question, question->nlmsg_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent == (ssize_t)question->nlmsg_len ? 0 : -1;
}

/* Reads the answer to a question about one socket. Returns its length, at least size; -1 with errno where there is none. */
static ssize_t read_answer(int diag, const struct nlmsghdr *question, union answer *answer, size_t size)
{
    for (int i = 0; i < STALE_MAX; i++) {
        ssize_t length = recv(diag, answer, sizeof(*answer), MSG_DONTWAIT);
        if (length < 0)
            return -1;
        if (length < (ssize_t)sizeof(answer->header))
            break;
        if (answer->header.nlmsg_seq != question->nlmsg_seq)
            continue;
        if (answer->header.nlmsg_type == SOCK_DIAG_BY_FAMILY && length >= (ssize_t)size)
            return length;
        break;
    }
    errno = ENOENT;
    return -1;
}

uint8_t diag_state(int diag, const struct diag_ends *ends)
{
    union answer answer;
    struct question question = question_of(ends->family, 0, UINT32_MAX);
    struct inet_diag_sockid *id = &question.what.id;
    id->idiag_sport = ends->local_port;
    id->idiag_dport = ends->remote_port;
    memcpy(id->idiag_src, ends->local_address, sizeof(id->idiag_src));
    memcpy(id->idiag_dst, ends->remote_address, sizeof(id->idiag_dst));
    if (ask(diag, &question.header) != 0 || read_answer(diag, &question.header, &answer, sizeof(answer.found)) < 0)
        return 0;
    return answer.found.socket.idiag_state;
}

/* NLA_ALIGN of linux/netlink.h is a signed number. */
static size_t attribute_space(size_t length)
{
    return (length + NLA_ALIGNTO - 1) / NLA_ALIGNTO * NLA_ALIGNTO;
}

/* Finds the queue among the attributes behind what is known of a Unix socket. */
static int find_queue(const union answer *answer, size_t length, struct diag_queue *queue)
{
    struct nlattr attribute;
    struct unix_diag_rqlen lengths;
    const size_t header = attribute_space(sizeof(attribute));
    size_t at = NLMSG_SPACE(sizeof(struct unix_diag_msg));
    for (; at + sizeof(attribute) <= length; at += attribute_space(attribute.nla_len)) {
        memcpy(&attribute, answer->bytes + at, sizeof(attribute));
        if (attribute.nla_len < sizeof(attribute) || attribute.nla_len > length - at)
            break;
        if (attribute.nla_type != UNIX_DIAG_RQLEN || attribute.nla_len < header + sizeof(lengths))
            continue;
        memcpy(&lengths, answer->bytes + at + header, sizeof(lengths));
        *queue = (struct diag_queue){lengths.udiag_rqueue, lengths.udiag_wqueue};
        return 0;
    }
    errno = EPROTO;
    return -1;
}

int diag_read_unix_queue(int diag, uint32_t inode, struct diag_queue *queue)
{
    union answer answer;
    struct unix_question question = {
        .header = {.nlmsg_len = sizeof(struct unix_question),
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = next_number()},
        .what = {.sdiag_family = AF_UNIX,
                 .udiag_states = UINT32_MAX,
                 .udiag_ino = inode,
                 .udiag_show = UDIAG_SHOW_RQLEN,
                 .udiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}},
    };
    if (ask(diag, &question.header) != 0)
        return -1;
    ssize_t length = read_answer(diag, &question.header, &answer, NLMSG_LENGTH(sizeof(struct unix_diag_msg)));
    return length < 0 ? -1 : find_queue(&answer, (size_t)length, queue);
}

int diag_read_tcp_queue(int listener, struct diag_queue *queue)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    if (getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return -1;
    /* What these two are for a listening socket. */
    *queue = (struct diag_queue){info.tcpi_unacked, info.tcpi_sacked};
    return 0;
}

struct list {
    uint32_t number; /* of the question */
    uint16_t port;
    int count;
    bool has_ended;
};

/* The list's end, or that there is none: both come with an error, as a negative number. */
static int read_end(const struct nlmsghdr *header)
{
    int error = -EPROTO;
    if (header->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
        memcpy(&error, NLMSG_DATA(header), sizeof(error));
    errno = -error;
    return error < 0 ? -1 : 0;
}

/* Returns 0, or -1 with errno. */
static int read_message(struct list *list, const struct nlmsghdr *header)
{
    if (header->nlmsg_seq != list->number)
        return 0;
    if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_type == NLMSG_DONE) {
        list->has_ended = true;
        return read_end(header);
    }
    if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && header->nlmsg_len >= NLMSG_LENGTH(sizeof(struct inet_diag_msg))) {
        const struct inet_diag_msg *found = NLMSG_DATA(header);
        list->count += found->id.idiag_sport == list->port;
    }
    return 0;
}

/* The kernel makes each further part while the one before is read, so there is always one until the end. */
static int read_list(int diag, struct list *list)
{
    _Alignas(struct nlmsghdr) uint8_t part[PART_MAX];
    while (!list->has_ended) {
        ssize_t length = recv(diag, part, sizeof(part), MSG_DONTWAIT);
        if (length <= 0)
            return -1;
        for (size_t at = 0, size; at < (size_t)length; at += NLMSG_ALIGN(size)) {
            const struct nlmsghdr *header = (const struct nlmsghdr *)(part + at);
            size = (size_t)length - at >= sizeof(*header) ? header->nlmsg_len : 0;
            if (size < sizeof(*header) || size > (size_t)length - at) {
                errno = EPROTO;
                return -1;
            }
            if (read_message(list, header) != 0)
                return -1;
        }
    }
    return 0;
}

static int count_in_family(int diag, uint8_t family, uint16_t port)
{
    struct question question = question_of(family, NLM_F_DUMP, OPEN_STATES);
    /* Which the kernel compares before it writes anything. */
    question.what.id.idiag_sport = htons(port);
    struct list list = {.number = question.header.nlmsg_seq, .port = htons(port)};
    if (ask(diag, &question.header) != 0)
        return -1;
    return read_list(diag, &list) == 0 ? list.count : -1;
}

int diag_count_on_port(int diag, uint16_t port)
{
    int four = count_in_family(diag, AF_INET, port);
    /* With both families' connections, where it takes both. */
    int six = four >= 0 ? count_in_family(diag, AF_INET6, port) : -1;
    return six >= 0 ? four + six : -1;
}
