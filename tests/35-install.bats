#!/usr/bin/env bats
# make install and make uninstall, and what others build with: an application outside this tree, built against what was
# installed and served by the same pool.

bats_require_minimum_version 1.5.0
load helpers/common

# A make above this one would hand its own flags down.
AS_A_USER=(env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CC -u CFLAGS -u LDFLAGS)
make_here() { "${AS_A_USER[@]}" make -C "$REPO" --no-print-directory -s BUILD="$BATS_FILE_TMPDIR/build" "$@"; }

setup_file() {
    # Built as a user does it, whatever is under test otherwise; all tests install from here.
    make_here -j2 PROFILE=0
    make_here PROFILE=0 install PREFIX="$BATS_FILE_TMPDIR/usr"
}

setup() {
    PREFIX=$BATS_FILE_TMPDIR/usr
    DIR=$BATS_TEST_TMPDIR
    export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
}
teardown() {
    stop_all
    if alive "${MAKER:-}"; then kill -TERM -- "-$MAKER"; fi
}

# compile FILE PROGRAM: as docs/your-own-app.md says.
compile() { (cd "$DIR" && eval "$(sed -n 's/^    \(gcc .*pkg-config.*\)/\1/p' "$REPO/docs/your-own-app.md" | sed "s/hello\.c/$1/; s/-o hello/-o $2/")"); }

as_cgi() { env -i GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET PATH_INFO="$2" QUERY_STRING="${3:-}" "$1" </dev/null; }

@test "make install puts the program, its manual and its completion below PREFIX, and the program runs there" {
    [ "$("$PREFIX/bin/fibcgi" --version)" = "fibcgi $(sed -n 's/^.define FIBCGI_VERSION "\(.*\)"/\1/p' "$REPO/fcgi/options.h")" ]
    as_cgi "$PREFIX/bin/fibcgi" /compute n=20 | grep -q '"result":6765'
    man -M "$PREFIX/share/man" -w 8 fibcgi
    bash -c '. "$1" && complete -p fibcgi' - "$PREFIX/share/bash-completion/completions/fibcgi"
}

@test "what is installed names the folder it was installed to" {
    # shellcheck disable=SC2314
    ! grep -rE '[ "=]/usr/bin|@[A-Z]+@' "$PREFIX/share/doc/fibcgi/conf" "$PREFIX/lib/pkgconfig" "$PREFIX/lib/systemd"
}

@test "make uninstall takes away all that make install has put there, and nothing else" {
    local doc=$DIR/opt/fib/share/doc/fibcgi
    make_here PROFILE=0 install DESTDIR="$DIR" PREFIX=/opt/fib
    [ -x "$DIR/opt/fib/bin/fibcgi" ]
    [ -f "$doc/README.md" ]
    touch "$doc/of-somebody-else"
    make_here PROFILE=0 uninstall DESTDIR="$DIR" PREFIX=/opt/fib
    [ "$(find "$DIR" -type f)" = "$doc/of-somebody-else" ]
    rm "$doc/of-somebody-else"
    make_here PROFILE=0 uninstall DESTDIR="$DIR" PREFIX=/opt/fib
    [ -z "$(find "$DIR" -path '*fibcgi*')" ]
}

@test "each public header can be included alone" {
    local header
    for header in "$PREFIX"/include/fibcgi/*.h; do
        echo "#include <fibcgi/${header##*/}>" |
            gcc -std=c17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$PREFIX/include" -x c -
    done
}

@test "the application of docs/your-own-app.md builds outside the tree as it stands there, and answers" {
    sed -n '/^```c$/,/^```$/ { /^```/d; p }' "$REPO/docs/your-own-app.md" >"$DIR/hello.c"
    compile hello.c hello
    as_cgi "$DIR/hello" /hello name=Ada | grep -qx 'Hello, Ada.'
    FIBCGI=$DIR/hello start_stack
    get '/hello?name=B%C3%A9la'
    is_code 200
    [ "$(cat "$BODY")" = 'Hello, Béla.' ]
    get /hello --data x
    is_code 405
}

@test "the example builds outside the tree, and the pool serves it: query, body, option and every error" {
    cp -r "$PREFIX/share/doc/fibcgi/examples" "$DIR/examples"
    make -C "$DIR/examples" -s
    FIBCGI=$DIR/examples/echo start_stack --max-times 3
    get '/echo?text=a%22b&times=2'
    is_code 200
    [ "$(header content-type)" = application/json ]
    [ "$(jq -r .text "$BODY")" = 'a"ba"b' ]
    get '/echo?times=3' --data-binary $'Zeile\nΣ'
    is_code 200
    [ "$(jq -r .text "$BODY")" = $'Zeile\nΣZeile\nΣZeile\nΣ' ]
    get '/echo?text=x' --head
    is_code 200
    local bad
    for bad in 'text=x&times=4' 'text=x&times=0' 'text=x&times=' 'text=x&times=-1' 'text=x&times=1&times=1' 'times=1'; do
        get "/echo?$bad"
        is_code 400 || { echo "$bad" >&2; return 1; }
        [ "$(header content-type)" = application/problem+json ]
        [ "$(jq -r .status "$BODY")" = 400 ]
    done
    get /echo --data-binary $'\xff'
    is_code 400
    get /echo --data-binary @<(head -c 5000 /dev/zero | tr '\0' x)
    is_code 413
    get /echo -X DELETE
    is_code 405
    [ "$(header allow)" = 'GET, HEAD, POST, OPTIONS' ]
    get /echo -X OPTIONS
    is_code 204
    get /nothing
    is_code 404
    get /readyz
    is_code 200
}

@test "docs/your-own-app.md names all packages that make builds with" {
    local package named
    named=" $(sed -n 's/^    sudo apt-get install //p' "$REPO/docs/your-own-app.md") "
    for package in $(sed -n 's/^PACKAGES_BUILD := //p' "$REPO/Makefile") pkg-config; do
        [[ $named == *" $package "* ]] || { echo "docs/your-own-app.md does not name $package" >&2; return 1; }
    done
}

@test "an application may have functions with the names of ours" {
    cat >"$DIR/mine.c" <<'END'
#include <fibcgi/server.h>
const char *log_error(void);
const char *log_error(void) { return "mine"; }
const char *worker_run(void);
const char *worker_run(void) { return "too"; }
static void serve(void *context, const struct app_request *request, struct app_response *response)
{
    (void)context, (void)request;
    response->content_type = "text/plain";
    app_printf(response, "%s %s\n", log_error(), worker_run());
}
static const struct app app = {.name = "mine", .serve = serve};
int main(int argc, char **argv) { return server_main(argc, argv, &app); }
END
    compile mine.c mine
    FIBCGI=$DIR/mine start_pool
    [ "$("$DIR/mine" --probe / --admin-listen "unix:$SOCKET")" = 'mine too' ]
    "$DIR/mine" --probe /readyz --admin-listen "unix:$ADMIN"
}

@test "what is staged in DESTDIR can be built against, too" {
    make_here PROFILE=0 install DESTDIR="$DIR/stage" PREFIX=/usr
    cp "$REPO/examples/echo.c" "$DIR"
    PKG_CONFIG_PATH=$DIR/stage/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$DIR/stage compile echo.c echo
    as_cgi "$DIR/echo" /echo text=hi | grep -qx '{"text":"hi"}'
}

@test "make example builds and serves the example by itself" {
    # A session of its own takes the signal as a terminal gives it: to make and all below it.
    "${AS_A_USER[@]}" --default-signal=INT setsid make -C "$REPO" -s example PORT=0 \
        BUILD="$BATS_FILE_TMPDIR/build" PROFILE=0 >"$DIR/log" 2>&1 3>&- &
    MAKER=$!
    wait_for 60 grep -q 'try: curl' "$DIR/log" || { cat "$DIR/log" >&2; return 1; }
    URL=$(grep -oE 'http://127.0.0.1:[0-9]+' "$DIR/log" | head -n 1)
    get '/echo?text=hello&times=2'
    kill -INT -- "-$MAKER"
    wait "$MAKER" || true
    is_code 200
    [ "$(jq -r .text "$BODY")" = hellohello ]
}
