# For a newcomer with Python 3.11 and make: `make demo`, then `make test`.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: env demo test test-core lint train export package clean

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes the first time"
	$(RUN) -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: env
	$(RUN) -m scripts phantom demo/phantom --studies 1 --seed 7 --format nifti
	$(RUN) -m monai.bundle run inference --config_file bundle/configs/inference.json \
		--dataset_dir demo/phantom --output_dir demo/result
	$(RUN) -m scripts picture demo/result/phantom-0007 demo/overview.png
	@ls -1 demo/*.png demo/result/*

test: test-core

test-core: env
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(RUN) -m pytest

lint: env
	$(VENV)/bin/pre-commit run --all-files

# Reproduces the weights: both stages on phantoms and, where it lies beside the repository, real cine; then the exports.
train: env
	$(RUN) -m monai.bundle run training --config_file bundle/configs/train_interpolation.json
	$(RUN) -m monai.bundle run training --config_file bundle/configs/train_synthesis.json
	cp runs/synthesis/model.pt bundle/models/model.pt
	$(MAKE) export

export: env
	PYTHONHASHSEED=0 $(RUN) -m scripts export

package: env
	$(RUN) -m scripts package

clean:
	rm -rf demo dist build
