//! Every sentence of a refusal: the fact, and the advice that is not an SQL statement.

use super::kind::{AdminOptionPurpose, RefusalKind};
use crate::blue_green::in_progress_fact;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{
    ApplicationName, DatabaseName, ExtensionName, LOCK_DATABASE, RoleName, SchemaName,
};
use crate::observed::{Grantee, Obstacle, RDS_IAM};
use crate::plan::Hazard;
use crate::plan::words::listed;
use crate::text::{brief, without_middle};

impl RefusalKind {
    /// Returns what is refused and why, in one sentence without a full stop.
    #[allow(clippy::too_many_lines, reason = "one arm for each rule")]
    pub(super) fn fact(&self) -> String {
        match self {
            Self::BlueGreenInProgress { statuses } => in_progress_fact(statuses),
            Self::RoleIsAdministrator { role, power: None } => {
                format!("role {role} is the administrator, as which rdsprov connects")
            }
            Self::RoleIsAdministrator { role, power: Some(power) } => {
                format!("role {role} is not managed by rdsprov and is an administrator: {power}")
            }
            Self::RoleControlledByOthers { role, controllers, has_marker } => format!(
                "{} has ADMIN OPTION on role {role}, and can or could alter it and write its comment{}",
                listed_roles(controllers),
                if *has_marker { ", so that its marker does not count" } else { "" }
            ),
            Self::RoleRenamed { role, renamed_to } => {
                format!("role {role} was renamed to {renamed_to}, as the marker of this role shows")
            }
            Self::RoleNotManaged { role, .. } => {
                format!("role {role} exists and is not managed by rdsprov")
            }
            Self::RoleOfOtherEnvironment { role, environment } => {
                format!("role {role} is managed in environment `{environment}`")
            }
            Self::RoleOfApplication { role, application } => {
                format!("role {role} belongs to application {application}")
            }
            Self::RoleOwnerMissing { role, application, recorded } => format!(
                "role {role} belongs to application {recorded}, and the entry of application {application} would take it over"
            ),
            Self::RoleIsDelegate { role } => {
                format!("role {role} is the delegate that administers this environment")
            }
            Self::RoleAttributesForbidden { role, attributes } => format!(
                "role {role} has {}, which the role of an application may not have",
                attributes.join(" and ")
            ),
            Self::AdminOptionMissing { role, purpose: AdminOptionPurpose::Adoption, .. } => {
                format!(
                    "no administrator has ADMIN OPTION on role {role}, so that the role cannot be adopted: the marker that an adoption writes into its comment would not count"
                )
            }
            Self::AdminOptionMissing { role, purpose: AdminOptionPurpose::Marker, .. } => format!(
                "no administrator has ADMIN OPTION on role {role}, so that a marker in its comment does not count: a role that was dropped since may have written it"
            ),
            Self::AdminOptionMissing { administrator, role, .. } => {
                format!("the administrator {administrator} may not alter or grant role {role}")
            }
            Self::AdministratorWithoutInherit { administrator, role } => format!(
                "before PostgreSQL 16, the administrator {administrator} needs INHERIT to transfer what role {role} owns"
            ),
            Self::AdministratorAttributeMissing { administrator, attribute } => format!(
                "the plan needs an administrator with {attribute}, which {administrator} does not have"
            ),
            Self::CommentUndecodable { object } => format!(
                "the comment of {object} contains bytes that are not valid UTF-8, so rdsprov cannot add its marker to it"
            ),
            Self::CommentTooLong { object } => format!(
                "the comment of {object} is longer than 64 kB, so rdsprov does not read whether it contains its marker"
            ),
            Self::DependentMembership { role, group, members } => format!(
                "{} became a member of role {group} through the undeclared ADMIN OPTION of role {role}",
                listed_roles(members)
            ),
            Self::MembershipNotRevocable { role, group, grantor } => format!(
                "the administrator may not revoke the undeclared membership of role {role} in role {group}, which role {grantor} granted"
            ),
            Self::AccessNotDeclared { role, means, .. } => {
                format!("role {role} is not declared and {means}")
            }
            Self::RdsIamMissing { role } => format!(
                "role {role} has `auth = \"iam\"`, but role {RDS_IAM} does not exist: this is not an Amazon RDS server"
            ),
            Self::MembershipRoleMissing { role, group, major } => format!(
                "`memberships` of role {role} names {group}, which this server with PostgreSQL {major} does not have"
            ),
            Self::MembershipForbidden { role, group, through, reason } => match through {
                None => format!("role {role} cannot be a member of {group}, which {reason}"),
                Some(through) => format!(
                    "role {role} cannot be a member of {group}: it is a member of {through}, which {reason}"
                ),
            },
            Self::SetPasswordRestricted { administrator } => format!(
                "only members of rds_password may change passwords and VALID UNTIL (`rds.restrict_password_commands`), and the administrator {administrator} is not a member"
            ),
            Self::PasswordAdministrationRestricted { role } => format!(
                "only members of rds_password may change passwords and VALID UNTIL (`rds.restrict_password_commands`), and the administrator cannot make role {role} a member"
            ),
            Self::AdministratorDatabase { database } => {
                format!("database {database} is the database that the administrator connects to")
            }
            Self::DatabaseRenamed { database, renamed_to } => format!(
                "database {database} was renamed to {renamed_to}, as the marker of this database shows"
            ),
            Self::DatabaseNotManaged { database } => {
                format!("database {database} exists and is not managed by rdsprov")
            }
            Self::DatabaseOfOtherEnvironment { database, environment } => {
                format!("database {database} is managed in environment `{environment}`")
            }
            Self::DatabaseUnreachable { database, reason } => {
                format!("the administrator cannot read database {database}: {reason}")
            }
            Self::DatabaseTooLarge { database, excess } => format!("database {database} {excess}"),
            Self::DatabaseReadOnly { database } => format!(
                "database {database} is read-only (`default_transaction_read_only`), and the plan changes it"
            ),
            Self::DatabaseOwnerUndeclared { database, owner, declared_as } => match declared_as {
                Some(level) => format!(
                    "role {owner} owns database {database}, and the definitions declare it there as {level}"
                ),
                None => format!(
                    "role {owner} owns database {database}, and the definitions declare it in other databases only"
                ),
            },
            Self::DatabaseOwnerDiffers { database, owner, declared, .. } => format!(
                "role {owner} owns database {database}, and the definitions declare role {declared} as its owner"
            ),
            Self::DatabaseOwnerInaccessible { administrator, database, owner } => format!(
                "the administrator {administrator} cannot act as role {owner}, the owner of database {database}"
            ),
            Self::OwnerEntryMissing { database } => {
                format!("database {database} does not exist, and no application declares its owner")
            }
            Self::ObjectsInTemplate { database, role, objects, others } => format!(
                "database {database} would contain objects of role {role}, because a new database copies template1: {}{}",
                objects.join(", "),
                and_more(*others)
            ),
            Self::UnfinishedDatabaseWithObjects { database, roles } => format!(
                "the creation of database {database} was interrupted, and it has copied objects of {} from template1",
                listed_roles(roles)
            ),
            Self::CreatorMissing { database, creator } => format!(
                "role {creator}, which `creators` lists for database {database}, does not exist"
            ),
            Self::ApplicationNotSelected { reason, needed } => {
                format!("{reason}, and application {needed}, which declares it, is not selected")
            }
            Self::SubscriptionWouldMove {
                database,
                owner,
                subscription,
                subscription_database,
                ..
            } => {
                format!(
                    "what role {owner} owns in database {database} cannot get another owner: `REASSIGN OWNED` would also change the owner of subscription {subscription} in database {subscription_database}"
                )
            }
            Self::ObjectNotTransferable {
                database, object, others, from, to, obstacle, ..
            } => {
                let reason = match obstacle {
                    Obstacle::Schema(schema) => {
                        format!("may not create in schema {}", schema.in_words())
                    }
                    Obstacle::Wrapper => "may not use the foreign-data wrapper".to_owned(),
                    Obstacle::Superuser => "is not a superuser".to_owned(),
                };
                let more = and_more(*others);
                format!(
                    "in database {database}, {object}{more} of role {from} cannot be transferred to role {to}, which {reason}"
                )
            }
            Self::ObjectsOfDeclaredRole { database, object, others, role } => format!(
                "in database {database}, role {role} owns {object}{}, and it is not declared as an owner or creator there",
                and_more(usize::try_from(*others).unwrap_or(usize::MAX))
            ),
            Self::ObjectsOfPredefinedRole { database, object, others, role } => format!(
                "in database {database}, role {role} owns {object}{}, so that each member of this role has all privileges on them",
                and_more(usize::try_from(*others).unwrap_or(usize::MAX))
            ),
            Self::StepOfOtherRole { database, step, role } => format!(
                "{}the administrator cannot {step}: only role {role} can, and the administrator may not SET ROLE {role}",
                in_database(database.as_ref())
            ),
            Self::SchemaUsageMissing { database, step, role, schemas } => {
                let names: Vec<_> = schemas.iter().map(SchemaName::in_words).collect();
                format!(
                    "{}the administrator cannot {step} as role {role}: the role has no USAGE on schema {}, and the administrator may not act as the owner of the schema",
                    in_database(database.as_ref()),
                    names.join(" and schema ")
                )
            }
            Self::DependentGrant { holder, privileges, object, through } => {
                let holder = match holder {
                    Grantee::Public => "PUBLIC".to_owned(),
                    Grantee::Role(role) => format!("role {role}"),
                };
                format!(
                    "{holder} has {} on {object} through the undeclared grant option of role {through}",
                    listed(privileges)
                )
            }
            Self::SchemaMissing { schema, database, .. } => format!(
                "schema {} does not exist in database {database}, and the owner entry does not declare it",
                schema.in_words()
            ),
            Self::SchemaOwnerDiffers { schema, database, owner, declared, .. } => format!(
                "role {owner} owns schema {} of database {database}, and the definitions declare role {declared} as its owner",
                schema.in_words()
            ),
            Self::PublicSchemaInaccessible { schema, database, owner } => format!(
                "the administrator cannot act as role {owner}, the owner of schema {} in database {database}, and the privileges on the schema differ from the declared ones",
                schema.in_words()
            ),
            Self::SettingRejected { parameter, value, role, database, reason } => {
                let value = brief(value);
                // The reason of the server repeats the value.
                without_middle(format!(
                    "the server rejects the setting `{parameter} = {value}` of role {role} in database {database}: {reason}"
                ))
            }
            Self::SettingsTooLong { role: Some(role), database } => format!(
                "the settings of role {role} in database {database} are longer than 8 kB, so rdsprov does not read them"
            ),
            Self::SettingsTooLong { role: None, database } => format!(
                "the settings of database {database} are longer than 8 kB, so rdsprov does not read them"
            ),
            Self::SettingNotResettable { parameter, role, database, reason } => format!(
                "the administrator may not reset the undeclared setting `{parameter}` of role {role} in database {database}: {reason}"
            ),
            Self::ExtensionUnavailable { extension, required_by, database } => format!(
                "{} is not available on this server",
                extension_words(extension, required_by.as_ref(), database)
            ),
            Self::ExtensionMissing { extension, database, .. } => format!(
                "extension {extension} is not installed in database {database}, and the owner entry does not declare it"
            ),
            Self::ExtensionNotAllowed { extension, required_by, database } => format!(
                "{} is not allowed by `rds.allowed_extensions`",
                extension_words(extension, required_by.as_ref(), database)
            ),
            Self::ExtensionWithoutSchema { extension, required_by, database } => format!(
                "{} needs a schema, and its owner may not create in any",
                extension_words(extension, required_by.as_ref(), database)
            ),
            Self::ExtensionNotTrusted { extension, required_by, database, reason } => format!(
                "{} is not trusted, and the server does not allow the administrator to create it: {reason}",
                extension_words(extension, required_by.as_ref(), database)
            ),
            Self::ExtensionNotGrantable { extension, database, reason } => format!(
                "extension {extension} would be created in database {database}, and the administrator could not grant the privileges on it: {reason}"
            ),
            Self::ExtensionSchemaShared {
                extension,
                required_by,
                database,
                schema,
                creator,
                required,
            } => {
                let required = required.as_ref();
                let place = required.map(|other| format!(", which contains extension {other}"));
                let creator = match creator {
                    Grantee::Role(role) => format!("role {role}"),
                    Grantee::Public => "PUBLIC".to_owned(),
                };
                format!(
                    "{} is not trusted, and its script could execute objects of other roles: {creator} can create objects in schema {}{}",
                    extension_words(extension, required_by.as_ref(), database),
                    schema.in_words(),
                    place.unwrap_or_default()
                )
            }
            Self::SecretUnavailable { reason, .. } => reason.clone(),
            Self::SecretsDiffer { secret, other, role } => {
                format!("secrets {secret} and {other} contain different passwords for role {role}")
            }
            Self::PasswordTooShort { secret, version, minimum_length } => format!(
                "secret {secret}{} contains a password with fewer than {minimum_length} characters",
                in_version(version.as_ref())
            ),
            Self::SecretUsernameDiffers { secret, version, username, role } => format!(
                "secret {secret}{} is for {}, and the definitions declare role {role}",
                in_version(version.as_ref()),
                username
                    .as_ref()
                    .map_or("another user".to_owned(), |name| format!("user `{name}`"))
            ),
            Self::SecretDatabaseDiffers { secret, version, dbname, databases } => {
                let names: Vec<&str> = databases.iter().map(DatabaseName::as_str).collect();
                format!(
                    "secret {secret}{} is for {}, and the definitions declare {}",
                    in_version(version.as_ref()),
                    dbname
                        .as_ref()
                        .map_or("another database".to_owned(), |name| format!("database `{name}`")),
                    names.join(", ")
                )
            }
            Self::CloneMissing { secret, clone, .. } => {
                format!("secret {secret} contains the clone {clone}, which does not exist")
            }
            Self::CloneOfApplication { role, clone, application, is_rotated: false } => format!(
                "a rotation of role {role} that alternates between users would set the password of role {clone}, and the other one of the two belongs to application {application}"
            ),
            Self::CloneOfApplication { role, clone, application, .. } => format!(
                "Secrets Manager rotates the password of role {role} by alternating with role {clone}, which belongs to application {application}"
            ),
            Self::ClonePasswordWrong { secret, clone, .. } => format!(
                "the server rejects the password of secret {secret} for the clone {clone} (28P01), and only the rotation sets this password"
            ),
            Self::SecretAlternatesUsers { secret, role, clone } => format!(
                "Secrets Manager rotates secret {secret} by alternating between role {role} and its clone {clone}"
            ),
            Self::RotatedByAws { secret, rotation_owner } => {
                format!("AWS rotates secret {secret}: {rotation_owner}")
            }
            Self::SecretOfOtherRole { secret, other, application } => format!(
                "secret {secret} is the secret of role {other} of application {application}, as the marker or the entry of this role shows"
            ),
            Self::SecretOfOtherServer { secret, version: version @ Some(_), endpoint, .. } => {
                format!(
                    "secret {secret}{} is for the server at {endpoint}, and its current version is not",
                    in_version(version.as_ref())
                )
            }
            Self::SecretOfOtherServer { secret, role, endpoint, .. } => format!(
                "secret {secret} is for the server at {endpoint}, and this server rejects its password for role {role}"
            ),
            Self::RoleMarkerDiffers { role, recorded, declared } => format!(
                "the marker of role {role} names {recorded}, but the definitions name {declared}"
            ),
            Self::RoleMissing { role } => format!("role {role} does not exist on this server"),
            Self::RoleUsesIam { role } => {
                format!("role {role} is a member of {RDS_IAM} and has no password yet")
            }
            Self::RoleCannotLogIn { role } => format!(
                "role {role} may not log in (NOLOGIN, or VALID UNTIL is in the past), so that a new password cannot be tested"
            ),
            Self::LoginUnverified { role, reason } => format!(
                "a login as role {role} gave no result, so that a new password cannot be tested: {reason}"
            ),
            Self::AuditTableAltered { database, table, defects } => format!(
                "the audit table {table} in database {database} is not as documented: {}",
                defects.join("; ")
            ),
            Self::AuditTableNotCreatable { database, table, owner, administrator } => format!(
                "the administrator {administrator} may not create the audit table {table} in database {database}, and cannot act as its owner {owner}"
            ),
            Self::AuditSchemaDeclared { schema } => {
                let schema = schema.in_words();
                format!("the application covers schema {schema}, which is that of the audit table")
            }
            Self::RoleNotDroppable { role, held } => {
                format!("role {role} cannot be dropped, because it still has {}", held.join(", "))
            }
            Self::DatabaseNotDroppable { database, reason, entry: _ } => {
                format!("database {database} cannot be dropped: {reason}")
            }
        }
    }

    /// Returns what the user can do, other than executing an SQL statement: alternatives.
    #[allow(clippy::too_many_lines, reason = "one arm for each rule")]
    pub(super) fn advice(&self, application: &ApplicationName) -> Vec<Hint> {
        vec![match self {
            Self::BlueGreenInProgress { .. } => {
                return vec![
                    hint!["complete the switchover, or delete the deployment, then run again"],
                    hint![
                        "create the deployment again afterwards, and allow the change with ",
                        (Opt::Allow, Hazard::DegradesBlueGreen)
                    ],
                ];
            }
            Self::RoleControlledByOthers { .. } => {
                hint![
                    "choose another name, or drop the role if nobody needs it"
                ]
            }
            Self::RoleIsAdministrator { .. } | Self::RoleIsDelegate { .. } => {
                hint!["name another role in `username` of the application"]
            }
            Self::RoleNotManaged { is_delegate: true, .. } => {
                return vec![
                    hint!["choose another name"],
                    hint!["adopt the role with ", Opt::Adopt, ": the plan then shows what changes"],
                ];
            }
            Self::RoleNotManaged { .. } | Self::DatabaseNotManaged { .. } => {
                return vec![
                    hint!["choose another name"],
                    hint![
                        "adopt it with ",
                        (Opt::Adopt, application),
                        ", or with `adopt = true` on the application: the plan then shows what changes"
                    ],
                ];
            }
            Self::RoleOfOtherEnvironment { environment, .. }
            | Self::DatabaseOfOtherEnvironment { environment, .. } => {
                return vec![
                    hint!["choose another name"],
                    hint![
                        format!(
                            "if the server was restored from a snapshot of environment \
                             `{environment}`, take over what it manages with "
                        ),
                        (Opt::AdoptFrom, environment),
                        " ",
                        (Opt::Allow, Hazard::AdoptsFromEnvironment)
                    ],
                ];
            }
            Self::CommentUndecodable { object } => {
                hint![format!("replace the comment of {object}, or remove it")]
            }
            Self::CommentTooLong { object } => {
                hint![format!("shorten the comment of {object}, and keep the line of its marker")]
            }
            Self::DatabaseTooLarge { database, .. } => {
                hint![format!("drop what is not needed in database {database}, then run again")]
            }
            Self::RoleOwnerMissing { application, recorded, .. } => {
                return vec![
                    hint![format!("set `role_owner = true` in the entry of {recorded} to keep it")],
                    hint![
                        format!(
                            "set `role_owner = true` in the entry of {application} to take it over, \
                             and allow it with "
                        ),
                        (Opt::Allow, Hazard::ChangesApplication)
                    ],
                ];
            }
            Self::RoleOfApplication { .. } => hint![
                "choose a role that no application uses; only the application of a role retires it"
            ],
            Self::MembershipRoleMissing { group, .. } => {
                hint![format!("remove {group} from `memberships`")]
            }
            Self::MembershipForbidden { group, .. } => hint![format!(
                "remove {group} from `memberships`; an entry with `database_name` and `access_level` gives a role access to a database"
            )],
            Self::RdsIamMissing { .. } => hint!["set `auth = \"password\"`"],
            Self::AdministratorDatabase { .. } => {
                hint![
                    "connect to another database, for example with ",
                    (Opt::Dbname, LOCK_DATABASE)
                ]
            }
            Self::DatabaseUnreachable { .. } => {
                hint!["correct the cause that the server reports, then run again"]
            }
            Self::DatabaseOwnerUndeclared { owner, .. } => {
                hint![format!("declare role {owner} as the owner with `access_level = \"owner\"`")]
            }
            Self::DatabaseOwnerDiffers {
                database,
                owner,
                declared,
                can_be_declared,
                can_be_allowed,
            } => {
                let mut alternatives = Vec::new();
                if *can_be_declared {
                    alternatives.push(hint![format!("declare role {owner} as the owner")]);
                }
                if *can_be_allowed {
                    alternatives.push(hint![
                        format!(
                            "transfer database {database} and what {owner} owns in it to {declared} with "
                        ),
                        (Opt::Allow, Hazard::ChangesOwner),
                    ]);
                }
                return alternatives;
            }
            Self::OwnerEntryMissing { database } => hint![format!(
                "declare an application with `database_name = \"{database}\"` and `access_level = \"owner\"`"
            )],
            Self::CreatorMissing { .. } => hint!["correct the name in `creators`"],
            Self::ApplicationNotSelected { needed, .. } => {
                return vec![
                    hint![
                        format!("select application {needed} in addition, with "),
                        (Opt::Only, needed)
                    ],
                    hint![format!("apply application {needed} first")],
                ];
            }
            Self::ObjectsOfDeclaredRole { role, .. } => {
                hint![format!("add {role} to `creators` of the owner entry")]
            }
            Self::SchemaMissing { schema, owner_entry, .. } => {
                let owner_entry = match owner_entry {
                    Some(name) => format!("application {name}, the owner entry"),
                    None => "an owner entry of the database".to_owned(),
                };
                return vec![
                    hint![format!("add {schema} to `schemas` of {owner_entry}")],
                    hint![format!("correct `schemas` of application {application}")],
                ];
            }
            Self::SchemaOwnerDiffers { schema, declared, can_be_allowed: true, .. } => hint![
                format!("transfer schema {} to {declared} with ", schema.in_words()),
                (Opt::Allow, Hazard::ChangesOwner),
            ],
            Self::SettingRejected { .. } => {
                hint!["correct the setting in `settings` of the application, or remove it"]
            }
            // Definitions cannot declare it, so that only the SQL statement remains.
            Self::SettingNotResettable { parameter, .. } if parameter.is_refused() => {
                return Vec::new();
            }
            Self::SettingNotResettable { .. } => {
                hint!["declare the setting with its value in `settings` of the application"]
            }
            Self::ExtensionUnavailable { required_by, .. } => {
                let change = match required_by {
                    None => "correct its name in `extensions`, or remove it".to_owned(),
                    Some(other) => format!("remove {other} from `extensions`"),
                };
                hint![
                    change,
                    "; `SELECT name FROM pg_available_extensions` lists what is available"
                ]
            }
            Self::ExtensionMissing { extension, owner_entry, .. } => {
                let owner_entry = match owner_entry {
                    Some(name) => format!("application {name}, the owner entry"),
                    None => "an owner entry of the database".to_owned(),
                };
                return vec![
                    hint![format!("add {extension} to `extensions` of {owner_entry}")],
                    hint![format!("correct `extensions` of application {application}")],
                ];
            }
            Self::ExtensionNotAllowed { extension, .. } => hint![format!(
                "add {extension} to `rds.allowed_extensions` in the DB parameter group"
            )],
            Self::ExtensionWithoutSchema { .. } => {
                hint!["declare a schema in `schemas` of the owner entry"]
            }
            Self::ExtensionNotTrusted { extension, required_by, .. } => hint![format!(
                "remove {} from `extensions`",
                required_by.as_ref().unwrap_or(extension)
            )],
            Self::ExtensionNotGrantable { extension, .. } => {
                hint![format!("remove {extension} from `extensions` of application {application}")]
            }
            Self::ExtensionSchemaShared { extension, required_by, schema, required, .. } => {
                let removed = required_by.as_ref().unwrap_or(extension);
                let schema = schema.in_words();
                let change = match required {
                    Some(_) => format!(
                        "review the functions, operators, casts and types in schema {schema}, then create {extension} by hand as the administrator"
                    ),
                    None => format!("rename schema {schema}, or drop it"),
                };
                hint![format!("{change}; or remove {removed} from `extensions`")]
            }
            Self::SecretUnavailable { advice, .. } if advice.is_empty() => {
                hint!["correct the secret, or name another one with `secret`, then run again"]
            }
            Self::SecretUnavailable { advice, .. } => return advice.clone(),
            Self::SecretsDiffer { .. } => hint![
                "store the same password in both secrets, or name one `secret` in each entry of the role"
            ],
            Self::PasswordTooShort { .. } => hint![
                "store a longer password, or lower `minimum_length` under `[passwords]` in the configuration file"
            ],
            Self::SecretUsernameDiffers { .. } => {
                hint!["correct `username` in the secret, or `username` of the application"]
            }
            Self::SecretDatabaseDiffers { .. } => {
                hint!["correct `dbname` in the secret, or `database_name` of the application"]
            }
            Self::CloneMissing { secret, role, .. } => hint![
                format!("write `{role}` as `username` into secret {secret}, then run "),
                Operation::Apply,
                ": it sets the password of this role, and the next rotation creates the clone"
            ],
            Self::CloneOfApplication { is_rotated: false, .. } => {
                hint!["name another role in `username` of the application"]
            }
            Self::CloneOfApplication { .. } => hint![
                "rename one of the roles, or remove `masterarn` from the secret and change its rotation to a single user"
            ],
            Self::ClonePasswordWrong { secret, role, clone } => {
                return vec![
                    hint![
                        format!("write `{role}` as `username` into secret {secret}, then run "),
                        Operation::Apply,
                        format!(
                            ": it sets the password of this role, and the next rotation that of {clone}"
                        )
                    ],
                    hint![format!(
                        "set the password of the secret for role {clone} with `\\password` of psql"
                    )],
                ];
            }
            Self::SecretAlternatesUsers { .. } => {
                hint!["let AWS rotate it with `aws secretsmanager rotate-secret`"]
            }
            Self::RotatedByAws { .. } => {
                return vec![
                    hint!["let AWS rotate it with `aws secretsmanager rotate-secret`"],
                    hint!["stop that first with `aws secretsmanager cancel-rotate-secret`"],
                ];
            }
            Self::SecretOfOtherRole { other, .. } => {
                return vec![
                    hint!["give each role its own secret"],
                    hint![format!("drop role {other} first, if it is not needed any more")],
                ];
            }
            Self::SecretOfOtherServer { version: Some(version), .. } => hint![format!(
                "remove the stage AWSPENDING from version {version} with `aws secretsmanager update-secret-version-stage`"
            )],
            Self::SecretOfOtherServer { .. } => hint![
                "check that the secret belongs to this server; then run ",
                Operation::Apply,
                " first: it sets the current password"
            ],
            Self::RoleMarkerDiffers { .. } => hint![
                "check that the role belongs to this application: `role_owner = true` chooses the \
                 entry; then run ",
                Operation::Apply,
                ", whose plan names the hazards to allow"
            ],
            Self::RoleMissing { .. } => hint![
                "run ",
                Operation::Apply,
                " first: it creates the role with the current password"
            ],
            Self::RoleUsesIam { .. } | Self::RoleCannotLogIn { .. } => {
                hint!["run ", Operation::Apply, " first"]
            }
            Self::RoleNotDroppable { .. } => {
                return vec![
                    "give the objects to another role, or drop them, then run again".into(),
                    hint![
                        "if you retire the role, ",
                        Opt::DropDatabase,
                        " drops its databases as well, and without ",
                        Opt::DropRole,
                        " it stays"
                    ],
                ];
            }
            Self::AuditTableAltered { .. } => {
                return vec![
                    hint![
                        "find out who has altered it; then, as an administrator, restore its definition, or rename it to keep the rows"
                    ],
                    hint!["name another table with ", Opt::AuditTable],
                ];
            }
            Self::AuditSchemaDeclared { .. } => hint![
                "remove the schema from `schemas` of the application, or name a table in another schema with ",
                Opt::AuditTable
            ],
            Self::DatabaseNotDroppable { entry: Some(application), .. } => format!(
                "write `access_level = \"none\"` in the entry of {application}, or remove the entry, \
                 then run again"
            )
            .into(),
            Self::DatabaseNotDroppable { entry: None, .. } => hint![
                "end this use, then run again; ",
                Opt::EndSessions,
                " ends the sessions of retired roles"
            ],
            Self::LoginUnverified { role, .. } => {
                hint![format!("allow role {role} to log in, then run again; nothing was changed")]
            }
            // The hint consists of the SQL statements of the remedy, and of the way out.
            Self::RoleRenamed { .. }
            | Self::RoleAttributesForbidden { .. }
            | Self::AdminOptionMissing { .. }
            | Self::AdministratorWithoutInherit { .. }
            | Self::AdministratorAttributeMissing { .. }
            | Self::DatabaseReadOnly { .. }
            | Self::SettingsTooLong { .. }
            | Self::DependentMembership { .. }
            | Self::MembershipNotRevocable { .. }
            | Self::AccessNotDeclared { .. }
            | Self::SetPasswordRestricted { .. }
            | Self::PasswordAdministrationRestricted { .. }
            | Self::DatabaseRenamed { .. }
            | Self::DatabaseOwnerInaccessible { .. }
            | Self::ObjectsInTemplate { .. }
            | Self::UnfinishedDatabaseWithObjects { .. }
            | Self::SubscriptionWouldMove { .. }
            | Self::ObjectNotTransferable { .. }
            | Self::StepOfOtherRole { .. }
            | Self::SchemaUsageMissing { .. }
            | Self::DependentGrant { .. }
            | Self::SchemaOwnerDiffers { .. }
            | Self::AuditTableNotCreatable { .. }
            | Self::PublicSchemaInaccessible { .. }
            | Self::ObjectsOfPredefinedRole { .. } => return Vec::new(),
        }]
    }

    /// Returns under which condition the SQL statements of the remedy may be executed.
    pub(super) fn condition_of_remedy(&self) -> Option<String> {
        match self {
            Self::RoleOfOtherEnvironment { environment, .. }
            | Self::DatabaseOfOtherEnvironment { environment, .. } => {
                Some(format!("if environment `{environment}` does not use it any more, "))
            }
            Self::ObjectsInTemplate { .. } => {
                Some("if no other database needs them from there, ".to_owned())
            }
            _ => None,
        }
    }

    /// Returns what the user can do instead, where the SQL statements cannot be executed.
    pub(super) fn way_out(&self) -> Option<Hint> {
        match self {
            Self::RoleRenamed { .. } => {
                Some(hint!["declare the new name in `username` of the application"])
            }
            Self::DatabaseRenamed { .. } => {
                Some(hint!["declare the new name in `database_name` of the application"])
            }
            Self::AdministratorAttributeMissing { .. } => Some(hint![
                "log in as an administrator with the attribute, with ",
                Opt::AdminSecret
            ]),
            Self::RoleAttributesForbidden { .. } | Self::DependentMembership { .. } => {
                Some(hint!["name another role in `username` of the application"])
            }
            Self::MembershipNotRevocable { group, .. } => Some(hint![format!(
                "declare {group} in `memberships` of the application, or name another role in `username`"
            )]),
            // The role of an application logs in.
            Self::AccessNotDeclared { role, database, login: true, .. } => {
                Some(hint![format!("declare the access of role {role} to database {database}")])
            }
            Self::AdminOptionMissing { role, .. } if role.as_str() != RDS_IAM => {
                Some(hint!["name another role in `username` of the application"])
            }
            Self::DatabaseOwnerInaccessible { .. } => {
                Some(hint!["name another database in `database_name` of the application"])
            }
            Self::SubscriptionWouldMove { owner, can_be_declared: true, .. } => {
                Some(hint![format!("declare role {owner} as the owner of the database")])
            }
            Self::ObjectNotTransferable { from, can_be_declared: true, .. } => {
                Some(hint![format!("declare role {from} as the owner of the database")])
            }
            _ => None,
        }
    }
}

fn in_database(database: Option<&DatabaseName>) -> String {
    database.map(|name| format!("in database {name}, ")).unwrap_or_default()
}

fn in_version(version: Option<&String>) -> String {
    version.map(|version| format!(" (version {version})")).unwrap_or_default()
}

fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {others} more") }
}

fn listed_roles(roles: &[RoleName]) -> String {
    let names: Vec<String> = roles.iter().map(|role| format!("role {role}")).collect();
    names.join(" and ")
}

fn extension_words(
    extension: &ExtensionName,
    required_by: Option<&ExtensionName>,
    database: &DatabaseName,
) -> String {
    let required = required_by.map(|other| format!(", which {other} requires,"));
    format!("extension {extension}{} in database {database}", required.unwrap_or_default())
}
