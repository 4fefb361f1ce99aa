# make run: book the sample's nights and show the result. make test: every test.
# make bench: the time of each part of a run, and of the start.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null)))
# Neither the environment nor the command line can name another folder: a run of make removes it.
override SAMPLE_BOOK := build/book
MADE_BY_MAKE := made-by-make-run
BIN := .venv/bin
ON_SPARK := --engine spark --master local[2] --conf spark.driver.host=127.0.0.1 \
	--conf spark.driver.bindAddress=127.0.0.1

.PHONY: run quick test test-slow test-spark bench check conformance conformance-spark clean
.DELETE_ON_ERROR:

.venv/pip: constraints.txt
	@if [ -z '$(PYTHON)' ]; then echo 'error: Python 3.11 or later is needed' >&2; exit 2; fi
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt pip
	touch $@

.venv/run: .venv/pip pyproject.toml
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/run
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/spark: .venv/dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[spark]'
	touch $@

.venv/bench: .venv/dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	touch $@

run: .venv/run
	@if [ -e $(SAMPLE_BOOK) ] && [ ! -e $(SAMPLE_BOOK)/$(MADE_BY_MAKE) ]; then \
		echo 'error: $(SAMPLE_BOOK): this book was not made by "make run", which would remove it' >&2; \
		echo 'hint: move it elsewhere, or remove it yourself' >&2; \
		exit 2; \
	fi
	rm -rf $(SAMPLE_BOOK)
	@sed -n 's/^| `\(night-[0-9]*\)` | \([0-9-]*\) .*/\1 \2/p' sample_data/README.md \
	| while read -r night day; do \
		set --; \
		if [ -e "sample_data/$$night/events.csv" ]; then \
			set -- --events "sample_data/$$night/events.csv"; \
		fi; \
		$(BIN)/mynapoint run $(SAMPLE_BOOK) --booked-on "$$day" \
			--enrollments "sample_data/$$night/enrollments.csv" \
			--transactions "sample_data/$$night/transactions-*" "$$@" || exit $$?; echo; \
		touch $(SAMPLE_BOOK)/$(MADE_BY_MAKE); \
	done

# Of all that is there, what is quick: parts on their own, and what holds of any input.
quick: .venv/dev
	$(BIN)/python -m pytest -n auto tests/unit tests/property

# TESTS: options of pytest's, or the tests to run.
test: .venv/dev
	$(BIN)/python -m pytest -n auto $(TESTS)

test-slow: .venv/dev
	$(BIN)/python -m pytest -n auto -m slow

# Needs Java 17: a cluster of its own on the loopback interface.
test-spark: .venv/spark
	$(BIN)/python -m pytest -n 0 -m spark $(TESTS)

bench: .venv/bench
	$(BIN)/python -m pytest benchmarks/kernels --benchmark-enable --benchmark-sort=name \
		--benchmark-columns=median,min,iqr,rounds
	$(BIN)/python benchmarks/startup.py

check: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

conformance: .venv/dev
	$(BIN)/python tests/conformance/check.py --command $(CURDIR)/$(BIN)/mynapoint $(CASES)

# The same command line with --engine spark: each night starts a Java process, so it takes
# some minutes, a quarter of an hour on a busy machine.
conformance-spark: .venv/spark
	$(BIN)/python tests/conformance/check.py $(or $(CASES),tests/conformance/[0-9]*.toml late) \
		--command "sh -c 'exec $(CURDIR)/$(BIN)/mynapoint \"\$$@\" $(ON_SPARK)' --"

clean:
	if [ -e .venv/pip ]; then rm -rf .venv; fi
	if [ -e $(SAMPLE_BOOK)/$(MADE_BY_MAKE) ]; then rm -rf $(SAMPLE_BOOK); fi
	rm -rf mynapoint.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
