# booth: see README.md. `make` builds, `make test` runs every test, `make help` lists the rest.
#	V=1 shows commands; CC=clang picks the compiler; SANITIZE=1 builds with the address and
#	undefined-behaviour sanitizers (into a folder of its own).

CC ?= gcc
ifeq ($(origin CC),default)
CC = gcc
endif
B := build/$(notdir $(CC))$(if $(SANITIZE),-sanitize)
Q = $(if $(V),,@)

CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Werror -Wno-missing-field-initializers -Wstrict-prototypes -Wmissing-prototypes -Wvla
STD = -std=c11 -D_GNU_SOURCE -I. -fno-math-errno -fopenmp $(WARN)
SAN_FLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN = $(if $(SANITIZE),$(SAN_FLAGS))
ALL = $(STD) $(CFLAGS) $(SAN)
LIBS = -llmdb -lzstd -ljansson -lpng -ljpeg -lwebp -lwebpdemux -llcms2 -lutf8proc -lm -lpthread

# Kernels are built once for each instruction set and picked when the backend is opened.
ISA_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mavx2
ISA_avx2   = -mavx2 -mfma
ISA_plain  =
KERNEL_FLAGS = -O3 -ffp-contract=fast -fno-trapping-math
ISAS = avx512 avx2 plain

LIB_SRC = $(wildcard common/*/*.c kernels/ir/*.c kernels/model/*.c kernels/run/*.c kernels/cpu/*.c stages/shared/*.c stages/train/*.c)
SIMD_SRC = $(wildcard kernels/cpu/simd/*.c)
STAGE_SRC = $(wildcard stages/*.c)
BOOTH_SRC = $(wildcard stages/booth/*.c)
UNIT_SRC = $(wildcard tests/unit/*.c)
GOLDEN_SRC = $(wildcard tests/golden/*.c)
TOOL_SRC = $(wildcard tests/tools/*.c examples/*.c)

LIB_OBJ = $(LIB_SRC:%.c=$(B)/%.o) $(foreach i,$(ISAS),$(SIMD_SRC:%.c=$(B)/%-$(i).o))
STAGES = $(STAGE_SRC:stages/%.c=$(B)/bin/booth-%)
BOOTH = $(if $(BOOTH_SRC),$(B)/bin/booth)
UNITS = $(UNIT_SRC:tests/unit/%.c=$(B)/test/%)
GOLDEN_BIN = $(if $(GOLDEN_SRC),$(B)/test/golden)
TOOLS = $(foreach t,$(TOOL_SRC),$(B)/tools/$(basename $(notdir $(t))))

# What tests/torture needs: programs, and libraries for LD_PRELOAD (preload-*.c).
TORTURE_SRC = $(wildcard tests/torture/*.c)
TORTURE = $(patsubst tests/torture/%.c,$(B)/torture/%,$(filter-out tests/torture/preload-%,$(TORTURE_SRC))) \
	$(patsubst tests/torture/%.c,$(B)/torture/%.so,$(filter tests/torture/preload-%,$(TORTURE_SRC)))

.PHONY: all test unit check clean help golden bench full-size interop demo base photos torture
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

all: $(STAGES) $(BOOTH) $(TOOLS) build/bin

# build/bin is where README and recipes look; it points to the last build.
build/bin: FORCE
	@mkdir -p build && ln -sfn $(B:build/%=%)/bin build/bin
FORCE:

$(B)/libbooth.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -MMD -MP -c -o $@ $<

define simd_rule
$(B)/%-$(1).o: %.c
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(ALL) $(KERNEL_FLAGS) $(ISA_$(1)) -DISA=$(1) -DISA_$(1) -MMD -MP -c -o $$@ $$<
endef
$(foreach i,$(ISAS),$(eval $(call simd_rule,$(i))))

$(B)/bin/booth: $(BOOTH_SRC:%.c=$(B)/%.o) $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/bin/booth-%: $(B)/stages/%.o $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/test/golden: $(GOLDEN_SRC:%.c=$(B)/%.o) $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/test/%: $(B)/tests/unit/%.o $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/tools/%: $(B)/tests/tools/%.o $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/tools/%: $(B)/examples/%.o $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/torture/%.so: tests/torture/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) -shared -fPIC -o $@ $<

$(B)/torture/%: $(B)/tests/torture/%.o $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

test: all $(UNITS) $(GOLDEN_BIN) $(TORTURE)
	$(Q)B=$(B) sh tests/run

unit: $(UNITS)
	$(Q)B=$(B) sh tests/run unit

golden: $(GOLDEN_BIN)
	$(Q)$(B)/test/golden $(or $(GOLDEN),../shared/golden)

check: $(STAGES)
	$(Q)B=$(B) CC=$(CC) sh tools/check

# BENCH="unet lora prep startup recipe dataflow" picks parts; ROUNDS=3
bench: all
	$(Q)B=$(B) sh tests/bench/run $(BENCH)

# Faults, at length: LETTER="b c" picks parts, ROUNDS=n
torture: all $(TORTURE)
	$(Q)B=$(B) LETTER="$(LETTER)" ROUNDS=$(ROUNDS) sh tests/torture/run

# The LoRA recipe from photographs to pictures with a full-size Stable Diffusion 1.5 of random weights.
full-size: all
	$(Q)B=$(B) sh tests/bench/run recipe

# INTEROP=REGEX: only checks whose names match it
interop: all
	$(Q)B=$(B) sh tests/interop/run "$(INTEROP)"

# The recipes on every subject of ../shared/photos, with the example base model: held-out losses and sheets.
photos: all
	$(Q)BIN=$(B)/bin ALL=1 sh tests/shell/photos.sh

# Teach the example base model a subject; ends with the path of a picture.
demo: all
	$(Q)$(B)/bin/booth run recipes/demo.booth

# Make the example base model again, from nothing (an hour on two cores).
base: all
	$(Q)[ -d build/scenes ] || $(B)/tools/scenes --out build/scenes --count 6000 --seed 1
	$(Q)$(B)/bin/booth run recipes/base-tiny.booth

.PHONY: man install uninstall

# Manual pages, from the programs' own options (build/gcc/man).
man: $(STAGES) $(BOOTH)
	$(Q)sh tools/man $(B)/bin $(B)/man

PREFIX ?= /usr/local
install: $(STAGES) $(BOOTH)
	$(Q)B="$(B)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" sh tools/install install

uninstall:
	$(Q)B="$(B)" PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" sh tools/install uninstall

clean:
	rm -rf build

help:
	@echo "make            build everything into $(B)"
	@echo "make demo       teach the example base model a subject (minutes); make base remakes that model (an hour)"
	@echo "make test       every test      make unit      unit tests only"
	@echo "make golden     recorded numbers (GOLDEN=FOLDER)"
	@echo "make torture    faults at length: kills, full disks, damage (LETTER=a..h, ROUNDS=n)"
	@echo "make check      floors, format, duplicates, companions of ops"
	@echo "make bench      speed and memory, against PyTorch where it is (BENCH=PART, ROUNDS=3)"
	@echo "make photos     the recipes on every subject of ../shared/photos (minutes)"
	@echo "make full-size  the LoRA recipe with a model as large as Stable Diffusion 1.5, from nothing to a picture"
	@echo "make interop    files read and written by diffusers and peft (makes .venv)"
	@echo "make install    into PREFIX (/usr/local); make uninstall takes it away; make man writes the manual pages"
	@echo "make clean      remove build/"

-include $(shell find build -name '*.d' 2>/dev/null)
.SECONDARY:
