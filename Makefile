# make demo    the stream-echo example under supervisord, from nothing to its last message
# make test    all tests;  make lint, make types: what .ci/run runs as well
# make simulate SEEDS=A-B, make fuzz N=… SEED=…, make sabotage: more of what the tests do a little of
# make bench   the figures of docs/performance.md, beside those of other systems (20 minutes; QUICK=1: 3; ONLY=rpc,…)
# make profile WHAT=rpc|stream|relay   where the time goes, in benchmarks/results/
# make chaos FAULTS=n SEED=s [SCENARIO=a,b]   faults on real processes; docs/reliability.md says which
# make soak MINUTES=n SEED=s   a mixed load with a fault a minute, and what memory does meanwhile
# make setup   the environment in .venv, for use by hand
#
# Nothing here needs an activated environment. PYTHON=… chooses the interpreter (3.11 or newer).

BIN := .venv/bin
EXAMPLE := examples/stream-echo
COMMA := ,
GEN := actr gen --input protos --output generated --language python
SIDES := $(sort $(dir $(wildcard examples/*/*/Actr.toml)))

# supervisord interprets % in the path of its configuration, and a shell the others in the programs that pip writes.
misread := $(strip $(foreach letter,$$ % " \ `,$(findstring $(letter),$(CURDIR))))
ifneq ($(misread),)
$(error the path $(CURDIR) has $(firstword $(misread)) in it, with which supervisord or pip can't work: \
	move the clone to another folder)
endif

# An environment that was copied along with its clone points to where it came from: install again.
ifneq ($(shell cat .venv/.installed 2>/dev/null),$(CURDIR))
.venv/.installed: FORCE
endif

# So does a PYTHON that was given where the environment is of another one.
ifneq ($(PYTHON),)
WHICH := -c 'import os, sys; print(os.path.realpath(sys.executable))'
ifneq ($(shell exec 2>/dev/null; "$(PYTHON)" $(WHICH) || echo none),$(shell exec 2>/dev/null; $(BIN)/python $(WHICH)))
.venv/.installed: FORCE
endif
endif

.DEFAULT_GOAL := setup
.PHONY: setup dev gen demo docs test chaos soak simulate fuzz sabotage bench profile lint types format clean FORCE

setup: .venv/.installed

dev: .venv/.installed-dev

.venv/.installed: pyproject.toml
	@for python in $(if $(PYTHON),"$(PYTHON)",python3 python python3.14 python3.13 python3.12 python3.11); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; python=; \
	done; \
	[ -n "$$python" ] || { echo "actrzmq needs Python 3.11 or newer$(if $(PYTHON),$(COMMA) which $(PYTHON) is not):" \
		"make PYTHON=/path/to/python3" >&2; exit 1; }; \
	echo "setting up .venv"; \
	same=$$("$$python" -c 'import os, sys; print(os.path.realpath(sys.executable))'); \
	there=$$($(BIN)/python -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null); \
	[ "$$same" = "$$there" ] && clear= || clear=--clear; \
	"$$python" -m venv $$clear .venv
	@echo "installing actrzmq and what it needs, about half a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@printf %s "$(CURDIR)" > $@

.venv/.installed-dev: .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Where not all can be had, as many as possible: what is missing is not shown, and tried again the next time.
.venv/.installed-bench: .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' && touch $@ || \
		$(BIN)/python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
			print(*project['optional-dependencies']['bench'], sep='\n')" | while read -r peer; do \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$peer" || echo "not shown: $$peer" >&2; \
		done

gen: setup
	@for side in $(SIDES); do (cd $$side && ../../../$(BIN)/$(GEN)) || exit; done

demo: setup
	@$(BIN)/python $(EXAMPLE)/demo.py

docs: dev
	$(BIN)/python -m actrzmq.cli.manual > docs/cli.md

test: dev
	$(BIN)/python -m pytest -n 3 -m "not serial"  # on 2 cores: many tests wait for processes
	$(BIN)/python -m pytest -m serial || [ $$? = 5 ]  # 5: none are marked so

bench: .venv/.installed-bench
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS)) \
		$(if $(PUBLISH),--publish)

profile: .venv/.installed-bench
	@$(BIN)/python -m benchmarks.profiling $(or $(WHAT),rpc)

chaos: dev
	@$(BIN)/python -m tests.chaos --faults $(or $(FAULTS),10) --seed $(or $(SEED),1) \
		$(if $(SCENARIO),--scenario $(SCENARIO)); code=$$?; $(BIN)/python -m tests.chaos.render && exit $$code

soak: dev
	@$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1); \
		code=$$?; $(BIN)/python -m tests.chaos.render && exit $$code

# What takes longer, each bounded and from a seed; what comes of it is appended to docs/reliability/results.jsonl.

SEEDS ?= 0-9999
N ?= 1000000
SEED ?= 1

simulate: dev
	$(BIN)/python -m tests.core.simulate $(SEEDS)

fuzz: dev
	$(BIN)/python -m tests.fuzz.run $(N) --seed $(SEED)

sabotage: dev
	$(BIN)/python -m tests.sabotage

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev gen
	@$(BIN)/python -m benchmarks.messages
	$(BIN)/mypy
	$(BIN)/mypy $(EXAMPLE)/*.py
	@for side in $(SIDES); do (cd $$side && \
		MYPYPATH=../../.. ../../../$(BIN)/mypy --config-file ../../../pyproject.toml *.py) || exit; done
	@for program in examples/echo/decorated/*.py; do $(BIN)/mypy $$program || exit; done

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf $(addsuffix generated,$(SIDES)) benchmarks/generated
	find benchmarks/results -mindepth 1 -maxdepth 1 ! -name published -exec rm -rf {} + 2>/dev/null || true
	find run -type f ! -name .gitignore -delete
