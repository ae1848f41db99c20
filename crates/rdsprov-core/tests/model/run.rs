//! Runs one case in the model, from its initial state to the verdict.

use std::collections::BTreeMap;
use std::fmt;

use rdsprov_core::desired::Desired;
use rdsprov_core::name::DatabaseName;
use rdsprov_core::observed::Observed;
use rdsprov_core::plan::{
    Line, Plan, Scope as PlanScope, SecretFindings, SlotError, Slots, probe_statements,
};
use rdsprov_core::probe::{Probe, ProbeResult};
use rdsprov_core::secret_id::{SecretId, Templates};

use crate::checker::Checker;
use crate::coverage::Coverage;
use crate::declared::{self, Declared};
use crate::fixes::{Fix, fixes};
use crate::future_objects;
use crate::initial_state::{ADMINISTRATOR, Base, Case, ManualChange, SUPERUSER, Scope};
use crate::oracle::{Abilities, Rules};
use crate::simulation::{self, ADMIN_DATABASE, Model, Observation};
use crate::snapshot::{Contents, Snapshot};

/// A case that failed.
#[derive(Debug)]
pub struct Failure {
    stage: &'static str,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.what)
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

fn fail<T>(stage: &'static str, what: impl ToString) -> Result<T> {
    Err(Failure { stage, what: what.to_string() })
}

impl From<simulation::Failure> for Failure {
    fn from(failure: simulation::Failure) -> Self {
        Self { stage: "the model", what: failure.to_string() }
    }
}

/// The number of times that manual fixes are tried.
const ROUNDS: usize = 8;
/// The number of plans that may defer objects to a later plan.
const DEFERRED_ROUNDS: usize = 3;

/// Runs a case.
pub fn run(case: &Case, major: u32, coverage: &mut Coverage) -> Result<()> {
    Running { model: Model::new(major), case, coverage }.run()
}

pub fn password(role: &str) -> String {
    format!("of {role}")
}

/// The values for the slots of a plan.
struct ModelSlots<'a> {
    passwords: &'a BTreeMap<SecretId, String>,
    created: &'a BTreeMap<DatabaseName, u32>,
}

impl Slots for ModelSlots<'_> {
    fn verifier(&self, secret: &SecretId) -> std::result::Result<String, SlotError> {
        let missing = || SlotError::NoPassword(secret.clone());
        self.passwords.get(secret).cloned().ok_or_else(missing)
    }

    fn build_id(&self) -> &str {
        "1"
    }

    fn created_oid(&self, database: &DatabaseName) -> std::result::Result<u32, SlotError> {
        let missing = || SlotError::NotCreated(database.clone());
        self.created.get(database).copied().ok_or_else(missing)
    }
}

/// Returns the desired state of definitions.
pub fn desired(declared: &Declared, may_change_owners: bool) -> Result<Desired> {
    desired_of(&declared.to_hcl(), may_change_owners)
}

/// Returns the desired state of definitions in HCL.
pub fn desired_of(hcl: &str, may_change_owners: bool) -> Result<Desired> {
    let definitions = match declared::parse(hcl) {
        Ok(definitions) => definitions,
        Err(error) => return fail("the definitions", error),
    };
    let desired = Desired::new(&definitions, "dev", &Templates::default(), None);
    let mut desired =
        desired.map_err(|error| Failure { stage: "the definitions", what: error.to_string() })?;
    desired.may_change_owners = may_change_owners;
    Ok(desired)
}

/// Plans, with the results of all probes.
pub fn plan(model: &mut Model, desired: &Desired) -> Result<(Observed, Plan)> {
    let with_secret = desired.roles.iter().filter(|(_, role)| role.secret().is_some());
    let passwords: BTreeMap<String, String> =
        with_secret.map(|(name, _)| (name.to_string(), password(name.as_str()))).collect();
    let mut observed = model.observe(&Observation { desired, passwords: &passwords })?;
    loop {
        let plan = Plan::new(desired, &observed, SecretFindings::default());
        // As a run does: without changes, only those on which hints depend and that write nothing.
        let changes_nothing = plan.is_empty() && plan.refusals.is_empty();
        let probes = if changes_nothing { &plan.probes_of_hints } else { &plan.probes };
        let is_asked = |one: &&Probe| {
            observed.probe_results.get(one).is_none() && !(changes_nothing && one.writes())
        };
        let unanswered: Vec<&Probe> = probes.iter().filter(is_asked).collect();
        if unanswered.is_empty() {
            return Ok((observed, plan));
        }
        for probe in unanswered {
            let result = execute_probe(model, probe, &observed.admin_database)?;
            observed.probe_results.insert(probe.clone(), result);
        }
    }
}

fn execute_probe(model: &mut Model, probe: &Probe, admin: &DatabaseName) -> Result<ProbeResult> {
    let database = probe.database().unwrap_or(admin);
    let mut session = model.connect(ADMINISTRATOR, database.as_str())?;
    let statement = probe_statements(probe, admin);
    let creates_database = *probe == Probe::CreateDatabase;
    if !creates_database {
        session.execute("BEGIN")?;
    }
    let result = session.execute(&statement);
    session.roll_back();
    match result {
        Ok(_) => Ok(ProbeResult::Allowed),
        Err(simulation::Failure::Server { state, .. })
            if probe.expected_error() == Some(state.as_str()) =>
        {
            Ok(ProbeResult::Allowed)
        }
        Err(error @ simulation::Failure::Server { .. }) => {
            Ok(ProbeResult::Denied(error.to_string()))
        }
        Err(unknown) => Err(unknown.into()),
    }
}

/// Returns the statements of a plan for readers, in the order of execution.
pub fn statements(plan: &Plan) -> impl Iterator<Item = String> {
    let lines = plan.transactions.iter().flat_map(|transaction| transaction.script());
    lines.map(|line| line.statement(plan.server_major).redacted())
}

/// Executes a plan as the administrator, or a number of its statements.
pub fn execute(model: &mut Model, plan: &Plan, desired: &Desired, most: usize) -> Result<()> {
    let passwords: BTreeMap<SecretId, String> = desired
        .roles
        .iter()
        .filter_map(|(name, role)| Some((role.secret()?.clone(), password(name.as_str()))))
        .collect();
    let mut created = BTreeMap::new();
    let mut executed = 0;
    for transaction in &plan.transactions {
        let database = match &transaction.scope {
            PlanScope::Database(name) => name.as_str(),
            _ => ADMIN_DATABASE,
        };
        let mut session = model.connect(ADMINISTRATOR, database)?;
        for line in transaction.script() {
            if executed == most {
                session.roll_back();
                return Ok(());
            }
            executed += 1;
            let slots = ModelSlots { passwords: &passwords, created: &created };
            let statement = line.statement(plan.server_major);
            let text = match statement.executable(&slots) {
                Ok(text) => text,
                Err(error) => return fail("the plan", error),
            };
            let report = match session.execute(&text) {
                Ok(report) => report,
                Err(error) => {
                    return fail("the execution", format!("{text}: {error}\n{}", plan.to_text()));
                }
            };
            if report.warnings.iter().any(|state| state == "01006" || state == "01007") {
                let what = format!("{text}: {:?}\n{}", report.warnings, plan.to_text());
                return fail("the execution", what);
            }
            if let (Line::RememberOid(name), Some(oid)) = (line, report.value) {
                created.insert(name.clone(), oid.parse().unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// Executes statements by hand, one after the other, up to the first one that fails.
pub fn by_hand(
    model: &mut Model,
    role: Option<&str>,
    scope: &Scope,
    statements: &[String],
) -> std::result::Result<(), simulation::Failure> {
    let database = match scope {
        Scope::Cluster => "postgres",
        Scope::Database(name) => name,
    };
    // A superuser changes its role after the connection.
    let mut session = model.connect(SUPERUSER, database)?;
    session.become_session_user(role.unwrap_or(SUPERUSER))?;
    for statement in statements {
        if let Err(error) = session.execute(statement) {
            session.roll_back();
            return Err(error);
        }
    }
    Ok(())
}

struct Running<'a> {
    model: Model,
    case: &'a Case,
    coverage: &'a mut Coverage,
}

impl Running<'_> {
    fn run(&mut self) -> Result<()> {
        let case = self.case;
        self.start(&case.by_hand)?;
        self.coverage.count(format!("base: {}", case.base.name()));
        match &case.base {
            Base::Nothing => {}
            Base::EarlierRun(declared) => {
                if let Some((desired, plan)) = self.plan(declared, false)? {
                    self.apply(plan, &desired)?;
                }
            }
            Base::Interrupted(declared, part) => {
                if let Some((desired, plan)) = self.plan(declared, false)? {
                    let all = statements(&plan).count();
                    execute(&mut self.model, &plan, &desired, (all as f64 * part) as usize)?;
                }
            }
        }
        self.start(&case.drift)?;
        if case.unadopted {
            let declared = case.declared.without_adoption();
            let (_, plan) = plan(&mut self.model, &desired(&declared, false)?)?;
            if plan.refusals.is_empty() {
                return fail("without adoption", plan.to_text());
            }
        }
        let declared = &case.declared;
        let Some((desired, plan)) = self.plan(declared, case.may_change_owners)? else {
            return Ok(());
        };
        self.coverage.count_levels(declared);
        self.coverage.count(if plan.is_empty() { "plans: empty" } else { "plans: applied" });
        let mut before = self.model.snapshot();
        if desired.may_change_owners {
            before.transfer_ownership(declared);
        }
        if !self.apply(plan, &desired)? {
            self.coverage.count("plans: deferred objects were refused");
            return Ok(());
        }
        self.verdict(&before)
    }

    /// Asserts that the server is as declared, and otherwise as before.
    fn verdict(&mut self, before: &Snapshot) -> Result<()> {
        let declared = &self.case.declared;
        let after = self.model.snapshot();
        let pristine = self.model.contents("template1");
        let pristine = pristine.unwrap_or_else(|| Contents::new(vec![], [].into(), [].into()));
        let checker = Checker { declared, before, after: &after, pristine: &pristine };
        let violations = checker.violations();
        if !violations.is_empty() {
            return fail("the state", violations.join("\n"));
        }
        let roles: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
        let mut found = Vec::new();
        for database in declared.databases() {
            let Some(contents) = after.contents.get(database) else { continue };
            let owner = after.owner(declared, database);
            let rules = Rules { declared, database, owner };
            let abilities =
                Abilities { rules: &rules, expectations: rules.expectations(&after, contents) };
            let mut model = self.model.clone();
            let session = model.connect(SUPERUSER, database)?;
            for (name, role, held) in session.privileges(&roles)? {
                found.extend(abilities.violation(&name, &role, &held));
            }
            found.extend(later_objects(&mut model, &rules, &roles)?);
        }
        if found.is_empty() { Ok(()) } else { fail("the access", found.join("\n")) }
    }

    fn start(&mut self, changes: &[ManualChange]) -> Result<()> {
        for change in changes {
            match by_hand(&mut self.model, None, &change.scope, &change.statements) {
                Ok(()) => self.coverage.count_change(change.kind),
                Err(error @ simulation::Failure::Server { .. }) => {
                    let text = format!("{}: {error}", change.statements.join("; "));
                    self.coverage.count_rejected(change.kind, text);
                }
                Err(unknown) => return Err(unknown.into()),
            }
        }
        Ok(())
    }

    /// Returns a plan without refusals, after the manual fixes that a user would make.
    fn plan(
        &mut self,
        declared: &Declared,
        mut may_change_owners: bool,
    ) -> Result<Option<(Desired, Plan)>> {
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let desired = desired(declared, may_change_owners)?;
            let (observed, plan) = plan(&mut self.model, &desired)?;
            if plan.refusals.is_empty() {
                if plan != Plan::new(&desired, &observed, SecretFindings::default()) {
                    return fail("the plan", "equal inputs give other plans");
                }
                return Ok(Some((desired, plan)));
            }
            self.coverage.count("plans: refused");
            seen.push(plan.to_text());
            // The statements of a refusal rest on the state that was observed, which those before them change.
            let mut is_changed = false;
            for fix in fixes(&plan, self.case) {
                match fix {
                    Fix::ChangesOwner => {
                        may_change_owners = true;
                        break;
                    }
                    Fix::None => return Ok(None),
                    Fix::NotManaged(_) if seen.len() > 1 => return Ok(None),
                    Fix::NotManaged(what) | Fix::Unexpected(what) => {
                        return fail("a refusal", format!("{what}\n{}", seen.join("\n---\n")));
                    }
                    Fix::OfCase(changes) => {
                        for change in changes {
                            let _ =
                                by_hand(&mut self.model, None, &change.scope, &change.manual_fix);
                        }
                    }
                    Fix::OfRefusal { executor, scope, sql, message, .. } => {
                        self.coverage.count("refusals: opened");
                        let sql = [sql];
                        let result = by_hand(&mut self.model, executor.as_deref(), &scope, &sql);
                        if let Err(error) = result {
                            if is_changed {
                                self.coverage
                                    .count("refusals: outdated by the statements of others");
                                break;
                            }
                            let what = format!("{error}, {executor:?}, {sql:?}: {message}");
                            return fail("a manual fix", what);
                        }
                        is_changed = true;
                    }
                }
            }
        }
        fail("the refusals", format!("after every manual fix:\n{}", seen.join("\n---\n")))
    }

    /// Applies a plan, and those for what it has deferred, until one is empty. Returns whether this is the
    /// case.
    fn apply(&mut self, mut first: Plan, desired: &Desired) -> Result<bool> {
        for _ in 0..DEFERRED_ROUNDS {
            execute(&mut self.model, &first, desired, usize::MAX)?;
            let (_, again) = plan(&mut self.model, desired)?;
            if again.is_empty() && again.refusals.is_empty() {
                return Ok(true);
            }
            if !first.deferred.is_empty() && !again.refusals.is_empty() {
                return Ok(false);
            }
            if first.deferred.is_empty() {
                let (first, again) = (first.to_text(), again.to_text());
                return fail("the second plan", format!("{again}\nthe first:\n{first}"));
            }
            first = again;
        }
        fail("the second plan", "every plan defers objects")
    }
}

/// Compares the privileges on objects that creators make after the run.
fn later_objects(model: &mut Model, rules: &Rules<'_>, roles: &[String]) -> Result<Vec<String>> {
    let mut session = model.connect(SUPERUSER, rules.database)?;
    for statement in future_objects::creations(rules) {
        session.execute(&statement)?;
    }
    let contents = model.contents(rules.database);
    let contents = contents.unwrap_or_else(|| Contents::new(vec![], [].into(), [].into()));
    let (mut found, abilities) = future_objects::expected(rules, &contents);
    let session = model.connect(SUPERUSER, rules.database)?;
    for (name, role, held) in session.privileges(roles)? {
        if future_objects::is_one(&name) {
            found.extend(abilities.violation(&name, &role, &held));
        }
    }
    Ok(found)
}
