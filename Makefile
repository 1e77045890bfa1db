# SPDX-License-Identifier: MIT
# Every task of the project. `make` alone builds the guide; `make help` lists the rest.
export LC_ALL := C.UTF-8
# Python's caches beside the sources would make them look changed.
export PYTHONDONTWRITEBYTECODE := 1
# The same commit gives the same PDF and man pages, whenever they are made.
ifndef SOURCE_DATE_EPOCH
export SOURCE_DATE_EPOCH := $(shell if [ -e .git ]; then git log -1 --format=%ct; else date +%s; fi)
endif
export PATH := $(PATH):/usr/sbin:/sbin

PYTHON := .venv/bin/python
VENV := .venv/requirements.lock.installed
HTML := build/html/index.html
PDF := build/pdf/securing-xen.pdf
MAN := build/man/securing-xen.7
EPUB := build/epub/securing-xen.epub
PREFIX := /usr/local
BROWSER := .venv/requirements-browser.lock.installed
# Folders are listed too: they are younger than the results once a file in them is gone.
SOURCES := $(VENV) conf.py pyproject.toml $(wildcard build/evidence.json build/exposure-measured.json) \
	$(shell find source examples latex tests/lab tests/transcripts -not -path "*__pycache__*")

# One environment for all formats. It forgets the warnings of pages that it has read: after a failure read all again.
sphinx = $(PYTHON) -m sphinx -q -nW --keep-going -c . -d build/doctrees -b $(1) source build/$(1) \
	|| { rm -rf build/doctrees; exit 1; }

# A folder of build/ as an archive: the same bytes for the same files. What only Sphinx needs stays out.
packed = tar --create --directory=build --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner \
	--mode=u=rwX,go=rX --exclude='.buildinfo*' $(1) | gzip --no-name >build/dist/securing-xen-$(1).tar.gz

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: all help html pdf man epub install-man dist test test-browser test-xen xen-shell update mutants convert bench linkcheck live clean

all: html man  ## the guide: html, man and, if TeX is there, pdf (this is what `make` alone does)
	@if ./install-packages.sh pdf; then $(MAKE) --no-print-directory --silent pdf; else rm -rf build/pdf; fi
	@ls $(HTML) build/pdf/*.pdf build/man/*.[78] 2>/dev/null || true

help:  ## this list
	@echo 'Run as root, a task first installs the distribution packages that it lacks (apt-get install).'
	@echo 'Run by anybody else, it names them, leaves out what needs them, and does the rest.'
	@echo
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

html: $(HTML)  ## build/html/
pdf: $(PDF)  ## build/pdf/securing-xen.pdf
man: $(MAN)  ## build/man/*.[78]
epub: $(EPUB)  ## build/epub/securing-xen.epub

install-man: $(MAN)  ## put the man pages into $(DESTDIR)$(PREFIX)/share/man, PREFIX=/usr/local
	install -d "$(DESTDIR)$(PREFIX)/share/man/man7" "$(DESTDIR)$(PREFIX)/share/man/man8"
	install -m 644 build/man/*.7 "$(DESTDIR)$(PREFIX)/share/man/man7"
	install -m 644 build/man/*.8 "$(DESTDIR)$(PREFIX)/share/man/man8"

dist: html pdf man epub  ## build/dist/: every format, the examples and what the tests kept, with their SHA-256 sums
	@rm -rf build/dist && mkdir -p build/dist
	@cp $(PDF) $(EPUB) build/html/securing-xen-examples.tar.gz $(wildcard build/*.json) build/dist/
	@$(call packed,html)
	@$(call packed,man)
	@cd build/dist && sha256sum -- * >SHA256SUMS && cat SHA256SUMS

test: $(if $(PAGE),$(VENV),all epub)  ## build the guide, then run every test; PAGE=source/....md runs the commands of one page
	@./install-packages.sh test || true
	@$(PYTHON) -m pytest $(if $(PAGE),--quiet -k test_page --page $(PAGE) tests/test_transcripts.py,--numprocesses 8 --dist worksteal)

test-browser: html $(BROWSER)  ## build the pages, then look at them in Chromium, as readers do
	@./install-packages.sh browser || true
	@$(PYTHON) -m pytest --numprocesses 2 --dist worksteal tests/browser

test-xen: $(VENV)  ## run what needs a hypervisor, on real Xen nodes in QEMU (some GB of memory; the first time, downloads)
	@./install-packages.sh xen
	@$(PYTHON) -m tests.lab.hypervisor prepare
	@$(PYTHON) -m pytest --verbose --numprocesses 2 --dist worksteal tests/xen

xen-shell: $(VENV)  ## a running cluster of Xen nodes: SCENARIO=isolated-management-network, XEN=4.17 or 4.20
	@./install-packages.sh xen
	@$(PYTHON) -m tests.lab.hypervisor shell $(SCENARIO) $(XEN)

update: $(VENV)  ## write what the commands print now into the pages, or into PAGE=source/....md; see git diff
	@./install-packages.sh test || true
	@$(PYTHON) -m tests.transcripts.update $(PAGE)

mutants: $(VENV)  ## break the examples one at a time, and see a test fail each time (some hours)
	@./install-packages.sh test || true
	@$(PYTHON) -m tests.mutants

convert: $(VENV)  ## turn the LaTeX chapter into pages and example files, in build/convert/
	@$(PYTHON) latex/tex2myst.py latex/securing-xen.tex build/convert
	@echo 'The result is in build/convert/'

bench: $(VENV)  ## how long things take, as ratios
	@./install-packages.sh bench || true
	@$(PYTHON) -m tests.bench

linkcheck: $(VENV)  ## try every link to another site
	@$(call sphinx,linkcheck)

live: $(VENV)  ## serve the guide on http://127.0.0.1:8000, rebuild and reload on save
	@$(PYTHON) -m sphinx_autobuild --watch examples --watch latex --watch tests/lab/topology.py --watch conf.py -n -c . source build/live

clean:  ## remove build/, with what the tests kept there (.venv/ stays)
	rm -rf build

$(VENV): requirements.lock
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@./install-packages.sh venv
	@echo 'Installing requirements.lock into .venv/'
	@python3 -m venv --clear .venv
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(BROWSER): requirements-browser.lock $(VENV)
	@echo 'Installing requirements-browser.lock into .venv/'
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-browser.lock
	@touch $@

$(HTML): $(SOURCES)
	@$(call sphinx,html)
	@touch $@

# Whatever is in its folder is installed.
$(MAN): $(SOURCES)
	@rm -rf build/man
	@$(call sphinx,man)
	@touch $@

# The book is made of whatever is in its folder.
$(EPUB): $(SOURCES)
	@rm -rf build/epub
	@$(call sphinx,epub)
	@touch $@

$(PDF): $(SOURCES)
	@./install-packages.sh pdf
	@$(call sphinx,latex)
	@cd build/latex && latexmk -pdf -interaction=nonstopmode -halt-on-error securing-xen.tex </dev/null \
		>latexmk.out 2>&1 || { cat latexmk.out; exit 1; }
	@mkdir -p build/pdf && cp build/latex/securing-xen.pdf $@
