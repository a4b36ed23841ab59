#!/usr/bin/env bats
# The report of the benchmark, from invented runs: what it says, and how the page is in a real browser.

load helpers/common

setup_file() {
    PYTHON=$("$BATS_TEST_DIRNAME/../.ci/need-python" "$BATS_TEST_DIRNAME/../loadtest/page/requirements.txt")
    NODE_MODULES=$("$BATS_TEST_DIRNAME/../.ci/need-node" "$BATS_TEST_DIRNAME/browser")
    export PYTHON NODE_MODULES
    cd "$BATS_FILE_TMPDIR" || return 1
    "$BATS_TEST_DIRNAME/fixtures/results.py" >full.json
    "$BATS_TEST_DIRNAME/../loadtest/report" full.json --html full.html --markdown full.md --svg full.svg
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

# report KIND [OPTION…]: of a run of that kind, as report.md.
report() {
    "$REPO/tests/fixtures/results.py" "$1" >run.json
    "$REPO/loadtest/report" run.json --markdown report.md "${@:2}"
}
says() { grep -qE -- "$1" "${2:-report.md}" || { echo "not in ${2:-report.md}: $1" >&2; return 1; }; }
says_not() { ! grep -E -- "$1" "${2:-report.md}"; }
# goal WHAT VERDICT FIGURES: a line of the table of goals.
goal() { says "^\| $1 .*$3.* \| (\*\*)?$2(\*\*)? \|\$"; }
# page CHECK: in the browser.
page() { "$PYTHON" "$REPO/tests/browser/page.py" "$1" "$BATS_FILE_TMPDIR/full.html" "$BATS_FILE_TMPDIR/full.json"; }

@test "the first sentence says by how much fibcgi leads each of the published runtimes" {
    says '^# fibcgi against' "$BATS_FILE_TMPDIR/full.md"
    says '^At 500m of CPU, saturated by 100 connections, lighttpd \+ fibcgi answers \*\*2\.4[0-9].×\*\* as many requests as Actix-Web, .* and \*\*10[0-9].×\*\* as many as Flask\.$' \
        "$BATS_FILE_TMPDIR/full.md"
}

@test "a published figure stands beside the one of this run" {
    says '^\| Actix-Web \|.*\(153\.4\).*\(503.ms\).*\(617.ms\).*\(12,279\)' "$BATS_FILE_TMPDIR/full.md"
}

@test "under load the answers stand beside what the bare loop could do then" {
    # 583 of the mean of 651.2 and 648.0
    says '^\| lighttpd \+ fibcgi \|.* 583 \| 89\.[78].% \|' "$BATS_FILE_TMPDIR/full.md"
}

@test "goals that are reached and goals that are missed have their figures" {
    report full
    goal 'spike, while all users are on: answers a second' missed '2\.42.× \(583 to 241\)'
    goal 'SIGKILL of the serving process: failed requests' met '0 in 5 kills'
    report behind
    goal 'memory after the soak' missed '99\.5.MiB to'
    goal 'single request, median' missed '2\.80.ms to 2\.90.ms'
    goal 'squeeze at 50m: failed requests' missed '7'
    goal 'spike, while all users are on: answers a second' missed '2\.4996.×'
    goal 'saturation: share of the fib ceiling' missed '87\.1'
    goal 'SIGKILL of the serving process: failed requests' missed '3 in 5 kills'
    goal 'SIGKILL of the serving process: next answer' missed '25\.0.ms, at most 40\.0.ms'
}

@test "where fibcgi is behind is said, and what of its lead is the compiler's" {
    report behind
    says '^## Where fibcgi is behind'
    says '^- \*\*memory after the soak\*\*: 99\.5.MiB against Actix-Web'
    says '^- \*\*share of the fib ceiling\*\*: below 94.% in 8 of 8 cases'
    says '^- \*\*recovery\*\*: SIGKILL of lighttpd costs 150 of 2,100 requests'
    says 'Actix-Web\*\*: fib\(30\) takes 2,030 µs there and 840 µs here, 2\.42.×.*fib equally fast in both, fibcgi would answer 1\.00.× as many'
    says 'Flask\*\*: fib\(30\) takes .*\. All else takes 65\.5 µs there and 65\.5 µs here, 1\.00.×\. With fib equally fast in both, fibcgi would answer 1\.00.× as many'
}

@test "a server that takes less beside fib is named, with what it would be if fib were equally fast; costs below nothing say nothing" {
    report cheap_there
    says 'Actix-Web\*\*: .*\. All else takes 20\.0 µs there and 65\.5 µs here, 0\.31.×\. With fib equally fast in both, fibcgi would answer 0\.95.× as many'
    says '^- \*\*CPU time of a request beside fib\*\*: 65\.5 µs against Actix-Web 20\.0 µs'
    report below_nothing_there
    says 'Go net/http\*\*: fib\(30\) takes'
    says_not 'Actix-Web\*\*: fib\(30\) takes'
    says_not 'CPU time of a request beside fib\*\*'
}

@test "a run that does not count meets no goal and misses none, and the reason is given" {
    report uncounted
    goal 'spike: p95' open 'Actix-Web does not count'
    goal 'saturation, 100 connections: requests a second \| Go net/http' open 'not measured'
    says 'Actix-Web \*\*does not count\*\*: the load generator took 0\.97 of a CPU'
    says '\*\*Does not count\*\*, 3 rounds: wrk took a whole CPU \(Go net/http at 500m, 100 connections\)'
    says 'Measured, but does not count: Spike of Actix-Web'
}

@test "a scaled, incomplete or invented run is called that before any figure" {
    report scaled
    says 'The load tests: a \*\*scaled\*\* run, times scaled by 0\.10\. It is no result to publish'
    says 'The load tests: not complete'
    says_not 'a \*\*full\*\* run'
    [ "$(grep -n 'no result to publish' report.md | head -n 1 | cut -d: -f1)" -lt "$(grep -n '^| ' report.md | head -n 1 | cut -d: -f1)" ]
}

@test "what was not measured is said, and the rest is shown" {
    report spike_only --html report.html
    says 'The saturation was not measured'
    says 'Not measured: lighttpd \+ fibcgi, Go net/http, Flask, Flask under gunicorn\.'
    [ "$(grep -c '^\*\*Not measured in this run\*\*' report.md)" -eq 7 ]
    says '^\| Actix-Web \| 2[0-9][0-9]'
    says 'data-figure="spike-throughput"' report.html
    report nothing
    says 'The load tests were not measured'
    report bare
    says 'a \*\*quick\*\* run\. It is no result to publish'
    says '^\| lighttpd \+ fibcgi \| fib \| 700 \| 100.% \|'
    goal 'spike: p95' open 'no figure'
}

@test "a runtime that answered nothing is shown with its failures" {
    report crashed --html report.html
    says 'Failed: .*Go net/http 500 by refused'
    says 'Crashed and had to be started again: Go net/http 3 times'
    says 'Go net/http 0 answered, 500 failed' report.html
}

@test "a file that is no run is refused with its name, and nothing is written" {
    echo '{"format": 2}' >run.json
    run "$REPO/loadtest/report" run.json --html report.html
    [ "$status" -ne 0 ]
    [[ $output == *'run.json: this is not a file of results in format 1'* ]]
    echo '{' >run.json
    run "$REPO/loadtest/report" run.json --html report.html
    [[ $status -ne 0 && $output == *'run.json: not JSON'* ]]
    echo '{"format": 1, "loadtest": {"results": [{}]}}' >run.json
    run "$REPO/loadtest/report" run.json --html report.html
    [[ $status -ne 0 && $output == *'run.json: not results in format 1'* ]]
    [ ! -e report.html ]
}

@test "the marked regions of a document are filled, the rest stays, and a second time changes nothing" {
    printf '%s\n' before '<!-- report: summary -->' old '<!-- end of report -->' between '<!-- report: results -->' '<!-- end of report -->' after >document.md
    report full --svg summary.svg --into document.md
    says '^before$' document.md
    says '^between$' document.md
    says '^after$' document.md
    says_not '^old$' document.md
    says '^!\[At 500m.*\]\(summary\.svg\)$' document.md
    says '^Measured 2001-01-01T10:00:00Z .* on An invented CPU, 2 CPUs' document.md
    says '^### Soak' document.md
    cp document.md once.md
    report full --svg summary.svg --into document.md
    cmp once.md document.md
}

@test "a document without a marked region is refused and left as it is" {
    echo nothing >document.md
    run report full --into document.md
    [ "$status" -ne 0 ]
    [[ $output == *'document.md: there is no region'* ]]
    [ "$(cat document.md)" = nothing ]
}

@test "text of the results is neither HTML nor Markdown" {
    report hostile --html report.html
    "$PYTHON" "$REPO/tests/browser/page.py" hostile report.html
    says '&lt;img src=x onerror=alert\(1\)&gt; \\\| \\\*\\\*bold\\\*\\\* \\`code\\` '
    says_not '[^\\]\*\*bold|<img|<script|[^\\]\]\(http'
}

@test "the picture for README stands alone: colours for light and dark, a title, every runtime" {
    "$PYTHON" -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$BATS_FILE_TMPDIR/full.svg"
    says 'prefers-color-scheme: dark' "$BATS_FILE_TMPDIR/full.svg"
    says '<title id="title">fibcgi against' "$BATS_FILE_TMPDIR/full.svg"
    [ "$(grep -o '>Flask under gunicorn<' "$BATS_FILE_TMPDIR/full.svg" | wc -l)" -eq 4 ]
    says_not '(href|src)="(http|file|/)' "$BATS_FILE_TMPDIR/full.svg"
}

@test "in the browser: nothing is reported to the console, and there is no script" { page console; }
@test "in the browser: the page asks for nothing but itself" { page offline; }
@test "in the browser: every drawing has all its data, a description, and a table behind it" { page data; }
@test "in the browser: on a phone only tables scroll sideways, and no label is cut off" { page width; }
@test "in the browser: lines and letters stand out from the paper, in light and in dark" { page contrast; }
@test "in the browser: it prints on some pages, dark on white" { page print; }
@test "in the browser: axe-core finds nothing serious" { page axe; }
