# make repro: everything from params.yaml to the posterior.  make help: the rest.
# EXTRAS=gpu (or jax, torch, wandb; separated by commas) installs more; PYTHON=... picks the interpreter.
# BACKEND=jax (or torch) installs that in place of TensorFlow.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install repro stale runs back check test test-slurm smoke lint report docs physics validate bench domain-gap fine-tuning clean

EXTRAS ?=
BACKEND ?= tensorflow
DEV := dev,sphere
comma := ,
space := $(subst ,, )

# Stages are run as `python -m stages.<name>`: that python must be the one of .venv, with nothing beside it.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH
export COSMOKERAS_WORK ?= $(CURDIR)/.work
export DVC_NO_ANALYTICS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export TF_CPP_MIN_LOG_LEVEL ?= 3

VENV := .venv/bin/python
# --use-pep517: jax-cosmo (EXTRAS=bench) has a setup.py alone, whose build asks for what an environment with `wheel` lacks
PIP := $(VENV) -m pip install --quiet --use-pep517 -c constraints.txt
DVC := $(VENV) -m dvc

# Stamps are named after both files, this folder and the extras: a change of any of them installs again.
HASH := $(shell (pwd; cat pyproject.toml constraints.txt) | cksum | tr ' ' -)
stamp = .venv/.installed-$(HASH)-$(subst $(space),-,$(sort $(subst $(comma), ,$(1))))
BASE_STAMP := $(call stamp,base $(BACKEND) $(EXTRAS))
DEV_STAMP := $(call stamp,base $(BACKEND) $(EXTRAS) $(DEV))
# the site needs its own extra, which `dev` holds as well
DOCS_STAMP := $(or $(wildcard $(DEV_STAMP)),$(call stamp,base $(BACKEND) $(EXTRAS) docs))

# The first interpreter that runs, has the right version and can make a virtual environment.
CANDIDATES := python3.13 python3.12 python3.11 python3
RIGHT := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c "import ensurepip; $(RIGHT)" >/dev/null 2>&1 && echo "$$p" && break; done)
BOTH_TENSORFLOWS := from importlib.metadata import version as v; v('tensorflow'), v('tensorflow-cpu')

# What a Slurm of its own needs; Debian keeps daemons in /usr/sbin.
SLURM_PARTS = (PATH=$$PATH:/usr/sbin:/sbin; command -v munged && command -v slurmctld && command -v slurmd && \
	command -v sbatch) >/dev/null
INSTALL_SLURM = timeout 300 sh -c 'apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends slurm-wlm munge shellcheck'
NO_SLURM := SKIPPED: the tests of Slurm jobs (tests/slurm), as slurm-wlm and munge are not installed here

# Two workers; the tests of a file share what they make, and tests/conftest.py puts the longest files first.
PYTEST := $(VENV) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

help:  ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(BASE_STAMP)  ## .venv with the pinned versions; every other target begins with it

repro: $(BASE_STAMP)  ## the whole pipeline: data, maps, network, evaluation, posterior of the real maps
	@$(DVC) pull data.dvc
	@$(DVC) repro

stale: $(BASE_STAMP)  ## which results in dvc.lock are up to date, and why others are not; changes nothing
	@$(VENV) -m stages.inputs --stale
	@$(VENV) -m study.recorded

check: $(DEV_STAMP) lint  ## linters, types and the quick tests, in three minutes; run before a commit
	@$(DVC) pull data.dvc
	@$(PYTEST) -m "not slow and not long"

test: $(DEV_STAMP) lint  ## linters and all tests but those marked long
	@$(DVC) pull data.dvc
	@$(SLURM_PARTS) || { [ "$$(id -u)" = 0 ] && $(INSTALL_SLURM); } >/dev/null 2>&1 || true
	@$(PYTEST) -m "not long" $$( $(SLURM_PARTS) || echo --ignore tests/slurm )
	@$(SLURM_PARTS) || echo "$(NO_SLURM)"

test-slurm: $(DEV_STAMP)  ## tests of jobs on a Slurm of two nodes that it starts here (installed if missing, for root on Debian)
	@$(SLURM_PARTS) || { [ "$$(id -u)" = 0 ] && $(INSTALL_SLURM); } >/dev/null 2>&1 || true
	@if $(SLURM_PARTS); then $(PYTEST) tests/slurm; else echo "$(NO_SLURM)"; fi

lint: $(DEV_STAMP)  ## rules, formatting, types, spelling
	@$(VENV) -m ruff check
	@$(VENV) -m ruff format --check
	@$(VENV) -m mypy
	@$(VENV) -m codespell_lib

docs: $(DOCS_STAMP)  ## the documentation as a website that works offline: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(VENV) -m mkdocs build --strict --quiet
	@echo "open site/index.html"

runs: $(BASE_STAMP)  ## all runs in a table: what was changed, error, gain, coverage, posterior, minutes
	@$(VENV) -m study.compare_runs

back:  ## restore parameters, metrics, plots and outputs as committed; your changes go into `git stash`
	@git stash push --quiet --message "make back" -- params.yaml dvc.lock metrics plots outputs/inputs
	@$(DVC) checkout --quiet --allow-missing

smoke: export COSMOKERAS_WORK := .work
smoke: $(BASE_STAMP)  ## all stages on tiny numbers in a temporary folder, recorded as the experiment "smoke"
	@$(DVC) pull data.dvc
	@$(DVC) exp run --temp --force --name smoke $(shell cat tests/smoke.txt)

report: $(BASE_STAMP)  ## one self-contained page about the run: report/index.html
	@$(VENV) -m study.report

physics: $(BASE_STAMP)  ## compare each simulator with theory: figures in plots/physics
	@$(DVC) pull data.dvc
	@$(VENV) -m study.physics_check

validate: $(DEV_STAMP)  ## tests marked long, and slow validation of the whole pipeline (two to three hours; needs `make repro` first)
	@$(PYTEST) -m long
	@$(VENV) -m benchmarks.validate

bench: $(DEV_STAMP)  ## simulators, training, loading and posterior estimation (most of an hour), compared with other codes where installed; learning rates for many devices
	@$(DVC) pull data.dvc
	@$(VENV) -m benchmarks.simulators
	@$(VENV) -m benchmarks.training
	@$(VENV) -m benchmarks.npe
	@$(VENV) -m benchmarks.loading
	@$(VENV) -m benchmarks.forward
	@$(VENV) -m benchmarks.scaling

domain-gap: $(DEV_STAMP)  ## networks on maps unlike their training maps: metrics/domain_gap.json and its figure (an hour)
	@$(DVC) pull data.dvc
	@$(VENV) -m study.domain_gap

fine-tuning: $(DEV_STAMP)  ## fine-tuning of a network on few expensive maps: metrics/fine_tuning.json (an hour and a half)
	@$(DVC) pull data.dvc
	@$(VENV) -m study.fine_tuning

clean:  ## remove .venv, caches and unfinished work; outputs, metrics and plots stay
	rm -rf .venv .work build dist site .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BASE_STAMP): WANTED := $(BACKEND)$(if $(EXTRAS),$(comma)$(EXTRAS))
$(DEV_STAMP): WANTED := $(BACKEND)$(if $(EXTRAS),$(comma)$(EXTRAS))$(comma)$(DEV)
$(call stamp,base $(BACKEND) $(EXTRAS) docs): WANTED := $(BACKEND)$(if $(EXTRAS),$(comma)$(EXTRAS))$(comma)docs
.venv/.installed-%:
	$(eval PYTHON := $(PYTHON))
	@[ -n "$(PYTHON)" ] || { \
		for p in $(CANDIDATES); do "$$p" -c "$(RIGHT)" >/dev/null 2>&1 && \
			echo "$$p cannot make virtual environments: install that part of it, e.g. apt install python3-venv" >&2 && exit 1; \
		done; \
		echo "no Python 3.11 to 3.13 found: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c "$(RIGHT)" || { echo "PYTHON=$(PYTHON): not a Python 3.11 to 3.13" >&2; exit 1; }
	@[ -x $(VENV) ] && $(VENV) -m pip --version >/dev/null 2>&1 || \
		{ echo "making .venv with $(PYTHON)" && "$(PYTHON)" -m venv --clear .venv; }
	@echo "installing cosmokeras$(if $(WANTED),[$(WANTED)]) into .venv: a minute or two, once"
	@$(PIP) --editable '.$(if $(WANTED),[$(WANTED)])'
	@# tensorflow and tensorflow-cpu write the same files: where both came, tensorflow alone must remain
	@if $(VENV) -c "$(BOTH_TENSORFLOWS)" 2>/dev/null; then \
		$(VENV) -m pip uninstall --quiet --yes tensorflow-cpu && $(PIP) --force-reinstall --no-deps tensorflow; fi
	@find .venv -maxdepth 1 -name '.installed-*' ! -name '.installed-$(HASH)-*' -delete
	@touch $@ $(BASE_STAMP)
