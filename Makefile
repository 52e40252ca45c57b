# Every way to build, run and check tare. `make help` lists them; nothing needs to be installed first
# but Node with npm, Rust, a C compiler and make.

BUN := $(CURDIR)/.build/bun/node_modules/.bin/bun
BUILD := $(BUN) tools/build.ts
STAMPS := .build/stamps
# Cargo's files and ours must not be made by two recipes at once.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# A list of sources, each directory too, so that a removed file makes the target old.
sources = $(shell find $(1) -name '*.test.ts' -prune -o \( -name '*.ts' -o -name '*.rs' -o -name '*.json' -o -type d \) -print 2>/dev/null)
SPEC := $(call sources,packages/spec/src)
PROGRAMS := $(SPEC) $(call sources,packages/runtime/src)
HOST := $(call sources,host/src) $(wildcard host/engine/*) host/build.rs host/Cargo.toml host/Cargo.lock
CLI := $(SPEC) $(call sources,packages/engine/src packages/tare/src)
PACKAGES := package.json bun.lock $(wildcard packages/*/package.json)

.PHONY: help setup setup-build setup-run setup-test setup-engines setup-conformance build run test test-unit test-quickjs test-e2e test-engines test-vm test-systemd tripwire fuzz kills lint types bench conformance clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: setup-test ## install whatever is missing for all of the below (Debian packages, bun, crates)

setup-build: $(STAMPS)/setup-build $(STAMPS)/packages

setup-run: $(STAMPS)/setup-run setup-build

setup-test: $(STAMPS)/setup-test setup-build

setup-engines: $(STAMPS)/setup-engines setup-test

setup-conformance: $(STAMPS)/setup-conformance setup-test

$(STAMPS)/setup-%: tools/setup.sh
	@sh tools/setup.sh $*
	@mkdir -p $(@D) && touch $@

$(STAMPS)/packages: $(PACKAGES) | $(STAMPS)/setup-build
	$(BUN) install --frozen-lockfile
	@touch $@

build: setup-build dist/tare dist/tare-runtime ## make dist/tare, dist/tare-runtime and the programs beside them

dist/tare-runtime: $(PROGRAMS) $(HOST) tools/build.ts $(STAMPS)/packages
	$(BUILD) --no-cli
	@touch $@

dist/tare: $(CLI) tools/build.ts $(STAMPS)/packages
	@mkdir -p dist
	$(BUILD) --only-cli
	@touch $@

dist/tare-host-dev: $(HOST) tools/build.ts $(STAMPS)/packages
	$(BUILD) --dev
	@touch $@

run: setup-run build ## run a container on a throw-away view of this machine, and show what it isolates
	@sh tools/show-isolation.sh dist/tare run --rm --memory 256m --cpus 1.5 --pids-limit 64 --network none @host
	@echo; echo "A shell in such a container: dist/tare run --rm -it @host"

test: setup-test ## build, then run every test that CI runs; the last line is the count
	@$(BUN) tools/test.ts

test-unit: setup-test dist/tare-host-dev ## the tests beside the code, on Bun
	$(BUN) tools/test.ts unit

test-quickjs: setup-build dist/tare-host-dev ## the pure tests again, on the engine that ships
	$(BUN) tools/quickjs-test.ts

test-e2e: setup-test build ## the end-to-end files on this machine, as root
	$(BUN) tools/test.ts harness e2e

test-engines: setup-engines build ## podman, docker, containerd and its CRI plug-in drive the runtime; installs them
	$(BUN) tools/test.ts engines

tripwire: setup-test dist/tare-host-dev ## each system call of each command fails, or kills its process, once
	$(BUN) tests/tripwire/run.ts
	$(BUN) tests/tripwire/run.ts --deaths
	$(BUN) tests/tripwire/run.ts --rests
	$(BUN) tests/tripwire/run.ts --seconds --every 20

fuzz: setup-test build dist/tare-host-dev ## tens of thousands of changed documents, records and command lines
	TARE_SEED=$${TARE_SEED:-$$(date +%s)} TARE_FUZZ_CASES=50000 $(BUN) test ./tests/fuzz
	TARE_SEED=$${TARE_SEED:-$$(date +%s)} TARE_FUZZ_REAL=5000 $(BUN) test ./tests/e2e/fuzz.test.ts --timeout=3600000

kills: setup-test build ## kill -9 of load, pull, commit and prune, twenty times each at free moments
	TARE_SEED=$${TARE_SEED:-$$(date +%s)} TARE_KILLS=20 $(BUN) test ./tests/e2e/store-crash.test.ts --timeout=3600000

test-vm: setup-test build ## the end-to-end files in a virtual machine with cgroup v2 alone
	$(BUN) tests/vm/run.ts $(FILES)

test-systemd: setup-test build ## the systemd cgroup manager, in a virtual machine whose pid 1 is systemd
	$(BUN) tests/vm/run.ts --systemd $(FILES)

lint: setup-test dist/tare-host-dev ## formatting, types, clippy and the house rules
	$(BUN) tools/test.ts lint

types: setup-build dist/tare-host-dev ## print packages/runtime/src/sys/sys.d.ts from the host's table
	dist/tare-host-dev --types > .build/sys.d.ts
	mv .build/sys.d.ts packages/runtime/src/sys/sys.d.ts

bench: setup-test build ## time and memory beside crun, runc, podman and docker, in one sitting
	$(BUN) bench/run.ts

conformance: setup-conformance build ## run the public suites whose checkouts are named by variables (docs/conformance.md)
	$(BUN) tests/conformance/run.ts $(SUITES)

clean: ## remove what was built; .build keeps what was downloaded and the tests' root file systems
	rm -rf dist host/target .build/stamps .build/test node_modules
