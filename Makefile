# Each recipe is a line; the work and its reasons are in scripts/.
.DEFAULT_GOAL := help
.PHONY: help run test lint format release bench bench-compare bench-micro bench-test test-kernels fuzz

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## install what is missing, build, start examples/quickstart.yaml
	@scripts/run

test: ## install what is missing, run all tests
	@scripts/test

lint: ## format, white space, shell scripts, warnings as errors
	@scripts/lint

format: ## format the Swift sources in place
	@scripts/format

release: ## the release binary: .build/release/ringway
	@scripts/release

bench: release ## measure Ringway beside nginx, HAProxy and Envoy (BENCH="--quick")
	@scripts/install-dependencies bench
	@Benchmarks/bench --ringway .build/release/ringway $(BENCH)

bench-compare: ## what changed since BASE=<commit>, beyond noise
	@test -n "$(BASE)" || { echo 'usage: make bench-compare BASE=<commit>' >&2; exit 64; }
	@scripts/install-dependencies bench
	@Benchmarks/compare $(BASE) $(BENCH)

bench-micro: ## instructions and allocations of single operations, against their thresholds (MICRO="--update")
	@scripts/install-dependencies micro
	@Benchmarks/micro $(MICRO)

bench-test: ## the benchmark suite's own tests
	@cd Benchmarks && python3 -m unittest

test-kernels: ## boot Debian's oldest supported and newest kernels, and one too old (BINARY=path)
	@scripts/test-kernels $(BINARY)

fuzz: ## run the fuzz targets (TARGETS="name", SECONDS_EACH=60)
	@scripts/fuzz $(TARGETS)
