//! How events spell the options and operations that a hint of the core names.

use rdsprov_core::hint::{Operation, Opt, Wording};

/// Returns the key of the event for an option.
pub(crate) fn key(option: Opt) -> String {
    match option {
        // `mode` is the operation.
        Opt::Mode => "definitions_mode".to_owned(),
        other => other.key(),
    }
}

/// Spells options as keys of the event, `"region": "eu-west-2"`, and operations as modes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventWording;

impl Wording for EventWording {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        match option {
            // These are keys of `rdsprov.toml`, or options of the command only.
            Opt::AuditLedger
            | Opt::AuditOutput
            | Opt::AuditStdout
            | Opt::Auth
            | Opt::CaFile
            | Opt::ClientCert
            | Opt::ClientKey
            | Opt::Color
            | Opt::Config
            | Opt::Format
            | Opt::LogFormat
            | Opt::MetricsFile
            | Opt::NoProgress
            | Opt::Out
            | Opt::SecretKmsKey
            | Opt::SecretTags
            | Opt::Secrets
            | Opt::To
            | Opt::Backup
            | Opt::Confirm
            | Opt::DropDatabase
            | Opt::DropRole
            | Opt::EndSessions
            | Opt::WithoutBackup
            | Opt::ToSecret
            | Opt::WithVerifiers => return option.of_command(),
            _ => {}
        }
        let key = key(option);
        match value {
            None => format!("the key `{key}` of the event"),
            Some(value) => format!("`\"{key}\": {}`", option.literal(value)),
        }
    }

    fn operation(&self, operation: Operation) -> String {
        match operation {
            Operation::Access | Operation::Apply | Operation::Check | Operation::Plan => {
                format!("the mode `{}`", operation.name())
            }
            other => other.of_command(),
        }
    }
}
