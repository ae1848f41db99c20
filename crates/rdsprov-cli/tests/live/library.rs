//! Programs that call the library instead of the command: plans that must not be applied, deferred
//! parts, and saved plans of rotations.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rdsprov_core::config::CaFile;
use rdsprov_core::plan::{RefusalCode, Step};
use rdsprov_core::server::ExecuteOptions;
use rdsprov_core::session::{
    self, ApplyOptions, Cancellation, Completion, Error, Frontend, PlanSource, RunOptions, Secrets,
    ServerOptions, Setup, SetupBuilder,
};
use rdsprov_core::step_result::StepResult;
use rdsprov_testkit::{scrub_environment, versions};

use crate::fixture::{Fixture, expect, password};

const SHOP: &str = r#"
application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
}
"#;

const SHOP_AND_DESK: &str = r#"
application_databases = {
  shop = { database_name = "shop", username = "shop_owner" }
  desk = { database_name = "desk", username = "desk_owner" }
}
"#;

fn setup(fixture: &Fixture, definitions: &str) -> SetupBuilder {
    Setup::builder().environment("dev").files([fixture.definitions(definitions)])
}

fn server_options(fixture: &Fixture) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.secrets = Secrets::Files(fixture.path().to_owned());
    options.tls.ca_file = Some(CaFile::Path(fixture.server.ca_file().to_owned()));
    options
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}

/// The operations know no gates, but they do not execute a plan with refusals either.
#[test]
fn refused_plan_is_not_applied() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        fixture.app("dev", "desk", "desk_owner");
        fixture.query("CREATE ROLE shop_owner");
        let before = fixture.catalog_state();
        let setup = setup(&fixture, SHOP_AND_DESK).build().unwrap();
        let error = block_on(async {
            let mut run = setup.open(&server_options(&fixture)).await.unwrap();
            let mut run = run.lock().await.unwrap();
            let planned = run.plan().await.unwrap();
            // The other application has steps.
            assert!(!planned.plan().is_empty(), "{}", planned.plan().to_text());
            planned.apply("7", &ExecuteOptions::default()).await.unwrap_err()
        });
        let codes: Vec<RefusalCode> = error.refusals.iter().map(|one| one.code()).collect();
        assert_eq!(codes, [RefusalCode::RoleNotManaged]);
        assert_eq!(error.to_string(), "the plan contains refusals: role-not-managed");
        assert_eq!(fixture.catalog_state(), before, "PostgreSQL {major}");
    }
}

/// What the database contains is known only when the administrator can connect to it.
const CLOSES: &str = "REVOKE CONNECT ON DATABASE shop FROM platform_admin";

/// Closes the database to the administrator again after the first step.
struct InterferingFrontend<'a> {
    fixture: &'a Fixture,
    has_interfered: AtomicBool,
}

impl Frontend for InterferingFrontend<'_> {
    fn on_step(&self, _: &Step, _: &StepResult) {
        if !self.has_interfered.swap(true, Ordering::Relaxed) {
            self.fixture.query(CLOSES);
        }
    }
}

/// A run executes its second plan for what the first one deferred. If the second plan defers the same
/// again, the run does not continue, and the next run completes the work.
#[test]
fn run_ends_after_its_second_plan() {
    for major in versions() {
        let fixture = Fixture::new(major);
        fixture.app("dev", "shop", "shop_owner");
        let mut options = ApplyOptions::default();
        options.run.server = server_options(&fixture);
        let apply = |interferes: bool| {
            let has_interfered = AtomicBool::new(!interferes);
            let frontend = InterferingFrontend { fixture: &fixture, has_interfered };
            let setup = setup(&fixture, SHOP);
            block_on(session::apply(setup, &options, &frontend, &Cancellation::default()))
        };
        assert_eq!(apply(false).result.unwrap(), Completion::Converged);

        fixture.query_in("shop", "GRANT CREATE ON SCHEMA public TO PUBLIC");
        fixture.query(CLOSES);
        let outcome = apply(true);
        assert!(matches!(outcome.result, Err(Error::NotConverged(_))), "{:?}", outcome.result);
        let text = outcome.result.as_ref().unwrap_err().to_string();
        assert!(text.ends_with("; it differs for: shop"), "PostgreSQL {major}: {text}");
        let steps: Vec<_> = outcome.steps.iter().map(|(step, _)| step.action.name()).collect();
        assert_eq!(steps, ["grant", "grant"], "PostgreSQL {major}");
        let deferred: Vec<_> = outcome.plans.iter().map(|plan| plan.deferred.len()).collect();
        assert_eq!(deferred, [1, 1, 0], "PostgreSQL {major}");
        let left: Vec<_> = outcome.plans[2].steps().map(|step| step.action.name()).collect();
        assert_eq!(left, ["revoke"], "PostgreSQL {major}");

        assert_eq!(apply(false).result.unwrap(), Completion::Converged);
        fixture.server.sql_as("shop_owner", &password("shop"), "shop", "SELECT 1").unwrap();
        assert_eq!(apply(false).result.unwrap(), Completion::NothingToDo);
    }
}

/// Rotates a password with a plan that this program made before, and tries to use the plan again.
async fn rotate_with_saved_plan(definitions: PathBuf) {
    let setup = Setup::builder().environment("dev").files([definitions]);
    let mut options = RunOptions::default();
    options.dry_run = true;
    let applications = ["shop".to_owned()];
    let rotate = async |options: &RunOptions| {
        let cancellation = Cancellation::default();
        session::rotate(setup.clone(), &applications, options, &(), &cancellation).await
    };
    let outcome = rotate(&options).await;
    assert_eq!(outcome.result.unwrap(), Completion::DryRun);
    let plan = Box::new(outcome.plans[0].clone());

    options.dry_run = false;
    options.plan_source = PlanSource::Plan(plan);
    let outcome = rotate(&options).await;
    assert_eq!(outcome.result.unwrap(), Completion::Converged);
    assert_eq!(outcome.steps.len(), 4);

    // The current version of the secret is another one now.
    let outcome = rotate(&options).await;
    assert_eq!(outcome.result.unwrap_err().code().name(), "plan-stale");
    assert!(outcome.steps.is_empty() && !outcome.committed);
}

/// The rotation runs in a child process: the AWS SDK reads the environment.
#[test]
fn rotation_with_a_saved_plan() {
    const DEFINITIONS: &str = "RDSPROV_TEST_ROTATES";
    if let Some(definitions) = std::env::var_os(DEFINITIONS) {
        return block_on(rotate_with_saved_plan(definitions.into()));
    }
    for major in versions() {
        let fixture = Fixture::with_secrets_manager(major);
        fixture.app("dev", "shop", "shop_owner");
        let definitions = fixture.definitions(SHOP);
        expect(&fixture.run(&definitions, &["apply", "--env", "dev"]), 0);
        let manager = fixture.secrets_manager.as_ref().unwrap();
        let at = |stage| manager.at_stage("goldenpath/dev/shop/postgres", stage).unwrap().unwrap();
        let (before, _) = at("AWSCURRENT");
        let mut program = Command::new(std::env::current_exe().unwrap());
        let output = scrub_environment(&mut program)
            .args(["library::rotation_with_a_saved_plan", "--exact", "--nocapture"])
            .current_dir(fixture.path())
            .env(DEFINITIONS, &definitions)
            .env("PGSSLROOTCERT", fixture.server.ca_file())
            .envs(manager.environment())
            .output()
            .unwrap();
        expect(&output, 0);
        let (current, text) = at("AWSCURRENT");
        // The password changed once: the stale plan created no version.
        assert_eq!(at("AWSPREVIOUS").0, before, "PostgreSQL {major}");
        assert_eq!(at("AWSPENDING").0, current, "PostgreSQL {major}");
        let secret: serde_json::Value = serde_json::from_str(&text).unwrap();
        let password = secret["password"].as_str().unwrap();
        fixture.server.sql_as("shop_owner", password, "shop", "SELECT 1").unwrap();
    }
}
