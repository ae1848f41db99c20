//! Errors in definitions that are reported before anything is contacted.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::bench::expect;

const SHOP: &str =
    r#"application_databases = { shop = { database_name = "shop", username = "shop_user" } }"#;

fn validate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = crate::bench::program();
    command.current_dir(folder).arg("validate").args(arguments);
    command.output().unwrap()
}

#[test]
fn what_cannot_be_read_hides_no_error_of_the_others() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("latin.tfvars"), b"\xef\xbb\xbf# \xc3\xa9 \xe9\n").unwrap();
    fs::write(folder.join("open.tfvars"), "\napplication_databases = {\n").unwrap();
    fs::write(folder.join("common.tfvars"), "environment = 1\n").unwrap();
    let files = ["-d", "latin.tfvars", "open.tfvars", "common.tfvars"];
    let shown = expect(&validate(folder, &files), 1);
    let of_texts = [
        "this is not UTF-8\n --> latin.tfvars:1:5\n1 | # é \u{fffd}\n",
        "the `{` that stands here is not closed\n --> open.tfvars:2:25\n",
        "`environment` is a number, not a string\n --> common.tfvars:1:15\n",
    ];
    for says in of_texts {
        assert!(shown.contains(says), "{says} is not in {shown}");
    }

    let files = [files.as_slice(), &["missing.tfvars", "notes.txt", "common.tfvars"]].concat();
    let shown = expect(&validate(folder, &files), 64);
    let of_files = [
        "missing.tfvars cannot be read: No such file",
        "notes.txt: definitions are *.tfvars",
        "common.tfvars is given twice",
    ];
    for says in of_texts.iter().chain(&of_files) {
        assert!(shown.contains(says), "{says} is not in {shown}");
    }
    // A key that is missing in the readable files may be in the unreadable one.
    fs::write(folder.join("common.tfvars"), "environment = \"dev\"\n").unwrap();
    let shown = expect(&validate(folder, &["-d", "common.tfvars", "missing.tfvars"]), 64);
    assert!(!shown.contains("there is no"), "{shown}");
}

#[test]
fn validate_needs_no_environment() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    fs::write(folder.join("shop.tfvars"), SHOP).unwrap();
    let shown = expect(&validate(folder, &["-d", "shop.tfvars"]), 0);
    assert!(shown.contains("no environment is named, standalone mode\n"), "{shown}");
    for (environment, arguments) in [(Value::Null, &[][..]), ("dev".into(), &["--env", "dev"])] {
        let arguments = [&["-d", "shop.tfvars", "--format", "json"], arguments].concat();
        let output = validate(folder, &arguments);
        expect(&output, 0);
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["environment"], environment);
    }
    let shown = expect(&validate(folder, &["-d", "shop.tfvars", "--env", "nowhere"]), 64);
    assert!(shown.contains("environment \"nowhere\" is not known"), "{shown}");
}
