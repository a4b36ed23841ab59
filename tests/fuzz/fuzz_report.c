/* A pool's report from arbitrary bytes, as somebody else's answer may be: nothing beyond them is read, and what goes to a terminal
 * is printable. */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"
#include "report.h"

static void check_printable(const char *text)
{
    for (; *text != '\0'; text++)
        assert((*text >= ' ' && *text <= '~') || *text == '\n');
}

static void check_print(const struct report *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert(out != NULL);
    report_print(report, "unix:/a", out);
    fclose(out);
    check_printable(text);
    assert(report_health(report) <= REPORT_OUT);
    free(text);
}

/* All that there is, as top goes through it. */
static void walk(const struct document *value, unsigned depth)
{
    char text[16];
    check_printable(document_text(value, text, sizeof(text)));
    (void)document_number(value, -1);
    struct document worker = document_member(value, "worker");
    for (struct document element = document_first(value); element.begin != NULL && depth < 4;
         element = document_next(&element))
        walk(&element, depth + 1);
    if (worker.begin != NULL && depth < 4)
        walk(&worker, depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct report report;
    char *exact = malloc(size > 0 ? size : 1);
    assert(exact != NULL);
    memcpy(exact, data, size);
    struct document all = document_open(exact, size);
    walk(&all, 0);
    if (report_read(&report, exact, size) == 0) {
        check_print(&report);
        walk(&report.history, 0);
        walk(&report.workers, 0);
        walk(&report.events, 0);
    }
    free(exact);
    return 0;
}
