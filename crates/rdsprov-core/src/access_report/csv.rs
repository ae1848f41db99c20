//! The access report as CSV: one row for each role and database, schema, or kind of object.

use serde::Serialize;

use super::render::{list, status_words};
use super::{AccessReport, DatabaseReport, RoleReport, RoleStatus, Source};
use crate::name::SchemaName;
use crate::privilege::ObjectKind;
use crate::text::spreadsheet_cell;

/// A row. Lists have `;` between their entries.
#[derive(Default, Serialize)]
struct Row {
    timestamp_utc: String,
    environment: String,
    server: String,
    database: String,
    owner: String,
    role: String,
    login: String,
    status: String,
    application: String,
    access_level: String,
    schema: String,
    kind: String,
    privileges: String,
    on_columns: String,
    objects: String,
    all_objects: String,
    through: String,
    inherits: String,
    may_become: String,
    powers: String,
}

impl Row {
    fn texts_mut(&mut self) -> [&mut String; 20] {
        let Self { timestamp_utc, environment, server, database, owner, role, login, .. } = self;
        let Self { status, application, access_level, schema, kind, privileges, .. } = self;
        let Self {
            on_columns, objects, all_objects, through, inherits, may_become, powers, ..
        } = self;
        [
            timestamp_utc,
            environment,
            server,
            database,
            owner,
            role,
            login,
            status,
            application,
            access_level,
            schema,
            kind,
            privileges,
            on_columns,
            objects,
            all_objects,
            through,
            inherits,
            may_become,
            powers,
        ]
    }
}

impl AccessReport {
    /// Returns the report as CSV according to RFC 4180, with all roles. A spreadsheet reads no cell as a formula.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for database in &self.databases {
            if let Some(reason) = &database.unreachable {
                let row = Row { status: format!("cannot be read: {reason}"), ..self.row(database) };
                write(&mut writer, row);
            }
            for role in &database.roles {
                for row in self.rows(database, role) {
                    write(&mut writer, row);
                }
            }
        }
        // Writing to memory does not fail.
        writer
            .into_inner()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn row(&self, database: &DatabaseReport) -> Row {
        Row {
            timestamp_utc: self.origin.timestamp_utc.clone(),
            environment: self.environment.clone(),
            server: self.origin.server.clone(),
            database: database.database.to_string(),
            owner: database.owner.to_string(),
            ..Row::default()
        }
    }

    fn rows(&self, database: &DatabaseReport, role: &RoleReport) -> Vec<Row> {
        let of_role = || {
            let (application, access_level) = match &role.status {
                RoleStatus::Declared { application, access_level, .. } => {
                    (application.to_string(), access_level.to_string())
                }
                RoleStatus::NotDeclaredHere { application } => (application.clone(), String::new()),
                _ => Default::default(),
            };
            Row {
                role: role.access.role.to_string(),
                login: role.access.login.to_string(),
                status: status_words(&role.status).to_owned(),
                application,
                access_level,
                inherits: names(&role.access.inherits),
                may_become: names(&role.access.may_become),
                powers: names(&role.access.powers),
                ..self.row(database)
            }
        };
        let mut rows = vec![Row {
            kind: "database".to_owned(),
            privileges: list(&role.access.database),
            through: sources(&role.access.database_through),
            ..of_role()
        }];
        for (name, schema) in &role.access.schemas {
            let in_schema = || Row { schema: name.to_string(), ..of_role() };
            rows.push(Row {
                kind: "schema".to_owned(),
                privileges: list(&schema.privileges),
                through: sources(&schema.through),
                ..in_schema()
            });
            rows.extend(schema.objects.iter().map(|objects| Row {
                kind: objects.kind.keyword().to_lowercase(),
                privileges: list(&objects.privileges),
                on_columns: list(&objects.on_columns),
                objects: objects.count.to_string(),
                all_objects: database.all(name, objects.kind).to_string(),
                through: sources(&objects.through),
                ..in_schema()
            }));
        }
        rows
    }
}

fn write(writer: &mut csv::Writer<Vec<u8>>, mut row: Row) {
    for text in row.texts_mut() {
        *text = spreadsheet_cell(text);
    }
    let _ = writer.serialize(row);
}

fn names<T: ToString>(names: &[T]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn sources(sources: &[Source]) -> String {
    sources.iter().map(Source::words).collect::<Vec<_>>().join("; ")
}

impl DatabaseReport {
    /// Returns the number of all objects of one kind in a schema.
    pub(super) fn all(&self, schema: &SchemaName, kind: ObjectKind) -> u64 {
        self.objects.get(schema).and_then(|kinds| kinds.get(&kind)).copied().unwrap_or_default()
    }
}
