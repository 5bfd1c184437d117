# `make demo`, `make serve` and `make test` matter most, `make docs` builds the site. Each sets up its own virtual environment first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   ?= .venv
WORKERS ?= 2
BIN    := $(VENV)/bin

.PHONY: demo serve test slow lint docs peers counts clean

demo: $(VENV)/.installed
	$(BIN)/genre-gen demo --out runs/movies

# A server on this machine, which prints its address and a key. Without runs/movies, the demo trains it first.
serve: $(VENV)/.installed-serve
	test -e runs/movies/manifest.json || $(BIN)/genre-gen demo --out runs/movies
	$(BIN)/genre-gen serve movies --new-key

# Each worker computes with one thread, so that they do not wait for each other.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/pytest -n $(WORKERS)

slow: $(VENV)/.installed-dev
	$(BIN)/pytest -m slow

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict --config-file= --follow-imports=silent tests/interface.py  # as a user who checks strictly

# The documentation as a site, in site/. Strict: a broken link or a page that the navigation lacks is an error.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# LensKit and RecBole, each in an environment of its own, for the tests that exchange files with them; elsewhere those
# are skipped. RecBole needs NumPy below 2, so Python 3.12 at most.
peers: .venv-lenskit/.installed .venv-recbole/.installed

.venv-%/.installed: tests/peers/requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	if [ $* = recbole ]; then .venv-$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps recbole==1.2.1; fi
	touch $@

# How much there is: files and lines of each part, templates, result files.
counts:
	@for part in genre_gen tests eval; do echo "$$part: $$(git ls-files "$$part/*.py" | wc -l) files, $$(git ls-files -z "$$part/*.py" | xargs -0 cat | wc -l) lines"; done
	@echo "Markdown: $$(git ls-files '*.md' | grep -v -e results/ -e CHANGELOG | xargs cat | wc -l) lines"
	@echo "templates: $$(git ls-files 'prompts/*.jinja' | wc -l), result files: $$(git ls-files 'eval/results/*' | wc -l)"

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[plots,track]'
	touch $@

# With all that .installed has; so both are made at once where there is neither.
$(VENV)/.installed-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $(VENV)/.installed $@

$(VENV)/.installed-serve: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[plots,track,serve]'
	touch $@

clean:
	rm -rf $(VENV) .venv-lenskit .venv-recbole build dist site *.egg-info
