//! The first steps on a server that rdsprov does not manage yet: one hint about all adoptions, and
//! `--additive`.

use rdsprov_testkit::versions;

use crate::fixture::{Fixture, expect};

const APPLICATIONS: [&str; 5] = ["billing", "crm", "hr", "shop", "wiki"];

/// A server with roles and databases that the administrator has created without rdsprov, and the definitions
/// of them.
fn brownfield(major: u32) -> (Fixture, String) {
    let fixture = Fixture::new(major);
    let mut entries = String::new();
    for one in APPLICATIONS {
        fixture.app("dev", one, &format!("{one}_owner"));
        for sql in [
            format!("CREATE ROLE {one}_owner LOGIN"),
            format!("GRANT {one}_owner TO platform_admin"),
            format!("CREATE DATABASE {one} OWNER {one}_owner"),
        ] {
            fixture.server.master("postgres", &sql).unwrap();
        }
        entries +=
            &format!("{one} = {{ database_name = \"{one}\", username = \"{one}_owner\" }}\n");
    }
    let definitions = fixture.definitions(&format!("application_databases = {{\n{entries}}}"));
    (fixture, definitions)
}

#[test]
fn one_hint_names_all_applications_to_adopt() {
    for major in versions() {
        let (fixture, definitions) = brownfield(major);
        let run = |arguments: &[&str], code| expect(&fixture.run(&definitions, arguments), code);
        let options: Vec<String> =
            APPLICATIONS.iter().map(|one| format!("--adopt {one}")).collect();
        let hint =
            format!("hint: or adopt them with {}, or with `adopt = true`", options.join(" "));
        for format in ["text", "sql", "markdown", "github"] {
            let text = run(&["plan", "--env", "dev", "--format", format], 3);
            let count = text.matches("--adopt billing").count();
            assert_eq!(count, 1, "PostgreSQL {major}: {text}");
            assert!(text.matches("exists and is not managed").count() >= 10, "{text}");
        }
        assert!(run(&["plan", "--env", "dev"], 3).contains(&hint));

        // The error does not repeat what the plan contains.
        let text = run(&["apply", "--env", "dev"], 3);
        let error = "error[plan-refused]: refused[role-not-managed] billing: role billing_owner exists and is \
                     not managed by rdsprov; and 9 more: 5 database-not-managed, 4 role-not-managed\n";
        assert!(text.contains(error), "{text}");
        let after = text.split_once(error).unwrap().1;
        assert_eq!(after.matches("--adopt billing").count(), 1, "{text}");

        let output = fixture.run(&definitions, &["plan", "--env", "dev", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let refusals = plan["refusals"].as_array().unwrap();
        assert_eq!(refusals.len(), 10);
        for refusal in refusals {
            let application = refusal["application"].as_str().unwrap();
            assert!(refusal["hint"].as_str().unwrap().contains(application), "{refusal}");
        }

        // The options of the hint are enough.
        let options: Vec<&str> = options.iter().flat_map(|one| one.split(' ')).collect();
        run(&[&["plan", "--env", "dev"], options.as_slice()].concat(), 0);
    }
}
