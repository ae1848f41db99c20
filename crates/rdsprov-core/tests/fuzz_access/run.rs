//! Runs one case from its initial state to the verdict.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_core::definitions::Definitions;
use rdsprov_core::export::{Export, ExportFormat, ExportScope};
use rdsprov_core::hint::Neutral;
use rdsprov_core::operations::{Locked, PlanRefused, Planned, PlannedApply, Provisioner};
use rdsprov_core::plan::Plan;
use rdsprov_core::server::{ExecuteOptions, ExecutionOutcome, Fault};
use rdsprov_core::session::{ConfigText, Error, Secrets, ServerOptions, Setup};

use crate::access::Access;
use crate::announced;
use crate::checker::Checker;
use crate::coverage::Coverage;
use crate::declared::{Declared, parse};
use crate::fixes::{Fix, WOULD_GIVE_CODE, fixes, reviewed};
use crate::host::{HarnessError, Host};
use crate::initial_state::{ADMINISTRATOR, Base, Case, ManualChange};
use crate::oracle::Rules;
use crate::provision;
use crate::snapshot::Snapshot;

/// The stage at which a case failed. A smaller case that fails at another stage has another cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The test itself failed.
    HarnessError,
    Definitions,
    Plan,
    /// A refusal without a manual fix, which the test does not expect.
    Unexpected,
    /// The manual fix of a refusal fails.
    ManualFix,
    /// The plan is refused after every manual fix.
    StillRefused,
    /// A refused run changed something.
    RefusedAndChanged,
    /// The run adopted something without permission.
    Adopted,
    Apply,
    /// The plan after the run is not empty.
    SecondPlan,
    /// A run without changes wrote WAL.
    Wrote,
    /// An object is not as declared, or another object changed.
    State,
    /// A role has more or less access than its level.
    Access,
    /// The export of the result gives definitions that would change something.
    Export,
    /// The export of the state before the run does not announce what its plan does.
    ExportBefore,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub stage: Stage,
    pub what: String,
}

impl Failure {
    /// Returns whether two cases probably fail for the same reason.
    pub fn has_same_cause(&self, other: &Self) -> bool {
        // The text of an unexpected refusal begins with its code.
        let code = |failure: &Self| -> Option<String> {
            let code = failure.what.split(": ").next()?;
            (failure.stage == Stage::Unexpected).then(|| code.to_owned())
        };
        self.stage == other.stage && code(self) == code(other)
    }
}

impl From<HarnessError> for Failure {
    fn from(error: HarnessError) -> Self {
        Self { stage: Stage::HarnessError, what: error.to_string() }
    }
}

type Result<T> = std::result::Result<T, Failure>;

fn fail<T>(stage: Stage, what: impl ToString) -> Result<T> {
    Err(Failure { stage, what: what.to_string() })
}

/// The number of times that manual fixes are tried.
const ROUNDS: usize = 8;
/// The number of plans that may defer objects to a later plan.
const DEFERRED_ROUNDS: usize = 3;

/// The reaction to the refusals of a plan.
enum FixResult {
    /// The statements of the refusals were executed.
    Applied,
    /// The run is allowed to change owners.
    ChangesOwner,
    /// Only other definitions would help.
    None,
}

/// Runs a case, and cleans the server afterwards.
pub async fn run(host: &Host, case: &Case, coverage: &mut Coverage) -> Result<()> {
    let result = Running { host, case, coverage }.run().await;
    host.wait_for_sessions().await?;
    host.clean().await?;
    result
}

/// A plan without refusals.
struct AcceptedPlan {
    run: Provisioner,
    plan: Plan,
    may_change_owners: bool,
}

struct Running<'a> {
    host: &'a Host,
    case: &'a Case,
    coverage: &'a mut Coverage,
}

impl Running<'_> {
    async fn run(&mut self) -> Result<()> {
        let secrets = tempfile::tempdir().map_err(HarnessError::from)?;
        self.start(&self.case.by_hand).await?;
        match &self.case.base {
            Base::Nothing => {}
            Base::EarlierRun(declared) => self.provision(declared, secrets.path()).await?,
            Base::Interrupted(declared, part) => {
                self.interrupt(declared, secrets.path(), *part).await?;
            }
        }
        self.start(&self.case.drift).await?;
        self.coverage.count(format!("base: {}", self.case.base.name()));
        if self.case.unadopted {
            self.check_refusal_without_adopt(
                &self.case.declared.without_adoption(),
                secrets.path(),
            )
            .await?;
        }
        if self.case.exported_before {
            self.check_export_before(secrets.path()).await?;
        }
        let declared = &self.case.declared;
        let accepted = self.plan(declared, secrets.path(), self.case.may_change_owners).await?;
        let Some(AcceptedPlan { mut run, plan, may_change_owners }) = accepted else {
            return Ok(());
        };
        self.coverage.count_levels(declared);
        self.coverage.count(if plan.is_empty() { "plans: empty" } else { "plans: applied" });
        let mut before = self.host.snapshot().await?;
        if may_change_owners {
            for database in before.transfer_ownership(declared) {
                self.coverage
                    .count(format!("owners: changed from {}", role_kind(declared, &database)));
            }
        }
        if !self.apply(&mut run).await? {
            self.coverage.count("plans: deferred objects were refused");
            return Ok(());
        }
        self.check_no_wal(&mut run).await?;
        let after = self.host.snapshot().await?;
        let checker =
            Checker { declared, before: &before, after: &after, pristine: &self.host.pristine };
        let violations = checker.violations();
        if !violations.is_empty() {
            return fail(Stage::State, violations.join("\n"));
        }
        self.access(&after).await?;
        if self.case.exported_before {
            return Ok(());
        }
        self.check_export(secrets.path(), &after).await
    }

    /// Asserts that the export of the state before the run announces what a plan of it does: its changes and
    /// its refusals, and nothing else.
    async fn check_export_before(&mut self, secrets: &Path) -> Result<()> {
        let wrong = |what: String| Failure { stage: Stage::ExportBefore, what };
        let administrator = self.host.server.admin_secret();
        std::fs::write(secrets.join("admin.json"), administrator).map_err(HarnessError::from)?;
        let mut scope = ExportScope::default();
        scope.databases = self.case.declared.databases().into_iter().map(str::to_owned).collect();
        let export = match self.export(secrets, &scope).await {
            Ok(export) => export,
            Err(Error::NothingMatches { .. }) => return Ok(()),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let text = export.to_text(ExportFormat::Tfvars, &Neutral);
        let mut definitions = parse(&text).map_err(|error| wrong(format!("{error}\n{text}")))?;
        for application in definitions.applications.values_mut() {
            application.adopt = true;
        }
        announced::write_secrets(&definitions, secrets).map_err(HarnessError::from)?;
        let mut run = self.open_definitions(&definitions, secrets, false).await?;
        let plan = self.plan_once(&mut run).await?.into_parts().2;
        let missing = announced::differences(&text, &plan);
        if !missing.is_empty() {
            let what = format!("{}\nthe export:\n{text}\n{}", missing.join("\n"), plan.to_text());
            return Err(wrong(what));
        }
        self.coverage.count("exports: before a run");
        if !plan.refusals.is_empty() {
            self.coverage.count("exports: with refusals");
        }
        Ok(())
    }

    /// Exports databases with any names.
    async fn export(
        &self,
        secrets: &Path,
        scope: &ExportScope,
    ) -> std::result::Result<Export, Error> {
        let config = ConfigText {
            path: "rdsprov.toml".into(),
            text: "[definitions]\nnaming_pattern = '.*'\n".to_owned(),
        };
        let setup = Setup::builder().config(config.parse()?).environment("dev");
        let setup = setup.without_definitions().build()?;
        let mut options = ServerOptions::default();
        options.secrets = Secrets::Files(secrets.to_owned());
        options.admin_secret = Some("admin".to_owned());
        options.tls.ca_file = Some(self.host.server.ca_file().into());
        setup.export(&options, scope).await
    }

    /// Asserts that the export of the declared roles and databases gives definitions that change nothing.
    async fn check_export(&mut self, secrets: &Path, after: &Snapshot) -> Result<()> {
        let declared = &self.case.declared;
        let wrong = |error: &dyn std::fmt::Display| Failure {
            stage: Stage::Export,
            what: error.to_string(),
        };
        let mut scope = ExportScope::default();
        scope.databases = declared.databases().into_iter().map(str::to_owned).collect();
        let roles = after.cluster.roles.keys().filter(|role| !declared.is_managed(role));
        scope.exclude = roles.cloned().collect();
        let export = self.export(secrets, &scope).await.map_err(|error| wrong(&error))?;
        let text = export.to_text(ExportFormat::Tfvars, &Neutral);
        let definitions = parse(&text).map_err(|error| wrong(&format!("{error}\n{text}")))?;
        let mut run = self.open_definitions(&definitions, secrets, false).await?;
        let plan = self.plan_once(&mut run).await?.into_parts().2;
        if !plan.is_empty() || !plan.refusals.is_empty() {
            return fail(Stage::Export, format!("the export:\n{text}\n{}", plan.to_text()));
        }
        self.coverage.count("exports: without changes");
        Ok(())
    }

    /// Executes the manual changes of the case. A statement that the server rejects is skipped.
    async fn start(&mut self, changes: &[ManualChange]) -> Result<()> {
        for initial_state in changes {
            match self.host.by_hand(&initial_state.scope, &initial_state.statements).await? {
                Ok(()) => self.coverage.count_change(initial_state.kind),
                Err(message) => self.coverage.count_rejected(initial_state.kind, message),
            }
        }
        Ok(())
    }

    async fn open(
        &self,
        declared: &Declared,
        secrets: &Path,
        may_change_owners: bool,
    ) -> Result<Provisioner> {
        let definitions = match declared.parse() {
            Ok(definitions) => definitions,
            Err(error) => return fail(Stage::Definitions, error),
        };
        provision::write_secrets(declared, secrets, &self.host.server.admin_secret())
            .map_err(HarnessError::from)?;
        self.open_definitions(&definitions, secrets, may_change_owners).await
    }

    async fn open_definitions(
        &self,
        definitions: &Definitions,
        secrets: &Path,
        may_change_owners: bool,
    ) -> Result<Provisioner> {
        let opened =
            provision::open(&self.host.server, definitions, secrets, may_change_owners).await;
        opened.map_err(|what| Failure { stage: Stage::Plan, what })
    }

    async fn plan_once<'a>(&self, run: &'a mut Provisioner) -> Result<Planned<'a>> {
        run.plan().await.map_err(|error| Failure { stage: Stage::Plan, what: error.to_string() })
    }

    /// Returns a plan without refusals, after the manual fixes that a user would make.
    async fn plan(
        &mut self,
        declared: &Declared,
        secrets: &Path,
        mut may_change_owners: bool,
    ) -> Result<Option<AcceptedPlan>> {
        let mut run = self.open(declared, secrets, may_change_owners).await?;
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let before = self.host.snapshot().await?;
            let plan = self.plan_once(&mut run).await?.into_parts().2;
            if plan.refusals.is_empty() {
                return Ok(Some(AcceptedPlan { run, plan, may_change_owners }));
            }
            self.coverage.count("plans: refused");
            let changed = before.differences(&self.host.snapshot().await?);
            if !changed.is_empty() {
                return fail(
                    Stage::RefusedAndChanged,
                    format!("a refusal changed: {}", changed.join("\n")),
                );
            }
            seen.push(plan.to_text());
            match self.apply_manual_fixes(&plan, seen.len() > 1).await? {
                FixResult::Applied => {}
                FixResult::ChangesOwner => {
                    may_change_owners = true;
                    run = self.open(declared, secrets, may_change_owners).await?;
                }
                FixResult::None => {
                    self.coverage.count("plans: refused for a role that does not exist yet");
                    return Ok(None);
                }
            }
        }
        fail(
            Stage::StillRefused,
            format!("refused after every manual fix:\n{}", seen.join("\n---\n")),
        )
    }

    /// Executes the statements that the refusals name, as the roles that they name. `is_fixed`: those of an earlier
    /// plan were executed.
    async fn apply_manual_fixes(&mut self, plan: &Plan, is_fixed: bool) -> Result<FixResult> {
        // The statements of a refusal rest on the state that was observed, which those before them change.
        let mut is_changed = false;
        for fix in fixes(plan, self.case) {
            match fix {
                Fix::ChangesOwner => return Ok(FixResult::ChangesOwner),
                Fix::None => return Ok(FixResult::None),
                Fix::NotManaged(_) if is_fixed => return Ok(FixResult::None),
                Fix::NotManaged(what) | Fix::Unexpected(what) => {
                    return fail(Stage::Unexpected, what);
                }
                Fix::OfCase(changes) => {
                    for change in changes {
                        let _ = self.host.by_hand(&change.scope, &change.manual_fix).await?;
                    }
                }
                Fix::OfRefusal { code, executor, scope, sql, message } => {
                    self.coverage.count("refusals: opened");
                    let by = executor.as_deref();
                    let mut result =
                        self.host.by_hand_as(by, &scope, std::slice::from_ref(&sql)).await?;
                    let gives_code = |error: &String| error.contains(WOULD_GIVE_CODE);
                    if result.as_ref().is_err_and(gives_code) {
                        self.coverage.count("refusals: opened after a review of code");
                        result = self.host.by_hand_as(by, &scope, &[reviewed(&sql)]).await?;
                    }
                    if let Err(error) = result {
                        if is_changed {
                            self.coverage.count("refusals: outdated by the statements of others");
                            break;
                        }
                        let what = format!("{code}: {message}: its manual fix fails: {error}");
                        return fail(Stage::ManualFix, what);
                    }
                    is_changed = true;
                }
            }
        }
        Ok(FixResult::Applied)
    }

    /// Without permission to adopt, the plan must be refused and change nothing.
    async fn check_refusal_without_adopt(
        &mut self,
        declared: &Declared,
        secrets: &Path,
    ) -> Result<()> {
        let mut run = self.open(declared, secrets, false).await?;
        let before = self.host.snapshot().await?;
        let plan = self.plan_once(&mut run).await?.into_parts().2;
        self.coverage.count("plans: refused without adoption");
        let changed = before.differences(&self.host.snapshot().await?);
        if plan.refusals.is_empty() || !changed.is_empty() {
            let text = plan.to_text();
            return fail(
                Stage::Adopted,
                format!("adopted without permission: {text}{}", changed.join("\n")),
            );
        }
        Ok(())
    }

    /// Applies plans until none defers objects. Returns false if a later plan is refused.
    async fn apply(&mut self, run: &mut Provisioner) -> Result<bool> {
        let mut locked = lock(run).await?;
        let mut planned = plan_locked(&mut locked).await?;
        for _ in 0..DEFERRED_ROUNDS {
            let plan = planned.plan().clone();
            let outcome = applied(planned, &ExecuteOptions::default()).await?;
            if let Some(error) = outcome.error {
                return fail(Stage::Apply, format!("{error}\n{}", plan.to_text()));
            }
            planned = plan_locked(&mut locked).await?;
            let again = planned.plan();
            if again.is_empty() && again.refusals.is_empty() {
                return Ok(true);
            }
            if !plan.deferred.is_empty() && !again.refusals.is_empty() {
                return Ok(false);
            }
            if plan.deferred.is_empty() {
                let first = plan.to_text();
                let text = again.to_text();
                return fail(
                    Stage::SecondPlan,
                    format!("the second plan:\n{text}\nthe first:\n{first}"),
                );
            }
            self.coverage.count("plans: a second one for deferred objects");
        }
        fail(Stage::SecondPlan, "every plan defers objects")
    }

    /// Asserts that a run without changes writes no WAL. The server may write in the background
    /// (pruning, a checkpoint), but not on every attempt.
    async fn check_no_wal(&self, run: &mut Provisioner) -> Result<()> {
        let mut locked = lock(run).await?;
        let mut places = Vec::new();
        for _ in 0..4 {
            let before = self.host.wal_position().await?;
            let planned = plan_locked(&mut locked).await?;
            let plan = planned.plan();
            if !plan.is_empty() || !plan.refusals.is_empty() {
                return fail(Stage::SecondPlan, plan.to_text());
            }
            applied(planned, &ExecuteOptions::default()).await?;
            let after = self.host.wal_position().await?;
            if before == after {
                return Ok(());
            }
            places.push(format!("{before} to {after}"));
        }
        fail(Stage::Wrote, format!("runs without changes wrote WAL: {}", places.join(", ")))
    }

    /// Runs the product with earlier definitions until it completes.
    async fn provision(&mut self, declared: &Declared, secrets: &Path) -> Result<()> {
        let Some(mut accepted) = self.plan(declared, secrets, false).await? else {
            return Ok(());
        };
        self.apply(&mut accepted.run).await.map(drop)
    }

    /// Runs the product with earlier definitions and kills it between two statements.
    async fn interrupt(&mut self, declared: &Declared, secrets: &Path, part: f64) -> Result<()> {
        let Some(accepted) = self.plan(declared, secrets, false).await? else { return Ok(()) };
        let AcceptedPlan { mut run, .. } = accepted;
        let mut locked = lock(&mut run).await?;
        let planned = plan_locked(&mut locked).await?;
        let all: usize = planned.plan().transactions.iter().map(|t| t.script().len()).sum();
        let position = (all as f64 * part) as usize;
        let seen = AtomicUsize::new(0);
        let kill = |_: &str| {
            if seen.fetch_add(1, Ordering::Relaxed) == position {
                ControlFlow::Break(Fault::Killed)
            } else {
                ControlFlow::Continue(())
            }
        };
        let options = ExecuteOptions::interrupted_by(&kill);
        let outcome = applied(planned, &options).await?;
        drop(locked);
        drop(run);
        self.host.wait_for_sessions().await?;
        match outcome.error {
            Some(error) if !error.contains("interrupted before") => fail(Stage::Apply, error),
            _ => Ok(()),
        }
    }

    /// Compares the access of each role with what the server reports.
    async fn access(&self, after: &Snapshot) -> Result<()> {
        let declared = &self.case.declared;
        let roles: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
        let mut found = Vec::new();
        for database in declared.databases() {
            let client = self.host.connect(database).await?;
            let owner = after.owner(declared, database);
            let rules = Rules { declared, database, owner };
            let access = Access { client: &client, rules, roles: roles.clone() };
            found.extend(access.violations(after).await?);
        }
        found.extend(self.logins(declared));
        if found.is_empty() { Ok(()) } else { fail(Stage::Access, found.join("\n")) }
    }

    /// Checks that each role can log in with its password to databases that allow it,
    /// and to no other.
    fn logins(&self, declared: &Declared) -> Vec<String> {
        let mut found = Vec::new();
        for app in declared.applications.iter().filter(|app| !app.iam).take(3) {
            if !self.host.logs_in(&app.user, &provision::password(&app.user), &app.database) {
                found.push(format!("{} cannot log in to {}", app.user, app.database));
            }
            let closed = declared.databases().into_iter().find(|database| {
                declared.access(database, &app.user).is_none() && declared.owner(database).is_some()
            });
            if let Some(closed) =
                closed.filter(|d| self.host.logs_in(&app.user, &provision::password(&app.user), d))
            {
                found.push(format!("{} can log in to {closed}", app.user));
            }
        }
        found
    }
}

/// Classifies the role that gives up a database.
fn role_kind(declared: &Declared, role: &str) -> &'static str {
    match role {
        ADMINISTRATOR => "the administrator",
        role if declared.is_managed(role) => "a declared role",
        _ => "an undeclared role",
    }
}

async fn lock(run: &mut Provisioner) -> Result<Locked<'_>> {
    run.lock().await.map_err(|error| Failure { stage: Stage::Plan, what: error.to_string() })
}

async fn plan_locked<'a>(run: &'a mut Locked<'_>) -> Result<PlannedApply<'a>> {
    run.plan().await.map_err(|error| Failure { stage: Stage::Plan, what: error.to_string() })
}

async fn applied(
    planned: PlannedApply<'_>,
    options: &ExecuteOptions<'_>,
) -> Result<ExecutionOutcome> {
    let refused = |error: PlanRefused| Failure { stage: Stage::Apply, what: error.to_string() };
    planned.apply("1", options).await.map_err(refused)
}
