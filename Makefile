# make            build build/fibcgi
# make run        install what is missing, build, serve on http://127.0.0.1:8080 until Ctrl-C (PORT=…)
# make test       install what the tests need, run them all (TESTS=tests/20-… for some)
# make check-asan the same tests with AddressSanitizer and UndefinedBehaviorSanitizer
# make lint       warnings, static analysis, formatting
# make bench      requests a second under a CPU quota against what the CPU could do at best
# make clean

ifeq ($(origin CC),default)
CC      := gcc
endif
BUILD   ?= build
PORT    ?= 8080
TESTS   ?= tests
PROFILE ?= $(if $(findstring Free Software Foundation,$(shell $(CC) --version 2>/dev/null)),1,0)

PACKAGES_BUILD := gcc libc6-dev libfcgi-dev
PACKAGES_RUN   := $(PACKAGES_BUILD) lighttpd
PACKAGES_TEST  := $(PACKAGES_RUN) bats libcmocka-dev curl jq wrk nghttp2-client spawn-fcgi strace procps iproute2 \
                  util-linux python3
PACKAGES_LINT  := $(PACKAGES_TEST) clang clang-tidy clang-format cppcheck shellcheck

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion
HARDENING := -fPIE -fstack-protector-strong -fstack-clash-protection -D_FORTIFY_SOURCE=2
CFLAGS  ?= -O2 -g $(HARDENING)
LDFLAGS ?= -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) -MMD -MP

SOURCES := $(wildcard fcgi/*.c)
OBJECTS := $(SOURCES:fcgi/%.c=$(BUILD)/obj/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

.PHONY: all run test unit check-asan lint bench clean need-build need-run need-test need-lint
.DELETE_ON_ERROR:

all: $(BUILD)/fibcgi

$(BUILD)/fibcgi: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lfcgi

$(BUILD)/obj/%.o: fcgi/%.c Makefile | $(BUILD)/obj
	$(CC) $(ALL_CFLAGS) $(FIB_FLAGS) -c -o $@ $<

# fib is built from a profile of itself where the compiler is gcc. What decides its speed is the layout of its branches:
# against plain -O2 in the same binary, 12 interleaved rounds on one CPU (median of the ratios): profile +9 %,
# -falign-functions=64 -falign-loops=32 -4 %, recursive inlining to depth 6 +2 %, -O3 -6 %; on another machine profile and
# alignment both gave +20 %. The number of calls stays what the recursion says: tests/unit/test_fib.c.
ifeq ($(PROFILE),1)
$(BUILD)/obj/fib.o: FIB_FLAGS = -fprofile-use
$(BUILD)/obj/fib.o: $(BUILD)/obj/fib.gcda
$(BUILD)/obj/fib.gcda: fcgi/fib.c fcgi/fib.h fcgi/profile/train.c Makefile | $(BUILD)/profile
	$(CC) $(ALL_CFLAGS) -fprofile-generate -fprofile-update=single -c -o $(BUILD)/profile/fib.o fcgi/fib.c
	$(CC) $(ALL_CFLAGS) -fprofile-generate -c -o $(BUILD)/profile/train.o fcgi/profile/train.c
	$(CC) $(CFLAGS) $(LDFLAGS) -fprofile-generate -o $(BUILD)/profile/train $(BUILD)/profile/train.o $(BUILD)/profile/fib.o
	rm -f $(BUILD)/profile/*.gcda
	$(BUILD)/profile/train
	mv $(BUILD)/profile/fib.gcda $@
endif

-include $(OBJECTS:.o=.d) $(wildcard $(BUILD)/unit/*.d)

$(BUILD)/obj $(BUILD)/unit $(BUILD)/profile:
	mkdir -p $@

# A unit test is linked with every module but main.
$(BUILD)/unit/%: tests/unit/%.c $(filter-out %/main.o,$(OBJECTS)) | $(BUILD)/unit
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $(filter %.c %.o,$^) -lfcgi -lcmocka

need-build:
	@.ci/need $(PACKAGES_BUILD)
need-run:
	@.ci/need $(PACKAGES_RUN)
need-test:
	@.ci/need $(PACKAGES_TEST)
need-lint:
	@.ci/need $(PACKAGES_LINT)

run: need-run
	@$(MAKE) --no-print-directory -s all
	@PORT=$(PORT) conf/lighttpd/run $(BUILD)/fibcgi

test: need-test
	@$(MAKE) --no-print-directory -s all $(UNIT_TESTS)
	@FIBCGI=$(abspath $(BUILD)/fibcgi) UNIT="$(abspath $(UNIT_TESTS))" tests/run $(TESTS)

check-asan:
	@$(MAKE) --no-print-directory test BUILD=build/asan PROFILE=0 \
	  CFLAGS='-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer' LDFLAGS=

lint: need-lint
	@.ci/lint

$(BUILD)/ceiling: loadtest/ceiling.c $(BUILD)/obj/fib.o $(BUILD)/obj/clock.o
	$(CC) $(ALL_CFLAGS) -Ifcgi $(LDFLAGS) -o $@ $^

bench: need-test
	@$(MAKE) --no-print-directory -s all $(BUILD)/ceiling
	@loadtest/bench $(BUILD)/fibcgi

clean:
	rm -rf build
