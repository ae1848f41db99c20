//! The groups of flags that several subcommands have in common.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rdsprov_core::audit_table::AuditTableName;
use rdsprov_core::config::{
    ConnectTimeout, ConnectTo, KmsKey, LockTimeout, MaxConnections, NewSecrets, ObservationTimeout,
    SecretTag, SecretTags, StatementTimeout, TlsMode, VerifyPasswords,
};
use rdsprov_core::definitions::Mode;
use rdsprov_core::hint::Opt;
use rdsprov_core::plan::Hazard;
use rdsprov_core::secret_id::Stage;
use rdsprov_core::session::Secrets;

use super::headings::{APPROVAL, CONNECTION, DEFINITIONS, EXECUTION, OUTPUT, RECORDS, SECRETS};
use super::values::{
    HAZARDS, MODES, PASSWORD_CHECKS, STAGES, TLS_MODES, closed_set, list_item, metrics_file,
};

#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Select the environment; it must agree with the definitions
    ///
    /// Selects the secrets and the approval policy: dev, test, staging, prod, or
    /// one that rdsprov.toml declares. With --fleet, the run selects the instances in it.
    #[arg(long, env = "RDSPROV_ENV", value_name = "NAME", help_heading = DEFINITIONS)]
    pub env: Option<String>,
    /// Read definitions from *.tfvars, *.tfvars.json, *.json or *.toml files
    ///
    /// Several files are read as one. Without this flag, `[definitions] files` in rdsprov.toml names the
    /// files, or else they are terraform.tfvars and *.auto.tfvars of the current directory.
    #[arg(
        short,
        long,
        alias = "tfvars",
        num_args = 1..,
        value_name = "FILE",
        help_heading = DEFINITIONS
    )]
    pub definitions: Vec<PathBuf>,
    /// Select the mode if the definitions contain both [default: detected]
    #[arg(
        long,
        value_name = "MODE",
        value_parser = closed_set::<Mode>(&MODES),
        help_heading = DEFINITIONS
    )]
    pub mode: Option<Mode>,
    /// Use this configuration file [default: rdsprov.toml, if it exists]
    ///
    /// The configuration file has defaults for flags, names of secrets, and
    /// settings for each environment.
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    /// Take over an existing unmanaged role and database of this application
    ///
    /// The same as `adopt = true` in the definition of the application. A list, separated by commas; may be
    /// given several times.
    #[arg(
        long,
        value_name = "APPLICATION[,…]",
        value_delimiter = ',',
        value_parser = list_item,
        help_heading = DEFINITIONS
    )]
    pub adopt: Vec<String>,
}

/// The flags of the commands that plan: what the plan may take over, and to which applications it is
/// restricted.
#[derive(Debug, Args)]
pub struct SelectionArgs {
    #[command(flatten)]
    pub restored: RestoredArgs,
    /// Restrict the plan to these applications
    ///
    /// The plan covers their roles, their databases and their privileges. Other applications stay
    /// declared: they are neither compared nor changed, and their secrets are not read. A list,
    /// separated by commas; may be given several times.
    #[arg(
        long,
        value_name = "APPLICATION[,…]",
        value_delimiter = ',',
        value_parser = list_item,
        help_heading = DEFINITIONS
    )]
    pub only: Vec<String>,
}

/// The flag for a plan that takes nothing away.
#[derive(Debug, Args)]
pub struct AdditiveArgs {
    /// Create and grant only; leave pending what takes access away
    ///
    /// The plan lists what is pending: revocations, removed attributes and memberships, reset settings,
    /// other owners, other passwords, and `CONNECT` of PUBLIC. A later run without this flag makes these
    /// changes.
    #[arg(long, help_heading = DEFINITIONS)]
    pub additive: bool,
}

/// The flag for a server that was restored from a snapshot.
#[derive(Debug, Args)]
pub struct RestoredArgs {
    /// Take over what this environment manages, on a restored snapshot
    ///
    /// A snapshot contains the markers of its environment. What the definitions declare becomes
    /// managed in the current environment; `--allow adopts_from_environment` allows it.
    #[arg(long, value_name = "NAME", help_heading = DEFINITIONS)]
    pub adopt_from: Option<String>,
}

/// The flags of every command that contacts a server.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Connect to this host instead of that in the administrator's secret
    #[arg(long, env = "RDSPROV_HOST", value_name = "HOST", help_heading = CONNECTION)]
    pub host: Option<String>,
    /// Connect to this port instead of that in the administrator's secret
    #[arg(long, env = "RDSPROV_PORT", value_name = "PORT", help_heading = CONNECTION)]
    pub port: Option<u16>,
    /// Open connections to this address instead of the host
    ///
    /// For tunnels, and for names that this machine cannot resolve: an IP address or a host name, and
    /// a port if it differs. TLS and IAM tokens use the host all the same.
    #[arg(
        long,
        env = "RDSPROV_CONNECT_TO",
        value_name = "ADDRESS[:PORT]",
        help_heading = CONNECTION
    )]
    pub connect_to: Option<ConnectTo>,
    /// Use this administrator database instead of that in the secret
    ///
    /// It cannot be the database of an application. If the secret names no database
    /// either, or the database of an application, it is `postgres`.
    #[arg(long, env = "RDSPROV_DBNAME", value_name = "DATABASE", help_heading = CONNECTION)]
    pub dbname: Option<String>,
    /// Wait this long for a connection [default: 60s]
    ///
    /// Seconds, or a number with `s`, `m` or `h`, for all addresses of the host, TLS and the login. An
    /// Aurora cluster that is paused needs up to 40 seconds.
    #[arg(long, env = "RDSPROV_CONNECT_TIMEOUT", value_name = "TIME", help_heading = CONNECTION)]
    pub connect_timeout: Option<ConnectTimeout>,
    /// End a statement that takes longer than this [default: 1h]
    ///
    /// Seconds, or a number with `s`, `m` or `h`. The server cancels the statement. If the server
    /// does not respond at all, the run ends its connection shortly afterwards.
    #[arg(
        long,
        env = "RDSPROV_STATEMENT_TIMEOUT",
        value_name = "TIME",
        help_heading = CONNECTION
    )]
    pub statement_timeout: Option<StatementTimeout>,
    /// Read one database for at most this long [default: 2m]
    ///
    /// Seconds, or a number with `s`, `m` or `h`, for the login and all catalog queries in it. A declared
    /// database that takes longer is refused. Databases that are not declared have 30 seconds together.
    #[arg(
        long,
        env = "RDSPROV_OBSERVATION_TIMEOUT",
        value_name = "TIME",
        help_heading = CONNECTION
    )]
    pub observation_timeout: Option<ObservationTimeout>,
    /// Open at most this many connections at the same time [default: 11]
    ///
    /// At least 4. The administrator, the lock and a watched statement have one each, and the others, up
    /// to eight, are for work in databases and for logins. With fewer, a run takes longer.
    #[arg(
        long,
        env = "RDSPROV_MAX_CONNECTIONS",
        value_name = "NUMBER",
        help_heading = CONNECTION
    )]
    pub max_connections: Option<MaxConnections>,
    /// Select how the administrator logs in
    #[arg(
        long,
        value_enum,
        default_value = "password",
        env = "RDSPROV_ADMIN_AUTH",
        value_name = "METHOD",
        help_heading = CONNECTION
    )]
    pub admin_auth: AdminAuthArg,
    /// Log in as this role with `--admin-auth iam`
    ///
    /// An IAM token needs no secret, so `--host` is required as well.
    #[arg(long, env = "RDSPROV_ADMIN_USER", value_name = "ROLE", help_heading = CONNECTION)]
    pub admin_user: Option<String>,
    /// Select how the connection is protected [default: verify-full]
    #[arg(
        long,
        env = "RDSPROV_TLS",
        value_name = "MODE",
        value_parser = closed_set::<TlsMode>(&TLS_MODES),
        help_heading = CONNECTION
    )]
    pub tls: Option<TlsMode>,
    /// Trust the certificates in this PEM file [default: $PGSSLROOTCERT]
    ///
    /// They are trusted in addition to those of the system and of Amazon RDS. `system` stands for
    /// the certificates of the system only.
    #[arg(long, env = "RDSPROV_CA_FILE", value_name = "FILE", help_heading = CONNECTION)]
    pub ca_file: Option<PathBuf>,
    /// Present the client certificate in this PEM file [default: $PGSSLCERT]
    #[arg(long, env = "RDSPROV_CLIENT_CERT", value_name = "FILE", help_heading = CONNECTION)]
    pub client_cert: Option<PathBuf>,
    /// Read the private key of the client certificate [default: $PGSSLKEY]
    ///
    /// A PEM file that is not encrypted, and that no other user can read (mode 0600).
    #[arg(long, env = "RDSPROV_CLIENT_KEY", value_name = "FILE", help_heading = CONNECTION)]
    pub client_key: Option<PathBuf>,
    /// Log in with this secret of the administrator [default: goldenpath/{environment}/rds/master]
    #[arg(
        long,
        alias = "master-secret",
        env = "RDSPROV_ADMIN_SECRET",
        value_name = "ID",
        help_heading = SECRETS
    )]
    pub admin_secret: Option<String>,
    /// Read secrets from `aws` (Secrets Manager) or `file:DIR`
    ///
    /// With `file:DIR`, the secret `ID` is the file `DIR/ID.json`.
    #[arg(
        long,
        env = "RDSPROV_SECRETS",
        default_value = "aws",
        value_name = "SOURCE",
        help_heading = SECRETS
    )]
    pub secrets: Secrets,
    /// Select the version of applications' secrets [default: AWSCURRENT]
    #[arg(
        long,
        env = "RDSPROV_SECRET_STAGE",
        value_name = "STAGE",
        value_parser = closed_set::<Stage>(&STAGES),
        help_heading = SECRETS
    )]
    pub secret_stage: Option<Stage>,
    /// Select the AWS region of secrets and IAM tokens [default: $AWS_REGION]
    ///
    /// Without this flag and the variable, `aws_region` in the definitions
    /// or in rdsprov.toml applies.
    #[arg(long, env = "RDSPROV_REGION", value_name = "REGION", help_heading = SECRETS)]
    pub region: Option<String>,
    /// Select how to check the passwords of applications [default: login]
    #[arg(
        long,
        env = "RDSPROV_VERIFY_PASSWORDS",
        value_name = "METHOD",
        value_parser = closed_set::<VerifyPasswords>(&PASSWORD_CHECKS),
        help_heading = SECRETS
    )]
    pub verify_passwords: Option<VerifyPasswords>,
    /// Allow plans with this hazard
    ///
    /// Each hazard of a plan except resets_password must be allowed, except in a dev environment
    /// that requires no approval. changes_owner, moves_database, changes_secret,
    /// changes_application, changes_scope, drops_role and drops_database must be allowed in every
    /// environment. A list, separated by commas; may be given several times.
    #[arg(
        long,
        value_name = "HAZARD[,…]",
        value_delimiter = ',',
        value_parser = closed_set::<Hazard>(&HAZARDS),
        help_heading = APPROVAL
    )]
    pub allow: Vec<Hazard>,
    /// Name the CI build in records and markers
    ///
    /// Also replaces {build_id} in secret templates.
    #[arg(long, env = "RDSPROV_BUILD_ID", value_name = "ID", help_heading = RECORDS)]
    pub build_id: Option<String>,
    /// The options whose values come from environment variables, with the names of the variables.
    #[arg(skip)]
    pub variables: BTreeMap<Opt, String>,
    /// The audit table, if the subcommand has the flag.
    #[arg(skip)]
    pub audit_table: Option<AuditTableName>,
}

/// The flag of every command whose plan writes audit rows.
#[derive(Debug, Args)]
pub struct AuditTableArgs {
    /// Write a row for each step into this table, in its transaction
    ///
    /// The administrator owns the table in each database, and creates it where it does not exist. Without
    /// changes, a run writes no row.
    #[arg(
        long,
        env = "RDSPROV_AUDIT_TABLE",
        value_name = "SCHEMA.TABLE",
        help_heading = RECORDS
    )]
    pub audit_table: Option<AuditTableName>,
}

/// Values of `--admin-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdminAuthArg {
    /// Log in with the password in the administrator's secret
    Password,
    /// Log in with an IAM token, without a secret
    Iam,
}

/// The flags of every command that changes a server: confirmation and records.
#[derive(Debug, Args)]
pub struct RecordingArgs {
    /// Skip the confirmation prompt on a terminal
    #[arg(short, long, help_heading = APPROVAL)]
    pub yes: bool,
    #[command(flatten)]
    pub records: RecordArgs,
    #[command(flatten)]
    pub stdout: StdoutArgs,
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Show and record the plan without executing it
    #[arg(long, help_heading = EXECUTION)]
    pub dry_run: bool,
}

/// The flag for records on stdout.
#[derive(Debug, Args)]
pub struct StdoutArgs {
    /// Select when the records are written to stdout [default: auto]
    #[arg(
        long,
        value_enum,
        env = "RDSPROV_AUDIT_STDOUT",
        value_name = "WHEN",
        help_heading = RECORDS
    )]
    pub audit_stdout: Option<AuditStdout>,
}

/// The flags for the secrets that a run creates in Secrets Manager.
#[derive(Debug, Args)]
pub struct NewSecretArgs {
    /// Encrypt a new secret with this KMS key [default: aws/secretsmanager]
    ///
    /// The id, the ARN or the alias of a key. It concerns only a secret that this command creates in
    /// Secrets Manager.
    #[arg(long, env = "RDSPROV_SECRET_KMS_KEY", value_name = "KEY", help_heading = SECRETS)]
    pub secret_kms_key: Option<KmsKey>,
    /// Give a new secret these tags
    ///
    /// A list, separated by commas; may be given several times. The tags in rdsprov.toml apply as well,
    /// except those with the same keys.
    #[arg(
        long,
        env = "RDSPROV_SECRET_TAGS",
        value_name = "KEY=VALUE[,…]",
        value_delimiter = ',',
        help_heading = SECRETS
    )]
    pub secret_tags: Vec<SecretTag>,
}

impl From<&NewSecretArgs> for NewSecrets {
    fn from(flags: &NewSecretArgs) -> Self {
        let mut new = Self::default();
        new.kms_key.clone_from(&flags.secret_kms_key);
        new.tags = SecretTags::new(flags.secret_tags.iter().cloned());
        new
    }
}

/// The flag for metrics.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Write the result as metrics of Prometheus to this file
    ///
    /// For the textfile collector of the node exporter: the name ends in `.prom`, and each job has a file
    /// of its own. Every user can read the file.
    #[arg(
        long,
        env = "RDSPROV_METRICS_FILE",
        value_name = "FILE",
        value_parser = metrics_file,
        help_heading = RECORDS
    )]
    pub metrics_file: Option<PathBuf>,
}

/// When the records are written to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AuditStdout {
    /// Always
    Always,
    /// If stdout is not a terminal, and no CSV file is named
    Auto,
    /// Never
    Never,
}

/// The flags for the records of a run, and for its lock.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Name the run in records [default: a random id]
    #[arg(long, env = "RDSPROV_RUN_ID", value_name = "ID", help_heading = RECORDS)]
    pub run_id: Option<String>,
    /// Append the records to this CSV file
    #[arg(long, env = "RDSPROV_AUDIT_OUTPUT", value_name = "FILE", help_heading = RECORDS)]
    pub audit_output: Option<PathBuf>,
    /// Append the records to this ledger
    ///
    /// A ledger is a file in JSON Lines. Each record contains the hash of the record before it, so
    /// that `rdsprov audit verify` can detect changes.
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = RECORDS)]
    pub audit_ledger: Option<PathBuf>,
    #[command(flatten)]
    pub table: AuditTableArgs,
    /// Record the user that starts the run [default: the operating-system user]
    #[arg(long, env = "RDSPROV_ACTOR", value_name = "NAME", help_heading = RECORDS)]
    pub actor: Option<String>,
    /// Record the person that approved the run
    #[arg(long, env = "RDSPROV_APPROVER", value_name = "NAME", help_heading = RECORDS)]
    pub approver: Option<String>,
    /// Record the ticket or pull request that requested the run
    #[arg(long, env = "RDSPROV_REQUEST_ID", value_name = "ID", help_heading = RECORDS)]
    pub request_id: Option<String>,
    /// Wait this long for another run on the server [default: 10m]
    ///
    /// Seconds, or a number with `s`, `m` or `h`. With 0, the run fails at once if another run holds
    /// the lock.
    #[arg(long, env = "RDSPROV_LOCK_TIMEOUT", value_name = "TIME", help_heading = EXECUTION)]
    pub lock_timeout: Option<LockTimeout>,
}

/// The flag that the commands with a plan or report have in common.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Select the output format
    #[arg(
        long,
        value_enum,
        default_value = "text",
        env = "RDSPROV_FORMAT",
        value_name = "FORMAT",
        help_heading = OUTPUT
    )]
    pub format: Format,
}

impl Format {
    /// Returns whether a fleet has the format.
    pub fn is_of_fleets(self) -> bool {
        !matches!(self, Self::Sql | Self::Github)
    }
}

/// Formats of access reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccessFormat {
    /// Text for a reader
    Text,
    /// JSON, as `rdsprov schema` describes it
    Json,
    /// Markdown, for a comment on a pull request
    Markdown,
    /// CSV, one line for each role and database, schema or kind of object
    Csv,
    /// An HTML file that loads nothing, with filters
    Html,
}

/// Formats of plans and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for a reader
    Text,
    /// JSON, as `rdsprov schema` describes it
    Json,
    /// A script for psql (plans only)
    Sql,
    /// Markdown, for a comment on a pull request
    Markdown,
    /// Annotations and a step summary for a GitHub workflow (plans only)
    Github,
}
