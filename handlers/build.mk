# Builds the functions' packages for `sam build`, without Docker. Included by handlers/targets/<target>/Makefile; the template's
# parameters choose the target, and scripts/build_function.py does the work.
here := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
root := $(abspath $(here)..)
target := $(notdir $(patsubst %/,%,$(dir $(abspath $(firstword $(MAKEFILE_LIST))))))

# Any Python from 3.11 on that has pip; it need not be the function's version.
PYTHON ?= $(firstword $(wildcard $(root)/.venv/bin/python) python3)

.PHONY: build-StreamFunction build-RecoveryFunction build-DrainFunction build-LoaderFunction
.PHONY: build-EmitterFunction build-CloserFunction build-WindowFunction
build-StreamFunction build-RecoveryFunction build-DrainFunction build-EmitterFunction build-CloserFunction build-WindowFunction:
	@cd "$(root)" && "$(PYTHON)" -m scripts.build_function "$(target)" "$(ARTIFACTS_DIR)"

# Apart, since nothing but the loader speaks with Redshift.
build-LoaderFunction:
	@cd "$(root)" && "$(PYTHON)" -m scripts.build_function "$(target)" "$(ARTIFACTS_DIR)" --package loader
