//! The statements of probes. The caller executes them in a transaction that it rolls back.

use super::{
    RESET_ROLE, extension_creation, grant_membership, membership_revocation, parameter_change,
    set_local_role,
};
use crate::name::DatabaseName;
use crate::plan::MembershipOption;
use crate::probe::{Creator, ExtensionCreation, ExtensionProbe, OwnerMembership, Probe};

/// Returns the statements of a probe.
#[must_use]
pub fn probe(probe: &Probe, admin_database: &DatabaseName, server_major: u32) -> String {
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
        Probe::CreateExtensions(probe) => create_extensions(probe, server_major),
    }
}

/// Creates extensions one after the other. `information_schema` replaces a schema that
/// does not exist yet.
fn create_extensions(probe: &ExtensionProbe, server_major: u32) -> String {
    let schema = probe.schema.as_ref().map(|schema| format!("{}, ", schema.quoted()));
    let schema = schema.unwrap_or_default();
    let mut statements = vec![format!("SET LOCAL search_path TO {schema}information_schema")];
    match &probe.creation {
        ExtensionCreation::ByAdministrator(extensions) => {
            statements.extend(extensions.iter().map(|one| extension_creation(one, None)));
        }
        ExtensionCreation::WithOwner { owner, membership, extensions } => {
            if *membership == OwnerMembership::Temporary {
                statements.push(grant_membership(owner, MembershipOption::Set, server_major));
            }
            for (extension, creator) in extensions {
                let create = extension_creation(extension, None);
                match creator {
                    Creator::Administrator => statements.push(create),
                    Creator::Owner => {
                        statements.extend([set_local_role(owner), create, RESET_ROLE.to_owned()]);
                    }
                }
            }
        }
    }
    statements.join("; ")
}
