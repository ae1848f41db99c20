//! The rules that refuse a plan, each with the data of its sentences.

use crate::audit_table::AuditTableName;
use crate::hint::Hint;
use crate::name::{ApplicationName, DatabaseName, ExtensionName, RoleName, SchemaName};
use crate::named_enum::coded_enum;
use crate::observed::{Grantee, Obstacle};
use crate::privilege::{AccessLevel, Privileges};
use crate::secret_id::SecretId;
use crate::setting::Parameter;

/// Why a plan needs that an administrator has `ADMIN OPTION` on a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdminOptionPurpose {
    /// To alter or grant the role.
    Change,
    /// Its marker counts only then: a role that was dropped since can have written it.
    Marker,
    /// The marker that its adoption writes counts only then.
    Adoption,
}

coded_enum! {
    /// A rule that refuses a plan. Its explanation says why the rule exists and what
    /// to do, see [`RefusalCode::explanation`].
    #[allow(missing_docs, reason = "the sentences in `text.rs` say what each field means")]
    pub enum RefusalKind {
        // The server
        /// A blue/green deployment is in progress, whose green environment does not get the changes.
        BlueGreenInProgress { statuses: Vec<String> },
        // Roles
        /// The declared role is the role as which rdsprov connects, or another administrator: `power`
        /// says what makes it one.
        RoleIsAdministrator { role: RoleName, power: Option<String> },
        /// Roles that are not administrators can alter the declared role, or the clone of one, and write its
        /// comment. `has_marker` says whether the comment contains a marker.
        RoleControlledByOthers { role: RoleName, controllers: Vec<RoleName>, has_marker: bool },
        /// The role was renamed after rdsprov created it.
        RoleRenamed { role: RoleName, renamed_to: RoleName },
        /// The role exists and has no marker.
        RoleNotManaged { role: RoleName, is_delegate: bool },
        /// The marker of the role contains another environment.
        RoleOfOtherEnvironment { role: RoleName, environment: String },
        /// The role that is to become the delegate belongs to an application.
        RoleOfApplication { role: RoleName, application: String },
        /// The role belongs to another application, which still declares it, and no entry says
        /// `role_owner`.
        RoleOwnerMissing { role: RoleName, application: ApplicationName, recorded: String },
        /// The declared role is a delegate.
        RoleIsDelegate { role: RoleName },
        /// The role has an attribute that only a superuser can remove.
        RoleAttributesForbidden { role: RoleName, attributes: Vec<String> },
        /// The administrator may not alter or grant the role; or no administrator has `ADMIN OPTION` on it, so
        /// that its marker does not count, or would not count after its adoption.
        AdminOptionMissing { administrator: RoleName, role: RoleName, purpose: AdminOptionPurpose },
        /// The administrator does not inherit the privileges of the roles of which it is a member.
        AdministratorWithoutInherit { administrator: RoleName, role: RoleName },
        /// The administrator lacks `CREATEROLE` or `CREATEDB`, which the plan needs.
        AdministratorAttributeMissing { administrator: RoleName, attribute: String },
        /// The comment of a role or database contains bytes that are not valid UTF-8, and the marker
        /// must be written into it.
        CommentUndecodable { object: String },
        /// The comment of a role or database is so long that it is not read, and the marker
        /// may be in it.
        CommentTooLong { object: String },
        /// Undeclared roles got a membership through the `ADMIN OPTION` of a declared role.
        DependentMembership { role: RoleName, group: RoleName, members: Vec<RoleName> },
        /// A membership that is not declared was granted by a role as which
        /// the administrator cannot act.
        MembershipNotRevocable { role: RoleName, group: RoleName, grantor: RoleName },
        /// A role that is not declared has access to a declared database, and `[access] undeclared` is
        /// `refuse`. `means` says what it has.
        AccessNotDeclared { role: RoleName, database: DatabaseName, login: bool, means: String },
        /// The server has no role `rds_iam`.
        RdsIamMissing { role: RoleName },
        /// A predefined role in `memberships` does not exist on a server of this major version.
        MembershipRoleMissing { role: RoleName, group: RoleName, major: u32 },
        /// A role in `memberships`, or one that it is a member of, is an administrator or belongs to an
        /// application.
        MembershipForbidden {
            role: RoleName,
            group: RoleName,
            through: Option<RoleName>,
            reason: String,
        },
        /// `rds.restrict_password_commands` is on, and the administrator is not
        /// a member of `rds_password`.
        SetPasswordRestricted { administrator: RoleName },
        /// The administrator may not make the delegate a member of `rds_password`.
        PasswordAdministrationRestricted { role: RoleName },
        // Databases
        /// The declared database is the one that the administrator was told to connect to.
        AdministratorDatabase { database: DatabaseName },
        /// The database was renamed after rdsprov created it.
        DatabaseRenamed { database: DatabaseName, renamed_to: DatabaseName },
        /// The database exists and has no marker.
        DatabaseNotManaged { database: DatabaseName },
        /// The marker of the database contains another environment.
        DatabaseOfOtherEnvironment { database: DatabaseName, environment: String },
        /// The administrator cannot connect to the database.
        DatabaseUnreachable { database: DatabaseName, reason: String },
        /// The database contains so much that it is not read.
        DatabaseTooLarge { database: DatabaseName, excess: String },
        /// Transactions in the database are read-only by default, and the plan would write in it.
        DatabaseReadOnly { database: DatabaseName },
        /// A declared role owns the database, and no owner entry declares it.
        DatabaseOwnerUndeclared {
            database: DatabaseName,
            owner: RoleName,
            declared_as: Option<AccessLevel>,
        },
        /// Another role than the declared one owns the database.
        DatabaseOwnerDiffers {
            database: DatabaseName,
            owner: RoleName,
            declared: RoleName,
            can_be_declared: bool,
            can_be_allowed: bool,
        },
        /// The administrator cannot act as the owner of the database.
        DatabaseOwnerInaccessible { administrator: RoleName, database: DatabaseName, owner: RoleName },
        /// The database does not exist, and no owner entry declares it.
        OwnerEntryMissing { database: DatabaseName },
        /// A new database would copy objects of a role from the template.
        ObjectsInTemplate {
            database: DatabaseName,
            role: RoleName,
            objects: Vec<String>,
            others: usize,
        },
        /// A database whose creation was interrupted has copied objects of roles from the template.
        UnfinishedDatabaseWithObjects { database: DatabaseName, roles: Vec<RoleName> },
        /// A role in `creators` does not exist.
        CreatorMissing { database: DatabaseName, creator: RoleName },
        /// A selected application depends on what another application declares, and this application
        /// is not selected.
        ApplicationNotSelected { reason: String, needed: ApplicationName },
        // Ownership
        /// `REASSIGN OWNED` would also change the owner of a subscription.
        SubscriptionWouldMove {
            database: DatabaseName,
            owner: RoleName,
            subscription: String,
            subscription_database: DatabaseName,
            can_be_declared: bool,
        },
        /// PostgreSQL does not allow the new owner to own an object.
        ObjectNotTransferable {
            database: DatabaseName,
            object: String,
            others: usize,
            from: RoleName,
            to: RoleName,
            obstacle: Obstacle,
            can_be_declared: bool,
        },
        /// A declared role owns objects, and is neither the owner nor a creator.
        ObjectsOfDeclaredRole { database: DatabaseName, object: String, others: u64, role: RoleName },
        /// A predefined role, of which a declared role is a member, owns objects.
        ObjectsOfPredefinedRole { database: DatabaseName, object: String, others: u64, role: RoleName },
        // Privileges
        /// Only another role can execute a step, and the administrator cannot act as it.
        StepOfOtherRole { database: Option<DatabaseName>, step: String, role: RoleName },
        /// The role that must execute a step has no `USAGE` on the schemas of its objects.
        SchemaUsageMissing {
            database: Option<DatabaseName>,
            step: String,
            role: RoleName,
            schemas: Vec<SchemaName>,
        },
        /// A role has a privilege through a grant option that is not declared.
        DependentGrant { holder: Grantee, privileges: Privileges, object: String, through: RoleName },
        // Schemas
        /// A covered schema does not exist, and the owner entry, if there is one, does not declare it.
        SchemaMissing {
            schema: SchemaName,
            database: DatabaseName,
            owner_entry: Option<ApplicationName>,
        },
        /// Another role than the declared owner owns the schema.
        SchemaOwnerDiffers {
            schema: SchemaName,
            database: DatabaseName,
            owner: RoleName,
            declared: RoleName,
            can_be_allowed: bool,
        },
        /// The administrator cannot act as the owner of schema `public`.
        PublicSchemaInaccessible { schema: SchemaName, database: DatabaseName, owner: RoleName },
        // Settings
        /// The server rejects the value of a setting.
        SettingRejected {
            parameter: Parameter,
            value: String,
            role: RoleName,
            database: DatabaseName,
            reason: String,
        },
        /// The settings that are stored for a role in the database, or for the database itself, are so
        /// long that they are not read.
        SettingsTooLong { role: Option<RoleName>, database: DatabaseName },
        /// Only a superuser may reset a setting that is not declared.
        SettingNotResettable {
            parameter: Parameter,
            role: RoleName,
            database: DatabaseName,
            reason: String,
        },
        // Extensions
        /// The server does not offer the extension.
        ExtensionUnavailable {
            extension: ExtensionName,
            required_by: Option<ExtensionName>,
            database: DatabaseName,
        },
        /// An entry uses an extension that is not installed, and the owner entry, if there is one, does
        /// not declare it.
        ExtensionMissing {
            extension: ExtensionName,
            database: DatabaseName,
            owner_entry: Option<ApplicationName>,
        },
        /// `rds.allowed_extensions` does not contain the extension.
        ExtensionNotAllowed {
            extension: ExtensionName,
            required_by: Option<ExtensionName>,
            database: DatabaseName,
        },
        /// No schema of the owner can contain the extension.
        ExtensionWithoutSchema {
            extension: ExtensionName,
            required_by: Option<ExtensionName>,
            database: DatabaseName,
        },
        /// The extension is not trusted, and the server does not allow the
        /// administrator to create it.
        ExtensionNotTrusted {
            extension: ExtensionName,
            required_by: Option<ExtensionName>,
            database: DatabaseName,
            reason: String,
        },
        /// The administrator could not grant the privileges on an extension that the plan would create.
        ExtensionNotGrantable { extension: ExtensionName, database: DatabaseName, reason: String },
        /// Another role than administrators can create objects in a schema of the `search_path` with
        /// which the script of the extension would be executed.
        ExtensionSchemaShared {
            extension: ExtensionName,
            required_by: Option<ExtensionName>,
            database: DatabaseName,
            schema: SchemaName,
            creator: Grantee,
            required: Option<ExtensionName>,
        },
        // Secrets
        /// A secret cannot be read.
        SecretUnavailable { reason: String, advice: Vec<Hint> },
        /// Two secrets of one role contain different passwords.
        SecretsDiffer { secret: SecretId, other: SecretId, role: RoleName },
        /// A password is shorter than `[passwords] minimum_length`, in characters.
        PasswordTooShort { secret: SecretId, version: Option<String>, minimum_length: usize },
        /// The secret is for another role. `username` is a role of the definitions or its clone: a secret that
        /// an application only names can contain anything else.
        SecretUsernameDiffers {
            secret: SecretId,
            version: Option<String>,
            username: Option<RoleName>,
            role: RoleName,
        },
        /// The secret is for another database. `dbname` is one of the definitions.
        SecretDatabaseDiffers {
            secret: SecretId,
            version: Option<String>,
            dbname: Option<DatabaseName>,
            databases: Vec<DatabaseName>,
        },
        /// The marker of another role, of an application that is not declared, names the secret.
        SecretOfOtherRole { secret: SecretId, other: RoleName, application: String },
        // Rotation between a role and its clone
        /// The secret contains the clone, which does not exist.
        CloneMissing { secret: SecretId, role: RoleName, clone: RoleName },
        /// The clone is the role of an application, or was one. If no rotation uses it yet, `application`
        /// has the one of both roles that the plan does not create.
        CloneOfApplication {
            role: RoleName,
            clone: RoleName,
            application: String,
            is_rotated: bool,
        },
        /// The server rejects the password of the secret for the clone.
        ClonePasswordWrong { secret: SecretId, role: RoleName, clone: RoleName },
        /// The secret is rotated by alternating between a role and its clone.
        SecretAlternatesUsers { secret: SecretId, role: RoleName, clone: RoleName },
        // Rotation
        /// AWS rotates the secret.
        RotatedByAws { secret: SecretId, rotation_owner: String },
        /// The secret is for another server, and this server accepts none of its passwords. Or `version`,
        /// its pending version, is for another server than its current version.
        SecretOfOtherServer {
            secret: SecretId,
            version: Option<String>,
            role: RoleName,
            endpoint: String,
        },
        /// The marker of the role names another secret or application than the definitions.
        RoleMarkerDiffers { role: RoleName, recorded: String, declared: String },
        /// The role whose password is to be rotated does not exist.
        RoleMissing { role: RoleName },
        /// The role whose password is to be rotated still logs in with IAM tokens.
        RoleUsesIam { role: RoleName },
        /// The role whose password is to be rotated may not log in.
        RoleCannotLogIn { role: RoleName },
        /// A login as the role gave no result, so that a new password could not be tested.
        LoginUnverified { role: RoleName, reason: String },
        // The audit table
        /// The audit table of a database, or its schema, is not as documented.
        AuditTableAltered { database: DatabaseName, table: AuditTableName, defects: Vec<String> },
        /// The administrator may not create the schema of the audit table in a database.
        AuditTableNotCreatable {
            database: DatabaseName,
            table: AuditTableName,
            owner: RoleName,
            administrator: RoleName,
        },
        /// An application covers the schema of the audit table.
        AuditSchemaDeclared { schema: SchemaName },
        // Drops
        /// A role that is to be dropped has objects, privileges or other dependencies left.
        RoleNotDroppable { role: RoleName, held: Vec<String> },
        /// A database that is to be dropped is used.
        DatabaseNotDroppable {
            database: DatabaseName,
            reason: String,
            /// The application with an entry that uses the database.
            entry: Option<ApplicationName>,
        },
    }

    /// The stable code of a rule that refuses a plan: `role-not-managed`.
    pub enum RefusalCode;
}
