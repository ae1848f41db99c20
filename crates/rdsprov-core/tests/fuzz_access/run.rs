//! One case from its starting state to the verdict.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_core::config::{Passwords, TlsSettings};
use rdsprov_core::desired::Desired;
use rdsprov_core::plan::Plan;
use rdsprov_core::secrets::{SecretId, SecretSource, Templates};
use rdsprov_core::server::{
    AdminCredentials, ConnectionOverrides, ExecuteOptions, Fault, Lock, Provisioner, Tls,
};

use crate::access::Access;
use crate::declared::Declared;
use crate::host::{Host, Trouble};
use crate::judge::Judge;
use crate::oracle::Rules;
use crate::snapshot::Snapshot;
use crate::starting::{ADMINISTRATOR, Base, Case, Place, Starting};
use crate::tally::Tally;

/// Where a case failed: a smaller case that fails elsewhere is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The test itself.
    Trouble,
    Definitions,
    Plan,
    /// A refusal that names no way out, and that was not foreseen.
    Unforeseen,
    /// A refusal's way out cannot be gone.
    WayOut,
    /// It is refused after every way out was gone.
    StillRefused,
    /// Something was refused, and changed all the same.
    RefusedAndChanged,
    /// Something was taken over without leave.
    Adopted,
    Apply,
    /// The plan after the run is not empty.
    SecondPlan,
    /// A run with nothing to do wrote something.
    Wrote,
    /// Something is not as declared, or something else is not as it was.
    State,
    /// A role may do more or less than its level says.
    Access,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub stage: Stage,
    pub what: String,
}

impl Failure {
    /// Whether two cases fail alike, as far as can be told.
    pub fn is_like(&self, other: &Self) -> bool {
        let remedy = |failure: &Self| -> Option<String> {
            let remedy = failure.what.rsplit(": ").next()?;
            (failure.stage == Stage::Unforeseen).then(|| remedy.chars().take(10).collect())
        };
        self.stage == other.stage && remedy(self) == remedy(other)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { stage: Stage::Trouble, what: trouble.to_string() }
    }
}

type Result<T> = std::result::Result<T, Failure>;

fn fail<T>(stage: Stage, what: impl ToString) -> Result<T> {
    Err(Failure { stage, what: what.to_string() })
}

/// How often a way is opened before it is given up.
const ROUNDS: usize = 8;
/// How often a plan may say that it cannot see everything yet.
const UNSEEN_ROUNDS: usize = 3;

/// What somebody does about refusals.
enum Way {
    /// The statements that they name were run.
    Opened,
    /// The program is given leave to change owners.
    ChangesOwner,
    /// Only with other definitions could it go on.
    None,
}

/// Runs a case; the server is clean afterwards.
pub async fn run(host: &Host, case: &Case, tally: &mut Tally) -> Result<()> {
    let result = Running { host, case, tally }.run().await;
    host.wait_for_sessions().await?;
    host.clean().await?;
    result
}

/// A plan that nothing stands in the way of.
struct Ready {
    run: Provisioner,
    plan: Plan,
    may_change_owners: bool,
}

struct Running<'a> {
    host: &'a Host,
    case: &'a Case,
    tally: &'a mut Tally,
}

fn password(role: &str) -> String {
    format!("of {role}")
}

impl Running<'_> {
    async fn run(&mut self) -> Result<()> {
        let secrets = tempfile::tempdir().map_err(Trouble::from)?;
        self.start(&self.case.by_hand).await?;
        match &self.case.base {
            Base::Nothing => {}
            Base::EarlierRun(declared) => self.provision(declared, secrets.path()).await?,
            Base::Interrupted(declared, part) => {
                self.interrupt(declared, secrets.path(), *part).await?;
            }
        }
        self.start(&self.case.drift).await?;
        self.tally.count(format!("base: {}", self.case.base.word()));
        if self.case.unadopted {
            self.must_refuse(&self.case.declared.without_adoption(), secrets.path()).await?;
        }
        let declared = &self.case.declared;
        let ready = self.plan(declared, secrets.path(), self.case.may_change_owners).await?;
        let Some(Ready { run, plan, may_change_owners }) = ready else { return Ok(()) };
        self.tally.count_levels(declared);
        self.tally.count(if plan.is_empty() { "plans: empty" } else { "plans: applied" });
        let mut before = self.host.look().await?;
        if may_change_owners {
            for database in before.hand_over(declared) {
                self.tally.count(format!("owners: changed from {}", who(declared, &database)));
            }
        }
        if !self.apply(&run, plan).await? {
            self.tally.count("plans: what the first let be seen was refused");
            return Ok(());
        }
        self.writes_nothing(&run).await?;
        let after = self.host.look().await?;
        let judge =
            Judge { declared, before: &before, after: &after, pristine: &self.host.pristine };
        let complaints = judge.complaints();
        if !complaints.is_empty() {
            return fail(Stage::State, complaints.join("\n"));
        }
        self.access(&after).await
    }

    /// What people did by hand. What the server does not let them is left out.
    async fn start(&mut self, startings: &[Starting]) -> Result<()> {
        for starting in startings {
            match self.host.by_hand(&starting.place, &starting.statements).await? {
                Ok(()) => self.tally.did(starting.kind),
                Err(said) => self.tally.could_not(starting.kind, said),
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
        write_secrets(declared, secrets, &self.host.server.admin_secret())
            .map_err(Trouble::from)?;
        let wrong =
            |error: &dyn std::fmt::Display| Failure { stage: Stage::Plan, what: error.to_string() };
        let mut desired = Desired::new(&definitions, "dev", &Templates::default(), None)
            .map_err(|error| wrong(&error))?;
        desired.may_change_owners = may_change_owners;
        let tls = Tls::new(&TlsSettings::trusting(self.host.server.ca_file()))
            .map_err(|error| wrong(&error))?;
        let source = SecretSource::Files(secrets.to_owned());
        Provisioner::open(
            desired,
            &source,
            AdminCredentials::Secret(SecretId("admin".to_owned())),
            ConnectionOverrides::default(),
            tls,
            &Passwords::default(),
        )
        .await
        .map_err(|error| wrong(&error))
    }

    async fn plan_once(&self, run: &Provisioner) -> Result<Plan> {
        run.plan().await.map_err(|error| Failure { stage: Stage::Plan, what: error.to_string() })
    }

    /// A plan without refusals: what stands in the way is put out of it, as a person would.
    async fn plan(
        &mut self,
        declared: &Declared,
        secrets: &Path,
        mut may_change_owners: bool,
    ) -> Result<Option<Ready>> {
        let mut run = self.open(declared, secrets, may_change_owners).await?;
        let mut seen = Vec::new();
        for _ in 0..ROUNDS {
            let before = self.host.look().await?;
            let plan = self.plan_once(&run).await?;
            if plan.refusals.is_empty() {
                return Ok(Some(Ready { run, plan, may_change_owners }));
            }
            self.tally.count("plans: refused");
            let changed = before.differences(&self.host.look().await?);
            if !changed.is_empty() {
                return fail(
                    Stage::RefusedAndChanged,
                    format!("a refusal changed: {}", changed.join("\n")),
                );
            }
            seen.push(plan.to_text());
            match self.make_way(&plan).await? {
                Way::Opened => {}
                Way::ChangesOwner => {
                    may_change_owners = true;
                    run = self.open(declared, secrets, may_change_owners).await?;
                }
                Way::None => {
                    self.tally.count("plans: refused for a role that is not there yet");
                    return Ok(None);
                }
            }
        }
        fail(Stage::StillRefused, format!("refused after every opening:\n{}", seen.join("\n---\n")))
    }

    /// Runs the statements that the refusals name, as somebody who may.
    async fn make_way(&mut self, plan: &Plan) -> Result<Way> {
        for refusal in &plan.refusals {
            let Some(opening) = &refusal.manual_fix else {
                if refusal.remedy.contains("--allow changes_owner") {
                    return Ok(Way::ChangesOwner);
                }
                if refusal.message.contains("cannot go to role ") {
                    return Ok(Way::None);
                }
                let ways: Vec<&Starting> = self
                    .case
                    .drift
                    .iter()
                    .filter(|starting| !starting.way_out.is_empty())
                    .collect();
                if ways.is_empty() {
                    return fail(
                        Stage::Unforeseen,
                        format!("{}: {}", refusal.message, refusal.remedy),
                    );
                }
                for starting in ways {
                    let _ = self.host.by_hand(&starting.place, &starting.way_out).await?;
                }
                continue;
            };
            self.tally.count("refusals: opened");
            let place = match &opening.database {
                Some(name) => Place::Database(name.to_string()),
                None => Place::Cluster,
            };
            if let Err(said) = self.host.by_hand(&place, std::slice::from_ref(&opening.sql)).await?
            {
                return fail(
                    Stage::WayOut,
                    format!("{}: its remedy cannot be run: {said}", refusal.message),
                );
            }
        }
        Ok(Way::Opened)
    }

    /// Without leave to adopt it is to refuse, and to say so in words only.
    async fn must_refuse(&mut self, declared: &Declared, secrets: &Path) -> Result<()> {
        let run = self.open(declared, secrets, false).await?;
        let before = self.host.look().await?;
        let plan = self.plan_once(&run).await?;
        self.tally.count("plans: refused for want of adoption");
        let changed = before.differences(&self.host.look().await?);
        if plan.refusals.is_empty() || !changed.is_empty() {
            let text = plan.to_text();
            return fail(
                Stage::Adopted,
                format!("adopted without leave: {text}{}", changed.join("\n")),
            );
        }
        Ok(())
    }

    /// Applies, and again as long as a plan says that there is more to see behind it; not to the end where
    /// that is refused.
    async fn apply(&mut self, run: &Provisioner, mut plan: Plan) -> Result<bool> {
        let lock = lock(run).await?;
        for _ in 0..UNSEEN_ROUNDS {
            let outcome = run.apply(&lock, &plan, "1", &ExecuteOptions::default()).await;
            if let Some(error) = outcome.error {
                return fail(Stage::Apply, format!("{error}\n{}", plan.to_text()));
            }
            let again = self.plan_once(run).await?;
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
            self.tally.count("plans: a second one, for what the first could not see");
            plan = again;
        }
        fail(Stage::SecondPlan, "there is always more to see")
    }

    /// A run with nothing to do. The server may write for itself (what it prunes while it reads, a
    /// checkpoint), but not each time.
    async fn writes_nothing(&self, run: &Provisioner) -> Result<()> {
        let lock = lock(run).await?;
        let mut places = Vec::new();
        for _ in 0..4 {
            let before = self.host.written().await?;
            let plan = self.plan_once(run).await?;
            if !plan.is_empty() || !plan.refusals.is_empty() {
                return fail(Stage::SecondPlan, plan.to_text());
            }
            run.apply(&lock, &plan, "1", &ExecuteOptions::default()).await;
            let after = self.host.written().await?;
            if before == after {
                return Ok(());
            }
            places.push(format!("{before} to {after}"));
        }
        fail(Stage::Wrote, format!("runs with nothing to do wrote: {}", places.join(", ")))
    }

    /// An earlier run, to its end.
    async fn provision(&mut self, declared: &Declared, secrets: &Path) -> Result<()> {
        let Some(ready) = self.plan(declared, secrets, false).await? else { return Ok(()) };
        self.apply(&ready.run, ready.plan).await.map(drop)
    }

    /// An earlier run, killed between two statements.
    async fn interrupt(&mut self, declared: &Declared, secrets: &Path, part: f64) -> Result<()> {
        let Some(ready) = self.plan(declared, secrets, false).await? else { return Ok(()) };
        let Ready { run, plan, .. } = ready;
        let all: usize = plan.transactions.iter().map(|t| t.script(plan.server_major).len()).sum();
        let position = (all as f64 * part) as usize;
        let lock = lock(&run).await?;
        let seen = AtomicUsize::new(0);
        let kill = |_: &str| {
            if seen.fetch_add(1, Ordering::Relaxed) == position {
                ControlFlow::Break(Fault::Killed)
            } else {
                ControlFlow::Continue(())
            }
        };
        let options = ExecuteOptions { interrupt: Some(&kill), ..ExecuteOptions::default() };
        let outcome = run.apply(&lock, &plan, "1", &options).await;
        drop((lock, run));
        self.host.wait_for_sessions().await?;
        match outcome.error {
            Some(error) if !error.contains("interrupted before") => fail(Stage::Apply, error),
            _ => Ok(()),
        }
    }

    /// What the server itself says of each role and thing.
    async fn access(&self, after: &Snapshot) -> Result<()> {
        let declared = &self.case.declared;
        let roles: Vec<String> = declared.roles().into_iter().map(str::to_owned).collect();
        let mut found = Vec::new();
        for database in declared.databases() {
            let client = self.host.connect(database).await?;
            let owner = after.owner(declared, database);
            let rules = Rules { declared, database, owner };
            let access = Access { client: &client, rules, roles: roles.clone() };
            found.extend(access.complaints(after).await?);
        }
        found.extend(self.logins(declared));
        if found.is_empty() { Ok(()) } else { fail(Stage::Access, found.join("\n")) }
    }

    /// Each role comes into the first database that lets it, with its password, and into no other.
    fn logins(&self, declared: &Declared) -> Vec<String> {
        let mut found = Vec::new();
        for app in declared.applications.iter().filter(|app| !app.iam).take(3) {
            if !self.host.logs_in(&app.user, &password(&app.user), &app.database) {
                found.push(format!("{} cannot log in to {}", app.user, app.database));
            }
            let closed = declared.databases().into_iter().find(|database| {
                declared.access(database, &app.user).is_none() && declared.owner(database).is_some()
            });
            if let Some(closed) =
                closed.filter(|d| self.host.logs_in(&app.user, &password(&app.user), d))
            {
                found.push(format!("{} can log in to {closed}", app.user));
            }
        }
        found
    }
}

/// What kind of role gives a database away.
fn who(declared: &Declared, role: &str) -> &'static str {
    match role {
        ADMINISTRATOR => "the administrator",
        role if declared.is_managed(role) => "a declared role",
        _ => "a role that nobody declares",
    }
}

async fn lock(run: &Provisioner) -> Result<Lock> {
    run.lock().await.map_err(|error| Failure { stage: Stage::Plan, what: error.to_string() })
}

fn write_secrets(declared: &Declared, secrets: &Path, administrator: &str) -> std::io::Result<()> {
    std::fs::write(secrets.join("admin.json"), administrator)?;
    for app in &declared.applications {
        let folder = secrets.join("goldenpath/dev").join(&app.key);
        std::fs::create_dir_all(&folder)?;
        let secret = serde_json::json!({"password": password(&app.user)}).to_string();
        std::fs::write(folder.join("postgres.json"), &secret)?;
        if app.secret {
            let path = secrets.join(format!("{}.json", app.own_secret()));
            std::fs::create_dir_all(secrets.join("teams"))?;
            std::fs::write(path, secret)?;
        }
    }
    Ok(())
}
