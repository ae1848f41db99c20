//! Completes words in a shell: commands, flags and files, and the names of applications, environments and
//! instances that the files of the command line declare.
//!
//! Contacts nothing, and prints no message: without readable files, there are no names.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, Command, FromArgMatches as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use rdsprov_core::explain::Code;
use rdsprov_core::session;

use crate::args::{self, CommonArgs};
use crate::{output, setup};

/// With this variable, the script of a shell asks for candidates.
const VARIABLE: &str = "RDSPROV_COMPLETE";

/// Returns the script by which a shell asks for candidates.
pub fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    if let Some(completer) = Shells::builtins().completer(&shell.to_string()) {
        let name = "rdsprov";
        let _ = completer.write_registration(VARIABLE, name, name, name, &mut script);
    }
    let script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash { with_words_of_values(&script) } else { script }
}

/// The lines of the script for Bash that collect the words of the command line.
const WORDS: &str = r#"    local words=("${COMP_WORDS[@]}")
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        words[COMP_CWORD]="$2"
    fi
"#;

/// The same, for a `=` that Bash has made a word of its own: `--env=dev` is one word.
const JOINED_WORDS: &str = r#"    local words=() count=0 is_value=false i word
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word="${COMP_WORDS[i]}"
        if [[ $i -eq $COMP_CWORD && "${BASH_VERSINFO[0]}" -ge 4 && "$word" != "=" ]]; then
            word="$2"
        fi
        if [[ $count -gt 0 && "${words[count - 1]}" == --* && "$word" == "=" ]]; then
            words[count - 1]+="="
            is_value=true
        elif [[ $is_value == true ]]; then
            words[count - 1]+="$word"
            is_value=false
        else
            words[count]="$word"
            count=$((count + 1))
        fi
        if [[ $i -eq $COMP_CWORD ]]; then
            _CLAP_COMPLETE_INDEX=$((count - 1))
        fi
    done
"#;

/// The end of the function in the script for Bash.
const END: &str = "        compopt -o nospace\n    fi\n}\n";

/// Returns the script for Bash with the words after a `=`. Readline replaces only what is after it, so that no
/// candidate contains what is before it.
fn with_words_of_values(script: &str) -> String {
    let end = "        compopt -o nospace\n    fi\n    \
               COMPREPLY=(\"${COMPREPLY[@]#\"${words[_CLAP_COMPLETE_INDEX]%\"$2\"}\"}\")\n}\n";
    script.replacen(WORDS, JOINED_WORDS, 1).replacen(END, end, 1)
}

/// Prints candidates if a shell asks for them, and returns whether it does.
pub fn run(arguments: &[OsString]) -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty()) {
        return false;
    }
    output::start(true);
    let words = arguments.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let line = Arc::new(Line(words));
    let directory = std::env::current_dir().ok();
    let _ = CompleteEnv::with_factory(|| with_completers(args::with_help(), &line))
        .var(VARIABLE)
        .try_complete(arguments.iter().cloned(), directory.as_deref());
    true
}

fn with_completers(mut command: Command, line: &Arc<Line>) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |subcommand| {
            subcommand.mut_args(|argument| {
                let names: fn(&Line) -> Vec<String> = match argument.get_id().as_str() {
                    "only" | "applications" => Line::applications,
                    "adopt" if argument.get_action().takes_values() => Line::applications,
                    "env" | "adopt_from" => Line::environments,
                    "only_instance" => Line::instances,
                    "command" => Line::commands,
                    "code" => |_| Code::all().into_iter().map(|code| code.name().into()).collect(),
                    _ => return argument,
                };
                let line = line.clone();
                argument.add(ArgValueCompleter::new(move |current: &OsStr| {
                    let is_candidate =
                        |name: &String| current.to_str().is_some_and(|word| name.starts_with(word));
                    let names = names(&line).into_iter().filter(is_candidate);
                    names.map(CompletionCandidate::new).collect()
                }))
            })
        });
    }
    command
}

/// The words of the command line, of which the last ones may be missing.
struct Line(Vec<OsString>);

impl Line {
    /// Returns the arguments of the subcommand.
    fn matches(&self) -> Option<ArgMatches> {
        let command = args::with_help().ignore_errors(true);
        let mut matches = command.try_get_matches_from(&self.0).ok()?;
        matches.remove_subcommand().map(|(_, matches)| matches)
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        self.matches()?.try_get_one::<PathBuf>(id).ok().flatten().cloned()
    }

    fn applications(&self) -> Vec<String> {
        let names = || {
            let common = CommonArgs::from_arg_matches(&self.matches()?).ok()?;
            // The names are those of every environment, also while a word is missing.
            let common = CommonArgs { env: None, adopt: Vec::new(), ..common };
            let definitions = setup::definitions(&common).ok()?;
            Some(definitions.applications.keys().map(ToString::to_string).collect())
        };
        names().unwrap_or_default()
    }

    /// Returns the subcommands of the command that the words after `man` name. The last word is completed.
    fn commands(&self) -> Vec<String> {
        let words = self.0.iter().skip_while(|word| *word != "man").skip(1);
        let words: Vec<&str> = words.filter_map(|word| word.to_str()).collect();
        let named = words.split_last().map_or(&[][..], |(_, named)| named);
        let command = args::built();
        let mut named = named.iter().filter(|word| !word.starts_with('-'));
        let page = named.try_fold(&command, |page, name| page.find_subcommand(name));
        let subcommands = page.into_iter().flat_map(Command::get_subcommands);
        let subcommands = subcommands.filter(|one| one.get_name() != "help");
        subcommands.map(|one| one.get_name().to_owned()).collect()
    }

    fn environments(&self) -> Vec<String> {
        let config = session::config(self.path("config").as_deref());
        config.unwrap_or_default().environments_known()
    }

    fn instances(&self) -> Vec<String> {
        let fleet = self.path("fleet").and_then(|file| session::fleet(&file).ok());
        fleet
            .map(|fleet| fleet.instances.into_iter().map(|one| one.name).collect())
            .unwrap_or_default()
    }
}
