//! The report of the audit tables of a server, for `rdsprov audit report --from-tables`, and their comparison
//! with a ledger.
//!
//! A row is written in the transaction of its change, and a record after it. So a row without a record shows
//! a change that its run could not record, and a record without a row a table that has lost rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::intents::RunKey;
use super::{AnnouncedStep, Entry, Found, RecordBody, Status, UnknownName, entries};
use crate::audit_table::{AuditTableName, REVERTED};
use crate::name::{DatabaseName, LOCK_DATABASE, nearest};
use crate::named_enum::named_enum;
use crate::plan::{Action, Transaction};
use crate::text::{counted, pretty_json, visible};

/// A row of an audit table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TableRow {
    /// The database whose audit table contains the row.
    #[serde(default = "unknown_database")]
    pub table_database: DatabaseName,
    /// The time of the server at the change, in UTC and in the format of RFC 3339.
    pub timestamp_utc: String,
    /// The environment of the run.
    pub environment: String,
    /// The build id, or an empty text.
    pub build_id: String,
    /// The run id.
    pub run_id: String,
    /// The database that was changed, or that contains the changed object; or an empty text.
    pub database: String,
    /// The role that was changed or that got or lost privileges; or an empty text.
    pub username: String,
    /// The kind of change.
    pub action: String,
    /// `success`, or `error` for a change that the run has reverted.
    pub status: String,
    /// The change in words, without the action.
    pub message: String,
    /// The digest of the plan.
    pub plan: String,
    /// The person or pipeline that has started the run.
    pub actor: String,
}

fn unknown_database() -> DatabaseName {
    DatabaseName::new_unchecked(LOCK_DATABASE)
}

/// The audit table of one database, as the report has read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TableState {
    /// The database.
    pub database: DatabaseName,
    /// Whether the table exists.
    pub exists: bool,
    /// The number of its rows.
    pub rows: usize,
    /// What differs from the documented definition: such a table is not read, because reading it could execute
    /// code of other roles.
    pub defects: Vec<String>,
    /// Why the table could not be read.
    pub error: Option<String>,
}

/// A difference between the audit tables and a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TableDifference {
    /// A committed change has a row, and no record says that it was made.
    RowWithoutRecord {
        /// The row.
        row: TableRow,
        /// Whether an intent in the ledger announces the change: its run has not recorded the result.
        announced: bool,
    },
    /// The ledger says that a change was committed, and the table has no row of it.
    RecordWithoutRow {
        /// The line number of the record in the ledger, from 1.
        line: u64,
        /// The time of the record.
        timestamp_utc: String,
        /// The run that made the change.
        run_id: String,
        /// The database whose audit table should contain the row.
        table_database: DatabaseName,
        /// The change.
        step: AnnouncedStep,
    },
    /// The row of a change differs from its record: one of the two was changed.
    RowDiffers {
        /// The row.
        row: TableRow,
        /// What differs.
        columns: Vec<DifferingColumn>,
        /// The line number of the record in the ledger, from 1.
        line: u64,
        /// The time of the record.
        timestamp_utc: String,
        /// The actor of the run, as the ledger contains it.
        actor: String,
        /// The build id of the run, as the ledger contains it.
        build_id: String,
    },
}

named_enum! {
    /// A column in which a row can differ from its record.
    "snake_case" pub enum DifferingColumn {
        /// The row is older than the intent of its run, or newer than the record of its change. The clocks of
        /// the server and of the run may differ by 5 minutes.
        TimestampUtc,
        /// The build id.
        BuildId,
        /// The actor.
        Actor,
    }
}

/// By how much the clocks of the server and of the run may differ.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Committed changes of a ledger that were not compared, because their runs have used another audit table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotCompared {
    /// The audit table of the runs; `null` without one.
    pub table: Option<AuditTableName>,
    /// The number of changes.
    pub changes: usize,
}

/// The value of `format_version` in the JSON form; it increases with each incompatible change.
const FORMAT_VERSION: u32 = 1;

/// The rows of the audit tables of a server, and their differences from a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TableReport {
    /// The version of the JSON form.
    pub format_version: u32,
    /// The server, as `host:port`.
    pub server: String,
    /// The environment of the rows.
    pub environment: String,
    /// The name of the tables.
    pub table: AuditTableName,
    /// The tables that were looked for.
    pub tables: Vec<TableState>,
    /// The rows of the environment, in the order of their times.
    pub rows: Vec<TableRow>,
    /// The differences from the ledger; `null` if none was compared.
    pub differences: Option<Vec<TableDifference>>,
    /// The number of committed changes of the ledger that were compared.
    pub compared_records: usize,
    /// The committed changes of the ledger whose rows are not in these tables.
    pub not_compared: Vec<NotCompared>,
    /// The system identifier of the server, if the server shows it.
    #[serde(skip)]
    pub(crate) system_identifier: Option<String>,
    /// The databases of the server.
    #[serde(skip)]
    pub(crate) databases: BTreeSet<DatabaseName>,
}

/// What identifies a change in a row and in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    place: DatabaseName,
    run_id: String,
    plan: String,
    database: String,
    username: String,
    action: String,
    message: String,
}

impl Key {
    fn of_row(row: &TableRow) -> Self {
        let message = row.message.strip_prefix(REVERTED).unwrap_or(&row.message);
        Self {
            place: row.table_database.clone(),
            run_id: row.run_id.clone(),
            plan: row.plan.clone(),
            database: row.database.clone(),
            username: row.username.clone(),
            action: row.action.clone(),
            message: message.to_owned(),
        }
    }

    fn of_step(place: &DatabaseName, entry: &Entry, step: &AnnouncedStep) -> Self {
        Self {
            place: place.clone(),
            run_id: entry.context.run_id.clone(),
            plan: entry.context.plan.clone().unwrap_or_default(),
            database: step.database.clone().unwrap_or_default(),
            username: step.role.clone().unwrap_or_default(),
            action: step.action.clone(),
            message: step.summary.clone(),
        }
    }
}

/// A row that must exist, because the ledger says that its change was committed.
struct Expected {
    key: Key,
    origin: Origin,
    step: AnnouncedStep,
}

/// What a ledger says about the columns of a row that do not identify its change.
struct Origin {
    line: u64,
    timestamp_utc: String,
    actor: String,
    build_id: String,
    /// The time of the intent: the change was not made before.
    begin: String,
    /// The time of the record that says that the change was made.
    end: Option<String>,
}

impl Origin {
    /// Returns the columns in which a row differs.
    fn differing(&self, row: &TableRow) -> Vec<DifferingColumn> {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let is_in_time = time(&row.timestamp_utc).is_some_and(|at| {
            time(&self.begin).is_none_or(|begin| begin.duration_since(at) <= CLOCK_TOLERANCE)
                && self
                    .end
                    .as_deref()
                    .and_then(time)
                    .is_none_or(|end| at.duration_since(end) <= CLOCK_TOLERANCE)
        });
        let same = [
            (DifferingColumn::TimestampUtc, is_in_time),
            (DifferingColumn::BuildId, row.build_id == self.build_id),
            (DifferingColumn::Actor, row.actor == self.actor),
        ];
        same.into_iter().filter(|(_, is_same)| !is_same).map(|(column, _)| column).collect()
    }
}

/// Returns the position of the origin from which a row differs least, and the columns that differ.
fn nearest_origin<'a>(
    row: &TableRow,
    origins: impl Iterator<Item = &'a Origin>,
) -> Option<(usize, Vec<DifferingColumn>)> {
    let all = origins.map(|one| one.differing(row)).enumerate();
    all.min_by_key(|(_, columns)| columns.len())
}

/// An intent whose transactions write audit rows.
struct Intent {
    entry: Entry,
    /// The database of the row of each step.
    places: HashMap<AnnouncedStep, DatabaseName>,
    /// The audit table of the steps whose rows are not in the reported tables.
    others: HashMap<AnnouncedStep, Option<AuditTableName>>,
}

/// What a ledger says about the rows that exist.
#[derive(Default)]
struct Records {
    expected: Vec<Expected>,
    /// The rows that can exist: of changes whose result is not known, or that were reverted.
    allowed: HashMap<Key, Vec<Origin>>,
    /// The rows that intents announce.
    announced: BTreeSet<Key>,
    /// The number of committed changes whose rows are in other tables, or in none.
    not_compared: BTreeMap<Option<String>, NotCompared>,
    /// The time of the first record.
    begin: Option<String>,
}

/// Returns the databases in whose audit tables the runs of a ledger have announced rows.
///
/// # Errors
/// Returns an error if the ledger cannot be read, or contains records of a later version.
pub fn audited_databases(ledger: &[u8]) -> io::Result<BTreeSet<DatabaseName>> {
    let mut databases = BTreeSet::new();
    for (_, entry) in entries(ledger)? {
        let RecordBody::Intent { transactions, .. } = entry.body else { continue };
        let audited = transactions.iter().filter(|one| one.audit.is_some());
        databases.extend(audited.filter_map(|one| one.scope.audited_database()));
    }
    Ok(databases)
}

impl Records {
    /// Reads what the runs on one server and in one environment have recorded.
    fn new(
        entries: Vec<(u64, Entry)>,
        table: &AuditTableName,
        concerns: impl Fn(&Entry) -> bool,
    ) -> Self {
        let mut records = Self {
            begin: entries.first().map(|(_, one)| one.timestamp_utc.clone()),
            ..Self::default()
        };
        let mut intents: BTreeMap<u64, Intent> = BTreeMap::new();
        let mut of_run: HashMap<RunKey, u64> = HashMap::new();
        for (line, entry) in entries.into_iter().filter(|(_, entry)| concerns(entry)) {
            match &entry.body {
                RecordBody::Intent { transactions, .. } => {
                    let table_of = |one: &Transaction<String>| {
                        one.audit.as_ref().map(|audit| audit.table.clone())
                    };
                    let (audited, others): (Vec<_>, Vec<_>) =
                        transactions.iter().partition(|one| table_of(one).as_ref() == Some(table));
                    let others = others.into_iter().flat_map(|one| {
                        let steps = one.steps.iter().filter(|step| step.has_audit_row());
                        steps.map(move |step| (AnnouncedStep::from(step), table_of(one)))
                    });
                    let others = others.collect();
                    let audited = audited.into_iter();
                    let steps =
                        audited.flat_map(|one| one.steps.iter().map(move |step| (one, step)));
                    let places: HashMap<_, _> = steps
                        .filter(|(_, step)| step.has_audit_row())
                        .filter_map(|(one, step)| {
                            Some((AnnouncedStep::from(step), one.scope.audited_database()?))
                        })
                        .collect();
                    let keys = places.iter().map(|(step, place)| Key::of_step(place, &entry, step));
                    records.announced.extend(keys);
                    of_run.insert((&entry.context).into(), entry.sequence);
                    intents.insert(entry.sequence, Intent { entry, places, others });
                }
                RecordBody::Step { status, step, .. } => {
                    let intent =
                        of_run.get(&RunKey::from(&entry.context)).and_then(|one| intents.get(one));
                    let Some(intent) = intent else { continue };
                    let announced = AnnouncedStep::from(&**step);
                    let times = [&entry.timestamp_utc; 2];
                    records.step(intent, *status, announced, line, times);
                    if step.action == Action::DropDatabase
                        && *status == Status::Success
                        && let Some(dropped) = &step.database
                    {
                        // Its table and all its rows are gone with it.
                        records.expected.retain(|one| one.key.place != *dropped);
                    }
                }
                RecordBody::Recovered { of_intent, found, step, .. }
                | RecordBody::Acknowledged { of_intent, found, step, .. } => {
                    let Some(intent) = intents.get(of_intent) else { continue };
                    let status = match found {
                        // The run that completes the database writes the row.
                        Found::Done if step.action == Action::CreateDatabase.name() => {
                            Status::Unknown
                        }
                        Found::Done => Status::Success,
                        Found::NotDone => continue,
                        Found::Unknown => Status::Unknown,
                    };
                    let times = [&intent.entry.timestamp_utc, &entry.timestamp_utc];
                    records.step(intent, status, step.clone(), line, times);
                }
                RecordBody::Outcome { .. } | RecordBody::Truncated { .. } => {}
            }
        }
        records
    }

    /// Adds what the result of a step says about its row. `times` are those of the change, as far as it is
    /// known, and of the record that says that it was made.
    fn step(
        &mut self,
        intent: &Intent,
        status: Status,
        step: AnnouncedStep,
        line: u64,
        [at, end]: [&String; 2],
    ) {
        if status == Status::Success
            && let Some(table) = intent.others.get(&step)
        {
            let key = table.as_ref().map(ToString::to_string);
            let new = NotCompared { table: table.clone(), changes: 0 };
            self.not_compared.entry(key).or_insert(new).changes += 1;
        }
        let shared = DatabaseName::new_unchecked(LOCK_DATABASE);
        let place = intent.places.get(&step);
        // A step that is not announced restores a password.
        let key = Key::of_step(place.unwrap_or(&shared), &intent.entry, &step);
        let context = &intent.entry.context;
        let origin = Origin {
            line,
            timestamp_utc: at.clone(),
            actor: context.attribution.actor.clone(),
            build_id: context.build_id.clone(),
            begin: intent.entry.timestamp_utc.clone(),
            end: (status == Status::Success).then(|| end.clone()),
        };
        match status {
            Status::Success if place.is_some() => {
                self.expected.push(Expected { key, origin, step });
            }
            Status::Success | Status::Unknown | Status::Error => {
                self.allowed.entry(key).or_default().push(origin);
            }
            _ => {}
        }
    }
}

impl TableReport {
    /// Returns a report without tables.
    pub(crate) fn new(server: String, environment: String, table: AuditTableName) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            server,
            environment,
            table,
            tables: Vec::new(),
            rows: Vec::new(),
            differences: None,
            compared_records: 0,
            not_compared: Vec::new(),
            system_identifier: None,
            databases: BTreeSet::new(),
        }
    }

    /// Returns the report as indented JSON, whose schema is
    /// [`Document::AuditTables`](crate::schema::Document::AuditTables).
    ///
    /// # Errors
    /// Never returns an error in practice, because it contains plain data only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        pretty_json(self)
    }

    /// Compares the rows with the records of a ledger about the same server and environment.
    ///
    /// # Errors
    /// Returns an error if the ledger cannot be read, or contains records of a later version.
    pub fn compare(&mut self, ledger: &[u8]) -> io::Result<()> {
        let concerns = |entry: &Entry| {
            let context = &entry.context;
            let is_same_server = match (&context.system_identifier, &self.system_identifier) {
                (Some(recorded), Some(observed)) => recorded == observed,
                _ => context.server.as_ref().is_none_or(|server| *server == self.server),
            };
            context.environment == self.environment && is_same_server
        };
        let Records { expected, allowed, announced, not_compared, begin } =
            Records::new(entries(ledger)?, &self.table, concerns);
        self.compared_records = expected.len();
        self.not_compared = not_compared.into_values().collect();
        let mut open: HashMap<Key, Vec<Expected>> = HashMap::new();
        for one in expected {
            open.entry(one.key.clone()).or_default().push(one);
        }
        let mut differences = Vec::new();
        let differs = |row: &TableRow, columns, origin: &Origin| TableDifference::RowDiffers {
            row: row.clone(),
            columns,
            line: origin.line,
            timestamp_utc: origin.timestamp_utc.clone(),
            actor: origin.actor.clone(),
            build_id: origin.build_id.clone(),
        };
        // Rows that equal their record first: another row of the same change could take it.
        let mut others = Vec::new();
        for row in &self.rows {
            let of_row = open.get_mut(&Key::of_row(row));
            let of_row = of_row.filter(|_| row.status == Status::Success.name());
            match of_row.map(|some| (nearest_origin(row, some.iter().map(|one| &one.origin)), some))
            {
                Some((Some((at, columns)), some)) if columns.is_empty() => drop(some.remove(at)),
                _ => others.push(row),
            }
        }
        for row in others {
            let key = Key::of_row(row);
            let of_row = open.get_mut(&key);
            let of_row = of_row.filter(|_| row.status == Status::Success.name());
            let allowed = allowed.get(&key).map(Vec::as_slice).unwrap_or_default();
            let nearest = nearest_origin(row, allowed.iter());
            if nearest.as_ref().is_some_and(|(_, columns)| columns.is_empty()) {
                continue;
            }
            if let Some(some) = of_row
                && let Some((at, columns)) = nearest_origin(row, some.iter().map(|one| &one.origin))
            {
                differences.push(differs(row, columns, &some.remove(at).origin));
            } else if let Some((at, columns)) = nearest {
                differences.push(differs(row, columns, &allowed[at]));
            } else {
                let is_older = begin.as_ref().is_some_and(|begin| row.timestamp_utc < *begin);
                let announced = announced.contains(&key);
                if announced || !is_older {
                    let row = row.clone();
                    differences.push(TableDifference::RowWithoutRecord { row, announced });
                }
            }
        }
        let mut missing: Vec<Expected> = open.into_values().flatten().collect();
        // A database that was dropped has no table any more.
        missing.retain(|one| self.databases.contains(&one.key.place));
        missing.sort_by_key(|one| one.origin.line);
        differences.extend(missing.into_iter().map(|one| TableDifference::RecordWithoutRow {
            line: one.origin.line,
            timestamp_utc: one.origin.timestamp_utc,
            run_id: one.key.run_id,
            table_database: one.key.place,
            step: one.step,
        }));
        self.differences = Some(differences);
        Ok(())
    }

    /// Keeps the rows about a role or a database. The differences remain.
    ///
    /// # Errors
    /// Returns the name that no row contains.
    pub fn select(
        &mut self,
        role: Option<&str>,
        database: Option<&str>,
    ) -> Result<(), UnknownName> {
        for (kind, name, known) in [
            ("role", role, self.rows.iter().map(|row| row.username.as_str()).collect::<Vec<_>>()),
            ("database", database, self.rows.iter().map(|row| row.database.as_str()).collect()),
        ] {
            if let Some(name) = name.filter(|name| !known.contains(name)) {
                let nearest = nearest(name, known).map(str::to_owned);
                let place = "the audit tables contain";
                return Err(UnknownName { place, kind, name: name.to_owned(), nearest });
            }
        }
        self.rows.retain(|row| {
            role.is_none_or(|name| row.username == name)
                && database.is_none_or(|name| row.database == name)
        });
        Ok(())
    }

    /// Returns whether all tables could be read and are as documented, and whether there is no difference from
    /// the ledger.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.tables.iter().all(|one| one.defects.is_empty() && one.error.is_none())
            && self.differences.as_ref().is_none_or(Vec::is_empty)
    }
}

impl fmt::Display for TableRow {
    /// Writes the change, and the run that has made it, each in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.database.as_str() {
            "" => String::new(),
            name => format!("database {name}: "),
        };
        let change = format!(
            "{} {}: {place}{} {}",
            self.timestamp_utc, self.environment, self.action, self.message
        );
        let build = match self.build_id.as_str() {
            "" => String::new(),
            build => format!(", build {build}"),
        };
        let by = format!(
            "by {}{build}, run {}, row in database {}",
            self.actor, self.run_id, self.table_database
        );
        writeln!(f, "{}\n    {}", visible(&change), visible(&by))
    }
}

impl fmt::Display for TableDifference {
    /// Writes one or two lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RowWithoutRecord { row, announced } => {
                let why = match announced {
                    true => "the run has announced the change, and not recorded its result",
                    false => "no run in the ledger has announced the change",
                };
                write!(f, "DIFFERENCE: a row without a record: {why}\n{row}")
            }
            Self::RecordWithoutRow { line, timestamp_utc, run_id, table_database, step } => {
                let text = format!(
                    "DIFFERENCE: a record without a row: line {line} of the ledger, and nothing in database {table_database}\n\
                     {timestamp_utc} {} {}\n    run {run_id}",
                    step.action, step.summary
                );
                text.lines().try_for_each(|line| writeln!(f, "{}", visible(line)))
            }
            Self::RowDiffers { row, columns, line, timestamp_utc, actor, build_id } => {
                let names: Vec<&str> = columns.iter().map(|one| one.name()).collect();
                let record = format!(
                    "DIFFERENCE: a row differs from its record in {}: line {line} of the ledger has {timestamp_utc}, \
                     actor {actor}, build {build_id}",
                    names.join(", ")
                );
                write!(f, "{}\n{row}", visible(&record))
            }
        }
    }
}

impl fmt::Display for TableReport {
    /// Writes the rows, what is wrong with the tables, the differences, and a summary.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            write!(f, "{row}")?;
        }
        for one in &self.tables {
            let database = one.database.as_str();
            for defect in one.error.iter().chain(&one.defects) {
                let text = format!(
                    "WARNING: the audit table in database {database} is not read: {defect}"
                );
                writeln!(f, "{}", visible(&text))?;
            }
        }
        for one in self.differences.iter().flatten() {
            write!(f, "{one}")?;
        }
        for NotCompared { table, changes } in &self.not_compared {
            let changes = counted(*changes, "committed change");
            let text = match table {
                Some(table) => format!(
                    "note: {changes} of runs with the audit table {table}, which this report does not contain"
                ),
                None => format!("note: {changes} of runs without an audit table"),
            };
            writeln!(f, "{}", visible(&text))?;
        }
        let tables = self.tables.iter().filter(|one| one.exists).count();
        let missing = self.tables.iter().filter(|one| !one.exists && one.error.is_none());
        let missing: Vec<&str> = missing.map(|one| one.database.as_str()).collect();
        let mut summary =
            format!("{} in {}", counted(self.rows.len(), "row"), counted(tables, "audit table"));
        if !missing.is_empty() {
            summary += &format!(" (none in {})", missing.join(", "));
        }
        if let Some(differences) = &self.differences {
            summary += &format!(
                ", compared with {}: {}",
                counted(self.compared_records, "committed change"),
                counted(differences.len(), "difference")
            );
        }
        writeln!(f, "{}", visible(&summary))
    }
}
