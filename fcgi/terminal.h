/* terminal: the screen and the keyboard of whoever looks at a full-screen view, and their return to what they were. */
#ifndef FIBCGI_TERMINAL_H
#define FIBCGI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
    int signals; /* signalfd */
    unsigned rows, columns;
    bool has_utf8;
    bool is_open;
    struct termios before;
};

enum terminal_key {
    TERMINAL_NOTHING, /* the time is over, or the window has another size now */
    TERMINAL_LEAVE,   /* a signal that ends us, or the terminal is gone */
    TERMINAL_UP,
    TERMINAL_DOWN,
    TERMINAL_PAGE_UP,
    TERMINAL_PAGE_DOWN,
    TERMINAL_TAB,
    TERMINAL_OTHER = 256, /* and a character is itself plus this */
};

/* Takes over the terminal at standard input and output: another screen, no echo. Signals are read from now on, so that it is given
 * back whatever ends or stops us. Returns 0, or -1 with errno: ENOTTY where there is none. */
int terminal_open(struct terminal *terminal);

/* Gives it back as it was. */
void terminal_close(struct terminal *terminal);

/* Waits for a key until clock_now_ns() is until_ns. After TERMINAL_LEAVE, *signal_number is what ended us; 0: nobody is there. */
int terminal_wait(struct terminal *terminal, uint64_t until_ns, int *signal_number);

/* A screenful, line by line, that is sent in one piece. */
#define TERMINAL_LINE_MAX 512
struct frame {
    const struct terminal *terminal;
    unsigned row; /* of the next line */
    size_t used, size;
    char *bytes;
};

enum frame_style { FRAME_PLAIN, FRAME_BOLD, FRAME_CHOSEN };

/* Returns 0, or -1 with errno ENOMEM. */
int frame_begin(struct frame *frame, const struct terminal *terminal);
/* Lines that are left. */
unsigned frame_left(const struct frame *frame);
/* Adds a line of printable ASCII, cut to the width of the window; nothing where none is left. */
void frame_line(struct frame *frame, enum frame_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a line with a title and a bar for each value, as high as its share of the largest; a negative one is a gap. */
void frame_bars(struct frame *frame, const char *title, const double *values, size_t count);
/* Shows it, and frees it. */
void frame_show(struct frame *frame);

#endif
