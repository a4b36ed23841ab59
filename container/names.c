/* Linked into the static program only. An image from scratch has no list of users and no name service, so there is nothing
 * to be found; and the C library's own search (NSS, the resolver) would load shared libraries, which are not there either,
 * and take 170 KB. --user and its like take numbers there, --listen takes addresses; libfcgi's own connect is not used. */
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stddef.h>

struct passwd *getpwnam(const char *name)
{
    (void)name;
    return NULL;
}

struct passwd *getpwuid(uid_t uid)
{
    (void)uid;
    return NULL;
}

struct group *getgrnam(const char *name)
{
    (void)name;
    return NULL;
}

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

/* Translations of the C library's messages (strerror, getopt) would be loaded from files that are not there either, and converted from
 * one character set to another: 40 KB. */
char *__dcgettext(const char *domain, const char *text, int category);
char *__dcgettext(const char *domain, const char *text, int category)
{
    (void)domain;
    (void)category;
    return (char *)text;
}
