# Targets that provision application databases with rdsprov.
#
# Include this file, or call it with `make -f`:
#
#   make -f rdsprov.mk rds-provision-dry-run ENV=dev
#   make -f rdsprov.mk rds-provision ENV=prod BUILD_ID=16-01-26-01 ALLOW_DB_PROVISION=sha256:…
#
# | variable           | meaning                                                            | default            |
# |--------------------|--------------------------------------------------------------------|--------------------|
# | ENV                | the environment                                                    | required           |
# | BUILD_ID, RUN_ID   | the build and the run, for the records                             | none, a random id  |
# | RDS_MODE           | `standalone` or `coupled`: where the definitions are               | `standalone`       |
# | RDS_DEFINITIONS    | the definitions files                                              | `terraform.tfvars` |
# | RDS_ARGUMENTS      | more arguments, such as `--allow adopts`                           | none               |
# | RDS_RECORDS        | the CSV file for the records                                       | `rdsprov.toml`     |
# | ALLOW_DB_PROVISION | the approval: `true`, or the digest of the approved plan           | none               |
# | RDSPROV            | the command                                                        | `rdsprov`          |
#
# The exit code of make is 2 whenever rdsprov does not exit with 0; make prints that of rdsprov.

RDSPROV ?= rdsprov
RDS_MODE ?= standalone
RDS_DEFINITIONS ?= terraform.tfvars

# As variables of the environment, values need no quotes.
export RDS_MODE ALLOW_DB_PROVISION
ifneq ($(strip $(ENV)),)
export RDSPROV_ENV := $(ENV)
endif
ifneq ($(strip $(BUILD_ID)),)
export RDSPROV_BUILD_ID := $(BUILD_ID)
endif
ifneq ($(strip $(RUN_ID)),)
export RDSPROV_RUN_ID := $(RUN_ID)
endif
ifneq ($(strip $(RDS_RECORDS)),)
export RDSPROV_AUDIT_OUTPUT := $(RDS_RECORDS)
endif

.PHONY: rds-provision rds-provision-dry-run rds-provision-auto rds-provision-auto-dry-run rds-env

# Applies the definitions, which are where RDS_MODE says.
rds-provision: rds-env
	$(RDSPROV) apply --mode "$$RDS_MODE" -d $(RDS_DEFINITIONS) $(RDS_ARGUMENTS)

# Plans, and changes nothing.
rds-provision-dry-run: rds-env
	$(RDSPROV) apply --dry-run --mode "$$RDS_MODE" -d $(RDS_DEFINITIONS) $(RDS_ARGUMENTS)

# Applies the definitions, wherever they are in the files.
rds-provision-auto: rds-env
	$(RDSPROV) apply -d $(RDS_DEFINITIONS) $(RDS_ARGUMENTS)

# Plans, and changes nothing.
rds-provision-auto-dry-run: rds-env
	$(RDSPROV) apply --dry-run -d $(RDS_DEFINITIONS) $(RDS_ARGUMENTS)

rds-env:
	@test -n "$$RDSPROV_ENV" || { echo "rdsprov.mk: set ENV, for example ENV=dev" >&2; exit 1; }
