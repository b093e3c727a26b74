# Every target makes .venv first, and again if pyproject.toml or constraints.txt changed, or the checkout was moved.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
STAMP := $(VENV)/.installed
# A file of tests runs in one process; tests/conftest.py orders the files by tests/durations.json, the longest first.
PYTEST := $(VENV)/bin/pytest --dist loadfile --no-loadscope-reorder --durations 10

.PHONY: run install test test-slow check gpu clean
.PHONY: bench-train bench-quality bench-adapt bench-continual bench-heads bench-documents bench-corpora bench-intents bench-suspects bench-pretraining bench-evaluate bench-scores bench-encoding bench-texts bench-flow
.DEFAULT_GOAL := run

# The scripts of an environment name its interpreter: in a copy of the checkout, that of the original.
ifeq (,$(findstring $(CURDIR)/$(VENV)/,$(shell head -n 2 $(VENV)/bin/tuneline 2>/dev/null)))
.PHONY: $(STAMP)
endif

run: $(STAMP)  ## the whole pipeline on the demo corpus; only what is stale runs
	@$(VENV)/bin/tuneline run

install: $(STAMP)  ## only make .venv, as a worker's machine needs it

test: $(STAMP)  ## all tests but the slow ones, the end-to-end runs included
	$(PYTEST) --numprocesses 2

test-slow: $(STAMP)  ## kills, full disks, workers and servers that go away: they wait more than they compute, so more of them at a time
	$(PYTEST) --numprocesses 4 -m slow

check: $(STAMP)  ## format, lint, types, architecture
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

bench-train: $(STAMP)  ## training speed beside the Hugging Face Trainer and a textbook loop
	$(VENV)/bin/python -m tests.benchmarks.bench_train

bench-quality: $(STAMP)  ## time to the Trainer's dev F1, on two corpora and three seeds; forty minutes
	$(VENV)/bin/python -m tests.benchmarks.bench_quality

bench-heads: $(STAMP)  ## dev F1 of linear head and CRF, and decoding beside pytorch-crf, three seeds; ninety minutes
	$(VENV)/bin/python -m tests.benchmarks.bench_heads

bench-documents: $(STAMP)  ## whole documents beside single sentences, and training speed by length of windows; half an hour
	$(VENV)/bin/python -m tests.benchmarks.bench_documents

bench-corpora: $(STAMP)  ## scores of the text tasks on real corpora with their defaults, three seeds; two hours
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_corpora

bench-intents: $(STAMP)  ## accuracy and time on 150 intents beside the Trainer and the frozen encoder, three seeds; an hour
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_intents

bench-suspects: $(STAMP)  ## flipped labels found in train, beside cleanlab, on 150 intents and on entities; ten minutes
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_suspects

bench-pretraining: $(STAMP)  ## dev F1 of few labels after pre-training on raw text, two corpora, three seeds; an hour
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_pretraining

bench-adapt: $(STAMP)  ## full fine-tuning beside adapters, frozen layers and the head alone, three corpora and seeds; an hour and a half
	$(VENV)/bin/python -m tests.benchmarks.bench_adapt

bench-continual: $(STAMP)  ## going on with other labels and with a tenth of new data, three seeds: what is forgotten; two hours
	$(VENV)/bin/python -m tests.benchmarks.bench_continual

bench-evaluate: $(STAMP)  ## scoring beside seqeval, inference beside the pipeline of transformers; ten minutes
	$(VENV)/bin/python -m tests.benchmarks.bench_evaluate

bench-scores: $(STAMP)  ## scores of a million classified texts beside scikit-learn's report, resampled; two minutes
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_scores

bench-encoding: $(STAMP)  ## encoding speed beside datasets.map, and memory on 10 and 50 million words
	$(VENV)/bin/python -m tests.benchmarks.bench_encoding

bench-texts: $(STAMP)  ## encoding a million texts beside datasets.map; five minutes
	$(VENV)/bin/python -m tests.benchmarks.texts.bench_encoding

bench-flow: $(STAMP)  ## what Prefect costs a run: `tuneline run` beside bare `dvc repro`; five minutes
	$(VENV)/bin/python -m tests.benchmarks.bench_flow

# On a GPU the interpreter is PYTHON, and nothing is installed: torch, transformers, safetensors, numpy and pyarrow do.
DEVICE ?= cuda
ifeq ($(DEVICE),cpu)
gpu: $(STAMP)  ## what a GPU is to prove, with tiny models on the CPU: half a minute
	$(VENV)/bin/python -m tests.gpu --device cpu --small
else
gpu:  ## proves and measures the engine on a GPU: eight minutes at most; DEVICE=cpu for a rehearsal
	$(if $(wildcard $(VENV)/bin/python),$(VENV)/bin/python,$(PYTHON)) -m tests.gpu --device $(DEVICE)
endif

clean:  ## environment and caches of tools; data, registry and DVC's cache stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@echo 'making $(VENV) with all that constraints.txt pins; this takes some minutes'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev,bench]'
	@touch $(STAMP)
