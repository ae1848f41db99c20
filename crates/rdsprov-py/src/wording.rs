//! How Python spells the options and operations that a hint of the core names.

use rdsprov_core::hint::{Operation, Opt, Wording};

/// Spells options as keyword arguments, `ca_file=`, and operations as functions of the module,
/// `rdsprov.plan(...)`.
#[derive(Debug, Clone, Copy)]
pub struct PythonWording;

impl Wording for PythonWording {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        let keyword = match option {
            Opt::Env => "environment".to_owned(),
            // Definitions are an object, made of files.
            Opt::Definitions => return "`rdsprov.Definitions.from_path(...)`".to_owned(),
            // Only the command has these.
            Opt::Auth
            | Opt::Out
            | Opt::SecretKmsKey
            | Opt::SecretTags
            | Opt::To
            | Opt::ToSecret
            | Opt::WithVerifiers => {
                return format!("the option `{}` of the command", option.name());
            }
            other => other.name().replace('-', "_"),
        };
        let Some(value) = value else { return format!("`{keyword}=`") };
        match option {
            Opt::Adopt | Opt::Allow | Opt::Only => format!("`{keyword}=[{value:?}]`"),
            Opt::Port => format!("`{keyword}={value}`"),
            _ => format!("`{keyword}={value:?}`"),
        }
    }

    fn operation(&self, operation: Operation) -> String {
        match operation {
            // Only the command has these.
            Operation::Delegate | Operation::Rotate => {
                format!("the command `rdsprov {}`", operation.name())
            }
            other => format!("`rdsprov.{}(...)`", other.name()),
        }
    }
}
