//! Defines the command line.
//!
//! The doc comments of this module are the help texts. The first line of each is an imperative
//! phrase of at most 12 words, which `-h` prints; the paragraphs after it are details, which only
//! `--help` prints. Each flag stands under one of the [`headings`]. A flag takes precedence over
//! its environment variable, and the variable over `rdsprov.toml`.
//!
//! This file contains the subcommands and the parser, [`commands`] the arguments of
//! each subcommand, [`flags`] the groups of flags that subcommands share, and
//! [`values`] the values of flags.

mod commands;
mod flags;
mod fleet;
mod headings;
mod help;
mod values;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::builder::Styles;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{
    Arg, ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    ValueEnum,
};
use clap_complete::Shell;
use rdsprov_core::audit::Command;
use rdsprov_core::audit_table::AuditTableName;
use rdsprov_core::hint::Opt;
use rdsprov_core::plan::Detail;
use rdsprov_core::schema::Document;
use rdsprov_core::server::BundledCertificates;
use rdsprov_core::text::{visible, visible_lines};

pub use commands::{
    AccessArgs, AcknowledgeArgs, ApplyArgs, CheckArgs, ConfigArgs, DelegateArgs, DropArgs,
    ExportArgs, FindingsFormat, FoundResult, GraphArgs, ManArgs, PlanArgs, PreflightArgs,
    ReportArgs, RetireArgs, RotateArgs, TeardownArgs, ValidateArgs, VerifyArgs,
};
pub use flags::{
    AccessFormat, AdminAuthArg, AuditStdout, CommonArgs, Format, RecordArgs, RecordingArgs,
    ServerArgs,
};
pub use fleet::FleetArgs;
use headings::GLOBAL;
use values::{DOCUMENTS, closed_set};

/// Manage roles, databases and grants in PostgreSQL on Amazon RDS
///
/// rdsprov reads definitions files, compares them with the catalogs of a PostgreSQL
/// server, and prints or applies the plan that changes the one into the other. Passwords
/// come from AWS Secrets Manager.
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
        hide_short_help = true,
        help_heading = GLOBAL
    )]
    pub log_format: LogFormat,
    /// Show details and progress; give it twice for debug messages
    ///
    /// Plans then contain every step with its statements, and stderr what is being done.
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub quiet: bool,
    /// Select when the output has colours
    ///
    /// `auto` follows the variables NO_COLOR and CLICOLOR_FORCE.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        value_name = "WHEN",
        hide_short_help = true,
        help_heading = GLOBAL
    )]
    pub color: ColorWhen,
    /// Do not show the progress of long operations
    #[arg(long, global = true, env = "RDSPROV_NO_PROGRESS", hide_short_help = true, help_heading = GLOBAL)]
    pub no_progress: bool,
    /// Print help: `-h` a summary, `--help` all details
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = GLOBAL)]
    help: Option<bool>,
    /// Print the version; with `--verbose`, also the certificates in the program
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = GLOBAL)]
    version: Option<bool>,
}

/// The flags that all commands have.
#[derive(Clone, Copy)]
pub struct Global {
    pub color: ColorWhen,
    pub log: LogFormat,
    pub no_progress: bool,
}

impl CommandLine {
    /// Returns how much of a plan its text contains.
    pub fn detail(&self) -> Detail {
        if self.verbose > 0 { Detail::Full } else { Detail::Brief }
    }

    /// Returns the flags that `rdsprov config` shows with those of its own.
    pub fn global(&self) -> Global {
        Global { color: self.color, log: self.log_format, no_progress: self.no_progress }
    }
}

/// When the output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
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
    /// Prints what the definitions declare. Contacts neither a server nor AWS,
    /// and needs no environment.
    Validate(ValidateArgs),
    /// Show the changes that `apply` would make
    ///
    /// Reads the catalogs of the server and prints the plan. Changes nothing. Exits with 3 if
    /// the plan is refused.
    Plan(PlanArgs),
    /// Apply the changes that the definitions require
    ///
    /// Locks the server, plans, checks the approval and the hazards, executes the plan, and plans
    /// again to verify that nothing remains to be done.
    #[command(after_help = APPROVAL_HELP)]
    Apply(ApplyArgs),
    /// Exit with 2 if the server differs from the definitions
    ///
    /// Prints the plan, as `plan` does, and changes nothing. Exits with 0 if there is nothing to
    /// do, with 2 if changes are pending, and with 3 if the plan is refused.
    Check(CheckArgs),
    /// Check everything that a run needs, without changing anything
    ///
    /// Checks definitions, secrets, connection, permissions, records and lock, and prints a line for
    /// each check, with a hint. Exits with 1 if a run would fail, and with 3 if it would be refused.
    /// The approval and the hazards of a plan are not checked: `plan` shows them.
    Preflight(PreflightArgs),
    /// Report the privileges of each role in the managed databases
    ///
    /// The report shows the privileges that PostgreSQL itself computes, next to what the
    /// definitions declare. Needs no secret except that of the administrator.
    Access(AccessArgs),
    /// Write definitions of what a server has
    ///
    /// Guesses an entry for each role that can log in, from its privileges. Comments list what a plan
    /// of the entries would change. Changes nothing, and needs no secret except that of the
    /// administrator.
    Export(ExportArgs),
    /// Replace the passwords of applications, one at a time
    ///
    /// Follows the four steps of AWS Secrets Manager: create a pending version, set the password,
    /// test it, finish. If a step fails, the old password is restored.
    #[command(after_help = APPROVAL_HELP)]
    Rotate(RotateArgs),
    /// End the access of applications
    ///
    /// Revokes what their roles have in the managed databases, ends their memberships and takes
    /// LOGIN from them. The definitions give them `access_level = "none"`, or do not contain them any
    /// more. Objects and data stay.
    #[command(after_help = APPROVAL_HELP)]
    Retire(RetireArgs),
    /// Drop what a build has created in an ephemeral environment
    ///
    /// Finds the roles and databases of the build by their markers, and reads no definitions. What
    /// other builds created and what the build adopted stays. Nothing is dropped if a part of it is
    /// used otherwise.
    #[command(after_help = APPROVAL_HELP)]
    Teardown(TeardownArgs),
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
    /// Print the settings of a run, and the place that sets each
    ///
    /// A place is a flag, an environment variable, the definitions, rdsprov.toml, the site policy or
    /// the default. Contacts nothing: `-` is a value that is not set, or that only this place knows.
    Config(ConfigArgs),
    /// Print roles, memberships and databases of the definitions as a graph
    ///
    /// Contacts nothing. GitHub and GitLab draw the output in Markdown, in a block of the language
    /// `mermaid`.
    Graph(GraphArgs),
    /// Print the JSON Schema of an output or file format
    Schema {
        /// Select the format
        #[arg(value_parser = closed_set::<Document>(&DOCUMENTS))]
        document: Document,
    },
    /// Print the completion script for a shell
    ///
    /// The script asks this program for candidates: commands, flags, files, hazards, and the names of
    /// environments, applications and instances that the files of the command line declare. Contacts nothing.
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// Select the shell
        shell: Shell,
    },
    /// Print the manual page of a command
    Man(ManArgs),
}

/// Explains the approval, after the details of the commands that need one.
const APPROVAL_HELP: &str = "Every environment except dev requires an approval: set the variable \
    ALLOW_DB_PROVISION to `true`, or to the digest that `rdsprov plan` prints (sha256:…). \
    `[environments.NAME] approval` in rdsprov.toml changes this.";

/// How each shell reads the completion script.
const COMPLETIONS_HELP: &str = "Write one of these lines to the start-up file of the shell:
  bash  source <(rdsprov completions bash)
  zsh   source <(rdsprov completions zsh)
  fish  rdsprov completions fish | source";

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
    Report(Box<ReportArgs>),
    /// Record what became of changes whose results no run can find
    ///
    /// Writes a record with its author and reason for each change. `audit report` prints the line of each
    /// intent, and no longer exits with 2 because of these changes.
    Acknowledge(AcknowledgeArgs),
}

/// The meaning of the arguments.
pub enum Invocation {
    /// Run a command.
    Run(Box<CommandLine>),
    /// Print the version and the certificates in the program (`--version --verbose`).
    Version(String),
}

/// Parses the arguments of the process.
///
/// A variable with an empty value counts as unset, because CI systems pass unset
/// variables in this way.
pub fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    parse_with(Styles::styled(), arguments)
}

fn parse_with(styles: Styles, arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    fn without_empty_variables(command: clap::Command) -> clap::Command {
        let is_empty = |arg: &Arg| {
            arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|v| v.is_empty()))
        };
        // The help shows the values of variables.
        let is_hidden = |arg: &Arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            value.is_some_and(|value| visible(&value.to_string_lossy()) != value.to_string_lossy())
        };
        let names: Vec<String> =
            command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
        let command = command.mut_args(|arg| {
            if is_empty(&arg) {
                return arg.env(None::<&str>);
            }
            let is_hidden = is_hidden(&arg);
            arg.hide_env_values(is_hidden)
        });
        names
            .into_iter()
            .fold(command, |command, name| command.mut_subcommand(name, without_empty_variables))
    }
    let words = without_help_of_help(arguments);
    let is_short = words.iter().any(|word| word == "-h");
    let command = if is_short { help::without_long_lists(with_help()) } else { with_help() };
    let command = without_empty_variables(command).styles(styles);
    match command.clone().try_get_matches_from(words) {
        Ok(matches) => {
            fleet::check(&command, &matches)?;
            help::check_effect(&matches)?;
            let mut line = CommandLine::from_arg_matches(&matches)?;
            let audit_table = line.command.audit_table().cloned();
            if let Some(server) = line.command.server_mut() {
                server.variables = from_variables(&matches);
                server.audit_table = audit_table;
            }
            Ok(Invocation::Run(Box::new(line)))
        }
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

/// Returns the message of arguments that are wrong, without hidden characters and commands of CI systems: clap
/// prints arguments and the values of variables as they are.
pub fn error_text(error: &clap::Error, arguments: &[OsString]) -> String {
    let variables = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name.starts_with("RDSPROV_")
    });
    let given = arguments.iter().cloned().chain(variables.map(|(_, value)| value));
    // The line breaks of the message itself remain, so that those of a value are escaped before. clap
    // prints a value as a whole, or its items.
    let mut values = BTreeSet::new();
    for word in given {
        let word = word.to_string_lossy().into_owned();
        let value = word.split_once('=').map(|(_, value)| value.to_owned());
        let name = word.split_once('=').map(|(name, _)| name.to_owned());
        for one in [Some(word), value, name].into_iter().flatten() {
            values.extend(one.split(',').map(str::to_owned));
            values.insert(one);
        }
    }
    let mut values: Vec<String> =
        values.into_iter().filter(|one| one.contains('\n') && !one.trim().is_empty()).collect();
    values.sort_by_key(|value| Reverse(value.len()));
    // clap removes terminal sequences from its text, and with an incomplete one in a value the rest of the
    // message. The same error without styles needs nothing removed.
    let unstyled = parse_with(Styles::plain(), arguments).err();
    let text = unstyled.as_ref().unwrap_or(error).render().ansi().to_string();
    let text = values.iter().fold(text, |text, value| text.replace(value, &visible(value)));
    visible_lines(text.trim_end())
}

/// Returns the command of a run whose result is to be a JSON document, also if its arguments are wrong.
pub fn run_in_json(arguments: &[OsString]) -> Option<Command> {
    let words: Vec<&str> = arguments.iter().skip(1).filter_map(|word| word.to_str()).collect();
    let is_name = |word: &&&str| CommandLine::command().find_subcommand(word).is_some();
    let name = words.iter().find(is_name)?;
    let of_next = |(one, next): (&&str, &&str)| (*one == "--format").then(|| (*next).to_owned());
    let given = words.iter().find_map(|word| word.strip_prefix("--format=").map(str::to_owned));
    let given = given.or_else(|| words.iter().zip(words.iter().skip(1)).find_map(of_next));
    let set = || std::env::var(variable("format")?).ok();
    let is_of_fleet = words.iter().any(|word| word.starts_with("--fleet"));
    let is_json = !is_of_fleet && given.or_else(set).is_some_and(|format| format == "json");
    Command::all().find(|one| is_json && one.name() == *name)
}

/// Returns the arguments without a flag for help after `help`, where clap accepts none.
fn without_help_of_help(arguments: &[OsString]) -> Vec<OsString> {
    let is_help = arguments.get(1).is_some_and(|word| word == "help");
    let is_flag = |word: &OsString| word == "-h" || word == "--help";
    arguments.iter().filter(|word| !(is_help && is_flag(word))).cloned().collect()
}

/// Returns the options of a subcommand whose values come from environment variables, with the names
/// of the variables.
fn from_variables(matches: &ArgMatches) -> BTreeMap<Opt, String> {
    let Some((name, matches)) = matches.subcommand() else { return BTreeMap::new() };
    let command = built();
    let Some(command) = command.find_subcommand(name) else { return BTreeMap::new() };
    let from_variable = |option: Opt| {
        let argument = command.get_arguments().find(|one| one.get_long() == Some(option.name()))?;
        let source = matches.value_source(argument.get_id().as_str())?;
        let variable = argument.get_env()?.to_string_lossy().into_owned();
        (source == ValueSource::EnvVariable).then_some((option, variable))
    };
    Opt::all().filter_map(from_variable).collect()
}

impl CliCommand {
    /// Returns the audit table that the flag names.
    fn audit_table(&self) -> Option<&AuditTableName> {
        let table = match self {
            Self::Plan(PlanArgs { table, .. })
            | Self::Check(CheckArgs { table, .. })
            | Self::Preflight(PreflightArgs { table, .. })
            | Self::Config(ConfigArgs { records: RecordArgs { table, .. }, .. }) => table,
            Self::Audit(AuditCommand::Report(report)) => &report.table,
            Self::Apply(ApplyArgs { recording, .. })
            | Self::Rotate(RotateArgs { recording, .. })
            | Self::Retire(RetireArgs { recording, .. })
            | Self::Teardown(TeardownArgs { recording, .. })
            | Self::Delegate(DelegateArgs { recording, .. }) => &recording.records.table,
            Self::Access(_)
            | Self::Export(_)
            | Self::Validate(_)
            | Self::Audit(AuditCommand::Verify(_) | AuditCommand::Acknowledge(_))
            | Self::Explain { .. }
            | Self::Graph(_)
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Man(_) => return None,
        };
        table.audit_table.as_ref()
    }

    /// Returns the options for the server, if the subcommand contacts one.
    fn server_mut(&mut self) -> Option<&mut ServerArgs> {
        match self {
            Self::Plan(PlanArgs { server, .. })
            | Self::Apply(ApplyArgs { server, .. })
            | Self::Check(CheckArgs { server, .. })
            | Self::Preflight(PreflightArgs { server, .. })
            | Self::Access(AccessArgs { server, .. })
            | Self::Export(ExportArgs { server, .. })
            | Self::Rotate(RotateArgs { server, .. })
            | Self::Retire(RetireArgs { server, .. })
            | Self::Teardown(TeardownArgs { server, .. })
            | Self::Config(ConfigArgs { server, .. })
            | Self::Delegate(DelegateArgs { server, .. }) => Some(server),
            Self::Audit(AuditCommand::Report(report)) => Some(&mut report.server),
            Self::Validate(_)
            | Self::Audit(AuditCommand::Verify(_) | AuditCommand::Acknowledge(_))
            | Self::Explain { .. }
            | Self::Graph(_)
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Man(_) => None,
        }
    }
}

/// Returns the command with the help of each subcommand.
pub fn with_help() -> clap::Command {
    help::with_help(CommandLine::command())
}

/// Returns the command with all its subcommands, and with their names as a user types them.
pub fn built() -> clap::Command {
    let mut command = with_help();
    command.build();
    command
}

/// Returns the environment variable of an option of `apply`, if it has one.
pub fn variable(option: &str) -> Option<String> {
    let command = CommandLine::command();
    let argument =
        command.find_subcommand("apply")?.get_arguments().find(|one| one.get_id() == option)?;
    Some(argument.get_env()?.to_string_lossy().into_owned())
}

/// Returns whether `--verbose` is given. clap stops parsing at `--version`, so the
/// arguments are parsed again.
fn wants_more(arguments: &[OsString]) -> bool {
    let counted = Arg::new("version").short('V').long("version").action(ArgAction::Count);
    let command = CommandLine::command().mut_arg("version", |_| counted);
    // With invalid arguments, clap may not even have a count.
    let matches = command.ignore_errors(true).get_matches_from(arguments);
    matches.get_one::<u8>("verbose").is_some_and(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use clap::Command;
    use rdsprov_testkit::documents::{documents, invocations, program, shell_blocks};

    use super::headings::{
        APPROVAL, COMPATIBILITY, CONNECTION, DEFINITIONS, EXECUTION, FLEET, GLOBAL, OUTPUT,
        RECORDS, SECRETS,
    };
    use super::*;

    /// Words of headless clauses and metaphors, which no help text may contain.
    const UNCLEAR: [&str; 9] =
        ["somebody", "someone", "nobody", "whoever", "whatever", "beats", "looks", "say", "tell"];

    /// The headings under which a flag can stand.
    const HEADINGS: [&str; 10] = [
        DEFINITIONS,
        FLEET,
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

    /// An example in a document that the program rejects would be met by each reader.
    #[test]
    fn commands_in_documents_are_valid() {
        let built = built();
        let mut count = 0;
        for document in documents() {
            let blocks = shell_blocks(&document.text);
            for line in blocks.iter().flat_map(|block| &block.commands) {
                for command in invocations(line, "rdsprov") {
                    let second = command.get(1).map_or("", String::as_str);
                    // In the command of another program, the word can be a name, such as that of an image.
                    if program(line) != "rdsprov" && built.find_subcommand(second).is_none() {
                        continue;
                    }
                    count += 1;
                    let parsed = CommandLine::try_parse_from(&command);
                    let error = parsed.err().map(|error| error.to_string());
                    assert_eq!(error, None, "{}: {line}", document.name);
                    // A file of definitions in the place of a saved plan is valid, and not meant.
                    let misplaced =
                        command.iter().zip(command.iter().skip(1)).any(|(before, word)| {
                            word.ends_with(".tfvars")
                                && !["-d", "--definitions", "--out"].contains(&before.as_str())
                        });
                    assert!(!misplaced, "{}: {line}", document.name);
                }
            }
        }
        assert!(count > 150, "only {count} commands were found");
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
    fn help_is_printed_by_each_form_of_its_command() {
        let help = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let error = parse(&words).err().unwrap();
            assert!(!error.use_stderr(), "{line}: {error}");
            error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let all = help("rdsprov help");
        assert!(all.contains("Usage: rdsprov [OPTIONS] <COMMAND>"), "{all}");
        for line in ["rdsprov help -h", "rdsprov help --help"] {
            assert_eq!(help(line), all, "{line}");
        }
        assert_eq!(help("rdsprov help plan -h"), help("rdsprov help plan"));
        // The short form does not list each hazard.
        let (short, long) = (help("rdsprov plan -h"), help("rdsprov plan --help"));
        assert!(!short.contains("widens_access") && long.contains("widens_access"), "{short}");
        assert!(short.contains("Allow plans with this hazard (--help lists them)"), "{short}");
        assert!(short.contains("[possible values: text, json, sql, markdown, github]"), "{short}");
    }

    /// A list ends with its word: what follows is another argument, such as a saved plan.
    #[test]
    fn lists_have_one_form() {
        let lists = ["adopt", "only", "allow", "fail-on", "secret-tags", "only-instance"];
        let mut found = BTreeSet::new();
        for_each_command(&built(), &mut |command| {
            for argument in command.get_arguments().filter(|one| one.get_long().is_some()) {
                let name = argument.get_long().unwrap_or_default();
                let is_flag = !argument.get_action().takes_values();
                if is_flag || (argument.get_value_delimiter().is_none() && !lists.contains(&name)) {
                    continue;
                }
                found.insert(name.to_owned());
                assert_eq!(
                    argument.get_num_args().map(|range| range.max_values()),
                    Some(1),
                    "{name}"
                );
                assert_eq!(argument.get_value_delimiter(), Some(','), "{name}");
                let shown = argument.get_value_names().and_then(|names| names.first());
                assert!(shown.is_some_and(|shown| shown.ends_with("[,…]")), "{name}: {shown:?}");
                let help = argument.get_long_help().map(ToString::to_string).unwrap_or_default();
                let help = help.replace('\n', " ");
                assert!(
                    help.contains("A list, separated by commas; may be given several times."),
                    "{name}: {help}"
                );
            }
        });
        assert_eq!(found, lists.map(str::to_owned).into());
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let Ok(Invocation::Run(line)) =
            parse(&words("rdsprov apply --only shop,wiki --only hr p.json -d a"))
        else {
            panic!()
        };
        let CliCommand::Apply(options) = line.command else { panic!() };
        assert_eq!(options.selection.only, ["shop", "wiki", "hr"]);
        assert_eq!(options.plan, Some("p.json".into()));
        for line in
            ["plan --only shop,", "plan --adopt ,shop", "retire shop,,wiki", "apply --only="]
        {
            let error = parse(&words(&format!("rdsprov {line}"))).err().unwrap().to_string();
            assert!(error.contains("the list has an empty item"), "{line}: {error}");
        }
    }

    #[test]
    fn runs_in_json_are_recognized_with_wrong_arguments() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            run_in_json(&words)
        };
        use rdsprov_core::audit::Command::{Apply, Retire};
        assert_eq!(of("rdsprov apply --format json --nope"), Some(Apply));
        assert_eq!(of("rdsprov -v retire --nope --format=json"), Some(Retire));
        for line in ["plan --format json", "apply --nope", "apply --fleet f --format json"] {
            assert_eq!(of(&format!("rdsprov {line}")), None, "{line}");
        }
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
}
