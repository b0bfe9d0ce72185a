# Every command of the project. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SCALE ?= small
ROLES ?= edge-node task-generator controller trainer
TAG ?= dev
DOCKER_BUILD ?= docker build
BASE ?=
INDEX ?=
MESSAGES := services/edgebed/wire/generated
# An index for torch without CUDA, e.g. PyTorch's own for the CPU: make setup TORCH_INDEX=https://...
TORCH_INDEX ?=
LOCKS := requirements/dev.txt requirements/torch.txt
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
READY := $(VENV)/.ready-$(shell cat $(LOCKS) pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)

# Services are processes: without kept bytecode each of them would compile all its libraries when it starts.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench generalist study paper generate lock images kind-up kind-down e2e clean

help: ## list the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment .venv (TORCH_INDEX=url for another torch)

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "edgebed needs Python 3.11 to 3.13; name one with make PYTHON=python3.12" >&2; exit 3; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(READY): $(LOCKS) pyproject.toml | $(UV)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
ifeq ($(TORCH_INDEX),)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/torch.txt
else
	$(UV) pip install --quiet --python $(BIN)/python --index-url $(TORCH_INDEX) \
		"$$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' requirements/torch.txt)"
endif
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.ready-*
	@touch $@

demo: setup ## run the example experiment and write its report (about five minutes)
	$(BIN)/edgebed run deploy/experiments/quickstart.yaml

# In two lanes (tests/conftest.py): what needs a cluster, and the rest, of which that without servers goes first.
test: setup ## run all tests, with those that need a cluster where EDGEBED_TEST_KUBECONFIG names one (docs/kubernetes.md)
	$(BIN)/python -m pytest -n 2 --dist loadgroup \
		tests/unit tests/parity tests/contracts tests/stores tests/services \
		$(if $(EDGEBED_TEST_KUBECONFIG)$(EDGEBED_TEST_CLUSTER_FILE),tests/chart tests/images tests/e2e)

check: setup ## lint, types, import contracts, generated files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- docs deploy helm $(MESSAGES) || { echo "generated files differ: commit what 'make generate' wrote" >&2; exit 1; }

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: setup ## make the generated files again
	$(BIN)/python -m edgebed.experiment.reference docs/specification.md
	$(BIN)/python -m edgebed.experiment.crd deploy/crd/experiments.yaml
	$(BIN)/python -m scripts.lifecycle
	$(BIN)/python -m scripts.settings_table docs/settings.md
	$(BIN)/python -m scripts.dashboards
	$(BIN)/python -m scripts.operator_settings docs/kubernetes.md
	$(BIN)/python -m scripts.chart
	$(BIN)/python -m grpc_tools.protoc -I proto/edgebed/v1 --python_out=$(MESSAGES) --pyi_out=$(MESSAGES) testbed.proto

bench: setup ## run the benchmarks, print a table, write build/bench.json
	$(BIN)/python -m tests.benchmarks

generalist: setup ## train the model that comes along again (deploy/models; a few minutes on two cores)
	$(BIN)/python -m scripts.generalist model

study: setup ## measure the generalist again and write docs/generalist.md (half an hour)
	$(BIN)/python -m scripts.generalist study

paper: setup ## reproduce the paper's figures: SCALE=small (an hour), medium or full
	$(BIN)/python -m scripts.paper --scale $(SCALE)

# Each role gets the versions that the tests run with. Torch is apart, because it may come from an index of its own.
lock: | $(UV) ## pin the dependencies again
	$(COMPILE) --extra dev pyproject.toml -o requirements/dev.txt
	echo "torch>=2.6" | $(COMPILE) --constraint requirements/dev.txt - -o requirements/torch.txt
	printf 'hatchling\nuv\n' | $(COMPILE) --constraint requirements/dev.txt - -o requirements/build.txt
	echo imageio-ffmpeg | $(COMPILE) - -o requirements/ffmpeg.txt
	for role in $(ROLES); do echo torch | $(COMPILE) --constraint requirements/dev.txt --excludes /dev/stdin \
		--extra $$role pyproject.toml -o requirements/$$role.txt || exit; done

# As edgebed/ROLE:TAG, with a BASE image, an INDEX of packages or a TORCH_INDEX of your own, or another builder, such as
# DOCKER_BUILD="docker build --network host".
images: ## build the containers' images (ROLES=controller for one, TAG=dev; docs/images.md)
	@for role in $(ROLES); do $(DOCKER_BUILD) --file docker/Dockerfile --target $$role --tag edgebed/$$role:$(TAG) \
		--build-arg REVISION=$$(git rev-parse HEAD)$$(git diff --quiet HEAD || echo -changed) \
		$(foreach argument,BASE INDEX TORCH_INDEX,$(if $($(argument)),--build-arg $(argument)=$($(argument)))) . || exit; done

# A cluster of its own, which no other kubeconfig knows of.
kind-up: ## a cluster of two nodes with kind, and the images in it (make images first)
	@mkdir -p build
	@kind get clusters 2> /dev/null | grep -qx edgebed || kind create cluster --config deploy/kind.yaml --kubeconfig build/kubeconfig --wait 120s
	@kind export kubeconfig --name edgebed --kubeconfig build/kubeconfig
	kind load docker-image --name edgebed $(foreach role,$(ROLES),edgebed/$(role):$(TAG))

kind-down: ## take it away again
	kind delete cluster --name edgebed --kubeconfig build/kubeconfig

e2e: setup ## those on a cluster alone: of make kind-up, or EDGEBED_TEST_KUBECONFIG=file for another (docs/kubernetes.md)
	EDGEBED_TEST_KUBECONFIG=$${EDGEBED_TEST_KUBECONFIG:-build/kubeconfig} $(BIN)/python -m pytest tests/chart tests/images tests/e2e

clean: ## remove what was made, except runs and .venv
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
