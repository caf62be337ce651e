# Each target sets up what it needs.
#
#   make demo [IMAGES=folder]   embeds photographs with the default network
#   make test                   runs every test
#   make build                  build/lib/libfne.so and build/include
#   make venv                   .venv, in which `import fne` works with that library
#   make extras                 adds Ray, Spark and what else optional parts need to .venv, and the compilers of the examples in other
#                               languages; make test then tests them too
#   make ranges [PYTHONS=...]   the main job on the oldest and the newest NumPy and TensorFlow
#   make fuzz [SECONDS=60]      runs each fuzzer for so long; make fuzz-coverage, fuzz-planted: what they reach and find
#   make aarch64                compiles for aarch64, runs kernels and codecs under qemu, compares the bytes
#   make sanitize               runs the tests under AddressSanitizer, ThreadSanitizer and valgrind
#   make reproduce              the evaluation on scikit-learn's digits, which needs no download
#   make wheel, make sdist      build/wheel: the Python package with the library inside, and its source
#   make api, make docs         build/api: the reference of the Python package; build/docs: that of the C and C++ headers
#   make install [PREFIX=/usr/local] [DESTDIR=] [LIBDIR=] [INCLUDEDIR=], make uninstall
#   make deb                    build/deb: Debian packages
#   make bench [ASSETS=folder]  prints the figures that README quotes
#   make clean

SWIFT ?= swift
PYTHON ?= python3
VERSION := 2.0.0
ABI := 2

LIB := build/lib/libfne.so.$(VERSION)
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python

# The Swift runtime goes into the library: static, and without the modules that would bring threads of their own. Only
# what include/fne.h declares is exported: lld leaves the rest out of the symbol table, where gold keeps some of it. The library stays loaded once it is: TensorFlow and the runtime keep state.
LIBRARY_FLAGS := \
	-Xswiftc -static-stdlib \
	-Xswiftc -use-ld=lld \
	-Xswiftc -Xfrontend -Xswiftc -disable-implicit-concurrency-module-import \
	-Xswiftc -Xfrontend -Xswiftc -disable-implicit-string-processing-module-import \
	-Xlinker --version-script=$(CURDIR)/Sources/FNE/exports.map \
	-Xlinker -soname=libfne.so.$(ABI) \
	-Xlinker -z -Xlinker nodelete \
	-Xlinker --defsym=hypotf=ck_hypotf \
	-Xlinker --gc-sections \
	-Xlinker -s \
	--disable-local-rpath

.PHONY: all build venv extras demo test test-swift test-python bench bench-peers clean packages wheel sdist api docs \
	reproduce install uninstall deb abi aarch64 ranges fuzz fuzz-coverage fuzz-planted fuzz-corpus sanitize sanitize-address sanitize-thread sanitize-valgrind

all: build

packages:
	@SWIFT="$(SWIFT)" scripts/system-packages

# SwiftPM knows what is out of date.
build: packages
	$(SWIFT) build -c release --product fne --scratch-path .build/library $(LIBRARY_FLAGS)
	@mkdir -p build/lib build/include
	@cmp -s .build/library/release/libfne.so $(LIB) || install -m 755 .build/library/release/libfne.so $(LIB)
	@ln -sf libfne.so.$(VERSION) build/lib/libfne.so.$(ABI)
	@ln -sf libfne.so.$(ABI) build/lib/libfne.so
	@cp include/fne.h bindings/cpp/fne.hpp build/include

venv: build $(VENV)/installed

$(VENV)/installed: requirements.txt bindings/python/pyproject.toml
	test -x $(VENV_PYTHON) || $(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check -r requirements.txt
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e bindings/python
	@touch $@

extras: venv $(VENV)/extras

$(VENV)/extras: requirements-extras.txt scripts/system-packages
	@SWIFT="$(SWIFT)" scripts/system-packages java languages
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check -r requirements-extras.txt
	$(VENV_PYTHON) -m pip install -q --disable-pip-version-check --no-deps --upgrade --target .build/original fne==1.1.1
	@touch $@

demo: venv
	$(VENV_PYTHON) examples/demo.py $(if $(IMAGES),--images "$(IMAGES)")

test: test-swift test-python

test-swift: packages
	$(SWIFT) test --scratch-path .build/tests

# PyTorch and TensorFlow in one process abort unless PyTorch comes first (both carry LLVM): its tests are a process of their own.
# Status 5: they were left out.
test-python: venv
	@SWIFT="$(SWIFT)" scripts/system-packages cmake abidiff dpkg-dev
	$(VENV_PYTHON) -m pytest Tests/python --ignore=Tests/python/test_fne_torch.py
	$(VENV_PYTHON) -m pytest Tests/python/test_fne_torch.py || test $$? = 5

# The main job with the oldest supported NumPy and TensorFlow and with the newest, on each Python of PYTHONS.
ranges: venv
	PYTHONS="$(PYTHONS)" Tests/ranges/run

# ---- hostile input

SECONDS ?= 60
FUZZ := .build/fuzz
CORPUS := $(CURDIR)/$(FUZZ)/corpus

fuzz-corpus: venv
	@mkdir -p $(FUZZ)
	$(VENV_PYTHON) Tests/fuzz/corpus.py $(CORPUS)

fuzz: fuzz-corpus
	SWIFT="$(SWIFT)" Tests/fuzz/build . $(CURDIR)/$(FUZZ)/address address
	Tests/fuzz/run $(CURDIR)/$(FUZZ)/address $(CORPUS) $(SECONDS)

fuzz-coverage: fuzz-corpus
	SWIFT="$(SWIFT)" Tests/fuzz/build . $(CURDIR)/$(FUZZ)/coverage coverage
	SWIFT="$(SWIFT)" Tests/fuzz/coverage $(CURDIR)/$(FUZZ) $(CORPUS)

fuzz-planted: fuzz-corpus
	SWIFT="$(SWIFT)" Tests/fuzz/planted $(CURDIR)/$(FUZZ)/planted $(CORPUS)

sanitize: sanitize-address sanitize-thread sanitize-valgrind

# The Swift tests (XCTest itself leaks: leaks are looked for in the C programs), and the C programs against a library that
# is built for it.
sanitize-address: fuzz-corpus
	ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=0 $(SWIFT) test --sanitize=address --scratch-path .build/address
	$(SWIFT) build --sanitize=address --product fne --scratch-path .build/address-library -Xswiftc -use-ld=lld
	SWIFT="$(SWIFT)" Tests/c/run-with-address-sanitizer .build/address-library/debug $(CORPUS)

# TensorFlow is not instrumented and would be reported: these tests run a fake engine.
sanitize-thread: packages
	TSAN_OPTIONS=allocator_may_return_null=1 $(SWIFT) test --sanitize=thread --scratch-path .build/thread \
		--filter '(BatchLoader|Extractor|Preprocessing|Image|Resize|Crops|Orientation|EXIF|Log|Statistics|StatisticsFormat|ExactStatistics|Discretization|Model|Job|JSON|PackedCodes)Tests'

sanitize-valgrind: fuzz-corpus
	@SWIFT="$(SWIFT)" scripts/system-packages valgrind
	Tests/c/run-with-valgrind $(CORPUS)

# Installs a cross compiler and qemu; libjpeg and libpng for arm64 are unpacked into .build/aarch64.
aarch64: packages
	SWIFT="$(SWIFT)" Tests/aarch64/run

bench: venv
	$(VENV_PYTHON) Benchmarks/bench.py $(if $(ASSETS),--assets "$(ASSETS)") $(foreach part,$(ONLY),--only $(part))

# The evaluation on scikit-learn's digits, which needs no download.
reproduce: venv
	$(VENV_PYTHON) Benchmarks/reproduce.py

# What `make bench` compares with; about 6 GB.
bench-peers:
	test -x .build/peers/bin/python || $(PYTHON) -m venv .build/peers
	.build/peers/bin/python -m pip install -q --disable-pip-version-check -r Benchmarks/requirements.txt

# ---- packaging

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include

PLACES = PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" INCLUDEDIR="$(INCLUDEDIR)" DESTDIR="$(DESTDIR)" VERSION=$(VERSION) ABI=$(ABI)

# What is built already is installed as it is: `make`, then `sudo make install`.
install:
	@test -f $(LIB) || $(MAKE) build
	@$(PLACES) scripts/install install

uninstall:
	@$(PLACES) scripts/install uninstall

deb: build
	@SWIFT="$(SWIFT)" scripts/system-packages dpkg-dev
	SWIFT="$(SWIFT)" VERSION=$(VERSION) ABI=$(ABI) scripts/deb build/deb

WHEEL := build/wheel

wheel: venv
	SWIFT="$(SWIFT)" scripts/wheel $(VENV_PYTHON) $(LIB) $(WHEEL)

sdist: venv
	scripts/sdist $(VENV_PYTHON) $(WHEEL)

# The reference of the Python package, as HTML.
api: venv
	$(VENV_PYTHON) -m pdoc -o build/api fne fne.zoo fne.errors fne.sklearn '!fne._ffi'
	@echo "build/api/index.html"

# The reference of the C and C++ headers, as HTML.
docs:
	@SWIFT="$(SWIFT)" scripts/system-packages doxygen
	@scripts/docs

# The record of the binary interface, after a change of the header was read against docs/abi.md.
abi: build
	@SWIFT="$(SWIFT)" scripts/system-packages abidiff
	scripts/abi record
	scripts/abi compare

clean:
	rm -rf .build build $(VENV)

# ---- the documentation's website

.PHONY: site

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
