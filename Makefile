# Two commands: `make run` starts the service with a sample organisation, `make test` checks
# everything. Both set up what they need; a second `make run` calls neither pip nor apt.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTEST := $(BIN)/python -m pytest

# `apt_install NAME...` as root where it must; it fails, and says why, where it cannot.
# Without a terminal nobody could answer sudo, so it may not ask there.
define apt_install
apt_install() { \
	local root=(); \
	if ! command -v apt-get >/dev/null; then \
		echo "cannot install $$*: this is no Debian system" >&2; return 1; fi; \
	if [ "$$(id -u)" -ne 0 ]; then \
		if ! command -v sudo >/dev/null; then \
			echo "cannot install $$*: neither root nor sudo" >&2; return 1; fi; \
		if [ -t 0 ]; then root=(sudo); else root=(sudo -n); fi; fi; \
	echo "Installing from Debian: $$*"; \
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update && \
	case " $$* " in *' postfix '*) \
		echo 'postfix postfix/main_mailer_type select No configuration' | \
		"$${root[@]}" debconf-set-selections;; esac && \
	case " $$* " in *' slapd '*) \
		echo 'slapd slapd/no_configuration boolean true' | \
		"$${root[@]}" debconf-set-selections;; esac && \
	case " $$* " in *' glewlwyd '*) \
		echo 'glewlwyd glewlwyd/config_type select No configuration' | \
		"$${root[@]}" debconf-set-selections;; esac && \
	"$${root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q install -y --no-install-recommends "$$@"; \
}
endef

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(STAMP) ## start the service with the sample organisation, until Ctrl-C
	@exec $(BIN)/schalter demo

.PHONY: test
test: debian lint types ## lint, types and every test; with CI set, what cannot run fails
	@$(PYTEST) --numprocesses=auto --dist=loadfile --no-loadscope-reorder

.PHONY: lint
lint: $(STAMP) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: types
types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

.PHONY: unit
unit: $(STAMP) ## the fast tests: no browser, no PostgreSQL or MariaDB, nothing slow
	@$(PYTEST) -q -m 'not browser and not mariadb and not postgresql and not slow'

.PHONY: bench
bench: $(STAMP) ## the bars of the design, side by side
	@$(BIN)/python -m tests.bench

.PHONY: audit
audit: $(STAMP) ## known vulnerabilities in the pinned versions
	@$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock

# The lock names neither an index nor a download address: it must work with any mirror.
.PHONY: lock
lock: $(STAMP) ## pin the dependencies of pyproject.toml anew; UPGRADE=1 takes newer versions
	@$(BIN)/pip-compile --quiet $(if $(UPGRADE),--upgrade) --all-extras --allow-unsafe \
		--generate-hashes --strip-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
		--output-file requirements.lock pyproject.toml

.PHONY: clean
clean: ## remove what make and the tools made; the data in var/ stays
	@rm -rf $(VENV) dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A machine that cannot install them still runs the other tests, which then name what is missing.
# Postfix, slapd and Glewlwyd come without a configuration, so that the packages themselves listen
# nowhere.
.PHONY: debian
debian:
	@$(apt_install); missing=(); PATH="$$PATH:/usr/sbin"; \
	command -v chromium >/dev/null || missing+=(chromium); \
	compgen -G '/usr/share/fonts/truetype/*' >/dev/null || missing+=(fonts-dejavu-core); \
	compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || missing+=(postgresql); \
	command -v mariadbd >/dev/null || missing+=(mariadb-server-core); \
	command -v my_print_defaults >/dev/null || missing+=(mariadb-client-core); \
	command -v openssl >/dev/null || missing+=(openssl); \
	command -v strace >/dev/null || missing+=(strace); \
	command -v postfix >/dev/null || missing+=(postfix); \
	command -v slapd >/dev/null || missing+=(slapd); \
	command -v glewlwyd >/dev/null || missing+=(glewlwyd); \
	[ $${#missing[@]} -eq 0 ] || apt_install "$${missing[@]}" || \
		echo "not installed: $${missing[*]}" >&2

$(STAMP): pyproject.toml requirements.lock
	@$(apt_install); \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo 'Installing the Python packages'
	@$(PIP) install --quiet --require-hashes --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
