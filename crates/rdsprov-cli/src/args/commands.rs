//! The arguments of each subcommand: its own ones, and the groups of [`super::flags`] that it has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rdsprov_core::audit::LedgerTime;
use rdsprov_core::config::LockTimeout;
use rdsprov_core::export::ExportFormat;
use rdsprov_core::graph::GraphFormat;
use rdsprov_core::plan::Finding;

use super::flags::{
    AccessFormat, AdditiveArgs, AdminAuthArg, AuditTableArgs, CommonArgs, MetricsArgs,
    NewSecretArgs, OutputArgs, RecordArgs, RecordingArgs, RestoredArgs, SelectionArgs, ServerArgs,
    StdoutArgs,
};
use super::fleet::FleetArgs;
use super::headings::{APPROVAL, COMPATIBILITY, DEFINITIONS, EXECUTION, FLEET, OUTPUT, RECORDS};
use super::values::{EXPORT_FORMATS, FINDINGS, GRAPH_FORMATS, closed_set, list_item};

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Check this fleet file and the definitions of each instance
    ///
    /// With `--format json`, prints the instances, for a program that runs them itself.
    #[arg(long, value_name = "FILE", help_heading = FLEET)]
    pub fleet: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub additive: AdditiveArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Exit with 2 if the plan contains changes
    #[arg(long, help_heading = OUTPUT)]
    pub detailed_exitcode: bool,
    /// Read from this ledger which definitions were applied last
    ///
    /// The plan then says for each application with changes whether its definition has changed since.
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = RECORDS)]
    pub audit_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub table: AuditTableArgs,
    /// Save the plan to this file, for `rdsprov apply FILE`
    ///
    /// The file contains no passwords.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Include SCRAM verifiers of passwords in the script (`--format sql`)
    ///
    /// The script then runs without further input. Protect it: an attacker can test
    /// guesses against a verifier.
    #[arg(long, help_heading = OUTPUT)]
    pub with_verifiers: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Also exit with 2 if the plan reports one of these findings
    ///
    /// A list, separated by commas; may be given several times. No plan changes what it reports here.
    #[arg(
        long,
        value_name = "FINDING[,…]",
        value_delimiter = ',',
        value_parser = closed_set::<Finding>(&FINDINGS),
        help_heading = OUTPUT
    )]
    pub fail_on: Vec<Finding>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Exit 2 also if undeclared roles have access
    ///
    /// A role that the definitions do not declare can connect to a declared database, or has privileges on
    /// tables in it: the note `undeclared-access`.
    #[arg(long, help_heading = OUTPUT)]
    pub strict: bool,
    /// Read from this ledger which definitions were applied last
    ///
    /// The plan then says for each application with changes whether its definition has changed since.
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = RECORDS)]
    pub audit_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub table: AuditTableArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct PreflightArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Check that records can be appended to this CSV file
    #[arg(long, env = "RDSPROV_AUDIT_OUTPUT", value_name = "FILE", help_heading = RECORDS)]
    pub audit_output: Option<PathBuf>,
    /// Check that records can be appended to this ledger
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = RECORDS)]
    pub audit_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub table: AuditTableArgs,
    /// Assume that a run waits this long for the lock [default: 10m]
    #[arg(long, env = "RDSPROV_LOCK_TIMEOUT", value_name = "TIME", help_heading = EXECUTION)]
    pub lock_timeout: Option<LockTimeout>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// Apply this saved plan if it is still current
    ///
    /// `rdsprov plan --out FILE` and `rdsprov retire --out FILE` save a plan. It is
    /// refused if the server or the secrets have changed since.
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Confirm that the saved plan drops the database with this name
    ///
    /// A plan of `rdsprov retire --out FILE` can drop databases. Without this flag, the name must be typed
    /// on the terminal. May be given several times.
    #[arg(long, value_name = "DATABASE", requires = "plan", help_heading = APPROVAL)]
    pub confirm: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub additive: AdditiveArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Continue with the others after a failure or a refusal
    ///
    /// After a failure in one database, the other databases are changed. Applications that share a
    /// role or a database with a refused one are left out, and the exit code is 3 if all other
    /// changes were made.
    #[arg(long, help_heading = EXECUTION)]
    pub no_fail_fast: bool,
    /// Do not check first whether the files for records can be created
    ///
    /// Without this flag, the run ends before it contacts anything if a file that rdsprov.toml names
    /// does not exist and cannot be created. `rdsprov preflight` makes all checks.
    #[arg(long, help_heading = EXECUTION)]
    pub skip_preflight: bool,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Accepted without effect: the environment decides about approval
    #[arg(long, help_heading = COMPATIBILITY)]
    pub require_approval: bool,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Replace the passwords of these applications
    ///
    /// A list, separated by spaces or commas.
    #[arg(value_name = "APPLICATION", value_delimiter = ',', value_parser = list_item)]
    pub applications: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct RetireArgs {
    /// End the access of these applications
    ///
    /// A list, separated by spaces or commas.
    #[arg(value_name = "APPLICATION", value_delimiter = ',', value_parser = list_item)]
    pub applications: Vec<String>,
    /// Save the plan to this file, for `rdsprov apply FILE`
    ///
    /// Nothing is changed. The file contains no passwords.
    #[arg(long, value_name = "FILE", conflicts_with = "confirm", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Drop their roles as well
    ///
    /// A role that still owns objects is refused, with a list of them. Needs `--allow drops_role` in
    /// every environment.
    #[arg(long, help_heading = EXECUTION)]
    pub drop_role: bool,
    /// Drop the databases that their roles own as well
    ///
    /// A database in which other sessions are connected is refused. Needs `--backup` or
    /// `--without-backup`, the name of the database, and `--allow drops_database` in every environment.
    #[arg(long, help_heading = EXECUTION)]
    pub drop_database: bool,
    #[command(flatten)]
    pub drops: DropArgs,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct TeardownArgs {
    /// Select the environment, which rdsprov.toml declares as ephemeral
    ///
    /// `--build-id` selects the build.
    #[arg(
        long,
        alias = "environment",
        env = "RDSPROV_ENV",
        value_name = "NAME",
        help_heading = DEFINITIONS
    )]
    pub env: Option<String>,
    /// Use this configuration file [default: rdsprov.toml, if it exists]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    /// Not possible for a teardown: the error says what to do instead
    #[arg(long, value_name = "FILE", hide = true, help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub drops: DropArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The flags of the commands that drop roles and databases.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// End the sessions of the roles as well
    ///
    /// Without this flag, a session that is connected stays until its client ends it. It has lost the
    /// privileges of its role all the same.
    #[arg(long, help_heading = EXECUTION)]
    pub end_sessions: bool,
    /// Schedule the deletion of the secrets of the roles as well
    ///
    /// A secret that another role uses stays. Needs secrets in Secrets Manager (`--secrets aws`).
    #[arg(long, help_heading = EXECUTION)]
    pub delete_secret: bool,
    /// Keep deleted secrets for this many days, from 7 to 30 [default: 30]
    ///
    /// Until then, a secret can be restored.
    #[arg(
        long,
        value_name = "DAYS",
        requires = "delete_secret",
        value_parser = clap::value_parser!(u8).range(7..=30),
        help_heading = EXECUTION
    )]
    pub recovery_window_days: Option<u8>,
    /// Name the dump of the databases that are dropped
    ///
    /// The file must exist and is not read. Its path is in the plan and the records.
    #[arg(long, value_name = "FILE", conflicts_with = "without_backup", help_heading = EXECUTION)]
    pub backup: Option<String>,
    /// Drop databases without a dump
    #[arg(long, help_heading = EXECUTION)]
    pub without_backup: bool,
    /// Confirm that the database with this name is dropped
    ///
    /// Without this flag, the name must be typed on the terminal. May be given several times.
    #[arg(long, value_name = "DATABASE", help_heading = APPROVAL)]
    pub confirm: Vec<String>,
    /// Not possible for a fleet: the error says what to do instead
    #[arg(long, value_name = "FILE", hide = true, help_heading = FLEET)]
    pub fleet: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DelegateArgs {
    /// Create or update this role
    #[arg(long, value_name = "ROLE", help_heading = DEFINITIONS)]
    pub to: String,
    /// Use the password in this secret for the role
    ///
    /// If the secret does not exist, it is created with a new password. It is required, except with
    /// `--auth iam`.
    #[arg(long, value_name = "ID", help_heading = DEFINITIONS)]
    pub to_secret: Option<String>,
    /// How the role logs in: with a password or with IAM tokens
    ///
    /// With `iam`, the role has no password and no secret, and is a member of rds_iam.
    #[arg(long, value_enum, default_value_t = AdminAuthArg::Password, value_name = "METHOD", help_heading = DEFINITIONS)]
    pub auth: AdminAuthArg,
    #[command(flatten)]
    pub new_secrets: NewSecretArgs,
    /// Take over an existing role with this name that is not managed
    #[arg(long, help_heading = DEFINITIONS)]
    pub adopt: bool,
    #[command(flatten)]
    pub restored: RestoredArgs,
    /// Select the environment that the role administers
    #[arg(long, env = "RDSPROV_ENV", value_name = "NAME", help_heading = DEFINITIONS)]
    pub env: Option<String>,
    /// Use this configuration file [default: rdsprov.toml, if it exists]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct AccessArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub fleet: FleetArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Report only this database
    #[arg(long, value_name = "DATABASE", help_heading = OUTPUT)]
    pub database: Option<String>,
    /// Report only this role and PUBLIC
    #[arg(long, value_name = "ROLE", help_heading = OUTPUT)]
    pub role: Option<String>,
    /// Name the user that requests the report [default: the operating-system user]
    #[arg(long, env = "RDSPROV_ACTOR", value_name = "NAME", help_heading = OUTPUT)]
    pub actor: Option<String>,
    /// Also show administrators and predefined roles
    ///
    /// The text and the Markdown form only name them, unless --role is given. The other forms always
    /// contain them.
    #[arg(long, help_heading = OUTPUT)]
    pub all: bool,
    /// Print what changed since an older report
    ///
    /// OLD is the file of a report that --format json has printed. It is compared with a new report, or with
    /// the file NEW, for which nothing is contacted. The exit code is 2 if access has changed. Text and
    /// JSON only.
    #[arg(
        long,
        num_args = 1..=2,
        value_names = ["OLD", "NEW"],
        conflicts_with = "fleet",
        help_heading = OUTPUT
    )]
    pub diff: Vec<PathBuf>,
    /// Print what rdsprov had granted at this time
    ///
    /// TIME is in the format of RFC 3339, such as 2026-11-01T00:00:00Z. The ledger contains the changes of
    /// rdsprov only: what a role had before its first record, and what other roles granted or revoked, is not
    /// shown. Nothing is contacted. Text and JSON only.
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with_all = ["fleet", "diff"],
        help_heading = OUTPUT
    )]
    pub at: Option<LedgerTime>,
    /// Read this ledger for --at
    ///
    /// Without this flag, `[audit] ledger` in rdsprov.toml names it.
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = OUTPUT)]
    pub audit_ledger: Option<PathBuf>,
    /// Select the output format
    #[arg(
        long,
        value_enum,
        default_value = "text",
        env = "RDSPROV_FORMAT",
        value_name = "FORMAT",
        help_heading = OUTPUT
    )]
    pub format: AccessFormat,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Select the environment of the definitions and of the administrator's secret
    #[arg(long, env = "RDSPROV_ENV", value_name = "NAME", help_heading = DEFINITIONS)]
    pub env: Option<String>,
    /// Use this configuration file [default: rdsprov.toml, if it exists]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    /// Export only databases whose names match
    ///
    /// A name, or a pattern in which `*` stands for any characters. May be given several times.
    #[arg(long, value_name = "PATTERN", help_heading = DEFINITIONS)]
    pub database: Vec<String>,
    /// Export only databases whose owners match
    ///
    /// A name, or a pattern as for `--database`. May be given several times.
    #[arg(long, value_name = "PATTERN", help_heading = DEFINITIONS)]
    pub owner: Vec<String>,
    /// Leave out databases and roles whose names match
    ///
    /// A name, or a pattern as for `--database`. May be given several times.
    #[arg(long, value_name = "PATTERN", help_heading = DEFINITIONS)]
    pub exclude: Vec<String>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Select the format of the definitions [default: that of --out, or tfvars]
    #[arg(
        long,
        value_name = "FORMAT",
        value_parser = closed_set::<ExportFormat>(&EXPORT_FORMATS),
        help_heading = OUTPUT
    )]
    pub format: Option<ExportFormat>,
    /// Write the definitions to this file instead of stdout
    ///
    /// Its name ends in `.tfvars` or `.toml`, which selects the format. A file that exists is not replaced.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub new_secrets: NewSecretArgs,
    #[command(flatten)]
    pub records: RecordArgs,
    #[command(flatten)]
    pub stdout: StdoutArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Select the output format
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = OUTPUT
    )]
    pub format: FindingsFormat,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    /// Select the language of the graph
    #[arg(
        long,
        default_value = "mermaid",
        value_name = "FORMAT",
        value_parser = closed_set::<GraphFormat>(&GRAPH_FORMATS),
        help_heading = OUTPUT
    )]
    pub format: GraphFormat,
}

#[derive(Debug, Args)]
pub struct ManArgs {
    /// Print the page of this subcommand, such as `plan` or `audit verify`
    pub command: Vec<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "command", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read this ledger
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
    /// Require a record with this hash
    ///
    /// Keep the hash of the last record in another place, and give it here: this also detects
    /// records that were cut off, and a ledger that was rewritten completely.
    #[arg(long, alias = "head", value_name = "HASH", help_heading = RECORDS)]
    pub expect: Option<String>,
    /// Select the output format
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = OUTPUT
    )]
    pub format: FindingsFormat,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Read this ledger
    #[arg(
        value_name = "FILE",
        required_unless_present = "from_tables",
        conflicts_with = "from_tables"
    )]
    pub ledger: Option<PathBuf>,
    /// Read the audit tables of the server instead of a ledger
    ///
    /// Needs `--audit-table`, and the flags with which `rdsprov apply` connects. Lists the rows of the
    /// environment in database `postgres` and in each managed database.
    #[arg(long, help_heading = RECORDS)]
    pub from_tables: bool,
    /// Compare the audit tables with this ledger
    ///
    /// Exits with 2 if a committed change of the ledger has no row, or a row no record.
    #[arg(
        long,
        value_name = "FILE",
        env = "RDSPROV_AUDIT_LEDGER",
        help_heading = RECORDS
    )]
    pub audit_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub table: AuditTableArgs,
    /// Select the environment of the rows and of the administrator's secret
    #[arg(long, env = "RDSPROV_ENV", value_name = "NAME", help_heading = DEFINITIONS)]
    pub env: Option<String>,
    /// Use this configuration file [default: rdsprov.toml, if it exists]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
    /// List only changes that concern this role
    #[arg(long, value_name = "ROLE", help_heading = OUTPUT)]
    pub role: Option<String>,
    /// List only changes that concern this database
    #[arg(long, value_name = "DATABASE", help_heading = OUTPUT)]
    pub database: Option<String>,
    /// Select the output format
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        help_heading = OUTPUT
    )]
    pub format: FindingsFormat,
}

#[derive(Debug, Args)]
pub struct AcknowledgeArgs {
    /// Append to this ledger
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
    /// Select the changes of the intent in this line
    ///
    /// `rdsprov audit report` prints the line with each change. May be given several times.
    #[arg(long, value_name = "LINE", required = true, help_heading = RECORDS)]
    pub line: Vec<u64>,
    /// Select only changes that concern this role
    #[arg(long, value_name = "ROLE", help_heading = RECORDS)]
    pub role: Option<String>,
    /// Select only changes that concern this database
    #[arg(long, value_name = "DATABASE", help_heading = RECORDS)]
    pub database: Option<String>,
    /// Record this about the changes
    #[arg(long, value_enum, value_name = "RESULT", help_heading = RECORDS)]
    pub found: FoundResult,
    /// Record how this is known, or why it cannot be
    #[arg(long, value_name = "TEXT", help_heading = RECORDS)]
    pub reason: String,
    /// Record the user that starts the run [default: the operating-system user]
    #[arg(long, env = "RDSPROV_ACTOR", value_name = "NAME", help_heading = RECORDS)]
    pub actor: Option<String>,
    /// Record the person that approved this
    #[arg(long, env = "RDSPROV_APPROVER", value_name = "NAME", help_heading = RECORDS)]
    pub approver: Option<String>,
    /// Record the ticket or pull request that requested this
    #[arg(long, env = "RDSPROV_REQUEST_ID", value_name = "ID", help_heading = RECORDS)]
    pub request_id: Option<String>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FoundResult {
    /// The changes were made
    Done,
    /// The changes were not made
    NotDone,
    /// It cannot be known
    Unknown,
}

/// Formats of results that are text or JSON only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    /// Text for a reader
    Text,
    /// JSON
    Json,
}
