# Everything is set up by the targets themselves: Python 3.11+, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ADDONS := .venv-addons
FUZZ := .venv-fuzz
# Of each target.
FUZZ_SECONDS ?= 120
SETUP := setup.cfg setup.py pyproject.toml constraints.txt
NATIVE := stn_tf/native/build.json
# Two processes; one that has run out of tests takes half of what the other still has.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo quick test check lint types tests tests-full coverage
.PHONY: addons-env addons-models addons-test sanitize fuzz clean

demo: $(VENV)/installed            ## Train, export and predict on real digits, end to end.
	$(BIN)/stn-tf demo --out demo

quick: $(VENV)/installed-dev       ## A smoke of every room, in two minutes.
	$(PYTEST) -m "not full and not slow" @tests/quick.txt

test: lint types tests             ## Every property; of long products, every pair of choices.

check: lint types tests-full       ## Everything; .ci/run does.

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev       # On a tree as it is installed: stn_tf.export has its real name.
	rm -rf build/types && mkdir -p build/types
	cp -Rp stn_tf build/types && cp -Rp export serving cli build/types/stn_tf
	cd build/types && MYPYPATH=. ../../$(BIN)/mypy --config-file ../../setup.cfg \
	  --cache-dir ../../.mypy_cache -p stn_tf

tests: $(VENV)/installed-dev
	$(PYTEST) -m "not full and not slow"

tests-full: $(VENV)/installed-dev  ## Whole products, and what takes long.
	$(PYTEST)

coverage: $(VENV)/installed-dev    ## Which lines `make tests` runs; it takes half as long again.
	$(PYTEST) -m "not full and not slow" --cov --cov-report=term

# The native sampler, beside its sources: checkouts use it there, and installing copies it. Where
# there is no compiler it says so, and everything runs on the portable sampler.
$(NATIVE): stn_tf/native/build.py $(wildcard stn_tf/native/src/*)
	$(PYTHON) stn_tf/native/build.py || true

$(VENV)/installed: $(SETUP) $(NATIVE) $(shell find stn_tf export serving cli -name '*.py')
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build/lib* && $(BIN)/pip install --quiet --constraint constraints.txt .
	touch $@

$(VENV)/installed-dev: $(SETUP) $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build/lib* && $(BIN)/pip install --quiet --constraint constraints.txt '.[dev]'
	touch $@

addons-env: $(ADDONS)/installed    ## The environment in which real TensorFlow Addons runs.

$(ADDONS)/installed: requirements/addons.txt
	test -x $(ADDONS)/bin/python || $(PYTHON) -m venv $(ADDONS)
	$(ADDONS)/bin/pip install --quiet --requirement $<
	touch $@

addons-models: addons-env          ## Models for tests/addons/test_saved_model.py.
	$(ADDONS)/bin/python -W ignore tests/addons/write_models.py $(ADDONS)/models

sanitize:                          ## The compiled kernels under sanitizers; needs a C++ compiler.
	$(MAKE) -j2 -C tests/native/cpp

addons-test: addons-env            ## The sampler against tfa.image.resampler.
	$(ADDONS)/bin/python -m pytest tests/addons/test_resampler.py -W default

fuzz: $(FUZZ)/installed            ## What clients send, mutated for FUZZ_SECONDS a reader.
	for target in wire rest_body; do \
	  PYTHONPATH=. $(FUZZ)/bin/python tests/fuzz/fuzz_$$target.py $(FUZZ)/corpus/$$target \
	    -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

$(FUZZ)/installed: requirements/fuzz.txt constraints.txt
	test -x $(FUZZ)/bin/python || $(PYTHON) -m venv $(FUZZ)
	$(FUZZ)/bin/pip install --quiet --constraint constraints.txt --requirement $<
	touch $@

clean:
	rm -rf $(VENV) $(ADDONS) $(FUZZ) build *.egg-info demo $(NATIVE) stn_tf/native/*.so
