#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"

/* Another screen, no cursor; and back (xterm's, which all terminals of today know). */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[0m\033[?25h\033[?1049l"
/* A window without a size, such as a serial line's. */
#define ROWS_OTHERWISE 24
#define COLUMNS_OTHERWISE 80
/* What a line has beside its characters: style, end, three bytes for each character. */
#define LINE_ROOM(columns) ((size_t)(columns)*3 + 32)

/* What ends or stops a program, or tells it that its window has changed. */
static const int watched[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGPIPE, SIGALRM,
                              SIGUSR1, SIGUSR2, SIGXCPU, SIGTSTP, SIGCONT, SIGWINCH};

static void fill_set(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(set, watched[i]);
}

static void write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0 && errno != EINTR)
            return;
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
}

static void measure(struct terminal *terminal)
{
    struct winsize size = {0};
    bool is_known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    terminal->rows = is_known ? size.ws_row : ROWS_OTHERWISE;
    terminal->columns = is_known ? size.ws_col : COLUMNS_OTHERWISE;
    if (terminal->columns >= TERMINAL_LINE_MAX)
        terminal->columns = TERMINAL_LINE_MAX - 1;
}

/* By the variables in the order in which they count (locale(7)). */
static bool has_utf8(void)
{
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && value[0] != '\0')
            return strstr(value, "UTF-8") != NULL || strstr(value, "utf8") != NULL;
    }
    return false;
}

static void enter(struct terminal *terminal)
{
    struct termios raw = terminal->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    write_all(ENTER, strlen(ENTER));
    measure(terminal);
}

static void leave(const struct terminal *terminal)
{
    write_all(LEAVE, strlen(LEAVE));
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->before);
}

int terminal_open(struct terminal *terminal)
{
    sigset_t set;
    *terminal = (struct terminal){.has_utf8 = has_utf8()};
    if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &terminal->before) != 0)
        return -1;
    fill_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    terminal->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (terminal->signals < 0)
        return -1;
    enter(terminal);
    terminal->is_open = true;
    return 0;
}

void terminal_close(struct terminal *terminal)
{
    if (!terminal->is_open)
        return;
    leave(terminal);
    close(terminal->signals);
    terminal->is_open = false;
}

/* The shell has its screen while we are stopped. */
static void stop(struct terminal *terminal)
{
    leave(terminal);
    raise(SIGSTOP);
    enter(terminal);
}

/* Returns the signal that ends us, or 0. */
static int read_signals(struct terminal *terminal)
{
    struct signalfd_siginfo info;
    while (read(terminal->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGWINCH)
            measure(terminal);
        else if (info.ssi_signo == SIGTSTP)
            stop(terminal);
        else if (info.ssi_signo != SIGCONT)
            return (int)info.ssi_signo;
    }
    return 0;
}

/* What a key with a name sends: an escape and, at once behind it, two characters or three. */
static int read_named_key(void)
{
    static const struct {
        const char *bytes;
        enum terminal_key key;
    } keys[] = {{"[A", TERMINAL_UP},   {"OA", TERMINAL_UP},       {"[B", TERMINAL_DOWN},
                {"OB", TERMINAL_DOWN}, {"[5~", TERMINAL_PAGE_UP}, {"[6~", TERMINAL_PAGE_DOWN}};
    char bytes[4] = "";
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    for (size_t length = 0; length + 1 < sizeof(bytes) && poll(&input, 1, 0) == 1; length++) {
        if (read(STDIN_FILENO, bytes + length, 1) != 1)
            break;
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            if (strcmp(bytes, keys[i].bytes) == 0)
                return (int)keys[i].key;
        }
    }
    return TERMINAL_NOTHING;
}

static int read_key(void)
{
    char byte;
    ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got <= 0)
        return got < 0 && errno == EINTR ? TERMINAL_NOTHING : TERMINAL_LEAVE;
    if (byte == '\033')
        return read_named_key();
    return byte == '\t' ? TERMINAL_TAB : TERMINAL_OTHER + (unsigned char)byte;
}

int terminal_wait(struct terminal *terminal, uint64_t until_ns, int *signal_number)
{
    struct pollfd sources[] = {{.fd = terminal->signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    *signal_number = 0;
    if (poll(sources, 2, clock_ms_until(until_ns, clock_now_ns())) <= 0)
        return TERMINAL_NOTHING;
    if (sources[0].revents != 0) {
        *signal_number = read_signals(terminal);
        return *signal_number != 0 ? TERMINAL_LEAVE : TERMINAL_NOTHING;
    }
    return read_key();
}

int frame_begin(struct frame *frame, const struct terminal *terminal)
{
    size_t size = (terminal->rows + 1) * LINE_ROOM(terminal->columns);
    *frame = (struct frame){.terminal = terminal, .size = size, .bytes = malloc(size)};
    return frame->bytes != NULL ? 0 : -1;
}

unsigned frame_left(const struct frame *frame)
{
    return frame->terminal->rows - frame->row;
}

static void add(struct frame *frame, const char *text, size_t length)
{
    if (length > frame->size - frame->used)
        return;
    memcpy(frame->bytes + frame->used, text, length);
    frame->used += length;
}

static void add_text(struct frame *frame, const char *text)
{
    add(frame, text, strlen(text));
}

/* Each line goes to its place, so that none moves the others. */
static void begin_line(struct frame *frame)
{
    char place[24];
    snprintf(place, sizeof(place), "\033[%u;1H", ++frame->row);
    add_text(frame, place);
}

void frame_line(struct frame *frame, enum frame_style style, const char *format, ...)
{
    static const char *const styles[] = {"", "\033[1m", "\033[7m"};
    char line[TERMINAL_LINE_MAX];
    va_list arguments;
    if (frame_left(frame) == 0)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    size_t length = strlen(line), columns = frame->terminal->columns;
    begin_line(frame);
    add_text(frame, styles[style]);
    add(frame, line, length < columns ? length : columns);
    add_text(frame, "\033[0m\033[K");
}

void frame_bars(struct frame *frame, const char *title, const double *values, size_t count)
{
    static const char *const fine[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const plain[] = {" ", ".", ".", ":", ":", "+", "+", "#", "#"};
    const char *const *bars = frame->terminal->has_utf8 ? fine : plain;
    double largest = 0;
    size_t columns = frame->terminal->columns, used = strlen(title);
    if (frame_left(frame) == 0 || columns <= used)
        return;
    if (count > columns - used) {
        values += count - (columns - used);
        count = columns - used;
    }
    for (size_t i = 0; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    begin_line(frame);
    add_text(frame, title);
    for (size_t i = 0; i < count; i++)
        add_text(frame, bars[values[i] > 0 ? 1 + (size_t)(values[i] / largest * 7) : 0]);
    add_text(frame, "\033[K");
}

void frame_show(struct frame *frame)
{
    /* What is below the last line. */
    if (frame_left(frame) > 0) {
        begin_line(frame);
        add_text(frame, "\033[J");
    }
    write_all(frame->bytes, frame->used);
    free(frame->bytes);
    frame->bytes = NULL;
}
