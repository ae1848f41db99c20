//! Holdings as people read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{AccessReport, DatabaseReport, ObjectAccess, RoleReport, RoleStatus, SchemaAccess};
use crate::name::SchemaName;
use crate::observed::Grantee;
use crate::plan::{escaped, visible};
use crate::privilege::{ObjectKind, Privilege};

/// The kinds, in the order of the table's columns.
const KINDS: [ObjectKind; 3] = [ObjectKind::Table, ObjectKind::Sequence, ObjectKind::Routine];

fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn privileges(privileges: &[Privilege]) -> String {
    if privileges.is_empty() { "nothing".to_owned() } else { list(privileges) }
}

fn name(role: &Grantee) -> &str {
    match role {
        Grantee::Public => "PUBLIC",
        Grantee::Role(name) => name.as_str(),
    }
}

impl RoleStatus {
    fn describe(&self) -> String {
        match self {
            Self::Declared { application, access_level, declared_schemas } => {
                let schemas: Vec<&SchemaName> = declared_schemas.iter().collect();
                let schemas = if matches!(schemas.as_slice(), [one] if one.as_str() == "public") {
                    String::new()
                } else {
                    format!(" in {}", list(&schemas))
                };
                format!("declared as {access_level}{schemas} by {application}")
            }
            Self::NotDeclaredHere { application } => {
                format!("managed by {application}, not declared for this database")
            }
            Self::Administrator => "the administrator".to_owned(),
            Self::Unmanaged => "not managed".to_owned(),
            Self::Public => "everybody".to_owned(),
        }
    }
}

impl RoleReport {
    /// What it is, and how it comes to hold what it holds.
    fn describe(&self) -> String {
        let mut text = self.status.describe();
        if !self.access.login && self.status != RoleStatus::Public {
            text.push_str(", NOLOGIN");
        }
        for (words, roles) in
            [("has what", &self.access.inherits), ("may become", &self.access.may_become)]
        {
            if !roles.is_empty() {
                let _ = write!(text, "; {words} {}", list(roles));
                if words == "has what" {
                    text.push_str(" may");
                }
            }
        }
        text
    }

    /// What it may do with the database.
    fn on_database(&self) -> String {
        let access = privileges(&self.access.database);
        let reaches = self.access.database.contains(&Privilege::Connect);
        if reaches || self.status == RoleStatus::Public {
            access
        } else {
            format!("{access}, out of reach")
        }
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
        let what = match (self.privileges.is_empty(), columns.is_empty()) {
            (false, true) => list(&self.privileges),
            (false, false) => format!("{}, {columns}", list(&self.privileges)),
            (true, _) => columns,
        };
        format!("{what} ({} of {all})", self.count)
    }
}

impl SchemaAccess {
    fn title(&self) -> String {
        let owns = if self.owner { ", owned" } else { "" };
        let reaches = self.privileges.contains(&Privilege::Usage);
        let note = if !reaches && !self.objects.is_empty() { ", out of reach" } else { "" };
        format!("{}{owns}{note}", privileges(&self.privileges))
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
        format!("database {}, owner {}{declared}", self.database, self.owner)
    }

    fn all(&self, schema: &SchemaName, kind: ObjectKind) -> u64 {
        let of_schema: Option<&BTreeMap<_, _>> = self.objects.get(schema);
        of_schema.and_then(|kinds| kinds.get(&kind)).copied().unwrap_or_default()
    }
}

impl AccessReport {
    /// Text for a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "Access in environment {} on {}, as PostgreSQL says\n",
            self.environment, self.server
        );
        if !self.superusers.is_empty() {
            let _ =
                writeln!(text, "superusers, who may do all: {}", visible(&list(&self.superusers)));
        }
        for database in &self.databases {
            let _ = writeln!(text, "\n{}", visible(&database.title()));
            if let Some(reason) = &database.unreachable {
                let _ = writeln!(text, "  not looked at: {}", visible(reason));
            }
            for role in &database.roles {
                let who = format!("{}: {}", name(&role.access.role), role.describe());
                let _ = writeln!(text, "  {}", visible(&who));
                if role.is_empty() {
                    let _ = writeln!(text, "    nothing");
                    continue;
                }
                let _ = writeln!(text, "    database: {}", role.on_database());
                for (schema, access) in &role.access.schemas {
                    let title = format!("schema {schema}: {}", access.title());
                    let _ = writeln!(text, "    {}", visible(&title));
                    for kind in KINDS {
                        for words in access.objects_of_kind(kind, database.all(schema, kind)) {
                            let _ = writeln!(text, "      {}: {words}", plural(kind));
                        }
                    }
                }
            }
        }
        if self.databases.is_empty() {
            text.push_str("\nno managed database is there\n");
        }
        text
    }

    /// Tables of Markdown, one for each database.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "# Access in environment {} on {}\n\nAs PostgreSQL says.\n",
            escaped(&self.environment),
            escaped(&self.server)
        );
        if !self.superusers.is_empty() {
            let _ =
                writeln!(text, "Superusers, who may do all: {}.", escaped(&list(&self.superusers)));
        }
        for database in &self.databases {
            let _ = writeln!(text, "\n## {}\n", escaped(&database.title()));
            if let Some(reason) = &database.unreachable {
                let _ = writeln!(text, "Not looked at: {}", escaped(reason));
                continue;
            }
            text.push_str("| role | what it is | database | schema | on the schema | tables | sequences | routines |\n|---|---|---|---|---|---|---|---|\n");
            for role in &database.roles {
                let who = format!(
                    "| {} | {} | {} ",
                    escaped(name(&role.access.role)),
                    escaped(&role.describe()),
                    role.on_database()
                );
                if role.access.schemas.is_empty() {
                    let _ = writeln!(text, "{who}| | | | | |");
                }
                for (schema, access) in &role.access.schemas {
                    let _ =
                        write!(text, "{who}| {} | {} ", escaped(schema.as_str()), access.title());
                    for kind in KINDS {
                        let words =
                            access.objects_of_kind(kind, database.all(schema, kind)).join("; ");
                        let _ = write!(text, "| {words} ");
                    }
                    text.push_str("|\n");
                }
            }
        }
        if self.databases.is_empty() {
            text.push_str("\nNo managed database is there.\n");
        }
        text
    }
}
