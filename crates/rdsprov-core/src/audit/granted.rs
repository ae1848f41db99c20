//! The access that rdsprov had granted at a time, as a ledger records it, for `rdsprov access --at`.
//!
//! The ledger contains the statements of rdsprov only. So this is not the state of the server: what other
//! roles granted or revoked, and what a role had before the first record, is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::report::whole_report;
use super::{Change, ChangeResult, IntegrityError, Report, UnknownName};
use crate::desired::is_false;
use crate::named_enum::named_enum;
use crate::plan::Action;
use crate::text::{pretty_json, visible};

/// A privilege, a membership or the ownership of a database that rdsprov had granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GrantedAccess {
    /// The environment of the run.
    pub environment: String,
    /// The server, as `host:port`.
    pub server: Option<String>,
    /// The database; `null` for a membership.
    pub database: Option<String>,
    /// The role that got it, or `PUBLIC`.
    pub role: String,
    /// What it got, in the words of SQL: `SELECT ON ALL TABLES IN SCHEMA "public"`.
    pub access: String,
    /// The time of the change, in UTC.
    pub since: String,
    /// The build id of the run.
    pub build_id: String,
    /// The run id of the run.
    pub run_id: String,
}

/// A revocation of what the ledger does not show as granted in this form: of a grant of another role, or of
/// a part of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OtherRevocation {
    /// The environment of the run.
    pub environment: String,
    /// The database; `null` for a membership.
    pub database: Option<String>,
    /// The role that lost it, or `PUBLIC`.
    pub role: String,
    /// What it lost, in the words of SQL.
    pub access: String,
    /// The time of the change, in UTC.
    pub at: String,
}

/// Access of which the ledger does not show whether a change gave it or took it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UncertainAccess {
    /// What the change does, if it was committed.
    pub effect: UncertainEffect,
    /// Whether a person has acknowledged that it cannot be known.
    #[serde(skip_serializing_if = "is_false")]
    pub acknowledged: bool,
    /// The access. `since`, `build_id` and `run_id` are those of the run that has announced the change.
    #[serde(flatten)]
    pub access: GrantedAccess,
}

named_enum! {
    /// What a change does to access, if it was committed.
    "snake_case" pub enum UncertainEffect {
        /// It grants the access.
        Grants,
        /// It revokes the access.
        Revokes,
    }
}

/// The access that rdsprov had granted at a time and not revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccessAt {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The time, in UTC.
    pub at: String,
    /// The time of the first change in the ledger; `null` if it contains none. What was before is not known.
    pub first_change: Option<String>,
    /// What was granted and not revoked.
    pub granted: Vec<GrantedAccess>,
    /// What changes without a result may have granted or revoked: their run was killed, or the server did not
    /// respond to a commit.
    pub uncertain: Vec<UncertainAccess>,
    /// Revocations of what the ledger does not show as granted in this form.
    pub other_revocations: Vec<OtherRevocation>,
    /// The servers, as `host:port`, that have reported the same system identifier: copies of one server, or one server
    /// with several names. Each of them counts by itself.
    pub same_system: Vec<BTreeSet<String>>,
    /// The defects of the ledger, with their lines.
    pub defects: Vec<String>,
    /// The role or database that the caller has named and that no record of the ledger contains.
    #[serde(skip)]
    pub unknown: Option<UnknownName>,
}

/// A time in the format of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerTime(Timestamp);

impl LedgerTime {
    /// Returns whether the time is later than now, so that no ledger can contain what was granted until then.
    #[must_use]
    pub fn is_in_the_future(self) -> bool {
        self.0 > Timestamp::now()
    }
}

impl FromStr for LedgerTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |_| "write it as 2026-11-01T00:00:00Z".to_owned();
        text.parse().map(Self).map_err(wrong)
    }
}

/// The system identifier of a server, and the server as `host:port`. A restored copy has the same identifier.
type System = (Option<String>, Option<String>);

/// Environment, server, database, role, and what it got.
type Key = (String, System, Option<String>, String, String);

/// Reads the access that rdsprov had granted at a time from a ledger. With `role` or `database`, it returns
/// only this role, or what is in this database.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains records of a later version. Defects
/// are not errors.
pub fn access_at(
    ledger: &[u8],
    LedgerTime(at): LedgerTime,
    role: Option<&str>,
    database: Option<&str>,
) -> io::Result<AccessAt> {
    let Report { changes, verified, unknown } = whole_report(ledger, role, database)?;
    let mut access = Access::default();
    let first_change = changes.first().map(|change| change.timestamp_utc.clone());
    let is_until = |change: &&Change| {
        change.timestamp_utc.parse::<Timestamp>().is_ok_and(|changed| changed <= at)
    };
    let mut systems: BTreeMap<&String, BTreeSet<String>> = BTreeMap::new();
    for change in changes.iter().filter(is_until) {
        for statement in statements(change) {
            access.apply(change, statement);
        }
        if let (Some(system), Some(server)) =
            (&change.context.system_identifier, &change.context.server)
        {
            systems.entry(system).or_default().insert(server.clone());
        }
    }
    let same_system = systems.into_values().filter(|servers| servers.len() > 1).collect();
    let Access { granted, uncertain, mut other_revocations } = access;
    let is_selected = |of_role: &str, of_database: Option<&String>| {
        role.is_none_or(|role| role == of_role)
            && database.is_none_or(|name| of_database.is_some_and(|one| one == name))
    };
    let granted = granted.into_values();
    let granted = granted.filter(|one| is_selected(&one.role, one.database.as_ref()));
    let uncertain = uncertain.into_values();
    let uncertain =
        uncertain.filter(|one| is_selected(&one.access.role, one.access.database.as_ref()));
    other_revocations.retain(|one: &OtherRevocation| is_selected(&one.role, one.database.as_ref()));
    let defect = |(line, error): (u64, &IntegrityError)| format!("line {line}: {error}");
    Ok(AccessAt {
        format_version: 1,
        at: at.to_string(),
        first_change,
        granted: granted.collect(),
        uncertain: uncertain.collect(),
        other_revocations,
        same_system,
        defects: verified.findings.iter().map(|one| defect((one.line, &one.error))).collect(),
        unknown,
    })
}

/// What a statement does to access.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Grant {
        role: String,
        access: Vec<String>,
        in_database: bool,
    },
    Revoke {
        role: String,
        access: Vec<String>,
        in_database: bool,
    },
    /// The database got this owner.
    Owner {
        database: String,
        role: String,
    },
    DropRole(String),
    DropDatabase(String),
}

/// Returns the statements of a change that concern access.
fn statements(change: &Change) -> impl Iterator<Item = Effect> {
    let parsed = change.step.statements.iter().filter_map(|statement| Effect::parse(statement));
    // It is not executed in a transaction, and so it is no statement of its step.
    let is_drop = change.step.action == Action::DropDatabase;
    let dropped = change.step.database.as_ref().filter(|_| is_drop);
    parsed.chain(dropped.map(|database| Effect::DropDatabase(database.to_string())))
}

/// The access that the changes of a ledger give, while they are read in their order.
#[derive(Debug, Default)]
struct Access {
    granted: BTreeMap<Key, GrantedAccess>,
    uncertain: BTreeMap<Key, UncertainAccess>,
    other_revocations: Vec<OtherRevocation>,
}

impl Access {
    fn apply(&mut self, change: &Change, effect: Effect) {
        let context = &change.context;
        let system = (context.system_identifier.clone(), context.server.clone());
        let is_here = |(environment, server, ..): &Key| {
            *environment == context.environment && *server == system
        };
        let of_step = change.step.database.as_ref().map(ToString::to_string);
        let key = |database: &Option<String>, role: &str, access: &str| -> Key {
            let server = system.clone();
            let (role, access) = (role.to_owned(), access.to_owned());
            (context.environment.clone(), server, database.clone(), role, access)
        };
        let new = |database: &Option<String>, role: &str, access: &str| GrantedAccess {
            environment: context.environment.clone(),
            server: context.server.clone(),
            database: database.clone(),
            role: role.to_owned(),
            access: access.to_owned(),
            since: change.timestamp_utc.clone(),
            build_id: context.build_id.clone(),
            run_id: context.run_id.clone(),
        };
        let is_certain = change.result == ChangeResult::Committed;
        match effect {
            Effect::Grant { role, access, in_database } => {
                let database = of_step.filter(|_| in_database);
                for one in access {
                    let key = key(&database, &role, &one);
                    self.grant(change, key, new(&database, &role, &one));
                }
            }
            Effect::Owner { database, role } => {
                let database = Some(database);
                let is_owner = |key: &Key| is_here(key) && key.2 == database && key.4 == OWNER;
                self.revoke(change, |key| is_owner(key) && key.3 != role);
                let key = key(&database, &role, OWNER);
                self.grant(change, key, new(&database, &role, OWNER));
            }
            Effect::Revoke { role, access, in_database } => {
                let database = of_step.filter(|_| in_database);
                for one in access {
                    let revoked = key(&database, &role, &one);
                    if self.revoke(change, |key| *key == revoked) || !is_certain {
                        continue;
                    }
                    self.other_revocations.push(OtherRevocation {
                        environment: context.environment.clone(),
                        database: database.clone(),
                        role: role.clone(),
                        access: one,
                        at: change.timestamp_utc.clone(),
                    });
                }
            }
            Effect::DropRole(dropped) => {
                self.revoke(change, |key| is_here(key) && key.3 == dropped);
            }
            Effect::DropDatabase(dropped) => {
                self.revoke(change, |key| is_here(key) && key.2.as_ref() == Some(&dropped));
            }
        }
    }

    fn grant(&mut self, change: &Change, key: Key, access: GrantedAccess) {
        if change.result == ChangeResult::Committed {
            self.uncertain.remove(&key);
            self.granted.entry(key).or_insert(access);
        } else if !self.granted.contains_key(&key) {
            let effect = UncertainEffect::Grants;
            let new = UncertainAccess { effect, acknowledged: true, access };
            let one = self.uncertain.entry(key).or_insert(new);
            one.acknowledged &= change.is_settled();
        }
    }

    /// Revokes what a change may have revoked or has. Returns whether something was granted.
    fn revoke(&mut self, change: &Change, is_revoked: impl Fn(&Key) -> bool) -> bool {
        let revoked: Vec<Key> = self
            .granted
            .keys()
            .chain(self.uncertain.keys())
            .filter(|key| is_revoked(key))
            .cloned()
            .collect();
        for key in &revoked {
            if change.result == ChangeResult::Committed {
                self.granted.remove(key);
                self.uncertain.remove(key);
            } else if let Some(access) = self.granted.get(key) {
                let access = GrantedAccess {
                    since: change.timestamp_utc.clone(),
                    build_id: change.context.build_id.clone(),
                    run_id: change.context.run_id.clone(),
                    ..access.clone()
                };
                let effect = UncertainEffect::Revokes;
                let before = self.uncertain.get(key).is_none_or(|one| one.acknowledged);
                let acknowledged = before && change.is_settled();
                let new = UncertainAccess { effect, acknowledged, access };
                self.uncertain.insert(key.clone(), new);
            }
        }
        !revoked.is_empty()
    }
}

const OWNER: &str = "owner of the database";

impl Effect {
    /// Returns the effect of a statement that rdsprov has written; `None` if it does not concern access.
    fn parse(statement: &str) -> Option<Self> {
        let (future, statement) = match statement.strip_prefix("ALTER DEFAULT PRIVILEGES ") {
            None => (String::new(), statement),
            Some(rest) => {
                let at =
                    [" GRANT ", " REVOKE "].iter().filter_map(|verb| outside(rest, verb)).min()?;
                (format!(", default privileges {}", &rest[..at]), &rest[at + 1..])
            }
        };
        if let Some(role) = statement.strip_prefix("DROP ROLE ") {
            return Some(Self::DropRole(unquoted(role)));
        }
        if let Some(database) = statement.strip_prefix("DROP DATABASE ") {
            return Some(Self::DropDatabase(unquoted(database)));
        }
        if let Some(rest) = statement.strip_prefix("ALTER DATABASE ") {
            let at = outside(rest, " OWNER TO ")?;
            let (database, role) =
                (unquoted(&rest[..at]), unquoted(&rest[at + " OWNER TO ".len()..]));
            return Some(Self::Owner { database, role });
        }
        let (grants, rest) = match statement.strip_prefix("GRANT ") {
            Some(rest) => (true, rest),
            None => (false, statement.strip_prefix("REVOKE ")?),
        };
        // The privilege or membership itself remains.
        if rest.starts_with("GRANT OPTION FOR ") || rest.starts_with("ADMIN OPTION FOR ") {
            return None;
        }
        let word = if grants { " TO " } else { " FROM " };
        let at = outside(rest, word)?;
        let (what, role) = (&rest[..at], &rest[at + word.len()..]);
        let end = [" WITH ", " GRANTED BY ", " CASCADE"]
            .iter()
            .filter_map(|end| outside(role, end))
            .min();
        let role = &role[..end.unwrap_or(role.len())];
        // The administrator gets such a membership for one transaction.
        if role == "CURRENT_USER" {
            return None;
        }
        let (access, in_database) = match outside(what, " ON ") {
            Some(on) => {
                let object = &what[on..];
                let privileges = list(&what[..on]).into_iter();
                (privileges.map(|one| format!("{one}{object}{future}")).collect(), true)
            }
            None => (vec![format!("membership in {what}")], false),
        };
        let role = unquoted(role);
        Some(match grants {
            true => Self::Grant { role, access, in_database },
            false => Self::Revoke { role, access, in_database },
        })
    }
}

/// Returns where a text first contains another one outside of double quotes and parentheses.
fn outside(text: &str, wanted: &str) -> Option<usize> {
    let (mut quoted, mut depth) = (false, 0_u32);
    for (at, c) in text.char_indices() {
        if !quoted && depth == 0 && text[at..].starts_with(wanted) {
            return Some(at);
        }
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Splits a list at the commas outside of double quotes and parentheses.
fn list(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = outside(rest, ", ") {
        parts.push(rest[..at].to_owned());
        rest = &rest[at + 2..];
    }
    parts.push(rest.to_owned());
    parts
}

/// Returns the name of a quoted name.
fn unquoted(name: &str) -> String {
    let (quoted, has_numbers) = match name.strip_prefix("U&") {
        Some(quoted) => (quoted, true),
        None => (name, false),
    };
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.map(|inner| inner.replace("\"\"", "\"")) else {
        return name.to_owned();
    };
    if has_numbers { decoded(&inner).unwrap_or(inner) } else { inner }
}

/// Returns the text of a Unicode escape string: `\XXXX` and `\+XXXXXX` are characters by their number. `None` if it
/// is not one.
fn decoded(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            decoded.push('\\');
            rest = after;
            continue;
        }
        let (digits, length) = rest.strip_prefix('+').map_or((rest, 4), |digits| (digits, 6));
        decoded.push(char::from_u32(u32::from_str_radix(digits.get(..length)?, 16).ok()?)?);
        rest = &digits[length..];
    }
    Some(decoded + rest)
}

impl AccessAt {
    /// Returns whether the ledger has no defects.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.defects.is_empty()
    }

    /// Returns whether the results of all changes of the selected access are known.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.uncertain.iter().all(|one| one.acknowledged)
    }

    /// Returns the access as indented JSON, whose schema is
    /// [`Document::AccessAt`](crate::schema::Document::AccessAt).
    ///
    /// # Errors
    /// Never returns an error in practice, because it contains plain data only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }

    /// Returns the access as text, by environment and database.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for defect in &self.defects {
            let _ = writeln!(text, "WARNING: {}", visible(defect));
        }
        let _ = writeln!(text, "Granted by rdsprov and not revoked by it at {}", self.at);
        let _ = match &self.first_change {
            Some(first) => writeln!(text, "first change in the ledger: {}", visible(first)),
            None => writeln!(text, "the ledger contains no change"),
        };
        text.push_str(
            "not shown: access before this change, and what other roles granted or revoked\n",
        );
        for servers in &self.same_system {
            let servers = servers.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let line = format!(
                "WARNING: {servers} have the same system identifier: copies of one server, or one server with several \
                 names; each counts by itself"
            );
            let _ = writeln!(text, "{}", visible(&line));
        }
        let mut last = None;
        for one in &self.granted {
            let place = (&one.environment, &one.server, &one.database);
            if last != Some(place) {
                let server = one.server.as_deref().map(|server| format!(" on {server}"));
                let database = one.database.as_deref();
                let database =
                    database.map(|name| format!(", database {name}")).unwrap_or_default();
                let title = format!(
                    "environment {}{}{database}",
                    one.environment,
                    server.unwrap_or_default()
                );
                let _ = writeln!(text, "\n{}", visible(&title));
                last = Some(place);
            }
            let build = if one.build_id.is_empty() {
                String::new()
            } else {
                format!(", build {}", one.build_id)
            };
            let line = format!("{}: {} (since {}{build})", one.role, one.access, one.since);
            let _ = writeln!(text, "  {}", visible(&line));
        }
        if !self.uncertain.is_empty() {
            text.push_str(
                "\nWARNING: the ledger does not contain the results of changes that grant or revoke this\n",
            );
        }
        for one in &self.uncertain {
            let GrantedAccess { environment, database, role, access, since, run_id, .. } =
                &one.access;
            let database = database.as_deref().map(|name| format!(", database {name}"));
            let word = match one.effect {
                UncertainEffect::Grants => "may have been granted",
                UncertainEffect::Revokes => "may have been revoked",
            };
            let line = format!(
                "environment {environment}{}: {role}: {access} {word} ({since}, run {run_id}{})",
                database.unwrap_or_default(),
                if one.acknowledged { ", acknowledged" } else { "" }
            );
            let _ = writeln!(text, "  {}", visible(&line));
        }
        if !self.other_revocations.is_empty() {
            text.push_str(
                "\nrevoked by rdsprov from grants that are not shown, or from a part of one\n",
            );
        }
        for one in &self.other_revocations {
            let database = one.database.as_deref().map(|name| format!("database {name}: "));
            let line =
                format!("{} {}{}: {}", one.at, database.unwrap_or_default(), one.role, one.access);
            let _ = writeln!(text, "  {}", visible(&line));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::RunContext;

    fn change(context: RunContext, action: &str, statements: &[&str]) -> Change {
        Change {
            line: 1,
            timestamp_utc: "2026-11-29T00:00:00Z".to_owned(),
            context: RunContext { environment: "dev".to_owned(), ..context },
            step: serde_json::from_value(serde_json::json!({
                "action": action, "application": "shop", "role": "shop_reader", "database": "shop",
                "summary": "", "execute_as": "administrator", "statements": statements, "hazards": [],
            }))
            .unwrap(),
            found_by: None,
            acknowledged: None,
            of_intent: None,
            result: ChangeResult::Committed,
            defect: None,
        }
    }

    /// Returns the servers on which access is left after changes.
    fn left(changes: &[Change]) -> Vec<Option<String>> {
        let mut access = Access::default();
        for one in changes {
            statements(one).for_each(|effect| access.apply(one, effect));
        }
        access.granted.into_values().map(|one| one.server).collect()
    }

    const GRANT: &str = r#"GRANT CONNECT ON DATABASE "shop" TO "shop_reader""#;
    const REVOKE: &str = r#"REVOKE CONNECT ON DATABASE "shop" FROM "shop_reader""#;

    /// One ledger can contain the changes of several servers.
    #[test]
    fn dropped_database_of_another_server_keeps_its_access() {
        let on =
            |server: &str| RunContext { server: Some(server.to_owned()), ..RunContext::default() };
        let left = left(&[
            change(on("a:5432"), "grant", &[GRANT]),
            change(on("b:5432"), "grant", &[GRANT]),
            change(on("a:5432"), "drop_database", &[]),
        ]);
        assert_eq!(left, [Some("b:5432".to_owned())]);
    }

    /// A copy that was restored from a snapshot has the system identifier of its source.
    #[test]
    fn revocation_on_a_copy_leaves_the_access_of_its_source() {
        let on = |server: &str| RunContext {
            server: Some(server.to_owned()),
            system_identifier: Some("7".to_owned()),
            ..RunContext::default()
        };
        let left = left(&[
            change(on("a:5432"), "grant", &[GRANT]),
            change(on("copy:5432"), "revoke", &[REVOKE]),
        ]);
        assert_eq!(left, [Some("a:5432".to_owned())]);
    }

    /// A ledger can contain any text, also where a time is expected.
    #[test]
    fn texts_of_a_ledger_are_escaped() {
        let hostile = "x\u{1b}[2J\n::error::done\u{202e}".to_owned();
        let access = GrantedAccess {
            environment: hostile.clone(),
            server: Some(hostile.clone()),
            database: Some(hostile.clone()),
            role: hostile.clone(),
            access: hostile.clone(),
            since: hostile.clone(),
            build_id: hostile.clone(),
            run_id: hostile.clone(),
        };
        let text = AccessAt {
            format_version: 1,
            at: "2026-11-29T00:00:00Z".to_owned(),
            first_change: Some(hostile.clone()),
            granted: vec![access.clone()],
            uncertain: vec![UncertainAccess {
                effect: UncertainEffect::Revokes,
                acknowledged: false,
                access,
            }],
            same_system: vec![BTreeSet::from([hostile.clone(), "b".to_owned()])],
            other_revocations: vec![OtherRevocation {
                environment: hostile.clone(),
                database: Some(hostile.clone()),
                role: hostile.clone(),
                access: hostile.clone(),
                at: hostile.clone(),
            }],
            defects: vec![hostile],
            unknown: None,
        }
        .to_text();
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("::error")), "{text}");
    }

    /// Names with hidden characters are written with the numbers of these characters.
    #[test]
    fn names_are_those_of_the_catalog() {
        for name in [
            "shop",
            "a\"b",
            "a\\b",
            "a\\\u{202e}\"",
            "a##[b",
            "\u{ad}",
            "x\u{e0001}\u{10ffff}y",
            "U&\"a\"",
        ] {
            assert_eq!(unquoted(&crate::name::quote(name)), name);
            let grant = format!("GRANT CONNECT ON DATABASE \"d\" TO {}", crate::name::quote(name));
            let Some(Effect::Grant { role, .. }) = Effect::parse(&grant) else { panic!("{grant}") };
            assert_eq!(role, name);
        }
        assert_eq!(unquoted("PUBLIC"), "PUBLIC");
    }

    #[test]
    fn statements_of_the_program_are_understood() {
        let grant = |role: &str, access: &[&str]| {
            let access = access.iter().map(ToString::to_string).collect();
            Some(Effect::Grant { role: role.to_owned(), access, in_database: true })
        };
        for (statement, effect) in [
            (
                r#"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA "a TO b" TO "x""y""#,
                grant(
                    "x\"y",
                    &[
                        r#"SELECT ON ALL TABLES IN SCHEMA "a TO b""#,
                        r#"INSERT ON ALL TABLES IN SCHEMA "a TO b""#,
                    ],
                ),
            ),
            (
                r#"GRANT SELECT ("a", "b ON c") ON TABLE "s"."t" TO PUBLIC WITH GRANT OPTION"#,
                grant("PUBLIC", &[r#"SELECT ("a", "b ON c") ON TABLE "s"."t""#]),
            ),
            (
                r#"ALTER DEFAULT PRIVILEGES FOR ROLE "o" IN SCHEMA "p" GRANT SELECT ON TABLES TO "r""#,
                grant("r", &[r#"SELECT ON TABLES, default privileges FOR ROLE "o" IN SCHEMA "p""#]),
            ),
            (
                r#"GRANT "rds_iam" TO "app" WITH INHERIT TRUE"#,
                Some(Effect::Grant {
                    role: "app".to_owned(),
                    access: vec![r#"membership in "rds_iam""#.to_owned()],
                    in_database: false,
                }),
            ),
            (
                r#"REVOKE CONNECT ON DATABASE "d" FROM "r" CASCADE"#,
                Some(Effect::Revoke {
                    role: "r".to_owned(),
                    access: vec![r#"CONNECT ON DATABASE "d""#.to_owned()],
                    in_database: true,
                }),
            ),
            (r#"REVOKE GRANT OPTION FOR SELECT ON TABLE "t" FROM "r""#, None),
            (r#"GRANT "app" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE"#, None),
            (r#"COMMENT ON DATABASE "d" IS 'GRANT x TO y'"#, None),
            (
                r#"ALTER DATABASE "d" OWNER TO "o""#,
                Some(Effect::Owner { database: "d".to_owned(), role: "o".to_owned() }),
            ),
        ] {
            assert_eq!(Effect::parse(statement), effect, "{statement}");
        }
    }
}
