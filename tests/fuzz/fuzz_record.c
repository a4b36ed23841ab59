/* record_check over arbitrary bytes: in one go and in pieces it must come to the same, and a request that it calls whole
 * must be one to a second parser. The input is what a web server sends. */
#include <limits.h>
#include <sanitizer/asan_interface.h>

#include "conversation.h"
#include "fuzz.h"
#include "record.h"

/* Small, so that the fuzzer gets past them; what the web servers in the corpus send is within. */
static const struct record_limits limits = {.params_bytes = 3072, .params_count = 128, .body_bytes = 512};

/* A connection's bytes as inbox.c holds them. What has not come yet is poisoned: to read it is a finding. */
struct feed {
    uint8_t bytes[CONVERSATION_MAX];
    size_t length;
    struct record_check check;
    enum record_verdict verdict;
    uint64_t replies; /* a hash of what was answered */
};

static void check_reply(const uint8_t *reply, size_t length)
{
    struct wire_record record;
    struct wire_pair pair;
    assert(length <= RECORD_ASIDE_REPLY_MAX);
    if (length == 0)
        return;
    bool is_record = wire_read(&record, reply, length);
    assert(is_record && record.size == length && record.version == 1);
    if (record.type != RECORD_GET_VALUES_RESULT) {
        assert(length == 16 && (record.type == RECORD_END_REQUEST ? record.id != 0 : record.id == 0));
        assert(record.type == RECORD_END_REQUEST || record.type == RECORD_UNKNOWN_TYPE);
        return;
    }
    assert(record.id == 0);
    for (size_t at = 0, size; at < record.content_length; at += size) {
        size = wire_read_pair(&pair, record.content + at, record.content_length - at);
        assert(size > 0);
    }
}

/* As settle_aside of inbox.c. */
static void cut_aside(struct feed *feed)
{
    uint8_t reply[RECORD_ASIDE_REPLY_MAX];
    struct record_check *check = &feed->check;
    assert(check->offset + RECORD_HEADER_SIZE <= check->aside_end && check->aside_end <= feed->length);
    size_t length = record_answer_aside(check, feed->bytes, UINT_MAX, reply);
    check_reply(reply, length);
    for (size_t i = 0; i < length; i++)
        feed->replies = (feed->replies ^ reply[i]) * 1099511628211U;
    memmove(feed->bytes + check->offset, feed->bytes + check->aside_end, feed->length - check->aside_end);
    feed->length -= check->aside_end - check->offset;
    ASAN_POISON_MEMORY_REGION(feed->bytes + feed->length, check->aside_end - check->offset);
}

static void feed_piece(struct feed *feed, const uint8_t *piece, size_t length)
{
    ASAN_UNPOISON_MEMORY_REGION(feed->bytes, feed->length + length);
    memcpy(feed->bytes + feed->length, piece, length);
    feed->length += length;
    for (;;) {
        size_t offset = feed->check.offset;
        feed->verdict = record_check(&feed->check, feed->bytes, feed->length);
        assert(offset <= feed->check.offset && feed->check.offset <= feed->length);
        if (feed->verdict != RECORD_ASIDE)
            break;
        cut_aside(feed);
    }
    assert(feed->verdict != RECORD_BROKEN || feed->check.broken != NULL);
    assert(feed->verdict <= RECORD_BROKEN);
}

/* Feeds the input in pieces of up to largest bytes until there is a verdict. */
static void feed_all(struct feed *feed, const uint8_t *data, size_t size, struct dice dice, size_t largest)
{
    ASAN_POISON_MEMORY_REGION(feed->bytes, CONVERSATION_MAX);
    feed->length = 0;
    feed->replies = 0;
    record_check_init(&feed->check, &limits);
    feed_piece(feed, data, 0);
    assert(feed->verdict == RECORD_MORE && feed->check.offset == 0);
    for (size_t fed = 0, piece; fed < size && feed->verdict == RECORD_MORE; fed += piece) {
        piece = largest < size ? dice_piece(&dice, largest, size - fed) : size - fed;
        feed_piece(feed, data + fed, piece);
    }
}

static void check_same(const struct feed *one, const struct feed *other)
{
    assert(one->verdict == other->verdict);
    assert(one->check.offset == other->check.offset);
    assert(one->check.request_id == other->check.request_id);
    assert(one->check.role == other->check.role);
    assert(one->check.keep_connection == other->check.keep_connection);
    assert(one->check.params_bytes == other->check.params_bytes);
    assert(one->check.body_bytes == other->check.body_bytes);
    assert(one->check.broken == other->check.broken);
    assert(one->replies == other->replies);
    assert(memcmp(one->bytes, other->bytes, one->check.offset) == 0);
}

/* What libfcgi would read: nothing but the request, and the checker stands by it. */
static void check_whole(struct feed *feed, struct conversation *conversation)
{
    struct record_check again;
    size_t offset = feed->check.offset;
    conversation_read(conversation, feed->bytes, offset);
    assert(conversation->is_whole && conversation->is_clean && !conversation->has_nul);
    assert(conversation->id == feed->check.request_id);
    assert(conversation->params_length == feed->check.params_bytes);
    assert(conversation->pair_count == feed->check.pairs.count);
    assert(conversation->body_length == feed->check.body_bytes);
    assert(record_check(&feed->check, feed->bytes, feed->length) == RECORD_WHOLE && feed->check.offset == offset);
    record_check_init(&again, &limits);
    assert(record_check(&again, feed->bytes, offset) == RECORD_WHOLE && again.offset == offset);
}

/* A request within the limits is whole to both parsers or to neither. */
static bool is_acceptable(const struct conversation *conversation)
{
    return conversation->is_whole && !conversation->has_nul && conversation->params_length <= limits.params_bytes &&
           conversation->pair_count <= limits.params_count && conversation->body_length <= limits.body_bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t largest[] = {1, 7, 40, 900};
    static struct conversation conversation;
    static struct feed whole, pieces;
    if (size > CONVERSATION_MAX)
        return 0;
    struct dice dice = dice_from(data, size);
    feed_all(&whole, data, size, dice, SIZE_MAX);
    feed_all(&pieces, data, size, dice, largest[dice_roll(&dice, 4)]);
    check_same(&whole, &pieces);
    conversation_read(&conversation, data, size);
    assert(is_acceptable(&conversation) == (whole.verdict == RECORD_WHOLE));
    if (whole.verdict == RECORD_WHOLE)
        check_whole(&whole, &conversation);
    return 0;
}
