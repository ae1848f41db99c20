//! Defines the command line.
//!
//! The doc comments of this module are the help texts. The first line of each is an imperative phrase of at
//! most 12 words, which `-h` prints; the paragraphs after it are details, which only `--help` prints. Each
//! flag stands under one of the headings below. A flag takes precedence over its environment variable, and
//! the variable over `rdsprov.toml`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{
    Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum,
};
use clap_complete::Shell;
use rdsprov_core::config::{TlsMode, VerifyPasswords};
use rdsprov_core::definitions::Mode;
use rdsprov_core::plan::Hazard;
use rdsprov_core::schema::Document;
use rdsprov_core::secrets::Stage;
use rdsprov_core::server::BundledCertificates;
use rdsprov_core::session::Secrets;

const DEFINITIONS: &str = "Definitions";
const CONNECTION: &str = "Connection";
const SECRETS: &str = "Secrets";
const APPROVAL: &str = "Approval";
const RECORDS: &str = "Records";
const EXECUTION: &str = "Execution";
const OUTPUT: &str = "Output";
const COMPATIBILITY: &str = "Compatibility";
const GLOBAL: &str = "Global options";

/// Manage roles, databases and grants in PostgreSQL on Amazon RDS
///
/// rdsprov reads definitions files, compares them with the catalogs of a PostgreSQL server, and prints or
/// applies the plan that changes the one into the other. Passwords come from AWS Secrets Manager.
#[derive(Debug, Parser)]
#[command(name = "rdsprov", version, disable_help_flag = true, disable_version_flag = true)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: CliCommand,
    /// Select the format of log messages on stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "RDSPROV_LOG_FORMAT",
        value_name = "FORMAT",
        help_heading = GLOBAL
    )]
    pub log_format: LogFormat,
    /// Log progress to stderr; give it twice for debug messages
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
    /// Print help: `-h` a summary, `--help` all details
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    help: Option<bool>,
    /// Print the version; with `--verbose`, also the certificates in the program
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = GLOBAL)]
    version: Option<bool>,
}

/// Formats of the log.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    /// One line per message
    Text,
    /// One JSON object per message
    Json,
}

/// The subcommands, in the order in which a user needs them.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Check the definitions without contacting a server
    ///
    /// Prints what the definitions declare. Contacts neither a server nor AWS, and needs no environment.
    Validate(ValidateArgs),
    /// Show the changes that `apply` would make
    ///
    /// Reads the catalogs of the server and prints the plan. Changes nothing. Exits with 3 if the plan is
    /// refused.
    Plan(PlanArgs),
    /// Apply the changes that the definitions require
    ///
    /// Locks the server, plans, checks the approval and the hazards, executes the plan, and plans again to
    /// verify that nothing remains to be done.
    #[command(after_help = APPROVAL_HELP)]
    Apply(ApplyArgs),
    /// Exit with 2 if the server differs from the definitions
    ///
    /// Prints the plan, as `plan` does, and changes nothing. Exits with 0 if there is nothing to do, with 2 if
    /// changes are pending, and with 3 if the plan is refused.
    Check(CheckArgs),
    /// Report the privileges of each role in the managed databases
    ///
    /// The report shows the privileges that PostgreSQL itself computes, next to what the definitions declare.
    /// Needs no secret except that of the administrator.
    Access(AccessArgs),
    /// Replace the passwords of applications, one at a time
    ///
    /// Follows the four steps of AWS Secrets Manager: create a pending version, set the password, test it,
    /// finish. If a step fails, the old password is restored.
    #[command(after_help = APPROVAL_HELP)]
    Rotate(RotateArgs),
    /// Create a role that replaces the master user as administrator
    ///
    /// Runs as the master user. Afterwards, the other commands can use the secret of the new role
    /// (`--admin-secret ID`), and nothing needs the secret of the master user.
    #[command(after_help = APPROVAL_HELP)]
    Delegate(DelegateArgs),
    /// Verify or read a ledger
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Explain a code that a message shows in brackets
    ///
    /// Prints what the code means, why, and what to do. Without a code, lists all codes.
    Explain {
        /// Name the code, such as plan-stale
        code: Option<String>,
    },
    /// Print the JSON Schema of an output or file format
    Schema {
        /// Select the format
        #[arg(value_parser = closed_set::<Document>(&DOCUMENTS))]
        document: Document,
    },
    /// Print the completion script for a shell
    Completions {
        /// Select the shell
        shell: Shell,
    },
}

/// Explains the approval, after the details of the commands that need one.
const APPROVAL_HELP: &str = "Every environment except dev requires an approval: set the variable \
    ALLOW_DB_PROVISION to `true`, or to the digest that `rdsprov plan` prints (sha256:…). \
    `[environments.NAME] approval` in rdsprov.toml changes this.";

/// The subcommands of `rdsprov audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Detect records that were changed, removed or reordered
    ///
    /// Lists each defect with its line, and exits with 1 if there is one.
    Verify(VerifyArgs),
    /// List the changes that a ledger records
    ///
    /// For each change: its time, the role or database, the user that applied it, and the approver.
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub struct AccessArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Report only this database
    #[arg(long, value_name = "DATABASE", help_heading = OUTPUT)]
    pub database: Option<String>,
    /// Report only this role and PUBLIC
    #[arg(long, value_name = "ROLE", help_heading = OUTPUT)]
    pub role: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Formats of the results of `rdsprov audit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    /// Text for a reader
    Text,
    /// JSON
    Json,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Read this ledger
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
    /// Require a record with this hash
    ///
    /// Keep the hash of the last record in another place, and give it here: this also detects records that
    /// were cut off, and a ledger that was rewritten completely.
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
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
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
}

/// Values of `--admin-auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdminAuthArg {
    /// Log in with the password in the administrator's secret
    Password,
    /// Log in with an IAM token, without a secret
    Iam,
}

#[derive(Debug, Args)]
pub struct CommonArgs {
    /// Select the environment; it must agree with the definitions
    ///
    /// Selects the secrets and the approval policy: dev, test, staging, prod, or one that rdsprov.toml declares.
    #[arg(long, env = "RDSPROV_ENV", value_name = "NAME", help_heading = DEFINITIONS)]
    pub env: Option<String>,
    /// Read definitions from *.tfvars, *.tfvars.json, *.json or *.toml files
    ///
    /// Several files are read as one. Without this flag, `[definitions] files` in rdsprov.toml names the files.
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
    /// The configuration file has defaults for flags, names of secrets, and settings for each environment.
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE", help_heading = DEFINITIONS)]
    pub config: Option<PathBuf>,
    /// Take over an existing unmanaged role and database of this application
    ///
    /// The same as `adopt = true` in the definition of the application. May be given several times.
    #[arg(long, value_name = "APPLICATION", help_heading = DEFINITIONS)]
    pub adopt: Vec<String>,
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

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
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
    /// Use this administrator database instead of that in the secret
    ///
    /// It cannot be the database of an application. If the secret names no database either, it is `postgres`.
    #[arg(long, env = "RDSPROV_DBNAME", value_name = "DATABASE", help_heading = CONNECTION)]
    pub dbname: Option<String>,
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
    /// They are trusted in addition to those of the system and of Amazon RDS. `system` stands for the
    /// certificates of the system only.
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
    /// Without this flag and the variable, `aws_region` in the definitions or in rdsprov.toml applies.
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
    /// Outside dev, each hazard of a plan except resets_password must be allowed. changes_owner must be
    /// allowed in every environment. May be given several times, or with a list separated by commas.
    #[arg(
        long,
        value_name = "HAZARD",
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
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Exit with 2 if the plan contains changes
    #[arg(long, help_heading = OUTPUT)]
    pub detailed_exitcode: bool,
    /// Save the plan to this file, for `rdsprov apply FILE`
    ///
    /// The file contains no passwords.
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// Include SCRAM verifiers of passwords in the script (`--format sql`)
    ///
    /// The script then runs without further input. Protect it: an attacker can test guesses against a verifier.
    #[arg(long, help_heading = OUTPUT)]
    pub with_verifiers: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The flags of every command that changes a server: confirmation and records.
#[derive(Debug, Args)]
pub struct RecordingArgs {
    /// Skip the confirmation prompt on a terminal
    #[arg(short, long, help_heading = APPROVAL)]
    pub yes: bool,
    /// Name the run in records [default: a random id]
    #[arg(long, env = "RDSPROV_RUN_ID", value_name = "ID", help_heading = RECORDS)]
    pub run_id: Option<String>,
    /// Append the records to this CSV file
    #[arg(long, env = "RDSPROV_AUDIT_OUTPUT", value_name = "FILE", help_heading = RECORDS)]
    pub audit_output: Option<PathBuf>,
    /// Append the records to this ledger
    ///
    /// A ledger is a file in JSON Lines. Each record contains the hash of the record before it, so that
    /// `rdsprov audit verify` can detect changes.
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE", help_heading = RECORDS)]
    pub audit_ledger: Option<PathBuf>,
    /// Record the user that starts the run [default: the operating-system user]
    #[arg(long, env = "RDSPROV_ACTOR", value_name = "NAME", help_heading = RECORDS)]
    pub actor: Option<String>,
    /// Record the person that approved the run
    #[arg(long, env = "RDSPROV_APPROVER", value_name = "NAME", help_heading = RECORDS)]
    pub approver: Option<String>,
    /// Record the ticket or pull request that requested the run
    #[arg(long, env = "RDSPROV_REQUEST_ID", value_name = "ID", help_heading = RECORDS)]
    pub request_id: Option<String>,
    /// Show and record the plan without executing it
    #[arg(long, help_heading = EXECUTION)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DelegateArgs {
    /// Create or update this role
    #[arg(long, value_name = "ROLE", help_heading = DEFINITIONS)]
    pub to: String,
    /// Use the password in this secret for the role
    ///
    /// If the secret does not exist, it is created with a new password.
    #[arg(long, value_name = "ID", help_heading = DEFINITIONS)]
    pub to_secret: String,
    /// Take over an existing role with this name that is not managed
    #[arg(long, help_heading = DEFINITIONS)]
    pub adopt: bool,
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
pub struct ApplyArgs {
    /// Apply this saved plan if it is still current
    ///
    /// `rdsprov plan --out FILE` saves a plan. It is refused if the server or the secrets have changed since.
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Continue with the other databases after a failure
    #[arg(long, help_heading = EXECUTION)]
    pub no_fail_fast: bool,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Accepted without effect: the environment decides about approval
    #[arg(long, help_heading = COMPATIBILITY)]
    pub require_approval: bool,
    /// Accepted without effect: rdsprov does not have a preflight
    #[arg(long, help_heading = COMPATIBILITY)]
    pub skip_preflight: bool,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Replace the passwords of these applications
    #[arg(required = true, value_name = "APPLICATION")]
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

/// A value of a flag, and its help text.
type Described = (&'static str, &'static str);

const MODES: [Described; 2] = [
    ("standalone", "`application_databases` is at the top level"),
    ("coupled", "`application_databases` is inside `rds_config`"),
];

const TLS_MODES: [Described; 3] = [
    ("verify-full", "Encrypt, and verify the certificate and its host name"),
    ("require", "Encrypt without verifying the server"),
    ("disable", "Do not encrypt; allowed for loopback only"),
];

const STAGES: [Described; 2] = [
    ("AWSCURRENT", "The current version"),
    ("AWSPENDING", "The pending version of a secret, if there is one"),
];

const PASSWORD_CHECKS: [Described; 3] = [
    ("login", "Log in as the role, and set the password if it is wrong"),
    ("never", "Do not check; set the passwords of new roles only"),
    ("always-set", "Do not check; set every password in every run"),
];

const HAZARDS: [Described; 5] = [
    ("revokes_access", "A role loses a privilege, an attribute or a membership"),
    ("changes_owner", "A database or schema gets another owner"),
    ("resets_password", "A password that worked stops working"),
    ("adopts", "A role or database that was not managed becomes managed"),
    ("closes_to_public", "PUBLIC loses its privileges on a database"),
];

const DOCUMENTS: [Described; 5] = [
    ("plan", "The output of `plan --format json`"),
    ("saved-plan", "The file that `plan --out` writes"),
    ("ledger", "A record of a ledger"),
    ("access", "The output of `access --format json`"),
    ("definitions", "The output of `validate --format json`"),
];

/// Returns a parser for a type of the core with a closed set of values, which the help text lists.
fn closed_set<T>(values: &[Described]) -> impl TypedValueParser<Value = T> + use<T>
where
    T: FromStr + Clone + Send + Sync + 'static,
{
    let listed = values.iter().map(|(name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(listed)
        // clap has compared the text with the list, so that this error is a bug of the list.
        .try_map(|name| name.parse().map_err(|_| format!("`{name}` cannot be parsed")))
}

/// The meaning of the arguments.
pub enum Invocation {
    /// Run a command.
    Run(Box<CommandLine>),
    /// Print the version and the certificates in the program (`--version --verbose`).
    Version(String),
}

/// Parses the arguments.
///
/// A variable with an empty value counts as unset, because CI systems pass unset variables in this way.
pub fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    fn without_empty_variables(command: clap::Command) -> clap::Command {
        let is_empty = |arg: &Arg| {
            arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|v| v.is_empty()))
        };
        let names: Vec<String> =
            command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
        let command =
            command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&str>) } else { arg });
        names
            .into_iter()
            .fold(command, |command, name| command.mut_subcommand(name, without_empty_variables))
    }
    match without_empty_variables(CommandLine::command()).try_get_matches_from(arguments) {
        Ok(matches) => Ok(Invocation::Run(Box::new(CommandLine::from_arg_matches(&matches)?))),
        Err(error) if error.kind() == ErrorKind::DisplayVersion && wants_more(arguments) => {
            let carried = match BundledCertificates::read() {
                Ok(carried) => format!("contains {carried}"),
                Err(error) => error.to_string(),
            };
            Ok(Invocation::Version(format!("{}{carried}\n", error.render())))
        }
        Err(error) => Err(error),
    }
}

/// Returns the environment variable of an option of `apply`, if it has one.
pub fn variable(option: &str) -> Option<String> {
    let command = CommandLine::command();
    let argument =
        command.find_subcommand("apply")?.get_arguments().find(|one| one.get_id() == option)?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

/// Returns whether `--verbose` is given. clap stops parsing at `--version`, so the arguments are parsed again.
fn wants_more(arguments: &[OsString]) -> bool {
    let counted = Arg::new("version").short('V').long("version").action(ArgAction::Count);
    let command = CommandLine::command().mut_arg("version", |_| counted);
    // With invalid arguments, clap may not even have a count.
    let matches = command.ignore_errors(true).get_matches_from(arguments);
    matches.get_one::<u8>("verbose").is_some_and(|count| *count > 0)
}

/// Silences the warnings of the AWS SDK about each source without a region or credentials.
/// If no source has them, rdsprov itself reports an error.
const QUIET: &str = "aws_config::imds=error,aws_config::meta=error,aws_config::profile=error";

/// Starts logging to stderr; stdout is reserved for results.
pub fn start_logging(arguments: &CommandLine) {
    let level = match arguments.verbose {
        0 => format!("warn,{QUIET}"),
        1 => format!("rdsprov_cli=info,rdsprov_core=info,warn,{QUIET}"),
        _ => "debug".to_owned(),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Returns the completion script for a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "rdsprov", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Command;

    use super::*;

    /// Words of headless clauses and metaphors, which no help text may contain.
    const UNCLEAR: [&str; 9] =
        ["somebody", "someone", "nobody", "whoever", "whatever", "beats", "looks", "say", "tell"];

    /// The headings under which a flag can stand.
    const HEADINGS: [&str; 9] = [
        DEFINITIONS,
        CONNECTION,
        SECRETS,
        APPROVAL,
        RECORDS,
        EXECUTION,
        OUTPUT,
        COMPATIBILITY,
        GLOBAL,
    ];

    /// Calls `check` with each command and subcommand.
    fn for_each_command(command: &Command, check: &mut impl FnMut(&Command)) {
        check(command);
        command.get_subcommands().for_each(|one| for_each_command(one, check));
    }

    fn built() -> Command {
        let mut command = CommandLine::command();
        command.build();
        command
    }

    /// Checks the first line of a help text, which ends before the default value.
    fn check_first_line(line: &str, name: &str) {
        let phrase = line.split(" [default:").next().unwrap_or_default();
        let count = phrase.split_whitespace().count();
        assert!((1..=12).contains(&count), "{name} has {count} words: {phrase}");
        assert!(phrase.starts_with(|first: char| first.is_ascii_uppercase()), "{name}: {phrase}");
        assert!(!phrase.ends_with('.'), "{name}: {phrase}");
    }

    fn check_words(help: &str, name: &str) {
        let words = format!(" {} ", help.to_lowercase().replace([',', '.', ';', ':', '\n'], " "));
        for unclear in UNCLEAR {
            assert!(!words.contains(&format!(" {unclear} ")), "{name}: `{unclear}` in: {help}");
        }
    }

    #[test]
    fn first_lines_are_short_phrases_in_plain_words() {
        for_each_command(&built(), &mut |command| {
            let name = command.get_name();
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            check_first_line(&about, name);
            for argument in command.get_arguments() {
                let name = format!("{name} {}", argument.get_id());
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                check_first_line(&help, &name);
                for value in argument.get_possible_values() {
                    let help = value.get_help().map(ToString::to_string);
                    check_words(&help.unwrap_or_default(), &name);
                }
            }
            check_words(&command.clone().render_long_help().to_string(), name);
        });
    }

    #[test]
    fn each_flag_stands_under_a_heading() {
        for_each_command(&built(), &mut |command| {
            for argument in command.get_arguments().filter(|one| !one.is_positional()) {
                let heading = argument.get_help_heading();
                assert!(
                    heading.is_some_and(|heading| HEADINGS.contains(&heading)),
                    "{} {} stands under {heading:?}",
                    command.get_name(),
                    argument.get_id()
                );
            }
        });
    }

    /// A value that is not listed here could not be given on the command line.
    #[test]
    fn closed_sets_list_every_value_of_the_core() {
        let names = |described: &[Described]| -> BTreeSet<String> {
            described.iter().map(|(name, _)| (*name).to_owned()).collect()
        };
        assert_eq!(names(&HAZARDS), Hazard::all().map(|hazard| hazard.to_string()).collect());
        assert_eq!(names(&DOCUMENTS), Document::ALL.iter().map(ToString::to_string).collect());
        assert!(MODES.iter().all(|(name, _)| name.parse::<Mode>().is_ok()));
        assert!(TLS_MODES.iter().all(|(name, _)| name.parse::<TlsMode>().is_ok()));
        assert!(STAGES.iter().all(|(name, _)| name.parse::<Stage>().is_ok()));
        assert!(PASSWORD_CHECKS.iter().all(|(name, _)| name.parse::<VerifyPasswords>().is_ok()));
    }
}
