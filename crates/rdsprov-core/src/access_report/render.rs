//! The access report as text for a terminal and as Markdown.

use std::fmt::Write as _;

use super::{
    AccessReport, DatabaseReport, ObjectAccess, ReportOrigin, RoleReport, RoleStatus, SchemaAccess,
    Source,
};
use crate::name::SchemaName;
use crate::privilege::{ObjectKind, Privilege};
use crate::text::{escaped, visible, word};

/// The kinds of objects, in the order of the columns of the Markdown table.
const KINDS: [ObjectKind; 3] = [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Routine];

pub(super) fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns names of roles or schemas, each of which could contain a comma.
fn names<T: ToString>(names: &[T]) -> String {
    names.iter().map(|name| word(&name.to_string()).into_owned()).collect::<Vec<_>>().join(", ")
}

fn privileges(privileges: &[Privilege]) -> String {
    if privileges.is_empty() { "none".to_owned() } else { list(privileges) }
}

/// Which roles a text contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ShownRoles {
    /// All except administrators and predefined roles, which are named only.
    #[default]
    WithoutAdministrators,
    /// All roles.
    All,
}

/// Returns the status as JSON names it, without its data.
pub(super) fn status_words(status: &RoleStatus) -> &'static str {
    match status {
        RoleStatus::Declared { .. } => "declared",
        RoleStatus::NotDeclaredHere { .. } => "not_declared_here",
        RoleStatus::Administrator => "administrator",
        RoleStatus::Unmanaged => "unmanaged",
        RoleStatus::Public => "public",
    }
}

/// Returns where privileges come from, in brackets.
fn through(sources: &[Source]) -> String {
    if sources.is_empty() {
        return String::new();
    }
    format!(" [{}]", sources.iter().map(Source::words).collect::<Vec<_>>().join(", "))
}

impl RoleStatus {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Declared { application, access_level, declared_schemas } => {
                let schemas: Vec<&SchemaName> = declared_schemas.iter().collect();
                let schemas = match schemas.as_slice() {
                    [] => " in no schema".to_owned(),
                    [one] if one.as_str() == "public" => String::new(),
                    schemas => format!(" in {}", names(schemas)),
                };
                format!("declared as {access_level}{schemas} by {application}")
            }
            Self::NotDeclaredHere { application } => {
                format!("managed by {application}, not declared for this database")
            }
            Self::Administrator => "the administrator".to_owned(),
            Self::Unmanaged => "not managed".to_owned(),
            Self::Public => "all roles".to_owned(),
        }
    }
}

impl RoleReport {
    /// Returns the status, and the memberships from which the role gets privileges.
    fn describe(&self) -> String {
        let mut text = self.status.describe();
        if !self.access.login && self.status != RoleStatus::Public {
            text.push_str(", NOLOGIN");
        }
        for (words, roles) in
            [("inherits from", &self.access.inherits), ("may become", &self.access.may_become)]
        {
            if !roles.is_empty() {
                let _ = write!(text, "; {words} {}", names(roles));
            }
        }
        if !self.access.powers.is_empty() {
            let _ = write!(text, "; has {}", self.access.powers.join(", "));
        }
        text
    }

    /// Returns the place of the role in a text: roles that are not managed come first, and of these the
    /// roles that can log in.
    pub(super) fn rank(&self) -> (u8, bool) {
        let rank = match self.status {
            RoleStatus::Unmanaged => 0,
            RoleStatus::NotDeclaredHere { .. } => 1,
            RoleStatus::Declared { .. } => 2,
            RoleStatus::Administrator => 3,
            RoleStatus::Public => 4,
        };
        (rank, !self.access.login)
    }

    /// Returns the privileges on the database, and notes if the role cannot connect to use them.
    fn on_database(&self) -> String {
        let access = privileges(&self.access.database);
        let may_connect = self.access.database.contains(&Privilege::Connect);
        let no_connect =
            if may_connect || self.status == RoleStatus::Public { "" } else { ", no CONNECT" };
        format!("{access}{no_connect}{}", through(&self.access.database_through))
    }

    fn is_empty(&self) -> bool {
        self.access.database.is_empty() && self.access.schemas.is_empty()
    }
}

impl ObjectAccess {
    fn describe(&self, all: u64) -> String {
        let columns = if self.on_columns.is_empty() {
            String::new()
        } else {
            format!("{} on some columns", list(&self.on_columns))
        };
        let granted = match (self.privileges.is_empty(), columns.is_empty()) {
            (false, true) => list(&self.privileges),
            (false, false) => format!("{}, {columns}", list(&self.privileges)),
            (true, _) => columns,
        };
        format!("{granted} ({} of {all}){}", self.count, through(&self.through))
    }
}

impl SchemaAccess {
    fn title(&self) -> String {
        let has_usage = self.privileges.contains(&Privilege::Usage);
        let note = if !has_usage && !self.objects.is_empty() { ", no USAGE" } else { "" };
        format!("{}{note}{}", privileges(&self.privileges), through(&self.through))
    }

    fn objects_of_kind(&self, kind: ObjectKind, all: u64) -> Vec<String> {
        self.objects.iter().filter(|one| one.kind == kind).map(|one| one.describe(all)).collect()
    }
}

fn plural(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "tables",
        ObjectKind::Sequence => "sequences",
        _ => "routines",
    }
}

impl DatabaseReport {
    fn title(&self) -> String {
        let declared = if self.declared { "" } else { ", no longer declared" };
        let [database, owner] = [self.database.as_str(), self.owner.as_str()].map(word);
        format!("database {database}, owner {owner}{declared}")
    }
}

impl ReportOrigin {
    /// Returns the origin in words, without the server.
    pub(super) fn describe(&self) -> String {
        let Self { timestamp_utc, server_version, administrator, rdsprov_version, .. } = self;
        let Self { actor, os_user, host, .. } = self;
        format!(
            "PostgreSQL {server_version} as {administrator} by rdsprov {rdsprov_version} at \
             {timestamp_utc}, requested by {actor} (user {os_user} on {host})"
        )
    }
}

impl AccessReport {
    /// Returns the shown roles of a database in the order of a text, and the names of the others.
    fn shown<'a>(
        &self,
        database: &'a DatabaseReport,
        shown: ShownRoles,
    ) -> (Vec<&'a RoleReport>, Vec<String>) {
        let is_hidden = |role: &&RoleReport| {
            shown == ShownRoles::WithoutAdministrators && self.is_administrative(role)
        };
        let (hidden, mut roles): (Vec<_>, Vec<_>) = database.roles.iter().partition(is_hidden);
        roles.sort_by_key(|role| role.rank());
        (roles, hidden.iter().map(|role| role.access.role.to_string()).collect())
    }

    /// Returns the report as text for a terminal, one line for each schema and kind of object. In brackets,
    /// it shows where privileges come from.
    #[must_use]
    pub fn to_text(&self, shown: ShownRoles) -> String {
        let mut text = format!(
            "Access in environment {} on {}, as reported by PostgreSQL\n{}\n",
            visible(&self.environment),
            visible(&self.origin.server),
            visible(&self.origin.describe())
        );
        if !self.superusers.is_empty() {
            let superusers = names(&self.superusers);
            let _ = writeln!(text, "superusers (all privileges): {}", visible(&superusers));
        }
        for database in &self.databases {
            let _ = writeln!(text, "\n{}", visible(&database.title()));
            if let Some(reason) = &database.unreachable {
                let _ = writeln!(text, "  cannot be read: {}", visible(reason));
            }
            let (roles, hidden) = self.shown(database, shown);
            for role in roles {
                let start = format!("{}: {}", word(&role.access.role.to_string()), role.describe());
                let _ = writeln!(text, "  {}", visible(&start));
                if role.is_empty() {
                    let _ = writeln!(text, "    no privileges");
                    continue;
                }
                let _ = writeln!(text, "    database: {}", visible(&role.on_database()));
                for (schema, access) in &role.access.schemas {
                    let title = format!("schema {}: {}", word(schema.as_str()), access.title());
                    let _ = writeln!(text, "    {}", visible(&title));
                    for kind in KINDS {
                        for words in access.objects_of_kind(kind, database.all(schema, kind)) {
                            let words = format!("{}: {words}", plural(kind));
                            let _ = writeln!(text, "      {}", visible(&words));
                        }
                    }
                }
            }
            if !hidden.is_empty() {
                let hidden = format!("administrators and predefined roles: {}", names(&hidden));
                let _ = writeln!(text, "  {}", visible(&hidden));
            }
        }
        if self.databases.is_empty() {
            text.push_str("\nno managed database exists\n");
        }
        text
    }

    /// Returns the report as Markdown, with one table for each database.
    #[must_use]
    pub fn to_markdown(&self, shown: ShownRoles) -> String {
        let mut text = format!(
            "# Access in environment {} on {}\n\nAs reported by PostgreSQL.\nRead from {}.\n",
            escaped(&self.environment),
            escaped(&self.origin.server),
            escaped(&self.origin.describe())
        );
        if !self.superusers.is_empty() {
            let superusers = names(&self.superusers);
            let _ = writeln!(text, "Superusers (all privileges): {}.", escaped(&superusers));
        }
        for database in &self.databases {
            let _ = writeln!(text, "\n## {}\n", escaped(&database.title()));
            if let Some(reason) = &database.unreachable {
                let _ = writeln!(text, "Cannot be read: {}", escaped(reason));
                continue;
            }
            text.push_str("| role | status | database privileges | schema | schema privileges | tables | sequences | routines |\n|---|---|---|---|---|---|---|---|\n");
            let (roles, hidden) = self.shown(database, shown);
            for role in roles {
                let start = format!(
                    "| {} | {} | {} ",
                    escaped(&role.access.role.to_string()),
                    escaped(&role.describe()),
                    escaped(&role.on_database())
                );
                if role.access.schemas.is_empty() {
                    let _ = writeln!(text, "{start}| | | | | |");
                }
                for (schema, access) in &role.access.schemas {
                    let title = escaped(&access.title());
                    let _ = write!(text, "{start}| {} | {title} ", escaped(schema.as_str()));
                    for kind in KINDS {
                        let words =
                            access.objects_of_kind(kind, database.all(schema, kind)).join("; ");
                        let _ = write!(text, "| {} ", escaped(&words));
                    }
                    text.push_str("|\n");
                }
            }
            if !hidden.is_empty() {
                let hidden = escaped(&names(&hidden));
                let _ = writeln!(text, "\nAdministrators and predefined roles: {hidden}.");
            }
        }
        if self.databases.is_empty() {
            text.push_str("\nNo managed database exists.\n");
        }
        text
    }
}
