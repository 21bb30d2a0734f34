# One runner for people and for .ci/run. PYTHON needs numpy, setuptools and what `pip install '.[dev]'` brings.
PYTHON ?= python3
CC ?= gcc
CLANG ?= clang
AARCH64_CC ?= aarch64-linux-gnu-gcc
MINGW_CC ?= x86_64-w64-mingw32-gcc
ZIG_CC ?= $(shell $(PYTHON) -c 'import ziglang; print(ziglang.__path__[0])')/zig cc
SECONDS ?= 300
MINUTES ?= 10
ISAS ?= $(shell $(PYTHON) -c 'from pytorch_quantization_c import isa; print(*isa.available())')
STRICT = -std=c11 -O2 -ffp-contract=off -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Werror
NOT_SANITIZED = $(wildcard $(addprefix tests/,$(shell grep -v '^\#' .ci/not_sanitized)))
FLOORS = kernels runtime operators program
SETUP = $(PYTHON) setup.py -q

build:  ## the extension, in place
	$(SETUP) build_ext --inplace
test: build
	$(PYTHON) -m pytest
test-isa: build  ## the kernel tests once per instruction set, chosen as a user would
	for isa in $(ISAS); do PQC_ISA=$$isa $(PYTHON) -m pytest -q $(ARGS) tests/kernels || exit 1; done
test-c:  ## the kernels without Python: natively, with sanitizers, and for aarch64 under qemu
	csrc/test/run
lint: lint-python lint-c
lint-layout:
	clang-format --dry-run -Werror $$(find csrc -name '*.[ch]')
lint-c: lint-layout
	@for cc in $(CC) $(CLANG) $(AARCH64_CC) $$(command -v $(MINGW_CC)); do \
	    echo "$$cc: no warning, and no header of a floor above"; below=; for floor in $(FLOORS); do below="$$below -Icsrc/$$floor"; \
	        find csrc/$$floor -name '*.c' | xargs -P 2 -I{} $$cc $(STRICT) $$below -c {} -o /dev/null || exit 1; done; done
lint-macos:  ## the newest clang's errors, for systems whose wheels nobody here can run: needs the extra `wheels`
	@for cpu in aarch64 x86_64; do echo "zig cc for macOS, $$cpu"; below=; for floor in $(FLOORS); do below="$$below -Icsrc/$$floor"; done; \
	    find $(addprefix csrc/,$(FLOORS)) -name '*.c' | xargs -P 2 -I{} $(ZIG_CC) -target $$cpu-macos -std=c11 -O1 -fPIC \
	        -ffp-contract=off -Wall -Wextra -Werror $$below -c {} -o /dev/null || exit 1; done
lint-python: build
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	cd examples && MYPYPATH=.. $(PYTHON) -m mypy --strict --ignore-missing-imports --follow-imports=silent \
	    --untyped-calls-exclude=torch --untyped-calls-exclude=nbformat .
	$(PYTHON) -m mypy.stubtest --mypy-config-file pyproject.toml pytorch_quantization_c._C
format:
	clang-format -i $$(find csrc -name '*.[ch]')
	$(PYTHON) -m ruff check --fix .
bench: build  ## prints the tables; ARGS="--quick" for a short run
	PYTHONPATH=. $(PYTHON) benchmarks/bench_quant.py $(ARGS)
	PYTHONPATH=. $(PYTHON) benchmarks/bench_import.py $(ARGS)
	PYTHONPATH=. $(PYTHON) benchmarks/bench_calib.py $(ARGS)
bench-layers: build
	PYTHONPATH=. $(PYTHON) benchmarks/bench_layers.py $(ARGS)
fuzz: build  ## damaged files and senseless arguments, then the kernels by libFuzzer (needs clang)
	$(PYTHON) -m tests.fuzz.run --seconds $(SECONDS)
	csrc/fuzz/run $(SECONDS)
soak: build  ## everything over and over for MINUTES minutes, with memory that stays flat; ARGS="--threads 1" for one CPU
	$(PYTHON) -m tests.fuzz.soak --minutes $(MINUTES) $(ARGS)
sanitize:  ## the suite under ASan and UBSan, but for what .ci/not_sanitized lists
	PQC_SANITIZE=1 $(SETUP) build --build-lib build/sanitize --build-temp build/sanitize-objects
	cd build/sanitize && LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) libstdc++.so.6" \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc $(PYTHON) -m pytest -q -n 2 \
	    --capture=sys -c ../../pyproject.toml $(addprefix --ignore ../../,$(NOT_SANITIZED)) \
	    $(addprefix ../../,$(or $(TESTS),tests))
coverage: build  ## Python lines and C kernel lines over the suite with every instruction set
	$(PYTHON) .ci/coverage.py $(ISAS)
notebooks: build  ## runs examples/*.py as notebooks and writes what they printed and drew; ARGS=--run-only writes nothing
	OMP_WAIT_POLICY=passive PYTHONPATH=$(CURDIR) $(PYTHON) examples/make_notebooks.py $(ARGS)
lint-examples: build  ## pyright over examples/ and the package, for which the extra `notebooks` has to be there
	$(PYTHON) -m basedpyright --pythonpath "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
docs: build  ## the pages of docs/ with the API from docstrings, into build/site; a warning is an error
	$(PYTHON) -m mkdocs build --strict --quiet
wheel:
	$(PYTHON) -m pip wheel --no-deps -w dist .
wheel-manylinux:  ## for x86-64 with glibc 2.17 and later: needs the extra `wheels`
	CC="$(ZIG_CC) -target x86_64-linux-gnu.2.17" $(PYTHON) -m pip wheel --no-deps -w build/unrepaired .
	$(PYTHON) -m auditwheel repair --only-plat --plat manylinux_2_17_x86_64 -w dist build/unrepaired/*.whl
clean:
	rm -rf build dist *.egg-info pytorch_quantization_c/_C.*.so
.PHONY: build test test-isa test-c lint lint-layout lint-c lint-macos lint-python lint-examples format bench bench-layers sanitize fuzz \
    soak coverage notebooks docs wheel wheel-manylinux clean
