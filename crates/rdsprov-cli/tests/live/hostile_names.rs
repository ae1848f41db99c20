//! Names that are made to deceive a reader: with terminal sequences, line breaks and characters that
//! reverse a text, and with commands that CI systems execute in a log. No output contains such a character
//! or command, and each statement means its object.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect, password, program};

/// It clears the screen, prints a line of its own, and reverses the rest.
const HOSTILE: &str =
    "x\u{1b}[2J\ndone: the server is as declared\u{202e}\u{9b}\u{2028}##[error]##vso[a]";

fn is_hidden(c: char) -> bool {
    c != '\n' && (c.is_control() || "\u{202e}\u{2028}".contains(c))
}

/// Asserts that a text contains no hidden character and no line that only the name contains.
fn assert_visible(text: &str) {
    assert!(!text.contains(is_hidden), "{text:?}");
    for command in ["##[", "##vso[", "##teamcity["] {
        assert!(!text.contains(command), "{text}");
    }
    assert!(!text.lines().any(|line| line.starts_with("done: the server")), "{text}");
}

#[test]
fn no_output_contains_hidden_characters() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "reports", "shop_reader");
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop    = { database_name = "shop", username = "shop_owner", plugin_databases = ["*"] }
                reports = { database_name = "shop", username = "shop_reader", access_level = "reader" }
            }"#,
        );
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let owner = |sql: &str| {
            fixture.server.sql_as("shop_owner", &password("shop"), "shop", sql).unwrap();
        };
        owner(&format!("CREATE TABLE public.\"{HOSTILE}\" ()"));
        owner(&format!("GRANT DELETE ON public.\"{HOSTILE}\" TO shop_reader"));
        let routine = format!("\"{HOSTILE}\\! id\"");
        owner(&format!(
            "CREATE TYPE {routine} AS ENUM ('a');
             CREATE FUNCTION {routine}({routine}) RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE PROCEDURE {routine}(INOUT {routine} text) LANGUAGE sql AS $$SELECT 'a'$$;
             GRANT USAGE ON TYPE {routine} TO shop_reader;
             GRANT EXECUTE ON FUNCTION {routine}({routine}) TO shop_reader;
             GRANT EXECUTE ON PROCEDURE {routine}(text) TO shop_reader"
        ));
        fixture.query(&format!("CREATE DATABASE \"{HOSTILE}\" OWNER shop_owner"));
        for format in ["text", "json", "markdown", "sql"] {
            let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", format]);
            let text = expect(&output, 0);
            assert!(text.contains("[2J"), "{format}: {text}");
            assert_visible(&text);
        }
        let script = ["plan", "--env", "dev", "--format", "sql"];
        let script = String::from_utf8(fixture.run(&definitions, &script).stdout).unwrap();
        assert!(script.contains(r#"U&"x\001B[2J\000Adone"#), "{script}");
        for kind in ["FUNCTION", "PROCEDURE", "TYPE"] {
            let named = format!(r#"{kind} public.U&"x\001B[2J\000Adone"#);
            assert!(script.contains(&named), "{named}: {script}");
        }
        fixture.server.script_as_master(&script).unwrap();
        let output = expect(&fixture.run(&definitions, &["check", "--env", "dev"]), 0);
        assert_visible(&output);
        // The same statements, executed by the program, and their records.
        owner(&format!("GRANT DELETE ON public.\"{HOSTILE}\" TO shop_reader"));
        let ledger = fixture.path().join("ledger.jsonl");
        let ledger = ledger.to_str().unwrap();
        let apply = ["apply", "--env", "dev", "--audit-ledger", ledger];
        assert_visible(&expect(&fixture.run(&definitions, &apply), 0));
        assert_visible(&std::fs::read_to_string(ledger).unwrap());
        for command in [&["report", ledger][..], &["report", ledger, "--format", "json"]] {
            let mut program = fixture.program();
            let output = program.arg("audit").args(command).output().unwrap();
            assert_visible(&expect(&output, 0));
        }
        // The events of the log about each database that is read: those of the owner, without those of its
        // plugins.
        let definitions = fixture.definitions(
            r#"application_databases = {
                shop = { database_name = "shop", username = "shop_owner" }
            }"#,
        );
        for more in [&["-v"][..], &["-vv"], &["-v", "--log-format", "json"]] {
            let arguments = [&["access", "--env", "dev"], more].concat();
            // The administrator may not connect to it.
            let output = expect(&fixture.run(&definitions, &arguments), 1);
            assert!(output.contains("read database x"), "{output}");
            assert_visible(&output);
        }
    }
}

/// `naming_pattern` can allow any name.
#[test]
fn validated_names_are_escaped() {
    let folder = tempfile::TempDir::new().unwrap();
    let name = "x\u{202e}##[error]##vso[a]##teamcity[b]\u{ad}";
    let definitions = format!(
        "[application_databases]\n\
         shop = {{ database_name = \"{name}\", username = \"{name}\", access_level = \"reader\" }}\n"
    );
    std::fs::write(folder.path().join("shop.toml"), definitions).unwrap();
    let pattern = "[definitions]\nnaming_pattern = \"(?s).*\"\n";
    std::fs::write(folder.path().join("rdsprov.toml"), pattern).unwrap();
    for format in ["text", "json"] {
        let mut command = program();
        command.current_dir(folder.path()).args(["validate", "-d", "shop.toml"]);
        let text = expect(&command.args(["--format", format]).output().unwrap(), 0);
        assert_visible(&text);
        assert!(!text.contains('\u{ad}') && text.contains("202e"), "{text}");
    }
}

/// The server reports an error about an object with such a name.
/// The parser of the command line prints arguments and variables, also those that it does not know.
#[test]
fn wrong_arguments_are_escaped() {
    const VALUE: &str = "x\u{1b}[2J##vso[task.setvariable]\n\u{1b}[0m::error::forged\r\u{202e}";
    let check = |arguments: &[&str], variable: Option<&str>, code: i32| {
        let mut command = program();
        command.args(arguments).env_remove("RDSPROV_FORMAT");
        command.envs(variable.map(|name| (name, VALUE)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).unwrap();
            assert_visible(&text);
            assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
        }
    };
    let option = format!("--{VALUE}");
    let given = format!("--format={VALUE}");
    let item = format!("--allow=adopts,{VALUE}");
    for wrong in [VALUE, &option, &given, &item] {
        check(&[wrong], None, 64);
        check(&["plan", wrong], None, 64);
        check(&["plan", "--fleet", "f.toml", "--format", "json", wrong], None, 64);
        check(&["apply", "--format", "json", "--lock-timeout", wrong], None, 64);
    }
    // A sequence without an end, such as the title of a window, does not hide the rest of the message.
    let expected = "error: invalid value 'x\\u{1b}]0;title' for '--lock-timeout <TIME>'";
    for (words, variable) in [
        (&["apply", "--lock-timeout", "x\u{1b}]0;title"][..], None),
        (&["apply"], Some(("RDSPROV_LOCK_TIMEOUT", "x\u{1b}]0;title"))),
    ] {
        let output = program().args(words).envs(variable).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(expected) && text.contains("--help"), "{text}");
        assert_visible(&text);
    }
    for variable in ["RDSPROV_FORMAT", "RDSPROV_TLS", "RDSPROV_LOCK_TIMEOUT"] {
        check(&["apply"], Some(variable), 64);
        check(&["apply", "--help"], Some(variable), 0);
    }
}

#[test]
fn messages_of_the_server_are_escaped() {
    let fixture = Fixture::new(versions()[0]);
    fixture.app("dev", "shop", "shop_owner");
    let definitions = fixture.definitions(
        r#"application_databases = {
            shop = { database_name = "shop", username = "shop_owner", settings = { work_mem = "x\u001b[2J\ndone: the server is as declared\u202e" } }
        }"#,
    );
    for arguments in
        [&["apply", "--env", "dev"][..], &["apply", "--env", "dev", "--log-format", "json"]]
    {
        let output = fixture.run(&definitions, arguments);
        assert_ne!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("[2J"), "{text}");
        assert_visible(&text);
    }
}
