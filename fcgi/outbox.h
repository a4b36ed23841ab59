/* outbox: an answer that its reader may not take at once. libfcgi writes it into a memory file, and sendfile(2) sends it from
 * there. The file's position, which the kernel keeps, says how much of it is out: also to whoever goes on after the death of
 * the worker that was sending it. */
#ifndef FIBCGI_OUTBOX_H
#define FIBCGI_OUTBOX_H

#include <stdint.h>

/* Makes a memory file. Returns its descriptor, or -1 with errno. */
int outbox_make_file(void);

/* Empties it, to be written to. Returns 0, or -1 with errno. */
int outbox_begin(int file);

/* Ends the writing: the position is at the start again. Returns the answer's length, or -1 with errno. */
int64_t outbox_finish(int file);

/* Copies an answer of length bytes, with its position, into a memory file of its own. Returns that, or -1 with errno. */
int outbox_copy(int file, uint64_t length);

/* How much of it is out. */
uint64_t outbox_sent(int file);

enum outbox_result { OUTBOX_SENT, OUTBOX_MORE, OUTBOX_FAILED };

/* Sends as much of length bytes as the non-blocking connection takes. OUTBOX_FAILED: with errno, EPIPE where the peer has
 * gone. */
enum outbox_result outbox_send(int file, int connection, uint64_t length);

#endif
