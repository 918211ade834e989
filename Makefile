# Two commands matter: `make demo` shows the product, `make test` proves it. Both install what is missing on Debian and Ubuntu.
# Nothing asks a question. ARGS is passed on: `make demo ARGS=--exit`, `make test ARGS=provision`.

SHELL := /bin/bash
# Where rustup puts cargo, for shells that do not know it.
export PATH := $(PATH):$(HOME)/.cargo/bin
# The identity providers and SCIM clients which the end-to-end tests drive.
export PEERS_HOME ?= $(CURDIR)/target/peers
ARGS ?=

.PHONY: help demo run test check properties fuzz crowd bench audit peers

help:
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: ## the whole product on an embedded database, with a sample tenant; ARGS=--exit ends after the printing
	@scripts/install.sh build
	@echo "== build"
	@cargo build --locked --quiet
	@cargo run --locked --quiet -- demo $(ARGS)

run: ## the gateway, with rolegate.toml or ROLEGATE_* variables
	@scripts/install.sh build
	@cargo run --locked --quiet -- serve $(ARGS)

check: ## format and lints: the quick look before a commit
	@echo "== format"
	@cargo fmt --check
	@echo "== lints"
	@cargo clippy --locked --quiet --all-targets -- -D warnings
	@echo "== language"
	@scripts/language.sh

# Lints and documentation share one set of checked dependencies, the tests one of built ones: no flag here may split them.
test: ## everything: format, lints, documentation, and the tests on SQLite and PostgreSQL with real identity providers
	@echo "== what is needed"
	@scripts/install.sh test
	@$(MAKE) --no-print-directory check
	@echo "== documentation"
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --document-private-items
	@echo "== build the tests"
	@cargo test --locked --quiet --no-run
	@echo "== peers"
	@tests/peers/setup.sh
	@echo "== tests on SQLite and PostgreSQL"
	@scripts/postgres.sh cargo test --locked $(ARGS)

peers: ## the identity providers and SCIM clients of the tests, for use by hand (tests/peers/README.md)
	@scripts/install.sh test
	@tests/peers/setup.sh

# Property tests with many more cases than in `make test`, and other ones each time. What fails is written to proptest-regressions/.
CASES ?= 200000
FILTERS ?= 20000
properties: ## long runs of the property tests: filters, paths, PATCH, JSON, bulk, rules, SAML messages and metadata; CASES=… FILTERS=…
	@scripts/install.sh test
	@echo "== $(CASES) cases of each property"
	@PROPTEST_CASES=$(CASES) cargo test --locked --quiet --lib -- scim:: policy:: saml:: $(ARGS)
	@echo "== $(FILTERS) filters in memory and in the database"
	@PROPTEST_CASES=$(FILTERS) scripts/postgres.sh cargo test --locked --quiet --test all -- scim::random

# Inputs that are led by the branches they reach; fuzz/README.md says more. Not part of `make test`, which runs what is kept in fuzz/corpus:
# the first build takes minutes, for everything is compiled once more, with its branches counted.
SECS ?= 60
TARGETS ?= response signed decrypt metadata redirect
fuzz: ## coverage-guided fuzzing of what strangers write: SAML messages and metadata; SECS=… for all targets together, TARGETS=…
	@scripts/install.sh fuzz
	@SECS=$(SECS) scripts/fuzz.sh $(TARGETS)

# A hundred clients at once for so long (SECS), with other draws each time; in `make test` they send a few requests each.
crowd: ## a hundred SCIM clients push at once, and the store must be what they were told; SECS=…
	@scripts/install.sh test
	@ROLEGATE_TEST_CROWD_SECS=$(SECS) scripts/postgres.sh cargo test --locked --quiet --test all -- scim::crowd

bench: ## the benchmarks, release build, on SQLite and on a PostgreSQL that waits for its disk
	@scripts/install.sh test
	@echo "== build the benchmarks (release)"
	@cargo bench --locked --quiet --no-run
	@scripts/postgres.sh --durable cargo bench --locked --quiet $(if $(ARGS),-- $(ARGS))

# Not part of `make test`: the first run compiles cargo-deny. Advisories are left out because their list is fetched from a Git host.
audit: ## licences, sources and duplicates of the dependencies
	@command -v cargo-deny >/dev/null || { echo "== install cargo-deny (once, some minutes)"; cargo install --locked --quiet cargo-deny; }
	@cargo deny --all-features check bans licenses sources
