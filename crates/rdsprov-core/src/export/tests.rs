//! Tests of exports without a server: the states are the recordings of the scenarios.

use std::fs;
use std::path::{Path, PathBuf};

use super::value_text::{Value, string};
use super::*;
use crate::config::Config;
use crate::definitions::{Definitions, Rules, SourceText, Syntax};
use crate::desired::Desired;
use crate::hint::Neutral;
use crate::observed::Observed;
use crate::policy::UndeclaredAccess;
use crate::secret_id::Templates;

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios")
}

fn recording(path: &Path) -> Observed {
    let mut recording: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(recording["observed"].take()).unwrap()
}

/// Calls `check` with the draft of a state.
fn with_draft<T>(
    observed: &Observed,
    rules: &Rules,
    check: impl FnOnce(Draft, &ExportContext<'_>) -> T,
) -> T {
    let (templates, scope) = (Templates::default(), ExportScope::default());
    let (templates, scope) = (&templates, &scope);
    let context = ExportContext {
        environment: "dev",
        templates,
        rules,
        build_id: None,
        scope,
        undeclared_access: UndeclaredAccess::default(),
    };
    check(Draft::new(observed, &context).unwrap(), &context)
}

fn parsed(text: &str, syntax: Syntax, rules: &Rules) -> Desired {
    let source = SourceText { path: "export".to_owned(), text: text.to_owned(), syntax };
    let mut definitions = match Definitions::parse(&[source], rules) {
        Ok(definitions) => definitions,
        Err(errors) => panic!("{errors:#?}\n{text}"),
    };
    definitions.applications.values_mut().for_each(|one| one.adopt = true);
    Desired::new(&definitions, "dev", &Templates::default(), None).unwrap()
}

/// Both texts declare exactly what was planned for the comments, whatever the state is, and whatever the
/// configuration says of missing keys.
#[test]
fn texts_declare_what_was_planned() {
    const CONFIG: &str = r#"
        [definitions]
        naming_pattern = ".+"
        [defaults]
        access_level = "editor"
        schemas = ["app"]
        extensions = ["citext"]
        auth = "iam"
        createdb = true
        connection_limit = 3
        settings = { work_mem = "1MB" }
        creators = ["etl"]
        "#;
    let usual = Rules::default();
    let configured = Config::from_toml("rdsprov.toml", CONFIG).unwrap().rules();
    let mut entries = 0;
    for scenario in fs::read_dir(scenarios()).unwrap() {
        for file in ["observed.json", "observed_14.json"] {
            let path = scenario.as_ref().unwrap().path().join(file);
            if !path.exists() {
                continue;
            }
            let observed = recording(&path);
            // Both are needed only once.
            let rules = if file == "observed.json" { &usual } else { &configured };
            with_draft(&observed, rules, |draft, _| {
                let desired = draft.desired().clone();
                entries += draft.entries.len();
                let export = Export::new(draft, &observed, Vec::new());
                let formats =
                    [(ExportFormat::Tfvars, Syntax::Hcl), (ExportFormat::Toml, Syntax::Toml)];
                for (format, syntax) in formats {
                    let text = export.to_text(format, &Neutral);
                    assert_eq!(parsed(&text, syntax, rules), desired, "{path:?}\n{text}");
                }
            });
        }
    }
    assert!(entries > 150, "{entries}");
}

fn text_of(scenario: &str, format: ExportFormat) -> String {
    let observed = recording(&scenarios().join(scenario).join("observed.json"));
    with_draft(&observed, &Rules::default(), |draft, _| {
        Export::new(draft, &observed, Vec::new()).to_text(format, &Neutral)
    })
}

#[test]
fn state_without_changes_is_exported_without_comments() {
    let text = text_of("no_changes", ExportFormat::Tfvars);
    let entries = text.split_once("application_databases").unwrap().1;
    let entries = entries.split_once("\n# Left out:").unwrap().0;
    assert!(!entries.contains('#') && entries.matches("= {").count() == 4, "{text}");
}

/// Returns the recording of a server without differences, after a change of its text.
fn unchanged(change: impl Fn(&str) -> String) -> Observed {
    let path = scenarios().join("no_changes").join("observed.json");
    let text = change(&fs::read_to_string(path).unwrap());
    let mut recording: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(recording["observed"].take()).unwrap()
}

/// Definitions with another scope than that of the roles would change the scope of each.
#[test]
fn export_has_the_scope_of_its_roles() {
    let of_crm = unchanged(|text| text.replace(" application=", " scope=crm application="));
    let usual = Rules::default();
    let configured = Rules { scope: Some("crm".to_owned()), ..Rules::default() };
    let other = Rules { scope: Some("billing".to_owned()), ..Rules::default() };
    let text = |observed: &Observed, rules: &Rules, (format, syntax)| {
        with_draft(observed, rules, |draft, _| {
            let desired = draft.desired().clone();
            let text = Export::new(draft, observed, Vec::new()).to_text(format, &Neutral);
            assert_eq!(parsed(&text, syntax, rules), desired, "{text}");
            text
        })
    };
    let hcl = (ExportFormat::Tfvars, Syntax::Hcl);
    for (format, line) in [
        (hcl, "environment = \"dev\"\nscope       = \"crm\"\n"),
        ((ExportFormat::Toml, Syntax::Toml), "environment = \"dev\"\nscope = \"crm\"\n"),
    ] {
        let text = text(&of_crm, &usual, format);
        assert!(text.contains(line) && !text.contains("# plan:"), "{text}");
    }
    // The configuration says the scope of the definitions that are read with it.
    let text_configured = text(&of_crm, &configured, hcl);
    assert!(!text_configured.contains("\nscope "), "{text_configured}");
    assert!(!text_configured.contains("# plan:"), "{text_configured}");
    let text_other = text(&of_crm, &other, hcl);
    assert!(text_other.contains("# plan: "), "{text_other}");
    assert!(text_other.contains("scope billing instead of crm"), "{text_other}");
    // Roles of several scopes cannot be in one file without a change.
    let reports = " application=shop_reports";
    let mixed = unchanged(|text| text.replace(reports, &format!(" scope=crm{reports}")));
    let text_mixed = text(&mixed, &usual, hcl);
    assert!(text_mixed.contains("are of several scopes (none, crm)"), "{text_mixed}");
    assert!(!text_mixed.contains("\nscope "), "{text_mixed}");
}

#[test]
fn export_announces_what_a_plan_would_change() {
    insta::assert_snapshot!("tfvars", text_of("role_with_excess_privileges", ExportFormat::Tfvars));
    insta::assert_snapshot!("toml", text_of("adoption_of_role_and_database", ExportFormat::Toml));
}

#[test]
fn strings_are_read_as_they_were() {
    let texts = [
        "plain",
        "",
        "\"",
        "\\",
        "a\\\"b",
        "${a}",
        "$${a}",
        "$$${a}",
        "%{if}",
        "%%{x}",
        "%%%{",
        "$",
        "a$",
        "${",
        "%",
        "\n\r\t",
        "\u{7}\u{1b}",
        "\u{202e}x",
        "\u{e0100}",
        "é ü 日本 😀",
        "#",
        "//",
        "'",
        "{{}}",
        " lead",
        "trail ",
        "/* x */",
        "<<EOT",
        "\\u0041",
        "\\${a}",
    ];
    for text in texts {
        for (format, syntax) in
            [(ExportFormat::Tfvars, Syntax::Hcl), (ExportFormat::Toml, Syntax::Toml)]
        {
            let value = Value::Map(vec![("application_name".to_owned(), text.to_owned())]);
            let settings = value.text(format);
            let file = match format {
                ExportFormat::Toml => format!(
                    "[application_databases.a]\ndatabase_name = \"d\"\nusername = \"u\"\n\
                     settings = {settings}\n"
                ),
                ExportFormat::Tfvars => format!(
                    "application_databases = {{\n  a = {{\n    database_name = \"d\"\n    \
                     username = \"u\"\n    settings = {settings}\n  }}\n}}\n"
                ),
            };
            let desired = parsed(&file, syntax, &Rules::default());
            let access = desired.databases.values().next().unwrap().access.values().next().unwrap();
            let read: Vec<&String> = access.settings.values().collect();
            assert_eq!(read, [text], "{}", string(text, format));
        }
    }
}
