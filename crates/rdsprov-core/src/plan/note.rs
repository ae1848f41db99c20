//! Notes: facts that a plan reports and that do not stop it, each with a stable code.

use std::borrow::Cow;
use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::UndeclaredRoleAccess;
use super::words::listed;
use crate::audit_table::AuditTableName;
use crate::blue_green::not_known_fact;
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName, ExtensionName, RoleName};
use crate::named_enum::coded_enum;
use crate::observed::RDS_IAM;
use crate::privilege::Privileges;
use crate::secret_id::SecretId;
use crate::text;

/// A fact that a plan reports and that does not stop it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(pub NoteKind);

coded_enum! {
    /// What a note reports, with the data of its sentence.
    #[allow(missing_docs, reason = "the sentences below say what each field means")]
    pub enum NoteKind {
        /// `password_encryption` is not `scram-sha-256`, and passwords are
        /// stored as SCRAM verifiers.
        PasswordEncryptionDiffers { encryption: String },
        /// The administrator has `ADMIN OPTION` on a member of `rds_iam`.
        AdministratorInRdsIam { role: RoleName, administrator: RoleName },
        /// The delegate has `ADMIN OPTION` on `rds_iam`.
        DelegateInRdsIam { role: RoleName },
        /// The delegate cannot get `ADMIN OPTION` on `rds_iam`.
        IamNotDelegable { role: RoleName },
        /// A role has a declared privilege only through PUBLIC.
        PrivilegeThroughPublic {
            role: RoleName,
            privileges: Privileges,
            object: String,
            database: DatabaseName,
            owner: RoleName,
        },
        /// The owner of a database cannot use a part of one of its extensions.
        ExtensionNotUsable {
            extension: ExtensionName,
            role: RoleName,
            privileges: Privileges,
            object: String,
            database: DatabaseName,
        },
        /// A revocation is left out, because PUBLIC has the same privilege.
        RevocationWithoutEffect { step: String, role: RoleName, database: DatabaseName },
        /// A role that is neither the owner nor a creator owns large objects.
        LargeObjectsOwned { role: RoleName, database: DatabaseName },
        /// Privileges on a large object cannot be revoked.
        LargeObjectShared { step: String, role: RoleName, database: DatabaseName },
        /// Default privileges for the objects of a role that is not declared, or that may not connect, are not
        /// revoked.
        DefaultPrivilegesShared {
            step: String,
            role: RoleName,
            database: DatabaseName,
            may_connect: bool,
        },
        /// A password could not be checked by a login.
        PasswordNotChecked { role: RoleName, reason: String },
        /// No password was compared with its secret, because the options say `never`.
        PasswordChecksOff,
        /// Several applications share a role and its secret.
        SecretShared { secret: SecretId, role: RoleName, applications: Vec<ApplicationName> },
        /// The administrator owns objects in the schemas of the owner entry, for example because it
        /// restored them.
        ObjectsOfAdministrator {
            database: DatabaseName,
            administrator: RoleName,
            owner: RoleName,
            object: String,
            others: usize,
        },
        /// The server has roles of other environments, and no database of this one.
        OtherEnvironments { environment: String, others: Vec<String> },
        /// A secret contains the host and port of another server.
        EndpointDiffers { secret: SecretId, endpoint: String, server: String },
        /// The server is a reader or a standby, on which probes are not executed.
        PermissionsNotChecked { probes: usize },
        /// The server has not said whether it belongs to a blue/green deployment.
        BlueGreenNotChecked { reason: String },
        /// A managed database to which no selected entry gives access cannot be read or changed.
        UndeclaredDatabaseUnreadable { database: DatabaseName, reason: String },
        /// A role that is not declared has access to a declared database. With `strict`, it is a difference.
        UndeclaredAccess { access: Box<UndeclaredRoleAccess>, strict: bool },
        /// A role that is not an administrator has granted a membership, or a part of it, to the role of an
        /// application.
        MembershipByOther { role: RoleName, object: String, group: RoleName, grantor: RoleName },
        /// An application to retire is not declared, and no marker of the scope names it. If its name is similar
        /// to another one, or if another scope manages it, the user has made a mistake.
        NothingToRetire { application: ApplicationName, fact: String, is_mistake: bool },
        /// A role that the run would concern is left, because another role can have written its comment.
        MarkerNotProven { role: RoleName, application: String },
        /// A teardown leaves a role or database whose marker names the build.
        LeftByTeardown { object: String, reason: String },
        /// The secret of a retired role is not deleted, because something else uses it.
        SecretKept { secret: SecretId, role: RoleName, reason: String },
        /// The plan creates the audit table in databases.
        AuditTableCreated {
            table: AuditTableName,
            databases: BTreeSet<DatabaseName>,
            administrator: RoleName,
        },
        /// The plan leaves out changes in a database, because its audit table is not as documented.
        AuditTablePreventsChanges {
            database: DatabaseName,
            table: AuditTableName,
            steps: usize,
            defects: Vec<String>,
        },
        /// A retired role is not dropped, because others have given it something that the plan cannot revoke.
        RoleNotDropped { role: RoleName, held: Vec<String> },
        /// Applications with changes have the definitions of the last complete `apply`.
        Drift { applications: Vec<String>, run: String },
        /// Applications with changes have other definitions than the last complete `apply`.
        DefinitionChanged { applications: Vec<String>, run: String },
    }

    /// The stable code of a note: `password-not-checked`.
    pub enum NoteCode;
}

impl From<NoteKind> for Note {
    fn from(kind: NoteKind) -> Self {
        Self(kind)
    }
}

impl Note {
    /// Returns the stable code of the note.
    #[must_use]
    pub fn code(&self) -> NoteCode {
        NoteCode::from(&self.0)
    }

    /// Returns whether the fact means that the server is not as declared, although the plan
    /// contains no step for it.
    #[must_use]
    pub fn is_difference(&self) -> bool {
        matches!(
            self.0,
            NoteKind::ObjectsOfAdministrator { .. }
                | NoteKind::MembershipByOther { .. }
                | NoteKind::DefaultPrivilegesShared { may_connect: true, .. }
                | NoteKind::UndeclaredAccess { strict: true, .. }
        )
    }

    /// Returns the sentence, without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.0 {
            NoteKind::PasswordEncryptionDiffers { encryption } => format!(
                "`password_encryption` of the server is {encryption}, but rdsprov stores SCRAM-SHA-256 verifiers: a client without SCRAM cannot log in with these passwords"
            ),
            NoteKind::AdministratorInRdsIam { role, administrator } => format!(
                "role {role} becomes a member of {RDS_IAM}, and {administrator} has ADMIN OPTION on {role} as its creator: a server that counts this as membership also rejects the password of {administrator}"
            ),
            NoteKind::DelegateInRdsIam { role } => format!(
                "role {role} gets ADMIN OPTION on {RDS_IAM}, as the master user has it: a server that counts this as membership rejects the password of {role}"
            ),
            NoteKind::IamNotDelegable { role } => format!(
                "the administrator has no ADMIN OPTION on role {RDS_IAM}: role {role} cannot give `auth = \"iam\"` to an application"
            ),
            NoteKind::PrivilegeThroughPublic { role, privileges, object, database, owner } => {
                format!(
                    "in database {database}, role {role} has {} on {object} through PUBLIC only: the administrator cannot act as role {owner} to grant it",
                    listed(privileges)
                )
            }
            NoteKind::ExtensionNotUsable { extension, role, privileges, object, database } => {
                format!(
                    "in database {database}, role {role} has no {} on {object} of extension {extension}, and the administrator may not grant it",
                    listed(privileges)
                )
            }
            NoteKind::RevocationWithoutEffect { step, role, database } => format!(
                "in database {database}, the administrator cannot {step}: only role {role} can; PUBLIC has the same privilege, so that the revocation would change nothing"
            ),
            NoteKind::LargeObjectsOwned { role, database } => format!(
                "in database {database}, role {role} owns large objects, which PUBLIC may create; they stay with the role"
            ),
            NoteKind::LargeObjectShared { step, role, database } => format!(
                "in database {database}, the administrator cannot {step}: only role {role} can"
            ),
            NoteKind::DefaultPrivilegesShared { step, role, database, may_connect: false } => format!(
                "in database {database}, the administrator cannot {step}: only role {role} can, which may not connect to the database"
            ),
            NoteKind::DefaultPrivilegesShared { step, role, database, .. } => format!(
                "in database {database}, this run does not {step}: role {role} is not declared, and decides what it grants on the objects that it creates"
            ),
            NoteKind::PasswordNotChecked { role, reason } => format!(
                "the password of role {role} could not be checked and is not changed: {reason}"
            ),
            NoteKind::PasswordChecksOff => "no password was compared with its secret, because password checks are off: the plan does not show a password that was changed on the server".to_owned(),
            NoteKind::SecretShared { secret, role, applications } => {
                let names: Vec<&str> = applications.iter().map(ApplicationName::as_str).collect();
                format!(
                    "applications {} log in as role {role} with secret {secret}: one rotation changes the password for all of them",
                    names.join(" and ")
                )
            }
            NoteKind::ObjectsOfAdministrator { database, administrator, owner, object, others } => {
                let more = match others {
                    0 => String::new(),
                    1 => " and 1 other object".to_owned(),
                    others => format!(" and {others} other objects"),
                };
                format!(
                    "in database {database}, the administrator {administrator} owns {object}{more}, which role {owner} can use but not alter: `changes_owner` must be allowed to transfer them"
                )
            }
            NoteKind::OtherEnvironments { environment, others } => format!(
                "the server has roles or databases of environment {}, and no database of environment {environment}: check whether this is the right server",
                others.join(" and ")
            ),
            NoteKind::EndpointDiffers { secret, endpoint, server } => {
                format!(
                    "secret {secret} contains the endpoint {endpoint}, and this server is {server}"
                )
            }
            NoteKind::BlueGreenNotChecked { reason } => not_known_fact(reason),
            NoteKind::UndeclaredDatabaseUnreadable { database, reason } => format!(
                "the plan does not show or end all privileges that remain in database {database}: {reason}"
            ),
            NoteKind::UndeclaredAccess { access, .. } => {
                format!("role {} is not declared and {}", access.role, access.means)
            }
            NoteKind::NothingToRetire { fact, .. } => format!("{fact}: there is nothing to retire"),
            NoteKind::AuditTableCreated { table, databases, administrator } => {
                let names: Vec<&str> =
                    databases.iter().take(5).map(DatabaseName::as_str).collect();
                let place = match databases.len() {
                    1 => format!("database {}", names.join(", ")),
                    count @ ..=5 => format!("{count} databases ({})", names.join(", ")),
                    count => format!("{count} databases ({}, …)", names.join(", ")),
                };
                format!("the audit table {table} is created in {place}, owned by {administrator}")
            }
            NoteKind::AuditTablePreventsChanges { database, table, steps, defects } => format!(
                "{} in database {database} {} left out, because the audit table {table} there is not as documented: {}",
                text::counted(*steps, "change"),
                if *steps == 1 { "is" } else { "are" },
                defects.join("; ")
            ),
            NoteKind::RoleNotDropped { role, held } => format!(
                "role {role} is retired, but not dropped, because it still has {}",
                held.join(", ")
            ),
            NoteKind::Drift { applications, run } => {
                let (counted, names) = counted(applications);
                let definition = match applications.len() {
                    1 => "its definition is that",
                    _ => "their definitions are those",
                };
                format!("drift in {counted}: {definition} of {run} ({names})")
            }
            NoteKind::DefinitionChanged { applications, run } => {
                let (counted, names) = counted(applications);
                format!("changed definitions of {counted} since {run} ({names})")
            }
            NoteKind::SecretKept { secret, role, reason } => {
                format!("secret {secret} of role {role} is not deleted: {reason}")
            }
            NoteKind::MarkerNotProven { role, application } => format!(
                "role {role} is left: its comment names application {application}, but no administrator has ADMIN OPTION on the role, so that another role can have written it"
            ),
            NoteKind::LeftByTeardown { object, reason } => {
                format!("{object} has the marker of the build, and is left: {reason}")
            }
            NoteKind::MembershipByOther { role, object, group, grantor } => format!(
                "role {role} has {object} in {group} that is not declared, and this run does not revoke it: role {grantor}, which granted it, can"
            ),
            NoteKind::PermissionsNotChecked { probes } => {
                let permissions = text::counted(*probes, "permission");
                format!(
                    "the server is a reader or a standby, which rejects changes: the plan assumes {permissions} of the administrator that only a writer can confirm"
                )
            }
        }
    }
}

impl Note {
    /// Returns what to do about the fact.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        match &self.0 {
            NoteKind::UndeclaredAccess { access, .. } => access.hints(),
            _ => Vec::new(),
        }
    }
}

/// Returns the number of applications in words, and their names.
fn counted(applications: &[String]) -> (String, String) {
    (text::counted(applications.len(), "application"), applications.join(", "))
}

/// The JSON form of a note.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Note")]
struct NoteJson {
    /// What the note reports: `rdsprov explain CODE` describes it.
    code: NoteCode,
    /// The fact, in one sentence.
    message: String,
    /// What to do about it.
    hints: Vec<String>,
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hints = self.hints().iter().map(Hint::to_string).collect();
        NoteJson { code: self.code(), message: self.message(), hints }.serialize(serializer)
    }
}

impl JsonSchema for Note {
    fn schema_name() -> Cow<'static, str> {
        NoteJson::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        NoteJson::json_schema(generator)
    }
}

/// The data of notes, without sentences: for findings that are stored and read again.
pub(super) mod stored {
    use super::*;

    pub(in crate::plan) fn serialize<S: Serializer>(
        notes: &[Note],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(notes.iter().map(|note| &note.0))
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Note>, D::Error> {
        Ok(Vec::<NoteKind>::deserialize(deserializer)?.into_iter().map(Note).collect())
    }
}
