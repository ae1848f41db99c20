//! Definitions files and the result of reading them: `testdata/definitions/valid` with the parsed
//! definitions, `testdata/definitions/invalid` with the printed errors. Every valid file that
//! Terraform can read is compared with Terraform's result: with Terraform itself if it is
//! installed, otherwise with recorded output.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rdsprov_core::config::Config;
use rdsprov_core::definitions::{
    DefinitionError, Definitions, Mode, RoleFiles, Rules, SourceText, Syntax,
};
use serde_json::{Map, Value, json};

fn files(folder: &str) -> Vec<(String, PathBuf)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/definitions").join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn source(name: &str, text: impl Into<String>) -> SourceText {
    SourceText {
        path: name.to_owned(),
        text: text.into(),
        syntax: Syntax::from_path(name).unwrap(),
    }
}

/// Returns the default rules with a change.
fn rules(change: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = Rules::default();
    change(&mut rules);
    rules
}

fn pretty(definitions: &Definitions) -> String {
    serde_json::to_string_pretty(definitions).unwrap()
}

/// Returns the definitions or the errors of named in-memory files.
fn outcome(sources: &[(&str, &str)], rules: &Rules) -> String {
    let sources: Vec<_> = sources.iter().map(|(name, text)| source(name, *text)).collect();
    match Definitions::parse(&sources, rules) {
        Ok(definitions) => pretty(&definitions),
        Err(errors) => errors.to_string(),
    }
}

#[test]
fn valid_files() {
    for (name, path) in files("valid") {
        let source = source(&name, fs::read_to_string(&path).unwrap());
        match Definitions::parse(&[source], &Rules::default()) {
            Ok(definitions) => {
                insta::assert_snapshot!(format!("valid__{name}"), pretty(&definitions))
            }
            Err(errors) => panic!("{errors}"),
        }
    }
}

#[test]
fn invalid_files() {
    for (name, path) in files("invalid") {
        let source = source(&name, fs::read_to_string(&path).unwrap());
        match Definitions::parse(&[source], &Rules::default()) {
            Ok(definitions) => panic!("{name} is accepted: {definitions:?}"),
            Err(errors) => insta::assert_snapshot!(format!("invalid__{name}"), errors.to_string()),
        }
    }
}

const A: &str = r#"application_databases = { a = { database_name = "a", username = "a_user" } }"#;
const B: &str = r#"application_databases = { b = { database_name = "b", username = "b_user" } }"#;

#[test]
fn several_files_are_merged() {
    let rules = Rules::default();
    let common = ("common.tfvars", "environment = \"dev\"\naws_region = \"eu-west-2\"\n");
    insta::assert_snapshot!(
        "files__together",
        outcome(&[common, ("a.tfvars", A), ("b.tfvars", B)], &rules)
    );
    insta::assert_snapshot!(
        "files__same_application",
        outcome(&[("a.tfvars", A), ("b.tfvars", A)], &rules)
    );
    insta::assert_snapshot!(
        "files__two_environments",
        outcome(&[common, ("b.tfvars", &format!("environment = \"prod\"\n{B}"))], &rules)
    );
    insta::assert_snapshot!(
        "files__none_has_definitions",
        outcome(&[common, ("b.tfvars", "rds_config = { enabled = false }")], &rules)
    );
    insta::assert_snapshot!(
        "files__all_errors",
        outcome(
            &[("a.tfvars", "application_databases = {"), ("b.tfvars", "application_databases = 1")],
            &rules
        )
    );
    insta::assert_snapshot!("files__no_file", outcome(&[], &rules));
}

/// The secret that an entry names is that of another entry anyway, or not.
#[test]
fn secret_of_the_template_is_the_same() {
    let entries = r#"application_databases = {
        shop   = { database_name = "shop", username = "shop_owner" }
        legacy = { database_name = "legacy", username = "shop_owner", secret = "goldenpath/dev/shop/postgres" }
    }"#;
    let is_valid = |environment: Option<&str>, template: &str| {
        let rules = rules(|rules| {
            rules.environment = environment.map(str::to_owned);
            rules.templates.application = template.to_owned();
        });
        Definitions::parse(&[source("a.tfvars", entries)], &rules).is_ok()
    };
    let usual = Rules::default().templates.application;
    assert!(is_valid(Some("dev"), &usual) && is_valid(None, &usual));
    assert!(!is_valid(Some("prod"), &usual));
    assert!(
        !is_valid(Some("dev"), "other/{application}") && !is_valid(None, "other/{application}")
    );
}

#[test]
fn mode_selects_the_definitions() {
    let both = format!("{A}\nrds_config = {{ {B} }}\n");
    for mode in Mode::all() {
        let rules = rules(|rules| rules.mode = Some(mode));
        insta::assert_snapshot!(
            format!("mode__{mode}"),
            outcome(&[("both.tfvars", &both)], &rules)
        );
    }
    let coupled = rules(|rules| rules.mode = Some(Mode::Coupled));
    insta::assert_snapshot!("mode__coupled_absent", outcome(&[("a.tfvars", A)], &coupled));
}

/// A default of `creators` is no word of a team that only reads the database.
#[test]
fn default_creators_are_those_of_the_owner_entry() {
    let text = r#"application_databases = {
  shop    = { database_name = "shop", username = "shop_user" }
  reports = { database_name = "shop", username = "reports", access_level = "reader" }
  retired = { database_name = "shop", username = "old_owner", access_level = "none", creators = ["a"] }
  legacy  = { database_name = "legacy", username = "reports", access_level = "reader" }
}"#;
    let config = Config::from_toml("rdsprov.toml", "[defaults]\ncreators = [\"flyway\"]").unwrap();
    let json = outcome(&[("shop.tfvars", text)], &config.rules());
    let read: Value = serde_json::from_str(&json).expect(&json);
    let entries = read["applications"].as_array().unwrap();
    let creators = |name: &str| {
        let entry = entries.iter().find(|entry| entry["application"] == name).unwrap();
        entry["creators"].clone()
    };
    assert_eq!(creators("shop"), serde_json::json!(["flyway"]));
    assert_eq!(creators("reports"), serde_json::json!([]));
    assert_eq!(creators("retired"), serde_json::json!([]));
    assert_eq!(creators("legacy"), serde_json::json!(["flyway"]));
}

#[test]
fn configuration_sets_defaults() {
    let text = r#"
environment = "dev"
application_databases = {
  shop    = { database_name = "shop", username = "shop_user", settings = {}, extensions = ["pg_trgm"] }
  reports = { database_name = "shop", username = "reports", access_level = "reader", auth = "password" }
}"#;
    let config = Config::from_toml(
        "rdsprov.toml",
        r#"
[defaults]
schemas = ["app"]
extensions = ["pgcrypto"]
auth = "iam"
settings = { statement_timeout = "30s" }
[environments.dev.defaults]
connection_limit = 5
schemas = ["public", "app"]
[environments.prod.defaults]
connection_limit = 50
"#,
    )
    .unwrap();
    insta::assert_snapshot!("defaults", outcome(&[("shop.tfvars", text)], &config.rules()));
    let long = "a, ".repeat(2716) + "a";
    let too_long = format!("[defaults]\nsettings = {{ search_path = \"{long}\" }}");
    for (text, says) in [
        ("[defaults]\nschemas = [\"pg_x\"]", "reserved by PostgreSQL"),
        ("[defaults]\naccess_level = \"none\"", "set it in each entry that it retires"),
        ("[defaults]\nconnection_limit = -2", "-1 (none) or more"),
        ("[defaults]\nusername = \"u\"", "unknown field `username`"),
        ("[defaults]\nsettings = { \"work mem\" = \"1\" }", "not the name of a parameter"),
        (
            "[defaults]\nsettings = { search_path = \"a\", SEARCH_PATH = \"b\" }",
            "`search_path` is given twice",
        ),
        (&too_long, "`settings` has 8193 bytes; the maximum is 8192"),
    ] {
        let error = Config::from_toml("rdsprov.toml", text).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line 2"), "{error}");
    }
}

/// A file of Terraform has variables of other programs, too.
#[test]
fn excerpts_contain_no_values_of_other_variables() {
    let shop = r#""application_databases":{"shop":{"database_name":"shop","oops":1}}"#;
    let compact = format!(r#"{{"db_password":"Canary-1",{shop},"list":[{{"a":"Canary-2"}}]}}"#);
    let output = |sensitive: bool, value: &str| {
        format!(r#"{{"sensitive":{sensitive},"type":"string","value":{value}}}"#)
    };
    let (name, value) = shop.split_once(':').unwrap();
    let outputs =
        format!(r#"{{"token":{},{name}:{}}}"#, output(true, "\"Canary-3\""), output(false, value));
    let unclosed = "application_databases = {}\nmaster_password = \"Canary-4\n";
    let one_line = "password = \"Canary-5\", application_databases = { shop = { oops = 1 } }";
    let broken = "password = <<EOT\nx\nEOT\napplication_databases = { a = { oops = \"shown\" } }";
    let unknown = "application_databases = {\n  a = { database_name = \"a\", password = \"Canary-6\" } # Canary-7\n}";
    let block = "application_databases = {}\nvault { token = \"Canary-8\" }";
    let table = "[application_databases.a]\ndatabase_name = 5 # Canary-9\n[other.\"Canary-9\"]\na = \"Canary-9\"";
    let number = "pin = 4711\napplication_databases = { a = { oops = 4711 } }";
    let coupled =
        "rds_config = { application_databases = { a = 5 }, master_password = \"Canary-10\" }";
    let hidden = r#"{"application_databases":{"sensitive":true,"type":"map","value":{"a":{"oops":"Canary-11"}}}}"#;
    for (name, text, shown) in [
        ("a.tfvars.json", compact.as_str(), r#"{"db_password":"********",""#),
        ("b.json", &outputs, r#""database_name":"shop","oops":*}}}}"#),
        ("c.tfvars", unclosed, "--> c.tfvars:2:"),
        ("d.tfvars", one_line, "--> d.tfvars:1:"),
        ("e.tfvars", broken, "oops = \"*****\""),
        ("f.tfvars", unknown, "a = { database_name = \"a\", password = \"********\" }"),
        ("g.tfvars", block, "vault { ***** = \"********\" }"),
        ("h.toml", table, "database_name = 5 * ********"),
        ("i.tfvars", number, "application_databases = { a = { oops = **** } }"),
        ("j.tfvars", coupled, "master_password = \"*********\""),
        ("k.json", hidden, "--> k.json:1:"),
    ] {
        let text = outcome(&[(name, text)], &Rules::default());
        assert!(text.contains(shown), "{name}: {text}");
        assert!(!text.contains("Canary") && !text.contains("4711"), "{name}: {text}");
    }
    let text = outcome(&[("k.json", hidden)], &Rules::default());
    assert!(!text.contains(" | "), "{text}");
}

/// A file that cannot be parsed can be anything.
#[test]
fn errors_of_faulty_files_contain_no_values_of_other_variables() {
    const SECRET: &str = "Canary-1";
    let shop = r#"{"shop":{"database_name":"shop","username":"shop_owner"}}"#;
    let outputs = format!(
        r#"{{"token":{{"sensitive":true,"type":"string","value":"{SECRET}"}},"application_databases":{{"sensitive":false,"type":"map","value":{shop}}}}}"#
    );
    let json = format!(
        r#"{{"password":"{SECRET}","tokens":["{SECRET}",{{"a":"{SECRET}"}}],"application_databases":{shop}}}"#
    );
    let lines = format!(
        "password = \"{SECRET}\"\ntokens = [\n  \"{SECRET}\",\n]\ntext = <<EOT\n{SECRET}\nEOT\n"
    );
    let hcl = format!(
        "{lines}application_databases = {{\n  shop = {{ database_name = \"shop\" }}\n}}\n  indented = [\n    \"{SECRET}\"\n  ]\n{lines}"
    );
    let toml = format!(
        "password = \"{SECRET}\"\ntokens = [\n  '{SECRET}',\n]\n[application_databases.shop]\ndatabase_name = \"shop\"\n[other]\na = \"{SECRET}\""
    );
    for (name, text) in
        [("a.json", &json), ("b.json", &outputs), ("c.tfvars", &hcl), ("d.toml", &toml)]
    {
        let of_secret =
            |at: usize| text.match_indices("anary").any(|(from, _)| (from..from + 5).contains(&at));
        for at in (0..text.len()).filter(|at| !of_secret(*at)).step_by(5) {
            for put in ["", "\"", "{", "}", "]", ",", "=", "\n", "\\", "\\u", "<<", "#"] {
                let (before, after) = text.split_at(at);
                for after in [after, &after[1..]] {
                    let faulty = format!("{before}{put}{after}");
                    let shown = outcome(&[(name, &faulty)], &Rules::default());
                    assert!(!shown.contains("anary"), "{name}: {faulty}\n{shown}");
                }
            }
        }
    }
}

/// Each form of definitions can name the scope, as `rdsprov.toml` can.
#[test]
fn scope_is_in_each_form_of_definitions() {
    let shop = r#"{"shop":{"database_name":"shop","username":"shop_owner"}}"#;
    let output = |value: &str| format!(r#"{{"sensitive":false,"type":"string","value":{value}}}"#);
    let outputs = format!(
        r#"{{"scope":{},"rds_config":{}}}"#,
        output("\"billing\""),
        output(&format!(r#"{{"application_databases":{shop}}}"#))
    );
    let hcl = "scope = \"billing\"\napplication_databases = { shop = { database_name = \"shop\", username = \"shop_owner\" } }";
    let toml = "scope = \"billing\"\n[application_databases.shop]\ndatabase_name = \"shop\"\nusername = \"shop_owner\"";
    let json = format!(r#"{{"scope":"billing","application_databases":{shop}}}"#);
    let configured = |scope: &str| rules(|rules| rules.scope = Some(scope.to_owned()));
    for (name, text) in
        [("a.tfvars", hcl), ("b.toml", toml), ("c.json", &json), ("d.json", &outputs)]
    {
        for rules in [Rules::default(), configured("billing")] {
            let text = outcome(&[(name, text)], &rules);
            assert!(text.contains(r#""scope": "billing""#), "{name}: {text}");
        }
        let text = outcome(&[(name, text)], &configured("crm"));
        assert!(text.contains(r#"`scope` is "billing" here, but "crm" in rdsprov.toml"#), "{text}");
    }
    let unscoped = hcl.replace("scope = \"billing\"\n", "");
    let of = |scope: &str| format!("scope = \"{scope}\"\n{unscoped}");
    let text = outcome(&[("a.tfvars", &unscoped)], &configured("crm"));
    assert!(text.contains(r#""scope": "crm""#), "{text}");
    let text = outcome(&[("a.tfvars", &of("a b"))], &Rules::default());
    assert!(text.contains(r#"scope name "a b" contains other characters"#), "{text}");
    let both = [("a.tfvars", hcl), ("b.tfvars", "scope = \"crm\"\n")];
    assert!(outcome(&both, &Rules::default()).contains("`scope` is \"crm\" here, but \"billing\""));
    let ignored = rules(|rules| rules.ignore_keys = vec!["scope".to_owned()]);
    let text = outcome(&[("a.tfvars", &of("a b"))], &ignored);
    assert!(!text.contains("scope name") && !text.contains(r#""scope""#), "{text}");
}

/// `[definitions] memberships` permits more roles, but not those of applications.
#[test]
fn configuration_permits_memberships() {
    let with = |name: &str| {
        let text = format!(
            r#"application_databases = {{
  a = {{ database_name = "a", username = "a_owner", memberships = ["{name}"] }}
  b = {{ database_name = "b", username = "b_owner" }}
}}"#
        );
        let permitted = ["pg_read_all_data", "b_owner", "rds_superuser"].map(str::to_owned);
        outcome(&[("a.tfvars", &text)], &rules(|rules| rules.memberships = permitted.to_vec()))
    };
    assert!(with("pg_read_all_data").contains(r#""pg_read_all_data""#));
    for (name, says) in [
        ("pg_write_all_data", "`pg_write_all_data` is not allowed in `memberships`"),
        ("rds_superuser", "its members are administrators of the server"),
        (
            "b_owner",
            "`memberships` of role `a_owner` names `b_owner`, which the definitions declare",
        ),
    ] {
        let text = with(name);
        assert!(text.starts_with("error[invalid-value]: ") && text.contains(says), "{text}");
    }
}

#[test]
fn configuration_sets_keys_and_names() {
    let text = r#"application_databases = { a = { database_name = "a-db", username = "a_user", size = 1 } }"#;
    let ignoring = |keys: &[&str]| {
        rules(|rules| rules.ignore_keys = keys.iter().map(ToString::to_string).collect())
    };
    let mut rules = ignoring(&["size"]);
    insta::assert_snapshot!("rules__ignored_key", outcome(&[("a.tfvars", text)], &rules));
    let misspelt =
        format!("enviroment = \"dev\"\nenvironments = [\"dev\"]\necs_config = {{}}\n{text}");
    insta::assert_snapshot!("rules__misspelt", outcome(&[("a.tfvars", &misspelt)], &rules));
    let own = ignoring(&["size", "enviroment"]);
    assert_eq!(outcome(&[("a.tfvars", &misspelt)], &own), outcome(&[("a.tfvars", text)], &own));
    rules.naming_pattern = Some("^[a-z_]+$".to_owned());
    insta::assert_snapshot!("rules__naming_pattern", outcome(&[("a.tfvars", text)], &rules));
    rules.naming_pattern = Some("[".to_owned());
    insta::assert_snapshot!("rules__bad_pattern", outcome(&[("a.tfvars", text)], &rules));
}

#[test]
fn thousand_entries_are_read() {
    let mut text = "application_databases = {\n".to_owned();
    for number in 0..1000 {
        text += &format!(
            "  app-{number} = {{ database_name = \"db_{number}\", username = \"user_{number}\" }}\n"
        );
    }
    text += "}\n";
    let definitions =
        Definitions::parse(&[source("many.tfvars", text.as_str())], &Rules::default()).unwrap();
    assert_eq!(definitions.applications.len(), 1000);
    assert!(definitions.applications.values().all(|app| app.location.line > 1));

    let errors = Definitions::parse(
        &[source("many.tfvars", text.replace("user_", "pg_"))],
        &Rules::default(),
    );
    assert_eq!(errors.unwrap_err().errors.len(), 1000);
}

/// An entry of another team names the role of the shop. Each file alone is valid.
#[test]
fn role_of_another_file() {
    let shop = r#"application_databases = {
        shop = { database_name = "shop", username = "shop_owner" }
    }"#;
    let reports = r#"application_databases = {
        a_reports = { database_name = "a", username = "shop_owner", access_level = "reader"SECRET }
    }"#;
    let plain = reports.replace("SECRET", "");
    let attack = reports.replace("SECRET", ", secret = \"team_a/mine\"");
    let one_file = rules(|rules| rules.role_files = RoleFiles::One);
    let files = |reports| [("a.tfvars", reports), ("shop.tfvars", shop)];
    let error = outcome(&files(&attack), &Rules::default());
    assert!(error.contains("shop.tfvars:2:9") && error.contains("a.tfvars:2:9"), "{error}");
    assert!(error.contains("conflicting-role-keys"), "{error}");
    insta::assert_snapshot!("files__one_role_one_file", outcome(&files(&plain), &one_file));
    for (files, rules) in [
        (&files(&plain)[..], &Rules::default()),
        (&files(&attack)[..1], &one_file),
        (&files(&attack)[1..], &one_file),
    ] {
        let definitions = outcome(files, rules);
        assert!(!definitions.contains("error["), "{definitions}");
    }
}

/// The size of the output and of the errors in memory does not grow with the product of the number
/// of errors and the length of a line.
#[test]
fn errors_of_one_long_line_are_bounded() {
    let entries = |count: usize| {
        let entries = (0..count).map(|number| format!("\"é{number}\": {{\"unknown\": 1}}"));
        format!("{{\"application_databases\": {{{}}}}}", entries.collect::<Vec<_>>().join(", "))
    };
    let size = |text: String| {
        let errors = Definitions::parse(&[source("one.json", text)], &Rules::default());
        let errors = errors.unwrap_err();
        let kept: usize = errors.errors.iter().map(|one| format!("{one:?}").len()).sum();
        (errors.to_string(), kept, errors.errors.len() + errors.omitted)
    };
    let (few, kept_of_few, found_in_few) = size(entries(500));
    let (many, kept_of_many, found_in_many) = size(entries(20_000));
    assert_eq!(found_in_many, found_in_few * 40);
    assert!(many.len() < few.len() + 5_000 && many.len() < 60_000, "{}", many.len());
    assert!(kept_of_many < kept_of_few * 3, "{kept_of_few} {kept_of_many}");
    assert!(many.contains("more errors are not shown"), "{many}");
    assert_eq!(many.matches("\n\n").count(), 50);
    let widest = many.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(widest < 500, "{widest}");
}

/// An excerpt is cut on both sides, and its mark stays below the column of the error.
#[test]
fn excerpt_of_a_long_line() {
    let padding = "é".repeat(300);
    let text = format!(
        "ignored = \"{padding}\"\napplication_databases = {{ /* {padding} */ a = {{ é = 1 }} /* {padding} */ }}"
    );
    insta::assert_snapshot!(
        "excerpt__long_line",
        outcome(&[("a.tfvars", &text)], &Rules::default())
    );
}

/// Duplicate keys and long names do not make messages that grow with each other.
#[test]
fn repeated_keys_and_long_names_are_bounded() {
    let keys = vec!["\"k\": 1"; 100_000].join(", ");
    let name = "n".repeat(100_000);
    for text in [
        format!("{{\"application_databases\": {{\"{name}\": {{{keys}}}}}}}"),
        format!("{{\"application_databases\": {{{keys}}}}}"),
        format!("{{\"application_databases\": {{}}, {keys}}}"),
    ] {
        let errors = Definitions::parse(&[source("a.json", text)], &Rules::default()).unwrap_err();
        assert!(errors.errors.len() + errors.omitted >= 99_999);
        assert!(errors.errors.len() <= 1000);
        let size = errors.to_string().len();
        assert!(size < 300_000, "{size}");
    }
}

/// A file that does not seem to contain definitions can be a secret: no error contains its text.
#[test]
fn errors_contain_no_text_of_other_files() {
    const TOKEN: &str = "s3cr3t-t0ken";
    for (name, text) in [
        ("secret.json", format!(r#"{{"username": "u", "password": "{TOKEN}"}}"#)),
        ("secret.json", format!(r#"{{"{TOKEN}": 1, "{TOKEN}": 2}}"#)),
        ("secret.json", format!(r#"["{TOKEN}"]"#)),
        ("secret.json", format!("\"{TOKEN}\"")),
        ("secret.json", TOKEN.to_owned()),
        ("secret.json", format!("{{\"password\": {TOKEN}}}")),
        ("secret.json", format!("{{\"environment\": [\"{TOKEN}\"]}}")),
        ("credentials.toml", format!("[registry]\ntoken = \"{TOKEN}\"")),
        ("credentials.toml", format!("token = {TOKEN}")),
        ("credentials.toml", format!("{TOKEN} = 1\n{TOKEN} = 2")),
        ("credentials.toml", TOKEN.to_owned()),
        ("env.tfvars", format!("PASSWORD={TOKEN}")),
        ("env.tfvars", format!("{TOKEN} {{}}")),
        ("env.tfvars", format!("{TOKEN} = 1\n{TOKEN} = 1")),
        ("env.tfvars", format!("a = {TOKEN}(1)")),
        ("env.tfvars", format!("a = \"{TOKEN}\nb\"")),
        ("env.tfvars", format!("a = <<{TOKEN}\n")),
        ("env.tfvars", TOKEN.to_owned()),
        ("env.tfvars", format!("a = 9{}\n", "9".repeat(400))),
    ] {
        let printed = outcome(&[(name, &text)], &Rules::default());
        assert!(!printed.contains(TOKEN) && !printed.contains("999"), "{text}\n{printed}");
        assert!(printed.contains(&format!("--> {name}:")), "{printed}");
    }
    let binary = format!("{TOKEN}\n{TOKEN}").into_bytes();
    let error = String::from_utf8([&binary[..], b"\xff"].concat()).unwrap_err();
    let error = DefinitionError::not_utf8("secret.json", &error);
    assert!(error.excerpt.is_none() && !format!("{error:?}").contains(TOKEN), "{error:?}");
    let error = Config::from_toml("rdsprov.toml", &format!("aws_region = \"{TOKEN}\"\n[a]\n"));
    assert!(!error.unwrap_err().to_string().contains(TOKEN));
    for text in [format!("secrets = \"{TOKEN}\""), format!("x = {TOKEN}"), TOKEN.to_owned()] {
        let error = Config::from_toml("rdsprov.toml", &text).unwrap_err().to_string();
        assert!(!error.contains(TOKEN) && error.contains("line 1"), "{error}");
    }
}

/// Returns what Terraform reads from a variable file or the error it prints, or `None` if
/// Terraform is not installed.
fn terraform(file: &Path) -> Option<Result<Value, String>> {
    const READ: [&str; 4] = ["application_databases", "rds_config", "environment", "aws_region"];
    let folder = tempfile::tempdir().unwrap();
    let declare = |name| format!("variable \"{name}\" {{\n  type    = any\n  default = null\n}}\n");
    fs::write(folder.path().join("main.tf"), READ.map(declare).concat()).unwrap();
    let mut child = Command::new("terraform")
        .args(["console", "-no-color", &format!("-var-file={}", file.display())])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let all = READ.map(|name| format!("{name} = var.{name}")).join(", ");
    // Terraform escapes `${` and `%{` when it prints a string, and the result is ambiguous with
    // `$${`.
    let ask = format!(r#"replace(replace(jsonencode({{{all}}}), "$", "\\u0024"), "%", "\\u0025")"#);
    child.stdin.take().unwrap().write_all(format!("{ask}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Some(Err(String::from_utf8(output.stderr).unwrap()));
    }
    // The value is a quoted object between warnings about undeclared variables. The warnings can
    // also contain a variable's name at the start of a line.
    let text = String::from_utf8(output.stdout).unwrap();
    let line =
        text.lines().find(|line| line.starts_with("\"{")).unwrap_or_else(|| panic!("{text}"));
    let quoted: String = serde_json::from_str(line).unwrap();
    Some(Ok(serde_json::from_str(&quoted).unwrap()))
}

/// Converts Terraform's result to the output of `validate --format json`.
fn as_definitions(read: &Value) -> Value {
    let coupled = !read["rds_config"]["application_databases"].is_null();
    let applications = if coupled { &read["rds_config"] } else { read };
    let applications = applications["application_databases"].as_object().unwrap();
    let application = |(name, entry): (&String, &Value)| {
        // A key that one entry sets for a role applies to all entries of that role.
        let of_role = |key: &str| {
            let others =
                applications.values().filter(|other| other["username"] == entry["username"]);
            std::iter::once(entry).chain(others).map(|one| &one[key]).find(|value| !value.is_null())
        };
        let own = |key: &str| Some(&entry[key]).filter(|value| !value.is_null());
        let or = |value: Option<&Value>, default: Value| value.cloned().unwrap_or(default);
        let mut settings = or(own("settings"), json!({}));
        settings.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        json!({
            "application": name,
            "database_name": entry["database_name"],
            "username": entry["username"],
            "access_level": or(own("access_level"), json!("owner")),
            "schemas": or(own("schemas"), json!(["public"])),
            "extensions": or(own("extensions"), json!([])),
            "auth": or(of_role("auth"), json!("password")),
            "secret": entry["secret"],
            "role_owner": home_of(applications, entry) == Some(name),
            "createdb": or(of_role("createdb"), json!(false)),
            "connection_limit": or(of_role("connection_limit"), json!(-1)),
            "valid_until": of_role("valid_until"),
            "settings": settings,
            "creators": or(own("creators"), json!([])),
            "memberships": or(own("memberships"), json!([])),
            "plugin_databases": or(own("plugin_databases"), json!([])),
            "adopt": or(own("adopt"), json!(false)),
        })
    };
    let mut definitions = json!({
        "environment": read["environment"],
        "mode": if coupled { "coupled" } else { "standalone" },
        "applications": applications.iter().map(application).collect::<Vec<_>>(),
    });
    if !read["aws_region"].is_null() {
        definitions["aws_region"] = read["aws_region"].clone();
    }
    definitions
}

/// Returns the home of the role of an entry.
fn home_of<'a>(applications: &'a Map<String, Value>, entry: &Value) -> Option<&'a String> {
    const KEYS: [&str; 7] = [
        "auth",
        "secret",
        "memberships",
        "createdb",
        "connection_limit",
        "valid_until",
        "plugin_databases",
    ];
    let owns = |entry: &Value| entry["access_level"].as_str().is_none_or(|level| level == "owner");
    let of_role = || applications.iter().filter(|(_, one)| one["username"] == entry["username"]);
    let has_owner = of_role().any(|(_, one)| owns(one));
    let candidates = || of_role().filter(|(_, one)| owns(one) || !has_owner);
    let says_something = |one: &Value| KEYS.iter().any(|key| !one[key].is_null());
    candidates()
        .find(|(_, one)| one["role_owner"] == true)
        .or_else(|| candidates().find(|(_, one)| says_something(one)))
        .or_else(|| candidates().next())
        .map(|(name, _)| name)
}

/// `testdata/definitions/terraform` contains Terraform's result for the valid files. The parser
/// must return the same, and so must an installed Terraform.
#[test]
fn definitions_equal_those_of_terraform() {
    // Windows editors write a byte order mark. Terraform accepts it in tfvars files only.
    const OURS_ALONE: &str = "bom_crlf.json";
    let update = std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always");
    for (name, path) in files("valid") {
        if name.ends_with(".toml") {
            continue;
        }
        let path = fs::canonicalize(path).unwrap();
        let theirs = terraform(&path);
        if name == OURS_ALONE {
            assert!(theirs.is_none_or(|read| read.is_err()), "Terraform also reads {name}");
            continue;
        }
        let record = path.with_file_name(format!("../terraform/{name}.json"));
        if let Some(theirs) = theirs {
            let theirs = theirs.unwrap_or_else(|error| panic!("{name}: {error}"));
            if update {
                fs::write(&record, format!("{theirs:#}\n")).unwrap();
            }
            assert_eq!(record_of(&record), theirs, "{name}");
        }
        let ours = source(&name, fs::read_to_string(&path).unwrap());
        let ours = Definitions::parse(&[ours], &Rules::default()).unwrap();
        let ours = serde_json::to_value(&ours).unwrap();
        assert_eq!(ours, as_definitions(&record_of(&record)), "{name}");
    }
}

/// `terraform output -json` wraps each value, and declares the same as a variable file with the values.
#[test]
fn outputs_of_terraform_are_read_as_variable_files_are() {
    for (name, path) in files("terraform") {
        let values = record_of(&path);
        let outputs: Map<String, Value> = values
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| {
                (name.clone(), json!({"sensitive": false, "type": "dynamic", "value": value}))
            })
            .collect();
        let [values, outputs] = [values, outputs.into()].map(|text: Value| {
            let source = source("outputs.json", format!("{text:#}"));
            Definitions::parse(&[source], &Rules::default())
                .map(|definitions| pretty(&definitions))
                .unwrap()
        });
        assert_eq!(outputs, values, "{name}");
    }
}

fn record_of(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| {
        panic!("{error}: {}; create it with INSTA_UPDATE=always", path.display())
    });
    serde_json::from_str(&text).unwrap()
}
