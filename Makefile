# SPDX-License-Identifier: GPL-2.0
# The commands that a user types. Each is a line or two on top of scripts/; the module itself is built by Kbuild, which
# reads the file Kbuild and never this one. `make help` lists them.

SHELL := /bin/bash
inside := scripts/in-root
programs := target/release/netkit-rs
# Where the module lies: what is built for a kernel that NETKIT_RS_KERNEL or NETKIT_RS_VARIANT names has a folder of its own.
ktarget := $(shell . scripts/lib/common.sh && echo $$ktarget)
$(if $(ktarget),,$(error no kernel to build for))
netkit_rs_ko := $(ktarget)/module/netkit_rs.ko
vm_timeout ?= 3000
kselftest_timeout ?= 5400
iproute2_timeout ?= 2400
races_timeout ?= 3600
RACE_SECONDS ?= 30

.DEFAULT_GOAL := module
.PHONY: module modtool source tools test-tools bench-tools test test-modules test-debug test-adopted test-races kernels test-endings mutants fuzz fuzz-long kselftest iproute2 demo bench bench-scale bench-takeover bench-docs check fmt rust-analyzer shell vm-shell load unload docs install setup clean distclean help

module: modtool ## build target/module/netkit_rs.ko (the default; CLIPPY=1 lints it, too)
	@$(inside) --build scripts/build-module

modtool:
	@$(inside) scripts/cargo-build -p modtool

tools: ## build the command netkit-rs
	@$(inside) scripts/cargo-build -p netkit-rs

test-tools: tools
	@$(inside) scripts/cargo-build -p netkit-selftests

bench-tools: tools
	@$(inside) scripts/cargo-build -p netkit-bench

test-modules: setup
	@$(inside) --build scripts/build-test-modules

test: module test-tools test-modules ## run the selftests in a VM, on the C driver and on ours
	@scripts/vm --name test --timeout $(vm_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) $(TEST_ARGS)

test-debug: ## the selftests, on ours, and the kernel's own tests on a kernel with KASAN, lockdep, kmemleak … (long)
	@scripts/test-debug $(TEST_ARGS)

# Bad input. What the same seed does is the same; a run that failed says with which numbers to repeat it.
FUZZ_SEED ?= 2026
FUZZ_FROM ?= 0
fuzz_timeout ?= 36000

fuzz: module test-tools test-modules ## ten thousand operations with bad input, on the C driver and on ours, compared (FUZZ_SEED)
	@scripts/vm --name fuzz --timeout $(vm_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) \
		--filter fuzz:: --fuzz 10000 --seed $(FUZZ_SEED) $(TEST_ARGS)

fuzz-long: module test-tools ## a million on ours alone, best with NETKIT_RS_VARIANT=debug (hours): FUZZ_SEED, FUZZ_FROM
	@scripts/vm --name fuzz-long --timeout $(fuzz_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) \
		--fuzz-long --fuzz 1000000 --fuzz-steps 500 --seed $(FUZZ_SEED) --fuzz-from $(FUZZ_FROM) $(TEST_ARGS)

test-adopted: module test-tools test-modules ## the selftests on devices that C has made and ours has taken over
	@scripts/vm --name adopted --timeout $(vm_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) --adopted \
		--skip fuzz:: --skip differential --skip races:: $(TEST_ARGS)

test-races: module test-tools test-modules ## the races alone, each for RACE_SECONDS (30)
	@scripts/vm --name races --timeout $(races_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) --filter races:: --seconds $(RACE_SECONDS) $(TEST_ARGS)

kernels: ## the selftests on every kernel on offer: the quick subset, or FULL=1 all (KERNELS=RELEASE…, brief or all)
	@scripts/test-kernels $(if $(FULL),--full) --table docs/kernels.md $(KERNELS)

test-endings: module test-tools ## end a VM by reboot(2), by kexec, and after a forced removal
	@scripts/test-endings

mutants: modtool test-tools test-modules ## does a test fail for each small change of the driver? (hours): MUTANTS="--only xmit"
	@scripts/mutants $(MUTANTS)

# What was measured: the commit, and whether there is more than it.
commit = $(shell git describe --always --dirty --abbrev=12)

bench: module bench-tools ## count instructions in a VM: C netkit, ours, veth; the result goes to target/bench
	@scripts/vm --icount --name bench --timeout 3000 -- target/release/netkit-bench guest --commit '$(commit)' $(BENCH_ARGS)
	@$(inside) target/release/netkit-bench report

bench-scale: module bench-tools ## the same for operations beside 1 to 10,000 pairs, and the memory of a pair
	@for driver in c veth rust; do scripts/vm --icount --mem 6G --name "bench-scale-$$driver" --timeout 3000 -- target/release/netkit-bench \
		scale --driver "$$driver" --out "target/bench/scale-raw-$$driver.json" --commit '$(commit)' $(BENCH_ARGS) || exit; done
	@$(inside) target/release/netkit-bench report

bench-takeover: module bench-tools ## what taking over 1 to 10,000 pairs costs, how long RTNL is held, what gets lost
	@scripts/vm --icount --mem 6G --name bench-takeover --timeout 3000 -- target/release/netkit-bench takeover --commit '$(commit)' $(BENCH_ARGS)
	@$(inside) target/release/netkit-bench report

bench-docs: bench-tools ## put the newest results of these into docs/
	@$(inside) target/release/netkit-bench report --docs docs

source: # the whole kernel source, where modules are built from a part
	@scripts/setup --whole-source

kselftest: source module tools ## run the kernel's own netkit tests in a VM, on the C driver and on ours
	@$(inside) python3 -B kselftest/build.py
	@scripts/vm --name kselftest --timeout $(kselftest_timeout) -- python3 kselftest/run.py $(TEST_ARGS)

iproute2: module tools ## build the patched iproute2 versions, and test them in a VM, on the C driver and on ours
	@$(inside) python3 -B iproute2-patches/build.py
	@scripts/vm --name iproute2 --timeout $(iproute2_timeout) -- python3 -B iproute2-patches/run.py $(TEST_ARGS)

demo: module tools ## show a Rust netkit at work in a VM
	@scripts/vm --name demo --timeout 300 -- demo/run

check: ## formatting, lints of the programs and the module, shellcheck, the rules for `unsafe`
	@scripts/check

fmt: ## format all Rust
	@$(inside) cargo fmt --all
	@$(inside) rustfmt --edition 2021 src/netkit_rs.rs

rust-analyzer: module ## write rust-project.json for rust-analyzer
	@$(inside) --build scripts/rust-analyzer

shell: setup ## a shell in the root folder
	@$(inside) bash

vm-shell: setup ## a shell in a VM on the stock kernel
	@scripts/vm --shell

load: module tools ## load the module into the running kernel (as root)
	@$(programs) load

unload: ## unload it (as root)
	@$(programs) unload

docs: ## write the manual pages and completions of netkit-rs to target/docs
	@$(inside) cargo run --quiet --release --locked -p netkit-rs --example docs -- target/docs

install: module tools docs ## install netkit-rs, its documentation and the module (PREFIX=/usr/local, DESTDIR=)
	@DESTDIR='$(DESTDIR)' PREFIX='$(or $(PREFIX),/usr/local)' scripts/install

setup: ## prepare what building and testing need, in the cache folder
	@scripts/setup

clean: ## remove what was built here
	rm -rf target rust-project.json

distclean: clean ## remove the cache folder, too
	@scripts/remove-cache

help:
	@echo 'netkit-rs: make TARGET, where TARGET is one of'
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo 'Environment: NETKIT_RS_CACHE, NETKIT_RS_MIRROR, NETKIT_RS_KERNEL, NETKIT_RS_NATIVE, NETKIT_RS_ACCEL, NETKIT_RS_VARIANT (see scripts/setup, scripts/vm)'

# Debian packages. DEB_MODULES="RELEASE=FILE …": modules of other kernels, each for a netkit-rs-modules package of its own.

.PHONY: deb test-deb
deb_module = $$(grep -aom1 'vermagic=[^ ]*' $(netkit_rs_ko) | sed 's/vermagic=//')=$(netkit_rs_ko)
deb: module tools docs ## build the Debian packages into target/deb, and let lintian read them
	@scripts/deb $(deb_module) $(DEB_MODULES)

test-deb: deb ## try the packages on a real Debian 13 in a VM: install, boot, kernel update, removal, purge
	@scripts/deb --version 0.1.1 --out target/deb-next $(deb_module)
	@scripts/test-deb $(TEST_ARGS)
