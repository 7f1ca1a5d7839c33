# Keyhound's commands. `make help` lists them; CONTRIBUTING and the README use no others.
# What a target needs and does not find is installed (as root on Debian or Ubuntu) or named, see tests/install/.

CARGO ?= cargo
.DEFAULT_GOAL := help
.PHONY: help demo build lint test fuzz bench compare calibrate portable trace clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build ## Build, then watch a stolen key being found and stopped (no server needed, two minutes)
	@target/release/keyhound demo

build: ## Build the release binary, target/release/keyhound
	@tests/install/run build
	@$(CARGO) build --release --locked

lint: ## Check format, lints, dependencies and licences
	@tests/install/run build cargo-deny
	@tests/run lint

test: ## Install what the tests need into .cache/, then run all of them, real servers included
	@tests/install/run all
	@tests/run all

fuzz: ## Look for inputs that break something, FUZZ_SECONDS for each target (300)
	@tests/install/run build fuzz
	@tests/run fuzz

bench: ## Measure CPU per event against bare Kafka consumers on the same real broker
	@tests/install/run build kafka
	@tests/run bench

compare: ## Count the instructions of each stage of the benchmark, here and at an older commit (BASE)
	@tests/install/run build valgrind
	@tests/compare/run

calibrate: ## Compare surprises with how often they come, over 10 million windows of each kind of use; writes docs/calibration.*
	@tests/install/run build
	@tests/run calibrate

portable: ## Show that the core says and learns the same bits with glibc, without FMA, and with musl
	@tests/install/run build
	@tests/portable/run

trace: build ## Replay labelled traffic of the generator in KEYHOUND_TRACE, and score what is found (SEEDS)
	@KEYHOUND=target/release/keyhound tests/trace/run $(SEEDS)

clean: ## Remove what was built (the cached servers in .cache/ stay)
	@$(CARGO) clean
