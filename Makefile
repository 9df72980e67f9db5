EXTENSION = anomaly_detect
EXTVERSION = 1.0

MODULE_big = anomaly_detect
OBJS = $(patsubst %.cpp,%.o,$(wildcard src/core/*.cpp src/core/detectors/*.cpp src/pg/*.cpp))
# The server loads modules with RTLD_GLOBAL: -Bsymbolic keeps our templates ours when another C++
# extension has the same ones.
SHLIB_LINK = -Wl,-Bsymbolic -lstdc++ -lm

# Parts of the install script, joined in the order of their names.
SQL_PARTS = $(sort $(wildcard src/sql/*.sql))
DATA = $(wildcard $(EXTENSION)--*--*.sql)
DATA_built = $(EXTENSION)--$(EXTVERSION).sql

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=$(EXTENSION)

# PostgreSQL 15 leaves PGDLLEXPORT empty, so that hidden visibility needs it given. No contraction:
# a fused multiply-add would make scores depend on the compiler and the CPU. No vectors out of
# straight-line code: GCC packs the independent walks down trees into them, at a loss.
PG_CXXFLAGS = -std=c++20 -O2 -fno-tree-slp-vectorize -fvisibility=hidden -fvisibility-inlines-hidden -ffp-contract=off \
	-Wall -Wextra -MMD -MP -isystem /usr/include/eigen3
PG_HEADERS = -DPGDLLEXPORT='__attribute__((visibility("default")))' -Isrc \
	-isystem $(includedir_server) -isystem $(includedir_internal)

EXTRA_CLEAN = $(OBJS:.o=.d) build results output_iso

# Goals of the repository itself: they install what they need and never read PGXS, which a fresh
# machine does not have and which has a `check` of its own.
LOCAL_GOALS = bench check demo deps format format-check lint unit
.PHONY: $(LOCAL_GOALS)

ifneq ($(filter $(LOCAL_GOALS),$(MAKECMDGOALS)),)

.NOTPARALLEL:

deps:
	@test/deps.sh
check:
	@test/check.sh
unit:
	@test/unit.sh
lint:
	@test/lint.sh
format format-check:
	@test/format.sh $@
demo:
	@demo/run.sh
bench:
	@bench/run.sh
$(filter-out $(LOCAL_GOALS),$(MAKECMDGOALS)):
	$(MAKE) $@

else

override with_llvm := no
PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The core is compiled without the server's include directories, whatever PGXS has in CPPFLAGS.
src/core/%.o: src/core/%.cpp Makefile
	$(CXX) $(CXXFLAGS) $(filter-out -I%,$(CPPFLAGS)) -c -o $@ $<
src/pg/%.o: src/pg/%.cpp Makefile
	$(CXX) $(CXXFLAGS) $(filter-out -I%,$(CPPFLAGS)) $(PG_HEADERS) -c -o $@ $<

$(DATA_built): $(SQL_PARTS) src/sql
	cat $(SQL_PARTS) > $@

-include $(OBJS:.o=.d)

endif
