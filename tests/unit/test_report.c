#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report.h"

static struct document open_text(const char *text)
{
    return document_open(text, strlen(text));
}

static double number_of(const char *text)
{
    struct document value = open_text(text);
    return document_number(&value, 1234.5);
}

static void numbers_are_read_as_json_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } cases[] = {{"0", 0},
                 {"7", 7},
                 {" 42 ", 42},
                 {"-3", -3},
                 {"1.5", 1.5},
                 {"0.001", 0.001},
                 {"1e3", 1000},
                 {"2.5E+2", 250},
                 {"125e-3", 0.125},
                 {"1760000000.123", 1760000000.123},
                 {"null", 1234.5},
                 {"true", 1234.5},
                 {"\"7\"", 1234.5},
                 {"", 1234.5},
                 {"-", 1234.5},
                 {"[1]", 1234.5},
                 {"{\"a\":1}", 1234.5}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (fabs(number_of(cases[i].text) - cases[i].value) > 1e-6 * fabs(cases[i].value))
            fail_msg("%s is read as %g", cases[i].text, number_of(cases[i].text));
    }
}

static void members_are_found_behind_others_of_any_kind(void **state)
{
    (void)state;
    struct document all =
        open_text("{ \"a\" : [1,{\"c\":2}], \"b,\\\"c\" : \"}\", \"ab\":1,\"c\":{\"d\":null,\"e\":5} }");
    struct document c = document_member(&all, "c"), e = document_member(&c, "e");
    assert_int_equal(document_number(&e, -1), 5);
    assert_null(document_member(&all, "b").begin);
    assert_null(document_member(&all, "d").begin);
    assert_null(document_member(&c, "").begin);
    struct document a = document_member(&all, "a"), none = document_member(&a, "c");
    assert_null(none.begin);
    assert_null(document_member(&none, "c").begin);
}

static void elements_come_one_after_the_other(void **state)
{
    (void)state;
    struct document array = open_text("[ 1 ,null, \"x]\" ,[2,3],{ } ]");
    unsigned count = 0;
    for (struct document element = document_first(&array); element.begin != NULL; element = document_next(&element))
        count++;
    assert_int_equal(count, 5);
    struct document empty = open_text("[ ]"), other = open_text("7");
    assert_null(document_first(&empty).begin);
    assert_null(document_first(&other).begin);
}

static void texts_are_safe_for_a_terminal(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } cases[] = {{"\"plain\"", "plain"},       {"\"a\\\"b\\\\c\\/\"", "a\"b\\c/"},
                 {"\"\\u001b[2J\"", "?[2J"},   {"\"\x1b[2J\"", "?[2J"},
                 {"\"a\\nb\"", "a?b"},         {"\"\xc2\x9b\"", "??"},
                 {"\"a long one\"", "a long"}, {"7", ""},
                 {"\"\\u00\"", "?00"}};
    char text[7];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct document value = open_text(cases[i].json);
        assert_string_equal(document_text(&value, text, sizeof(text)), cases[i].text);
    }
}

static void what_is_no_json_has_no_values(void **state)
{
    (void)state;
    static const char *const broken[] = {"",        "{",        "[",  "\"",
                                         "{\"a\":", "{\"a\":1", "[1", "[1,[2]",
                                         "\"a\\\"", "}",        ",",  "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct document value = open_text(broken[i]);
        if (value.begin != NULL)
            fail_msg("taken for a value: %s", broken[i]);
    }
}

static const char whole[] =
    "{\"version\":\"0.1.0\",\"state\":\"saturated\",\"state_seconds\":12,\"time\":1760000000.1,\"started_at\":1,"
    "\"uptime_seconds\":10000.5,\"workers_wanted\":2,\"workers_up\":2,\"workers_busy\":1,\"cpu_limit_cores\":0.5,"
    "\"cpu\":{\"used_cores\":0.48,\"throttled_ratio\":0.12},\"rate\":{\"requests\":812.3,\"errors\":0.5},"
    "\"latency_us\":{\"p50\":640,\"p95\":900,\"p99\":1300},\"queue\":{\"depth\":98,\"capacity\":8192,"
    "\"wait_us\":{\"p50\":1,\"p95\":121000,\"p99\":2}},\"requests\":{\"total\":123456,\"200\":1},"
    "\"restarts\":{\"exit\":1,\"signal\":2,\"timeout\":3,\"max_requests\":4,\"roll\":5},\"workers\":[],\"events\":[]}";

static char *printed(const struct report *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    report_print(report, "unix:/a", out);
    fclose(out);
    return text;
}

static void a_report_is_put_into_words(void **state)
{
    (void)state;
    struct report report;
    assert_int_equal(report_read(&report, whole, strlen(whole)), 0);
    char *text = printed(&report);
    assert_string_equal(text, "unix:/a: saturated for 12s, 2 of 2 workers up, 812.3 requests a second, p99 1.30ms\n"
                              "requests  812.3 a second, 0.5 errors a second, 123456 in all\n"
                              "latency   p50 0.64ms, p95 0.90ms, p99 1.30ms\n"
                              "queue     98 of 8192 places taken, p95 of the wait 121ms\n"
                              "workers   1 busy, 15 restarts since the start 2h ago\n"
                              "CPU       0.48 cores of 0.50, 12% of its periods cut short\n");
    free(text);
}

static void what_is_not_known_is_a_dash(void **state)
{
    (void)state;
    static const char bare[] = "{\"state\":\"serving\",\"workers_up\":1,\"workers_wanted\":1,\"cpu_limit_cores\":null}";
    struct report report;
    assert_int_equal(report_read(&report, bare, strlen(bare)), 0);
    char *text = printed(&report);
    assert_non_null(strstr(text, "latency   p50 -, p95 -, p99 -\n"));
    assert_non_null(strstr(text, "CPU       - cores of no limit, - of its periods cut short\n"));
    free(text);
}

static void the_health_follows_from_the_state(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum report_health health;
    } cases[] = {{"{\"state\":\"serving\",\"workers_up\":1}", REPORT_FINE},
                 {"{\"state\":\"saturated\",\"workers_up\":1}", REPORT_STRAINED},
                 {"{\"state\":\"draining\",\"workers_up\":1}", REPORT_STRAINED},
                 {"{\"state\":\"starting\",\"workers_up\":1}", REPORT_STRAINED},
                 {"{\"state\":\"serving\",\"workers_up\":0}", REPORT_OUT},
                 {"{\"state\":\"no-worker\",\"workers_up\":1}", REPORT_OUT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct report report;
        assert_int_equal(report_read(&report, cases[i].text, strlen(cases[i].text)), 0);
        assert_int_equal(report_health(&report), cases[i].health);
    }
}

static void what_is_no_report_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "ok\n", "[]", "{}", "{\"state\":\"serving\"}", "{\"workers_up\":1}", "{\"state\":7,\"workers_up\":1}"};
    struct report report;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        errno = 0;
        assert_int_equal(report_read(&report, wrong[i], strlen(wrong[i])), -1);
        assert_int_equal(errno, EPROTO);
    }
}

static void figures_have_units_that_fit(void **state)
{
    (void)state;
    char text[REPORT_WORD_MAX];
    assert_string_equal(report_time(text, -1), "-");
    assert_string_equal(report_time(text, 0), "0.00ms");
    assert_string_equal(report_time(text, 12345), "12.3ms");
    assert_string_equal(report_time(text, 123456), "123ms");
    assert_string_equal(report_time(text, 1234567), "1.23s");
    assert_string_equal(report_time(text, 1e9), "1000s");
    assert_string_equal(report_span(text, 119), "119s");
    assert_string_equal(report_span(text, 120), "2m");
    assert_string_equal(report_span(text, 7200), "2h");
    assert_string_equal(report_span(text, 172800), "2d");
    assert_string_equal(report_size(text, 1000), "1000B");
    assert_string_equal(report_size(text, 1536), "1.5K");
    assert_string_equal(report_size(text, 1572864), "1.5M");
    assert_string_equal(report_size(text, 20.0 * 1024 * 1024), "20M");
    assert_string_equal(report_number(text, 99.94, 1, "%"), "99.9%");
    assert_string_equal(report_number(text, 1234.5, 1, ""), "1234");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_as_json_writes_them),
        cmocka_unit_test(members_are_found_behind_others_of_any_kind),
        cmocka_unit_test(elements_come_one_after_the_other),
        cmocka_unit_test(texts_are_safe_for_a_terminal),
        cmocka_unit_test(what_is_no_json_has_no_values),
        cmocka_unit_test(a_report_is_put_into_words),
        cmocka_unit_test(what_is_not_known_is_a_dash),
        cmocka_unit_test(the_health_follows_from_the_state),
        cmocka_unit_test(what_is_no_report_is_refused),
        cmocka_unit_test(figures_have_units_that_fit),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
