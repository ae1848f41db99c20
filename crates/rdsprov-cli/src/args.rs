//! The arguments. A flag beats its environment variable, that beats `rdsprov.toml`.

use std::ffi::OsString;
use std::path::PathBuf;

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
use rdsprov_core::server::CarriedCertificates;
use rdsprov_core::session::Secrets;

/// Roles, databases and grants inside PostgreSQL on Amazon RDS, as declared.
#[derive(Debug, Parser)]
#[command(name = "rdsprov", version)]
pub struct CommandLine {
    /// What to do
    #[command(subcommand)]
    pub command: CliCommand,
    /// How the log on stderr looks
    #[arg(long, global = true, value_enum, default_value = "text", env = "RDSPROV_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Say more on stderr; twice for the libraries' words too
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Read the definitions and say what they mean; contacts nothing
    Validate(ValidateArgs),
    /// Show what `apply` would do
    Plan(PlanArgs),
    /// Exit 2 where the server is not as declared
    Check(CheckArgs),
    /// Make the server as declared
    #[command(
        after_help = "Outside dev it needs approval: ALLOW_DB_PROVISION=true, or ALLOW_DB_PROVISION=sha256:… with the digest that `plan` prints."
    )]
    Apply(ApplyArgs),
    /// Make a role that does all this in the master's place, so that the master's secret can stay where it is
    #[command(
        after_help = "Outside dev it needs approval, as `apply` does. Afterwards: rdsprov apply --admin-secret ID"
    )]
    Delegate(DelegateArgs),
    /// Give applications new passwords: create, set, test and finish, one at a time
    #[command(
        after_help = "Outside dev it needs approval as `apply` does; `--dry-run` prints the digest."
    )]
    Rotate(RotateArgs),
    /// Say who can do what in the managed databases, as PostgreSQL says
    Access(AccessArgs),
    /// Print the JSON Schema of what this program prints or keeps as JSON
    Schema {
        /// plan, saved-plan, ledger, access or definitions
        document: Document,
    },
    /// Print what a shell needs to complete commands and flags
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Look at a ledger: whether it is as it was written, and who was given what
    #[command(subcommand)]
    Audit(AuditCommand),
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Say whether records were changed, removed or moved, and at which lines; exit 1 where so
    Verify(VerifyArgs),
    /// Say who was given what, when and by whom
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub struct AccessArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Only this database
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<String>,
    /// Only this role, and PUBLIC
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
}

/// How what is found looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The ledger
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
    /// A hash that was kept elsewhere: the record that has it must be there
    #[arg(long, alias = "head", value_name = "HASH")]
    pub expect: Option<String>,
    /// How the result looks
    #[arg(long, value_enum, default_value = "text")]
    pub format: FindingsFormat,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger
    #[arg(value_name = "FILE")]
    pub ledger: PathBuf,
    /// Only what concerns this role
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Only what concerns this database
    #[arg(long, value_name = "DATABASE")]
    pub database: Option<String>,
    /// How the result looks
    #[arg(long, value_enum, default_value = "text")]
    pub format: FindingsFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Text,
    Json,
    Sql,
    Markdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AdminAuthArg {
    Password,
    Iam,
}

#[derive(Debug, Args)]
pub struct CommonArgs {
    /// The environment; must agree with the definitions
    #[arg(long, env = "RDSPROV_ENV")]
    pub env: Option<String>,
    /// Definitions: *.tfvars, *.tfvars.json, *.json or *.toml
    #[arg(short, long, alias = "tfvars", num_args = 1.., value_name = "FILE")]
    pub definitions: Vec<PathBuf>,
    /// Which mode the definitions are in, where both are present
    #[arg(long)]
    pub mode: Option<Mode>,
    /// The file of what one does not want to repeat [default: rdsprov.toml, where there is one]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Let an application take over its role and database though they are not managed yet
    #[arg(long, value_name = "APPLICATION")]
    pub adopt: Vec<String>,
    /// How the result looks
    #[arg(long, value_enum, default_value = "text", env = "RDSPROV_FORMAT")]
    pub format: Format,
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The administrator's secret [default: goldenpath/{environment}/rds/master]
    #[arg(long, alias = "master-secret", env = "RDSPROV_ADMIN_SECRET", value_name = "ID")]
    pub admin_secret: Option<String>,
    /// How the administrator logs in: with the password of its secret, or with a token of IAM
    #[arg(long, value_enum, default_value = "password", env = "RDSPROV_ADMIN_AUTH")]
    pub admin_auth: AdminAuthArg,
    /// The administrator's role, where it logs in with a token; --host says where
    #[arg(long, env = "RDSPROV_ADMIN_USER", value_name = "ROLE")]
    pub admin_user: Option<String>,
    /// Where secrets come from: `aws`, or `file:DIR`
    #[arg(long, env = "RDSPROV_SECRETS", default_value = "aws")]
    pub secrets: Secrets,
    /// Which version of the applications' secrets counts: AWSCURRENT, or AWSPENDING where there is one [default: AWSCURRENT]
    #[arg(long, env = "RDSPROV_SECRET_STAGE", value_name = "STAGE", value_parser = secret_stage)]
    pub secret_stage: Option<Stage>,
    /// The AWS region
    #[arg(long, env = "RDSPROV_REGION")]
    pub region: Option<String>,
    /// The server's host, in place of the one in the administrator's secret
    #[arg(long, env = "RDSPROV_HOST")]
    pub host: Option<String>,
    /// The server's port, in place of the one in the administrator's secret
    #[arg(long, env = "RDSPROV_PORT")]
    pub port: Option<u16>,
    /// The administrator's database, in place of the one in its secret
    #[arg(long, env = "RDSPROV_DBNAME")]
    pub dbname: Option<String>,
    /// How the connection is protected: verify-full, require, disable [default: verify-full]
    #[arg(long, env = "RDSPROV_TLS", value_parser = tls_mode)]
    pub tls: Option<TlsMode>,
    /// Certificates to trust beside the system's and Amazon's, in PEM; `system` for the system's alone [default: PGSSLROOTCERT]
    #[arg(long, env = "RDSPROV_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How it is found out whether passwords are right: login, never, always-set [default: login]
    #[arg(long, env = "RDSPROV_VERIFY_PASSWORDS", value_parser = verify_passwords)]
    pub verify_passwords: Option<VerifyPasswords>,
    /// The certificate by which the server knows the client, in PEM [default: PGSSLCERT]
    #[arg(long, env = "RDSPROV_CLIENT_CERT", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// Its key, which nobody else may read [default: PGSSLKEY]
    #[arg(long, env = "RDSPROV_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Names the build in records, marks and, as {build_id}, in the names of secrets
    #[arg(long, env = "RDSPROV_BUILD_ID")]
    pub build_id: Option<String>,
    /// Allow a hazard: outside dev each needs it, and changes_owner everywhere
    #[arg(long, value_name = "HAZARD", value_delimiter = ',')]
    pub allow: Vec<Hazard>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    /// Exit 2 where there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Save the plan, for `apply FILE`; it holds no password
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// With --format sql: write the SCRAM verifiers of passwords into the script, so that it can be run as it is
    #[arg(long)]
    pub with_verifiers: bool,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How what changes a server is agreed to and recorded.
#[derive(Debug, Args)]
pub struct RecordingArgs {
    /// Names the run in records [default: a random one]
    #[arg(long, env = "RDSPROV_RUN_ID")]
    pub run_id: Option<String>,
    /// Append the records to a CSV file
    #[arg(long, env = "RDSPROV_AUDIT_OUTPUT", value_name = "FILE")]
    pub audit_output: Option<PathBuf>,
    /// Append the records to a ledger of JSON Lines, each bound to the one before it
    #[arg(long, env = "RDSPROV_AUDIT_LEDGER", value_name = "FILE")]
    pub audit_ledger: Option<PathBuf>,
    /// Who runs this, for the ledger [default: the user of the system]
    #[arg(long, env = "RDSPROV_ACTOR", value_name = "NAME")]
    pub actor: Option<String>,
    /// Who agreed to it, for the ledger
    #[arg(long, env = "RDSPROV_APPROVER", value_name = "NAME")]
    pub approver: Option<String>,
    /// What it was asked for by, for the ledger: a ticket, a pull request
    #[arg(long, env = "RDSPROV_REQUEST_ID", value_name = "ID")]
    pub request_id: Option<String>,
    /// Do not ask on a terminal
    #[arg(short, long)]
    pub yes: bool,
    /// Do all but the last step: show and record what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DelegateArgs {
    /// The environment
    #[arg(long, env = "RDSPROV_ENV")]
    pub env: Option<String>,
    /// The role that is to administer
    #[arg(long, value_name = "ROLE")]
    pub to: String,
    /// Where its password is kept; made with a new one where it is not there
    #[arg(long, value_name = "ID")]
    pub to_secret: String,
    /// Take over a role of this name that is not managed yet
    #[arg(long)]
    pub adopt: bool,
    /// The file of what one does not want to repeat [default: rdsprov.toml, where there is one]
    #[arg(long, env = "RDSPROV_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How the plan looks
    #[arg(long, value_enum, default_value = "text", env = "RDSPROV_FORMAT")]
    pub format: Format,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A plan that `plan --out` saved: applied only while it still is the plan
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// After a failure go on with the other databases
    #[arg(long)]
    pub no_fail_fast: bool,
    /// Changes nothing: approval is always asked for
    #[arg(long, help_heading = "Flags of the script that this program replaces")]
    pub require_approval: bool,
    /// Changes nothing: there is no preflight yet
    #[arg(long, help_heading = "Flags of the script that this program replaces")]
    pub skip_preflight: bool,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The applications whose passwords are rotated
    #[arg(required = true, value_name = "APPLICATION")]
    pub applications: Vec<String>,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub recording: RecordingArgs,
}

fn secret_stage(text: &str) -> Result<Stage, String> {
    text.parse().map_err(|()| "the stages are AWSCURRENT and AWSPENDING".to_owned())
}

fn verify_passwords(text: &str) -> Result<VerifyPasswords, String> {
    text.parse().map_err(|()| "the ways are login, never and always-set".to_owned())
}

fn tls_mode(text: &str) -> Result<TlsMode, String> {
    text.parse().map_err(|_| "the modes are verify-full, require and disable".to_owned())
}

/// What the arguments ask for.
pub enum Invocation {
    Run(Box<CommandLine>),
    /// The version, in more words than clap has for it.
    Version(String),
}

/// Reads the arguments. A variable that is set to nothing, as CI systems do, is not set.
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
            let carried = match CarriedCertificates::read() {
                Ok(carried) => format!("carries {carried}"),
                Err(error) => error.to_string(),
            };
            Ok(Invocation::Version(format!("{}{carried}\n", error.render())))
        }
        Err(error) => Err(error),
    }
}

/// The variable of an option of `apply`.
pub fn variable(option: &str) -> Option<String> {
    let command = CommandLine::command();
    let argument =
        command.find_subcommand("apply")?.get_arguments().find(|one| one.get_id() == option)?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

/// Whether `--verbose` is there: clap answers `--version` without reading on.
fn wants_more(arguments: &[OsString]) -> bool {
    let command = CommandLine::command()
        .disable_version_flag(true)
        .arg(Arg::new("version").short('V').long("version").action(ArgAction::Count));
    // Where something else is wrong, not even a count is there.
    let matches = command.ignore_errors(true).get_matches_from(arguments);
    matches.get_one::<u8>("verbose").is_some_and(|count| *count > 0)
}

/// What the SDK tells of each place where it looked for a region and credentials; where none had any, that
/// is an error of ours.
const QUIET: &str = "aws_config::imds=error,aws_config::meta=error,aws_config::profile=error";

/// The log goes to stderr; results have stdout for themselves.
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

/// What a shell needs to complete commands and flags.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "rdsprov", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
