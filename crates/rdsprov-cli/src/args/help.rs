//! What the help of each command shows: examples, and the flags that mean something to the command.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, ValueEnum as _};

use super::flags::Format;

/// Flags that only `--help` lists: most runs do not need them.
const DETAILS: [&str; 27] = [
    "mode",
    "adopt_from",
    "only_instance",
    "parallel",
    "fail_fast",
    "max_failures",
    "connect_timeout",
    "statement_timeout",
    "observation_timeout",
    "max_connections",
    "admin_user",
    "client_cert",
    "client_key",
    "secret_stage",
    "verify_passwords",
    "secret_kms_key",
    "secret_tags",
    "run_id",
    "actor",
    "approver",
    "request_id",
    "audit_stdout",
    "metrics_file",
    "lock_timeout",
    "skip_preflight",
    "with_verifiers",
    "require_approval",
];

/// Flags that a command accepts because it shares them with others, although they change nothing: its
/// help does not list them.
const WITHOUT_EFFECT: [(&str, &[&str]); 6] = [
    ("config", &["adopt"]),
    ("graph", &["adopt"]),
    ("access", &["adopt", "allow", "secret_stage", "verify_passwords"]),
    ("export", &["allow", "secret_stage", "verify_passwords"]),
    ("rotate", &["adopt"]),
    ("retire", &["adopt"]),
];

/// Commands that make no plan, and would not say that they ignore a flag without effect.
const STRICT: [&str; 2] = ["config", "graph"];

/// Rejects a flag without effect that a command does not even ignore.
pub(super) fn check_effect(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    let flags = WITHOUT_EFFECT.iter().filter(|(one, _)| *one == name && STRICT.contains(one));
    for id in flags.flat_map(|(_, ids)| *ids) {
        if matches.value_source(id) == Some(ValueSource::CommandLine) {
            let flag = id.replace('_', "-");
            let message = format!("--{flag} has no effect on `rdsprov {name}`: remove it\n");
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, message));
        }
    }
    Ok(())
}

/// The formats of each command with plans or reports that does not have all of them.
const FORMATS: [(&str, &[Format]); 7] = [
    ("validate", &[Format::Text, Format::Json]),
    ("preflight", &[Format::Text, Format::Json, Format::Markdown]),
    ("apply", &OF_RUNS),
    ("delegate", &OF_RUNS),
    ("rotate", &[Format::Text, Format::Json, Format::Markdown]),
    ("retire", &OF_RUNS),
    ("teardown", &OF_RUNS),
];

/// The formats of runs that show a plan: annotations are for plans on which nothing follows.
const OF_RUNS: [Format; 4] = [Format::Text, Format::Json, Format::Sql, Format::Markdown];

/// Restricts an option to some formats, which help, manual page and completion then list.
fn restricted(argument: Arg, formats: &'static [Format]) -> Arg {
    let values = formats.iter().filter_map(Format::to_possible_value);
    let parser = PossibleValuesParser::new(values);
    argument.value_parser(parser.try_map(|name| Format::from_str(&name, false)))
}

/// Examples of each command, which both forms of its help show.
const EXAMPLES: [(&str, &[&str]); 21] = [
    ("validate", &["rdsprov validate -d terraform.tfvars"]),
    (
        "plan",
        &[
            "rdsprov plan --env dev -d terraform.tfvars",
            "rdsprov plan --env prod --out plan.json",
            "rdsprov plan --env prod --only shop,wiki --adopt wiki --additive",
            "rdsprov plan --env prod --format markdown > comment.md",
        ],
    ),
    (
        "apply",
        &[
            "rdsprov apply --env dev -d terraform.tfvars",
            "ALLOW_DB_PROVISION=sha256:… rdsprov apply --env prod --audit-output records.csv",
            "rdsprov apply plan.json --allow revokes_access",
        ],
    ),
    (
        "check",
        &[
            "rdsprov check --env prod -d terraform.tfvars",
            "rdsprov check --env prod --strict --fail-on orphaned,undeclared",
        ],
    ),
    ("preflight", &["rdsprov preflight --env prod -d terraform.tfvars"]),
    (
        "access",
        &[
            "rdsprov access --env prod --format html > access.html",
            "rdsprov access --env prod --database shop --role shop_reader",
            "rdsprov access --diff access-october.json access-november.json",
            "rdsprov access --at 2026-11-01T00:00:00Z --audit-ledger ledger.jsonl",
        ],
    ),
    ("export", &["rdsprov export --env prod --database 'shop*' --out prod.tfvars"]),
    (
        "retire",
        &[
            "rdsprov retire shop --env dev --dry-run",
            "rdsprov retire shop --env prod --out retire.json",
            "rdsprov retire shop --env prod --drop-role --allow drops_role",
        ],
    ),
    ("teardown", &["rdsprov teardown --env review --build-id 16-01-26-01 --dry-run"]),
    (
        "audit",
        &[
            "rdsprov audit verify ledger.jsonl",
            "rdsprov audit report ledger.jsonl --role shop_owner",
        ],
    ),
    ("audit verify", &["rdsprov audit verify ledger.jsonl --expect sha256:…"]),
    (
        "audit report",
        &[
            "rdsprov audit report ledger.jsonl --role shop_owner",
            "rdsprov audit report ledger.jsonl --database shop --format json",
        ],
    ),
    (
        "audit acknowledge",
        &["rdsprov audit acknowledge ledger.jsonl --line 12 --found not-done \
             --reason CHG-7"],
    ),
    ("config", &["rdsprov config --env prod"]),
    ("graph", &["rdsprov graph -d terraform.tfvars > graph.mmd"]),
    ("schema", &["rdsprov schema config-file > rdsprov.schema.json"]),
    ("completions", &["rdsprov completions bash > /etc/bash_completion.d/rdsprov"]),
    ("man", &["rdsprov man audit verify"]),
    ("rotate", &["rdsprov rotate shop wiki --env prod -d terraform.tfvars"]),
    (
        "delegate",
        &["rdsprov delegate --env dev --to rdsprov_admin \
             --to-secret goldenpath/dev/rds/rdsprov_admin"],
    ),
    ("explain", &["rdsprov explain plan-stale"]),
];

/// Adds the examples of a command and of its subcommands. `name` is what follows `rdsprov`.
fn with_examples(mut command: Command, name: &str) -> Command {
    let subcommands: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for subcommand in subcommands {
        let full = format!("{name} {subcommand}");
        command = command.mut_subcommand(subcommand, |one| with_examples(one, full.trim_start()));
    }
    let Some((_, examples)) = EXAMPLES.iter().find(|(one, _)| *one == name) else { return command };
    let more = command.get_after_help().map(|more| format!("\n\n{more}")).unwrap_or_default();
    command.after_help(format!("Examples:\n  {}{more}", examples.join("\n  ")))
}

/// Adds the help of each subcommand.
pub fn with_help(mut command: Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in names {
        let without_effect =
            WITHOUT_EFFECT.iter().find(|(one, _)| *one == name).map_or(&[][..], |(_, all)| all);
        let formats = FORMATS.iter().find(|(one, _)| *one == name);
        command = command.mut_subcommand(name, |subcommand| {
            subcommand.mut_args(|argument| {
                let id = argument.get_id().as_str();
                let (is_detail, has_no_effect) =
                    (DETAILS.contains(&id), without_effect.contains(&id));
                let formats = formats.filter(|_| id == "format");
                let argument = if is_detail { argument.hide_short_help(true) } else { argument };
                let argument = match formats {
                    Some((_, formats)) => restricted(argument, formats),
                    None => argument,
                };
                if has_no_effect { argument.hide(true) } else { argument }
            })
        });
    }
    with_examples(command, "")
}

/// The number of values of a flag that the short help lists.
const LISTED: usize = 6;

/// Removes long lists of values, for the short help.
pub fn without_long_lists(mut command: Command) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |subcommand| {
            subcommand.mut_args(|argument| {
                if argument.get_possible_values().len() <= LISTED {
                    return argument;
                }
                let help = format!(
                    "{} (--help lists them)",
                    argument.get_help().map(ToString::to_string).unwrap_or_default()
                );
                argument.help(help).hide_possible_values(true)
            })
        });
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::args::CommandLine;

    fn command() -> Command {
        with_help(CommandLine::command())
    }

    /// A misspelt name would hide nothing, and an example that is not accepted would help nobody.
    #[test]
    fn names_exist_and_examples_are_accepted() {
        let command = command();
        let has = |subcommand: &Command, id: &str| {
            subcommand.get_arguments().any(|one| one.get_id() == id)
        };
        for id in DETAILS {
            assert!(command.get_subcommands().any(|one| has(one, id)), "{id}");
        }
        for (name, ids) in WITHOUT_EFFECT {
            let subcommand = command.find_subcommand(name).unwrap();
            assert!(ids.iter().all(|id| has(subcommand, id)), "{name}");
        }
        let mut commands: Vec<_> =
            command.get_subcommands().map(|one| (one, String::new())).collect();
        while let Some((one, parent)) = commands.pop() {
            let name = format!("{parent} {}", one.get_name());
            commands.extend(one.get_subcommands().map(|child| (child, name.clone())));
            let has_examples = EXAMPLES.iter().any(|(example, _)| *example == name.trim_start());
            assert!(has_examples || one.is_hide_set(), "{name}");
        }
        for line in EXAMPLES.iter().flat_map(|(_, examples)| *examples) {
            let words = line.split(" > ").next().unwrap().split_whitespace();
            let words = words.skip_while(|word| *word != "rdsprov");
            command.clone().try_get_matches_from(words).unwrap();
        }
    }

    #[test]
    fn commands_without_a_plan_reject_flags_of_plans() {
        for name in STRICT {
            let of = |words: &[&str]| {
                let words = [&["rdsprov", name], words].concat();
                let words: Vec<_> = words.into_iter().map(Into::into).collect();
                crate::args::parse(&words).err().map(|error| error.to_string())
            };
            let error = of(&["--adopt", "shop"]).unwrap();
            assert!(error.contains("--adopt has no effect on"), "{error}");
            assert_eq!(of(&["--config", "rdsprov.toml"]), None);
            let help = of(&["--help"]).unwrap();
            assert!(!help.contains("--adopt"), "{help}");
        }
    }

    /// Help, manual page and completion list what a command accepts, and nothing else.
    #[test]
    fn each_command_lists_the_formats_that_it_accepts() {
        let command = crate::args::built();
        for name in ["plan", "check"].into_iter().chain(FORMATS.map(|(name, _)| name)) {
            let accepted: Vec<_> = Format::value_variants()
                .iter()
                .filter_map(Format::to_possible_value)
                .map(|value| value.get_name().to_owned())
                .filter(|format| {
                    let format = format!("--format={format}");
                    let mut words = vec!["rdsprov", name, &format];
                    words.extend(["--to", "r"].iter().filter(|_| name == "delegate"));
                    command.clone().try_get_matches_from(words).is_ok()
                })
                .collect();
            let subcommand = command.find_subcommand(name).unwrap();
            let argument = subcommand.get_arguments().find(|one| one.get_id() == "format");
            let listed: Vec<_> = argument
                .unwrap()
                .get_possible_values()
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect();
            assert_eq!(listed, accepted, "{name}");
            let expected = match FORMATS.iter().find(|(one, _)| *one == name) {
                Some((_, formats)) => formats.len(),
                None => Format::value_variants().len(),
            };
            assert_eq!(listed.len(), expected, "{name}");
        }
    }

    #[test]
    fn short_help_is_short() {
        for name in ["plan", "apply", "check", "rotate"] {
            let mut command = command();
            command.build();
            let subcommand = command.find_subcommand_mut(name).unwrap();
            let (short, long) = (subcommand.render_help(), subcommand.render_long_help());
            let (short, long) = (short.to_string(), long.to_string());
            assert!(short.contains("Examples:") && long.contains("--statement-timeout"), "{name}");
            assert!(!short.contains("--statement-timeout"), "{name}: {short}");
        }
    }
}
