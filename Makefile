# Everything runs in .venv. The first target that needs it makes it, from Python >= 3.11 and the pinned packages of
# requirements-dev.txt, and updates it when they change. ARGS goes to the command: make test ARGS="-k ladder".

BIN := .venv/bin
INSTALLED := .venv/.installed
UV := build/uv

.DEFAULT_GOAL := help
.PHONY: help demo test quick check fmt bench storm soak fuzz faults docs pages pictures release sbom lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## See the whole of it run, on this machine alone
	@exec $(BIN)/deskgate demo $(ARGS)

test: $(INSTALLED) ## Run the tests
	@exec $(BIN)/python -m pytest $(ARGS)

quick: $(INSTALLED) ## Run the tests that need no server, in seconds
	@exec $(BIN)/python -m pytest tests/unit tests/property -q $(ARGS)

# The pure rooms decide every reply: each branch of them must be tested.
PURE := gateway.core gateway.declared gateway.resilience gateway.front.ladder gateway.front.plan gateway.lookups.answers \
	gateway.lookups.decoding gateway.lookups.reply gateway.lookups.judged gateway.history.entries gateway.history.series gateway.history.values \
	gateway.console.configuration gateway.console.rights

check: $(INSTALLED) ## Lint, check the format and the types, and that each branch of the pure rooms is tested
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@COVERAGE_FILE=build/.coverage $(BIN)/python -m pytest tests/unit tests/property -q $(PURE:%=--cov %) --cov-branch \
		--cov-report term-missing:skip-covered --cov-fail-under=100

fmt: $(INSTALLED) ## Format the code and mend what ruff can
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(INSTALLED) ## Measure
	@exec $(BIN)/python -m tests.bench $(ARGS)

storm: $(INSTALLED) ## See what callbacks are worth under faults, and what others make of them
	@exec $(BIN)/python -m tests.storm $(ARGS)

soak: $(INSTALLED) ## Push 100,000 jobs through dying workers, then an hour of callbacks through every fault
	@exec $(BIN)/python -m tests.soak $(ARGS)

faults: $(INSTALLED) ## Play every fault of a backend to a worker, and write docs/faults.md
	@exec $(BIN)/python -m tests.faults

docs: $(INSTALLED) ## Build the documentation as a site, every link checked
	@exec $(BIN)/python -m tests.pages.site

pages: $(INSTALLED) ## Write the pages of docs that are made from the code
	@exec $(BIN)/python -m tests.pages

pictures: $(INSTALLED) ## Take the pictures of the console for docs, in Chromium
	@PICTURES=1 exec $(BIN)/python -m pytest tests/acceptance/test_console.py -k "pictured or session_tells" $(ARGS)

fuzz: $(INSTALLED) ## Send a million random requests to a gateway
	@exec $(BIN)/python -m tests.fuzz $(ARGS)

release: $(INSTALLED) ## Build sdist and wheel, check them, and run them in clean environments of every Python at hand
	@exec $(BIN)/python -m tests.release

sbom: $(INSTALLED) ## List the packages of the image as CycloneDX: build/sbom.json
	@exec $(BIN)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --output-file build/sbom.json
	@echo "written: build/sbom.json"

lock: | $(BIN)/python ## Pin the packages anew; ARGS=--upgrade takes the newest versions
	@$(BIN)/python -m venv $(UV)
	@$(UV)/bin/pip install --disable-pip-version-check -qq uv==0.13.9
	@$(UV)/bin/uv pip compile pyproject.toml --all-extras --group build --python-version 3.11 --universal \
		--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--quiet --output-file requirements-dev.txt $(ARGS)
	@$(UV)/bin/uv pip compile pyproject.toml --group build --constraints requirements-dev.txt --python-version 3.11 \
		--universal --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet --output-file requirements.txt

clean: ## Remove all that was made here, .venv too
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find gateway workers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A name on PATH proves nothing: version managers put stubs there, and Debian leaves out ensurepip. So try each one.
# If the interpreter of .venv is gone, this file counts as missing, and .venv is made anew.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3 python3.13 python3.12 python3.11) ""; do \
		"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	test -n "$$python" || { echo 'No Python >= 3.11 with venv found: install one, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }; \
	"$$python" -m venv --clear .venv

# -qq: errors alone. --no-deps: the lock has every package, so pip must not look for others (for "coverage[toml]" it
# takes one newer than the lock, and stops). --no-build-isolation: nothing unpinned is downloaded to build with.
$(INSTALLED): requirements-dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing deskgate and the packages of requirements-dev.txt into .venv ..." >&2
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation -e .
	@touch $@
