# make run: book the sample's nights and show the result. make test: every test.
# make bench: the time of each part of a run, and of the start.
PYTHON ?= $(firstword $(foreach python,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null)))
# Neither the environment nor the command line can name another folder: a run of make removes it.
override SAMPLE_BOOK := build/book
# A copy of it that is paid out, with the files that went out and the answers to them.
override SAMPLE_PAID := build/paid
MADE_BY_MAKE := made-by-make-run
# The sample's book is known by its first run's record, whose checksum is written beside it: a book holds
# nothing that no run has made.
FIRST_RECORD = cksum $(SAMPLE_BOOK)/runs/000001/record.json 2>/dev/null
BOOK_IS_MAKES = first=$$($(FIRST_RECORD)) && [ "$$first" = "$$(cat $(SAMPLE_BOOK).$(MADE_BY_MAKE) 2>/dev/null)" ]
BIN := .venv/bin
# Nothing is installed but what requirements/ names, by its hash; sdists are built by what is installed.
LOCKED := --quiet --require-hashes --no-build-isolation --requirement
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--constraint constraints.txt --custom-compile-command 'make lock' pyproject.toml
ON_SPARK := --engine spark --master local[2] --conf spark.driver.host=127.0.0.1 \
	--conf spark.driver.bindAddress=127.0.0.1

# A process a core, each with the tests of its own files: what a file books is booked once. Whoever is
# done takes some of another's.
IN_PARALLEL := -n auto --dist worksteal

.PHONY: run quick test test-slow test-spark bench check conformance conformance-spark lock dist docs clean
.DELETE_ON_ERROR:

.venv/pip: requirements/build.txt
	@if [ -z '$(PYTHON)' ]; then echo 'error: Python 3.11 or later is needed' >&2; exit 2; fi
	$(PYTHON) -m venv .venv
	$(BIN)/pip install $(LOCKED) requirements/build.txt
	touch $@

.venv/run: .venv/pip requirements/run.txt pyproject.toml
	$(BIN)/pip install $(LOCKED) requirements/run.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev .venv/spark .venv/bench .venv/docs .venv/lock: .venv/%: .venv/run requirements/%.txt
	$(BIN)/pip install $(LOCKED) requirements/$*.txt
	touch $@

.venv/spark .venv/bench: .venv/dev

run: .venv/run
	@not_ours=; \
	if [ -e $(SAMPLE_BOOK) ] && ! { $(BOOK_IS_MAKES); }; then not_ours=$(SAMPLE_BOOK); fi; \
	if [ -e $(SAMPLE_PAID) ] && [ ! -e $(SAMPLE_PAID)/$(MADE_BY_MAKE) ]; then not_ours=$(SAMPLE_PAID); fi; \
	if [ -n "$$not_ours" ]; then \
		echo "error: $$not_ours: this book was not made by \"make run\", which would remove it" >&2; \
		echo 'hint: move it elsewhere, or remove it yourself' >&2; \
		exit 2; \
	fi
	rm -rf $(SAMPLE_BOOK) $(SAMPLE_BOOK).$(MADE_BY_MAKE) $(SAMPLE_PAID)
	@sed -n 's/^| `\(night-[0-9]*\)` | \([0-9-]*\) .*/\1 \2/p' sample_data/README.md \
	| while read -r night day; do \
		set --; \
		if [ -e "sample_data/$$night/events.csv" ]; then \
			set -- --events "sample_data/$$night/events.csv"; \
		fi; \
		$(BIN)/mynapoint run $(SAMPLE_BOOK) --booked-on "$$day" \
			--enrollments "sample_data/$$night/enrollments.csv" \
			--transactions "sample_data/$$night/transactions-*" "$$@" || exit $$?; echo; \
		$(FIRST_RECORD) > $(SAMPLE_BOOK).$(MADE_BY_MAKE); \
	done
	@mkdir -p $(SAMPLE_PAID) && touch $(SAMPLE_PAID)/$(MADE_BY_MAKE)
	@cp -R $(SAMPLE_BOOK) $(SAMPLE_PAID)/book
	@$(BIN)/mynapoint payout $(SAMPLE_PAID)/book --due-by 2021-11-30 --out $(SAMPLE_PAID)/payouts
	@$(BIN)/mynapoint sample $(SAMPLE_PAID) --answers-to $(SAMPLE_PAID)/payouts
	@$(BIN)/mynapoint payout $(SAMPLE_PAID)/book --answers $(SAMPLE_PAID)/answers.csv
	@$(BIN)/mynapoint due $(SAMPLE_PAID)/book --on 2021-12-02

# Of all that is there, what is quick: parts on their own, and what holds of any input.
quick: .venv/dev
	$(BIN)/python -m pytest $(IN_PARALLEL) tests/unit tests/property

# TESTS: options of pytest's, or the tests to run.
test: .venv/dev
	$(BIN)/python -m pytest $(IN_PARALLEL) $(TESTS)

test-slow: .venv/dev
	$(BIN)/python -m pytest $(IN_PARALLEL) -m slow

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

# Writes requirements/ anew from pyproject.toml and constraints.txt, and the list of what a wheel needs.
lock: .venv/lock
	$(COMPILE) --output-file requirements/run.txt
	for extra in dev spark bench docs; do $(COMPILE) --extra $$extra --output-file requirements/$$extra.txt || exit $$?; done
	for group in build lock; do \
		$(COMPILE:pyproject.toml=--group $$group) --output-file requirements/$$group.txt || exit $$?; \
	done
	$(BIN)/python requirements/sbom.py

# The site, in build/site; a link that leads nowhere is an error.
docs: .venv/docs
	$(BIN)/python docs/site.py
	$(BIN)/zensical build --strict --clean
	$(BIN)/python docs/site.py --built

# The wheel and the sdist: the same bytes whenever and wherever they are built from the same commit.
dist: .venv/lock
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 1606348800) \
		$(BIN)/hatchling build --directory build/dist

clean:
	if [ -e .venv/pip ]; then rm -rf .venv; fi
	if [ -e $(SAMPLE_BOOK) ] && $(BOOK_IS_MAKES); then \
		rm -rf $(SAMPLE_BOOK) $(SAMPLE_BOOK).$(MADE_BY_MAKE); \
	fi
	if [ -e $(SAMPLE_PAID)/$(MADE_BY_MAKE) ]; then rm -rf $(SAMPLE_PAID); fi
	rm -rf mynapoint.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
