#include "queue.h"

#include <string.h>
#include <sys/stat.h>

#include "diag.h"

/* Into so many parts, at most, is what was accepted between two looks divided, and each has its own wait. */
#define PARTS_MAX 64

void queue_init(struct queue *queue, struct scoreboard *board, const struct listener *listeners, unsigned count)
{
    *queue = (struct queue){.board = board, .listeners = listeners, .listener_count = count};
    for (unsigned i = 0; i < count; i++) {
        struct stat file;
        if (fstat(listeners[i].fd, &file) == 0)
            queue->inodes[i] = (uint32_t)file.st_ino;
    }
    atomic_store(&board->master.queue_depth, HISTORY_NONE);
    atomic_store(&board->master.queue_capacity, HISTORY_NONE);
}

/* Returns 0, or -1 where one of them cannot be asked. */
static int ask_all(const struct queue *queue, int diag, struct diag_queue *sum)
{
    *sum = (struct diag_queue){0};
    for (unsigned i = 0; i < queue->listener_count; i++) {
        struct diag_queue one;
        const struct listener *listener = &queue->listeners[i];
        int result = listener->is_tcp ? diag_read_tcp_queue(listener->fd, &one)
                                      : diag_read_unix_queue(diag, queue->inodes[i], &one);
        if (result != 0)
            return -1;
        sum->depth += one.depth;
        sum->capacity += one.capacity;
    }
    return 0;
}

static void add_counts(struct queue_counts *counts, const struct slot *slot)
{
    counts->accepted += counter_read(&slot->accepted);
    counts->set_aside += counter_read(&slot->set_aside);
}

static struct queue_counts read_counts(const struct scoreboard *board)
{
    struct queue_counts counts = {0};
    size_t used = atomic_load(&board->master.slots_used);
    for (size_t i = 0; i < used; i++)
        add_counts(&counts, &board->slots[i]);
    if (board->master.has_acceptor)
        add_counts(&counts, &board->slots[SCOREBOARD_ACCEPTOR]);
    return counts;
}

static void add_look(struct queue *queue, uint64_t arrived, uint64_t now_ns)
{
    unsigned count = queue->look_count;
    if (count == QUEUE_LOOKS_MAX) {
        for (size_t i = 1; i < QUEUE_LOOKS_MAX / 2; i++)
            queue->looks[i] = queue->looks[2 * i];
        count = QUEUE_LOOKS_MAX / 2;
    }
    queue->looks[count] = (struct queue_look){now_ns, arrived};
    queue->look_count = count + 1;
}

static void forget_looks(struct queue *queue, uint64_t accepted)
{
    unsigned over = 0;
    while (over + 2 < queue->look_count && queue->looks[over + 1].arrived <= accepted)
        over++;
    queue->look_count -= over;
    memmove(queue->looks, queue->looks + over, queue->look_count * sizeof(queue->looks[0]));
}

/* When the connection of that number came: before the first look that knows of it, and behind the one before, as if they had come
 * evenly. A look between a worker's accept and its counting sees one too few, which the one before it or behind it puts right. */
static double arrival_ns(const struct queue *queue, double number)
{
    unsigned i = 1;
    while (i + 1 < queue->look_count && number > (double)queue->looks[i].arrived)
        i++;
    const struct queue_look *before = &queue->looks[i - 1], *after = &queue->looks[i];
    double came = (double)(after->arrived - before->arrived);
    double part = came > 0 ? (number - (double)before->arrived) / came : 1;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return (double)before->at_ns + part * (double)(after->at_ns - before->at_ns);
}

/* Counts the waits of those that were accepted since the last look; not of those that wait on in the pool's own queue, where they are
 * counted when that ends. */
static void count_waits(struct queue *queue, const struct queue_counts *counts, uint64_t since_ns, uint64_t now_ns)
{
    uint64_t taken = counts->accepted - queue->counts.accepted;
    uint64_t aside = counts->set_aside - queue->counts.set_aside;
    uint64_t counted = taken > aside ? taken - aside : 0;
    uint64_t parts = taken < PARTS_MAX ? taken : PARTS_MAX;
    for (uint64_t i = 0; i < parts; i++) {
        double middle = ((double)i + 0.5) / (double)parts;
        double accepted_ns = (double)since_ns + middle * (double)(now_ns - since_ns);
        double wait_ns = accepted_ns - arrival_ns(queue, (double)queue->counts.accepted + middle * (double)taken);
        uint64_t weight = counted * (i + 1) / parts - counted * i / parts;
        times_add(&queue->board->master.waits, wait_ns > 0 ? (uint64_t)wait_ns : 0, weight);
    }
}

void queue_note(struct queue *queue, const struct queue_counts *counts, uint32_t depth, uint64_t now_ns)
{
    uint64_t since_ns = queue->look_count > 0 ? queue->looks[queue->look_count - 1].at_ns : now_ns;
    atomic_store(&queue->board->master.queue_depth, depth);
    queue->least = depth < queue->least ? depth : queue->least;
    queue->most = depth > queue->most || queue->most == HISTORY_NONE ? depth : queue->most;
    if (depth == HISTORY_NONE) {
        queue->look_count = 0;
    } else {
        add_look(queue, counts->accepted + depth, now_ns);
        if (queue->look_count > 1)
            count_waits(queue, counts, since_ns, now_ns);
        forget_looks(queue, counts->accepted);
    }
    queue->counts = *counts;
}

/* How far apart looks are to be. One that took long by accident (no CPU to run on) does not count, two in a row do. */
static uint64_t find_step(struct queue *queue, uint64_t took_ns, bool is_moving)
{
    uint64_t least_ns = took_ns < queue->took_ns ? took_ns : queue->took_ns;
    uint64_t step_ns = least_ns * QUEUE_SHARE > QUEUE_STEP_NS ? least_ns * QUEUE_SHARE : QUEUE_STEP_NS;
    queue->took_ns = took_ns;
    return is_moving && step_ns < CLOCK_NS_PER_S ? step_ns : CLOCK_NS_PER_S;
}

uint64_t queue_tick(struct queue *queue, int diag, uint64_t now_ns)
{
    struct diag_queue asked;
    if (now_ns < queue->next_ns)
        return queue->next_ns;
    /* In this order: who is accepted in between is missed this time, and not seen twice. */
    struct queue_counts counts = read_counts(queue->board);
    uint64_t begun_ns = clock_now_ns();
    bool is_known = ask_all(queue, diag, &asked) == 0;
    uint64_t took_ns = clock_now_ns() - begun_ns;
    bool is_moving = counts.accepted != queue->counts.accepted || (is_known && asked.depth > 0);
    atomic_store(&queue->board->master.queue_capacity, is_known ? asked.capacity : HISTORY_NONE);
    queue_note(queue, &counts, is_known ? asked.depth : HISTORY_NONE, now_ns);
    queue->next_ns = now_ns + find_step(queue, took_ns, is_moving);
    return queue->next_ns;
}

void queue_begin_second(struct queue *queue)
{
    queue->least = queue->most = atomic_load(&queue->board->master.queue_depth);
}
