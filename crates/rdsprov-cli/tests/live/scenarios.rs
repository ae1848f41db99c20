//! Runs the folders of `testdata/scenarios`: the state of a server, the definitions, the resulting
//! plan, and the state after it. The snapshots in each folder document what the product does.
//!
//! A folder contains `definitions.tfvars`. Optional files: `earlier.tfvars` (applied first),
//! `before.sql` (manual changes after that), `rdsprov.toml` and `arguments`. If
//! `RDSPROV_TEST_PYTHON` names a Python with the module, as in `cargo xtask test`, its plan
//! must be the same.
//!
//! A folder with the file `delegate` is a scenario of `rdsprov delegate`: it has `earlier.tfvars`
//! instead of `definitions.tfvars`. The file contains `new`, or `existing` if the role is created
//! before the statements of `before.sql`.
//!
//! Each folder also contains recordings of the state that the plan is made from, `observed*.json`:
//! with them, the test `planner` of the core makes the plan again without a server.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_core::plan::Hazard;
use rdsprov_core::schema::Document;
use rdsprov_testkit::{NEWEST, OLDEST, all_versions, versions};

use crate::fixture::{DELEGATE, DELEGATE_SECRET, Fixture, expect};
use crate::recording::Recording;
use crate::schema::assert_valid;

/// Each scenario mostly waits for its own server.
const WORKERS: usize = 3;

fn folders() -> Vec<PathBuf> {
    let administer_as_superuser =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/scenarios");
    let mut folders: Vec<PathBuf> =
        administer_as_superuser.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Describes everything that determines access and that the product can change.
fn state(fixture: &Fixture) -> String {
    const CLUSTER: &str = "
        SELECT 'role ' || rolname || CASE WHEN rolcanlogin THEN ' LOGIN' ELSE '' END
          || CASE WHEN rolcreatedb THEN ' CREATEDB' ELSE '' END
          || CASE WHEN rolcreaterole THEN ' CREATEROLE' ELSE '' END
          || CASE WHEN rolconnlimit >= 0 THEN ' CONNECTION LIMIT ' || rolconnlimit ELSE '' END
          || coalesce(' VALID UNTIL ' || rolvaliduntil, '')
          || coalesce((SELECT ' IN ROLE ' || string_agg(pg_get_userbyid(roleid), ', ' ORDER BY 1)
                       FROM pg_auth_members WHERE member = r.oid), '')
          || coalesce(E'\\n    ' || replace(shobj_description(oid, 'pg_authid'), E'\\n', E'\\n    '), '')
        FROM pg_roles r WHERE rolname !~ '^(pg_|rds|platform_admin)' ORDER BY rolname";
    const DATABASES: &str = "
        SELECT 'database ' || datname || ' OWNER ' || pg_get_userbyid(datdba) || coalesce(' ' || datacl::text, '')
          || coalesce(E'\\n    ' || replace(shobj_description(oid, 'pg_database'), E'\\n', E'\\n    '), '')
        FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1', 'rdsadmin', 'platform')
        ORDER BY datname";
    const SETTINGS: &str = "
        SELECT 'settings of ' || pg_get_userbyid(setrole) || ' in ' || datname || ' ' || setconfig::text
        FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase ORDER BY 1";
    const INSIDE: &str = "
        SELECT '  extension ' || extname || ' OWNER ' || pg_get_userbyid(extowner)
        FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1;
        SELECT '  schema ' || nspname || coalesce(' ' || nspacl::text, '')
        FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname;
        SELECT '  ' || CASE relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' ELSE 'table ' END
          || oid::regclass || CASE WHEN relowner <> (SELECT datdba FROM pg_database
            WHERE datname = current_database()) THEN ' OWNER ' || pg_get_userbyid(relowner) ELSE '' END || coalesce(' ' || relacl::text, '')
        FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S') AND relnamespace IN (
          SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
        ORDER BY oid::regclass::text;
        SELECT '  column ' || attrelid::regclass || '.' || attname || ' ' || attacl::text
        FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384 ORDER BY 1;
        SELECT '  function ' || oid::regprocedure || ' ' || proacl::text
        FROM pg_proc p WHERE proacl IS NOT NULL AND oid >= 16384
          AND (proacl::text ~ '[{,]shop' OR NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e'))
        ORDER BY 1;
        SELECT '  type ' || oid::regtype || ' ' || typacl::text
        FROM pg_type WHERE typacl IS NOT NULL AND oid >= 16384 ORDER BY 1;
        SELECT '  default privileges of ' || pg_get_userbyid(defaclrole) || coalesce(' in ' || nspname, '')
          || ' on ' || CASE defaclobjtype WHEN 'S' THEN 'sequences' WHEN 'r' THEN 'tables'
            WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'schemas' END
          || ' ' || defaclacl::text
        FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
        ORDER BY pg_get_userbyid(defaclrole), nspname, defaclobjtype";
    let mut lines = vec![fixture.query(CLUSTER)];
    for line in fixture.query(DATABASES).lines() {
        lines.push(line.to_owned());
    }
    lines.extend(fixture.query(SETTINGS).lines().map(str::to_owned));
    let names = fixture.query(
        "SELECT datname FROM pg_database
         WHERE datallowconn AND datname NOT IN ('postgres', 'template1', 'rdsadmin', 'platform') ORDER BY 1",
    );
    for name in names.lines() {
        lines.push(format!("inside {name}\n  {}", fixture.query_in(name, INSIDE)));
    }
    // Since PostgreSQL 17, an owner's privileges on its tables include MAINTAIN.
    lines.join("\n").replace("arwdDxtm/", "arwdDxt/") + "\n"
}

/// Describes the delegate, which [`state`] leaves out.
const DELEGATE_STATE: &str = "
    SELECT 'delegate ' || rolname || CASE WHEN rolcanlogin THEN ' LOGIN' ELSE '' END
      || CASE WHEN rolcreatedb THEN ' CREATEDB' ELSE '' END
      || CASE WHEN rolcreaterole THEN ' CREATEROLE' ELSE '' END
      || CASE WHEN rolconnlimit >= 0 THEN ' CONNECTION LIMIT ' || rolconnlimit ELSE '' END
      || coalesce((SELECT string_agg(E'\\n  member of ' || pg_get_userbyid(roleid)
           || CASE WHEN admin_option THEN ' WITH ADMIN OPTION' ELSE '' END, '' ORDER BY pg_get_userbyid(roleid))
         FROM pg_auth_members WHERE member = r.oid), '')
      || E'\\n  ' || shobj_description(oid, 'pg_authid')
    FROM pg_roles r WHERE rolname = 'rdsprov_admin'";

/// The role that runs the product after the initial state is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Administrator {
    /// The master user, as in the snapshots.
    Master,
    /// A role to which the master user delegated.
    Delegate,
}

/// Returns the suffix of the snapshots and of the recording that a scenario has for a version.
///
/// Before PostgreSQL 15, schema `public` has another owner and PUBLIC may create in it. A few
/// scenarios also differ before PostgreSQL 16.
fn suffix(major: u32, folder: &Path, name: &str) -> &'static str {
    match major {
        ..=14 => "_14",
        15 if folder.join(format!("{name}_15.snap")).exists() => "_15",
        _ => "",
    }
}

/// Returns the text of a snapshot.
fn snapshot(folder: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(folder.join(format!("{name}.snap"))).unwrap();
    text.splitn(3, "---\n").last().unwrap().to_owned()
}

/// Normalises a text so that it does not depend on the administrator that acted: sorted lines,
/// sorted ACL items, no duplicates.
fn normalise(text: &str) -> Vec<String> {
    let text = text.replace(DELEGATE, "platform_admin");
    // What the master user may do on RDS, the delegate may not.
    let same = |line: &&str| {
        !line.contains("run as the RDS master user")
            && !line.contains("run as a superuser")
            // The run of the delegate allows the hazards.
            && !line.contains("to apply this plan, add")
    };
    let mut lines: Vec<String> = text
        .lines()
        .filter(same)
        .map(|line| {
            let Some((before, rest)) = line.split_once('{') else { return line.to_owned() };
            let Some((acl, after)) = rest.split_once('}') else { return line.to_owned() };
            let items: BTreeSet<&str> = acl.split(',').collect();
            let items: Vec<&str> = items.into_iter().collect();
            format!("{before}{{{}}}{after}", items.join(","))
        })
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines.sort();
    lines
}

/// Returns the hazards that the arguments of a scenario allow.
fn allowed(arguments: &[&str]) -> Vec<Hazard> {
    let hazard = |pair: &[&str]| match pair {
        ["--allow", hazard] => hazard.parse().unwrap(),
        other => panic!("the recording does not know the arguments {other:?}"),
    };
    arguments.chunks(2).map(hazard).collect()
}

/// Stores a secret for each application in the output of `validate`.
fn give_secrets(fixture: &Fixture, validated: &Output) {
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));
    let json: serde_json::Value = serde_json::from_slice(&validated.stdout).unwrap();
    assert_valid(Document::Definitions, &json);
    for app in json["applications"].as_array().unwrap() {
        let text = |key: &str| app[key].as_str().unwrap().to_owned();
        fixture.app("dev", &text("application"), &text("username"));
    }
}

/// Returns a plan without the server and the settings of the run, which the snapshots leave out: they
/// differ between servers, and `live::run_settings` covers them.
fn without_run(plan: &str) -> String {
    let (title, rest) = plan.split_once('\n').unwrap();
    let (title, server) = title.split_once(" on ").expect("the plan names the server");
    assert!(server.starts_with("localhost:"), "{plan}");
    let settings = rest.lines().take_while(|line| !line.is_empty()).count();
    let rest: Vec<&str> = rest.lines().skip(settings).collect();
    let place = format!(" on {server} (dev).");
    format!("{title}\n{}\n", rest.join("\n").replace(&place, " for environment dev."))
}

/// Returns a plan as in the snapshots: the digest covers the observed state, which differs between
/// servers.
fn without_digest(plan: &str) -> String {
    let lines: Vec<&str> =
        plan.lines().map(|line| line.split(" sha256:").next().unwrap_or(line)).collect();
    lines.join("\n")
}

fn assert_snapshots(folder: &Path, major: u32, plan: &str, after: &str) {
    let name = |name: &str| format!("{name}{}", suffix(major, folder, name));
    insta::with_settings!({
        snapshot_path => folder, prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        insta::assert_snapshot!(name("plan"), plan);
        insta::assert_snapshot!(name("after"), after);
    });
}

fn is_delegation(folder: &Path) -> bool {
    folder.join("delegate").exists()
}

/// Runs a scenario of `rdsprov delegate` as the master user.
fn run_delegation(major: u32, folder: &Path) {
    let fixture = Fixture::new(major);
    let build = ["--env", "dev", "--build-id", "7"];
    let earlier = folder.join("earlier.tfvars").display().to_string();
    let validate = ["validate", "--env", "dev", "--format", "json"];
    give_secrets(&fixture, &fixture.run(&earlier, &validate));
    expect(&fixture.run(&earlier, &[&["apply"], build.as_slice()].concat()), 0);
    let delegate = || expect(&fixture.delegate("dev").args(&build[2..]).output().unwrap(), 0);
    match std::fs::read_to_string(folder.join("delegate")).unwrap().trim() {
        "new" => {}
        "existing" => drop(delegate()),
        other => panic!("{}: the file `delegate` contains {other}", folder.display()),
    }
    if let Some(script) = script_before(folder) {
        fixture.server.script_as_superuser(&script).unwrap();
    }
    let catalog_state = fixture.catalog_state();
    let (recording, plan) = Recording::observe_delegation(&fixture, major);
    let suffix_of_plan = suffix(major, folder, "plan");
    if major == NEWEST || !suffix_of_plan.is_empty() {
        recording.assert_matches(&folder.join(format!("observed{suffix_of_plan}.json")));
    }
    assert_eq!(fixture.catalog_state(), catalog_state, "a plan changed something");
    delegate();
    assert!(delegate().contains("Nothing to do"), "the second run has something to do");
    let after = state(&fixture) + &fixture.query(DELEGATE_STATE);
    let text = without_digest(&without_run(&plan.to_text()));
    assert_snapshots(folder, major, &text, &after);
}

/// Returns the statements before the plan of a scenario: those of `before.sql`, or of the file in
/// `testdata/before` that it names, because several scenarios share it.
pub(crate) fn script_before(folder: &Path) -> Option<String> {
    let script = std::fs::read_to_string(folder.join("before.sql")).ok()?;
    Some(match script.trim().strip_prefix("\\ir ") {
        Some(shared) => std::fs::read_to_string(folder.join(shared)).unwrap(),
        None => script,
    })
}

fn run_scenario(major: u32, folder: &Path, administrator: Administrator) {
    if is_delegation(folder) {
        return run_delegation(major, folder);
    }
    let fixture = Fixture::new(major);
    let path = |name: &str| folder.join(name).display().to_string();
    let mut site = vec!["--env".to_owned(), "dev".to_owned()];
    if folder.join("rdsprov.toml").exists() {
        site.extend(["--config".to_owned(), path("rdsprov.toml")]);
    }
    let run = |definitions: &str, command: &str, arguments: &[&str]| {
        let site = site.iter().map(String::as_str);
        let words: Vec<&str> =
            std::iter::once(command).chain(site).chain(arguments.iter().copied()).collect();
        fixture.run(definitions, &words)
    };
    let delegated = administrator == Administrator::Delegate;
    let own = std::fs::read_to_string(folder.join("arguments")).unwrap_or_default();
    let mut own: Vec<&str> = own.split_whitespace().collect();
    let give_secrets = |definitions: &str| {
        give_secrets(&fixture, &run(definitions, "validate", &["--format", "json"]));
    };
    let build = ["--build-id", "7"];
    if folder.join("earlier.tfvars").exists() {
        give_secrets(&path("earlier.tfvars"));
        expect(&run(&path("earlier.tfvars"), "apply", &build), 0);
    }
    if delegated {
        expect(&fixture.delegate("dev").output().unwrap(), 0);
        own.extend(["--admin-secret", DELEGATE_SECRET]);
    }
    if let Some(script) = script_before(folder) {
        let script = if delegated { script.replace("platform_admin", DELEGATE) } else { script };
        fixture.server.script_as_superuser(&script).unwrap();
    }
    let definitions = path("definitions.tfvars");
    give_secrets(&definitions);
    let (catalog_state, grants) = (fixture.catalog_state(), fixture.admin_grants());
    let plan = run(&definitions, "plan", &own);
    let plan_text = without_run(&String::from_utf8(plan.stdout).unwrap());
    let text = without_digest(&plan_text);
    let newest = !delegated && versions().last() == Some(&major);
    if newest && let Some(python) = std::env::var_os("RDSPROV_TEST_PYTHON") {
        let site = site.iter().map(String::as_str);
        let words: Vec<&str> = site.chain(own.iter().copied()).collect();
        let same = fixture.python(&python, &definitions, &words);
        // Each front end spells options and operations in its own way.
        let mut as_command = vec![
            (r#"`adopt=["shop"]`"#.to_owned(), "--adopt shop".to_owned()),
            ("`rdsprov.apply(...)`".to_owned(), "`rdsprov apply`".to_owned()),
        ];
        let options =
            Hazard::all().map(|one| (format!("`allow=[\"{one}\"]`"), format!("--allow {one}")));
        as_command.extend(options);
        as_command.extend(
            ["drop_role", "drop_database"]
                .map(|name| (format!("`{name}=`"), format!("--{}", name.replace('_', "-")))),
        );
        let same =
            as_command.iter().fold(without_run(&expect(&same, 0)), |text, (python, command)| {
                text.replace(python, command)
            });
        let same = retire_as_command(&same);
        assert_eq!(same, plan_text, "the Python module plans differently");
    }
    let refused = plan.status.code() == Some(3);
    // The JSON output has the same structure on each version.
    if newest {
        let json = [own.as_slice(), &["--format", "json", "--out", "plan.json"]].concat();
        let json = run(&definitions, "plan", &json);
        assert_valid(Document::Plan, &serde_json::from_slice(&json.stdout).unwrap());
        match std::fs::read(fixture.path().join("plan.json")) {
            Ok(saved) => {
                assert_valid(Document::SavedPlan, &serde_json::from_slice(&saved).unwrap());
            }
            Err(_) => assert!(refused, "the plan was not saved"),
        }
    }
    // The versions that share a plan have one recording: that of the newest version.
    let suffix_of_plan = suffix(major, folder, "plan");
    if !delegated && (major == NEWEST || !suffix_of_plan.is_empty()) {
        Recording::observe(&fixture, major, folder, allowed(&own))
            .assert_matches(&folder.join(format!("observed{suffix_of_plan}.json")));
    }
    assert_eq!(fixture.catalog_state(), catalog_state, "a plan changed something");
    let apply = [own.as_slice(), &build, &["--audit-ledger", "ledger.jsonl"]].concat();
    expect(&run(&definitions, "apply", &apply), if refused { 3 } else { 0 });
    for line in std::fs::read_to_string(fixture.path().join("ledger.jsonl")).unwrap().lines() {
        assert_valid(Document::Ledger, &serde_json::from_str(line).unwrap());
    }
    if refused {
        assert_eq!(fixture.catalog_state(), catalog_state, "a refused run changed the server");
    } else {
        if newest {
            let access = run(&definitions, "access", &["--format", "json"]);
            expect(&access, 0);
            assert_valid(Document::Access, &serde_json::from_slice(&access.stdout).unwrap());
        }
        expect(&run(&definitions, "check", &own), 0);
        assert_eq!(fixture.admin_grants(), grants, "a membership of the administrator remains");
    }
    if delegated {
        let name = |name: &str| format!("{name}{}", suffix(major, folder, name));
        let (plan, after) = (snapshot(folder, &name("plan")), snapshot(folder, &name("after")));
        // The master user is not the administrator of these runs, and connects as PUBLIC only, as
        // `rdstopmgr` does.
        let text = text.replace("; platform_admin and rdstopmgr can", "; rdstopmgr can");
        // The template still belongs to the master user, who must drop what it contains.
        let text = text.replace(
            "run as role platform_admin in database template1",
            "run as the administrator in database template1",
        );
        assert_eq!(normalise(&text), normalise(&plan), "the plan");
        assert_eq!(normalise(&state(&fixture)), normalise(&after), "the state after the run");
        return;
    }
    assert_snapshots(folder, major, &text, &state(&fixture));
}

/// Returns the scenarios, or those whose names contain `RDSPROV_SCENARIO`.
fn chosen() -> Vec<PathBuf> {
    let chosen = std::env::var("RDSPROV_SCENARIO").unwrap_or_default();
    folders().into_iter().filter(|folder| folder.display().to_string().contains(&chosen)).collect()
}

/// Combines each scenario with each of the versions.
fn on_each(versions: &[u32]) -> Vec<(u32, PathBuf)> {
    let scenarios = |major: &u32| {
        let major = *major;
        chosen().into_iter().map(move |folder| (major, folder))
    };
    versions.iter().flat_map(scenarios).collect()
}

/// Runs all scenarios, and reports all failures at the end.
fn run_scenarios(scenarios: &[(u32, PathBuf)], administrator: Administrator) {
    assert!(!scenarios.is_empty());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some((major, folder)) =
                    scenarios.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    if catch_unwind(|| run_scenario(*major, folder, administrator)).is_err() {
                        let name = folder.file_name().unwrap().display();
                        failed.lock().unwrap().push(format!("{name} on {major}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "scenarios with another result: {failed:#?}");
}

/// Runs each scenario on the oldest and the newest version, and on another version if the scenario
/// has a snapshot of its own for it. The test `planner` of the core covers each plan without a
/// server. `cargo xtask test --pg` runs each scenario on all versions.
#[test]
fn scenarios_match_their_snapshots() {
    let mut scenarios = on_each(&all_versions());
    if std::env::var_os("RDSPROV_TEST_PG").is_none() {
        scenarios.retain(|(major, folder)| {
            let has_own = |name| !suffix(*major, folder, name).is_empty();
            [OLDEST, NEWEST].contains(major) || has_own("plan") || has_own("after")
        });
    }
    run_scenarios(&scenarios, Administrator::Master);
}

/// Memberships have options since PostgreSQL 16, and schema `public` has another owner before 15.
/// The oldest and the newest version cover both differences, and each scenario runs on one of them.
/// `cargo xtask test --pg` runs each scenario on all versions.
#[test]
fn delegated_administrator_gives_the_same_results() {
    let all = versions();
    let mut scenarios = match std::env::var_os("RDSPROV_TEST_PG") {
        Some(_) => on_each(&all),
        None => {
            let in_turn = [all[0], all[all.len() - 1]].into_iter().cycle();
            in_turn.zip(chosen()).collect()
        }
    };
    // Only the master user runs `rdsprov delegate`.
    scenarios.retain(|(_, folder)| !is_delegation(folder));
    run_scenarios(&scenarios, Administrator::Delegate);
}

/// Spells the calls that end the access of applications as commands.
fn retire_as_command(text: &str) -> String {
    let spell = |line: &str| -> Option<String> {
        let (before, after) = line.split_once("`rdsprov.retire(...)` for application")?;
        let (names, after) = after.split_once("; ")?;
        let names = names.trim_start_matches('s').trim_start().replace(", ", " ");
        Some(format!("{before}`rdsprov retire {names}`; {after}"))
    };
    let lines = text.split('\n').map(|line| spell(line).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}
