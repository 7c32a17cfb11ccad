# Two commands for a fresh clone, each complete by itself: `make phone` and `make test`. Both set up .venv, build the guest
# kernels when their sources are newer, and then do their job. The name of the stamp carries a checksum of the two files
# that decide what is installed, so a second run does not even ask pip.
#
#   make phone ARGS="--headless --for 2s"      make test ARGS="tests/arch -x"

PY    := .venv/bin/python
STAMP := .venv/.installed-$(shell cat pyproject.toml constraints.txt scripts/setup.sh | cksum | cut -d' ' -f1)
ARGS  ?=

MODULES := virtio_mmio,virtio_blk,virtio_net,virtio_rng,virtio_console,virtio_input,evdev,ext4,crc32c_generic

.PHONY: help phone test mutants linux soak setup guests study book bench check warm constraints clean

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

phone: guests  ## boot both personas and watch the phone, live
	@$(PY) -m minivisor phone $(ARGS)

test: guests  ## all tests, at most five minutes; in CI `make check` first
	@$(if $(CI),$(MAKE) --no-print-directory check)
	@$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

soak: guests  ## hostile guests, ten million operations; a seed that breaks something is printed
	@$(PY) -m tests.fuzz.soak $(ARGS)

mutants: guests  ## does a test notice? One fault at a time in a copy of the sources, about half an hour
	@$(PY) -m tests.mutants $(ARGS)

linux: $(STAMP)  ## a small initrd for Debian's arm64 kernel, with its virtio modules (apt, dpkg)
	@$(PY) scripts/linux_initrd.py build/linux/initrd.gz --modules $(MODULES)

study: guests  ## chapters and labs in JupyterLab
	@$(PY) -m minivisor study $(ARGS)

book: guests  ## docs/gallery.html and docs/viewer.html: every diagram, and a page that opens traces
	@$(PY) -m minivisor.views.gallery

bench: guests  ## measure, each row a ratio against a named peer; writes docs/numbers.md
	@$(PY) -m minivisor bench $(or $(ARGS),--write docs/numbers.md)

warm: guests  ## compile the hot loops now
	@$(PY) -m minivisor warm

check: $(STAMP)  ## ruff, mypy --strict, and that imports point one way
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/test_imports.py

setup: guests  ## .venv and the guest kernels, nothing else

guests: $(STAMP)
	@$(PY) guest-kernels/build.py

$(STAMP):
	@sh scripts/setup.sh $@

constraints: $(STAMP)  ## choose all versions anew (network), and prove them to be wheels on every machine
	@$(PY) -m pip install -q uv
	@$(PY) scripts/lock.py
	@$(PY) scripts/check_wheels.py

clean:  ## everything that was made, .venv included
	rm -rf .venv build dist artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis minivisor/guests/*.elf
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
