//! Refusals: why a plan must not be applied, each with a stable code, a fact and a hint.
//!
//! [`kind`] lists the rules with their data, [`text`] contains every sentence about them. The
//! planner chooses a kind and a [`Remedy`]; it writes no sentences.

mod by_hint;
mod kind;
mod text;

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use by_hint::{RefusalsByHint, adoption, by_hint};
pub use kind::{AdminOptionPurpose, RefusalCode, RefusalKind};

use crate::hint::{Hint, Neutral, Opt, Part, Wording};
use crate::name::{ApplicationName, DatabaseName, RoleName};
use crate::plan::Statement;

/// A reason why a plan must not be applied. A plan with a refusal changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The application whose entry leads to the refusal.
    pub application: ApplicationName,
    /// The rule, with its data.
    pub kind: RefusalKind,
    /// The SQL statement that ends the refusal, if there is one.
    pub remedy: Remedy,
}

impl RefusalKind {
    /// Returns whether the reason is in one database, so that it says nothing about its role elsewhere. The
    /// owner of the database can cause some of these.
    pub(crate) fn is_of_database(&self) -> bool {
        match self {
            Self::StepOfOtherRole { database, .. } | Self::SchemaUsageMissing { database, .. } => {
                database.is_some()
            }
            Self::AccessNotDeclared { .. }
            | Self::AdministratorDatabase { .. }
            | Self::DatabaseRenamed { .. }
            | Self::DatabaseNotManaged { .. }
            | Self::DatabaseOfOtherEnvironment { .. }
            | Self::DatabaseUnreachable { .. }
            | Self::DatabaseTooLarge { .. }
            | Self::DatabaseReadOnly { .. }
            | Self::DatabaseOwnerUndeclared { .. }
            | Self::DatabaseOwnerDiffers { .. }
            | Self::DatabaseOwnerInaccessible { .. }
            | Self::OwnerEntryMissing { .. }
            | Self::ObjectsInTemplate { .. }
            | Self::UnfinishedDatabaseWithObjects { .. }
            | Self::CreatorMissing { .. }
            | Self::SubscriptionWouldMove { .. }
            | Self::ObjectNotTransferable { .. }
            | Self::ObjectsOfDeclaredRole { .. }
            | Self::ObjectsOfPredefinedRole { .. }
            | Self::DependentGrant { .. }
            | Self::SchemaMissing { .. }
            | Self::SchemaOwnerDiffers { .. }
            | Self::PublicSchemaInaccessible { .. }
            | Self::SettingRejected { .. }
            | Self::SettingsTooLong { .. }
            | Self::SettingNotResettable { .. }
            | Self::ExtensionUnavailable { .. }
            | Self::ExtensionMissing { .. }
            | Self::ExtensionNotAllowed { .. }
            | Self::ExtensionWithoutSchema { .. }
            | Self::ExtensionNotTrusted { .. }
            | Self::ExtensionNotGrantable { .. }
            | Self::ExtensionSchemaShared { .. } => true,
            // Others concern a role, its secret or the administrator.
            _ => false,
        }
    }
}

/// SQL statements that a role with more privileges can execute so that a plan is no longer refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManualFix {
    /// The database in which the statements must run, or `None` if they can run in any.
    pub database: Option<DatabaseName>,
    /// One statement, or several with `;` between them.
    pub sql: String,
}

impl From<Statement> for ManualFix {
    fn from(statement: Statement) -> Self {
        Self { database: None, sql: statement.redacted() }
    }
}

impl From<Vec<Statement>> for ManualFix {
    fn from(statements: Vec<Statement>) -> Self {
        let statements: Vec<String> = statements.iter().map(Statement::redacted).collect();
        Self { database: None, sql: statements.join("; ") }
    }
}

impl ManualFix {
    /// Sets the database in which the statements must run; `None` if they can run in any.
    pub(in crate::plan) fn in_database<'a>(
        mut self,
        database: impl Into<Option<&'a DatabaseName>>,
    ) -> Self {
        self.database = database.into().cloned();
        self
    }
}

/// The role that can execute a manual fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Executor {
    /// The role as which rdsprov connects.
    Administrator,
    /// The role that RDS creates with the DB instance, or another member of `rds_superuser`.
    MasterUser,
    /// A superuser. On RDS, only `rdsadmin` is one, and no user can log in as it.
    Superuser,
    /// The role with this name.
    Role(RoleName),
}

impl fmt::Display for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrator => f.write_str("the administrator"),
            Self::MasterUser => f.write_str("the RDS master user (a member of rds_superuser)"),
            Self::Superuser => f.write_str("a superuser"),
            Self::Role(role) => write!(f, "role {role}"),
        }
    }
}

/// What must happen before the statements of a [`Remedy::RunLater`] can be executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preparation {
    /// The plan is applied without the refused part: the statements name what it creates.
    ApplyRest,
    /// The plan is applied without the extension: the statement names what it creates.
    ApplyWithoutExtension,
    /// The role of an application is created and adopted.
    CreateRole(RoleName),
    /// The delegate is created and adopted.
    CreateDelegate(RoleName),
}

/// The SQL statements that end a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// No statement ends it.
    None,
    /// A role can execute the statements at once.
    Run(Executor, ManualFix),
    /// A role can execute the statements after a preparation, because they name what
    /// does not exist yet.
    RunLater(Preparation, Executor, ManualFix),
}

/// The beginning of a hint with statements that only a superuser can execute.
const NOT_ON_RDS: &str = "not possible on RDS; on another server, ";

impl Remedy {
    /// Returns the parts of the hint that name the statements.
    pub(in crate::plan) fn parts(&self) -> Vec<Part> {
        let run = |executor: &Executor, fix: &ManualFix| {
            let place = fix.database.as_ref().map(|name| format!(" in database {name}"));
            format!("run as {executor}{}: {};", place.unwrap_or_default(), fix.sql)
        };
        let place = |executor: &Executor| match executor {
            Executor::Superuser => Some(NOT_ON_RDS.into()),
            _ => None,
        };
        let mut parts: Vec<Part> = Vec::new();
        match self {
            Self::None => {}
            Self::Run(executor, fix) => {
                parts.extend(place(executor));
                parts.push(run(executor, fix).into());
            }
            Self::RunLater(preparation, executor, fix) => {
                parts.extend(place(executor));
                let run = run(executor, fix);
                parts.extend(match preparation {
                    Preparation::ApplyRest => vec![
                        "remove this part from the definitions, apply the rest, then ".into(),
                        run.into(),
                    ],
                    Preparation::ApplyWithoutExtension => vec![
                        "remove it from `extensions`, apply the rest, then ".into(),
                        run.into(),
                    ],
                    Preparation::CreateRole(role) => vec![
                        format!("create role {role} as the administrator, set `adopt = true`, then {run}")
                            .into(),
                    ],
                    Preparation::CreateDelegate(role) => vec![
                        format!("create role {role}, adopt it with ").into(),
                        Opt::Adopt.into(),
                        format!(", and {run}").into(),
                    ],
                });
            }
        }
        parts
    }
}

impl Refusal {
    /// Creates a refusal that no single statement ends.
    #[must_use]
    pub fn new(application: &ApplicationName, kind: RefusalKind) -> Self {
        Self { application: application.clone(), kind, remedy: Remedy::None }
    }

    /// Returns the code of the rule: `role-not-managed`.
    #[must_use]
    pub fn code(&self) -> RefusalCode {
        RefusalCode::from(&self.kind)
    }

    /// Returns the fact: what is refused and why, in one sentence.
    #[must_use]
    pub fn message(&self) -> String {
        self.kind.fact()
    }

    /// Returns what to do about it, in one text.
    #[must_use]
    pub fn hint(&self) -> Hint {
        Hint::joined(&self.hints())
    }

    /// Returns what to do about it: alternatives, of which each but the first begins with `or`.
    #[must_use]
    pub fn hints(&self) -> Vec<Hint> {
        let mut alternatives = self.kind.advice(&self.application);
        let remedy = self.remedy.parts();
        if !remedy.is_empty() {
            let condition = self.kind.condition_of_remedy().map(Part::from);
            alternatives.push(condition.into_iter().chain(remedy).collect());
        }
        alternatives.extend(self.kind.way_out());
        let or = |hint: &Hint| {
            let (or, rest) = match hint.parts() {
                [Part::Text(first), rest @ ..] if first == NOT_ON_RDS => {
                    ("or, on a server other than RDS, ", rest)
                }
                parts => ("or ", parts),
            };
            [Part::from(or)].iter().chain(rest).cloned().collect()
        };
        alternatives
            .iter()
            .enumerate()
            .map(|(number, hint)| if number == 0 { hint.clone() } else { or(hint) })
            .collect()
    }

    /// Returns the refusal with its sentences, the hint as a front end words it.
    #[must_use]
    pub fn worded(&self, wording: &dyn Wording) -> WordedRefusal<'_> {
        WordedRefusal {
            application: &self.application,
            code: self.code(),
            message: self.message(),
            hint: self.hint().worded(wording),
            manual_fix: self.worded_fix(),
        }
    }

    fn worded_fix(&self) -> Option<WordedFix<'_>> {
        match &self.remedy {
            Remedy::Run(executor, ManualFix { database, sql }) => {
                Some(WordedFix { executor, database: database.as_ref(), sql })
            }
            Remedy::None | Remedy::RunLater(..) => None,
        }
    }

    /// Returns the statements that can be executed at once, if there are any.
    #[must_use]
    pub fn manual_fix(&self) -> Option<&ManualFix> {
        match &self.remedy {
            Remedy::Run(_, fix) => Some(fix),
            Remedy::None | Remedy::RunLater(..) => None,
        }
    }
}

/// A refusal with its sentences, as JSON contains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub struct WordedRefusal<'a> {
    /// The application whose entry leads to the refusal.
    pub application: &'a ApplicationName,
    /// The rule: `rdsprov explain CODE` describes it.
    pub code: RefusalCode,
    /// The fact, in one sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// The statements that end the refusal, if a role can execute them at once.
    pub manual_fix: Option<WordedFix<'a>>,
}

/// SQL statements that end a refusal, and who can execute them, as JSON contains them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ManualFix")]
pub struct WordedFix<'a> {
    /// Who can execute the statements.
    pub executor: &'a Executor,
    /// The database in which the statements must run, or `None` if they can run in any.
    pub database: Option<&'a DatabaseName>,
    /// One statement, or several with `;` between them.
    pub sql: &'a str,
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.worded(&Neutral).serialize(serializer)
    }
}

impl JsonSchema for Refusal {
    fn schema_name() -> Cow<'static, str> {
        WordedRefusal::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        WordedRefusal::json_schema(generator)
    }
}

/// The data of refusals, without sentences: for the digest, and for findings that are
/// stored and read again.
pub(super) mod stored {
    use super::*;

    #[derive(Serialize)]
    struct Written<'a>(&'a ApplicationName, &'a RefusalKind, &'a Remedy);

    #[derive(Deserialize)]
    struct Read(ApplicationName, RefusalKind, Remedy);

    pub(in crate::plan) fn serialize<S: Serializer>(
        refusals: &[Refusal],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let written = refusals.iter().map(|one| Written(&one.application, &one.kind, &one.remedy));
        serializer.collect_seq(written)
    }

    pub(in crate::plan) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Refusal>, D::Error> {
        let read = Vec::<Read>::deserialize(deserializer)?;
        let refusal = |Read(application, kind, remedy)| Refusal { application, kind, remedy };
        Ok(read.into_iter().map(refusal).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal() -> Refusal {
        let fix = ManualFix {
            database: Some(DatabaseName::new_unchecked("shop")),
            sql: "ALTER SCHEMA \"app\" OWNER TO \"shop_owner\"".to_owned(),
        };
        Refusal {
            application: ApplicationName::for_delegates(),
            kind: RefusalKind::SchemaOwnerDiffers {
                schema: crate::name::SchemaName::new_unchecked("app"),
                database: DatabaseName::new_unchecked("shop"),
                owner: RoleName::new_unchecked("legacy"),
                declared: RoleName::new_unchecked("shop_owner"),
                can_be_allowed: true,
            },
            remedy: Remedy::Run(Executor::Superuser, fix),
        }
    }

    #[test]
    fn a_hint_names_options_and_statements() {
        assert_eq!(
            refusal().hint().to_string(),
            "transfer schema app to shop_owner with the option `allow` with the value `changes_owner`; \
             or, on a server other than RDS, run as a superuser in database shop: ALTER SCHEMA \"app\" OWNER TO \"shop_owner\";"
        );
        assert_eq!(refusal().code().name(), "schema-owner-differs");
    }

    #[test]
    fn sentences_contain_no_flags() {
        for source in [include_str!("text.rs"), include_str!("mod.rs"), include_str!("../note.rs")]
        {
            let flags = concat!("-", "-");
            assert!(!source.contains(flags), "a front end spells its options itself");
        }
    }

    #[test]
    fn refusals_are_stored_with_their_data() {
        let findings = crate::plan::SecretFindings {
            refusals: vec![refusal()],
            ..crate::plan::SecretFindings::default()
        };
        let text = serde_json::to_string(&findings).unwrap();
        let read: crate::plan::SecretFindings = serde_json::from_str(&text).unwrap();
        assert_eq!(read, findings);
    }

    #[test]
    fn codes_are_parsed() {
        for code in RefusalCode::all() {
            assert_eq!(code.to_string().parse(), Ok(code));
        }
    }
}
