# mprun: one non-recursive Makefile; everything it makes is under build/.
#
#   make MODE=release|debug|asan|tsan|cover|fuzz [CC=clang] [B=folder] TARGET
#
# The core (base, shm, sync, state, msg, proc, text) is compiled without Lua's include
# path, so that it cannot see lua.h. A new .c file needs no line here.
#
# SPDX-License-Identifier: MIT

MODE   ?= release
B      ?= build/$(MODE)
PREFIX ?= /usr/local
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))

VERSION := $(shell sed -n 's/^\#define MP_VERSION "\(.*\)"/\1/p' \
             runtime/include/mprun.h)
SOMAJOR := 0

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# --- Lua: the distribution's, 5.4 -------------------------------------------

LUA      ?= lua5.4
LUA_SO   ?= -llua5.4
LUA_CMOD ?= $(PREFIX)/lib/lua/5.4
ifndef LUA_CFLAGS
LUA_CFLAGS := $(shell pkg-config --cflags lua5.4 2>/dev/null || \
                echo -I/usr/include/lua5.4)
endif
ifndef LUA_A
LUA_A  := $(shell $(CC) -print-file-name=liblua5.4.a 2>/dev/null)
LPEG_A := $(shell $(CC) -print-file-name=liblua5.4-lpeg.a 2>/dev/null)
endif

# --- flags -------------------------------------------------------------------

FLAGS_release := -O2 -g
FLAGS_debug   := -O0 -g
FLAGS_asan    := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                 -fno-sanitize-recover=undefined
FLAGS_tsan    := -O1 -g -fsanitize=thread
FLAGS_cover   := -O0 -g --coverage
FLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
                 -fno-sanitize-recover=undefined
ifeq ($(FLAGS_$(MODE)),)
$(error MODE=$(MODE): it is release, debug, asan, tsan, cover or fuzz)
endif

# _GNU_SOURCE is defined empty, as "#define _GNU_SOURCE" in a source does it.
CPPFLAGS += -Iruntime -Iruntime/include -D_GNU_SOURCE=
CFLAGS   += -std=c11 -Wall -Wextra -fPIC -fvisibility=hidden -pthread \
            $(FLAGS_$(MODE)) $(WERROR)
LDFLAGS  += $(FLAGS_$(MODE)) -pthread -Wl,-z,relro,-z,now
LIBS     := -lm -ldl -lpthread

# A sanitizer's run-time is found when the program starts, not when it is linked.
DEFS := $(if $(filter asan tsan fuzz,$(MODE)),,-Wl,--no-undefined)

# --- sources -----------------------------------------------------------------

CORE_SRC := $(wildcard $(patsubst %,runtime/%/*.c,base shm sync state msg proc text))
BIND_SRC := $(wildcard runtime/codec/*.c runtime/bind/*.c)
HOST_SRC := $(wildcard runtime/embed/*.c)
CLI_SRC  := $(wildcard runtime/cli/*.c)
LUA_SRC  := $(shell find lua -name '*.lua' | LC_ALL=C sort)

CORE := $(CORE_SRC:%.c=$(B)/%.o)
BIND := $(BIND_SRC:%.c=$(B)/%.o) $(B)/gen/embedded.o
HOST := $(HOST_SRC:%.c=$(B)/%.o)
CLI  := $(CLI_SRC:%.c=$(B)/%.o)

# The same with crash points compiled in, for the tests.
X_CORE := $(CORE:$(B)/%=$(B)/crash/%)
X_ALL  := $(patsubst $(B)/%,$(B)/crash/%,$(CORE) $(BIND) $(HOST))
X_CLI  := $(CLI:$(B)/%=$(B)/crash/%)

# C programs of tests/c: test_* run in `make test`, prove_* in `make prove`; what
# they share are the other files there. Those that drive Lua are named
# test_codec*, test_bind*, test_embed*. tests/fuzz is for libFuzzer.
CTEST_SRC  := $(wildcard tests/c/test_*.c)
PROVE_SRC  := $(wildcard tests/c/prove_*.c)
FUZZ_SRC   := $(wildcard tests/fuzz/fuzz_*.c)
CTOOLS_SRC := $(filter-out $(CTEST_SRC) $(PROVE_SRC),$(wildcard tests/c/*.c))
CTESTS := $(CTEST_SRC:%.c=$(B)/%)
PROVES := $(PROVE_SRC:%.c=$(B)/%)
FUZZES := $(FUZZ_SRC:%.c=$(B)/%)
CTOOLS := $(CTOOLS_SRC:%.c=$(B)/%.o)
WITHLUA := $(foreach k,test prove,$(foreach c,codec bind embed, \
             $(wildcard tests/c/$(k)_$(c)*.c)))
WITHLUA_BIN := $(WITHLUA:%.c=$(B)/%)

HOSTS := $(patsubst %.c,$(B)/%,$(wildcard examples/embed/*.c))

# --- products ----------------------------------------------------------------

PRODUCTS := $(B)/mprun $(B)/mp.so $(B)/libmprun.a \
            $(B)/libmprun.so.$(SOMAJOR) $(B)/libmprun.so $(B)/mprun.pc

.PHONY: all programs run test check prove bench fuzz fuzzers install uninstall clean \
        deps help lint examples model FORCE

all: $(PRODUCTS)

# Whole liblua: modules that are loaded use functions that mprun itself does
# not. Exports go by list, not by -E: lpeg has a bare `match` and `compile`.
LINK_MPRUN = $(CC) $(LDFLAGS) -Wl,--dynamic-list=runtime/cli/exports.list \
	-o $@ $(filter %.o,$^) -Wl,-u,luaopen_lpeg \
	-Wl,--whole-archive $(LUA_A) -Wl,--no-whole-archive $(LPEG_A) $(LIBS)

$(B)/mprun: $(CORE) $(BIND) $(HOST) $(CLI) runtime/cli/exports.list
	$(LINK_MPRUN)

$(B)/crash/mprun: $(X_ALL) $(X_CLI) runtime/cli/exports.list
	$(LINK_MPRUN)

# No Lua in it: it uses that of the program which loads it. It stays when that
# closes its state: a thread may have been left behind.
$(B)/mp.so: $(CORE) $(BIND) runtime/bind/exports.map
	$(CC) $(LDFLAGS) -shared -Wl,-z,nodelete \
		-Wl,--version-script=runtime/bind/exports.map \
		-o $@ $(filter %.o,$^) $(LIBS)

$(B)/libmprun.a: $(CORE) $(BIND) $(HOST)
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/libmprun.so.$(SOMAJOR): $(CORE) $(BIND) $(HOST) runtime/embed/exports.map
	$(CC) $(LDFLAGS) -shared -Wl,-soname,libmprun.so.$(SOMAJOR) $(DEFS) \
		-Wl,--version-script=runtime/embed/exports.map \
		-o $@ $(filter %.o,$^) $(LUA_SO) $(LIBS)

$(B)/libmprun.so: $(B)/libmprun.so.$(SOMAJOR)
	ln -sf $(<F) $@

# Also rewritten when PREFIX changes between `make` and `make install`.
$(B)/mprun.pc: runtime/embed/mprun.pc.in FORCE
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# --- rules -------------------------------------------------------------------

LUA_USERS := codec bind embed
$(foreach p,$(B) $(B)/crash,$(foreach d,$(LUA_USERS),$(p)/runtime/$(d)/%.o)) \
	$(B)/gen/%.o $(B)/crash/gen/%.o: CPPFLAGS += $(LUA_CFLAGS)
$(B)/crash/%.o: CPPFLAGS += -DMP_CRASHPOINTS

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/crash/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(B)/gen/embedded.o: $(B)/gen/embedded.c
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(B)/crash/gen/embedded.o: $(B)/gen/embedded.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# Rewritten when the list of modules changes, so that a removed one goes too.
$(B)/gen/modules: FORCE
	@mkdir -p $(@D)
	@echo '$(LUA_SRC)' | cmp -s - $@ || echo '$(LUA_SRC)' > $@

$(B)/gen/embedded.c: $(LUA_SRC) $(B)/gen/modules scripts/embed-lua \
		runtime/bind/embedded.h
	scripts/embed-lua lua $(LUA_SRC) > $@

$(B)/crash/libcore.a: $(X_CORE)
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/crash/libmprun.a: $(X_ALL)
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/tests/%.o: CPPFLAGS += -DMP_CRASHPOINTS
$(WITHLUA:%.c=$(B)/%.o): CPPFLAGS += $(LUA_CFLAGS)
$(WITHLUA_BIN): TESTLIBS = -Wl,-u,luaopen_lpeg $(B)/crash/libmprun.a $(LUA_A) \
	$(LPEG_A)
$(WITHLUA_BIN): $(B)/crash/libmprun.a
TESTLIBS = $(B)/crash/libcore.a

$(B)/tests/libtools.a: $(CTOOLS)
	@rm -f $@
	@$(AR) rcs $@ $^

$(CTESTS) $(PROVES): $(B)/%: $(B)/%.o $(B)/tests/libtools.a \
		$(B)/crash/libcore.a
	$(CC) $(LDFLAGS) -o $@ $< $(B)/tests/libtools.a $(TESTLIBS) $(LIBS)

$(FUZZ_SRC:%.c=$(B)/%.o): CPPFLAGS += $(LUA_CFLAGS) -Iruntime/codec
$(FUZZES): $(B)/%: $(B)/%.o $(B)/libmprun.a
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LUA_A) $(LIBS)

# Hosts see what an installed program sees: the header and the shared library.
$(HOSTS): $(B)/%: %.c $(B)/libmprun.so runtime/include/mprun.h
	@mkdir -p $(@D)
	$(CC) -Iruntime/include -Wall -Wextra $(FLAGS_$(MODE)) $(WERROR) -pthread \
		-o $@ $< -L$(B) -lmprun -Wl,-rpath,'$(abspath $(B))'

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# --- what people type --------------------------------------------------------
# The parts that need tools call make again after scripts/deps: only then can
# the compiler be asked where Lua is.

run:
	@scripts/deps run
	@$(MAKE) all
	$(B)/mprun --summary examples/flows/wordcount.lua

programs: all $(CTESTS) $(B)/crash/mprun $(HOSTS)

test:
	@scripts/deps test
	@$(MAKE) programs
	@MODE='$(MODE)' B='$(B)' LUA='$(LUA)' tests/run $(TESTS)

prove:
	@scripts/deps check
	@$(MAKE) programs $(PROVES)
	@MODE='$(MODE)' B='$(B)' LUA='$(LUA)' MP_PROVE=1 tests/run c model
	@CC='$(CC)' scripts/mutants

# A sanitized build by clang, whatever MODE the seeds are made with.
fuzz:
	@scripts/deps fuzz
	@$(MAKE) all
	@$(MAKE) MODE=fuzz CC=clang B=build/fuzz fuzzers
	@MODE='$(MODE)' B='$(B)' LUA='$(LUA)' FUZZ=build/fuzz tests/run fuzz

fuzzers: $(FUZZES)

bench:
	@scripts/deps bench
	@$(MAKE) all
	@B='$(B)' CC='$(CC)' scripts/bench

check:
	@scripts/deps check
	@$(MAKE) lint
	@$(MAKE) test
	@$(MAKE) examples
	@$(MAKE) model
	@$(MAKE) MODE=asan B=build/asan test

examples: programs
	@MODE='$(MODE)' B='$(B)' LUA='$(LUA)' tests/run examples

model: programs
	@MODE='$(MODE)' B='$(B)' LUA='$(LUA)' tests/run model

# Checks that find mistakes; no matters of taste.
TIDY := bugprone-*,clang-analyzer-*,misc-redundant-expression,-bugprone-easily-swappable-parameters,-bugprone-assignment-in-if-condition,-bugprone-reserved-identifier,-bugprone-implicit-widening-of-multiplication-result,-bugprone-narrowing-conversions,-bugprone-macro-parentheses,-bugprone-branch-clone,-clang-analyzer-security.insecureAPI.*,-clang-analyzer-valist.Uninitialized

lint:
	luacheck -q lua examples tests scripts/bench
	clang-tidy --quiet --warnings-as-errors='*' --checks='-*,$(TIDY)' \
		$(CORE_SRC) $(BIND_SRC) $(HOST_SRC) $(CLI_SRC) -- \
		$(CPPFLAGS) $(LUA_CFLAGS) -std=c11
	$(CC) -x c++ -fsyntax-only -Wall -Wextra runtime/include/mprun.h

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include \
		$(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(LUA_CMOD)
	install -m 755 $(B)/mprun $(DESTDIR)$(PREFIX)/bin/mprun
	install -m 644 runtime/include/mprun.h $(DESTDIR)$(PREFIX)/include/mprun.h
	install -m 644 $(B)/libmprun.a $(DESTDIR)$(PREFIX)/lib/libmprun.a
	install -m 755 $(B)/libmprun.so.$(SOMAJOR) \
		$(DESTDIR)$(PREFIX)/lib/libmprun.so.$(SOMAJOR)
	ln -sf libmprun.so.$(SOMAJOR) $(DESTDIR)$(PREFIX)/lib/libmprun.so
	install -m 644 $(B)/mprun.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/mprun.pc
	install -m 755 $(B)/mp.so $(DESTDIR)$(LUA_CMOD)/mp.so
	@[ -n '$(DESTDIR)' ] || ldconfig 2>/dev/null || true

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/mprun $(DESTDIR)$(PREFIX)/include/mprun.h \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/,libmprun.a libmprun.so \
			libmprun.so.$(SOMAJOR) pkgconfig/mprun.pc) \
		$(DESTDIR)$(LUA_CMOD)/mp.so

clean:
	rm -rf build

deps:
	scripts/deps check

help:
	@echo 'make               builds mprun, mp.so and libmprun in $(B)'
	@echo 'make run           the same, and counts the words of some files'
	@echo 'make test          all tests; TESTS="c spec plain" or names chooses'
	@echo 'make check         test, the same under ASan, linters, examples'
	@echo 'make prove         the long crash tests, the models, the mutants'
	@echo 'make fuzz          random bytes; MP_FUZZ_SECONDS=10 each'
	@echo 'make bench         measures'
	@echo 'make install       into PREFIX=$(PREFIX), under DESTDIR'
	@echo 'make uninstall, clean, deps (installs all tools), lint, examples, model'
	@echo 'MODE=release|debug|asan|tsan|cover, CC=gcc|clang, WERROR=-Werror'
