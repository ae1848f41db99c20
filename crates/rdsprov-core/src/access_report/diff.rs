//! What changed between two access reports.
//!
//! The number and the names of objects on which a role has a privilege are compared only if it is not all of
//! them, so that a new table is not a change for roles that may read all tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::{AccessReport, DatabaseReport, ObjectAccess, ReportOrigin, RoleReport, RoleStatus};
use crate::name::{DatabaseName, RoleName, SchemaName};
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege};
use crate::text::{counted, pretty_json, visible, word};

/// The value of `format_version` in the JSON form.
pub const DIFF_FORMAT_VERSION: u32 = 1;

/// A SHA-256.
type Digest = [u8; 32];

/// On which objects of one kind in a schema a role has a privilege.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Extent {
    /// Whether the role has the privilege on all objects, or on the schema or database itself. `objects`
    /// is then 0.
    pub all: bool,
    /// The number of objects on which the role has the privilege.
    pub objects: u64,
    /// The number of objects on some columns of which the role has the privilege.
    pub on_columns: u64,
    /// The digests of the names of both; `None` if they are not known.
    #[serde(skip)]
    #[schemars(skip)]
    digests: [Option<Digest>; 2],
}

/// How a role gets access otherwise than by its own privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The role inherits the privileges of another role.
    Inherits,
    /// The role may become another role.
    MayBecome,
    /// The role has an attribute or a predefined role that needs no privileges.
    HasPower,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeKind {
    /// The report contains the database for the first time.
    DatabaseAdded,
    /// The report does not contain the database any more.
    DatabaseRemoved,
    /// The database has another owner.
    OwnerChanged {
        /// The owner before.
        before: RoleName,
        /// The owner afterwards.
        after: RoleName,
    },
    /// The report contains the role for the first time.
    RoleAdded {
        /// The status of the role, in words.
        status: String,
    },
    /// The report does not contain the role any more.
    RoleRemoved {
        /// The status of the role before, in words.
        status: String,
    },
    /// The definitions or the markers say something else about the role.
    StatusChanged {
        /// The status before, in words.
        before: String,
        /// The status afterwards, in words.
        after: String,
    },
    /// The role got or lost the attribute `LOGIN`.
    LoginChanged {
        /// Whether the role may log in now.
        login: bool,
    },
    /// The role got or lost the privileges of another role, or a power.
    ReachChanged {
        /// How the role gets access.
        way: Way,
        /// The other role, or the power.
        name: String,
        /// Whether the role has it now.
        held: bool,
    },
    /// The role has a privilege on other objects than before.
    PrivilegeChanged {
        /// The schema; `null` for a privilege on the database.
        schema: Option<SchemaName>,
        /// The kind of the objects; `null` for the schema or database itself.
        kind: Option<ObjectKind>,
        /// The privilege.
        privilege: Privilege,
        /// Where the role had it; `null` if it had it nowhere.
        before: Option<Extent>,
        /// Where the role has it; `null` if it has it nowhere.
        after: Option<Extent>,
        /// Whether these are as many objects as before, but not the same ones.
        other_objects: bool,
    },
    /// A role became a superuser, which has all privileges.
    SuperuserAdded,
    /// A role is not a superuser any more, or does not exist.
    SuperuserRemoved,
}

/// A change of the access of one role, or of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccessChange {
    /// The database; `null` for a change of a superuser.
    pub database: Option<DatabaseName>,
    /// The role, `PUBLIC`, or `null` for a change of the database.
    pub role: Option<String>,
    /// What changed.
    #[serde(flatten)]
    pub kind: ChangeKind,
}

/// A database that one of the reports could not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotCompared {
    /// The database.
    pub database: DatabaseName,
    /// The error.
    pub reason: String,
}

/// What changed between two access reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccessDiff {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The environment of both reports.
    pub environment: String,
    /// The origin of the older report.
    pub before: ReportOrigin,
    /// The origin of the newer report.
    pub after: ReportOrigin,
    /// The databases that could not be compared.
    pub not_compared: Vec<NotCompared>,
    /// The changes, by database and role.
    pub changes: Vec<AccessChange>,
}

/// A schema or `None` for the database, a kind of object or `None` for the schema or database itself, and a
/// privilege on it.
type Place = (Option<SchemaName>, Option<ObjectKind>, Privilege);

impl AccessDiff {
    /// Compares two reports.
    ///
    /// # Errors
    /// Returns the reason if the reports are of different environments.
    pub fn new(before: &AccessReport, after: &AccessReport) -> Result<Self, String> {
        if before.environment != after.environment {
            return Err(format!(
                "one report is of environment {}, and the other of environment {}",
                visible(&before.environment),
                visible(&after.environment)
            ));
        }
        let mut diff = Self {
            format_version: DIFF_FORMAT_VERSION,
            environment: after.environment.clone(),
            before: before.origin.clone(),
            after: after.origin.clone(),
            not_compared: Vec::new(),
            changes: Vec::new(),
        };
        diff.compare_superusers(before, after);
        let by_name = |report: &AccessReport| -> BTreeMap<DatabaseName, DatabaseReport> {
            let databases = report.databases.iter();
            databases.map(|one| (one.database.clone(), one.clone())).collect()
        };
        let (old, new) = (by_name(before), by_name(after));
        let names: BTreeSet<&DatabaseName> = old.keys().chain(new.keys()).collect();
        for name in names {
            diff.compare_databases(name, old.get(name), new.get(name));
        }
        Ok(diff)
    }

    fn add(&mut self, database: Option<&DatabaseName>, role: Option<&str>, kind: ChangeKind) {
        let (database, role) = (database.cloned(), role.map(str::to_owned));
        self.changes.push(AccessChange { database, role, kind });
    }

    fn compare_superusers(&mut self, before: &AccessReport, after: &AccessReport) {
        let names = |report: &AccessReport| -> BTreeSet<RoleName> {
            report.superusers.iter().cloned().collect()
        };
        let (before, after) = (names(before), names(after));
        for role in after.difference(&before) {
            self.add(None, Some(role.as_str()), ChangeKind::SuperuserAdded);
        }
        for role in before.difference(&after) {
            self.add(None, Some(role.as_str()), ChangeKind::SuperuserRemoved);
        }
    }

    fn compare_databases(
        &mut self,
        name: &DatabaseName,
        before: Option<&DatabaseReport>,
        after: Option<&DatabaseReport>,
    ) {
        let unreachable =
            [before, after].into_iter().flatten().find_map(|one| one.unreachable.as_ref());
        if let Some(reason) = unreachable {
            let (database, reason) = (name.clone(), reason.clone());
            self.not_compared.push(NotCompared { database, reason });
            return;
        }
        match (before, after) {
            (None, _) => self.add(Some(name), None, ChangeKind::DatabaseAdded),
            (_, None) => self.add(Some(name), None, ChangeKind::DatabaseRemoved),
            (Some(before), Some(after)) if before.owner != after.owner => {
                let (before, after) = (before.owner.clone(), after.owner.clone());
                self.add(Some(name), None, ChangeKind::OwnerChanged { before, after });
            }
            _ => {}
        }
        let by_role = |database: Option<&DatabaseReport>| -> BTreeMap<Grantee, RoleReport> {
            let roles = database.map(|one| one.roles.as_slice()).unwrap_or_default();
            roles.iter().map(|role| (role.access.role.clone(), role.clone())).collect()
        };
        let (old, new) = (by_role(before), by_role(after));
        let roles: BTreeSet<&Grantee> = old.keys().chain(new.keys()).collect();
        for role in roles {
            let old = before.and_then(|database| Some((database, old.get(role)?)));
            let new = after.and_then(|database| Some((database, new.get(role)?)));
            self.compare_roles(name, &role.to_string(), old, new);
        }
    }

    fn compare_roles(
        &mut self,
        database: &DatabaseName,
        role: &str,
        before: Option<(&DatabaseReport, &RoleReport)>,
        after: Option<(&DatabaseReport, &RoleReport)>,
    ) {
        let mut kinds = Vec::new();
        let status = |role: &RoleReport| role.status.describe();
        match (before, after) {
            (None, Some((_, after))) if after.status != RoleStatus::Public => {
                kinds.push(ChangeKind::RoleAdded { status: status(after) });
            }
            (Some((_, before)), None) if before.status != RoleStatus::Public => {
                kinds.push(ChangeKind::RoleRemoved { status: status(before) });
            }
            (Some((_, before)), Some((_, after))) => {
                if before.status != after.status {
                    let (before, after) = (status(before), status(after));
                    kinds.push(ChangeKind::StatusChanged { before, after });
                }
                let login = after.access.login;
                if before.access.login != login {
                    kinds.push(ChangeKind::LoginChanged { login });
                }
            }
            _ => {}
        }
        let ways = |role: Option<(&DatabaseReport, &RoleReport)>| -> BTreeSet<(Way, String)> {
            let Some((_, role)) = role else { return BTreeSet::new() };
            let names = |way, names: &[RoleName]| -> Vec<(Way, String)> {
                names.iter().map(|name| (way, name.to_string())).collect()
            };
            let powers = role.access.powers.iter().map(|power| (Way::HasPower, power.clone()));
            let mut all = names(Way::Inherits, &role.access.inherits);
            all.extend(names(Way::MayBecome, &role.access.may_become));
            all.into_iter().chain(powers).collect()
        };
        let (old, new) = (ways(before), ways(after));
        for (way, name) in old.symmetric_difference(&new) {
            let held = new.contains(&(*way, name.clone()));
            kinds.push(ChangeKind::ReachChanged { way: *way, name: name.clone(), held });
        }
        let (old, new) =
            (before.map(extents).unwrap_or_default(), after.map(extents).unwrap_or_default());
        let places: BTreeSet<&Place> = old.keys().chain(new.keys()).collect();
        for place in places {
            let (before, after) = (old.get(place).copied(), new.get(place).copied());
            let other_objects = before.zip(after).is_some_and(|(old, new)| old.is_elsewhere(new));
            let numbers = |extent: Option<Extent>| extent.map(Extent::numbers);
            if other_objects || numbers(before) != numbers(after) {
                let (schema, kind, privilege) = place.clone();
                kinds.push(ChangeKind::PrivilegeChanged {
                    schema,
                    kind,
                    privilege,
                    before,
                    after,
                    other_objects,
                });
            }
        }
        for kind in kinds {
            self.add(Some(database), Some(role), kind);
        }
    }

    /// Returns whether both reports are equal, apart from their origin.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Returns whether each database could be compared.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.not_compared.is_empty()
    }

    /// Returns the changes as indented JSON, whose schema is
    /// [`Document::AccessDiff`](crate::schema::Document::AccessDiff).
    ///
    /// # Errors
    /// Never returns an error in practice, because the changes contain plain data only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }

    /// Returns the changes as text, one line each: `+` is more access, `-` less, and `~` other access.
    #[must_use]
    pub fn to_text(&self) -> String {
        let origin =
            |origin: &ReportOrigin| format!("{} ({})", origin.timestamp_utc, origin.server);
        let mut text = format!(
            "Changes of access in environment {}\nbefore: {}\nafter:  {}\n",
            visible(&self.environment),
            visible(&origin(&self.before)),
            visible(&origin(&self.after))
        );
        for NotCompared { database, reason } in &self.not_compared {
            let line = format!("database {} cannot be compared: {reason}", word(database.as_str()));
            let _ = writeln!(text, "\n{}", visible(&line));
        }
        let mut last = None;
        for change in &self.changes {
            if last != Some(&change.database) {
                let title = match &change.database {
                    Some(database) => format!("database {}", word(database.as_str())),
                    None => "superusers".to_owned(),
                };
                let _ = writeln!(text, "\n{}", visible(&title));
                last = Some(&change.database);
            }
            let (sign, words) = change.words();
            let _ = writeln!(text, "  {sign} {}", visible(&words));
        }
        let summary = match self.changes.len() {
            0 => "No change of access.".to_owned(),
            count => format!("{} of access.", counted(count, "change")),
        };
        text + "\n" + &summary + "\n"
    }
}

impl AccessChange {
    /// Returns the sign and the words of a line.
    fn words(&self) -> (char, String) {
        let of_role = |words: String| {
            let role = self.role.as_deref().map(word).unwrap_or_default();
            format!("{role}: {words}")
        };
        match &self.kind {
            ChangeKind::DatabaseAdded => ('+', "the database is new in the report".to_owned()),
            ChangeKind::DatabaseRemoved => {
                ('-', "the database is not in the report any more".to_owned())
            }
            ChangeKind::OwnerChanged { before, after } => {
                ('~', format!("owner {}, before {}", word(after.as_str()), word(before.as_str())))
            }
            ChangeKind::RoleAdded { status } => {
                ('+', of_role(format!("new in the report, {status}")))
            }
            ChangeKind::RoleRemoved { status } => {
                ('-', of_role(format!("not in the report any more, before {status}")))
            }
            ChangeKind::StatusChanged { before, after } => {
                ('~', of_role(format!("{after}, before {before}")))
            }
            ChangeKind::LoginChanged { login: true } => ('+', of_role("LOGIN".to_owned())),
            ChangeKind::LoginChanged { login: false } => ('-', of_role("LOGIN".to_owned())),
            ChangeKind::ReachChanged { way, name, held } => {
                let way = match way {
                    Way::Inherits => "inherits from",
                    Way::MayBecome => "may become",
                    Way::HasPower => "has",
                };
                let name = word(name);
                (if *held { '+' } else { '-' }, of_role(format!("{way} {name}")))
            }
            ChangeKind::PrivilegeChanged {
                schema,
                kind,
                privilege,
                before,
                after,
                other_objects,
            } => {
                let place = place(schema.as_ref(), *kind);
                match (before, after) {
                    (None, Some(after)) => {
                        ('+', of_role(format!("{privilege} on {}{place}", after.words(*kind))))
                    }
                    (Some(before), None) => {
                        ('-', of_role(format!("{privilege} on {}{place}", before.words(*kind))))
                    }
                    (before, after) => {
                        let words =
                            |extent: &Option<Extent>| extent.unwrap_or_default().words(*kind);
                        let (before, after) = (words(before), words(after));
                        let before = match other_objects {
                            true => "other ones".to_owned(),
                            false => before,
                        };
                        let words = format!("{privilege} on {after}{place}, before on {before}");
                        ('~', of_role(words))
                    }
                }
            }
            ChangeKind::SuperuserAdded => ('+', of_role("superuser".to_owned())),
            ChangeKind::SuperuserRemoved => ('-', of_role("superuser".to_owned())),
        }
    }
}

/// Returns the place of a privilege in words: after objects, their schema.
fn place(schema: Option<&SchemaName>, kind: Option<ObjectKind>) -> String {
    match (schema.map(|schema| word(schema.as_str())), kind) {
        (None, _) => "the database".to_owned(),
        (Some(schema), None) => format!("schema {schema}"),
        (Some(schema), Some(_)) => format!(" in schema {schema}"),
    }
}

impl Extent {
    /// Returns what is compared of reports that do not contain digests.
    fn numbers(self) -> (bool, u64, u64) {
        (self.all, self.objects, self.on_columns)
    }

    /// Returns whether these are as many objects as others, but not the same ones.
    fn is_elsewhere(self, other: Self) -> bool {
        let mut digests = self.digests.into_iter().zip(other.digests);
        self.numbers() == other.numbers()
            && digests.any(|(one, other)| one.zip(other).is_some_and(|(one, other)| one != other))
    }

    /// Adds objects. The privilege concerns whole objects, or columns of them.
    fn add(&mut self, objects: &ObjectAccess, privilege: Privilege, on_columns: bool) {
        let number = if on_columns { &mut self.on_columns } else { &mut self.objects };
        *number += objects.count;
        let digest = objects.digests.get(&privilege);
        self.digests[usize::from(on_columns)] = digest.and_then(|text| parse_digest(text));
    }

    /// Returns the objects in words: `all tables`, `3 tables`, `some columns of 1 table`.
    fn words(self, kind: Option<ObjectKind>) -> String {
        let Some(noun) = kind.map(|kind| kind.keyword().to_lowercase()) else {
            return String::new();
        };
        let [objects, columns] = [self.objects, self.on_columns].map(|one| counted(one, &noun));
        match self {
            Self { all: true, .. } => format!("all {noun}s"),
            Self { objects: 0, .. } => format!("some columns of {columns}"),
            Self { on_columns: 0, .. } => objects,
            _ => format!("{objects}, and on some columns of {columns},"),
        }
    }
}

/// Returns the bytes of a digest in hexadecimal form.
fn parse_digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if !text.is_ascii() || text.len() != 2 * digest.len() {
        return None;
    }
    for (number, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * number..2 * number + 2], 16).ok()?;
    }
    Some(digest)
}

/// Returns where a role has each privilege.
fn extents((database, role): (&DatabaseReport, &RoleReport)) -> BTreeMap<Place, Extent> {
    let whole = Extent { all: true, ..Extent::default() };
    let mut extents: BTreeMap<Place, Extent> = BTreeMap::new();
    for privilege in &role.access.database {
        extents.insert((None, None, *privilege), whole);
    }
    for (name, schema) in &role.access.schemas {
        for privilege in &schema.privileges {
            extents.insert((Some(name.clone()), None, *privilege), whole);
        }
        for objects in &schema.objects {
            let place =
                |privilege: &Privilege| (Some(name.clone()), Some(objects.kind), *privilege);
            for privilege in &objects.privileges {
                extents.entry(place(privilege)).or_default().add(objects, *privilege, false);
            }
            for privilege in &objects.on_columns {
                extents.entry(place(privilege)).or_default().add(objects, *privilege, true);
            }
        }
        for ((schema, kind, _), extent) in &mut extents {
            if let (Some(schema), Some(kind)) = (schema, kind)
                && schema == name
                && extent.objects == database.all(name, *kind)
            {
                *extent = whole;
            }
        }
    }
    extents
}
