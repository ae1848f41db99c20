//! The headings of the help texts, under which the flags stand.

pub const DEFINITIONS: &str = "Definitions";
pub const FLEET: &str = "Fleet";
pub const CONNECTION: &str = "Connection";
pub const SECRETS: &str = "Secrets";
pub const APPROVAL: &str = "Approval";
pub const RECORDS: &str = "Records";
pub const EXECUTION: &str = "Execution";
pub const OUTPUT: &str = "Output";
pub const COMPATIBILITY: &str = "Compatibility";
pub const GLOBAL: &str = "Global options";
