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

.PHONY: demo test lint types tests addons-env addons-models addons-test sanitize fuzz clean

demo: $(VENV)/installed            ## Train, export and predict on real digits, end to end.
	$(BIN)/stn-tf demo --out demo

test: lint types tests             ## Everything that must pass.

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev       # On the installed tree, where stn_tf.export has its real name.
	rm -rf build && $(BIN)/pip install --quiet --no-deps --force-reinstall .
	cd $(VENV) && bin/mypy --config-file ../setup.cfg -p stn_tf

tests: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term

# The native sampler, beside its sources: checkouts use it there, and installing copies it. Where
# there is no compiler it says so, and everything runs on the portable sampler.
$(NATIVE): stn_tf/native/build.py $(wildcard stn_tf/native/src/*)
	$(PYTHON) stn_tf/native/build.py || true

$(VENV)/installed: $(SETUP) $(NATIVE) $(shell find stn_tf export serving cli -name '*.py')
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build && $(BIN)/pip install --quiet --constraint constraints.txt .
	touch $@

$(VENV)/installed-dev: $(SETUP) $(NATIVE)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build && $(BIN)/pip install --quiet --constraint constraints.txt '.[dev]'
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
