//! How Python spells the options and operations that a hint of the core names.

use rdsprov_core::hint::{Operation, Opt, Wording};

/// Spells options as keyword arguments, `ca_file=`, and operations as functions of the module,
/// `rdsprov.plan(...)`.
#[derive(Debug, Clone, Copy)]
pub struct PythonWording;

impl Wording for PythonWording {
    fn option(&self, option: Opt, value: Option<&str>) -> String {
        match option {
            // Definitions are an object, made of files.
            Opt::Definitions => return "`rdsprov.Definitions.from_path(...)`".to_owned(),
            Opt::Out => return "`Plan.save(...)`".to_owned(),
            // Only the command has these.
            Opt::AuditStdout
            | Opt::Color
            | Opt::Format
            | Opt::LogFormat
            | Opt::MetricsFile
            | Opt::NoProgress
            | Opt::WithVerifiers => return option.of_command(),
            _ => {}
        }
        let value = value.map(|value| option.literal(value)).unwrap_or_default();
        format!("`{}={value}`", option.key())
    }

    fn option_values(&self, option: Opt, values: &[&str]) -> String {
        format!("`{}={values:?}`", option.key())
    }

    fn operation(&self, operation: Operation) -> String {
        format!("`rdsprov.{}(...)`", operation.name())
    }
}
