# drover: one flat Makefile. `make help` lists the targets.
VERSION = 0.1
B ?= build
CC = gcc
MUSL_CC ?= musl-gcc
SAN ?=
WARN = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
COMMON = -std=c11 -D_GNU_SOURCE -DDROVER_VERSION='"$(VERSION)"' -I. -I$(B) -MMD -MP
HARDEN = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
CFLAGS ?= -O2 -g
MASTER_CFLAGS = $(COMMON) $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer,$(HARDEN))
MASTER_LDFLAGS = $(if $(SAN),-fsanitize=$(SAN),-pie -Wl,-z,relro,-z,now) -Wl,--as-needed
WORKER_CFLAGS = $(COMMON) $(WARN) -Os -g -ffunction-sections -fdata-sections -I$(B)/musl-include
WORKER_LDFLAGS = -static -Wl,--gc-sections

# Sources, by the stops on the data's way (docs/tour.md).
COMMON_SRC = $(wildcard common/*.c)
PROTO_SRC = $(wildcard proto/*.c)
WORKER_SRC = $(wildcard worker/*.c)
MASTER_SRC = $(filter-out master/changes/githelper_main.c,$(foreach d,core db changes schedulers dispatch workers steps logs events api,$(wildcard master/$(d)/*.c)))
CONF_SRC = master/core/yaml.c master/core/schema.c master/core/pipeline.c master/core/diag.c
CLI_SRC = $(wildcard master/cli/*.c)
HELPER_SRC = master/changes/githelper_main.c $(wildcard master/changes/helper/*.c) master/changes/gitname.c master/changes/gitwire.c
UNIT_SRC = $(wildcard tests/unit/test_*.c tests/seq/test_*.c)
FUZZ_SRC = $(wildcard tests/fuzz/fuzz_*.c)

MASTER_LIBS = -luv -lpq -lcjson -lyaml -lmicrohttpd -lssl -lcrypto -lz
CLI_LIBS = -lcjson -lyaml -lz
HELPER_LIBS = -lgit2 -lz
WORKER_LIBS = $(B)/musl-lib/libbearssl.a $(B)/musl-lib/libz.a

# V=1 shows the commands.
say = $(if $(V),,@echo '$(1)	$@';)
obj = $(patsubst %.c,$(B)/$(1)/%.o,$(2))
MASTER_OBJ = $(call obj,m,$(COMMON_SRC) $(PROTO_SRC) $(MASTER_SRC))
CLI_OBJ = $(call obj,m,$(COMMON_SRC) $(PROTO_SRC) $(CONF_SRC) $(CLI_SRC))
HELPER_OBJ = $(call obj,m,$(COMMON_SRC) $(PROTO_SRC) $(HELPER_SRC))
WORKER_OBJ = $(call obj,w,$(COMMON_SRC) $(PROTO_SRC) $(WORKER_SRC))
PROGRAMS = $(B)/drover-master $(B)/drover-worker $(B)/drover $(B)/drover-git-helper

.PHONY: all deps demo check clean bench fuzz lint soak help unit FORCE
all: $(PROGRAMS)

$(B)/m/%.o: %.c
	@mkdir -p $(@D)
	$(call say,cc) $(CC) $(MASTER_CFLAGS) -c $< -o $@
$(B)/w/%.o: %.c | $(B)/musl-include/zlib.h
	@mkdir -p $(@D)
	$(call say,musl) $(MUSL_CC) $(WORKER_CFLAGS) -c $< -o $@

# musl-gcc doesn't see /usr/include: links to just the headers and archives the worker needs.
$(B)/musl-include/zlib.h:
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
$(B)/drover-worker: $(WORKER_OBJ)
	$(call say,link) $(MUSL_CC) $(WORKER_LDFLAGS) -o $@.debug $^ $(WORKER_LIBS)
	@strip -o $@ $@.debug

clean:
	rm -rf $(B)

$(B)/m/master/db/migrate.o: $(wildcard master/db/schema_*.sql)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
