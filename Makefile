PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Small matrices run fastest with one thread each; the runner uses the second core for a second notebook.
export OMP_NUM_THREADS := 1

.PHONY: figures test export docs

figures: export                        ## every notebook, table and figure: make figures [COHORT=tcga-brca|synthetic|digits|folder]
	@$(BIN)/bmm reproduce $(if $(COHORT),--cohort "$(COHORT)") $(ARGS)

test: $(VENV)/.done                    ## every notebook in its fast profile, and the repository's own consistency
	$(BIN)/python -m pytest -q -n 2 tests $(ARGS)

export: $(VENV)/.done                  ## notebooks -> bmm/*.py
	@$(BIN)/nbdev_export

docs: export $(VENV)/.docs             ## the documentation site, offline, in _site/html
	@$(BIN)/bmm site docs

# Compiled once here, or every kernel compiles torch again where Python may not write bytecode.
# uv does not read PIP_FIND_LINKS, so it is passed on: a folder of wheels then serves both installers.
$(VENV)/.done: settings.ini setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q uv && UV_FIND_LINKS="$$PIP_FIND_LINKS" $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python \
	  -c constraints.txt -e '.[dev]' || $(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.done
	UV_FIND_LINKS="$$PIP_FIND_LINKS" $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[docs]' \
	  || $(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	@touch $@
