#include "client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"

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

/* Seen from the web server. False where the ends are not those of a TCP connection. */
static bool parse_ends(struct diag_ends *parsed, const struct client_ends *ends)
{
    *parsed = (struct diag_ends){
        .local_port = parse_port(ends->server_port),
        .remote_port = parse_port(ends->remote_port),
    };
    parsed->family = parse_address(ends->server_address, parsed->local_address);
    return parsed->local_port != 0 && parsed->remote_port != 0 && parsed->family != 0 &&
           parse_address(ends->remote_address, parsed->remote_address) == parsed->family;
}

bool client_has_left(int lookup, const struct client_ends *ends)
{
    struct diag_ends parsed;
    if (!parse_ends(&parsed, ends))
        return false;
    /* What is not found may be the listening socket, by the same question. */
    switch (diag_state(lookup, &parsed)) {
    case TCP_CLOSE_WAIT:
    case TCP_LAST_ACK:
    case TCP_CLOSING:
    case TCP_TIME_WAIT:
        return true;
    default:
        return false;
    }
}
