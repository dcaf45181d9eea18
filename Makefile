# drover: one flat Makefile. `make help` lists the targets.
VERSION = 0.1
B ?= build
CC = gcc
MUSL_CC ?= musl-gcc
STRIP ?= strip
SAN ?=
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
COMMON = -std=c11 -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -I. -I$(B) -MMD -MP
HARDEN = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CFLAGS ?= -O2 -g
# gcc's flow analysis goes wrong under its own sanitizers: those two warnings are the plain build's.
# COV=1: everything counts which of its lines run, the worker as an ordinary glibc program (make coverage).
COVER = $(if $(COV),--coverage -fprofile-update=atomic)
MASTER_CFLAGS = $(COMMON) $(WARN) $(CFLAGS) $(if $(COV),-O0 -g1 $(COVER),)$(if $(SAN)$(COV),,$(HARDEN)) $(if $(SAN),-O1 -g1 -fsanitize=$(SAN) -fno-omit-frame-pointer -Wno-format-truncation -Wno-maybe-uninitialized)
MASTER_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN),-pie -Wl,-z,relro,-z,now) -Wl,--as-needed $(if $(COV),$(COVER) -Wl$(comma)--wrap=_exit $(B)/cover.o)
WORKER_CFLAGS = $(COMMON) $(WARN) -Os -g -ffunction-sections -fdata-sections -I$(B)/musl-include -fno-asynchronous-unwind-tables
WORKER_LDFLAGS = -static -Wl,--gc-sections -T worker/lean.ld

# Sources, by the stops on the data's way (docs/tour.md).
COMMON_SRC = $(wildcard common/*.c)
PROTO_SRC = $(wildcard proto/*.c)
# Of the worker, what only other systems take is in files of its own.
WORKER_ELSEWHERE = worker/os_posix.c worker/tls_openssl.c
WORKER_SRC = $(filter-out $(WORKER_ELSEWHERE),$(wildcard worker/*.c))
MASTER_SRC = $(filter-out master/changes/githelper_main.c,$(foreach d,conf core db keep changes changes/hooks schedulers dispatch workers steps logs events api,$(wildcard master/$(d)/*.c)))
CONF_SRC = $(wildcard master/conf/*.c)
CLI_SRC = $(wildcard master/cli/*.c)
HELPER_SRC = master/changes/githelper_main.c $(wildcard master/changes/helper/*.c) master/changes/gitname.c master/changes/gitwire.c $(addprefix master/conf/,vcs.c vcs_ssh.c vcs_url.c) master/steps/login.c
SSH_SRC = $(wildcard master/workers/ssh/*.c)
UNIT_SRC = $(wildcard tests/unit/test_*.c) $(wildcard tests/seq/test_*.c)
FUZZ_SRC = $(wildcard tests/fuzz/fuzz_*.c)

MASTER_LIBS = -luv -lpq -lcjson -lyaml -lmicrohttpd -lssl -lcrypto -lz
CLI_LIBS = -lcjson -lyaml -lz
HELPER_LIBS = -lgit2 -lexpat -lcjson -lz
SSH_LIBS = -lssh2 -lcrypto
WORKER_LIBS = $(B)/musl-lib/libbearssl.a $(B)/musl-lib/libz.a
WEB_SRC = $(wildcard master/web/*)

# V=1 shows the commands.
say = $(if $(V),,@echo '$(1)	$@';)
obj = $(patsubst %.c,$(B)/$(1)/%.o,$(2))
# The master deflates nothing: it stores what workers deflated.
MASTER_OBJ = $(call obj,m,$(COMMON_SRC) $(filter-out proto/chunk_enc.c,$(PROTO_SRC)) $(MASTER_SRC)) $(B)/web/web_files.o
CLI_OBJ = $(call obj,m,$(COMMON_SRC) $(PROTO_SRC) $(CONF_SRC) $(CLI_SRC))
HELPER_OBJ = $(call obj,m,$(COMMON_SRC) $(PROTO_SRC) $(HELPER_SRC))
SSH_OBJ = $(call obj,m,$(COMMON_SRC) proto/records.c $(SSH_SRC))
WORKER_OBJ = $(call obj,w,$(COMMON_SRC) $(PROTO_SRC) $(WORKER_SRC))
PROGRAMS = $(B)/drover-master $(B)/drover-worker $(B)/drover $(B)/drover-git-helper $(B)/drover-ssh-helper

.PHONY: coverage replays posix arm64 windows deps-windows hosts install uninstall deb dist all deps demo check clean bench fuzz lint soak screens help unit units some fuzzers
.SECONDARY:
all: $(PROGRAMS)

$(B)/m/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(MASTER_CFLAGS) -c $< -o $@
$(B)/w/%.o: %.c | $(B)/musl-include/.made
	@mkdir -p $(@D)
	$(call say,musl) $(MUSL_CC) $(WORKER_CFLAGS) -c $< -o $@

# The page's files, gzipped, as one object.
$(B)/web/web_files.c: master/api/web_pack.py master/api/web_types.def master/web $(WEB_SRC)
	$(call say,pack) python3 master/api/web_pack.py master/web master/api/web_types.def $(@D)
$(B)/web/web_files.o: $(B)/web/web_files.c
	$(call say,cc) $(CC) $(MASTER_CFLAGS) -c $< -o $@

# musl-gcc doesn't see /usr/include: links to just the headers and archives the worker needs.
$(B)/musl-include/.made:
	@mkdir -p $(B)/musl-include $(B)/musl-lib
	@ln -sf /usr/include/zlib.h /usr/include/zconf.h /usr/include/bearssl.h $(B)/musl-include/
	@ln -sfn /usr/include/bearssl $(B)/musl-include/bearssl
	@[ ! -d /usr/include/linux ] || ln -sfn /usr/include/linux $(B)/musl-include/linux
	@[ ! -d /usr/include/asm-generic ] || ln -sfn /usr/include/asm-generic $(B)/musl-include/asm-generic
	@ln -sfn /usr/include/$$($(CC) -print-multiarch)/asm $(B)/musl-include/asm
	@ln -sf $$($(CC) -print-file-name=libz.a) $$($(CC) -print-file-name=libbearssl.a) $(B)/musl-lib/
	@touch $@

$(B)/drover-master: $(MASTER_OBJ)
	$(call say,link) $(CC) $(MASTER_LDFLAGS) -o $@ $^ $(MASTER_LIBS)
$(B)/drover: $(CLI_OBJ)
	$(call say,link) $(CC) $(MASTER_LDFLAGS) -o $@ $(sort $^) $(CLI_LIBS)
$(B)/drover-git-helper: $(HELPER_OBJ)
	$(call say,link) $(CC) $(MASTER_LDFLAGS) -o $@ $^ $(HELPER_LIBS)
$(B)/drover-ssh-helper: $(SSH_OBJ)
	$(call say,link) $(CC) $(MASTER_LDFLAGS) -o $@ $^ $(SSH_LIBS)
ifeq ($(SAN)$(COV),)
$(B)/drover-worker: $(WORKER_OBJ)
	$(call say,link) $(MUSL_CC) $(WORKER_LDFLAGS) -o $@.debug $^ $(WORKER_LIBS)
	@$(STRIP) -o $@ $@.debug
else
SAN_WORKER_OBJ = $(patsubst %.c,$(B)/g/%.o,$(COMMON_SRC) $(PROTO_SRC) $(filter-out worker/fortify_shim.c,$(WORKER_SRC)))
$(B)/g/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(MASTER_CFLAGS) -c $< -o $@
$(B)/drover-worker: $(SAN_WORKER_OBJ)
	$(call say,link) $(CC) $(MASTER_LDFLAGS) -o $@ $^ -lbearssl -lz
endif

# The worker as an ordinary program of any POSIX system: dynamic, with the system's OpenSSL, nothing in it that POSIX 2008 does not know, but for the file of the system at hand. $(B)/posix/plain is without even that.
POSIX_OS ?= $(if $(filter Linux,$(shell uname -s)),linux,posix)
STRICT = $(filter-out -D_GNU_SOURCE,$(COMMON)) -D_XOPEN_SOURCE=700 -DDROVER_POSIX
POSIX_CFLAGS = $(STRICT) $(WARN) $(CFLAGS) $(HARDEN) -ffunction-sections
POSIX_OBJ = $(call obj,p,$(COMMON_SRC) $(PROTO_SRC) worker/tls_openssl.c $(filter-out worker/os_linux%.c worker/tls_bearssl.c worker/fortify_shim.c,$(WORKER_SRC)))
POSIX_LINUX = $(patsubst %.c,$(B)/p/%.o,$(wildcard worker/os_linux*.c))
$(POSIX_LINUX): STRICT = $(COMMON)
$(B)/p/%.o: %.c
	@mkdir -p $(@D)
	$(call say,posix) $(CC) $(POSIX_CFLAGS) -c $< -o $@
$(B)/posix/drover-worker: $(POSIX_OBJ) $(if $(filter linux,$(POSIX_OS)),$(POSIX_LINUX),$(B)/p/worker/os_posix.o)
$(B)/posix/plain/drover-worker: $(POSIX_OBJ) $(B)/p/worker/os_posix.o
$(B)/posix/drover-worker $(B)/posix/plain/drover-worker:
	@mkdir -p $(@D)
	$(call say,link) $(CC) -pie -Wl,-z,relro,-z,now -Wl,--as-needed -Wl,--gc-sections -o $@ $^ -lssl -lcrypto -lz
posix: $(B)/posix/drover-worker $(B)/posix/plain/drover-worker
# The static worker for arm64, from here.
arm64:
	@.ci/cross $(B)/arm64
	@$(MAKE) B=$(B)/arm64 MUSL_CC="aarch64-linux-gnu-gcc -specs=$(B)/arm64/musl.specs" STRIP=aarch64-linux-gnu-strip $(B)/arm64/drover-worker

# The worker for Windows: the portable half, and worker/windows in place of the rest.
WIN_CC = x86_64-w64-mingw32-gcc
WIN_CFLAGS = $(filter-out -D_GNU_SOURCE,$(COMMON)) -D_POSIX_C_SOURCE=200809L -D_WIN32_WINNT=0x0A00 -DWIN32_LEAN_AND_MEAN -D__USE_MINGW_ANSI_STDIO=1 -D_FILE_OFFSET_BITS=64 -DSERVE_FEATURES='"disk,secrets,files,control,report,limits,logs,input"' -DSCAN_FORMAT=gnu_scanf -DSPOOL_FREE_MAX=0 -DCONF_OTHERS=0 -DFILEOP_MODES=0200 -DCONF_PATH='"C:\\windows\\system32;C:\\windows"' -Iworker/windows/posix $(WARN) -Os -g -ffunction-sections
WIN_SRC = $(filter-out common/net.c common/notify.c common/quota.c,$(COMMON_SRC)) $(PROTO_SRC) $(wildcard worker/windows/*.c) $(filter-out $(WIN_LEFT_OUT),$(wildcard worker/*.c))
WIN_LEFT_OUT = $(addprefix worker/,admin.c agent.c child.c fileop_facts.c fileop_start.c fortify_shim.c install.c install_start.c notice.c os_any.c os_linux.c os_linux_cgroup.c os_linux_jail.c os_posix.c remove.c resolve.c setup.c slot.c stdio.c terminal.c tls_bearssl.c tls_openssl.c tree.c uninstall.c upgrade.c wrap.c)
$(B)/win/worker/spec.o: WIN_CFLAGS += -include worker/windows/spec_windows.h
$(B)/win/worker/main.o: WIN_CFLAGS += -Dmain=worker_main -include worker/windows/main_windows.h
$(B)/win/%.o: %.c
	@mkdir -p $(@D)
	$(call say,mingw) $(WIN_CC) $(WIN_CFLAGS) -c $< -o $@
$(B)/windows/drover-worker.exe: $(call obj,win,$(WIN_SRC))
	@mkdir -p $(@D)
	$(call say,link) $(WIN_CC) -static -Wl,--gc-sections,--stack,33554432 -s -o $@ $^ -lz -lwinpthread -lws2_32 -lsecur32 -lcrypt32 -lntdll -ladvapi32
# What its tests run.
$(B)/windows/probe.exe: tests/lib/windows/probe.c
$(B)/windows/unix.exe: tests/lib/windows/unix_main.c
$(B)/windows/probe.exe $(B)/windows/unix.exe:
	@mkdir -p $(@D)
	$(call say,mingw) $(WIN_CC) -std=gnu11 -D__USE_MINGW_ANSI_STDIO=1 $(WARN) -Os -s -o $@ $<
$(B)/windows/schannel_main.exe: $(call obj,win,tests/lib/windows/schannel_main.c common/err.c common/mem.c common/random.c common/str.c worker/sha256.c worker/spki.c $(addprefix worker/windows/,fifo.c folders.c place.c posix.c sockets.c stream.c tls_schannel.c))
	@mkdir -p $(@D)
	$(call say,link) $(WIN_CC) -static -Wl,--gc-sections -s -o $@ $^ -lws2_32 -lsecur32 -lcrypt32 -ladvapi32
windows: $(B)/windows/drover-worker.exe $(B)/windows/probe.exe $(B)/windows/unix.exe $(B)/windows/schannel_main.exe
WINE_THERE = $(and $(shell command -v $(WIN_CC)),$(shell command -v wine),windows)
deps-windows:
	@.ci/deps windows

# ---- where it goes ----
PREFIX ?= /usr/local
PARTS ?= master worker cli
place = @B=$(B) PREFIX=$(PREFIX) DESTDIR=$(DESTDIR) VERSION=$(VERSION) .pkg/install
install: all
	$(place) install $(PARTS)
uninstall:
	$(place) uninstall $(PARTS)
deb: all
	@B=$(B) VERSION=$(VERSION) DEB_REVISION=$(DEB_REVISION) .pkg/deb $(B)/deb
dist:
	@mkdir -p $(B)
	@git archive --format=tar --prefix=drover-$(VERSION)/ HEAD | gzip -9n >$(B)/drover-$(VERSION).tar.gz
	@echo "dist      $(B)/drover-$(VERSION).tar.gz"

# ---- tests ----
# $(B)/san: everything again under the sanitizers, the worker as an ordinary glibc program.
S = $(B)/san
SANITIZE = address,undefined
MAINS = $(B)/m/master/core/main.o $(B)/m/master/cli/main.o $(B)/m/master/changes/githelper_main.o
$(B)/libdrover.a: $(filter-out $(MAINS),$(sort $(MASTER_OBJ) $(CLI_OBJ) $(HELPER_OBJ) $(call obj,m,$(PROTO_SRC))))
	@rm -f $@; ar rcs $@ $^
TEST_LIBS = -lcmocka $(MASTER_LIBS) $(HELPER_LIBS)
UNIT = $(patsubst %.c,$(B)/tests/%,$(notdir $(UNIT_SRC)))
TEST_PROGRAMS = $(B)/tests/api_main $(B)/tests/hook_main $(B)/tests/drover-worker
# The next version of the worker, for upgrades: all objects but one are the same.
NEXT_OBJ = $(if $(SAN)$(COV),$(SAN_WORKER_OBJ),$(WORKER_OBJ))
$(B)/tests/drover-worker: $(NEXT_OBJ)
	@mkdir -p $(@D)
	$(call say,next) $(if $(SAN)$(COV),$(CC) $(MASTER_CFLAGS),$(MUSL_CC) $(WORKER_CFLAGS)) -UDROVER_VERSION -DDROVER_VERSION='"$(VERSION).1"' -MF $@.d -c worker/version.c -o $@.o
	@$(if $(SAN)$(COV),$(CC) $(MASTER_LDFLAGS),$(MUSL_CC) $(WORKER_LDFLAGS) -s) -o $@ $@.o $(filter-out %/worker/version.o,$(NEXT_OBJ)) $(if $(SAN)$(COV),-lbearssl -lz,$(WORKER_LIBS))
vpath test_%.c tests/unit tests/seq
vpath %_main.c tests/lib
$(B)/tests/%: %.c $(B)/libdrover.a
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) -o $@ $< $(B)/libdrover.a $(TEST_LIBS)
# What is pure in the worker. Its objects come first: some of their names are also the master's.
WORKER_PURE = $(call obj,m,worker/conf.c worker/confine.c worker/cut.c worker/proxy.c worker/mask.c worker/mask_forms.c worker/sha256.c worker/spki.c)
$(filter-out $(B)/tests/test_worker_kept $(B)/tests/test_worker_segment,$(filter $(B)/tests/test_worker_%,$(UNIT))): $(B)/tests/%: %.c $(WORKER_PURE) $(B)/libdrover.a
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) -o $@ $< $(WORKER_PURE) $(B)/libdrover.a $(TEST_LIBS)
# The files in which the worker keeps what must outlive it.
WORKER_KEPT = $(call obj,m,$(addprefix worker/,spool.c segment.c small.c ident.c member.c secrets.c secrets_pipe.c os_linux.c os_any.c sha256.c))
$(B)/tests/test_worker_kept $(B)/tests/test_worker_segment: $(B)/tests/%: %.c $(WORKER_KEPT) $(B)/libdrover.a
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) -o $@ $< $(WORKER_KEPT) $(B)/libdrover.a $(TEST_LIBS)
$(B)/tests/test_ssh_request: test_ssh_request.c $(B)/m/master/workers/ssh/request.o $(B)/libdrover.a
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) -o $@ $(filter %.c %.o,$^) $(B)/libdrover.a $(TEST_LIBS)
# The model check of dispatch: the master's code between a clock, a loop, links and workers that are made up, in place of what wrap.txt names.
MODEL_OBJ = $(call obj,m,$(wildcard tests/model/*.c))
MODEL_WRAP = $(patsubst %,-Wl$(comma)--wrap=%,$(shell cat tests/model/wrap.txt))
comma = ,
$(B)/tests/test_dispatch_model: test_dispatch_model.c $(MODEL_OBJ) $(B)/s/sim_map.o $(B)/libdrover.a tests/model/wrap.txt
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) $(MODEL_WRAP) -o $@ $< $(MODEL_OBJ) $(B)/s/sim_map.o $(B)/libdrover.a $(TEST_LIBS)
# The simulation of link, spool and resume: also the worker's code, linked into one object whose calls of the system are the simulation's (sys.txt), with chunks and segments small enough that a seed has many. What its programs
# keep in variables is in sections of its own, since each of their processes has its own copy.
SIM_LEFT_OUT = $(addprefix worker/,main.c child.c prepare.c os_linux_jail.c os_linux_cgroup.c slot.c wrap.c os_linux.c report.c fortify_shim.c remove.c usage.c uninstall.c tls_bearssl.c conf.c) $(wildcard worker/install*.c worker/fileop*.c worker/setup.c)
SIM_WORKER = $(patsubst %.c,$(B)/s/%.o,$(COMMON_SRC) $(PROTO_SRC) $(filter-out $(SIM_LEFT_OUT),$(WORKER_SRC)))
SIM_SMALL = -DCHUNK_RAW_MAX=1024 -DSEGMENT_SIZE=8192 -DCOMMAND_ACK_STEP=4096 -DFOLLOW_END_MS=5000
SIM_OBJ = $(call obj,m,$(wildcard tests/sim/*.c) tests/model/chance.c tests/model/loop.c tests/model/site.c)
sim_area = $(if $(filter worker/agent.c worker/ownlog.c worker/status.c,$(1)),agent,$(if $(filter worker/minder.c,$(1)),minder,$(if $(filter common/log.c common/map.c,$(1)),both)))
sim_filled = ,alloc,load,data,contents
$(B)/s/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(COMMON) $(WARN) -O2 -g -fPIE $(if $(SAN),-fsanitize=$(SAN) --param asan-globals=0 -fno-omit-frame-pointer -Wno-maybe-uninitialized -Wno-format-truncation) $(SIM_SMALL) -c $< -o $@
	@$(if $(call sim_area,$<),objcopy --rename-section .data=sim_$(call sim_area,$<) --rename-section .bss=sim_$(call sim_area,$<)$(sim_filled) $@)
$(B)/s/sim_worker.o: $(SIM_WORKER) tests/sim/sys.txt
	@ld -r -o $@.whole $(SIM_WORKER)
	@tr ' ' '\n' <tests/sim/sys.txt | sed '/./s/.*/& sys_&/' >$@.names
	@objcopy --redefine-syms=$@.names --keep-global-symbol=agent_main --keep-global-symbol=minder_main $@.whole $@
# The master's maps begin where they began in every seed.
$(B)/s/sim_map.o: $(B)/m/common/map.o
	@mkdir -p $(@D)
	@objcopy --rename-section .bss=sim_maps$(sim_filled) $< $@
$(B)/tests/test_link_sim: test_link_sim.c $(SIM_OBJ) $(B)/s/sim_worker.o $(B)/s/sim_map.o $(B)/libdrover.a tests/sim/wrap.txt
	@mkdir -p $(@D)
	$(call say,link) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) $(patsubst %,-Wl$(comma)--wrap=%,$(shell cat tests/sim/wrap.txt)) -o $@ $< $(SIM_OBJ) $(B)/s/sim_worker.o $(B)/s/sim_map.o $(B)/libdrover.a $(TEST_LIBS)
unit: $(UNIT) $(TEST_PROGRAMS)
# What the demo's build runs: the module tests alone, without sanitizers.
units: unit
	@python3 tests/run.py $(B) $(B) tests/unit tests/seq

vpath fuzz_%.c tests/fuzz
FUZZERS = $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SRC))
FUZZ_CODE = $(COMMON_SRC) $(PROTO_SRC) $(CONF_SRC) worker/proxy.c worker/mask.c worker/mask_forms.c $(wildcard master/changes/hooks/*.c) master/changes/gitname.c master/changes/helper/svnxml.c
FUZZ_CFLAGS = $(COMMON) $(WARN) -O1 -g1
FUZZ_OBJ = $(call obj,f,$(FUZZ_CODE))
$(B)/f/%.o: %.c
	@mkdir -p $(@D)
	$(call say,clang) clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,$(SANITIZE) -c $< -o $@
$(B)/libfuzz.a: $(FUZZ_OBJ)
	@rm -f $@; ar rcs $@ $^
$(B)/fuzz/%: %.c $(B)/libfuzz.a
	@mkdir -p $(@D)
	$(call say,fuzz) clang $(FUZZ_CFLAGS) -fsanitize=fuzzer,$(SANITIZE) -MF $@.d -o $@ $(filter %.c %.o,$^) $(B)/libfuzz.a -lz -lyaml -lcjson -lcrypto -lexpat
# What is one fuzzer's alone comes first, also where its seeds are counted: some names of the worker are also the master's.
define fuzz_more
$(B)/fuzz/$(1): $(call obj,f,$(2))
$(B)/replay/$(1): $(call obj,m,$(2))
endef
$(eval $(call fuzz_more,fuzz_spec,$(addprefix worker/,spec.c beneath_path.c secrets.c terminal_size.c)))
$(eval $(call fuzz_more,fuzz_workerconf,$(addprefix worker/,conf.c confine.c proxy.c)))
$(eval $(call fuzz_more,fuzz_cli,$(addprefix master/,cli/http_ssh.c cli/ids.c cli/safe.c cli/ssh.c cli/cli.c cli/fmt.c keep/manifest.c)))
$(eval $(call fuzz_more,fuzz_http,$(addprefix master/,api/accept.c api/path.c api/proxy.c cli/http.c cli/http_ssh.c cli/ids.c)))
$(eval $(call fuzz_more,fuzz_ssh,master/workers/ssh/request.c))
$(eval $(call fuzz_more,fuzz_told,$(addprefix master/,changes/gitresult.c changes/gitwire.c logs/warn.c schedulers/decide.c schedulers/graph.c workers/told.c workers/offer.c) $(wildcard master/steps/*.c)))
$(eval $(call fuzz_more,fuzz_spool,$(addprefix worker/,spool.c segment.c small.c ident.c member.c os_linux.c os_any.c sha256.c)))
fuzzers: $(FUZZERS)

# ---- what of the source the tests run ----
# The module tests, the fuzzers' seeds and the tests that drive the worker; which files must be covered is in tests/coverage.py.
C = $(B)/cov
$(B)/cover.o: tests/lib/cover.c
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(COMMON) $(WARN) -O1 -fPIE -MF $@.d -c $< -o $@
REPLAYS = $(addprefix $(B)/replay/,$(sort $(basename $(notdir $(wildcard tests/fuzz/seeds/*)))))
$(B)/replay/%: %.c tests/lib/replay.c $(B)/libdrover.a
	@mkdir -p $(@D)
	$(call say,replay) $(CC) $(MASTER_CFLAGS) $(MASTER_LDFLAGS) -MF $@.d -o $@ $(filter %.c %.o,$^) $(B)/libdrover.a $(TEST_LIBS)
replays: $(REPLAYS)
coverage:
	@.ci/deps check
	@$(MAKE) B=$(C) COV=1 $(C)/cover.o
	@$(MAKE) -j2 B=$(C) COV=1 all replays $(TEST_PROGRAMS:$(B)/%=$(C)/%) $(patsubst %.c,$(C)/tests/%,$(notdir $(filter-out $(addprefix tests/seq/test_,link_sim.c dispatch_model.c git.c checkouts.c),$(UNIT_SRC))))
	@python3 tests/coverage.py $(C)

check:
	@.ci/deps check
	@$(MAKE) -j2 all $(if $(call asked,tests/flow/test_posix.py),posix) $(if $(call asked,tests/flow/test_windows.py tests/flow/test_windows_tls.py),$(WINE_THERE)) $(B)/tests/drover-worker $(patsubst %.c,$(B)/tests/%,$(notdir $(call asked,tests/seq/test_git.c tests/seq/test_checkouts.c tests/seq/test_dispatch_model.c tests/seq/test_link_sim.c tests/unit/test_private_pg.c)))
	@$(MAKE) -j2 B=$(S) SAN=$(SANITIZE) all $(if $(T),some,unit fuzzers)
	@$(MAKE) $(B)/browser/.made $(B)/schema/.made
	@python3 tests/run.py $(B) $(S) $(T)
# Of these sources those that T names, by any part of their paths; all where it names none.
asked = $(foreach f,$(1),$(if $(T),$(if $(strip $(foreach t,$(T),$(findstring $(t),$(f)))),$(f)),$(f)))
some: $(patsubst %.c,$(B)/tests/%,$(notdir $(call asked,$(UNIT_SRC)))) $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(call asked,$(FUZZ_SRC))) $(TEST_PROGRAMS)
# What the tests of the page and of the schema import, by their lock files; nothing of it comes into the tree.
$(B)/browser/.made $(B)/schema/.made: $(B)/%/.made: tests/%/package.json tests/%/package-lock.json tests/%/.npmrc
	@mkdir -p $(@D)
	@cp $^ $(@D)/
	$(call say,npm) cd $(@D) && npm ci --loglevel=error --no-progress >/dev/null
	@touch $@
# Takes the pictures of docs/screens anew.
screens: all
	@.ci/deps check
	@$(MAKE) $(B)/browser/.made
	@DROVER_BUILD=$(abspath $(B)) node tests/browser/screens.mjs
fuzz:
	@.ci/deps check
	@$(MAKE) -j2 B=$(S) SAN=$(SANITIZE) fuzzers
	@for f in $(FUZZERS:$(B)/%=$(S)/%); do echo "$$f"; n=$$(basename $$f); s=tests/fuzz/seeds/$$n; w=$$s.dict; mkdir -p $(S)/corpus/$$n; [ ! -e $$s.py ] || { s=$(S)/corpus/$$n-seeds; python3 tests/fuzz/seeds/$$n.py $$s; }; $$f -max_total_time=$(or $(SECONDS),300) -rss_limit_mb=1024 $$(ls $$w $$s.dict 2>/dev/null | sed 's/^/-dict=/;q') $(S)/corpus/$$n $$(ls -d $$s 2>/dev/null) || exit 1; done
lint:
	@for f in tests/lint/*.sh; do DROVER_BUILD=$(B) bash $$f || exit 1; done
bench: all
	@python3 tests/bench/bench.py $(B) $(if $(PEERS),--peers $(PEERS))
soak: all posix $(B)/tests/test_dispatch_model $(B)/tests/test_link_sim
	@$(MAKE) -j2 B=$(S) SAN=$(SANITIZE) all unit fuzzers
	@MODEL_SECONDS=$(or $(SECONDS),600) $(B)/tests/test_dispatch_model
	@SIM_SECONDS=$(or $(SECONDS),600) $(B)/tests/test_link_sim && SIM_SEEDS=20000 $(S)/tests/test_link_sim
	@$(MAKE) $(B)/browser/.made $(B)/schema/.made
	@DROVER_SOAK=1 DROVER_SANITIZE_ALL=1 python3 tests/run.py $(B) $(S) tests/flow tests/browser
	@DROVER_BUILD=$(B) DROVER_KILLS=100 python3 tests/fault/test_graph_kill.py
	@DROVER_BUILD=$(B) DROVER_SOAK=1 DROVER_KILLS=20 python3 tests/fault/test_kill.py && DROVER_BUILD=$(B) DROVER_SOAK=1 python3 tests/fault/test_bar.py && DROVER_BUILD=$(B) DROVER_CUT_STEP=1 python3 tests/fault/test_cut.py && DROVER_BUILD=$(B) DROVER_KILLS=100 python3 tests/fault/test_two_masters.py && DROVER_BUILD=$(B) python3 tests/fault/soak.py
# The packages on two hosts with systemd (needs root), the later version too: build/hosts.txt is what was typed and answered.
hosts: all
	@.ci/deps check
	@$(MAKE) -j2 B=$(B)/next VERSION=$(VERSION).1 all
	@DROVER_BUILD=$(B) DROVER_NEXT=$(B)/next DROVER_WALK=1 DROVER_TRANSCRIPT=$(B)/hosts.txt python3 tests/flow/test_hosts.py -v
deps:
	@.ci/deps build
demo:
	@.ci/deps build
	@B=$(B) REPO='$(REPO)' BRANCH='$(BRANCH)' PIPELINE='$(PIPELINE)' tests/demo/demo
help:
	@sed -n 's/^# usage: //p' Makefile; echo 'make [all] deps demo check coverage clean bench fuzz lint soak hosts screens posix arm64 deps-windows windows    install uninstall (PREFIX=/usr/local DESTDIR= PARTS="master worker cli") deb (DEB_REVISION=) dist    V=1 shows commands; T=word runs only the suites whose name has it'

clean:
	rm -rf $(B)

$(B)/m/master/db/migrate.o: $(wildcard master/db/schema_*.sql)
$(B)/w/worker/setup.o $(B)/g/worker/setup.o: .pkg/units/drover-worker.service

-include $(shell find $(B) -name '*.d' 2>/dev/null)
