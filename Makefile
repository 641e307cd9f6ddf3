# `make` lists what can be made. Variables go behind the target: make train-simple STEPS=20

BITNET := build/bitnet

# What `make test` and `make bench` cover; how long a package's tests may take. Of all
# packages, the slowest start first, so that at the end nobody waits for one alone.
PKG ?= ./...
SLOWEST = $(if $(filter ./...,$(PKG)),./graph ./bitnet/train ./cmd/web ./cmd/bitnet)
RUN ?=
TIMEOUT ?= 40m

# What test-swiftshader and test-validation run: every family of kernels in a few minutes.
EYES = TestSaxpy|TestOrder|TestManyDispatches|TestArena|TestLargeTransfers|TestMatMul$$|TestQuantizeWeights|TestMuonSteps|TestHead|TestGradients|TestPrecisions|TestTwoMachines
# What test-validation runs through Dawn, where each access to memory is checked: kernels with large
# tiles take minutes each there. RUN=TestMatMul runs them.
RACES = TestQuantizeWeights|TestGoldenEmbedding|TestGoldenRope|TestGoldenAdamW

# A checkout that git refuses to read (another owner's, in a container) is built without its commit.
NO_VCS = $(shell git rev-parse HEAD >/dev/null 2>&1 || echo -buildvcs=false)

# Where the system has no driver, gpu/install-vulkan.sh may have put one here. Expanded in a
# recipe, after that script ran.
DRIVER = $(shell test -f .vulkan/env && echo '. .vulkan/env &&')

.DEFAULT_GOAL := help
.PHONY: help build web test bench bench-torch bench-documents bench-llama interop chat train-simple exp-arithmetic train-arithmetic \
	exp-tinystories train-tinystories exp-baseline train-baseline check-status plot-loss test-matrix test-js test-swiftshader test-validation test-translations test-windows test-arm64 test-walk cross release kit dawn fuzz torture fmt vet lint clean tools vulkan

help: ## this list
	@echo "usage: make TARGET [VARIABLE=value ...]"
	@awk -F ':.*## ' '/^[a-z].*:.*## / { printf "  %-34s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

build: tools ## build/bitnet
	@mkdir -p $(dir $(BITNET))
	go build $(NO_VCS) -o $(BITNET) ./cmd/bitnet

web: tools ## build/web, the browser version: a static folder, shown with bitnet web
	$(if $(NO_VCS),GOFLAGS=$(NO_VCS)) go run ./cmd/web/bundle -o $(dir $(BITNET))web $(ARGS)

test: tools vulkan ## vet and all tests; a part of them: PKG=./graph RUN=Quantize ARGS=-v
	go vet $(PKG)
	$(DRIVER) go test -timeout $(TIMEOUT) $(if $(RUN),-run '$(RUN)') $(ARGS) $(SLOWEST) $(PKG)

test-windows: tools vulkan ## testdata/walk with the program for Windows, under Wine (Debian: wine64 xvfb gcc-mingw-w64-x86-64)
	$(DRIVER) sh testdata/windows/test.sh $(ARGS)

test-arm64: tools ## tests and training of the program for Arm, under qemu (Debian: qemu-user-static gcc-aarch64-linux-gnu)
	@sh testdata/arm64/test.sh $(ARGS)

test-walk: build vulkan ## what a user does, from training to export, on this system
	$(DRIVER) go run $(NO_VCS) ./testdata/walk -bitnet $(BITNET) $(ARGS)

test-matrix: tools vulkan dawn ## test Dawn, the matrix-unit kernels and what AMD's and NVIDIA's compilers make of all, without a GPU (Debian; 70 MB)
	@sh gpu/install-matrix.sh
	$(DRIVER) . .vulkan.matrix/env && go test -timeout $(TIMEOUT) $(ARGS) ./gpu/... && \
		go test -timeout $(TIMEOUT) -run 'Matrix|Agrees|Mixed|Precisions|LostDevice|KernelsForCards|MuonSteps' $(ARGS) ./graph ./graph/tune ./cmd/bitnet

test-swiftshader: tools ## the kernels for GPUs on SwiftShader, a second software Vulkan (which Chromium brings)
	BITNET_TARGET=gpu sh gpu/with-swiftshader.sh go test -timeout $(TIMEOUT) -count=1 -run '$(or $(RUN),$(EYES))' $(ARGS) ./gpu ./graph

test-validation: tools vulkan ## the kernels for GPUs under Khronos' validation layer (which Chromium brings)
	$(DRIVER) BITNET_TARGET=gpu BITNET_BACKEND=wgpu sh gpu/with-validation.sh go test -timeout $(TIMEOUT) -count=1 -run '$(or $(RUN),$(EYES))' $(ARGS) ./gpu ./graph
	@if sh gpu/dawn/install.sh; then \
		$(DRIVER) BITNET_TARGET=gpu BITNET_BACKEND=dawn sh gpu/with-validation.sh go test -timeout $(TIMEOUT) -count=1 -run '$(or $(RUN),$(RACES))' $(ARGS) ./graph; \
	else echo "Dawn is not installed: what kernels do on the device is not checked"; fi

test-translations: tools ## translate every kernel to HLSL (DX12) and Metal with naga (node, npm); compile the HLSL, where there is Wine
	@sh testdata/translate/install.sh
	BITNET_TRANSLATIONS=$(CURDIR)/build/translations go test -timeout $(TIMEOUT) -count=1 -v -run Translations $(ARGS) ./bitnet/model
	@sh testdata/translate/dxc.sh build/translations

cross: tools ## build for Windows, Arm and the browser
	@sh .ci/cross

test-js: tools vulkan ## tests of the GPU, the network and training as WebAssembly, in Node.js (Dawn is installed for it)
	$(DRIVER) ARGS='$(ARGS)' sh .ci/js

release: tools ## archives, checksums and lists of parts for the systems there is a C compiler for, in build/release; VERSION=v1.2.3 TARGETS=linux/amd64
	@if [ "$$(uname -s)" = Linux ]; then sh .ci/sysroot $(or $(patsubst linux/%,%,$(filter linux/%,$(TARGETS))),$(if $(TARGETS),,amd64 arm64)); fi
	go run $(NO_VCS) ./cmd/release $(if $(VERSION),-version $(VERSION)) $(if $(RELEASES),-url $(RELEASES)) $(ARGS) $(TARGETS)

bench: tools vulkan ## benchmarks; a part of them: PKG=./graph RUN=MatMul
	$(DRIVER) go test -timeout $(TIMEOUT) -run '^$$' -bench '$(or $(RUN),.)' -benchmem $(ARGS) $(PKG)

bench-torch: build vulkan ## training steps against the best PyTorch there is, alternately; ARGS="--rounds 5 arithmetic:64x64"
	$(DRIVER) /usr/bin/env python3 testdata/compare_torch.py $(ARGS)

bench-documents: build vulkan ## memory of preparing and training on 10,000 to 1,000,000 documents; ARGS="--documents 100000 5000000"
	$(DRIVER) /usr/bin/env python3 testdata/many_documents.py $(ARGS)

bench-llama: build vulkan ## MODEL=runs/my_run: prompts and new tokens against llama.cpp (node, 85 MB download)
	@sh testdata/interop/install.sh
	$(DRIVER) node testdata/compare_llama.mjs $(ARGS) $(MODEL)

interop: tools vulkan ## exports against stock llama.cpp (node, 85 MB download) and PyTorch; the server against the clients of OpenAI and Vercel; pushes against Hugging Face's; logs against TensorBoard
	@sh testdata/interop/install.sh
	$(DRIVER) go test -timeout $(TIMEOUT) -count=1 -v -run Interop $(ARGS) ./bitnet/export ./bitnet/serve ./bitnet/runs/tensorboard ./data/hub

train-simple: build vulkan ## train a tiny model, in about a minute; STEPS=100
	$(DRIVER) $(BITNET) train --exp simple $(if $(STEPS),--num-steps $(STEPS)) $(ARGS)

exp-arithmetic train-arithmetic: build vulkan ## train on sums; own settings: ARGS="--num-steps 5000"
	$(DRIVER) $(BITNET) train --exp arithmetic $(ARGS)

chat: build vulkan ## talk with the newest run, or with MODEL=a run, a checkpoint, a model
	$(DRIVER) $(BITNET) chat $(MODEL) $(ARGS)

exp-tinystories train-tinystories: build vulkan ## train on short stories (about 0.9 GiB to download)
	$(DRIVER) $(BITNET) train --exp tinystories $(ARGS)

exp-baseline train-baseline: build vulkan ## train 95M parameters on web pages (about 26 GiB to download)
	$(DRIVER) $(BITNET) train --exp baseline $(ARGS)

kit: tools ## build/bitnet-kit-linux-x64.tar.xz: measures a card on a Linux machine without a network
	@sh gpu/kit/make.sh

dawn: ## install Dawn, a second GPU backend that can use matrix units (needs Node.js and npm)
	@sh gpu/dawn/install.sh

check-status: build ## how a run stands; RUN=name (default: newest) WATCH=1
	$(BITNET) status $(RUN) $(if $(WATCH),--watch) $(ARGS)

plot-loss: build ## draw a run's curves; RUN=name FILE=loss.png (default: in the terminal)
	$(BITNET) plot $(RUN) $(if $(FILE),-o $(FILE)) $(ARGS)

fuzz: tools ## run every fuzz target, for MINUTES=10 together; a part of them: RUN=data/text
	@sh testdata/fuzz.sh $(or $(MINUTES),10) $(if $(RUN),'$(RUN)')

torture: build vulkan ## kill and disturb the long commands, for MINUTES=20, and compare what is left; ARGS="-only train"
	$(DRIVER) go run $(NO_VCS) ./testdata/torture -minutes $(or $(MINUTES),20) -bitnet $(BITNET) $(ARGS)

fmt: tools ## format the Go files
	go fmt ./...

vet: tools ## go vet
	go vet $(PKG)

lint: vet ## vet, and the format of the Go files
	@files=$$(gofmt -l $(filter-out node_modules/,$(wildcard */))); \
	if [ -n "$$files" ]; then echo "not formatted (run: make fmt):" $$files >&2; exit 1; fi

clean: ## remove what was built; runs/ stays
	rm -rf build

# One clear line for what Go would say in many.
tools:
	@command -v go >/dev/null || { echo "Go is missing: install it from https://go.dev/dl/" >&2; exit 1; }
	@test -n "$$(go env GOTOOLCHAIN)" || \
		{ echo "$$(go version) is too old: install a newer one from https://go.dev/dl/" >&2; exit 1; }
	@printf '#include <stdlib.h>\n' | $$(go env CC) -E -x c - >/dev/null 2>&1 || \
		{ echo "No working C compiler: install gcc and the C library's headers (Debian: gcc libc6-dev)" >&2; exit 1; }

vulkan:
	@sh gpu/install-vulkan.sh
