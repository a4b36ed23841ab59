/* fuzz: what the targets share. A finding is an assert that fails, or a word from a sanitizer. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#ifdef NDEBUG
#error "the targets need their asserts"
#endif

/* libFuzzer calls this for each input; always returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Chance that follows from the input alone: a seed stays just what a web server sent, and a reproducer reproduces. */
struct dice {
    uint64_t state;
};

static inline struct dice dice_from(const uint8_t *data, size_t size)
{
    struct dice dice = {size + 1};
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, data + i, size - i < sizeof(word) ? size - i : sizeof(word));
        dice.state = (dice.state ^ word) * 0x9e3779b97f4a7c15U;
        dice.state ^= dice.state >> 29;
    }
    dice.state |= 1;
    return dice;
}

/* A number below sides. */
static inline size_t dice_roll(struct dice *dice, size_t sides)
{
    dice->state ^= dice->state << 13;
    dice->state ^= dice->state >> 7;
    dice->state ^= dice->state << 17;
    return (size_t)(dice->state >> 16) % sides;
}

/* How many of left bytes come next: 1 to largest. */
static inline size_t dice_piece(struct dice *dice, size_t largest, size_t left)
{
    size_t piece = 1 + dice_roll(dice, largest);
    return piece < left ? piece : left;
}

/* The lowest free descriptor: the same before and after, or one was left open. */
static inline int lowest_free_fd(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    close(fd);
    return fd;
}

#endif
