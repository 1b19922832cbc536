# SPDX-License-Identifier: GPL-2.0
# The targets that users call. Each is a line or two that calls scripts/. Kbuild builds the module itself: it reads the file
# Kbuild and never this one. `make help` lists the targets.

SHELL := /bin/bash
inside := scripts/in-root
programs := target/release/netkit-rs
# The folder of the module: a kernel that NETKIT_RS_KERNEL or NETKIT_RS_VARIANT names has a folder of its own.
ktarget := $(shell . scripts/lib/common.sh && echo $$ktarget)
$(if $(ktarget),,$(error no kernel to build for))
netkit_rs_ko := $(ktarget)/module/netkit_rs.ko
vm_timeout ?= 4500
kselftest_timeout ?= 5400
iproute2_timeout ?= 2400
races_timeout ?= 3600
RACE_SECONDS ?= 30

.DEFAULT_GOAL := module
.PHONY: module modtool source tools test-tools bench-tools test test-modules test-debug test-adopted test-races kernels test-endings mutants fuzz fuzz-long kselftest iproute2 demo bench bench-scale bench-takeover bench-docs check fmt rust-analyzer shell vm-shell load unload docs install setup clean distclean help

module: modtool ## build the module, target/module/netkit_rs.ko (the default target; CLIPPY=1 also lints it)
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

test-debug: ## run the selftests and the kernel's own tests on ours, on a kernel with KASAN, lockdep, kmemleak … (long)
	@scripts/test-debug $(TEST_ARGS)

# Bad input. The same seed gives the same input. A run that fails prints the numbers that repeat it.
FUZZ_SEED ?= 2026
FUZZ_FROM ?= 0
fuzz_timeout ?= 36000

fuzz: module test-tools test-modules ## run ten thousand operations with bad input on the C driver and on ours, and compare (FUZZ_SEED)
	@scripts/vm --name fuzz --timeout $(vm_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) \
		--filter fuzz:: --fuzz 10000 --seed $(FUZZ_SEED) $(TEST_ARGS)

fuzz-long: module test-tools ## run a million of them on ours alone (hours; FUZZ_SEED, FUZZ_FROM)
	@scripts/vm --name fuzz-long --timeout $(fuzz_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) \
		--fuzz-long --fuzz 1000000 --fuzz-steps 500 --seed $(FUZZ_SEED) --fuzz-from $(FUZZ_FROM) $(TEST_ARGS)

test-adopted: module test-tools test-modules ## run the selftests on devices that the C driver made and ours took over
	@scripts/vm --name adopted --timeout $(vm_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) --adopted \
		--skip fuzz:: --skip differential --skip races:: $(TEST_ARGS)

test-races: module test-tools test-modules ## run only the races, each for RACE_SECONDS (30)
	@scripts/vm --name races --timeout $(races_timeout) -- target/release/netkit-selftests --module $(netkit_rs_ko) --filter races:: --seconds $(RACE_SECONDS) $(TEST_ARGS)

kernels: ## run the quick selftests on every kernel on offer (FULL=1: all tests; KERNELS=RELEASE…, brief or all)
	@scripts/test-kernels $(if $(FULL),--full) --table docs/kernels.md $(KERNELS)

test-endings: module test-tools ## end a VM with the module loaded: by reboot(2), by kexec, after a forced removal
	@scripts/test-endings

mutants: modtool test-tools test-modules ## try small changes of the driver: a test must fail for each (hours; MUTANTS="--only xmit")
	@scripts/mutants $(MUTANTS)

# What is measured: the commit, and whether the checkout differs from it.
commit = $(shell git describe --always --dirty --abbrev=12)

bench: module bench-tools ## count instructions in a VM for C netkit, ours and veth; writes target/bench
	@scripts/vm --icount --name bench --timeout 3000 -- target/release/netkit-bench guest --commit '$(commit)' $(BENCH_ARGS)
	@$(inside) target/release/netkit-bench report

bench-scale: module bench-tools ## count instructions of operations beside 1 to 10,000 pairs, and the memory of a pair
	@for driver in c veth rust; do scripts/vm --icount --mem 6G --name "bench-scale-$$driver" --timeout 3000 -- target/release/netkit-bench \
		scale --driver "$$driver" --out "target/bench/scale-raw-$$driver.json" --commit '$(commit)' $(BENCH_ARGS) || exit; done
	@$(inside) target/release/netkit-bench report

bench-takeover: module bench-tools ## measure the takeover of 1 to 10,000 pairs: instructions, how long RTNL is held, packets lost
	@scripts/vm --icount --mem 6G --name bench-takeover --timeout 3000 -- target/release/netkit-bench takeover --commit '$(commit)' $(BENCH_ARGS)
	@$(inside) target/release/netkit-bench report

bench-docs: bench-tools ## put the newest results of the three into docs/
	@$(inside) target/release/netkit-bench report --docs docs

source: # unpacks the whole kernel source; building modules needs only a part
	@scripts/setup --whole-source

kselftest: source module tools ## run the kernel's own netkit tests in a VM, on the C driver and on ours
	@$(inside) python3 -B kselftest/build.py
	@scripts/vm --name kselftest --timeout $(kselftest_timeout) -- python3 kselftest/run.py $(TEST_ARGS)

iproute2: module tools ## build the patched iproute2 versions, and test them in a VM, on the C driver and on ours
	@$(inside) python3 -B iproute2-patches/build.py
	@scripts/vm --name iproute2 --timeout $(iproute2_timeout) -- python3 -B iproute2-patches/run.py $(TEST_ARGS)

demo: module tools ## boot the stock kernel in a VM, and show netkit devices change drivers under traffic
	@scripts/vm --name demo --timeout 300 -- demo/run

check: ## run all checks: formatting, lints, shellcheck, the rules for `unsafe`, unit tests …
	@scripts/check

fmt: ## format all Rust
	@$(inside) cargo fmt --all
	@$(inside) rustfmt --edition 2021 src/netkit_rs.rs

rust-analyzer: module ## write rust-project.json for rust-analyzer
	@$(inside) --build scripts/rust-analyzer

shell: setup ## open a shell in the root folder, which has the toolchain
	@$(inside) bash

vm-shell: setup ## open a shell in a VM on the stock kernel
	@scripts/vm --shell

load: module tools ## load the module into the running kernel, which takes over all netkit devices (as root)
	@$(programs) load $(netkit_rs_ko)

unload: ## hand all devices back, and unload the module (as root)
	@$(programs) unload

docs: ## write the manual pages and completions of netkit-rs to target/docs
	@$(inside) cargo run --quiet --release --locked -p netkit-rs --example docs -- target/docs

install: module tools docs ## install netkit-rs, its documentation and the module (PREFIX=/usr/local, DESTDIR=)
	@DESTDIR='$(DESTDIR)' PREFIX='$(or $(PREFIX),/usr/local)' scripts/install

setup: ## prepare the toolchain and the kernel in the cache folder (other targets do this when needed)
	@scripts/setup

clean: ## remove everything that was built in the checkout
	rm -rf target rust-project.json

distclean: clean ## remove the cache folder as well
	@scripts/remove-cache

help:
	@echo 'netkit-rs: make TARGET, where TARGET is one of'
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18
	@echo 'Environment: NETKIT_RS_CACHE, NETKIT_RS_MIRROR, NETKIT_RS_KERNEL, NETKIT_RS_NATIVE, NETKIT_RS_ACCEL, NETKIT_RS_VARIANT (see scripts/setup, scripts/vm)'

# Debian packages. DEB_MODULES="RELEASE=FILE …": modules for other kernels; each gets its own netkit-rs-modules package.

.PHONY: deb test-deb
deb_module = $$(grep -aom1 'vermagic=[^ ]*' $(netkit_rs_ko) | sed 's/vermagic=//')=$(netkit_rs_ko)
deb: module tools docs ## build the Debian packages in target/deb, and check them with lintian
	@scripts/deb $(deb_module) $(DEB_MODULES)

test-deb: deb ## test the packages on a Debian 13 in a VM: install, boot, kernel update, removal, purge
	@scripts/deb --version 0.1.1 --out target/deb-next $(deb_module)
	@scripts/test-deb $(TEST_ARGS)
