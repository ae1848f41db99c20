//! The statements of probes. The caller executes them in a transaction that it rolls back.

use super::{
    IfExists, assert_scripts_meet_no_objects_of_others, extension_creation, membership_revocation,
    parameter_change,
};
use crate::name::DatabaseName;
use crate::probe::{ExtensionProbe, Probe};

/// Returns the statements of a probe.
#[must_use]
pub fn probe(probe: &Probe, admin_database: &DatabaseName) -> String {
    match probe {
        Probe::CreateRole => "CREATE ROLE rdsprov_probe".to_owned(),
        Probe::CreateDatabase => {
            "CREATE DATABASE rdsprov_probe TEMPLATE \"rdsprov: no template\"".to_owned()
        }
        Probe::GrantRole(role) => format!("GRANT {} TO CURRENT_USER", role.quoted()),
        Probe::RevokeMembership(revocation) => membership_revocation(revocation),
        Probe::SetParameter { parameter, value } => {
            parameter_change("CURRENT_USER", admin_database, parameter, Some(value))
        }
        Probe::ResetParameter { parameter, role, database } => {
            parameter_change(&role.quoted(), database, parameter, None)
        }
        Probe::CreateExtensions(probe) => create_extensions(probe),
    }
}

/// Creates extensions one after the other, unless they exist. Only superusers have objects in
/// `information_schema`.
fn create_extensions(probe: &ExtensionProbe) -> String {
    let mut statements = vec!["SET LOCAL search_path TO information_schema".to_owned()];
    statements.push(assert_scripts_meet_no_objects_of_others(&probe.extensions).redacted());
    statements
        .extend(probe.extensions.iter().map(|one| extension_creation(one, None, IfExists::Skip)));
    statements.join("; ")
}
