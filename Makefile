# make            build build/fibcgi
# make run        install what is missing, build, serve on http://127.0.0.1:8080 until Ctrl-C (PORT=…)
# make test       install what the tests need, run them all (TESTS=tests/20-… for some)
# make check-asan the same tests with AddressSanitizer and UndefinedBehaviorSanitizer
# make lint       warnings, static analysis, formatting
# make loadtest   seven tests, over our stack and servers in Rust, Go and Python under the same limits; goes on where it was
#                 interrupted (LOADTEST='--tests spike,soak'); make loadtest-quick: the same in three minutes, for a look
# make bench      saturation of the same servers under CPU quotas, against each other and against what the CPU could do at best
# make chaos      faults of all kinds under load, SECONDS=60 of them, SEED=… as in an earlier run
# make soak       a million requests (REQUESTS=…) with workers being killed: nothing lost, nothing grows
# make report     a page, docs/benchmark.md and README's summary from what make loadtest and make bench measured (RESULTS=…)
# make watching   how long the admin pages take while 1,000 connections wait
# make overload   10,000 connections under a small CPU quota; make goodput: clients that give up and come again
# make fuzz       feed odd bytes to what reads foreign bytes, SECONDS=30 for each target; make fuzz-replay: the seeds only
# make example    build examples/echo.c, an application of one file, and serve it as make run does
# make install    into PREFIX=/usr/local, below DESTDIR where that is given; make uninstall takes the same away
# make deb        Debian packages in build/deb, for apt install ./build/deb/fibcgi_*.deb
# make images     the two images of the pod, and archives of them in build/images
# make k8s-test   the chart's tests under load in the cluster of kubectl's context; says what it needs
# make pod        the chart's pod under podman, on http://127.0.0.1:8080 (PORT=…); make pod-down takes it away
# make manifest   what is made from k8s/chart: its README.md, the plain manifest k8s/fibcgi.yaml, the tests' snapshot
# make clean

ifeq ($(origin CC),default)
CC      := gcc
endif
BUILD   ?= build
PORT    ?= 8080
TESTS   ?= tests
PROFILE ?= $(if $(findstring Free Software Foundation,$(shell $(CC) --version 2>/dev/null)),1,0)

PACKAGES_BUILD := gcc libc6-dev libfcgi-dev libseccomp-dev
PACKAGES_RUN   := $(PACKAGES_BUILD) lighttpd
PACKAGES_REPORT := python3 python3-venv
PACKAGES_FUZZ  := libc6-dev libfcgi-dev clang libclang-rt-14-dev
PACKAGES_TEST  := $(PACKAGES_RUN) bats libcmocka-dev curl jq wrk nghttp2-client spawn-fcgi strace procps iproute2 \
                  util-linux python3 nginx-light apache2 libapache2-mod-fcgid haproxy caddy systemd $(PACKAGES_FUZZ) \
                  $(PACKAGES_REPORT) chromium chromium-driver tmux
PACKAGES_LINT  := $(PACKAGES_TEST) clang clang-tidy clang-format cppcheck shellcheck

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2
CFLAGS  ?= -O2 -g $(HARDENING)
LDFLAGS ?= -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -MMD -MP

SOURCES := $(wildcard fcgi/*.c)
OBJECTS := $(SOURCES:fcgi/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/filter.o $(BUILD)/obj/page.o
LIBRARY := $(BUILD)/libfibcgi.a
FIXTURES := $(patsubst %,$(BUILD)/fixtures/%,jailbreak without)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all run test unit check-asan lint clean need-build need-run need-test need-lint
.DELETE_ON_ERROR:

all: $(BUILD)/fibcgi

# The library is all that an application is linked with; main, compute and fib are an application.
APPLICATION_OBJECTS := $(patsubst %,$(BUILD)/obj/%.o,main compute fib)

$(BUILD)/fibcgi: $(APPLICATION_OBJECTS) $(LIBRARY)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lfcgi

$(LIBRARY): $(filter-out $(APPLICATION_OBJECTS),$(OBJECTS))
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/obj/%.o: fcgi/%.c Makefile | $(BUILD)/obj
	$(CC) $(ALL_CFLAGS) $(FIB_FLAGS) -c -o $@ $<

# fib is built from a profile of itself where the compiler is gcc. What decides its speed is the layout of its branches:
# against plain -O2 in the same binary, 12 interleaved rounds on one CPU (median of the ratios): profile +9 %,
# -falign-functions=64 -falign-loops=32 -4 %, recursive inlining to depth 6 +2 %, -O3 -6 %; on another machine profile and
# alignment both gave +20 %. Registers given out for the whole function at once, not loop by loop, save the moves between
# its inlined levels: 25 % of the instructions of fib(30), 22 of fib(29), and 14 % of the time (21 rounds, beside the profile
# alone). Some hundreds of other sets of options, tried at random, saved 2 % more instructions. Inlining to depth 7 saves 4 % of
# them for fib(30) and takes 15 % more for fib(29), so it is not used. The number of calls stays what the recursion says:
# tests/unit/test_fib.c.
ifeq ($(PROFILE),1)
$(BUILD)/obj/fib.o: FIB_FLAGS = -fprofile-use -fira-region=one
$(BUILD)/obj/fib.o: $(BUILD)/obj/fib.gcda
$(BUILD)/obj/fib.gcda: fcgi/fib.c fcgi/fib.h fcgi/profile/train.c Makefile | $(BUILD)/profile
	$(CC) $(ALL_CFLAGS) -fprofile-generate -fprofile-update=single -c -o $(BUILD)/profile/fib.o fcgi/fib.c
	$(CC) $(ALL_CFLAGS) -fprofile-generate -c -o $(BUILD)/profile/train.o fcgi/profile/train.c
	$(CC) $(CFLAGS) $(LDFLAGS) -fprofile-generate -o $(BUILD)/profile/train $(BUILD)/profile/train.o $(BUILD)/profile/fib.o
	rm -f $(BUILD)/profile/*.gcda
	$(BUILD)/profile/train
	mv $(BUILD)/profile/fib.gcda $@
endif

# libseccomp makes the filters of system calls here, so that the program can do without it.
$(BUILD)/obj/filter.o: $(BUILD)/filter/filter.c fcgi/filter.h | $(BUILD)/obj
	$(CC) $(ALL_CFLAGS) -Ifcgi -c -o $@ $<
$(BUILD)/filter/filter.c: $(BUILD)/filter/generate
	$< >$@
$(BUILD)/filter/generate: fcgi/filter/generate.c fcgi/filter.h fcgi/app.h Makefile | $(BUILD)/filter
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -lseccomp

# The status page and the hashes of what it runs.
$(BUILD)/obj/page.o: $(BUILD)/web/page.c fcgi/page.h | $(BUILD)/obj
	$(CC) $(ALL_CFLAGS) -Ifcgi -c -o $@ $<
$(BUILD)/web/page.c: fcgi/web/embed $(wildcard fcgi/web/status.*) | $(BUILD)/web
	$< >$@

-include $(OBJECTS:.o=.d) $(wildcard $(BUILD)/fixture-application.d $(BUILD)/fixtures/*.d $(BUILD)/unit/*.d)

$(BUILD)/obj $(BUILD)/unit $(BUILD)/profile $(BUILD)/filter $(BUILD)/fixtures $(BUILD)/web:
	mkdir -p $@

# A unit test is linked with every module but main.
$(BUILD)/unit/%: tests/unit/%.c $(filter-out %/main.o,$(APPLICATION_OBJECTS)) $(LIBRARY) | $(BUILD)/unit
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $(filter %.c %.o %.a,$^) -lfcgi -lcmocka

# An application of the tests' own, in the same pool.
$(BUILD)/fixture-application: tests/fixtures/application.c $(LIBRARY)
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $(filter %.c %.a,$^) -lfcgi

# An application that tries what no worker may, and a command that runs another where a part of the sandbox is missing.
$(BUILD)/fixtures/jailbreak: tests/fixtures/jailbreak.c $(LIBRARY) | $(BUILD)/fixtures
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $(filter %.c %.a,$^) -lfcgi
$(BUILD)/fixtures/without: tests/fixtures/without.c | $(BUILD)/fixtures
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< -lseccomp

need-build:
	@.ci/need $(PACKAGES_BUILD)
need-run:
	@.ci/need $(PACKAGES_RUN)
need-test:
	@.ci/need $(PACKAGES_TEST)
	@.ci/need-python loadtest/page/requirements.txt >/dev/null
	@.ci/need-node tests/browser >/dev/null
need-lint:
	@.ci/need $(PACKAGES_LINT)

run: need-run
	@$(MAKE) --no-print-directory -s all
	@PORT=$(PORT) conf/lighttpd/run $(BUILD)/fibcgi

test: need-test
	@$(MAKE) --no-print-directory -s all $(UNIT_TESTS) $(BUILD)/fixture-application $(FIXTURES) $(BUILD)/fail.so
	@FIBCGI=$(abspath $(BUILD)/fibcgi) APPLICATION=$(abspath $(BUILD)/fixture-application) \
	  FIXTURES=$(abspath $(BUILD)/fixtures) UNIT="$(abspath $(UNIT_TESTS))" tests/run $(TESTS)

check-asan:
	@$(MAKE) --no-print-directory test BUILD=build/asan PROFILE=0 \
	  CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' LDFLAGS=

lint: need-lint
	@.ci/lint

$(BUILD)/ceiling: loadtest/ceiling.c $(BUILD)/obj/fib.o $(BUILD)/obj/clock.o
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $^

# A shim for LD_PRELOAD, so never built with sanitizers.
$(BUILD)/fail.so: tests/fixtures/fail.c Makefile | $(BUILD)/obj
	$(CC) -std=c17 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fPIC -shared -o $@ $< -ldl

.PHONY: chaos soak overload goodput costs watching
# SECONDS has another default for fuzzing.
chaos: need-test
	@$(MAKE) --no-print-directory -s all $(BUILD)/fail.so
	@loadtest/chaos $(BUILD)/fibcgi $(BUILD)/fail.so --seconds $(if $(filter file,$(origin SECONDS)),60,$(SECONDS)) \
	  $(if $(SEED),--seed $(SEED)) $(CHAOS)

costs: need-test
	@$(MAKE) --no-print-directory -s all
	@loadtest/costs $(BUILD)/fibcgi $(COSTS)

watching: need-test
	@$(MAKE) --no-print-directory -s all
	@loadtest/watching $(BUILD)/fibcgi

REQUESTS ?= 1000000
soak: need-test
	@$(MAKE) --no-print-directory -s all
	@loadtest/soak $(BUILD)/fibcgi --requests $(REQUESTS)

overload goodput: need-test
	@$(MAKE) --no-print-directory -s all
	@loadtest/overload $(BUILD)/fibcgi $(if $(filter goodput,$@),--goodput)

# The page is for looking at and stays in the build; the picture, its table and the results in the documents are committed.
RESULTS ?= $(BUILD)/loadtest/results.json
.PHONY: report
report:
	@.ci/need $(PACKAGES_REPORT)
	@loadtest/report $(RESULTS) --html $(BUILD)/report.html --svg docs/benchmark.svg --into README.md --into docs/benchmark.md

clean:
	rm -rf build

# Fuzzing: tests/fuzz/fuzz_*.c with the modules that they reach; a seed folder for each in tests/fuzz/corpus. What is found
# goes to $(BUILD)/fuzz. libFuzzer is clang's.
SECONDS      ?= 30
FUZZ_CC      := clang
FUZZ_FLAGS   := -std=c17 -D_GNU_SOURCE $(WARNINGS) -O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all \
                -fno-omit-frame-pointer -MMD -MP -Ifcgi $(FUZZ_EXTRA)
FUZZ_MODULES := access app cgroup client clock compute connections diag document events exchange fib histogram history http inbox \
                line listener log options outbox probe record report request sandbox scoreboard trace
FUZZ_OBJECTS := $(FUZZ_MODULES:%=$(BUILD)/fuzz/obj/%.o)
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: fuzz fuzz-replay need-fuzz

$(BUILD)/fuzz/obj:
	mkdir -p $@

$(BUILD)/fuzz/obj/%.o: fcgi/%.c Makefile | $(BUILD)/fuzz/obj
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

# The targets' own branches are no coverage to look for: without them it runs twice as fast.
$(BUILD)/fuzz/obj/fuzz_%.o: tests/fuzz/fuzz_%.c Makefile | $(BUILD)/fuzz/obj
	$(FUZZ_CC) $(FUZZ_FLAGS) -c -o $@ $<

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/fuzz_%.o $(FUZZ_OBJECTS)
	$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ -lfcgi

.SECONDARY: $(FUZZ_TARGETS:$(BUILD)/fuzz/%=$(BUILD)/fuzz/obj/%.o)
-include $(wildcard $(BUILD)/fuzz/obj/*.d)

need-fuzz:
	@.ci/need $(PACKAGES_FUZZ)

fuzz: need-fuzz
	@$(MAKE) --no-print-directory -s $(FUZZ_TARGETS)
	@tests/fuzz/run fuzz $(abspath $(BUILD)/fuzz) $(SECONDS)

fuzz-replay: need-fuzz
	@$(MAKE) --no-print-directory -s $(FUZZ_TARGETS)
	@tests/fuzz/run replay $(abspath $(BUILD)/fuzz)

# Installation, and the tests of it, of the manual and of bash's completion.
PACKAGES_TEST  += mandoc bsdextrautils man-db pkg-config
PREFIX         ?= /usr/local
BINDIR         ?= $(PREFIX)/bin
LIBDIR         ?= $(PREFIX)/lib
INCLUDEDIR     ?= $(PREFIX)/include
MANDIR         ?= $(PREFIX)/share/man
DOCDIR         ?= $(PREFIX)/share/doc/fibcgi
COMPLETIONDIR  ?= $(PREFIX)/share/bash-completion/completions
UNITDIR        ?= $(PREFIX)/lib/systemd/system
OBJCOPY        ?= objcopy
VERSION        := $(shell sed -n 's/^.define FIBCGI_VERSION "\(.*\)"/\1/p' fcgi/options.h)
# What an application elsewhere is built with: the headers, and the library with what it needs itself.
PUBLIC_HEADERS := fcgi/app.h fcgi/server.h
PUBLIC_LIBRARY := $(BUILD)/install/libfibcgi.a
LIBS           := -lfcgi
# file:mode:where
INSTALLED := $(BUILD)/fibcgi:755:$(BINDIR)/fibcgi $(PUBLIC_LIBRARY):644:$(LIBDIR)/libfibcgi.a \
             conf/pkgconfig/fibcgi.pc:644:$(LIBDIR)/pkgconfig/fibcgi.pc \
             docs/fibcgi.8:644:$(MANDIR)/man8/fibcgi.8 conf/bash-completion/fibcgi:644:$(COMPLETIONDIR)/fibcgi \
             $(foreach file,$(PUBLIC_HEADERS),$(file):644:$(INCLUDEDIR)/fibcgi/$(notdir $(file))) \
             $(foreach file,$(wildcard conf/systemd/*.service conf/systemd/*.socket),$(file):644:$(UNITDIR)/$(notdir $(file))) \
             $(foreach file,README.md CHANGELOG.md LICENSE $(wildcard docs/*.md docs/*.svg examples/* $(addprefix conf/,apache/* caddy/* \
                 haproxy/* lighttpd/*.conf nginx/*/* systemd/*.default systemd/*.d/* systemd/tcp/*.d/*)),$(file):644:$(DOCDIR)/$(file))

.PHONY: example install uninstall

# Built before make install, which may be root's.
all: $(PUBLIC_LIBRARY)

# The names of an application's own functions cannot meet ours: no others can be seen than those of the public headers.
$(PUBLIC_LIBRARY): $(LIBRARY)
	mkdir -p $(@D)
	$(LD) -r -o $(@D)/fibcgi.o --whole-archive $<
	$(OBJCOPY) --wildcard --keep-global-symbol='app_*' --keep-global-symbol=server_main $(@D)/fibcgi.o
	rm -f $@
	$(AR) rcs $@ $(@D)/fibcgi.o

# What is not a program has its paths put right: /usr/bin/fibcgi is where Debian has it.
install: all
	@set -e; for entry in $(INSTALLED); do \
	    IFS=:; set -- $$entry; unset IFS; \
	    install -D -m $$2 $$1 "$(DESTDIR)$$3"; \
	    case $$1 in conf/*) sed -i -e 's#/usr/bin/fibcgi#$(BINDIR)/fibcgi#g' -e 's#"/usr/bin"#"$(BINDIR)"#' -e 's#@PREFIX@#$(PREFIX)#' \
	        -e 's#@INCLUDEDIR@#$(INCLUDEDIR)#' -e 's#@LIBDIR@#$(LIBDIR)#' -e 's#@VERSION@#$(VERSION)#' -e 's#@LIBS@#$(LIBS)#' \
	        "$(DESTDIR)$$3" ;; esac; \
	done
	@echo 'fibcgi is installed below $(DESTDIR)$(PREFIX); its documents are in $(DESTDIR)$(DOCDIR)'

uninstall:
	@set -e; for entry in $(INSTALLED); do rm -f "$(DESTDIR)$${entry##*:}"; done
	@for folder in $(DOCDIR) $(INCLUDEDIR)/fibcgi; do \
	    [ ! -d "$(DESTDIR)$$folder" ] || find "$(DESTDIR)$$folder" -depth -type d -exec rmdir --ignore-fail-on-non-empty {} +; \
	done

# An application of one file, built as one outside this tree is.
$(BUILD)/example/echo: examples/echo.c $(PUBLIC_LIBRARY) $(PUBLIC_HEADERS) Makefile
	mkdir -p $(@D)/include
	ln -sfn $(abspath fcgi) $(@D)/include/fibcgi
	$(CC) -std=c17 $(WARNINGS) $(CFLAGS) -I$(@D)/include $(LDFLAGS) -o $@ $< $(PUBLIC_LIBRARY) $(LIBS)

example: need-run
	@$(MAKE) --no-print-directory -s $(BUILD)/example/echo
	@PORT=$(PORT) TRY='/echo?text=hello&times=2' conf/lighttpd/run $(BUILD)/example/echo

# Debian packages, from a copy of the tree, because their making leaves much behind.
PACKAGES_DEB   := $(PACKAGES_BUILD) build-essential debhelper
PACKAGES_TEST  += $(PACKAGES_DEB) lintian mmdebstrap
.PHONY: deb need-deb
need-deb:
	@.ci/need $(PACKAGES_DEB)
deb: need-deb
	@rm -rf $(BUILD)/deb
	@mkdir -p $(BUILD)/deb/source
	@tar -c --exclude=./build --exclude=./.git . | tar -x -C $(BUILD)/deb/source
	@cd $(BUILD)/deb/source && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u CC -u CFLAGS -u LDFLAGS dpkg-buildpackage -b -us -uc >../log 2>&1 || \
	  { tail -n 30 ../log >&2; echo 'make deb: the packages could not be built; the reason is above' >&2; exit 1; }
	@rm -rf $(BUILD)/deb/source
	@ls $(BUILD)/deb/*.deb

# Container images. The static program, what goes into each image, and the images; container/Containerfile does the first two in
# a container, where the machine is no Debian.
PACKAGES_IMAGES := $(PACKAGES_RUN) git jq
PACKAGES_ENGINE := podman buildah runc catatonit
IMAGES          := $(BUILD)/images
STATIC_FLAGS    := -ffunction-sections -fdata-sections -fmacro-prefix-map=$(CURDIR)=.
.PHONY: static image-roots images need-images need-engine pod pod-down

# Its own sub-make, because all of it is compiled with other flags.
static:
	@$(MAKE) --no-print-directory -s BUILD=$(BUILD)/static CFLAGS='-O2 $(HARDENING) $(STATIC_FLAGS)' \
	  LDFLAGS='-static-pie -Wl,-z,relro,-z,now -Wl,--gc-sections -s' $(BUILD)/static/fibcgi-static

$(BUILD)/fibcgi-static: $(APPLICATION_OBJECTS) $(LIBRARY) $(BUILD)/obj/names.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(BUILD)/obj/names.o $(APPLICATION_OBJECTS) $(LIBRARY) -lfcgi
$(BUILD)/obj/names.o: container/names.c Makefile | $(BUILD)/obj
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

need-images:
	@.ci/need $(PACKAGES_IMAGES)
image-roots: need-images static
	@container/roots $(BUILD)/static/fibcgi-static $(IMAGES)/roots
need-engine:
	@[ -n "$(CONTAINER_ENGINE)" ] || docker info >/dev/null 2>&1 || .ci/need $(PACKAGES_ENGINE)
images: image-roots need-engine
	@container/images $(VERSION) $(IMAGES)

# Two versions, to upgrade from one to the other. In a cluster's own namespaces no engine may be at hand, but the archives are.
NEXT_TAG := $(VERSION)-next
.PHONY: archives k8s-test
archives: image-roots peer-images
	@ARCHIVES_ONLY=1 container/images $(VERSION) $(IMAGES)
	@mkdir -p $(IMAGES)-next
	@rm -rf $(IMAGES)-next/roots
	@cp -a $(IMAGES)/roots $(IMAGES)-next/roots
	@ARCHIVES_ONLY=1 container/images $(NEXT_TAG) $(IMAGES)-next
k8s-test: archives locust
	@.ci/need bats jq curl python3
	@$(MAKE) --no-print-directory -s all $(BUILD)/ceiling
	@helm=$$(command -v helm || .ci/need-program helm3) && PATH="$${helm%/*}:$$PATH" NEXT_TAG=$(NEXT_TAG) \
	  tests/k8s/run $(IMAGES)/*.tar $(IMAGES)/peers/rust.tar $(IMAGES)-next/*.tar -- $(K8S_TESTS)

# POD: its name. HELM_ARGUMENTS: further values of the chart, such as '--set cpu=1'.
pod: images
	@.ci/need curl
	@HELM=$$(.ci/need-program helm3) PORT=$(PORT) POD=$(POD) HELM_ARGUMENTS='$(HELM_ARGUMENTS)' container/pod up
pod-down:
	@POD=$(POD) container/pod down
PACKAGES_TEST += $(PACKAGES_IMAGES) $(PACKAGES_ENGINE)

# The chart. Its tools are Go programs and a Python package, built once for a user; only its own tests and lint need them.
CHART_PROGRAMS := helm3 helm4 kustomize podcheck
.PHONY: need-chart manifest
need-chart:
	@for program in $(CHART_PROGRAMS); do .ci/need-program $$program >/dev/null || exit 1; done
	@.ci/need-python tests/fixtures/validate.txt >/dev/null
test: $(if $(filter tests %-chart.bats,$(TESTS)),need-chart)
lint: need-chart

manifest: need-chart
	@.ci/chart-readme >k8s/chart/README.md
	@.ci/manifest >k8s/fibcgi.yaml
	@$$(.ci/need-program helm3) template fib k8s/chart >tests/fixtures/chart-default.yaml

# The comparison with the peers. They, and the load generator, are the same for every build of ours.
PACKAGES_LOADTEST := $(PACKAGES_RUN) wrk curl python3 util-linux
PACKAGES_TEST     += $(PACKAGES_LOADTEST)
PACKAGES_LINT     += pyflakes3
.PHONY: loadtest loadtest-quick bench peers locust need-loadtest
need-loadtest:
	@.ci/need $(PACKAGES_LOADTEST)
peers:
	@loadtest/peers/build build/peers
# For --target podman and kubernetes.
.PHONY: peer-images
peer-images: need-engine peers
	@ARCHIVES_ONLY=$(if $(filter archives k8s-test,$(MAKECMDGOALS)),1) loadtest/peers/images build/peers $(VERSION) $(IMAGES)/peers
locust:
	@python=$$(.ci/need-python loadtest/locust/requirements.txt) && ln -sfn "$${python%/bin/python}" build/locust

test: $(if $(filter tests %-loadtest.bats %-loadtest-podman.bats,$(TESTS)),peers locust $(BUILD)/ceiling)

# LOADTEST, BENCH: options; see loadtest/compare --help and loadtest/bench --help.
loadtest loadtest-quick: need-loadtest
	@$(MAKE) --no-print-directory -s all $(BUILD)/ceiling peers locust
	@loadtest/compare $(BUILD)/fibcgi $(if $(filter %-quick,$@),--quick) $(LOADTEST)
	@[ ! -e $(RESULTS) ] || loadtest/report $(RESULTS) --html $(BUILD)/report.html
bench: need-loadtest
	@$(MAKE) --no-print-directory -s all $(BUILD)/ceiling peers
	@loadtest/bench $(BUILD)/fibcgi $(BENCH)

# What Prometheus makes of the metrics.
PACKAGES_TEST += prometheus
