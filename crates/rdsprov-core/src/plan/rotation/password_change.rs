//! Plans the change of one password that follows from a secret alone: the rotation function of Secrets
//! Manager knows no definitions.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{ApplicationName, RoleName};
use crate::plan::basis::Basis;
use crate::plan::plan::FORMAT_VERSION;
use crate::plan::{
    Action, Hazard, Identities, Memberships, Origin, Plan, RoleIdentity, Scope, Step, Transaction,
    sql,
};
use crate::secret_id::SecretId;

/// The change of one password.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The role whose password is set.
    pub role: RoleName,
    /// The role of which it becomes a member, if it does not exist yet: it is then a new clone.
    pub clone_of: Option<RoleName>,
    /// The role that executes the statements: the role itself, or an administrator.
    pub executor: RoleName,
    /// The identity of the role, if it exists and another role executes the statements.
    pub identity: Option<RoleIdentity>,
    /// The secret with the password.
    pub secret: SecretId,
    /// The major version of the server.
    pub server_major: u32,
}

impl Plan {
    /// Returns the plan of the change: one transaction. It has no digest, because no approval is for it.
    #[must_use]
    pub fn for_password(change: &PasswordChange) -> Self {
        let PasswordChange { role, clone_of, executor, identity, secret, server_major } = change;
        // The name of an application is not known, and the messages contain the role.
        let application = ApplicationName::for_delegates();
        let step = |action, summary: String, statements| {
            Step::on_role(role, &application, action, summary, statements)
        };
        let from = format!("role {role}, password from {secret}");
        let steps = match clone_of {
            None => {
                let statement = sql::set_password(role, secret);
                let set = step(Action::SetPassword, from, vec![statement]);
                vec![set.with_hazards([Hazard::ResetsPassword])]
            }
            Some(of) => {
                let attributes = [sql::RoleAttribute::Login];
                let create = sql::create_role(role, Some(secret), &attributes);
                let grant = sql::grant_role(of, role);
                let member = format!("membership in {of} to {role}");
                vec![
                    step(Action::CreateRole, from, vec![create]),
                    step(Action::Grant, member, vec![grant]).for_membership_in(of),
                ]
            }
        };
        let roles: BTreeMap<_, _> =
            identity.iter().map(|identity| (role.clone(), identity.clone())).collect();
        let transaction = Transaction {
            scope: Scope::Cluster,
            before: None,
            memberships: Memberships::new(),
            memberships_to_restore: BTreeMap::new(),
            identities: Identities { roles, databases: BTreeMap::new() },
            audit: None,
            steps,
        };
        Self {
            format_version: FORMAT_VERSION,
            environment: String::new(),
            digest: String::new(),
            origin: Origin {
                server: None,
                system_identifier: None,
                administrator: executor.clone(),
                admin_secret: None,
                tls_mode: None,
                ca_certificates: None,
                connect_to: None,
                approval: None,
                audit_table: None,
                undeclared_access: None,
                verify_passwords: None,
                minimum_password_length: None,
                configured_ledger: None,
                configured_csv: None,
                aws_region: None,
                assume_role: None,
                secret_kms_key: None,
                secret_tags: BTreeSet::new(),
                secrets: BTreeMap::from([(role.clone(), secret.clone())]),
                definitions: None,
                only: BTreeSet::new(),
                additive: false,
                scope: None,
                retirement: None,
                torn_down_build: None,
            },
            run_settings: Vec::new(),
            observed: Basis::default(),
            server_major: *server_major,
            transactions: vec![transaction],
            pending: Vec::new(),
            refusals: Vec::new(),
            orphaned: Vec::new(),
            in_other_scopes: 0,
            undeclared_databases: Vec::new(),
            undeclared_access: Vec::new(),
            notes: Vec::new(),
            deferred: Vec::new(),
            applications: Vec::new(),
            probes: BTreeSet::new(),
            probes_of_hints: BTreeSet::new(),
            admin_database: None,
            allowed_hazards: BTreeSet::new(),
            needs_backup: false,
            fail_on: Vec::new(),
            after_takeover: BTreeMap::new(),
            homes: BTreeMap::new(),
        }
    }
}
