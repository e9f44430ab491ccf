# The commands to remember: demo · test · check · bench · faults. Each sets up what it needs.
BIN := .venv/bin
ARGS ?=

.PHONY: setup demo test test-board test-install check bench faults mutations lock docs
setup:
	@sh scripts/bootstrap.sh

demo: setup
	@$(BIN)/wayside demo $(ARGS)

# Three at a time: half of what tests do is to wait for brokers, deadlines and pauses.
test: setup
	@$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

# Real kernel interfaces; the first run builds a kernel (docs/how-to/run-on-a-virtual-board.md).
test-board: setup
	@sh scripts/board.sh && $(BIN)/python -m pytest -m board -n 2 --dist worksteal tests/board $(ARGS) || [ $$? -eq 75 ]

# Installs boards by the line that people type, in Debian systems of their own; as root, the first run makes those.
test-install: setup
	@sh scripts/debian_roots.sh && $(BIN)/python -m pytest -m install tests/install $(ARGS) || [ $$? -eq 75 ]

check: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

faults: setup
	@$(BIN)/python -m tests.faults $(ARGS)

# Takes each safeguard away in a copy of the tree and wants the tests red.
mutations: setup
	@$(BIN)/python scripts/mutation_gate.py $(ARGS)

docs: setup
	@$(BIN)/python scripts/reference.py

lock: setup
	@for set in all edge compute pkcs11 server; do \
	  case $$set in all) extra="--all-extras --group dev --group peers";; \
	    compute|pkcs11) extra="--extra edge --extra $$set";; *) extra="--extra $$set";; esac; \
	  $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header $$extra \
	    pyproject.toml -o requirements/$$set.lock; done
	@echo pip | $(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header - \
	  -o requirements/installer.lock
