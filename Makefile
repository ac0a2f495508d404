# amifend: `make demo` shows it at work, `make test` runs every check that CI runs.

GO        ?= go
LAB        = examples/lab
VERSION   ?= $(shell packaging/version)
GIT        = git -c safe.directory=$(CURDIR)

.PHONY: help build install uninstall deb rpm dist demo test check lint unit api vuln fuzz packages e2e chaos bench quality clean

help: ## list what there is to make
	@awk -F':.*## ' '/^[a-z0-9]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Where the binary goes, and what it says of itself. The package scripts build for other architectures.
PROGRAM ?= bin/amifend
STAMP    = -s -w -X main.version=$(VERSION) -X main.commit=$(shell $(GIT) rev-parse HEAD 2>/dev/null) \
	-X main.date=$(shell TZ=UTC $(GIT) log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)

build: ## build bin/amifend, which needs no libraries
	@packaging/need-go "$(GO)"
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(STAMP)" -o $(PROGRAM) ./cmd/amifend

# Where install puts things; DESTDIR is put in front of each, for a try. uninstall needs the same PREFIX.
PREFIX  ?= /usr/local
BIN      = $(DESTDIR)$(PREFIX)/bin
ETC      = $(DESTDIR)/etc
# The group of the service, which a try without root does not have.
OWNER   ?= $(if $(DESTDIR),,-o root -g amifend)

# PREBUILT=1 takes the bin/amifend that is there, for a machine without Go.
install: $(if $(PREBUILT),,build) ## install the program, its unit, its user and a first config (root)
	@[ -x bin/amifend ] || { echo "amifend: there is no bin/amifend: run make build here, or on another machine, first" >&2; exit 1; }
	install -D -m 755 bin/amifend $(BIN)/amifend
	@# Where earlier versions were.
	rm -f $(DESTDIR)/usr/local/sbin/amifend
	install -d $(ETC)/systemd/system
	sed 's|/usr/bin/amifend|$(PREFIX)/bin/amifend|' examples/systemd/amifend.service | \
		install -m 644 /dev/stdin $(ETC)/systemd/system/amifend.service
	install -D -m 644 examples/systemd/sysusers.conf $(ETC)/sysusers.d/amifend.conf
	$(if $(DESTDIR),,systemd-sysusers)
	@# The service reads there and writes nothing. What is there stays: a config that was edited, a secret.
	install -d -m 750 $(OWNER) $(ETC)/amifend
	[ -e $(ETC)/amifend/config.toml ] || install -m 640 $(OWNER) examples/quickstart/config.toml $(ETC)/amifend/
	[ -e $(ETC)/amifend/ami-secret ] || install -m 640 $(OWNER) /dev/null $(ETC)/amifend/ami-secret
	@# Earlier versions gave these to the user of the service.
	$(if $(DESTDIR),,chown root:amifend $(ETC)/amifend/config.toml $(ETC)/amifend/ami-secret)
	$(if $(DESTDIR),,chmod 640 $(ETC)/amifend/config.toml $(ETC)/amifend/ami-secret)
	$(if $(DESTDIR),,-systemctl daemon-reload)
	@echo "Next: sudo amifend init     (or by hand: docs/install.md)"

uninstall: ## remove what install put here, and the bans; /etc/amifend and /var/lib/amifend stay (root)
	$(if $(DESTDIR),,-systemctl disable --now amifend)
	$(if $(DESTDIR),,-$(BIN)/amifend flush --kernel)
	rm -f $(BIN)/amifend $(ETC)/systemd/system/amifend.service $(ETC)/sysusers.d/amifend.conf
	$(if $(DESTDIR),,-systemctl daemon-reload)

deb: build bin/nfpm bin/cyclonedx-gomod ## build the packages for Debian and Ubuntu, in dist; ARCHS=amd64 builds one
	@GO="$(GO)" VERSION="$(VERSION)" packaging/build $@

rpm: build bin/nfpm bin/cyclonedx-gomod ## build the packages for RHEL and Fedora, in dist
	@GO="$(GO)" VERSION="$(VERSION)" packaging/build $@

dist: build bin/nfpm bin/cyclonedx-gomod ## all that a release page needs, in dist: packages, archives, SBOMs, checksums
	@GO="$(GO)" VERSION="$(VERSION)" packaging/build dist

bin/nfpm bin/cyclonedx-gomod: packaging/tools/go.mod
	@cd packaging/tools && $(GO) build -o ../../bin/ tool
	@touch bin/nfpm bin/cyclonedx-gomod

packages: build bin/nfpm bin/cyclonedx-gomod ## build the packages twice and compare; install, upgrade, remove and purge them under systemd (root)
	@.ci/install
	$(GO) test -tags packages -count=1 -timeout 15m -v ./packaging

demo: build ## play two PBXs with phones and attackers for a minute; touches nothing on the host
	@bin/amifend demo

picture: build ## draw the README's picture, docs/demo.svg, from what the demo prints
	@bin/amifend demo >bin/demo.txt
	@$(GO) run ./packaging/picture docs/demo.svg <bin/demo.txt

test: ## everything: lint, unit, fuzz, end to end against real Asterisk, a short chaos (root)
	@.ci/install
	@$(MAKE) --no-print-directory check
	@.ci/e2e

check: lint unit api vuln fuzz ## lint, unit tests, the libraries' API, vulnerabilities, a short fuzz of every parser

lint: bin/golangci-lint ## static checks and formatting
	bin/golangci-lint run ./...

bin/golangci-lint: .ci/tools/go.mod
	@echo "building golangci-lint (once, about two minutes)"
	@cd .ci/tools && $(GO) build -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

bin/govulncheck: .ci/tools/go.mod
	@cd .ci/tools && $(GO) build -o ../../bin/govulncheck golang.org/x/vuln/cmd/govulncheck
	@touch $@

unit: ## unit tests, with the race detector, in random order
	$(GO) test -race -shuffle=on -timeout 10m ./...

api: ## compare the exported API of ami, policy and firewall with its listing
	$(GO) test -count=1 ./.ci/api

vuln: bin/govulncheck ## known vulnerabilities, where their database can be reached
	@.ci/vuln

fuzz: ## every fuzz target, the wire's for about 20 s; FUZZTIME sets inputs (50000x) or a time (60s)
	@FUZZTIME="$(FUZZTIME)" GO="$(GO)" .ci/fuzz

e2e: ## a real Asterisk in network namespaces, attacked for real (root; builds the PBXs when not there yet)
	@.ci/install
	@$(LAB)/build-asterisk.sh sid
	@$(LAB)/build-asterisk.sh bullseye
	$(GO) test -tags e2e -count=1 -timeout 20m -v ./cmd/amifend/internal/e2e

CHAOS ?= long
chaos: ## break everything that amifend stands on while it runs, about 15 minutes (root); CHAOS=short as in CI
	@.ci/install
	CHAOS=$(CHAOS) $(GO) test -tags chaos -count=1 -timeout 60m -v ./cmd/amifend/internal/chaos
ifneq ($(CHAOS),short)
	$(GO) test -run '^$$' -bench Meddling -benchtime 100x -timeout 60m ./cmd/amifend/internal/daemon
endif

bench: ## benchmarks: bytes to verdict, kernel, and all between
	$(GO) test -run '^$$' -bench . -benchmem ./ami ./policy ./firewall ./cmd/amifend/internal/judge ./cmd/amifend/internal/enforce ./cmd/amifend/internal/daemon ./cmd/amifend/internal/replay

quality: ## judge the policy, and its peers, on a week of labelled traffic (some minutes)
	@$(GO) run ./cmd/amifend/internal/quality

clean: ## remove what was built
	rm -rf bin dist
