//! The values of flags that accept one of a closed set, each with its help text.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// A value of a flag, and its help text.
pub(super) type Described = (&'static str, &'static str);

pub(super) const MODES: [Described; 2] = [
    ("standalone", "`application_databases` is at the top level"),
    ("coupled", "`application_databases` is inside `rds_config`"),
];

pub(super) const TLS_MODES: [Described; 3] = [
    ("verify-full", "Encrypt, and verify the certificate and its host name"),
    ("require", "Encrypt without verifying the server"),
    ("disable", "Do not encrypt; allowed for loopback only"),
];

pub(super) const STAGES: [Described; 2] = [
    ("AWSCURRENT", "The current version"),
    ("AWSPENDING", "The pending version of a secret, if there is one"),
];

pub(super) const PASSWORD_CHECKS: [Described; 3] = [
    ("login", "Log in as the role, and set the password if it is wrong"),
    ("never", "Do not check; set the passwords of new roles only"),
    ("always-set", "Do not check; set every password in every run"),
];

pub(super) const HAZARDS: [Described; 18] = [
    ("revokes_access", "A role loses a privilege, an attribute or a membership"),
    ("changes_owner", "A database or schema gets another owner"),
    ("resets_password", "A password that worked stops working"),
    ("adopts", "A role or database that was not managed becomes managed"),
    ("closes_to_public", "PUBLIC loses its privileges on a database"),
    (
        "widens_access",
        "An adopted role or a clone gets more access, or a locked role may log in again",
    ),
    ("reopens_database", "A database that did not allow connections allows them again"),
    ("moves_database", "An application gets a new database, and leaves its data in the old one"),
    ("mixes_environments", "An environment comes to a server of other environments"),
    ("adopts_from_environment", "What another environment manages is taken over"),
    ("changes_secret", "A managed role gets its password from another secret"),
    ("changes_application", "A managed role belongs to another application"),
    ("changes_scope", "A role or database belongs to the definitions of another scope"),
    ("hands_over_code", "A new owner gets functions, triggers or defaults of the old one"),
    (
        "reaches_beyond_database",
        "A role gets a membership or a routine that is not limited to its database",
    ),
    ("drops_role", "A retired role is dropped"),
    ("drops_database", "The database of a retired role is dropped, with all its data"),
    ("degrades_blue_green", "The green environment of a deployment does not get the change"),
];

pub(super) const FINDINGS: [Described; 2] = [
    ("orphaned", "A managed role or database is not declared any more"),
    ("undeclared", "An undeclared role has access, or a declared role an undeclared database"),
];

pub(super) const GRAPH_FORMATS: [Described; 2] =
    [("mermaid", "Mermaid, which GitHub and GitLab draw"), ("dot", "DOT, which Graphviz draws")];

pub(super) const EXPORT_FORMATS: [Described; 2] =
    [("tfvars", "A variable file of Terraform"), ("toml", "TOML")];

pub(super) const DOCUMENTS: [Described; 15] = [
    ("plan", "The output of `plan --format json`"),
    ("saved-plan", "The file that `plan --out` writes"),
    ("ledger", "A record of a ledger"),
    ("access", "The output of `access --format json`"),
    ("access-diff", "The output of `access --diff OLD --format json`"),
    ("access-at", "The output of `access --at TIME --format json`"),
    ("audit-tables", "The output of `audit report --from-tables --format json`"),
    ("definitions", "The output of `validate --format json`"),
    ("preflight", "The output of `preflight --format json`"),
    ("fleet", "The output of `plan --fleet FILE --format json`"),
    ("config", "The output of `config --format json`"),
    (
        "run",
        "The output of `apply`, `rotate`, `retire`, `teardown` and `delegate` with `--format json`",
    ),
    ("config-file", "The file `rdsprov.toml`, for editors"),
    ("definitions-file", "A definitions file in TOML or JSON, for editors"),
    ("fleet-file", "The file of `--fleet`, for editors"),
];

/// Returns a parser for a type of the core with a closed set of values, which the help text lists.
pub(super) fn closed_set<T>(values: &[Described]) -> impl TypedValueParser<Value = T> + use<T>
where
    T: FromStr + Clone + Send + Sync + 'static,
{
    let listed = values.iter().map(|(name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(listed)
        // clap has compared the text with the list, so that this error is a bug of the list.
        .try_map(|name| name.parse().map_err(|_| format!("`{name}` cannot be parsed")))
}

/// Reads an item of a list. A comma too many is not an item without a name.
pub(super) fn list_item(value: &str) -> Result<String, String> {
    match value.trim() {
        "" => Err("the list has an empty item: remove a comma".to_owned()),
        item => Ok(item.to_owned()),
    }
}

/// Reads the name of a file for metrics: the node exporter reads no file with another ending.
pub(super) fn metrics_file(value: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(value);
    let is_read = path.extension().is_some_and(|extension| extension == "prom");
    if is_read { Ok(path) } else { Err("its name must end in `.prom`".to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rdsprov_core::config::{TlsMode, VerifyPasswords};
    use rdsprov_core::definitions::Mode;
    use rdsprov_core::export::ExportFormat;
    use rdsprov_core::graph::GraphFormat;
    use rdsprov_core::plan::{Finding, Hazard};
    use rdsprov_core::schema::Document;
    use rdsprov_core::secret_id::Stage;

    use super::*;

    /// A value that is not listed here could not be given on the command line.
    #[test]
    fn closed_sets_list_every_value_of_the_core() {
        let names = |described: &[Described]| -> BTreeSet<String> {
            described.iter().map(|(name, _)| (*name).to_owned()).collect()
        };
        assert_eq!(names(&HAZARDS), Hazard::all().map(|hazard| hazard.to_string()).collect());
        assert_eq!(names(&FINDINGS), Finding::all().map(|one| one.to_string()).collect());
        assert_eq!(names(&DOCUMENTS), Document::all().map(|one| one.to_string()).collect());
        assert_eq!(names(&GRAPH_FORMATS), GraphFormat::all().map(|one| one.to_string()).collect());
        assert_eq!(
            names(&EXPORT_FORMATS),
            ExportFormat::all().map(|one| one.to_string()).collect()
        );
        assert!(MODES.iter().all(|(name, _)| name.parse::<Mode>().is_ok()));
        assert!(TLS_MODES.iter().all(|(name, _)| name.parse::<TlsMode>().is_ok()));
        assert!(STAGES.iter().all(|(name, _)| name.parse::<Stage>().is_ok()));
        assert!(PASSWORD_CHECKS.iter().all(|(name, _)| name.parse::<VerifyPasswords>().is_ok()));
    }
}
