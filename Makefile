# Makes the environment and passes on to doit. Without make: python -m doit list
SHELL := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python -m doit
# uv does not read PIP_FIND_LINKS. A folder of wheels then serves both installers.
UV     := UV_FIND_LINKS="$$PIP_FIND_LINKS" $(VENV)/bin/uv pip install --compile-bytecode --python $(VENV)/bin/python

.PHONY: figures paper test docs readme export release-check

figures: $(VENV)/.done        ## all tables and figures: make figures [COHORT=name or folder] [PROFILE=standard]
	@$(RUN) $(ARGS) figures cohort="$(COHORT)" profile="$(PROFILE)"

paper: export                    ## the full run on the cohort of the paper; refreshes the tracked files
	@$(RUN) $(ARGS) paper

test: $(VENV)/.done           ## every notebook in the fast profile, and the repository
	@$(RUN) test

docs: $(VENV)/.docs           ## the documentation in _site/html
	@$(RUN) docs

readme export: $(VENV)/.done  ## README.md, or bmm/, from the notebooks
	@$(RUN) $@

release-check: $(VENV)/.done  ## fails on stale outputs
	@$(RUN) release_check

$(VENV)/.done: settings.ini setup.py constraints.txt
	@echo "Installing bmm with PyTorch, scikit-learn and Jupyter (1 to 2 minutes, about 1.5 GB) in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -q uv && $(UV) -c constraints.txt -e '.[dev]' 2>&1 | grep -v '^ [-+~]' \
	  || $(VENV)/bin/pip install -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.done
	@echo "Installing Sphinx in $(VENV)"
	@$(UV) -c constraints.txt -e '.[dev,docs]' || $(VENV)/bin/pip install -c constraints.txt -e '.[dev,docs]'
	@touch $@
