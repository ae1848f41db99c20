//! The statements of probes. The caller executes them in a transaction that it rolls back.

use super::{create_extension, grant_membership, revoke_membership, set_parameter};
use crate::name::DatabaseName;
use crate::plan::MembershipOption;
use crate::probe::{Creator, ExtensionProbe, Probe};

/// Returns the statements of a probe.
#[must_use]
pub fn probe(probe: &Probe, admin_database: &DatabaseName, server_major: u32) -> String {
    match probe {
        Probe::GrantRole(role) => format!("GRANT {} TO CURRENT_USER", role.quoted()),
        Probe::RevokeMembership(revocation) => revoke_membership(revocation).redacted(),
        Probe::SetParameter { parameter, value } => {
            set_parameter(None, admin_database, parameter, Some(value)).redacted()
        }
        Probe::ResetParameter { parameter, role, database } => {
            set_parameter(Some(role), database, parameter, None).redacted()
        }
        Probe::CreateExtensions(probe) => create_extensions(probe, server_major),
    }
}

/// Creates extensions one after the other. `information_schema` replaces a schema that
/// does not exist yet.
fn create_extensions(probe: &ExtensionProbe, server_major: u32) -> String {
    let schema = probe.schema.as_ref().map(|schema| format!("{}, ", schema.quoted()));
    let schema = schema.unwrap_or_default();
    let mut statements = vec![format!("SET LOCAL search_path TO {schema}information_schema")];
    if let Some(owner) = probe.owner.as_ref().filter(|_| probe.needs_membership) {
        statements.push(grant_membership(owner, MembershipOption::Set, server_major));
    }
    for (extension, creator) in &probe.extensions {
        let create = create_extension(extension, None).redacted();
        match (creator, &probe.owner) {
            (Creator::Owner, Some(owner)) => statements.extend([
                format!("SET LOCAL ROLE {}", owner.quoted()),
                create,
                "RESET ROLE".to_owned(),
            ]),
            (Creator::Owner, None) | (Creator::Administrator, _) => statements.push(create),
        }
    }
    statements.join("; ")
}
