/* diag: asks the kernel about the sockets of this network namespace: sock_diag(7). Nothing here waits. */
#ifndef FIBCGI_DIAG_H
#define FIBCGI_DIAG_H

#include <stdint.h>

/* Opens what is asked with; not to be shared by processes. Returns its descriptor, or -1 with errno of socket(2). */
int diag_open(void);

/* A connection as one of its ends has it; ports and addresses in network byte order. */
struct diag_ends {
    uint8_t family; /* AF_INET or AF_INET6 */
    uint32_t local_address[4];
    uint32_t remote_address[4];
    uint16_t local_port;
    uint16_t remote_port;
};

/* Returns the state of that end (TCP_ESTABLISHED, … of netinet/tcp.h); 0 where there is none, or it cannot be told. */
uint8_t diag_state(int diag, const struct diag_ends *ends);

/* Returns how many sockets with this local port listen or have a connection that this end has not closed; or -1 with errno where
 * that cannot be told. */
int diag_count_on_port(int diag, uint16_t port);

/* What waits to be accepted. */
struct diag_queue {
    uint32_t depth;
    uint32_t capacity;
};

/* The queue of a listening Unix socket, by its inode, and of any listening TCP socket, which needs no diag. Return 0, or -1 with
 * errno where that cannot be told. */
int diag_read_unix_queue(int diag, uint32_t inode, struct diag_queue *queue);
int diag_read_tcp_queue(int listener, struct diag_queue *queue);

#endif
