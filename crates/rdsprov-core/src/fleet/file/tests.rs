//! The errors of fleet files, each with its line and hint, and the examples in documents.

use super::*;
use crate::definitions::Syntax;

fn parse(path: &str, text: &str) -> Result<Fleet, DefinitionErrors> {
    Fleet::parse(&SourceText {
        path: path.to_owned(),
        text: text.to_owned(),
        syntax: Syntax::from_path(path).unwrap(),
    })
}

/// Returns the errors of a text as `line:column code message; hint`.
fn errors(text: &str) -> Vec<String> {
    let Err(errors) = parse("fleet.toml", text) else { return Vec::new() };
    let one = |error: &crate::definitions::DefinitionError| {
        let (Location { line, column, .. }, code) = (&error.location, error.code);
        format!("{line}:{column} {code} {}; {}", error.message, error.hint)
    };
    errors.errors.iter().map(one).collect()
}

#[track_caller]
fn assert_error(text: &str, expected: &str) {
    assert_eq!(errors(text), [expected], "{text}");
}

const ONE: &str = "[[instances]]\nname = \"a\"\nenvironment = \"dev\"\n";

#[test]
fn all_keys() {
    let text = "[defaults]\nenvironment = \"dev\"\nregion = \"eu-west-2\"\nport = 5433\n\
        definitions = [\"shop.tfvars\"]\nallow = [\"adopts\"]\n\
        [[instances]]\nname = \"a\"\nhost = \"h\"\n\
        [[instances]]\nname = \"b.2\"\nenvironment = \"prod\"\ndefinitions = [\"b/x.tfvars\", \"y.toml\"]\n\
        config = \"b/rdsprov.toml\"\nregion = \"eu-west-1\"\nassume_role = \"arn:aws:iam::111122223333:role/r\"\n\
        external_id = \"e\"\nhost = \"h\"\nport = 5434\ndbname = \"d\"\nconnect_to = \"127.0.0.1:1\"\n\
        admin_secret = \"s\"\nadmin_auth = \"iam\"\nadmin_user = \"u\"\nallow = []\nonly = [\"shop\"]\n";
    for key in KEYS {
        assert!(text.contains(&format!("\n{key} = ")), "{key}");
    }
    let fleet = parse("dir/fleet.toml", text).unwrap();
    let [a, b] = fleet.instances.as_slice() else { panic!("{fleet:?}") };
    assert_eq!((a.name.as_str(), a.environment.as_str(), a.port), ("a", "dev", Some(5433)));
    assert_eq!(a.definitions, [Path::new("dir/shop.tfvars")]);
    assert_eq!(
        (a.allow.as_slice(), a.region.as_deref()),
        (&[Hazard::Adopts][..], Some("eu-west-2"))
    );
    assert_eq!(b.definitions, [Path::new("dir/b/x.tfvars"), Path::new("dir/y.toml")]);
    assert_eq!(b.config.as_deref(), Some(Path::new("dir/b/rdsprov.toml")));
    assert_eq!((b.environment.as_str(), b.port, b.allow.len()), ("prod", Some(5434), 0));
    let role = b.assume_role.as_ref().unwrap();
    assert_eq!(role.external_id.as_deref(), Some("e"));
    assert_eq!(role.session.as_deref(), Some("b.2"));
    assert_eq!((b.only.as_slice(), b.admin_auth), (&["shop".to_owned()][..], Some(Auth::Iam)));
}

#[test]
fn each_error_has_its_line_and_a_hint() {
    for (line, expected) in [
        ("hots = \"h\"", "4:1 unknown-key instance `a` has the unknown key `hots`; write `host`"),
        (
            "port = \"5432\"",
            "4:8 wrong-type `port` is a string, not a number; write a number from 1 to 65535, without quotes",
        ),
        (
            "port = 65536",
            "4:8 invalid-value 65536 is not a TCP port; write a number from 1 to 65535, without quotes",
        ),
        ("host = \"\"", "4:8 invalid-value `host` is empty; write host = \"…\", or remove the key"),
        (
            "definitions = \"a.tfvars\"",
            "4:15 wrong-type `definitions` is a string, not a list of strings; write definitions = [\"…\"]",
        ),
        (
            "assume_role = \"rdsprov\"",
            "4:15 invalid-value `assume_role` is not valid: it is not the ARN of an IAM role; write assume_role = \"arn:aws:iam::111122223333:role/NAME\"",
        ),
        (
            "external_id = \"x\"",
            "4:1 missing-key instance `a` has `external_id` without `assume_role`; add assume_role = \"arn:…\", or remove `external_id`",
        ),
        (
            "connect_to = \"a:b\"",
            "4:14 invalid-value `connect_to` is not valid: `a:b` is not an address such as `10.0.0.5` or `localhost:15432`; write connect_to = \"127.0.0.1:15432\"",
        ),
        (
            "admin_auth = \"token\"",
            "4:14 invalid-value `admin_auth` is \"token\"; write admin_auth = \"password\" or admin_auth = \"iam\"",
        ),
        ("allow = [\"adopt\"]", "4:10 invalid-value `adopt` is not a hazard; write \"adopts\""),
        (
            "[defaults]\nname = \"x\"",
            "5:1 unknown-key `[defaults]` has the unknown key `name`; write the name in each of [[instances]]",
        ),
        (
            "[extra]",
            "4:2 unknown-key the file has the unknown key `extra`; use [defaults] and [[instances]]",
        ),
        (
            "[[instances]]\nname = \"a\"\nenvironment = \"test\"",
            "5:8 duplicate-item the name `a` is already given at line 2; give each instance a name of its own",
        ),
        (
            "[[instances]]\nenvironment = \"dev\"",
            "4:1 missing-key an instance has no `name`; write name = \"…\"",
        ),
        (
            "[[instances]]\nname = \"b\"",
            "4:1 missing-key instance `b` has no `environment`; write environment = \"…\" in the instance or in [defaults]",
        ),
        (
            "[[instances]]\nname = \"b c\"\nenvironment = \"dev\"",
            "5:8 invalid-name `b c` is not a name of an instance; use up to 100 ASCII letters, digits, `.`, `_` and `-`, and begin with a letter or digit",
        ),
        (
            "host = \"H\"\n[[instances]]\nname = \"b\"\nenvironment = \"dev\"\nhost = \"h\"\nport = 5432",
            "8:8 duplicate-item the instances `a` and `b` have the same server, h:5432; correct `host` or `port`, or declare both in one instance",
        ),
    ] {
        assert_error(&format!("{ONE}{line}\n"), expected);
    }
    // Without a host, the administrator's secret names the server.
    let two = |first: &str, second: &str| {
        errors(&format!("{ONE}{first}\n{}{second}\n", ONE.replace("\"a\"", "\"b\"")))
    };
    let expected = "4:1 duplicate-item the instances `a` and `b` have the same administrator's secret, and no host; set `host` or `admin_secret`, or declare both in one instance";
    assert_eq!(two("", ""), [expected.replace("4:1", "5:1")]);
    let secret = "admin_secret = \"s\"";
    assert!(two(secret, secret)[0].contains("the same administrator's secret"));
    for (first, second) in [
        (secret, ""),
        (secret, "admin_secret = \"t\""),
        ("region = \"eu-west-1\"", "region = \"eu-west-2\""),
        ("", "assume_role = \"arn:aws:iam::111122223333:role/r\""),
        ("", "config = \"b.toml\""),
        ("", "host = \"h\""),
        ("host = \"h\"", "host = \"h\"\nport = 5433"),
    ] {
        assert_eq!(two(first, second), Vec::<String>::new(), "{first} {second}");
    }
    assert!(errors(&format!("{ONE}environment = \"x y\"\n"))[0].contains("duplicate-key"));
    let missing =
        "1:1 missing-key the file contains no `instances`; start each instance with [[instances]]";
    assert_error("", missing);
    assert_error("[defaults]\nregion = \"x\"\n", missing);
    let empty =
        "1:13 missing-key the file contains no instance; start each instance with [[instances]]";
    assert_error("instances = []\n", empty);
    assert!(errors("instances = {").iter().all(|error| error.contains("invalid-syntax")));
    assert!(
        errors("[[instances]]\nname = \"a\"\nenvironment = \"d v\"\n")[0]
            .starts_with("3:15 invalid-name")
    );
    // All errors are reported at once.
    assert_eq!(errors("[[instances]]\nhots = 1\n[[instances]]\nport = 0\n").len(), 6);
}

/// What a misspelt key sets is not reported as missing, too.
#[test]
fn misspelt_key_is_one_error() {
    let two = "[[instances]]\nname = \"a\"\n[[instances]]\nname = \"b\"\nhost = \"h\"\n";
    for (text, expected) in [
        (
            "[[instances]]\nnmae = \"a\"\nenvironment = \"dev\"\n".to_owned(),
            "2:1 unknown-key an instance has the unknown key `nmae`; write `name`",
        ),
        (
            "[[instances]]\nname = \"a\"\nenviroment = \"dev\"\n".to_owned(),
            "3:1 unknown-key instance `a` has the unknown key `enviroment`; write `environment`",
        ),
        (
            format!("[defaults]\nenviroment = \"dev\"\n{two}"),
            "2:1 unknown-key `[defaults]` has the unknown key `enviroment`; write `environment`",
        ),
        (
            format!("[default]\nenvironment = \"dev\"\n{two}"),
            "1:2 unknown-key the file has the unknown key `default`; use [defaults] and [[instances]]",
        ),
        (
            format!(
                "{ONE}asume_role = \"arn:aws:iam::111122223333:role/r\"\nexternal_id = \"x\"\n"
            ),
            "4:1 unknown-key instance `a` has the unknown key `asume_role`; write `assume_role`",
        ),
        (
            format!("{ONE}hots = \"h\"\n{}", ONE.replace("\"a\"", "\"b\"")),
            "4:1 unknown-key instance `a` has the unknown key `hots`; write `host`",
        ),
    ] {
        assert_error(&text, expected);
    }
}

#[test]
fn json_has_the_same_keys() {
    let text =
        r#"{"defaults": {"environment": "dev"}, "instances": [{"name": "a", "port": 5433}]}"#;
    let fleet = parse("fleet.json", text).unwrap();
    assert_eq!(
        (fleet.instances[0].environment.as_str(), fleet.instances[0].port),
        ("dev", Some(5433))
    );
    let errors = parse("fleet.json", r#"{"instances": [{"name": "a"}]}"#).unwrap_err();
    assert!(errors.to_string().contains("fleet.json:1:16"), "{errors}");
}

/// The reference describes each key, and the examples are valid.
#[test]
fn documents_and_examples() {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let reference = include_str!("../../../../../docs/reference.md");
    let section = reference.split("### A fleet\n").nth(1).unwrap();
    let section = section.split("\n### ").next().unwrap();
    let example = include_str!("../../../../../deploy/fleet/fleet.toml");
    for key in KEYS {
        assert!(section.contains(&format!("`{key}`")), "{key}");
        assert!(example.contains(&format!("\n{key} = ")), "{key}");
    }
    let path = format!("{ROOT}/deploy/fleet/fleet.toml");
    for instance in parse(&path, example).unwrap().instances {
        let exists = |file: &PathBuf| assert!(file.is_file(), "{}", file.display());
        instance.definitions.iter().chain(&instance.config).for_each(exists);
    }
    let guide = include_str!("../../../../../docs/guides/fleet.md");
    let example = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(parse("fleet.toml", example).unwrap().instances.len(), 3);
}

/// A file that is not a fleet file can contain a secret.
#[test]
fn other_files_are_not_printed() {
    for text in ["password = \"canary\"\n", "{\"password\": \"canary\"}", "canary", "= canary"] {
        let errors = parse("fleet.toml", text).unwrap_err();
        assert!(!errors.to_string().contains("canary"), "{errors}");
    }
}
