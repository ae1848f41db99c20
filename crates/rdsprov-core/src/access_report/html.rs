//! The access report as one HTML file, which loads nothing: a table of roles and databases with filters.
//!
//! The data is JSON in a `script` element that is not executed. The content security policy allows the script
//! and the style of this file by their hashes, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::render::{list, status_words};
use super::{AccessReport, DatabaseReport, ObjectAccess, RoleReport, SchemaAccess, Source};
use crate::name::{RoleName, SchemaName};
use crate::observed::Grantee;
use crate::privilege::{ObjectKind, Privilege};
use crate::text::visible;

const PAGE: &str = include_str!("html/report.html");
const SCRIPT: &str = include_str!("html/report.js");
const STYLE: &str = include_str!("html/report.css");

/// The access of a role in one word, for a cell of the table. A later variant is more access.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    None,
    /// The role can become another role.
    Become,
    /// It has privileges that it cannot use without `CONNECT` or `USAGE`.
    Unusable,
    Connect,
    Read,
    Write,
    Owner,
}

#[derive(Serialize)]
struct Page {
    databases: Vec<Database>,
    roles: Vec<Role>,
}

#[derive(Serialize)]
struct Database {
    name: String,
    owner: String,
    application: String,
    declared: bool,
    unreachable: Option<String>,
    schemas: Vec<String>,
}

/// A role, with its access to each database in which the report contains it.
#[derive(Serialize)]
struct Role {
    name: String,
    login: bool,
    administrative: bool,
    public: bool,
    access: Vec<Access>,
}

#[derive(Serialize)]
struct Access {
    /// The number of the database.
    database: usize,
    status: &'static str,
    description: String,
    level: Level,
    privileges: String,
    through: Vec<String>,
    inherits: Vec<String>,
    may_become: Vec<String>,
    powers: Vec<String>,
    schemas: Vec<Schema>,
}

#[derive(Serialize)]
struct Schema {
    name: String,
    level: Level,
    privileges: String,
    through: Vec<String>,
    objects: Vec<Objects>,
}

#[derive(Serialize)]
struct Objects {
    kind: String,
    privileges: String,
    on_columns: String,
    count: u64,
    all: u64,
    through: Vec<String>,
}

/// The number of a database, its report, and that of one role in it.
type OfDatabase<'a> = (usize, &'a DatabaseReport, &'a RoleReport);

impl AccessReport {
    /// Returns the report as one HTML file with all roles. A browser loads nothing else for it.
    ///
    /// # Errors
    /// Never returns an error in practice, because the report contains plain data only.
    pub fn to_html(&self) -> Result<String, serde_json::Error> {
        let data = script_safe(&serde_json::to_string(&self.page())?);
        let title = format!("Access in environment {} on {}", self.environment, self.origin.server);
        let superusers = match self.superusers.as_slice() {
            [] => String::new(),
            names => {
                format!("Superusers, which have all privileges: {}.", self::names(names).join(", "))
            }
        };
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'",
            hash(SCRIPT),
            hash(STYLE)
        );
        let parts = [
            ("policy", policy),
            ("title", html(&title)),
            ("origin", html(&self.origin.describe())),
            ("superusers", html(&superusers)),
            ("style", STYLE.to_owned()),
            ("script", SCRIPT.to_owned()),
            ("data", data),
        ];
        Ok(filled(PAGE, &parts))
    }

    fn page(&self) -> Page {
        let mut roles: Vec<(&Grantee, Vec<OfDatabase<'_>>)> = Vec::new();
        let mut positions = std::collections::BTreeMap::new();
        for (number, database) in self.databases.iter().enumerate() {
            for role in &database.roles {
                let name = &role.access.role;
                let position = *positions.entry(name).or_insert_with(|| {
                    roles.push((name, Vec::new()));
                    roles.len() - 1
                });
                roles[position].1.push((number, database, role));
            }
        }
        // The place of a role is that of its least expected access.
        roles.sort_by_cached_key(|(name, access)| {
            let rank = access.iter().map(|(_, _, role)| role.rank()).min();
            let is_administrative = access.iter().any(|(_, _, role)| self.is_administrative(role));
            (name.role().is_none(), is_administrative, rank, (*name).clone())
        });
        let databases = self.databases.iter().map(|database| Database {
            name: visible(database.database.as_str()),
            owner: visible(database.owner.as_str()),
            application: visible(&database.application),
            declared: database.declared,
            unreachable: database.unreachable.as_deref().map(visible),
            schemas: database.objects_and_schemas().into_iter().map(visible).collect(),
        });
        let roles = roles.iter().map(|(name, access)| Role {
            name: visible(&name.to_string()),
            login: access.iter().any(|(_, _, role)| role.access.login),
            administrative: access.iter().any(|(_, _, role)| self.is_administrative(role)),
            public: name.role().is_none(),
            access: access
                .iter()
                .map(|(number, database, role)| cell(*number, database, role))
                .collect(),
        });
        Page { databases: databases.collect(), roles: roles.collect() }
    }
}

impl DatabaseReport {
    /// Returns the schemas in which a role has privileges, or that contain objects.
    fn objects_and_schemas(&self) -> Vec<&str> {
        let of_roles = self.roles.iter().flat_map(|role| role.access.schemas.keys());
        let mut names: Vec<&str> =
            of_roles.chain(self.objects.keys()).map(SchemaName::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn cell(number: usize, database: &DatabaseReport, role: &RoleReport) -> Access {
    let access = &role.access;
    let connects = access.database.contains(&Privilege::Connect);
    let schemas: Vec<Schema> = access
        .schemas
        .iter()
        .map(|(name, schema)| Schema {
            name: visible(name.as_str()),
            level: schema.level(connects),
            privileges: list(&schema.privileges),
            through: sources(&schema.through),
            objects: schema
                .objects
                .iter()
                .map(|one| one.cell(database.all(name, one.kind)))
                .collect(),
        })
        .collect();
    let own = match (access.database_through.contains(&Source::Owner), connects) {
        (true, _) => Level::Owner,
        (_, true) => Level::Connect,
        (_, false) if !access.database.is_empty() => Level::Unusable,
        _ if access.may_become.is_empty() && access.powers.is_empty() => Level::None,
        _ => Level::Become,
    };
    Access {
        database: number,
        status: status_words(&role.status),
        description: visible(&role.status.describe()),
        level: schemas.iter().map(|schema| schema.level).fold(own, Level::max),
        privileges: list(&access.database),
        through: sources(&access.database_through),
        inherits: names(&access.inherits),
        may_become: names(&access.may_become),
        powers: access.powers.iter().map(|power| visible(power)).collect(),
        schemas,
    }
}

impl SchemaAccess {
    fn level(&self, connects: bool) -> Level {
        let usable = connects && self.privileges.contains(&Privilege::Usage);
        let held = |privileges: &[Privilege]| {
            self.objects.iter().filter(|one| one.kind != ObjectKind::Routine).any(|one| {
                one.privileges.iter().chain(&one.on_columns).any(|held| privileges.contains(held))
            })
        };
        let writes = [Privilege::Insert, Privilege::Update, Privilege::Delete, Privilege::Truncate];
        if !usable {
            Level::Unusable
        } else if self.owner {
            Level::Owner
        } else if held(&writes) {
            Level::Write
        } else if held(&[Privilege::Select]) {
            Level::Read
        } else {
            Level::Connect
        }
    }
}

impl ObjectAccess {
    fn cell(&self, all: u64) -> Objects {
        Objects {
            kind: self.kind.keyword().to_lowercase(),
            privileges: list(&self.privileges),
            on_columns: list(&self.on_columns),
            count: self.count,
            all,
            through: sources(&self.through),
        }
    }
}

fn names(names: &[RoleName]) -> Vec<String> {
    names.iter().map(|name| visible(name.as_str())).collect()
}

fn sources(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| visible(&source.words())).collect()
}

/// Escapes a text for an element or a quoted attribute.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes JSON for a `script` element, which `</script` or `<!--` would end or change.
fn script_safe(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Returns the source expression of an inline script or style in a content security policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Returns a template in which each `{{name}}` is replaced. What is inserted is not searched again.
fn filled(template: &str, parts: &[(&str, String)]) -> String {
    let mut text = String::new();
    let mut pieces = template.split("{{");
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        let part = parts.iter().find(|(known, _)| *known == name);
        text.push_str(part.map(|(_, part)| part.as_str()).unwrap_or_default());
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{202e}{{data}}<!--";

    fn report() -> AccessReport {
        let schema = serde_json::json!({
            "owner": false, "privileges": ["USAGE"], "through": ["public"],
            "objects": [{
                "kind": "table", "privileges": ["SELECT"], "on_columns": [], "count": 1, "through": ["grant"]
            }]
        });
        let role = serde_json::json!({
            "status": "unmanaged", "role": HOSTILE, "login": true, "inherits": [HOSTILE],
            "may_become": [], "powers": [], "database": ["CONNECT"],
            "database_through": [{ "role": HOSTILE }], "schemas": { HOSTILE: schema }
        });
        let database = serde_json::json!({
            "database": HOSTILE, "owner": HOSTILE, "application": HOSTILE, "declared": true,
            "unreachable": null, "objects": { HOSTILE: { "table": 2 } }, "roles": [role]
        });
        let json = serde_json::json!({
            "format_version": 2, "environment": HOSTILE, "timestamp_utc": "2026-11-29T00:00:00Z",
            "server": HOSTILE, "server_version": "18.1", "administrator": HOSTILE,
            "rdsprov_version": "0.1.0", "actor": HOSTILE, "os_user": HOSTILE, "host": HOSTILE,
            "superusers": [HOSTILE], "databases": [database]
        });
        AccessReport::from_json(&json.to_string()).unwrap()
    }

    #[test]
    fn hostile_names_are_text() {
        let page = report().to_html().unwrap();
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script").count(), 2);
        assert!(!page.contains("<img") && !page.contains("<!--") && !page.contains('\u{202e}'));
        let data = page.split(r#"<script type="application/json" id="data">"#).nth(1).unwrap();
        let data = data.split("</script>").next().unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["roles"][0]["name"], visible(HOSTILE));
        assert_eq!(data["roles"][0]["access"][0]["level"], "read");
    }

    /// A browser executes the script and applies the style only with these hashes.
    #[test]
    fn policy_allows_only_the_parts_of_the_page() {
        let page = report().to_html().unwrap();
        let between = |begin: &str, end: &str| {
            page.split(begin).nth(1).unwrap().split(end).next().unwrap().to_owned()
        };
        let script = between("<script>", "</script>");
        let style = between("<style>", "</style>");
        for (name, part) in [("script", script), ("style", style)] {
            assert!(page.contains(&format!("{name}-src '{}'", hash(&part))), "{name}");
        }
        for outside in
            ["http:", "https:", "src=\"", "href=", "@import", "url(", "style=", "innerHTML"]
        {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
