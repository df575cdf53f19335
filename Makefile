# booth: see README.md. `make` builds, `make test` runs every test, `make help` lists the rest.
#	V=1 shows commands; CC=clang picks the compiler; SANITIZE=1 builds with the address and
#	undefined-behaviour sanitizers, SANITIZE=thread with the thread sanitizer (into folders of
#	their own; `make SANITIZE=thread unit` then runs what has threads or processes of ours).

CC ?= gcc
ifeq ($(origin CC),default)
CC = gcc
endif
B := build/$(notdir $(CC))$(if $(SANITIZE),-$(patsubst 1,sanitize,$(SANITIZE)))
Q = $(if $(V),,@)

CFLAGS ?= -O2 -g
WARN = -Wall -Wextra -Werror -Wno-missing-field-initializers -Wstrict-prototypes -Wmissing-prototypes -Wvla
STD = -std=c11 -D_GNU_SOURCE -I. -fno-math-errno -fopenmp $(WARN)
# Loops with checks in them are not vectorized, of which clang would complain.
SAN_1 = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wno-pass-failed
SAN_thread = -fsanitize=thread -fno-omit-frame-pointer
SAN_fuzzer = -fsanitize=fuzzer-no-link $(if $(FAST),-fno-sanitize-coverage=trace-cmp) -DFUZZING $(SAN_1)
SAN = $(SAN_$(SANITIZE))
ALL = $(STD) $(CFLAGS) $(SAN)
LIBS = -llmdb -lzstd -ljansson -lpng -ljpeg -lwebp -lwebpdemux -llcms2 -lutf8proc -lm -lpthread -ldl

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
# No parser is in the backend, which takes minutes to build with every sanitizer.
ifeq ($(SANITIZE),fuzzer)
LIB_SRC := $(filter-out kernels/cpu/%,$(LIB_SRC))
SIMD_SRC =
endif
UNIT_SRC = $(wildcard tests/unit/*.c)
# The thread sanitizer does not see into libgomp, so that every kernel would seem a race: only the
# store, stages and runner are built and run with it.
ifeq ($(SANITIZE),thread)
UNIT_SRC := $(foreach t,base store stage recipe,tests/unit/$(t).c)
endif
GOLDEN_SRC = $(wildcard tests/golden/*.c)
TOOL_SRC = $(wildcard tests/tools/*.c examples/*.c)
FUZZ_SRC = $(wildcard tests/fuzz/*.c)

# The CUDA backend's own kernels, compiled by the host's compiler: for tests/unit/cuda.c, and as the shared object
# that BOOTH_LIB_PATH=$(B)/lib-host makes executables take for a GPU.
CUDA_KERNELS = $(wildcard kernels/cuda/*.cu)
CUDA_HOST_C = $(filter-out $(addprefix kernels/cuda/,blas.c library.c dnn_none.c),$(wildcard kernels/cuda/*.c)) \
	$(wildcard kernels/cuda/host/*.c)
CUDA_HOST_OBJ = $(CUDA_KERNELS:%.cu=$(B)/%-host.o) $(CUDA_HOST_C:%.c=$(B)/%-host.o)
CUDA_BASE_C = $(addprefix common/base/,err.c mem.c dtype.c buf.c file.c file_new.c oid.c) kernels/ir/graph.c
HOST_FLAGS = -fPIC -fvisibility=hidden -ftls-model=initial-exec -Ikernels/cuda/host \
	-DSLOT_BYTES=262144ul -DBLAS_WORKSPACE=4096ul
HOST_CUDA = $(B)/lib-host/booth-cuda.so

# make cuda: the CUDA backend, a shared object that executables load when a GPU is asked for. It brings its own
# copies of what it needs of common and kernels/ir.
CUDA_HOME ?= $(firstword $(patsubst %/bin/nvcc,%,$(filter %/bin/nvcc,$(shell command -v nvcc 2>/dev/null))) $(wildcard /usr/local/cuda))
NVCC = $(wildcard $(CUDA_HOME)/bin/nvcc)
CUDA_ARCHS = 75 80 86 89 90a
CUDA_PTX = 90
CUDA_CODE = $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
	$(foreach a,$(CUDA_PTX),-gencode arch=compute_$(a),code=compute_$(a))
# cuDNN is looked for when a GPU is opened; only its headers are wanted here, and CUDA's.
CUDNN_INCLUDE = $(if $(wildcard $(CUDA_HOME)/include/cuda_runtime_api.h),$(firstword $(patsubst %/cudnn.h,%,$(wildcard \
	$(CUDA_HOME)/include/cudnn.h /usr/local/include/cudnn.h /usr/include/cudnn.h /usr/include/*-linux-gnu/cudnn.h))))
BLAS_C = $(if $(wildcard $(CUDA_HOME)/include/cublasLt.h),kernels/cuda/blas.c)
CUDNN_C = $(if $(CUDNN_INCLUDE),$(wildcard kernels/cuda/dnn/*.c),kernels/cuda/dnn_none.c)
NVCC_FLAGS = -std=c++17 -O3 -I. $(CUDA_CODE) -Werror all-warnings \
	-Xcompiler -fPIC,-fvisibility=hidden,-fno-threadsafe-statics,-fno-exceptions,-Wall,-Wextra,-Wno-missing-field-initializers
CUDA_C = $(filter-out %/dnn_none.c,$(wildcard kernels/cuda/*.c)) $(CUDNN_C) $(CUDA_BASE_C)
# What nvcc wraps kernels in needs nothing of the C++ library, so that gcc can link.
CUDA_OBJ = $(CUDA_KERNELS:%.cu=$(B)/%-device.o) $(CUDA_C:%.c=$(B)/%-pic.o)

LIB_OBJ = $(LIB_SRC:%.c=$(B)/%.o) $(foreach i,$(ISAS),$(SIMD_SRC:%.c=$(B)/%-$(i).o))
STAGES = $(STAGE_SRC:stages/%.c=$(B)/bin/booth-%)
BOOTH = $(if $(BOOTH_SRC),$(B)/bin/booth)
UNITS = $(UNIT_SRC:tests/unit/%.c=$(B)/test/%)
GOLDEN_BIN = $(if $(GOLDEN_SRC),$(B)/test/golden)
FUZZ = $(FUZZ_SRC:tests/fuzz/%.c=%)
# In a target the functions of tests/fuzz/shared/memory.c take the place of these.
FUZZ_WRAP = file_read map_open map_close is_file is_folder folder_list warn \
	env_open env_close env_get env_hold env_drop env_visit env_write \
	lora_names_init lora_names_release cmsCreate_sRGBProfileTHR cmsCloseProfile icc_to_srgb
FUZZ_LINK = $(FUZZ_WRAP:%=-Wl,--wrap=%)
# what the targets need beside libbooth.a
FUZZ_OBJ = $(patsubst %.c,$(B)/%.o,$(filter-out %/booth.c,$(BOOTH_SRC)))
TOOLS = $(foreach t,$(TOOL_SRC),$(B)/tools/$(basename $(notdir $(t))))

# What tests/torture needs: programs, and libraries for LD_PRELOAD (preload-*.c).
TORTURE_SRC = $(wildcard tests/torture/*.c)
TORTURE = $(patsubst tests/torture/%.c,$(B)/torture/%,$(filter-out tests/torture/preload-%,$(TORTURE_SRC))) \
	$(patsubst tests/torture/%.c,$(B)/torture/%.so,$(filter tests/torture/preload-%,$(TORTURE_SRC)))

.PHONY: all programs test unit check clean help golden bench full-size interop demo base photos torture fuzz fuzz-build cuda \
	gpu-check gpu-pack gpu-programs
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# Where nvcc is, make builds the backend for GPUs, too (minutes); CUDA=0 leaves it out. What computes on the CPU, as tests
# and the demonstration do, does not wait for it.
CUDA ?= $(if $(NVCC),$(if $(SANITIZE),0,1),0)
all: programs $(if $(filter 0,$(CUDA)),,cuda)
programs: $(STAGES) $(BOOTH) $(TOOLS) build/bin

# build/bin is where README and recipes look; it points to the last build.
build/bin: FORCE
	@mkdir -p build && ln -sfn $(B:build/%=%)/bin build/bin
FORCE:

$(B)/libbooth.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -MMD -MP -c -o $@ $<

$(B)/kernels/cuda/dnn/%.o: ALL += -isystem $(CUDA_HOME)/include -isystem $(CUDNN_INCLUDE)
$(B)/kernels/cuda/blas.o: ALL += -isystem $(CUDA_HOME)/include

$(B)/%-host.o: %.cu
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) $(HOST_FLAGS) -MMD -MP -c -o $@ -x c $<

$(B)/%-host.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) $(HOST_FLAGS) -MMD -MP -c -o $@ $<

$(HOST_CUDA): $(CUDA_HOST_OBJ) $(CUDA_BASE_C:%.c=$(B)/%-host.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -shared -o $@ $^ -lm -lpthread -ldl

$(B)/libcudahost.a: $(CUDA_HOST_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%-device.o: %.cu
	@mkdir -p $(@D)
	$(Q)$(NVCC) $(NVCC_FLAGS) -MMD -MP -c -o $@ $<

$(B)/%-pic.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) -isystem $(CUDA_HOME)/include $(CUDNN_INCLUDE:%=-isystem %) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$(B)/lib/booth-cuda.so: $(CUDA_OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,--no-undefined -Wl,--exclude-libs,ALL -o $@ $^ -L$(CUDA_HOME)/lib64 -lcudart_static \
		-lpthread -ldl -lrt -lm

cuda: $(if $(filter 0,$(CUDA)),,$(if $(NVCC),$(B)/lib/booth-cuda.so))
	$(if $(filter 0,$(CUDA)),@echo "CUDA=0: left out",$(if $(NVCC),,@echo "no nvcc: install the CUDA toolkit, or name its folder in CUDA_HOME"; false))

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

$(addprefix $(B)/test/,cuda cuda_step tape): $(B)/test/%: $(B)/tests/unit/%.o $(B)/libcudahost.a $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/test/device $(B)/test/device_ops $(B)/test/golden: | $(HOST_CUDA)

# With a driver that only hands out kernels, so that plans can be made for GPUs that are not there.
$(addprefix $(B)/test/,dnn plans): $(B)/test/%: $(B)/tests/unit/%.o $(patsubst %.c,$(B)/%.o,$(CUDNN_C) $(BLAS_C) kernels/cuda/library.c) \
		$(B)/libcudahost.a $(B)/libbooth.a | $(B)/test/libcuda.so.1
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -o $@ $^ $(LIBS)

$(B)/test/libcuda.so.1: tests/driver/libcuda.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(STD) $(CFLAGS) -shared -fPIC -Wl,-soname,libcuda.so.1 -o $@ $<

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

# The seeds of every target, handed to it without a fuzzer.
$(B)/test/fuzz: $(B)/tests/fuzz/shared/replay.o $(B)/tests/fuzz/shared/memory.o $(FUZZ_SRC:%.c=$(B)/%.o) \
		$(B)/libfuzz.a $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -rdynamic $(FUZZ_LINK) -o $@ $^ $(LIBS) -ldl

$(B)/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/fuzz/shared/memory.o $(B)/libfuzz.a $(B)/libbooth.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL) -fsanitize=fuzzer $(FUZZ_LINK) -Wl,--defsym=LLVMFuzzerTestOneInput=fuzz_$* -o $@ $^ $(LIBS)

$(B)/libfuzz.a: $(FUZZ_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

test: programs $(TORTURE) $(UNITS) $(HOST_CUDA) $(GOLDEN_BIN) $(B)/test/fuzz
	$(Q)B=$(B) SANITIZE=$(SANITIZE) sh tests/run

ifeq ($(SANITIZE),thread)
unit: $(UNITS) $(BOOTH) $(foreach s,prep caption bucket,$(B)/bin/booth-$(s)) $(B)/tools/toy-stage
	$(Q)B=$(B) SANITIZE=$(SANITIZE) sh tests/run thread
else
unit: $(UNITS) $(HOST_CUDA) $(B)/test/fuzz
	$(Q)B=$(B) SANITIZE=$(SANITIZE) sh tests/run unit
endif

golden: $(GOLDEN_BIN)
	$(Q)$(B)/test/golden $(or $(GOLDEN),../shared/golden)

# Every parser of foreign bytes, SECONDS each (60), or TARGET=name; goes on where it ended, in build/fuzz. FAST=1 does
# not look at what is compared with what: a quarter faster where earlier runs found the words that count.
fuzz:
	$(Q)sh tests/fuzz/run probe
	$(Q)$(MAKE) --no-print-directory CC=clang SANITIZE=fuzzer B=build/clang-fuzzer$(FAST) fuzz-build \
		FUZZ="$(or $(TARGET),$(FUZZ))"
	$(Q)B=build/clang-fuzzer$(FAST) sh tests/fuzz/run $(or $(SECONDS),60) $(or $(TARGET),$(FUZZ))

fuzz-build: $(FUZZ:%=$(B)/fuzz/%)

check: $(STAGES)
	$(Q)B=$(B) CC=$(CC) sh tools/check

# BENCH="unet lora prep startup memory recipe dataflow" picks parts; ROUNDS=3
bench: programs
	$(Q)B=$(B) sh tests/bench/run $(BENCH)

# What has to hold on a GPU, and speed there (GPU=PIECES, GPU=host); gpu-pack makes what runs where libraries are missing.
gpu-check:
	$(Q)GPU="$(GPU)" sh tests/gpu/check

GPU_PROGRAMS = $(B)/test/golden $(B)/test/device_ops $(B)/tools/bench_step $(B)/tools/make_model $(B)/tools/scenes
gpu-programs: $(STAGES) $(BOOTH) $(GPU_PROGRAMS) $(HOST_CUDA)

gpu-pack: gpu-programs cuda
	$(Q)B=$(B) CC="$(CC)" sh tests/gpu/pack

# Faults, at length: LETTER="b c" picks parts, ROUNDS=n
torture: programs $(TORTURE)
	$(Q)B=$(B) LETTER="$(LETTER)" ROUNDS=$(ROUNDS) sh tests/torture/run

# The LoRA recipe from photographs to pictures with a full-size Stable Diffusion 1.5 of random weights.
full-size: programs
	$(Q)B=$(B) sh tests/bench/run recipe

# INTEROP=REGEX: only checks whose names match it
interop: programs
	$(Q)B=$(B) sh tests/interop/run "$(INTEROP)"

# The recipes on every subject of ../shared/photos, with the example base model: held-out losses and sheets.
photos: programs
	$(Q)BIN=$(B)/bin ALL=1 sh tests/shell/photos.sh

# Teach the example base model a subject; ends with the path of a picture.
demo: programs
	$(Q)$(B)/bin/booth run recipes/demo.booth

# Make the example base model again, from nothing (less than two hours on two cores; the same instruction set makes
# the committed bytes).
base: programs
	$(Q)[ -d build/scenes ] || $(B)/tools/scenes --out build/scenes --count 6000 --seed 1
	$(Q)$(B)/bin/booth run recipes/base-tiny.booth
	$(Q)sha256sum --check --quiet examples/base.sha256 && echo "examples/base: the committed bytes"

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
	@echo "make            build everything into $(B), for NVIDIA GPUs too where nvcc is (minutes; CUDA=0 leaves that out)"
	@echo "make programs   what computes on the CPU      make cuda   the backend for GPUs"
	@echo "make demo       teach the example base model a subject (minutes); make base remakes that model (hours)"
	@echo "make test       every test      make unit      unit tests only"
	@echo "make golden     recorded numbers (GOLDEN=FOLDER)"
	@echo "make torture    faults at length: kills, full disks, damage (25 minutes; LETTER=a..h, ROUNDS=n)"
	@echo "make check      floors, format, duplicates, companions of ops"
	@echo "make fuzz       every parser against made-up bytes (clang; SECONDS=60, TARGET=name)"
	@echo "make bench      speed and memory, against PyTorch where it is (BENCH=PART, ROUNDS=3)"
	@echo "make gpu-check  what has to hold on an NVIDIA GPU, and its speed (make gpu-pack: for a machine without the libraries)"
	@echo "make photos     the recipes on every subject of ../shared/photos (minutes)"
	@echo "make full-size  the LoRA recipe with a model as large as Stable Diffusion 1.5, from nothing to a picture"
	@echo "make interop    files read and written by diffusers and peft (makes .venv)"
	@echo "make install    into PREFIX (/usr/local); make uninstall takes it away; make man writes the manual pages"
	@echo "make clean      remove build/"

-include $(shell find build -name '*.d' 2>/dev/null)
.SECONDARY:
