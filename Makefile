# Ruedo. `make` or `make help` says what there is.
GO      ?= go
BIN     := bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -X github.com/ruedo-dev/ruedo/internal/cli.Version=$(VERSION)

# Compilers need a sixth less processor time if they collect garbage less often. What
# they compile collects as ever.
LAVISH := -toolexec='env GOGC=400'

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what the targets do
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the ruedo binary into bin/
	@mkdir -p $(BIN)
	$(GO) build $(LAVISH) -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ruedo .

.PHONY: demo
demo: build ## Start a cluster, publish the examples, call them, show what happens
	$(BIN)/ruedo demo

.PHONY: dev
dev: build ## Start a cluster on this machine and leave it running
	$(BIN)/ruedo dev

# The race detector needs a C compiler; without one the suite runs without it.
RACE := $(shell command -v "$${CC:-cc}" >/dev/null 2>&1 && echo -race)

# The race detector would wait for a second at the end of each program.
GORACE ?= atexit_sleep_ms=10
export GORACE

# Packages whose tests take longest begin first, so that none is left at the end.
SLOWEST := ./internal/cli ./sandbox/compile ./runner ./sandbox

# How many packages are tested at the same time. Many tests wait more than they
# compute, so it is one more than there are processors.
PACKAGES ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

# Everything is vetted first, from the same compiled packages as the tests, so go
# test need not do it again; and its programs need no tables for debuggers. The program
# that many tests run is compiled before them.
.PHONY: test
test: build ## Run the whole suite with the race detector
	$(GO) vet $(LAVISH) $(RACE) -tags e2e,hostile ./...
	$(GO) test $(LAVISH) $(RACE) -vet=off -ldflags=-w -p $(PACKAGES) -timeout 14m $(SLOWEST) ./...
	cd internal/bench && $(GO) vet $(LAVISH) $(RACE) ./... && $(GO) test $(LAVISH) $(RACE) -vet=off ./page ./scale

.PHONY: skips
skips: ## Run the suite without the race detector and count what it skips on this machine, and why
	@$(GO) test -v -timeout 14m ./... 2>&1 | awk '/^ *--- SKIP/ {n++; print $$3 ":" why} {why = $$0} /^(--- FAIL|FAIL)/ {print} END {print n+0 " skipped"}'

.PHONY: lint
lint: lint-go $(BIN)/buf ## Check the code with vet and staticcheck, for other systems too, and the protos with buf
	GOOS=darwin $(GO) vet ./...
	GOOS=windows $(GO) vet ./...
	$(BIN)/buf lint

.PHONY: lint-go
lint-go: $(BIN)/staticcheck ## Check the code with vet and staticcheck, for this system only (CI runs it)
	$(GO) vet $(LAVISH) $(RACE) -tags e2e,hostile ./...
	GOGC=200 GOFLAGS="$$($(GO) env GOFLAGS) $(RACE)" $(BIN)/staticcheck -tags e2e,hostile ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }

.PHONY: generate
generate: $(BIN)/buf ## Make gen/ from proto/, the code of examples/todo, and docs/reference from the code (no network needed once buf is built)
	$(BIN)/buf format -w
	$(BIN)/buf lint
	$(BIN)/buf generate
	$(BIN)/buf generate --template examples/todo/buf.gen.yaml
	$(MAKE) --no-print-directory references

.PHONY: references
references: ## Make docs/reference from the structs and tables in the code
	$(GO) test ./internal/cli/reference -run '^TestPagesAreUpToDate$$' -update

.PHONY: e2e
e2e: build $(BIN)/etcd ## Run the fault tests over real processes and a real etcd, and end 1,000 streams in every way there is
	RUEDO_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 25m -tags e2e ./internal/e2e/...
	$(GO) test -count=1 -timeout 10m -run '^TestSoak$$' ./core/exchange -soak 5

.PHONY: conformance
conformance: build ## Run the Connect conformance suite against a service in a module, over real processes
	cd internal/conformance && $(GO) vet $(LAVISH) -trimpath ./... && RUEDO_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test $(LAVISH) -trimpath -vet=off -count=1 -timeout 8m -v .

FAULTS ?= 10m
RUN ?= ^(TestFaults|TestWritesAreLinearizable|TestKillsDuringPublishes)$$
.PHONY: faults
faults: build ## Torment three cores and three runners with random faults for FAULTS (10m); SEED=n repeats a run, RUN=regexp picks tests
	RUEDO_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 90m -v -tags e2e -run '$(RUN)' ./internal/e2e -faults $(FAULTS) -kills 50 $(if $(SEED),-seed $(SEED))

.PHONY: newcomer
newcomer: build ## Write services outside of the repository as the docs say: test, publish, call, break and mend them
	RUEDO_E2E_BIN=$(CURDIR)/$(BIN) $(GO) test $(LAVISH) -trimpath -count=1 -timeout 8m -tags e2e -run '^TestNewcomer$$' ./internal/e2e

PORT_FUZZ ?= 30s
.PHONY: hostile
hostile: ## Attack a running cluster: bad modules, uploads, guests, the port (HOSTILE_RUN=regexp picks rows; PORT_FUZZ=10m fuzzes longer)
	RUEDO_PORT_FUZZ=$(PORT_FUZZ) $(GO) test -count=1 -timeout 60m -v -tags hostile $(if $(HOSTILE_RUN),-run '$(HOSTILE_RUN)') ./internal/hostile/...

.PHONY: soak
soak: ## Restore instances 200,000 times and compare their memory byte by byte; end 100,000 streams in every way there is; then the faults, for FAULTS
	$(GO) test -count=1 -timeout 30m ./sandbox/pristine -soak 10
	$(GO) test -count=1 -timeout 30m -v -run '^TestSoak$$' ./sandbox -soak 40
	$(GO) test -count=1 -timeout 30m -v -run '^TestSoak$$' ./core/exchange -soak 500
	$(MAKE) --no-print-directory faults

# Go would spend most of that time on making each input that covers something new as
# short as it can, a minute for each.
FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -h -o '^func Fuzz[A-Za-z0-9]*' $$p/*_test.go | cut -c6-); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
	  done; done

.PHONY: bench
bench: ## Measure against baselines in one interleaved run (BENCH_OUT=file keeps the rows)
	cd internal/bench && $(GO) run .

.PHONY: benchmarks
benchmarks: ## Measure, and write docs/benchmarks.md and the figures of the README (BENCH_FROM=files takes kept rows)
	cd internal/bench && $(GO) run . $(if $(BENCH_FROM),-from '$(BENCH_FROM)') -doc ../../docs/benchmarks.md -short ../../README.md

# Tools, at the versions of tools/go.mod.
$(BIN)/buf: tools/go.mod
	@mkdir -p $(BIN)
	cd tools && $(GO) build -trimpath -o ../$@ github.com/bufbuild/buf/cmd/buf
$(BIN)/etcd: tools/go.mod
	@mkdir -p $(BIN)
	cd tools && $(GO) build -trimpath -o ../$@ go.etcd.io/etcd/server/v3
$(BIN)/staticcheck: tools/go.mod
	@mkdir -p $(BIN)
	cd tools && $(GO) build $(LAVISH) -trimpath -o ../$@ honnef.co/go/tools/cmd/staticcheck
