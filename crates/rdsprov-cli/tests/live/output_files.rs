//! The files that the command writes: records and saved plans. Definitions and `rdsprov.toml` can come
//! from people who may not write elsewhere, so a path must not reach the file of another program.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const DEFINITIONS: &str = r#"application_databases = {
    shop = { database_name = "shop", username = "shop_owner" }
}"#;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A refused run creates no file that `rdsprov.toml` names.
#[test]
fn refused_runs_create_no_configured_files() {
    let fixture = Fixture::new(versions()[0]);
    for environment in ["dev", "prod"] {
        fixture.app(environment, "shop", "shop_owner");
    }
    let definitions = fixture.definitions(DEFINITIONS);
    let files = "[audit]\noutput = \"records/audit.csv\"\nledger = \"records/ledger.jsonl\"\n";
    fs::write(fixture.path().join("rdsprov.toml"), files).unwrap();
    fixture.query("CREATE ROLE shop_owner LOGIN");
    let before = names(fixture.path());
    // No approval, an approval of another plan, and a plan with refusals.
    for (environment, approval) in
        [("prod", ""), ("prod", "sha256:00"), ("prod", "true"), ("dev", "")]
    {
        let mut command = fixture.command(&definitions, &["apply", "--env", environment]);
        expect(&command.env("ALLOW_DB_PROVISION", approval).output().unwrap(), 3);
        assert_eq!(names(fixture.path()), before, "{environment} {approval}");
    }
    fixture.query("DROP ROLE shop_owner");
    // A dry run passes no gate.
    expect(&fixture.run(&definitions, &["apply", "--env", "dev", "--dry-run"]), 0);
    assert_eq!(names(fixture.path()), before);

    expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
    let records = fixture.path().join("records");
    let files = ["audit.csv", "audit.csv.lock", "ledger.jsonl", "ledger.jsonl.lock"];
    assert_eq!(names(&records), files);
    for name in names(&records) {
        let bits = mode(&records.join(&name));
        assert_eq!(bits & 0o137, 0, "{name} has mode {bits:o}");
    }
    // Files that exist, and those that an option names, get the records of refused runs, too.
    let apply = ["apply", "--env", "prod"];
    expect(&fixture.command(&definitions, &apply).output().unwrap(), 3);
    let named = ["--audit-output", "records/more.csv"];
    let apply = [apply.as_slice(), &named].concat();
    expect(&fixture.command(&definitions, &apply).output().unwrap(), 3);
    let files = ["audit.csv", "ledger.jsonl", "more.csv"];
    let locks = files.map(|name| format!("{name}.lock"));
    let mut all = [files.map(str::to_owned), locks].concat();
    all.sort();
    assert_eq!(names(&records), all);
    for name in files {
        let text = fs::read_to_string(records.join(name)).unwrap();
        assert!(text.lines().last().unwrap().contains("refused"), "{name}: {text}");
    }
}

/// The CSV file and the ledger are never one file, also not under two names. Nothing is created.
#[test]
fn records_have_two_files() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(DEFINITIONS);
    let apply = ["apply", "--env", "dev", "--audit-output", "new/./a", "--audit-ledger", "new/a"];
    let before = names(fixture.path());
    let state = fixture.catalog_state();
    let text = expect(&fixture.run(&definitions, &apply), 1);
    assert!(text.contains("error[wrong-audit-file]: "), "{text}");
    assert!(text.contains("cannot be the CSV file and the ledger"), "{text}");
    assert_eq!(names(fixture.path()), before);
    let files = "[audit]\noutput = \"records\"\nledger = \"records\"\n";
    fs::write(fixture.path().join("rdsprov.toml"), files).unwrap();
    let before = names(fixture.path());
    let text = expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 1);
    assert!(text.contains("error[wrong-audit-file]: "), "{text}");
    assert_eq!(names(fixture.path()), before);
    assert_eq!(fixture.catalog_state(), state);
}

/// A repository cannot have records written outside of it, not even through a link.
#[test]
fn configured_records_stay_below_the_directory() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(DEFINITIONS);
    let repository = fixture.path().join("repository");
    fs::create_dir_all(repository.join("inside")).unwrap();
    fs::create_dir(fixture.path().join("elsewhere")).unwrap();
    symlink("../elsewhere", repository.join("link")).unwrap();
    symlink("inside", repository.join("inner")).unwrap();
    let configuration = repository.join("rdsprov.toml");
    let config = configuration.display().to_string();
    let absolute = fixture.path().join("elsewhere/records").display().to_string();
    let paths = [
        "../records",
        "../elsewhere/records",
        "link/records",
        "link/new/records",
        "inside/../../elsewhere/records",
        "new/../../elsewhere/records",
        &absolute,
    ];
    for (key, option) in [("output", "--audit-output"), ("ledger", "--audit-ledger")] {
        for path in paths {
            fs::write(&configuration, format!("[audit]\n{key} = \"{path}\"\n")).unwrap();
            // The run is recorded in the other file.
            let other = if key == "ledger" { "--audit-output" } else { "--audit-ledger" };
            let apply = ["apply", "--env", "dev", "--config", &config, other, "other"];
            let text = expect(&fixture.run(&definitions, &apply), 64);
            assert!(text.contains("error[file-outside]: "), "{path}: {text}");
            assert!(text.contains(&format!("hint: name the file with {option} FILE")), "{text}");
            let other = fixture.path().join("other");
            assert!(fs::read_to_string(&other).unwrap().contains("outside the directory"));
            fs::remove_file(other).unwrap();
        }
        assert!(names(&fixture.path().join("elsewhere")).is_empty());
        assert!(!fixture.path().join("records").exists());
        // An option can name any file, and a link may stay inside.
        fs::write(&configuration, format!("[audit]\n{key} = \"inner/{key}\"\n")).unwrap();
        let apply = ["apply", "--env", "dev", "--config", &config];
        expect(&fixture.run(&definitions, &apply), 0);
        assert!(repository.join("inside").join(key).exists());
        let named = [apply.as_slice(), &[option, &absolute]].concat();
        fs::write(&configuration, format!("[audit]\n{key} = \"../records\"\n")).unwrap();
        expect(&fixture.run(&definitions, &named), 0);
        fs::remove_file(&absolute).unwrap();
        fs::remove_file(format!("{absolute}.lock")).unwrap();
    }
}

#[test]
fn only_regular_files_are_written() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(DEFINITIONS);
    let path = |name: &str| fixture.path().join(name);
    fs::write(path("precious"), "do not touch\n").unwrap();
    symlink("precious", path("link")).unwrap();
    symlink("absent", path("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let before = names(fixture.path());
    for name in ["link", "dangling", "pipe", "/dev/null"] {
        for option in ["--audit-output", "--audit-ledger"] {
            let apply = ["apply", "--env", "dev", option, name];
            let text = expect(&fixture.run(&definitions, &apply), 1);
            let says = format!("[wrong-audit-file]: audit file {name} is not a regular file");
            assert!(text.contains(&says), "{option}: {text}");
        }
        let plan = ["plan", "--env", "dev", "--out", name];
        let text = expect(&fixture.run(&definitions, &plan), 1);
        assert!(text.contains("cannot be written: it is not a regular file"), "{name}: {text}");
    }
    // The code does not say that changes were made.
    for (command, name) in [("plan", "absent/plan.json"), ("export", "absent/dev.tfvars")] {
        let mut command = match command {
            "export" => fixture.export(&["--out", name]),
            command => fixture.command(&definitions, &[command, "--env", "dev", "--out", name]),
        };
        let text = expect(&command.output().unwrap(), 1);
        let says = format!("error[file-unwritable]: {name} cannot be written: ");
        assert!(text.contains(&says), "{text}");
    }
    assert_eq!(fs::read_to_string(path("precious")).unwrap(), "do not touch\n");
    assert_eq!(names(fixture.path()), before);
    assert_eq!(fixture.query("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner'"), "0");

    // A file of another program is not appended to.
    for option in ["--audit-output", "--audit-ledger"] {
        let text = expect(&fixture.run(&definitions, &["apply", option, "precious"]), 1);
        assert!(text.contains("[wrong-audit-file]"), "{option}: {text}");
    }
    assert_eq!(fs::read_to_string(path("precious")).unwrap(), "do not touch\n");

    // A saved plan replaces the previous one as a whole, for its user only.
    fs::write(path("plan.json"), "old").unwrap();
    let old = fs::File::open(path("plan.json")).unwrap();
    expect(&fixture.run(&definitions, &["plan", "--env", "dev", "--out", "plan.json"]), 0);
    assert_eq!(std::io::read_to_string(old).unwrap(), "old");
    assert_eq!(mode(&path("plan.json")), 0o600);
    let added: Vec<_> =
        names(fixture.path()).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(added, ["plan.json"]);
}
