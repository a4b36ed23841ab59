#include "client.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* More than the kernel has to say of one connection, but for what is not of interest. */
#define ANSWER_MAX 256
/* Answers to questions of which nobody has read the answer, at most, before ours. */
#define STALE_MAX 8

struct question {
    struct nlmsghdr header;
    struct inet_diag_req_v2 what;
};

union answer {
    struct nlmsghdr header;
    struct {
        struct nlmsghdr header;
        struct inet_diag_msg socket;
    } found;
    uint8_t bytes[ANSWER_MAX];
};

int client_open_lookup(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

/* Returns the address family, or 0 where the text is no address. An IPv4 address in an IPv6 one is that IPv4 address. */
static uint8_t parse_address(const char *text, uint32_t address[static 4])
{
    struct in6_addr six;
    if (text == NULL)
        return 0;
    if (inet_pton(AF_INET, text, address) == 1)
        return AF_INET;
    if (inet_pton(AF_INET6, text, &six) != 1)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&six)) {
        memcpy(address, &six.s6_addr[12], sizeof(address[0]));
        return AF_INET;
    }
    memcpy(address, &six, sizeof(six));
    return AF_INET6;
}

/* In network byte order; 0 where the text is no port. */
static uint16_t parse_port(const char *text)
{
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    unsigned long port = strtoul(text, &end, 10);
    return *end == '\0' && port <= UINT16_MAX ? htons((uint16_t)port) : 0;
}

/* Seen from the web server: its own address is the source. False where the ends are not those of a TCP connection. */
static bool fill_question(struct question *question, const struct client_ends *ends)
{
    struct inet_diag_sockid *id = &question->what.id;
    *question = (struct question){
        .header = {.nlmsg_len = sizeof(*question), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .what = {.sdiag_protocol = IPPROTO_TCP, .idiag_states = UINT32_MAX},
    };
    id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    id->idiag_sport = parse_port(ends->server_port);
    id->idiag_dport = parse_port(ends->remote_port);
    question->what.sdiag_family = parse_address(ends->server_address, id->idiag_src);
    return id->idiag_sport != 0 && id->idiag_dport != 0 && question->what.sdiag_family != 0 &&
           parse_address(ends->remote_address, id->idiag_dst) == question->what.sdiag_family;
}

/* Returns the connection's state; 0 where there is none, or another question cannot be told from ours. */
static uint8_t ask(int lookup, struct question *question)
{
    static uint32_t asked;
    union answer answer;
    question->header.nlmsg_seq = ++asked;
    if (send(lookup, question, sizeof(*question), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(*question))
        return 0;
    for (int i = 0; i < STALE_MAX; i++) {
        ssize_t length = recv(lookup, &answer, sizeof(answer), MSG_DONTWAIT);
        if (length < (ssize_t)sizeof(answer.header))
            return 0;
        if (answer.header.nlmsg_seq != asked)
            continue;
        bool is_found = answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY && length >= (ssize_t)sizeof(answer.found);
        return is_found ? answer.found.socket.idiag_state : 0;
    }
    return 0;
}

bool client_has_left(int lookup, const struct client_ends *ends)
{
    struct question question;
    if (!fill_question(&question, ends))
        return false;
    /* What is not found may be the listening socket, by the same question. */
    switch (ask(lookup, &question)) {
    case TCP_CLOSE_WAIT:
    case TCP_LAST_ACK:
    case TCP_CLOSING:
    case TCP_TIME_WAIT:
        return true;
    default:
        return false;
    }
}
