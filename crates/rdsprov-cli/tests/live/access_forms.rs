//! The sources of privileges in `rdsprov access`, its CSV and HTML forms, and the changes between reports.

use std::process::Command;

use rdsprov_core::schema::Document;
use rdsprov_testkit::versions;
use serde_json::{Value, json};

use crate::fixture::{Fixture, expect, password, program};
use crate::schema::assert_valid;

const DEFINITIONS: &str = r#"application_databases = {
    shop         = { database_name = "shop", username = "shop_owner" }
    shop_reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
}"#;

const HOSTILE: &str = "</script><img src=x onerror=alert(1)>";

/// Starts a server with declared and other roles.
fn fixture(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    for (application, user) in [("shop", "shop_owner"), ("shop_reports", "shop_reader")] {
        fixture.app("dev", application, user);
    }
    let definitions = fixture.definitions(DEFINITIONS);
    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let owner = |sql: &str| {
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
    };
    owner("CREATE TABLE orders (id int, note text); CREATE TABLE items (id int)");
    fixture.query(&format!(
        "CREATE ROLE bi LOGIN; CREATE ROLE analysts; CREATE ROLE ann LOGIN IN ROLE analysts;
         CREATE ROLE all_reader LOGIN IN ROLE pg_read_all_data; CREATE ROLE dba LOGIN IN ROLE shop_owner;
         CREATE ROLE \"{HOSTILE}\" LOGIN; CREATE ROLE \"=1+1\" LOGIN"
    ));
    fixture.query_in(
        "shop",
        &format!(
            "GRANT CONNECT ON DATABASE shop TO bi, analysts, all_reader, \"{HOSTILE}\", \"=1+1\";
             GRANT SELECT (note) ON orders TO bi; GRANT INSERT ON items TO analysts;
             GRANT REFERENCES ON items TO PUBLIC"
        ),
    );
    (fixture, definitions)
}

/// Returns the standard output of `rdsprov access`.
fn access(fixture: &Fixture, definitions: &str, arguments: &[&str], code: i32) -> String {
    let words = [["access", "--env", "dev"].as_slice(), arguments].concat();
    let output = fixture.run(definitions, &words);
    expect(&output, code);
    String::from_utf8(output.stdout).unwrap()
}

fn role<'a>(report: &'a Value, name: &str) -> &'a Value {
    let roles = report["databases"][0]["roles"].as_array().unwrap();
    roles.iter().find(|one| one["role"] == name).unwrap_or_else(|| panic!("no {name}: {report}"))
}

/// Each source is true: without it, the role has not the privilege, unless it has another source.
#[test]
fn sources_of_privileges_are_reported() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE keeper; CREATE ROLE under_keeper LOGIN IN ROLE keeper");
        let tables = "CREATE SCHEMA lending; CREATE TABLE lending.loans (id int, note text);
            CREATE TABLE lending.prices (id int); GRANT ALL ON lending.loans TO keeper;
            GRANT UPDATE (note) ON lending.loans TO bi; GRANT SELECT ON lending.prices TO PUBLIC";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", tables).unwrap();
        let json = access(&fixture, &definitions, &["--format", "json"], 0);
        let report: Value = serde_json::from_str(&json).unwrap();
        assert_valid(Document::Access, &report);
        let tables = |name: &str, schema: &str| {
            let objects = role(&report, name)["schemas"][schema]["objects"].clone();
            let tables = objects.as_array().unwrap().iter().filter(|one| one["kind"] == "table");
            tables.cloned().collect::<Vec<_>>()
        };
        for (name, expected) in [
            ("bi", json!(["grant"])),
            ("analysts", json!(["grant"])),
            ("ann", json!([{ "role": "analysts" }])),
            ("shop_owner", json!(["owner"])),
            ("dba", json!([{ "role": "shop_owner" }])),
        ] {
            let seen = &role(&report, name)["database_through"];
            assert_eq!(*seen, expected, "PostgreSQL {major}: {name}");
        }
        // Each row of tables has a first privilege, and the sources of all its privileges. PUBLIC has REFERENCES
        // on `items` and SELECT on `prices`, and nothing on other tables.
        let (all_data, owner) =
            (json!({ "role": "pg_read_all_data" }), json!({ "role": "shop_owner" }));
        for (name, schema, expected) in [
            ("bi", "public", json!([["REFERENCES", ["public"]], [null, ["grant"]]])),
            ("ann", "public", json!([["INSERT", [{ "role": "analysts" }, "public"]]])),
            (
                "all_reader",
                "public",
                json!([["SELECT", [all_data, "public"]], ["SELECT", [all_data]]]),
            ),
            ("shop_owner", "public", json!([["SELECT", ["owner", "public"]]])),
            ("dba", "public", json!([["SELECT", [owner, "public"]]])),
            (
                "shop_reader",
                "public",
                json!([["SELECT", ["grant", "public"]], ["SELECT", ["grant"]]]),
            ),
            ("keeper", "lending", json!([["SELECT", ["grant"]], ["SELECT", ["public"]]])),
            (
                "under_keeper",
                "lending",
                json!([["SELECT", [{ "role": "keeper" }]], ["SELECT", ["public"]]]),
            ),
            ("bi", "lending", json!([["SELECT", ["public"]], [null, ["grant"]]])),
            ("shop_owner", "lending", json!([["SELECT", ["owner", "public"]]])),
        ] {
            let rows = tables(name, schema).into_iter();
            let rows: Value =
                rows.map(|one| json!([one["privileges"][0], one["through"]])).collect();
            assert_eq!(rows, expected, "PostgreSQL {major}: {name} in {schema}");
        }
        let text = access(&fixture, &definitions, &[], 0);
        assert!(text.contains("database: CONNECT [through analysts]"), "{text}");
        let first = text.lines().find(|line| line.starts_with("  ") && !line.starts_with("   "));
        assert!(first.unwrap().contains("not managed"), "{text}");
    }
}

#[test]
fn csv_form_has_a_line_for_each_privilege_and_no_formula() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let csv = access(&fixture, &definitions, &["--format", "csv"], 0);
        let mut lines = csv.lines();
        let header = lines.next().unwrap();
        assert!(header.starts_with("timestamp_utc,environment,server,database,owner,role,login,"));
        let columns = header.split(',').count();
        let plain: Vec<Vec<&str>> = lines
            .clone()
            .filter(|line| !line.contains('"'))
            .map(|line| line.split(',').collect())
            .collect();
        assert!(plain.iter().all(|line| line.len() == columns), "{csv}");
        let has = |cells: [&str; 5]| {
            let place = |name: &str| header.split(',').position(|column| column == name).unwrap();
            let names = ["role", "kind", "privileges", "on_columns", "through"];
            plain
                .iter()
                .any(|line| names.iter().zip(cells).all(|(name, cell)| line[place(name)] == cell))
        };
        assert!(has(["bi", "database", "CONNECT", "", "granted"]), "PostgreSQL {major}: {csv}");
        assert!(has(["ann", "database", "CONNECT", "", "through analysts"]), "{csv}");
        assert!(csv.contains(",'=1+1,true,unmanaged,"), "{csv}");
        assert!(csv.contains(&format!(",{HOSTILE},true,unmanaged,")), "{csv}");
        // Administrators are never left out.
        assert!(csv.contains(",platform_admin,true,administrator,"), "{csv}");
    }
}

/// The number of objects stays the same, and the more valuable one takes the place of the other.
#[test]
fn privilege_on_another_object_is_a_change() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        fixture.query("CREATE ROLE temp LOGIN");
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        owner(
            "CREATE TABLE harmless (id int, a int); CREATE TABLE payroll (id int, a int);
             CREATE TABLE other (id int, a int);
             CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1';
             REVOKE EXECUTE ON FUNCTION f(int), f(text) FROM PUBLIC;
             GRANT USAGE ON SCHEMA public TO temp; GRANT SELECT ON harmless TO temp;
             GRANT UPDATE (a) ON harmless TO temp; GRANT EXECUTE ON FUNCTION f(int) TO temp",
        );
        let old = access(&fixture, &definitions, &["--format", "json"], 0);
        let path = fixture.path().join("old.json");
        std::fs::write(&path, &old).unwrap();
        // Another role with a privilege divides the objects otherwise.
        owner(
            "GRANT SELECT, INSERT ON harmless TO shop_owner; GRANT DELETE ON other TO shop_owner",
        );
        access(&fixture, &definitions, &["--diff", "old.json"], 0);
        owner(
            "REVOKE ALL ON harmless FROM temp; REVOKE UPDATE (a) ON harmless FROM temp;
             GRANT SELECT ON payroll TO temp; GRANT UPDATE (a) ON payroll TO temp;
             REVOKE EXECUTE ON FUNCTION f(int) FROM temp; GRANT EXECUTE ON FUNCTION f(text) TO temp;
             REVOKE SELECT (note) ON orders FROM bi; GRANT SELECT (id) ON orders TO bi",
        );
        let text = access(&fixture, &definitions, &["--diff", "old.json"], 2);
        for line in [
            "  ~ bi: SELECT on some columns of 1 table in schema public, before on other ones",
            "  ~ temp: SELECT on 1 table in schema public, before on other ones",
            "  ~ temp: UPDATE on some columns of 1 table in schema public, before on other ones",
            "  ~ temp: EXECUTE on 1 routine in schema public, before on other ones",
        ] {
            assert!(text.lines().any(|one| one == line), "PostgreSQL {major}: {line}\n{text}");
        }
        assert!(text.contains("\n4 changes of access."), "{text}");
        // A report of an older version contains numbers only.
        std::fs::write(&path, old.replace("\"digests\"", "\"unknown\"")).unwrap();
        access(&fixture, &definitions, &["--diff", "old.json"], 0);
    }
}

#[test]
fn changes_since_an_older_report_are_printed() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let save = |name: &str| {
            let json = access(&fixture, &definitions, &["--format", "json"], 0);
            std::fs::write(fixture.path().join(name), json).unwrap();
        };
        save("old.json");
        let text = access(&fixture, &definitions, &["--diff", "old.json"], 0);
        assert!(text.contains("No change of access."), "{text}");
        // A new table is not a change for a role that may read all tables.
        let table = "CREATE TABLE later (id int)";
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", table).unwrap();
        access(&fixture, &definitions, &["--diff", "old.json"], 0);
        fixture.query("CREATE ROLE temp LOGIN; REVOKE analysts FROM ann; ALTER ROLE bi NOLOGIN");
        fixture.query_in(
            "shop",
            "GRANT CONNECT ON DATABASE shop TO temp; GRANT SELECT ON ALL TABLES IN SCHEMA public TO temp;
             REVOKE CONNECT ON DATABASE shop FROM all_reader; GRANT DELETE ON items TO shop_reader;
             REVOKE SELECT (note) ON orders FROM bi",
        );
        let text = access(&fixture, &definitions, &["--diff", "old.json"], 2);
        for line in [
            "  + temp: new in the report, not managed",
            "  + temp: CONNECT on the database",
            "  + temp: SELECT on all tables in schema public",
            "  - all_reader: CONNECT on the database",
            "  + shop_reader: DELETE on 1 table in schema public",
            "  - bi: SELECT on some columns of 1 table in schema public",
            "  - bi: LOGIN",
        ] {
            assert!(text.lines().any(|one| one == line), "PostgreSQL {major}: {line}\n{text}");
        }
        assert!(text.contains("  - ann: "), "{text}");
        let json = access(&fixture, &definitions, &["--diff", "old.json", "--format", "json"], 2);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_valid(Document::AccessDiff, &json);
        // One role only.
        let one = access(&fixture, &definitions, &["--diff", "old.json", "--role", "bi"], 2);
        assert!(one.contains("bi: LOGIN") && !one.contains("temp"), "{one}");
        // Two files are compared without a server.
        save("new.json");
        let offline = |arguments: &[&str], code| {
            let mut command = program();
            command.current_dir(fixture.path()).arg("access").args(arguments);
            expect(&command.output().unwrap(), code)
        };
        let without_origin = |text: &str| {
            text.lines().filter(|line| !line.starts_with("after")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(
            without_origin(&offline(&["--diff", "old.json", "new.json"], 2)),
            without_origin(&text).trim_end()
        );
        let back = offline(&["--diff", "new.json", "old.json"], 2);
        assert!(
            back.contains("  - temp: not in the report any more, before not managed"),
            "{back}"
        );
        offline(&["--diff", "new.json", "new.json"], 0);
        let file = fixture.path().join("other.json");
        let text = std::fs::read_to_string(fixture.path().join("new.json")).unwrap();
        std::fs::write(&file, text.replace(r#""environment": "dev""#, r#""environment": "qa""#))
            .unwrap();
        let error = offline(&["--diff", "old.json", "other.json"], 64);
        assert!(error.contains("environment dev, and the other of environment qa"), "{error}");
        assert!(error.contains("hint: compare reports of one environment"), "{error}");
        std::fs::write(&file, text.replace(r#""format_version": 2"#, r#""format_version": 1"#))
            .unwrap();
        assert!(
            offline(&["--diff", "other.json", "new.json"], 64).contains("has `format_version` 1")
        );
        std::fs::write(&file, "{}").unwrap();
        let error = offline(&["--diff", "other.json", "new.json"], 64);
        assert!(error.contains("other.json cannot be read as an access report"), "{error}");
        offline(&["--diff", "old.json", "new.json", "--format", "csv"], 64);
    }
}

#[test]
fn html_form_contains_the_data_of_the_report() {
    for major in versions() {
        let (fixture, definitions) = fixture(major);
        let page = access(&fixture, &definitions, &["--format", "html"], 0);
        assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("<img"), "{page}");
        let data = page.split(r#"<script type="application/json" id="data">"#).nth(1).unwrap();
        let data: Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
        let roles = data["roles"].as_array().unwrap();
        let level = |name: &str| {
            let found = roles.iter().find(|one| one["name"] == name);
            found.unwrap_or_else(|| panic!("no {name}: {data}"))["access"][0]["level"].clone()
        };
        for (name, expected) in [
            ("shop_owner", "owner"),
            ("dba", "write"),
            ("shop_reader", "read"),
            ("all_reader", "read"),
            ("bi", "read"),
            (HOSTILE, "connect"),
        ] {
            assert_eq!(level(name), expected, "PostgreSQL {major}: {name}");
        }
        assert_eq!(roles[0]["administrative"], false);
        assert_eq!(roles.last().unwrap()["public"], true);
        let administrator = roles.iter().find(|one| one["name"] == "platform_admin").unwrap();
        assert_eq!(administrator["administrative"], true);
        if let Ok(path) = std::env::var("RDSPROV_KEEP_HTML") {
            std::fs::write(path, &page).unwrap();
        }
    }
}

/// Filter, sort and details of the HTML page in a browser, in a window as narrow as a telephone, in which
/// names may continue on the next line after some signs only.
#[test]
fn html_page_works_in_a_browser() {
    let (fixture, definitions) = fixture(versions()[0]);
    fixture.query(
        "CREATE ROLE billing_owner LOGIN; CREATE ROLE \"data-warehouse.reporting_owner\" LOGIN;
         GRANT CONNECT ON DATABASE shop TO billing_owner, \"data-warehouse.reporting_owner\"",
    );
    let page = access(&fixture, &definitions, &["--format", "html"], 0);
    // The policy of the page allows its own script only.
    let (before, policy) = page.split_once("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let (_, after) = policy.split_once('>').unwrap();
    let driven = format!("{before}{after}").replace("</body>", &format!("{DRIVER}</body>"));
    // The narrowest window of Chromium has 500 pixels.
    let driven = driven.replace('&', "&amp;").replace('"', "&quot;");
    let frame = format!(
        r#"<iframe width="360" height="900" style="border: 0" srcdoc="{driven}"></iframe>"#
    );
    let path = fixture.path().join("driven.html");
    std::fs::write(&path, format!("<!DOCTYPE html><meta charset=\"utf-8\">{frame}")).unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu"]);
    chromium.arg(format!("--user-data-dir={}", fixture.path().join("chromium").display()));
    let output = chromium.arg("--dump-dom").arg(&path).output();
    let output = output.expect("Chromium is not installed: `apt-get install chromium`");
    let dom = String::from_utf8_lossy(&output.stdout);
    let seen = dom.split(r#"<pre id="seen">"#).nth(1).and_then(|rest| rest.split("</pre>").next());
    let seen = seen.unwrap_or_else(|| panic!("{dom}{}", String::from_utf8_lossy(&output.stderr)));
    let seen: Value = serde_json::from_str(seen).unwrap();
    assert_eq!(seen["width"], 360);
    assert_eq!(seen["filtered"], json!(["billing_owner"]));
    assert_eq!(seen["readers"], json!(["shop_reader"]));
    let names = |key: &str| {
        let names = seen[key].as_array().unwrap().iter();
        names.map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (ascending, mut descending) = (names("ascending"), names("descending"));
    descending.reverse();
    assert!(ascending.len() > 5 && ascending.is_sorted(), "{ascending:?}");
    assert_eq!(ascending, descending);
    assert_eq!(seen["title"], "ann in database shop");
    let details = seen["details"].as_str().unwrap();
    assert!(
        details.contains("1 of 2 tables in public|INSERT, REFERENCES|through analysts, PUBLIC"),
        "{details}"
    );
    assert_eq!(seen["closed"], true);
    assert_eq!(seen["broken"], json!([]), "{seen}");
}

/// Uses the page as a reader does, and writes what it then shows. `broken` are the words that continue on the
/// next line without a sign for it. Without room for a word, nothing else is possible: the hostile name is one.
const DRIVER: &str = r##"<script>
const of = (id) => document.getElementById(id);
const set = (id, value) => { of(id).value = value; of(id).dispatchEvent(new Event("input", { bubbles: true })); };
const rows = () => [...document.querySelectorAll("#matrix tbody th")].map((one) => one.textContent);
const sort = () => document.querySelector("#matrix thead button").click();
const broken = () => {
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.checkVisibility() || text.parentElement.closest("script, select")) continue;
    if (text.textContent.includes("img")) continue;
    let before = null;
    for (let at = 0; at < text.length; at++) {
      const range = document.createRange();
      range.setStart(text, at);
      range.setEnd(text, at + 1);
      const box = range.getBoundingClientRect();
      const word = text.textContent.slice(at - 1, at + 1);
      if (before !== null && box.height > 0 && box.top > before + 2 && /^[^\s_.:-]\S$/.test(word)) {
        found.add(text.parentElement.textContent);
      }
      if (box.height > 0) before = box.top;
    }
  }
  return [...found];
};
const seen = { width: innerWidth };
sort(); seen.ascending = rows();
sort(); seen.descending = rows();
set("role", "BILLING"); seen.filtered = rows();
set("role", ""); set("status", "declared"); seen.readers = rows().filter((one) => one !== "shop_owner");
set("status", "");
seen.broken = broken();
[...document.querySelectorAll("#matrix tbody tr")]
  .find((row) => row.querySelector("th").textContent === "ann").querySelector("button").click();
seen.title = of("details-title").textContent;
seen.details = [...document.querySelectorAll("#details tr")]
  .map((row) => [...row.children].map((cell) => cell.textContent).join("|")).join("\n");
seen.broken.push(...broken());
document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));
seen.closed = of("details").hidden;
const pre = document.createElement("pre");
pre.id = "seen";
pre.textContent = JSON.stringify(seen);
parent.document.body.append(pre);
</script>"##;

/// Returns the current time in the format of RFC 3339.
fn now(fixture: &Fixture) -> String {
    let format = r#"YYYY-MM-DD"T"HH24:MI:SS.US"Z""#;
    fixture.query(&format!("SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', '{format}')"))
}

/// What the ledger shows at a time: before a revocation, after it, and before the first record.
#[test]
fn ledger_shows_what_was_granted_at_a_time() {
    for major in versions() {
        let (fixture, _) = fixture(major);
        let apply = |definitions: &str, build: &str| {
            let definitions = fixture.definitions(definitions);
            let words = ["apply", "--env", "dev", "--audit-ledger", "l.jsonl", "--build-id", build];
            expect(&fixture.run(&definitions, &words), 0);
            now(&fixture)
        };
        let at = |time: &str, more: &[&str], code| {
            let mut command = program();
            command.current_dir(fixture.path());
            command.args(["access", "--at", time, "--audit-ledger", "l.jsonl"]).args(more);
            expect(&command.output().unwrap(), code)
        };
        fixture.app("dev", "wiki", "wiki_owner");
        fixture.app("dev", "wiki_reports", "wiki_reader");
        let wiki = r#"application_databases = {
            wiki         = { database_name = "wiki", username = "wiki_owner" }
            wiki_reports = { database_name = "wiki", username = "wiki_reader", access_level = "LEVEL" }
        }"#;
        let first = apply(&wiki.replace("LEVEL", "editor"), "b1");
        let second = apply(&wiki.replace("LEVEL", "reader"), "b2");
        let database = r#"CONNECT ON DATABASE "wiki""#;
        let insert =
            r#"INSERT ON TABLES, default privileges FOR ROLE "wiki_owner" IN SCHEMA "public""#;
        let text = at(&first, &[], 0);
        assert!(text.contains(&format!("wiki_reader: {database} (since ")), "{text}");
        assert!(
            text.contains(&format!("wiki_reader: {insert} (since ")),
            "PostgreSQL {major}: {text}"
        );
        assert!(text.contains("wiki_owner: owner of the database (since "), "{text}");
        assert!(text.contains(", build b1)") && !text.contains("build b2"), "{text}");
        assert!(text.contains("not shown: access before this change"), "{text}");
        assert!(!text.contains("platform_admin: membership"), "{text}");
        let text = at(&second, &["--role", "wiki_reader"], 0);
        assert!(text.contains(&format!("wiki_reader: {database} (since ")), "{text}");
        assert!(!text.contains(insert) && !text.contains("wiki_owner:"), "{text}");
        assert!(!at("2020-01-01T00:00:00Z", &[], 0).contains("wiki_reader"));
        let output = {
            let mut command = program();
            command.current_dir(fixture.path());
            command.args([
                "access",
                "--at",
                &second,
                "--audit-ledger",
                "l.jsonl",
                "--format",
                "json",
            ]);
            command.output().unwrap()
        };
        expect(&output, 0);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_valid(Document::AccessAt, &json);
        // What it shows as granted on the database, the server confirms.
        for one in json["granted"].as_array().unwrap() {
            let access = one["access"].as_str().unwrap();
            if let Some(privilege) = access.strip_suffix(r#" ON DATABASE "wiki""#) {
                let role = one["role"].as_str().unwrap();
                let held = fixture.query(&format!(
                    "SELECT has_database_privilege('{role}', 'wiki', '{privilege}')"
                ));
                assert_eq!(held, "t", "{one}");
            }
        }
        let text = at(&second, &["--role", "wiki_raeder"], 1);
        assert!(text.contains("the ledger contains no role `wiki_raeder`"), "{text}");
        assert!(text.contains("`wiki_reader` is similar"), "{text}");
        // The ledger is the one of the option, or else that of the variable, or else that of rdsprov.toml.
        let without = |variable: &str, code| {
            let mut command = program();
            command.current_dir(fixture.path()).env("RDSPROV_AUDIT_LEDGER", variable);
            expect(&command.args(["access", "--at", &second]).output().unwrap(), code)
        };
        assert!(without("", 64).contains("hint: name it with --audit-ledger FILE"));
        let config = fixture.path().join("rdsprov.toml");
        std::fs::write(&config, "[audit]\nledger = \"l.jsonl\"\n").unwrap();
        assert!(without("", 0).contains("wiki_owner: owner of the database (since "));
        assert!(without("nosuch.jsonl", 64).contains("nosuch.jsonl"));
        std::fs::remove_file(&config).unwrap();
        // A dropped database and dropped roles have no access.
        let none = fixture.definitions("application_databases = {}");
        let retire =
            ["retire", "wiki", "wiki_reports", "--env", "dev", "--audit-ledger", "l.jsonl"];
        let drop = ["--drop-database", "--drop-role", "--without-backup", "--confirm", "wiki"];
        let allow = ["--allow", "drops_role,drops_database"];
        expect(&fixture.run(&none, &[&retire[..], &drop, &allow].concat()), 0);
        let dropped = now(&fixture);
        let text = at(&dropped, &[], 0);
        assert!(!text.contains("wiki_"), "{text}");
        let text = at("2100-01-01T00:00:00Z", &[], 64);
        assert!(text.contains("the time of --at is in the future"), "{text}");
        assert!(at(&second, &[], 0).contains("wiki_owner: owner of the database (since "));
        at("yesterday", &[], 64);
        at(&second, &["--format", "html"], 64);
        let ledger = fixture.path().join("l.jsonl");
        let text = std::fs::read_to_string(&ledger).unwrap();
        std::fs::write(&ledger, text.replace("wiki_reader", "wiki_readr")).unwrap();
        assert!(at(&second, &[], 1).contains("ledger-damaged"));
    }
}
