#!/usr/bin/env bats
# What tells people about the options says the same everywhere: --help, which comes from the table that the program parses
# with; docs/fibcgi.8; README's table; and the completion in a real bash.

bats_require_minimum_version 1.5.0
load helpers/common

PAGE=$REPO/docs/fibcgi.8

# What --help says of each option in its last line, such as "workers a whole number from 1 to 512, or auto; default auto;
# variable FIBCGI_WORKERS".
options() {
    "$FIBCGI" --help | awk '
        /^  --[a-z]/ { name = substr($1, 3) }
        /default [^ ;]+; variable [A-Z_]+$/ { sub(/^ +/, ""); print name, $0 }'
}
option_names() { options | cut -d ' ' -f 1 | sort; }

# The page as it is read, no line broken.
page() { mandoc -T ascii -O width=1000 "$PAGE" | col -bx; }
# page_section NAME: that section of it.
page_section() { page | awk -v name="$1" '/^[A-Z]/ { inside = $0 == name } inside'; }
# page_option NAME: what it says of an option.
page_option() { page_section OPTIONS | awk -v flag="--$1" '/^( |  |   |    |     )?[^ ]/ { inside = $1 == flag } inside'; }

# README's table, a line for each option: name, variable as it is written, default.
readme_options() {
    awk -F ' *[|] *' '/^\| `--/ {
        gsub(/`/, "")
        names = split($2, name, /, /); split($3, variable, /, /); split($4, initial, /, /)
        for (i = 1; i <= names; i++)
            print substr(name[i], 3), variable[i], (initial[i] == "" ? "none" : initial[i])
    }' "$REPO/README.md"
}
# readme_prose NAME: what the table says of an option behind the default.
readme_prose() { awk -F ' *[|] *' -v flag="\`--$1\`" '/^\| `--/ && index($2, flag) { print $5 }' "$REPO/README.md"; }

@test "--help has every option's bounds, default and variable" {
    [ "$(options | wc -l)" -eq "$("$FIBCGI" --help | grep -c '^  --[a-z-]* VALUE')" ]
    [ "$(options | wc -l)" -gt 20 ]
    [ "$(option_names | uniq -d | wc -l)" -eq 0 ]
}

@test "the manual has every option with the bounds, the default and the variable that --help has" {
    local name fact missing=0
    while read -r name fact; do
        fact=${fact^}
        page_option "$name" | grep -qxE " +$fact\." && continue
        printf 'docs/fibcgi.8 is to say of this option:\n.It Fl -%s Ar value\n.Pp\n%s\n.Ev %s .\n' \
            "$name" "${fact% *}" "${fact##* }" >&2
        missing=1
    done < <(options)
    [ "$missing" -eq 0 ]
}

@test "the manual and README have no option that the program does not have" {
    diff <(option_names) <(page_section OPTIONS | sed -nE 's/^ {5}--([a-z-]+) .*/\1/p' | sort)
    diff <(option_names) <(readme_options | cut -d ' ' -f 1 | sort)
}

@test "README's table has every option's variable and default, and where it names a bound it is the right one" {
    local name fact variable initial wrong=0 low high bound
    while read -r name fact; do
        read -r _ variable initial < <(readme_options | grep "^$name ")
        # …_GROUP stands for FIBCGI_SOCKET_GROUP in the row of FIBCGI_SOCKET_OWNER.
        [[ ${fact##* } == "$variable" || $variable == …_* && ${fact##* } == *"${variable#…}" ]] &&
            [[ $fact == *"default $initial; "* ]] || { echo "README: --$name: $fact" >&2; wrong=1; }
        low='' high=''
        [[ $fact =~ from\ ([0-9]+[A-Zmsh]*)\ to\ ([0-9]+[A-Zmsh]*) ]] && low=${BASH_REMATCH[1]} high=${BASH_REMATCH[2]}
        while read -r bound; do
            [ -z "$high" ] || [[ $bound == "$low to $high" || $bound == "up to $high" ]] ||
                { echo "README: --$name: \"$bound\", but $fact" >&2; wrong=1; }
        done < <(readme_prose "$name" | grep -oE '(up|[0-9]+[A-Z]*) to [0-9]+[A-Z]*')
    done < <(options)
    [ "$wrong" -eq 0 ]
}

@test "the manual has the signals, the exit codes and the flags that --help ends with" {
    local word help
    help=$("$FIBCGI" --help)
    has_item() { page_section "$1" | grep -qE "^ {5}([^ ]+, )?$2( |,|$)" || { echo "$1 has no $2" >&2; return 1; }; }
    while read -r word; do
        has_item SIGNALS "$word"
    done < <(grep -oE '\b(TERM|INT|QUIT|HUP|USR1|USR2)\b' <<<"$help")
    while read -r word; do
        has_item 'EXIT STATUS' "$word"
    done < <(tr '\n' ' ' <<<"$help" | grep -oE 'Exit status: [^.]*' | grep -oE '(: |, )[0-9]+ ' | grep -oE '[0-9]+')
    while read -r word; do
        has_item OPTIONS "$word"
    done < <(grep -oE '^  -[a-zA-Z], --[a-z]+' <<<"$help" | tr -d , | tr " " "\n" | grep .)
}

@test "mandoc finds nothing to say about the manual" {
    # Whether the pages that it refers to are here is the machine's business.
    run grep -v 'mandoc.db lacks\|referenced manual not found' < <(mandoc -T lint "$PAGE" 2>&1)
    [ -z "$output" ] || { echo "$output" >&2; return 1; }
}

# Completion: an interactive bash on a terminal of its own, with nothing loaded but the file.

start_bash() {
    TERMINAL=$BATS_TEST_TMPDIR/terminal
    mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/some-folder"
    ln -s "$FIBCGI" "$BATS_TEST_TMPDIR/bin/fibcgi"
    touch "$BATS_TEST_TMPDIR/some-folder/fib.log"
    mkfifo "$BATS_TEST_TMPDIR/keys"
    (cd "$BATS_TEST_TMPDIR" && PATH=$BATS_TEST_TMPDIR/bin:$PATH TERM=dumb HISTFILE='' INPUTRC=/dev/null \
        exec script -qfec 'bash --noprofile --norc -i' /dev/null) <"$BATS_TEST_TMPDIR/keys" >"$TERMINAL" 2>&1 3>&- &
    TYPIST=$!
    exec 9>"$BATS_TEST_TMPDIR/keys"
    # The marker that is waited for is not the one that the terminal echoes.
    press $'stty rows 50 columns 1000; bind "set bell-style none"; bind "set completion-query-items 0"; bind "set page-completions off"\n'
    press ". '$REPO/conf/bash-completion/fibcgi'; echo is-\$((40 + 2))"$'\n'
    wait_for 20 grep -q is-42 "$TERMINAL"
}
press() { printf '%s' "$1" >&9; }
# complete LINE: types it, presses Tab (twice where there is a choice), and goes on to an empty line; what came is in
# $COMPLETED, without the line as it was typed.
complete() {
    local from
    from=$(($(stat -c %s "$TERMINAL") + 1))
    TURN=$((${TURN:-0} + 1))
    press "$1"$'\t\t\025'"echo turn-\$((1000 + $TURN))"$'\n'
    wait_for 20 grep -q "^turn-$((1000 + TURN))" "$TERMINAL"
    COMPLETED=$(tail -c "+$from" "$TERMINAL" | tr -d '\r\a')
}
offers() { grep -qF -- "$1" <<<"$COMPLETED" || { echo "not offered: $1; the terminal has: $COMPLETED" >&2; return 1; }; }
offers_not() { ! grep -qF -- "$1" <<<"$COMPLETED" || { echo "offered: $1; the terminal has: $COMPLETED" >&2; return 1; }; }

leave_bash() {
    exec 9>&-
    wait_for 10 gone "$TYPIST" || kill "$TYPIST"
    wait "$TYPIST" 2>/dev/null || true
}

@test "bash completes every option's name" {
    local name
    start_bash
    complete 'fibcgi --'
    while read -r name; do
        offers "--$name"
    done < <(option_names)
    offers --help
    offers --test
    complete 'fibcgi --queue-l'
    offers 'fibcgi --queue-limit '
    complete 'fibcgi --workers auto --max-re'
    offers 'auto --max-requests '
    leave_bash
}

@test "bash completes the values that an option can have, also behind an equals sign" {
    start_bash
    complete 'fibcgi --mode sp'
    offers 'fibcgi --mode spawned '
    complete 'fibcgi --mode=po'
    offers 'fibcgi --mode=pool '
    complete 'fibcgi --mode '
    offers spawned
    offers_not --mode-
    complete 'fibcgi --watch-clients of'
    offers '--watch-clients off '
    complete 'fibcgi --workers '
    offers '--workers auto '
    complete 'fibcgi --user roo'
    offers '--user root '
    complete 'fibcgi --socket-group=www-d'
    offers '--socket-group=www-data '
    complete 'fibcgi --probe /hea'
    offers '--probe /healthz '
    complete 'fibcgi --log-format js'
    offers '--log-format json '
    complete 'fibcgi --access-log sys'
    offers '--access-log syslog '
    leave_bash
}

@test "bash completes the commands, and addresses behind them" {
    start_bash
    complete 'fibcgi stat'
    offers 'fibcgi status '
    complete 'fibcgi to'
    offers 'fibcgi top '
    complete 'fibcgi status --js'
    offers 'status --json '
    complete 'fibcgi top un'
    offers 'top unix:/'
    complete "fibcgi status unix:/a unix:$BATS_TEST_TMPDIR/some-fol"
    offers '/some-folder/'
    complete 'fibcgi --workers auto stat'
    offers_not status
    leave_bash
}

@test "bash completes files and the paths of sockets" {
    start_bash
    complete 'fibcgi --log some-fol'
    offers '--log some-folder/'
    complete 'fibcgi --log some-folder/f'
    offers '--log some-folder/fib.log '
    complete 'fibcgi --listen un'
    offers '--listen unix:'
    complete "fibcgi --listen unix:$BATS_TEST_TMPDIR/some-fol"
    offers "--listen unix:$BATS_TEST_TMPDIR/some-folder/"
    complete "fibcgi --admin-listen=unix:$BATS_TEST_TMPDIR/some-fol"
    offers "--admin-listen=unix:$BATS_TEST_TMPDIR/some-folder/"
    complete "fibcgi --listen unix:/a,unix:$BATS_TEST_TMPDIR/some-fol"
    offers "unix:/a,unix:$BATS_TEST_TMPDIR/some-folder/"
    complete 'fibcgi --listen tc'
    offers '--listen tcp:'
    leave_bash
}
