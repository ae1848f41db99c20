//! What each code means, why the rule exists, and what to do: one Markdown text for each code.
//!
//! The matches are exhaustive, so that a code without a text does not compile.

use super::{Hazard, NoteCode, RefusalCode};

/// Includes the texts of a directory, named by code.
macro_rules! explanations {
    ($codes:ident, $directory:literal, $($variant:ident => $name:literal,)+) => {
        impl $codes {
            /// Returns the explanation as Markdown: what the code means, why, and what to do.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!(
                        "../explanations/", $directory, "/", $name, ".md"
                    )),)+
                }
            }
        }
    };
}

explanations! {
    RefusalCode, "refusals",
    BlueGreenInProgress => "blue-green-in-progress",
    RoleIsAdministrator => "role-is-administrator",
    RoleControlledByOthers => "role-controlled-by-others",
    RoleRenamed => "role-renamed",
    RoleNotManaged => "role-not-managed",
    RoleOfOtherEnvironment => "role-of-other-environment",
    RoleOfApplication => "role-of-application",
    RoleOwnerMissing => "role-owner-missing",
    RoleIsDelegate => "role-is-delegate",
    RoleAttributesForbidden => "role-attributes-forbidden",
    AdminOptionMissing => "admin-option-missing",
    AdministratorWithoutInherit => "administrator-without-inherit",
    AdministratorAttributeMissing => "administrator-attribute-missing",
    CommentUndecodable => "comment-undecodable",
    CommentTooLong => "comment-too-long",
    DependentMembership => "dependent-membership",
    MembershipNotRevocable => "membership-not-revocable",
    AccessNotDeclared => "access-not-declared",
    RdsIamMissing => "rds-iam-missing",
    MembershipRoleMissing => "membership-role-missing",
    MembershipForbidden => "membership-forbidden",
    SetPasswordRestricted => "set-password-restricted",
    PasswordAdministrationRestricted => "password-administration-restricted",
    AdministratorDatabase => "administrator-database",
    DatabaseRenamed => "database-renamed",
    DatabaseNotManaged => "database-not-managed",
    DatabaseOfOtherEnvironment => "database-of-other-environment",
    DatabaseUnreachable => "database-unreachable",
    DatabaseTooLarge => "database-too-large",
    DatabaseReadOnly => "database-read-only",
    DatabaseOwnerUndeclared => "database-owner-undeclared",
    DatabaseOwnerDiffers => "database-owner-differs",
    DatabaseOwnerInaccessible => "database-owner-inaccessible",
    OwnerEntryMissing => "owner-entry-missing",
    ObjectsInTemplate => "objects-in-template",
    UnfinishedDatabaseWithObjects => "unfinished-database-with-objects",
    CreatorMissing => "creator-missing",
    ApplicationNotSelected => "application-not-selected",
    SubscriptionWouldMove => "subscription-would-move",
    ObjectNotTransferable => "object-not-transferable",
    ObjectsOfDeclaredRole => "objects-of-declared-role",
    ObjectsOfPredefinedRole => "objects-of-predefined-role",
    StepOfOtherRole => "step-of-other-role",
    SchemaUsageMissing => "schema-usage-missing",
    DependentGrant => "dependent-grant",
    SchemaMissing => "schema-missing",
    SchemaOwnerDiffers => "schema-owner-differs",
    PublicSchemaInaccessible => "public-schema-inaccessible",
    SettingRejected => "setting-rejected",
    SettingsTooLong => "settings-too-long",
    SettingNotResettable => "setting-not-resettable",
    ExtensionUnavailable => "extension-unavailable",
    ExtensionMissing => "extension-missing",
    ExtensionNotAllowed => "extension-not-allowed",
    ExtensionWithoutSchema => "extension-without-schema",
    ExtensionNotTrusted => "extension-not-trusted",
    ExtensionNotGrantable => "extension-not-grantable",
    ExtensionSchemaShared => "extension-schema-shared",
    SecretUnavailable => "secret-unavailable",
    SecretsDiffer => "secrets-differ",
    PasswordTooShort => "password-too-short",
    SecretUsernameDiffers => "secret-username-differs",
    SecretDatabaseDiffers => "secret-database-differs",
    SecretOfOtherRole => "secret-of-other-role",
    CloneMissing => "clone-missing",
    CloneOfApplication => "clone-of-application",
    ClonePasswordWrong => "clone-password-wrong",
    SecretAlternatesUsers => "secret-alternates-users",
    RotatedByAws => "rotated-by-aws",
    SecretOfOtherServer => "secret-of-other-server",
    RoleMarkerDiffers => "role-marker-differs",
    RoleMissing => "role-missing",
    RoleUsesIam => "role-uses-iam",
    RoleCannotLogIn => "role-cannot-log-in",
    LoginUnverified => "login-unverified",
    RoleNotDroppable => "role-not-droppable",
    DatabaseNotDroppable => "database-not-droppable",
    AuditTableAltered => "audit-table-altered",
    AuditTableNotCreatable => "audit-table-not-creatable",
    AuditSchemaDeclared => "audit-schema-declared",
}

explanations! {
    NoteCode, "notes",
    PasswordEncryptionDiffers => "password-encryption-differs",
    AdministratorInRdsIam => "administrator-in-rds-iam",
    DelegateInRdsIam => "delegate-in-rds-iam",
    IamNotDelegable => "iam-not-delegable",
    PrivilegeThroughPublic => "privilege-through-public",
    ExtensionNotUsable => "extension-not-usable",
    RevocationWithoutEffect => "revocation-without-effect",
    LargeObjectsOwned => "large-objects-owned",
    LargeObjectShared => "large-object-shared",
    DefaultPrivilegesShared => "default-privileges-shared",
    PasswordNotChecked => "password-not-checked",
    PasswordChecksOff => "password-checks-off",
    SecretShared => "secret-shared",
    ObjectsOfAdministrator => "objects-of-administrator",
    OtherEnvironments => "other-environments",
    EndpointDiffers => "endpoint-differs",
    PermissionsNotChecked => "permissions-not-checked",
    BlueGreenNotChecked => "blue-green-not-checked",
    UndeclaredDatabaseUnreadable => "undeclared-database-unreadable",
    UndeclaredAccess => "undeclared-access",
    MembershipByOther => "membership-by-other",
    NothingToRetire => "nothing-to-retire",
    MarkerNotProven => "marker-not-proven",
    LeftByTeardown => "left-by-teardown",
    SecretKept => "secret-kept",
    AuditTableCreated => "audit-table-created",
    AuditTablePreventsChanges => "audit-table-prevents-changes",
    RoleNotDropped => "role-not-dropped",
    Drift => "drift",
    DefinitionChanged => "definition-changed",
}

explanations! {
    Hazard, "hazards",
    RevokesAccess => "revokes_access",
    ChangesOwner => "changes_owner",
    ResetsPassword => "resets_password",
    Adopts => "adopts",
    ClosesToPublic => "closes_to_public",
    WidensAccess => "widens_access",
    ReopensDatabase => "reopens_database",
    MovesDatabase => "moves_database",
    MixesEnvironments => "mixes_environments",
    AdoptsFromEnvironment => "adopts_from_environment",
    ChangesSecret => "changes_secret",
    ChangesApplication => "changes_application",
    ChangesScope => "changes_scope",
    HandsOverCode => "hands_over_code",
    ReachesBeyondDatabase => "reaches_beyond_database",
    DropsRole => "drops_role",
    DropsDatabase => "drops_database",
    DegradesBlueGreen => "degrades_blue_green",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_have_the_name_of_their_code() {
        let codes = RefusalCode::all()
            .map(|code| ("refusals", code.name(), code.explanation()))
            .chain(NoteCode::all().map(|code| ("notes", code.name(), code.explanation())))
            .chain(Hazard::all().map(|hazard| ("hazards", hazard.name(), hazard.explanation())));
        for (directory, name, text) in codes {
            let root = env!("CARGO_MANIFEST_DIR");
            let path = format!("{root}/src/explanations/{directory}/{name}.md");
            assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), text, "{path}");
            assert!(text.contains("```"), "{path} shows nothing to run");
        }
    }
}
