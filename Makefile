# make demo     the main job: seven workers, two kills, one result
# make test     lint, types, tests, docs
# make lint     ruff and mypy alone
# make worlds   every story of the simulator, many seeds of each, on all cores (SEEDS=1000; an hour or two on two cores); then SCENES=20 of each scene
# make bench-peers  beside memberlist and kinship on real processes (NODES="16 32 64" RUNS=5); see chaos/README.md
# make bench-packet  what a packet costs, us of CPU
# make bench-decision  what it costs a leader to decide about 2,000 lost instances of 20,000, s of CPU
# make fuzz     hostile bytes for MINUTES=10, and a stranger's million packets; see chaos/README.md
# make papers   the experiments of the SWIM and Lifeguard papers, in virtual time; see docs/papers.md
# make fence    at-most-one operators paused past their deadline, TRIALS=100 times, on real processes; see chaos/README.md
# make freeze   workers that keep their interpreter to themselves for SECONDS=60 in each mode; see chaos/README.md
# make repair   what syncs cost beside full push-pull, partitions of up to a day, the dead that stay dead; see chaos/README.md
# make mutants  rules of the protocol, broken one by one in a copy of the tree: each must turn a check red
# make bench-council  leaders of real clusters killed under load (KILLS=50)
# make authority  freshness of authority against cluster size, recovery times, needless stops, in virtual time
# make status-figures  how soon 1,000 workers agree on 20,000 statuses after a tenth of them died, bytes, CPU of the decision
# make bench-recovery  from SIGKILL to running elsewhere, both guarantees, on real processes (RUNS=30); see docs/figures-recovery.md
# make soak     the NYC job for MINUTES=30 on real workers that are killed, paused, drained and updated; see chaos/README.md
# make minority  a minority of real workers cut off, and healed; see chaos/README.md
# make conformance  faults of the network do what they say: in the simulator, and between real hosts (BACKEND=auto|netem|tun)
# make chaos-netem  the kernel's own tc netem checked, in a guest kernel where this one has none; see chaos/README.md
# make clean    remove what these made
PYTHON ?= python3
SEEDS ?= 1000
SCENES ?= 20
NODES ?= 16
RUNS ?= 5
MINUTES ?= 10
KILLS ?= 50
TRIALS ?= 100
SECONDS ?= 60
BACKEND ?= auto
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types docs worlds papers bench-peers bench-packet bench-decision fuzz repair mutants bench-council fence freeze authority minority bench-recovery soak conformance chaos-netem clean

demo: .venv/demo.stamp
	$(BIN)/swimstream demo

# Workers of pytest-xdist: one for each core, and no more where a container shows more cores than it has.
test: lint types
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4
	$(MAKE) docs

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/mypy

docs: .venv/dev.stamp
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build/html

worlds: .venv/dev.stamp
	$(BIN)/python -m chaos.worlds --seeds $(SEEDS) --json build/reports/worlds.json --plot build/reports/worlds.svg
	$(BIN)/python -m pytest -q tests/worlds/test_scenes.py --seeds $(SCENES)

papers: .venv/demo.stamp
	$(BIN)/python -m chaos.papers

# Not part of `test`: ten minutes, on real processes that are paused.
fence: .venv/dev.stamp
	$(BIN)/python -m chaos.fence --trials $(TRIALS) --json build/reports/fence.json

# Not part of `test`: it keeps a core busy, and wants a machine that is not starved.
freeze: .venv/dev.stamp
	$(BIN)/python -m chaos.freeze --seconds $(SECONDS) --json build/reports/freeze.json

# A quarter of an hour on two cores: days of ten nodes are lived through.
repair: .venv/dev.stamp
	$(BIN)/python -m chaos.repair --json build/reports/repair.json

# Not part of `test`: an hour on two cores.
mutants: .venv/dev.stamp
	$(BIN)/python -m chaos.mutants --json build/reports/mutants.json

# Not part of `test`: by the clock; some 8 s a kill.
bench-council: .venv/bench.stamp
	$(BIN)/python -m chaos.council --kills $(KILLS) --json build/reports/council.json --plot build/reports/council.svg

# A quarter of an hour on two cores: towns of a thousand.
authority: .venv/demo.stamp
	$(BIN)/python -m chaos.authority --json build/reports/authority.json

# Not part of `test`: a town of a thousand takes a quarter of an hour of one core, and 3.5 GB.
# SIZES="--workers 300": two minutes.
status-figures: .venv/bench.stamp
	$(BIN)/python -m chaos.status $(SIZES) --json build/reports/status.json --plot build/reports/status.svg

# Not part of `test`: it wants to make network namespaces.
minority: .venv/bench.stamp
	$(BIN)/python -m chaos.minority --json build/reports/minority.json --plot build/reports/minority.svg

# Not part of `test`: by the clock; some 10 s a kill, 12 sorts of them: RUNS=30 takes an hour, RUNS=2 six minutes.
bench-recovery: RUNS := $(if $(filter command line environment,$(origin RUNS)),$(RUNS),30)
bench-recovery: .venv/bench.stamp
	$(BIN)/python -m chaos.recovery --runs $(RUNS) --json build/reports/recovery.json --plot build/reports/recovery.svg

# Not part of `test`: root, and two minutes by the clock.
conformance: .venv/bench.stamp
	$(BIN)/python -m chaos conformance --backend sim
	$(BIN)/python -m chaos conformance --backend $(BACKEND) --plot build/reports/conformance.svg

# Not part of `test`: as long as you say.
soak: MINUTES := $(if $(filter command line environment,$(origin MINUTES)),$(MINUTES),30)
soak: .venv/bench.stamp
	$(BIN)/python -m chaos.soak --minutes $(MINUTES) --json build/reports/soak.json --plot build/reports/soak.svg

# Not part of `test`: it wants user-mode-linux or qemu where the kernel has no netem. Under ten minutes.
chaos-netem: .venv/demo.stamp
	$(BIN)/python -m chaos.guest.netem --out build/reports/netem

# Not part of `test`: it takes minutes, wants the machine for itself and ends with a verdict by the clock.
bench-peers: .venv/bench.stamp
	@command -v go >/dev/null || echo "Go is missing, so memberlist will be left out: apt install golang-go golang-github-hashicorp-memberlist-dev"
	$(BIN)/python -m chaos.peers $(addprefix --nodes ,$(NODES)) --runs $(RUNS) --json build/reports/bench-peers.json --plot build/reports/bench-peers.svg

# The files are named so that `test` does not collect them.
bench-decision: .venv/dev.stamp
	$(BIN)/python -m tests.benchmarks.decision

bench-packet: .venv/dev.stamp
	mkdir -p build/reports
	$(BIN)/python -m pytest tests/benchmarks/bench_packet.py --benchmark-timer=time.process_time \
	  --benchmark-json=build/reports/bench-packet.json --benchmark-columns=min,median,max --benchmark-sort=name

# Not part of `test`: by the clock. The tests have the same attacks in small, by Hypothesis.
fuzz: .venv/fuzz.stamp
	$(BIN)/python -m chaos.fuzz --minutes $(MINUTES) --json build/reports/fuzz.json

# atheris has no wheel for some machines and Pythons, and few can build it: without it the target says so and goes on.
.venv/fuzz.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[fuzz]' || $(BIN)/pip install --quiet --editable '.[cli,crypto]'
	touch $@

.venv/bench.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

# Stamps, so that a second call starts at once. `dev` holds everything that `demo` needs as well.
.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@ .venv/demo.stamp

.venv/demo.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --editable '.[cli]'
	touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "swimstream needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis
