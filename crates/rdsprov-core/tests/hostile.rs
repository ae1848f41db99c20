//! Texts that are made to deceive a reader or a program, in every place of a state that the program does not write
//! itself: each form of output shows them, and contains no more structure than with plain names.
//!
//! The states are the recordings of the scenarios, with other names.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rdsprov_core::access_report::{AccessReport, ShownRoles};
use rdsprov_core::audit::{
    Attribution, Columns, Command, Event, EventKind, FailureCodes, LedgerWriter, Record,
    RunContext, Status, report, to_csv, verify,
};
use rdsprov_core::definitions::{Definitions, Rules, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::export::{Draft, Export, ExportContext, ExportFormat, ExportScope};
use rdsprov_core::graph::GraphFormat;
use rdsprov_core::hint::Neutral;
use rdsprov_core::observed::Observed;
use rdsprov_core::plan::{Detail, Plan, SavedPlan, SecretFindings};
use rdsprov_core::policy::UndeclaredAccess;
use rdsprov_core::secret_id::{SecretId, Templates};
use rdsprov_core::secrets::Secret;
use serde_json::{Value, json};

/// The hostile texts. Names of PostgreSQL have up to 63 bytes.
const HOSTILE: [&str; 14] = [
    r#"a"; DROP ROLE x; --"#,
    r"a'; DROP ROLE x; --",
    r"a\'; \! id",
    "$$; DROP ROLE x; $$",
    "a\ndone: nothing to do\r\n",
    "a\u{202e}\u{2066}\u{200f}\u{feff}",
    "a\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1m",
    "=HYPERLINK(1)|x",
    "@SUM(1+1),\"x\"",
    "**a** ` ``` | [x](http://x) ![x](x)",
    "<script>alert(1)</script><!-- & \"x\"",
    "##[error]x ##vso[task.x]y ##teamcity[x]",
    "${jndi:x} %{ if x } {{x}}",
    "/* x */ a\u{2028}\u{85}b",
];

/// A plain name, which is part of each name of the same length in the place of a hostile text.
const PLAIN: &str = "plain";

/// What a text for people must not contain.
fn assert_visible(form: &str, text: &str) {
    let is_hidden = |c: char| {
        c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}\u{feff}\u{2028}".contains(c))
    };
    assert!(!text.contains(is_hidden), "{form}: {text:?}");
    assert!(
        !text.contains("##[") && !text.contains("##vso[") && !text.contains("##teamcity["),
        "{form}: {text}"
    );
    assert!(!text.lines().any(|line| line.starts_with("done: nothing")), "{form}: {text}");
}

fn scenarios() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios");
    let mut all: Vec<PathBuf> =
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|one| {
        ["definitions.tfvars", "observed.json"].iter().all(|file| one.join(file).exists())
            && !one.join("rdsprov.toml").exists()
    });
    all.sort();
    all
}

/// The names in a state that a server chooses: those of roles, databases, schemas, relations and columns.
fn names(state: &Value, all: &mut BTreeSet<String>) {
    let mut keys = |value: &Value| {
        let map = value.as_object().into_iter().flatten();
        all.extend(map.map(|(name, _)| name.clone()));
    };
    for key in ["roles", "databases", "schemas"] {
        keys(&state[key]);
    }
    match state {
        Value::Object(map) => {
            for (key, value) in map {
                if key == "names" {
                    let listed = value.as_array().into_iter().flatten();
                    all.extend(listed.filter_map(Value::as_str).map(str::to_owned));
                }
                names(value, all);
            }
        }
        Value::Array(list) => list.iter().for_each(|one| names(one, all)),
        _ => {}
    }
}

/// Replaces names, also in comments, and adds a text to each comment.
fn renamed(value: &Value, others: &BTreeMap<String, String>, text: &str) -> Value {
    match value {
        Value::String(name) => others.get(name).unwrap_or(name).as_str().into(),
        Value::Array(list) => list.iter().map(|one| renamed(one, others, text)).collect(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                let value = match (key.as_str(), value) {
                    ("comment", Value::String(comment)) => format!("{text}\n{comment}").into(),
                    ("comment", Value::Null) => text.into(),
                    // As SQL.
                    ("identity", Value::String(name)) if others.contains_key(name) => {
                        format!("\"{}\"", others[name].replace('"', "\"\"")).into()
                    }
                    _ => renamed(value, others, text),
                };
                (others.get(key).unwrap_or(key).clone(), value)
            };
            map.iter().map(entry).collect()
        }
        other => other.clone(),
    }
}

/// A scenario with other names.
struct Case {
    desired: Desired,
    definitions: Definitions,
    observed: Observed,
}

impl Case {
    /// Replaces each name by `text` and a number, except those of the definitions and of PostgreSQL. Names that
    /// a definitions file cannot contain are those of a server only.
    fn new(scenario: &Path, text: &str) -> Self {
        let read = |file: &str| fs::read_to_string(scenario.join(file)).unwrap();
        let recording: Value = serde_json::from_str(&read("observed.json")).unwrap();
        let hcl = read("definitions.tfvars");
        let mut all = BTreeSet::new();
        names(&recording["observed"], &mut all);
        let is_fixed = |name: &str| {
            ["pg_", "rds", "plat", "postgres", "template", "public", "information_schema"]
                .iter()
                .any(|begin| name.starts_with(begin))
                || hcl.contains(name)
        };
        let new = all.into_iter().filter(|name| !is_fixed(name)).enumerate();
        let new = new.map(|(number, name)| (name, format!("{text}{number}")));
        let others: BTreeMap<String, String> = new.collect();
        let state = renamed(&recording["observed"], &others, text);
        let observed = serde_json::from_value(state).unwrap();
        let settings =
            serde_json::to_string(text).unwrap().replace("${", "$${").replace("%{", "%%{");
        let hcl = hcl.replacen(
            "username",
            &format!("settings = {{ application_name = {settings} }}, username"),
            usize::from(!hcl.contains("settings")),
        );
        let source =
            SourceText { path: "definitions.tfvars".to_owned(), text: hcl, syntax: Syntax::Hcl };
        let definitions = Definitions::parse(&[source], &Rules::default()).unwrap();
        let desired = Desired::new(&definitions, "dev", &Templates::default(), None).unwrap();
        Self { desired, definitions, observed }
    }

    fn plan(&self) -> Plan {
        Plan::new(&self.desired, &self.observed, SecretFindings::default())
    }

    fn export(&self, format: ExportFormat) -> String {
        let (templates, scope, rules) =
            (Templates::default(), ExportScope::default(), Rules::default());
        let context = ExportContext {
            environment: "dev",
            templates: &templates,
            rules: &rules,
            build_id: None,
            scope: &scope,
            undeclared_access: UndeclaredAccess::default(),
        };
        let draft = Draft::new(&self.observed, &context).unwrap();
        Export::new(draft, &self.observed, Vec::new()).to_text(format, &Neutral)
    }
}

fn access_report(text: &str) -> AccessReport {
    let schema = json!({
        "owner": false, "privileges": ["USAGE"], "through": ["public"],
        "objects": [{
            "kind": "table", "privileges": ["SELECT"], "on_columns": [], "count": 1, "through": ["grant"]
        }]
    });
    let role = json!({
        "status": "unmanaged", "role": text, "login": true, "inherits": [text], "may_become": [text],
        "powers": [text], "database": ["CONNECT"], "database_through": [{ "role": text }],
        "schemas": { text: schema }
    });
    let database = json!({
        "database": text, "owner": text, "application": text, "declared": true, "unreachable": text,
        "objects": { text: { "table": 2 } }, "roles": [role]
    });
    let report = json!({
        "format_version": 2, "environment": text, "timestamp_utc": text, "server": text,
        "server_version": text, "administrator": text, "rdsprov_version": text, "actor": text,
        "os_user": text, "host": text, "superusers": [text], "databases": [database]
    });
    AccessReport::from_json(&report.to_string()).unwrap()
}

/// Returns a script without comments and the content of quotes, as the lexer of PostgreSQL reads it.
fn skeleton(sql: &str) -> String {
    let mut skeleton = String::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("--") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if c == '"' || c == '\'' {
            // With a backslash as an escape after `E`.
            let escapes = c == '\'' && skeleton.ends_with(['E', 'e']);
            if escapes || skeleton.ends_with("U&") || skeleton.ends_with("u&") {
                skeleton.truncate(skeleton.trim_end_matches("U&").len() - usize::from(escapes));
            }
            let mut previous = None;
            let mut end = rest.len();
            let mut characters = rest.char_indices().skip(1).peekable();
            while let Some((at, one)) = characters.next() {
                let is_escaped = escapes && previous == Some('\\');
                if one == c && !is_escaped {
                    if characters.peek().is_some_and(|(_, next)| *next == c) {
                        characters.next();
                    } else {
                        end = at + 1;
                        break;
                    }
                }
                previous = if is_escaped { None } else { Some(one) };
            }
            skeleton.push(c);
            rest = &rest[end..];
        } else {
            skeleton.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    skeleton
}

/// Returns how often each of these characters occurs, for texts whose lines are in another order.
fn counts(text: &str, characters: &str) -> BTreeMap<char, usize> {
    characters.chars().map(|c| (c, text.matches(c).count())).collect()
}

fn cells(csv: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Asserts that a spreadsheet reads no cell as a formula, and that two tables have the same form.
fn assert_same_table(form: &str, csv: &str, plain: &str) {
    assert_visible(form, csv);
    let (hostile, plain) = (cells(csv), cells(plain));
    assert_eq!(hostile.len(), plain.len(), "{form}: {csv}");
    for (one, other) in hostile.iter().zip(&plain) {
        assert_eq!(one.len(), other.len(), "{form}: {csv}");
    }
    for cell in hostile.iter().flatten() {
        assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{form}: {cell:?}");
    }
}

#[test]
fn plans_show_hostile_texts_as_texts() {
    let mut shown = 0;
    for (number, scenario) in scenarios().iter().step_by(4).enumerate() {
        let plain = Case::new(scenario, PLAIN);
        let plain_plan = plain.plan();
        // Each text in some scenarios, and some texts in each.
        for text in HOSTILE.iter().skip(number % 4).step_by(4) {
            let name = scenario.file_name().unwrap().to_string_lossy();
            let form = |form: &str| format!("{form} of {name} with {text:?}");
            let case = Case::new(scenario, text);
            let plan = case.plan();
            let full = plan.to_text_with(&Neutral, Detail::Full);
            assert_visible(&form("text"), &plan.to_text());
            assert_visible(&form("full text"), &full);
            shown += usize::from(full != plain_plan.to_text_with(&Neutral, Detail::Full));

            let sql = plan.to_sql();
            assert_visible(&form("sql"), &sql);
            let form_of_sql = |sql: &str| counts(&skeleton(sql), ";()\"'\\$");
            let plain_sql = plain_plan.to_sql();
            assert_eq!(
                form_of_sql(&sql),
                form_of_sql(&plain_sql),
                "{}: {sql}\ninstead of\n{plain_sql}",
                form("sql")
            );

            let json = plan.to_json().unwrap();
            assert_visible(&form("json"), &json);
            let count = |json: &str| {
                serde_json::from_str::<Value>(json).unwrap().as_object().unwrap().len()
            };
            assert_eq!(count(&json), count(&plain_plan.to_json().unwrap()));

            let markdown = plan.to_markdown_worded(&Neutral);
            assert_visible(&form("markdown"), &markdown);
            assert_eq!(
                rendered(&markdown),
                rendered(&plain_plan.to_markdown_worded(&Neutral)),
                "{}: {markdown}",
                form("markdown")
            );

            if let Ok(saved) = SavedPlan::new(&plan) {
                let written = saved.to_json().unwrap();
                assert_visible(&form("saved plan"), &written);
                assert_eq!(SavedPlan::from_json(&written).unwrap(), saved);
            }
            for format in [GraphFormat::Mermaid, GraphFormat::Dot] {
                let graph = case.definitions.to_graph(format);
                assert_visible(&form("graph"), &graph);
                assert_eq!(
                    graph.lines().count(),
                    plain.definitions.to_graph(format).lines().count()
                );
            }
            for (format, syntax) in
                [(ExportFormat::Tfvars, Syntax::Hcl), (ExportFormat::Toml, Syntax::Toml)]
            {
                let exported = case.export(format);
                assert_visible(&form("export"), &exported);
                let source = SourceText { path: "export".to_owned(), text: exported, syntax };
                Definitions::parse(&[source], &Rules::default()).unwrap();
            }
        }
    }
    assert!(shown > 50, "only {shown} plans contain such a text");
}

/// Returns the elements of Markdown that a text has: emphasis, code, links, images, tables, HTML and lists. Fenced
/// blocks and code spans have none.
fn rendered(markdown: &str) -> BTreeMap<char, usize> {
    let mut text = String::new();
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match &fence {
            Some(open) if ticks >= open.len() && line.trim_matches('`').trim().is_empty() => {
                fence = None;
            }
            Some(_) => {}
            None if ticks >= 3 && !line[ticks..].contains('`') => fence = Some("`".repeat(ticks)),
            None => {
                let mut rest = line;
                while let Some(at) = rest.find(['`', '\\']) {
                    text.push_str(&rest[..at]);
                    rest = &rest[at..];
                    if let Some(after) = rest.strip_prefix('\\') {
                        // An escaped character.
                        rest = after.char_indices().nth(1).map_or("", |(at, _)| &after[at..]);
                        continue;
                    }
                    let run = rest.len() - rest.trim_start_matches('`').len();
                    let close = "`".repeat(run);
                    let end = rest[run..].match_indices(&close).find(|(at, _)| {
                        let (before, after) = (&rest[run..run + at], &rest[run + at + run..]);
                        !before.ends_with('`') && !after.starts_with('`')
                    });
                    rest = match end {
                        Some((at, _)) => &rest[run + at + run..],
                        None => {
                            text.push_str(&close);
                            &rest[run..]
                        }
                    };
                }
                text.push_str(rest);
                text.push('\n');
            }
        }
    }
    assert!(fence.is_none(), "a block does not end: {markdown}");
    counts(&text, "`*<>[]|!@\n")
}

#[test]
fn access_reports_show_hostile_texts_as_texts() {
    let plain = access_report(PLAIN);
    for text in HOSTILE {
        let form = |form: &str| format!("{form} with {text:?}");
        let report = access_report(text);
        assert_same_table(&form("csv"), &report.to_csv(), &plain.to_csv());
        for shown in [ShownRoles::WithoutAdministrators, ShownRoles::All] {
            assert_visible(&form("text"), &report.to_text(shown));
            let markdown = report.to_markdown(shown);
            assert_visible(&form("markdown"), &markdown);
            let plain = plain.to_markdown(shown);
            assert_eq!(rendered(&markdown), rendered(&plain), "{}: {markdown}", form("markdown"));
        }
        let html = report.to_html().unwrap();
        assert_visible(&form("html"), &html);
        assert_eq!(
            counts(&html, "<>"),
            counts(&plain.to_html().unwrap(), "<>"),
            "{}",
            form("html")
        );
        let json = report.to_json().unwrap();
        assert_visible(&form("json"), &json);
        assert_eq!(AccessReport::from_json(&json).as_ref(), Ok(&report));
    }
}

#[test]
fn records_show_hostile_texts_as_texts() {
    let record = |text: &str| Record {
        timestamp: "2026-11-29T00:00:00Z".to_owned(),
        environment: text.to_owned(),
        build_id: text.to_owned(),
        run_id: text.to_owned(),
        database: text.to_owned(),
        username: text.to_owned(),
        action: text.to_owned(),
        status: Status::Error,
        duration_ms: 1,
        message: text.to_owned(),
        instance: None,
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.jsonl");
    for text in HOSTILE {
        let csv = |text: &str| to_csv(&[record(text)], Columns::Run);
        assert_same_table(&format!("csv with {text:?}"), &csv(text), &csv(PLAIN));

        let writer = LedgerWriter::open(&path).unwrap();
        let context = RunContext {
            environment: text.into(),
            build_id: text.into(),
            run_id: text.into(),
            attribution: Attribution::detect(
                Some(text.into()),
                Some(text.into()),
                Some(text.into()),
            ),
            ..RunContext::default()
        };
        let outcome = EventKind::Outcome {
            command: Command::Apply,
            status: Status::Error,
            message: text.to_owned(),
            codes: FailureCodes::default(),
            already_recorded: false,
            applied: BTreeMap::from([(text.to_owned(), text.to_owned())]),
        };
        let intent = EventKind::Intent {
            command: Command::Apply,
            plan: text.to_owned(),
            definition_digests: BTreeMap::new(),
            transactions: Vec::new(),
        };
        writer.append(&context, &[Event::now(intent), Event::now(outcome)]).unwrap();
    }
    let ledger = fs::read(&path).unwrap();
    assert_visible("ledger", std::str::from_utf8(&ledger).unwrap());
    assert_eq!(ledger.iter().filter(|byte| **byte == b'\n').count(), 2 * HOSTILE.len());
    let verified = verify(ledger.as_slice(), None).unwrap();
    assert!(verified.is_intact(), "{:?}", verified.findings);
    assert_eq!(report(&ledger, None, None).unwrap().verified.records as usize, 2 * HOSTILE.len());
    for (line, text) in ledger.split(|byte| *byte == b'\n').step_by(2).zip(HOSTILE) {
        let record: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(record["environment"], text);
    }
}

/// An error contains no part of a secret, whatever this is.
#[test]
fn errors_of_secrets_and_definitions_show_hostile_texts_as_texts() {
    let id = SecretId("goldenpath/dev/shop/postgres".to_owned());
    for text in HOSTILE {
        let form = |form: &str| format!("{form} with {text:?}");
        for secret in [
            text.to_owned(),
            json!({ "password": text, "port": text }).to_string(),
            json!({ "password": 1, "host": text, text: text }).to_string(),
        ] {
            if let Err(error) = Secret::parse(&id, &secret) {
                assert_visible(&form("error of a secret"), &error.to_string());
                assert!(!error.to_string().contains(text), "{error}");
            }
        }
        let key = json!({ "application_databases": {
            text: { "database_name": text, "username": text, text: text, "access_level": text }
        }});
        for (syntax, source) in [
            (Syntax::Json, key.to_string()),
            (Syntax::Hcl, text.to_owned()),
            (Syntax::Toml, text.to_owned()),
            (Syntax::Hcl, format!("application_databases = {{ \"{text}\" = {{}} }}")),
            (Syntax::Toml, format!("[application_databases.\"{text}\"]")),
        ] {
            let source = SourceText { path: text.to_owned(), text: source, syntax };
            let errors = Definitions::parse(&[source], &Rules::default()).unwrap_err();
            assert_visible(&form("errors"), &errors.to_string());
        }
    }
}
