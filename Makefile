# For a newcomer with Python 3.11 and make: `make demo`, then `make test`.
PYTHON ?= python3.11
VENV := .venv
RUN := $(VENV)/bin/python

comma := ,

# Large pages for torch on Linux: inference and training spend less time in the system.
export THP_MEM_ALLOC_ENABLE := 1

.PHONY: env deploy-env label-env demo figures test test-core test-slow test-deploy test-label lint train paper benchmark export package clean

env: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): some minutes the first time"
	$(RUN) -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	touch $@

# The MONAI Deploy App SDK has its own environment; dicom3tools holds dciodvfy, a validator that only the tests use.
# The last line gives a CUDA build of torch, which is what PyPI has, the libraries that --no-deps leaves out; a CPU build needs none.
deploy-env: .venv-deploy/.installed

.venv-deploy/.installed: requirements/deploy.txt
	test -x .venv-deploy/bin/python || $(PYTHON) -m venv .venv-deploy
	@echo "Installing into .venv-deploy: some minutes the first time"
	.venv-deploy/bin/python -m pip install -qq --no-deps --requirement requirements/deploy.txt dicom3tools==20260927
	.venv-deploy/bin/python -m pip install -qq torch
	touch $@

# So has MONAI Label.
label-env: .venv-label/.installed

.venv-label/.installed: requirements/label.txt
	test -x .venv-label/bin/python || $(PYTHON) -m venv .venv-label
	@echo "Installing into .venv-label: some minutes the first time"
	.venv-label/bin/python -m pip install -qq --no-deps --requirement requirements/label.txt
	.venv-label/bin/python -m pip install -qq torch
	touch $@

demo: env
	$(RUN) -m scripts phantom demo/phantom --studies 1 --seed 7 --format nifti
	$(RUN) -m monai.bundle run inference --config_file bundle/configs/inference.json \
		--dataset_dir demo/phantom --output_dir demo/result
	$(RUN) -m scripts picture demo/result/phantom-0007 demo/overview.png
	$(RUN) -m scripts assess demo/result demo/report
	@ls -1 demo/*.png demo/result/* demo/report/*.html demo/report/*.pdf

# The README's picture of the report; it needs a Chromium.
figures: demo
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1320 --virtual-time-budget=9000 \
		--screenshot=bundle/docs/figures/report.png demo/report/report.html

test: test-core test-slow test-deploy test-label

test-core: env
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(RUN) -m pytest -m "not deploy and not slow"

# Trainings, distributed and resumed, the published network's configs, ablations.
test-slow: env
	$(RUN) -m pytest -m "slow and not deploy"

test-deploy: env deploy-env
	$(RUN) -m pytest -m deploy

# A real server and Label's own client: the test runs in Label's environment, what it calls in the main one.
test-label: env label-env
	.venv-label/bin/python -m pytest tests/label/test_server.py

lint: env
	$(VENV)/bin/pre-commit run --all-files

# Trains the weights from nothing on phantoms and, where it lies beside the repository, real cine; then exports. The interpolation
# learns twice: the second time from labels that the first one added where nobody drew any. Then all learns together, then
# the layers that draw frames and labels, most of all from patients, then what says how high longitudinal curves peak, and when; at last what
# all slices of a stack tell together.
train: env
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file bundle/configs/train_beat.json
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file bundle/configs/train_interpolation.json
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file \
		"['bundle/configs/train_interpolation.json','bundle/configs/train_student.json']"
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file bundle/configs/train_synthesis.json
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file \
		"['bundle/configs/train_synthesis.json','bundle/configs/train_together.json']"
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file \
		"['bundle/configs/train_interpolation.json','bundle/configs/train_student.json','bundle/configs/train_labels.json']"
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file "['bundle/configs/train_beat.json','bundle/configs/train_peaks.json']"
	$(RUN) -m monai.bundle run training $(OPTIONS) --config_file "['bundle/configs/train_beat.json','bundle/configs/train_stack.json']"
	cp runs/stack/model.pt bundle/models/model.pt
	$(MAKE) export

# The published network, for the benchmark: the same data and engines, other networks and losses. SECONDS_A_STAGE limits each of its two stages.
SECONDS_A_STAGE ?= 1800
paper: env
	$(RUN) -m monai.bundle run training $(OPTIONS) --limit_seconds $(SECONDS_A_STAGE) --config_file \
		"['bundle/configs/train_interpolation.json','bundle/configs/paper.json','bundle/configs/paper_interpolation.json']"
	$(RUN) -m monai.bundle run training $(OPTIONS) --limit_seconds $(SECONDS_A_STAGE) --config_file \
		"['bundle/configs/train_synthesis.json','bundle/configs/paper.json','bundle/configs/paper_synthesis.json']"
	$(RUN) -m monai.bundle run export --config_file "['bundle/configs/paper.json','bundle/configs/paper_export.json']"

# Phantom, and patients where they lie beside the repository.
benchmark: env
	$(RUN) -m scripts benchmark runs/benchmark --data phantom$(patsubst %,$(comma)%,$(wildcard ../shared/data/sunnybrook))

export: env
	PYTHONHASHSEED=0 $(RUN) -m scripts export

package: env
	$(RUN) -m scripts package

clean:
	rm -rf demo dist build
