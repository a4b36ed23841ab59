#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"
#include "line.h"
#include "trace.h"

static struct line line;

/* A line with one field, without its newline. */
static const char *with_text(enum line_format format, const char *value)
{
    static char text[LINE_SIZE + 1];
    line_begin(&line, format, "");
    line_add_text(&line, "name", value);
    line_end(&line);
    assert_int_equal(line.bytes[line.length - 1], '\n');
    memcpy(text, line.bytes, line.length - 1);
    text[line.length - 1] = '\0';
    assert_null(strchr(text, '\n'));
    return text;
}

static void a_line_has_its_fields_in_order(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "<6>now info it has come name=value count=18446744073709551615\n",
        "<6>{\"time\":\"now\",\"level\":\"info\",\"message\":\"it has come\",\"name\":"
        "\"value\",\"count\":18446744073709551615}\n"};
    for (int format = LINE_TEXT; format <= LINE_JSON; format++) {
        line_begin(&line, (enum line_format)format, "<6>");
        line_add_word(&line, "time", "now");
        line_add_word(&line, "level", "info");
        line_add_message(&line, "message", "it has come");
        line_add_text(&line, "none", NULL);
        line_add_text(&line, "name", "value");
        line_add_number(&line, "count", UINT64_MAX);
        line_end(&line);
        assert_int_equal(line.length, strlen(expected[format]));
        assert_memory_equal(line.bytes, expected[format], line.length);
    }
}

static void a_value_comes_out_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *value, *text, *json;
    } cases[] = {
        {"plain/%20?", "name=plain/%20?", "{\"name\":\"plain/%20?\"}"},
        {"", "name=\"\"", "{\"name\":\"\"}"},
        {"a b", "name=\"a b\"", "{\"name\":\"a b\"}"},
        {"a=b", "name=\"a=b\"", "{\"name\":\"a=b\"}"},
        {"a\"b\\c", "name=\"a\\\"b\\\\c\"", "{\"name\":\"a\\\"b\\\\c\"}"},
        {"a\nb\r\t", "name=\"a\\x0ab\\x0d\\x09\"", "{\"name\":\"a\\u000ab\\u000d\\u0009\"}"},
        {"\x1b[2J\x7f", "name=\"\\x1b[2J\\x7f\"", "{\"name\":\"\\u001b[2J\\u007f\"}"},
        {"gr\xc3\xbc\xc3\x9f", "name=\"gr\xc3\xbc\xc3\x9f\"", "{\"name\":\"gr\xc3\xbc\xc3\x9f\"}"},
        {"\xf0\x9f\x90\x8c", "name=\"\xf0\x9f\x90\x8c\"", "{\"name\":\"\xf0\x9f\x90\x8c\"}"},
        /* The control sequences of 8-bit terminals, a line's end of Unicode's, and what turns text round. */
        {"\xc2\x9b"
         "2J",
         "name=\"\\xc2\\x9b2J\"", "{\"name\":\"\\u009b2J\"}"},
        {"\xe2\x80\xa8", "name=\"\\xe2\\x80\\xa8\"", "{\"name\":\"\\u2028\"}"},
        {"\xe2\x80\xae", "name=\"\\xe2\\x80\\xae\"", "{\"name\":\"\\u202e\"}"},
        {"\xf0\x9f\xbf\xbf", "name=\"\\xf0\\x9f\\xbf\\xbf\"", "{\"name\":\"\\ud83f\\udfff\"}"},
        /* No UTF-8: a byte of its own, one cut off, a slash in two bytes, a surrogate, beyond the last. */
        {"\xff", "name=\"\\xff\"", "{\"name\":\"\\ufffd\"}"},
        {"\xc3", "name=\"\\xc3\"", "{\"name\":\"\\ufffd\"}"},
        {"\xe2\x80x", "name=\"\\xe2\\x80x\"", "{\"name\":\"\\ufffd\\ufffdx\"}"},
        {"\xc0\xaf", "name=\"\\xc0\\xaf\"", "{\"name\":\"\\ufffd\\ufffd\"}"},
        {"\xed\xa0\x80", "name=\"\\xed\\xa0\\x80\"", "{\"name\":\"\\ufffd\\ufffd\\ufffd\"}"},
        {"\xf4\x90\x80\x80", "name=\"\\xf4\\x90\\x80\\x80\"", "{\"name\":\"\\ufffd\\ufffd\\ufffd\\ufffd\"}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(with_text(LINE_TEXT, cases[i].value), cases[i].text);
        assert_string_equal(with_text(LINE_JSON, cases[i].value), cases[i].json);
        assert_true(json_is_valid(with_text(LINE_JSON, cases[i].value)));
    }
}

static void a_message_in_text_keeps_its_quotes_and_loses_its_line_ends(void **state)
{
    (void)state;
    static const char expected[] = "\"x\" is no \\ number\\x0a\n";
    line_begin(&line, LINE_TEXT, "");
    line_add_message(&line, "message", "\"x\" is no \\ number\n");
    line_end(&line);
    assert_int_equal(line.length, strlen(expected));
    assert_memory_equal(line.bytes, expected, line.length);
}

static void a_long_value_is_cut_between_characters_and_says_so(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\"", "\x01", "\xc3\xbc", "\xe2\x80\xae", "\xff"};
    char value[4 * LINE_VALUE_MAX];
    for (size_t i = 0; i < sizeof(characters) / sizeof(characters[0]); i++) {
        for (int format = LINE_TEXT; format <= LINE_JSON; format++) {
            size_t rest = strlen(with_text((enum line_format)format, "a b")) - strlen("a b"),
                   length = strlen(characters[i]);
            for (size_t at = 0; at + length < sizeof(value); at += length)
                memcpy(value + at, characters[i], length + 1);
            const char *cut = with_text((enum line_format)format, value);
            assert_non_null(strstr(cut, "..."));
            assert_in_range(strlen(cut), LINE_VALUE_MAX - 12, rest + LINE_VALUE_MAX);
            assert_true(format == LINE_TEXT || json_is_valid(cut));
        }
    }
}

static void a_value_that_just_fits_is_not_cut(void **state)
{
    (void)state;
    char value[LINE_VALUE_MAX + 2];
    memset(value, 'x', sizeof(value));
    value[LINE_VALUE_MAX] = '\0';
    assert_null(strstr(with_text(LINE_TEXT, value), "..."));
    value[LINE_VALUE_MAX] = 'x';
    value[LINE_VALUE_MAX + 1] = '\0';
    const char *cut = with_text(LINE_TEXT, value);
    assert_int_equal(strlen(cut), strlen("name=") + LINE_VALUE_MAX);
    assert_string_equal(cut + strlen(cut) - 4, "x...");
}

static void a_field_without_room_is_left_out_as_a_whole(void **state)
{
    (void)state;
    char value[LINE_VALUE_MAX + 1], text[LINE_SIZE + 1];
    memset(value, '"', sizeof(value));
    value[LINE_VALUE_MAX] = '\0';
    for (int format = LINE_TEXT; format <= LINE_JSON; format++) {
        line_begin(&line, (enum line_format)format, "");
        for (int i = 0; i < 20; i++) {
            line_add_text(&line, "long", value);
            line_add_number(&line, "n", 7);
        }
        line_end(&line);
        assert_true(line.length <= LINE_SIZE);
        memcpy(text, line.bytes, line.length);
        text[line.length - 1] = '\0';
        const char *last = format == LINE_TEXT ? " n=7" : ",\"n\":7}";
        assert_string_equal(text + strlen(text) - strlen(last), last);
        assert_true(format == LINE_TEXT || json_is_valid(text));
    }
}

static void a_word_for_a_message_has_nothing_that_could_end_it(void **state)
{
    (void)state;
    char word[32], small[12];
    assert_string_equal(line_quote_word(word, sizeof(word), "/a%20b?c=d&e"), "/a%20b?c=d&e");
    assert_string_equal(line_quote_word(word, sizeof(word), "a b\n\"\\\xc3\x7f"), "a%20b%0a%22%5c%c3%7f");
    assert_string_equal(line_quote_word(small, sizeof(small), "12345678901"), "12345678901");
    assert_string_equal(line_quote_word(small, sizeof(small), "123456789012"), "12345678...");
    assert_string_equal(line_quote_word(small, sizeof(small), "1234567 9012"), "1234567...");
    assert_string_equal(line_quote_word(small, 4, "   "), "...");
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"

static void a_traceparent_is_read(void **state)
{
    (void)state;
    static const char *const good[] = {"00-" TRACE "-" PARENT "-01", "00-" TRACE "-" PARENT "-00",
                                       "00-" TRACE "-" PARENT "-ff", "cc-" TRACE "-" PARENT "-01",
                                       "cc-" TRACE "-" PARENT "-01-what-comes"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct trace trace;
        assert_true(trace_read(&trace, good[i]));
        assert_string_equal(trace.trace_id, TRACE);
        assert_string_equal(trace.parent_id, PARENT);
    }
}

static void what_is_no_traceparent_is_taken_for_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT,
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-1 ",
        "00-" TRACE "-" PARENT "-011",
        "00-" TRACE "-" PARENT "-01-what-comes",
        "cc-" TRACE "-" PARENT "-01.what-comes",
        "ff-" TRACE "-" PARENT "-01",
        "0x-" TRACE "-" PARENT "-01",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-" PARENT "-01",
        "00-" TRACE "-00f067aa0ba902b\n-01",
        "00 " TRACE "-" PARENT "-01",
        "00-" TRACE " " PARENT "-01",
        "00-" TRACE "-" PARENT " 01",
        " 00-" TRACE "-" PARENT "-01",
    };
    struct trace trace;
    assert_false(trace_read(&trace, NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (trace_read(&trace, bad[i]))
            fail_msg("taken for a trace: %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_its_fields_in_order),
        cmocka_unit_test(a_value_comes_out_escaped),
        cmocka_unit_test(a_message_in_text_keeps_its_quotes_and_loses_its_line_ends),
        cmocka_unit_test(a_long_value_is_cut_between_characters_and_says_so),
        cmocka_unit_test(a_value_that_just_fits_is_not_cut),
        cmocka_unit_test(a_field_without_room_is_left_out_as_a_whole),
        cmocka_unit_test(a_word_for_a_message_has_nothing_that_could_end_it),
        cmocka_unit_test(a_traceparent_is_read),
        cmocka_unit_test(what_is_no_traceparent_is_taken_for_none),
    };
    return cmocka_run_group_tests_name("line", tests, NULL, NULL);
}
