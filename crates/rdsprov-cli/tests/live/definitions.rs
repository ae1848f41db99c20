//! Errors in definitions that are reported before anything is contacted.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::fixture::expect;

const SHOP: &str =
    r#"application_databases = { shop = { database_name = "shop", username = "shop_user" } }"#;

fn validate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = crate::fixture::program();
    command.current_dir(folder).arg("validate").args(arguments);
    command.output().unwrap()
}

#[test]
fn unreadable_file_hides_no_other_error() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("latin.tfvars"), b"\xef\xbb\xbf# application_databases \xc3\xa9 \xe9\n")
        .unwrap();
    fs::write(folder.join("open.tfvars"), "\napplication_databases = {\n").unwrap();
    fs::write(folder.join("common.tfvars"), "environment = 1\n").unwrap();
    let files = ["-d", "latin.tfvars", "open.tfvars", "common.tfvars"];
    let output_text = expect(&validate(folder, &files), 1);
    let of_texts = [
        "the file is not encoded in UTF-8\n --> latin.tfvars:1:27\n1 | # application_databases é \u{fffd}\n",
        "this `{` is not closed\n --> open.tfvars:2:25\n",
        "`environment` is a number, not a string\n --> common.tfvars:1:15\n",
    ];
    for says in of_texts {
        assert!(output_text.contains(says), "{says} is not in {output_text}");
    }

    let files = [files.as_slice(), &["missing.tfvars", "notes.txt", "common.tfvars"]].concat();
    let output_text = expect(&validate(folder, &files), 64);
    let of_files = [
        "missing.tfvars cannot be read: no such file",
        "notes.txt is not a *.tfvars",
        "common.tfvars is given twice",
    ];
    for says in of_texts.iter().chain(&of_files) {
        assert!(output_text.contains(says), "{says} is not in {output_text}");
    }
    // A key that is missing in the readable files may be in the unreadable one.
    fs::write(folder.join("common.tfvars"), "environment = \"dev\"\n").unwrap();
    let output_text = expect(&validate(folder, &["-d", "common.tfvars", "missing.tfvars"]), 64);
    assert!(!output_text.contains("[no-applications]"), "{output_text}");
}

#[test]
fn messages_name_the_configuration_file_and_the_end_of_access() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    let ended = SHOP.replace(" } }", ", access_level = \"none\" } }");
    fs::write(folder.join("shop.tfvars"), format!("scope = \"billing\"\n{ended}")).unwrap();
    let text = expect(&validate(folder, &["-d", "shop.tfvars"]), 0);
    assert!(text.contains("  shop: no access to database shop as shop_user\n"), "{text}");
    fs::write(folder.join("site.toml"), "[definitions]\nscope = \"crm\"\n").unwrap();
    let text = expect(&validate(folder, &["-d", "shop.tfvars", "--config", "site.toml"]), 1);
    assert!(text.contains("`scope` is \"billing\" here, but \"crm\" in site.toml"), "{text}");
    assert!(text.contains("in `[definitions]` of `site.toml`"), "{text}");
}

#[test]
fn validate_needs_no_environment() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("shop.tfvars"), SHOP).unwrap();
    let output_text = expect(&validate(folder, &["-d", "shop.tfvars"]), 0);
    assert!(output_text.contains("no environment, standalone mode\n"), "{output_text}");
    for (environment, arguments) in [(Value::Null, &[][..]), ("dev".into(), &["--env", "dev"])] {
        let arguments = [&["-d", "shop.tfvars", "--format", "json"], arguments].concat();
        let output = validate(folder, &arguments);
        expect(&output, 0);
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["environment"], environment);
    }
    let output_text = expect(&validate(folder, &["-d", "shop.tfvars", "--env", "nowhere"]), 64);
    assert!(output_text.contains("[unknown-environment]: environment `nowhere`"), "{output_text}");
}

#[test]
fn graph_shows_what_the_definitions_declare() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("dev.tfvars"), SHOP).unwrap();
    let graph = |arguments: &[&str]| {
        let mut command = crate::fixture::program();
        command.current_dir(folder.path()).args(["graph", "-d", "dev.tfvars"]).args(arguments);
        command.output().unwrap()
    };
    let text = expect(&graph(&[]), 0);
    assert!(text.starts_with("flowchart LR\n") && text.contains("-->|\"owner\"|"), "{text}");
    let text = expect(&graph(&["--format", "dot"]), 0);
    assert!(text.starts_with("digraph ") && text.contains("label=\"shop_user\""), "{text}");
    fs::write(folder.path().join("dev.tfvars"), SHOP.replace("username", "usrname")).unwrap();
    expect(&graph(&[]), 1);
}

/// The name of a file is not a line of a log: a CI system executes some of these.
#[test]
fn names_of_files_are_escaped() {
    let folder = TempDir::new().unwrap();
    let hostile = "z\n::stop-commands::x\u{1b}[2J.auto.tfvars";
    fs::write(folder.path().join(hostile), SHOP.replace("username", "usrname")).unwrap();
    for arguments in [&[][..], &["--log-format", "json"], &["-d", hostile]] {
        let text = expect(&validate(folder.path(), arguments), 1);
        assert!(!text.contains('\u{1b}') && !text.contains("\n::"), "{text}");
        assert!(text.contains("::stop-commands::x"), "{text}");
    }
    fs::write(
        folder.path().join("rdsprov.toml"),
        format!("[definitions]\nfiles = [{hostile:?}]\n").replace("\\u{1b}", "\\u001b"),
    )
    .unwrap();
    let text = expect(&validate(folder.path(), &[]), 1);
    assert!(text.contains("\\n::stop-commands::x") && !text.contains("\n::"), "{text}");
}

/// Without a name, the files are those that Terraform reads; of several values of a variable, Terraform uses the
/// last, so that only one file can declare applications.
#[test]
fn files_of_terraform_are_found() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let error = expect(&validate(folder.path(), &[]), 64);
    assert!(error.contains("no-definitions"), "{error}");

    write("terraform.tfvars", "environment = \"dev\"\nvpc = \"10.0.0.0/16\"\n");
    write("shop.auto.tfvars", SHOP);
    write("other.tfvars", "application_databases = { oops = {} }");
    let output = validate(folder.path(), &[]);
    let text = expect(&output, 0);
    assert!(text.contains("environment dev") && text.contains("shop: owner"), "{text}");
    let note = "note: the definitions are read from terraform.tfvars, shop.auto.tfvars\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), note);

    write("a.auto.tfvars.json", r#"{"application_databases": {}}"#);
    let error = expect(&validate(folder.path(), &[]), 1);
    let says = "a.auto.tfvars.json declares applications, too: Terraform uses only the last file";
    assert!(error.contains(says), "{error}");
    let named = ["-d", "a.auto.tfvars.json", "shop.auto.tfvars"];
    expect(&validate(folder.path(), &named), 0);
    fs::remove_file(folder.path().join("a.auto.tfvars.json")).unwrap();

    // Terraform reads a file whatever its name is.
    let unreadable = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.auto.tfvars"));
    fs::write(&unreadable, "application_databases = {}").unwrap();
    let error = expect(&validate(folder.path(), &[]), 1);
    assert!(error.contains("declares applications, too"), "{error}");
    fs::remove_file(unreadable).unwrap();

    // A file that others name counts, and a link must not lead to the file of another team.
    write("rdsprov.toml", "[definitions]\nfiles = [\"shop.auto.tfvars\"]\n");
    let output = validate(folder.path(), &[]);
    expect(&output, 0);
    assert_eq!(output.stderr, b"");
    fs::remove_file(folder.path().join("rdsprov.toml")).unwrap();
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret.tfvars"), SHOP).unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("secret.tfvars"),
        folder.path().join("z.auto.tfvars"),
    )
    .unwrap();
    let error = expect(&validate(folder.path(), &[]), 64);
    assert!(error.contains("file-outside"), "{error}");
}
