# `make help` prints the targets. Each sets up what it needs.

SWIFT ?= swift
PYTHON ?= python3
# The release. docs/releasing.md lists the files that must say the same. Its first number is the binary interface's.
VERSION := 2.0.0
ABI := $(firstword $(subst ., ,$(VERSION)))

LIB := build/lib/libfne.so.$(VERSION)
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python

# The Swift runtime goes into the library: static, and without the modules that would bring threads of their own. Only
# what include/fne.h declares is exported: lld leaves the rest out of the symbol table, where gold keeps some of it. The
# library stays loaded once it is, because TensorFlow and the runtime keep state. Where the library calls a function of
# WRAPPED, it calls that of CMemory, which has a reserve.
WRAPPED := malloc calloc realloc free malloc_usable_size posix_memalign _Znwm _ZnwmSt11align_val_t _ZdlPvm \
	_ZdlPvmSt11align_val_t
LIBRARY_FLAGS := \
	-Xswiftc -static-stdlib \
	-Xswiftc -use-ld=lld \
	-Xswiftc -Xfrontend -Xswiftc -disable-implicit-concurrency-module-import \
	-Xswiftc -Xfrontend -Xswiftc -disable-implicit-string-processing-module-import \
	-Xlinker --version-script=$(CURDIR)/Sources/FNE/exports.map \
	-Xlinker -soname=libfne.so.$(ABI) \
	-Xlinker -z -Xlinker nodelete \
	-Xlinker --defsym=hypotf=ck_hypotf \
	$(foreach name,$(WRAPPED),-Xlinker --wrap=$(name)) \
	-Xlinker --gc-sections \
	-Xlinker -s \
	--disable-local-rpath

.PHONY: all build help venv extras demo packages format lint test test-swift test-python ranges aarch64 fuzz-corpus \
	fuzz fuzz-coverage fuzz-planted sweep faults cluster-faults decode-costs sanitize sanitize-address sanitize-thread \
	sanitize-valgrind bench bench-peers reproduce install uninstall deb wheel sdist docs api site abi clean

all: build

# Prints the lines "# ---- SECTION" and "TARGET: NEEDS ## TEXT" of this file.
help: ## prints this list
	@awk 'BEGIN { FS = ":.*## " } /^# ---- / { print "\n" substr($$0, 8) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- build and try

packages:
	@SWIFT="$(SWIFT)" scripts/system-packages

# SwiftPM knows what is out of date.
build: packages ## the library: build/lib/libfne.so, build/include (also without a target)
	$(SWIFT) build -c release --product fne --scratch-path .build/library $(LIBRARY_FLAGS)
	@mkdir -p build/lib build/include
	@cmp -s .build/library/release/libfne.so $(LIB) || install -m 755 .build/library/release/libfne.so $(LIB)
	@ln -sf libfne.so.$(VERSION) build/lib/libfne.so.$(ABI)
	@ln -sf libfne.so.$(ABI) build/lib/libfne.so
	@cp include/fne.h bindings/cpp/fne.hpp build/include

venv: build $(VENV)/installed ## .venv, in which `import fne` works with that library

$(VENV)/installed: requirements.txt bindings/python/pyproject.toml
	test -x $(VENV_PYTHON) || $(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check -r requirements.txt
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e bindings/python
	@touch $@

extras: venv $(VENV)/extras ## adds what optional parts need, such as Ray and Spark, so that their tests run

$(VENV)/extras: requirements-extras.txt scripts/system-packages
	@SWIFT="$(SWIFT)" scripts/system-packages java languages
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check -r requirements-extras.txt
	@# It asks for the package tensorflow, whose files are those of tensorflow-cpu.
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps tf_keras==2.21.0
	@# It asks for packages that download weights, which no test does.
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps timm==1.0.31
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps --upgrade --target .build/original fne==1.1.1
	@touch $@

demo: venv ## embeds sample photographs; IMAGES=folder for your own
	$(VENV_PYTHON) examples/demo.py $(if $(IMAGES),--images "$(IMAGES)")

clean: ## removes all that was built
	rm -rf .build build $(VENV)

# ---- format and lint

LINT := .build/lint

$(LINT)/installed: requirements-lint.txt | packages
	test -x $(LINT)/bin/python || $(PYTHON) -m venv $(LINT)
	$(LINT)/bin/python -m pip install -q --disable-pip-version-check -r requirements-lint.txt
	@touch $@

format: $(LINT)/installed ## formats all Swift, C, C++ and Python files
	@SWIFT="$(SWIFT)" scripts/lint $(LINT)/bin format

lint: $(LINT)/installed ## says what is not formatted, and what the linters find
	@SWIFT="$(SWIFT)" scripts/lint $(LINT)/bin

# ---- test

test: test-swift test-python ## every test; names the optional parts that are not installed

test-swift: venv ## the Swift tests; those of ONNX Runtime use the library in .venv
	$(SWIFT) test --scratch-path .build/tests

TORCH_TESTS := $(addprefix Tests/python/,test_fne_torch.py test_torch.py test_torch_clusters.py test_torch_zoo.py)

# PyTorch and TensorFlow in one process abort unless PyTorch comes first, as both carry LLVM. So PyTorch's tests are a
# process of their own. Status 5: they were left out.
test-python: venv ## the Python tests; they run the C, C++ and other programs too
	@SWIFT="$(SWIFT)" scripts/system-packages cmake abidiff dpkg-dev libwebp
	$(VENV_PYTHON) -m pytest Tests/python $(addprefix --ignore=,$(TORCH_TESTS))
	$(VENV_PYTHON) -m pytest $(TORCH_TESTS) || test $$? = 5

# The main job with the oldest supported NumPy, TensorFlow and ONNX Runtime and with the newest, on each Python of
# PYTHONS.
ranges: venv ## the main job on the oldest and newest libraries; PYTHONS="python3.10 python3.13"
	PYTHONS="$(PYTHONS)" Tests/ranges/run

# Installs a cross compiler and qemu; libjpeg and libpng for arm64 are unpacked into .build/aarch64.
aarch64: packages ## kernels and codecs for aarch64, run under qemu and compared byte by byte
	SWIFT="$(SWIFT)" Tests/aarch64/run

# ---- test with hostile input

SECONDS ?= 60
SEED ?= 1
FUZZ := .build/fuzz
CORPUS := $(CURDIR)/$(FUZZ)/corpus

fuzz-corpus: venv
	@SWIFT="$(SWIFT)" scripts/system-packages libwebp
	@mkdir -p $(FUZZ)
	$(VENV_PYTHON) Tests/fuzz/corpus.py $(CORPUS)

fuzz: fuzz-corpus ## runs each fuzzer for SECONDS=60
	SWIFT="$(SWIFT)" Tests/fuzz/build . $(CURDIR)/$(FUZZ)/address address
	Tests/fuzz/run $(CURDIR)/$(FUZZ)/address $(CORPUS) $(SECONDS)

decode-costs: fuzz-corpus ## the most time and memory that small images take, by file size
	$(VENV_PYTHON) Tests/fuzz/costs.py $(CORPUS)

fuzz-coverage: fuzz-corpus ## which lines of codecs and parsers the fuzzers reach
	SWIFT="$(SWIFT)" Tests/fuzz/build . $(CURDIR)/$(FUZZ)/coverage coverage
	SWIFT="$(SWIFT)" Tests/fuzz/coverage $(CURDIR)/$(FUZZ) $(CORPUS)

fuzz-planted: fuzz-corpus ## whether the fuzzers find bugs planted in a copy of the sources
	SWIFT="$(SWIFT)" Tests/fuzz/planted $(CURDIR)/$(FUZZ)/planted $(CORPUS)

sweep: venv ## runs each operation of TensorFlow with odd inputs for SECONDS=60; SEED=1
	$(VENV_PYTHON) Tests/python/operation_sweep.py --seconds $(SECONDS) --seed $(SEED)

faults: venv ## lets system calls fail, kills jobs and damages their files for SECONDS=60; FAULTS=options
	$(VENV_PYTHON) Tests/faults/faults.py $(SECONDS) $(FAULTS)

cluster-faults: venv ## kills workers of Ray and Spark, and compares with one process; FAULTS=options
	$(VENV_PYTHON) Tests/python/cluster_faults.py $(FAULTS)

sanitize: sanitize-address sanitize-thread sanitize-valgrind ## AddressSanitizer, ThreadSanitizer, valgrind

# The Swift tests, and the C programs against a library that is built for it. XCTest itself leaks, so leaks are looked
# for in the C programs.
sanitize-address: fuzz-corpus
	ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 $(SWIFT) test --sanitize=address --scratch-path .build/address
	$(SWIFT) build --sanitize=address --product fne --scratch-path .build/address-library -Xswiftc -use-ld=lld
	SWIFT="$(SWIFT)" Tests/c/run-with-address-sanitizer .build/address-library/debug $(CORPUS)

# TensorFlow is not instrumented and would be reported: these tests run a fake engine.
THREAD_TESTS := BatchLoader Extractor Patience Preprocessing Image Resize Crops Orientation EXIF Log Statistics \
	StatisticsFormat ExactStatistics Discretization Model Job JSON PackedCodes

sanitize-thread: packages
	TSAN_OPTIONS=allocator_may_return_null=1 $(SWIFT) test --sanitize=thread --scratch-path .build/thread \
		--filter '($(subst $() ,|,$(THREAD_TESTS)))Tests'

sanitize-valgrind: fuzz-corpus
	@SWIFT="$(SWIFT)" scripts/system-packages valgrind
	Tests/c/run-with-valgrind $(CORPUS)

# ---- measure

bench: venv ## prints the figures of docs/speed.md; ASSETS=folder, ONLY=part, QUICK=1 (a trial), JSON=file
	$(VENV_PYTHON) -u Benchmarks/bench.py $(if $(ASSETS),--assets "$(ASSETS)") $(foreach part,$(ONLY),--only $(part)) \
		$(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)") $(if $(IMAGES),--images $(IMAGES)) $(if $(NEW),--new $(NEW))

# Debian's packages are unpacked and not installed. What was measured is in build/reproduce, and is not measured again.
reproduce: venv ## prints the tables of docs/results.md; ASSETS=folder adds networks and flowers, QUICK=1 is a trial
	$(VENV_PYTHON) Benchmarks/reproduce.py $(if $(ASSETS),--assets "$(ASSETS)") $(if $(QUICK),--quick)

bench-peers: ## installs what bench compares with, about 6 GB
	test -x .build/peers/bin/python || $(PYTHON) -m venv .build/peers
	.build/peers/bin/python -m pip install -q --disable-pip-version-check -r Benchmarks/requirements.txt

# ---- package

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include

PLACES = PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" DESTDIR="$(DESTDIR)" \
	VERSION=$(VERSION) ABI=$(ABI)

# What is built already is installed as it is: `make`, then `sudo make install`.
install: ## PREFIX=/usr/local, LIBDIR, INCLUDEDIR, DESTDIR
	@test -f $(LIB) || $(MAKE) build
	@$(PLACES) scripts/install install

uninstall: ## takes the same settings
	@$(PLACES) scripts/install uninstall

deb: build ## build/deb: Debian packages
	@SWIFT="$(SWIFT)" scripts/system-packages dpkg-dev
	SWIFT="$(SWIFT)" VERSION=$(VERSION) ABI=$(ABI) scripts/deb build/deb

WHEEL := build/wheel

wheel: venv ## build/wheel: the Python package with the library inside
	SWIFT="$(SWIFT)" ABI=$(ABI) scripts/wheel $(VENV_PYTHON) $(LIB) $(WHEEL)

sdist: venv ## build/wheel: the Python package's source
	scripts/sdist $(VENV_PYTHON) $(WHEEL)

# ---- document

api: venv ## build/api: the reference of the Python package
	$(VENV_PYTHON) -m pdoc -o build/api fne fne.zoo fne.errors fne.sklearn '!fne._ffi'
	@echo "build/api/index.html"

docs: ## build/docs: the reference of the C and C++ headers
	@SWIFT="$(SWIFT)" scripts/system-packages doxygen
	@scripts/docs

SITE_VENV := .build/site-venv

# The links, the pages in a browser, and the search are checked.
site: $(SITE_VENV)/installed ## build/site: guides and references as a website with search
	@SWIFT="$(SWIFT)" scripts/system-packages doxygen chromium
	NO_MKDOCS_2_WARNING=1 $(SITE_VENV)/bin/mkdocs build --quiet --strict
	$(SITE_VENV)/bin/python scripts/site/check.py build/site

$(SITE_VENV)/installed: docs/requirements.txt
	test -x $(SITE_VENV)/bin/python || $(PYTHON) -m venv $(SITE_VENV)
	$(SITE_VENV)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# After a change of the header was read against docs/abi.md.
abi: build ## records the binary interface, and says what breaks
	@SWIFT="$(SWIFT)" scripts/system-packages abidiff
	scripts/abi record
	scripts/abi compare
