# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-targets check docs bench-preprocess bench-flowers bench-runtimes bench-weights bench-compiler bench-training bench-distill bench-resume clean

# The time of the set-up counts: it is handed to the recipe, which writes the sum.
demo:
	@start=$$(date +%s); $(MAKE) --no-print-directory .venv/demo.stamp && \
	DEMO_SETUP_SECONDS=$$(( $$(date +%s) - start )) $(BIN)/python recipes/demo.py

# One thread for each of the two workers: more would wait for each other.
test: .venv/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# The compilers of every target, and what runs their code here; then the tests that need them.
test-targets: .venv/test.stamp
	@for pair in gcc:gcc g++:g++ cmake:cmake clang:clang wasm-ld:lld node:nodejs \
	  aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu qemu-aarch64:qemu-user; do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	[ -d "$$(clang -print-runtime-dir 2>/dev/null)" ] || missing="$$missing libclang-rt-dev"; \
	if [ -n "$$missing" ]; then \
	  apt-get update -q && apt-get install -y -q --no-install-recommends $$missing \
	    libc6-dev libc6-dev-arm64-cross; \
	fi
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests/compiler/test_output_folder.py \
	  tests/compiler/test_output_targets.py tests/cli/test_compile.py

check: .venv/dev.stamp
	$(BIN)/ruff format --check src tests recipes
	$(BIN)/ruff check src tests recipes
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_imports.py

docs: .venv/test.stamp
	$(BIN)/python recipes/write_docs.py

bench-preprocess: .venv/demo.stamp
	$(BIN)/python recipes/bench_preprocess.py

bench-flowers: .venv/demo.stamp
	$(BIN)/python recipes/flowers5.py

bench-runtimes: .venv/demo.stamp
	$(BIN)/python recipes/bench_runtimes.py

bench-weights: .venv/test.stamp
	$(BIN)/python recipes/bench_weights.py
	$(BIN)/python recipes/transfer_hymenoptera.py
	$(BIN)/python recipes/transfer_flowers5.py

bench-resume: .venv/demo.stamp
	$(BIN)/python recipes/kill_resume.py

bench-compiler: .venv/bench.stamp
	$(BIN)/python recipes/bench_compiler.py

bench-training: .venv/test.stamp
	$(BIN)/python recipes/bench_training.py

bench-distill: .venv/test.stamp
	$(BIN)/python recipes/distill_flowers5.py

clean:
	rm -rf .venv build dist runs .pytest_cache .mypy_cache .ruff_cache

# A stamp a set of extras: pip runs again only when pyproject.toml changed.
.venv/%.stamp: pyproject.toml .venv/python.stamp
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

.venv/dev.stamp: pyproject.toml .venv/python.stamp
	$(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	@touch $@

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"pocketvision needs Python 3.11 or newer, got {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	@touch $@
