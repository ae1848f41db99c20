//! The model against real servers: the same statements give the same results, and the product observes
//! the same state.
//!
//! `RDSPROV_MODEL_SERVER_CASES` sets the number of cases over the versions in `RDSPROV_TEST_PG` (6).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdsprov_core::desired::Desired;
use rdsprov_core::observed::Observed;
use rdsprov_core::operations::Provisioner;
use rdsprov_core::plan::Plan;
use rdsprov_core::server::{ExecuteOptions, Fault};
use rdsprov_testkit::versions;
use serde_json::Value;

use crate::coverage::Coverage;
use crate::declared::Declared;
use crate::fixes::{Fix, fixes, reviewed};
use crate::host::Host;
use crate::initial_state::{Base, Case, ManualChange, Scope};
use crate::run;
use crate::simulation::{self, Model};
use crate::{BASE, max_failures, provision, seed, variable};

/// The number of plans of one run.
const ROUNDS: usize = 6;

type Result<T> = std::result::Result<T, String>;

/// A server and its model, which execute the same.
struct Pair<'a> {
    host: &'a Host,
    model: Model,
    case: &'a Case,
    secrets: &'a Path,
    coverage: &'a mut Coverage,
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

impl Pair<'_> {
    async fn run(&mut self) -> Result<()> {
        let case = self.case;
        self.start(&case.by_hand).await?;
        if let Some(declared) = case.base.declared() {
            let part = match case.base {
                Base::Interrupted(_, part) => Some(part),
                _ => None,
            };
            self.provision(declared, false, part).await?;
        }
        self.start(&case.drift).await?;
        self.provision(&case.declared, case.may_change_owners, None).await
    }

    async fn start(&mut self, changes: &[ManualChange]) -> Result<()> {
        for change in changes {
            self.by_hand(None, &change.scope, &change.statements).await?;
        }
        Ok(())
    }

    /// Executes the same statements in both, and compares the results.
    async fn by_hand(
        &mut self,
        role: Option<&str>,
        scope: &Scope,
        statements: &[String],
    ) -> Result<bool> {
        let of_server = self.host.by_hand_as(role, scope, statements).await.map_err(text)?;
        let of_model = run::by_hand(&mut self.model, role, scope, statements);
        self.coverage.count("statements by hand");
        let state = match &of_model {
            Ok(()) => None,
            Err(simulation::Failure::Server { state, .. }) => Some(state.as_str()),
            Err(unknown) => return Err(text(unknown)),
        };
        let same = match (&of_server, state) {
            (Ok(()), None) => true,
            (Err(message), Some(state)) => message.ends_with(&format!("({state})")),
            _ => false,
        };
        if same {
            return Ok(of_server.is_ok());
        }
        let statements = statements.join("; ");
        let of_server = of_server.map_err(|message| message.replace(&statements, "…"));
        Err(format!("by hand: the server: {of_server:?}, the model: {of_model:?}, {statements}"))
    }

    async fn open(&self, declared: &Declared, may_change_owners: bool) -> Result<Provisioner> {
        let definitions = declared.parse()?;
        let server = &self.host.server;
        provision::write_secrets(declared, self.secrets, &server.admin_secret()).map_err(text)?;
        provision::open(server, &definitions, self.secrets, may_change_owners).await
    }

    /// Plans with both, and compares the observed states.
    async fn plan(
        &mut self,
        declared: &Declared,
        may_change_owners: bool,
        when: &str,
    ) -> Result<(Desired, Plan, Plan)> {
        let mut opened = self.open(declared, may_change_owners).await?;
        let (observed, _, of_server) = opened.plan().await.map_err(text)?.into_parts();
        let desired = run::desired(declared, may_change_owners).map_err(text)?;
        let (simulated, of_model) = run::plan(&mut self.model, &desired).map_err(text)?;
        self.coverage.count("observations");
        let mut found = Vec::new();
        differences("", &normal(&observed), &normal(&simulated), &mut found);
        if found.is_empty() {
            return Ok((desired, of_server, of_model));
        }
        found.truncate(8);
        Err(format!("observed {when}:\n{}", found.join("\n")))
    }

    /// Applies definitions with both until nothing is left to do, or up to a part of the statements.
    async fn provision(
        &mut self,
        declared: &Declared,
        mut may_change_owners: bool,
        part: Option<f64>,
    ) -> Result<()> {
        for round in 0..ROUNDS {
            let when = format!("in round {round}");
            let (desired, of_server, of_model) =
                self.plan(declared, may_change_owners, &when).await?;
            let codes = |plan: &Plan| -> Vec<String> {
                plan.refusals.iter().map(|refusal| refusal.code().to_string()).collect()
            };
            if codes(&of_server) != codes(&of_model) {
                let (server, model) = (of_server.to_text(), of_model.to_text());
                return Err(format!("refusals: the server:\n{server}\nthe model:\n{model}"));
            }
            if !of_server.refusals.is_empty() {
                self.coverage.count("plans: refused");
                let Some(allowed) = self.apply_fixes(&of_server, &of_model).await? else {
                    return Ok(());
                };
                may_change_owners |= allowed;
                continue;
            }
            if of_server.is_empty() {
                self.coverage.count("plans: empty");
                return if of_model.is_empty() { Ok(()) } else { Err(of_model.to_text()) };
            }
            let all = run::statements(&of_server).count();
            let position = part.map(|part| (all as f64 * part) as usize);
            self.apply(declared, may_change_owners, position).await?;
            let most = position.map_or(usize::MAX, |position| {
                run::statements(&of_server).take(position).filter(|one| is_in_model(one)).count()
            });
            run::execute(&mut self.model, &of_model, &desired, most).map_err(text)?;
            self.coverage.count("plans: applied");
            if part.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn apply(
        &self,
        declared: &Declared,
        may_change_owners: bool,
        position: Option<usize>,
    ) -> Result<()> {
        let mut opened = self.open(declared, may_change_owners).await?;
        let mut locked = opened.lock().await.map_err(text)?;
        let planned = locked.plan().await.map_err(text)?;
        let executed = AtomicUsize::new(0);
        let kill = |_: &str| match position {
            Some(position) if executed.fetch_add(1, Ordering::Relaxed) == position => {
                ControlFlow::Break(Fault::Killed)
            }
            _ => ControlFlow::Continue(()),
        };
        let options = ExecuteOptions::interrupted_by(&kill);
        let outcome = planned.apply("1", &options).await.map_err(text)?;
        drop(locked);
        drop(opened);
        self.host.wait_for_sessions().await.map_err(text)?;
        match outcome.error {
            Some(error) if !error.contains("interrupted before") => {
                Err(format!("the server rejects what the model accepts: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// Executes the manual fixes in both. Returns whether owners may be changed from now on, or `None` if
    /// nothing helps.
    async fn apply_fixes(&mut self, of_server: &Plan, of_model: &Plan) -> Result<Option<bool>> {
        let case = self.case;
        for (fix, of_model) in fixes(of_server, case).into_iter().zip(fixes(of_model, case)) {
            match (fix, of_model) {
                (Fix::ChangesOwner, _) => return Ok(Some(true)),
                (Fix::None | Fix::NotManaged(_) | Fix::Unexpected(_), _) => return Ok(None),
                (Fix::OfCase(changes), _) => {
                    for change in changes {
                        self.by_hand(None, &change.scope, &change.manual_fix).await?;
                    }
                }
                (Fix::OfRefusal { executor, scope, sql, .. }, Fix::OfRefusal { sql: same, .. }) => {
                    if sql != same {
                        return Err(format!("fixes: the server: {sql}, the model: {same}"));
                    }
                    // The model has no code.
                    self.by_hand(executor.as_deref(), &scope, &[reviewed(&sql)]).await?;
                }
                _ => return Err("other fixes".to_owned()),
            }
        }
        Ok(Some(false))
    }
}

/// The plan for a server also contains the checks of the code that a transfer hands over.
fn is_in_model(statement: &str) -> bool {
    !["rdsprov.checked_command", "rdsprov.statement_timeout"]
        .iter()
        .any(|parameter| statement.contains(parameter))
}

/// Keys with values that differ between servers, or that the model does not have: it contains no OIDs and no code.
const LEFT_OUT: [&str; 8] = [
    "administrators",
    "oid",
    "connection",
    "fingerprint",
    "code",
    "transferred_schemas",
    "passwords",
    "server_version",
];

/// Returns an observed state without OIDs, in an order that does not depend on the server.
fn normal(observed: &Observed) -> Value {
    sorted(serde_json::to_value(observed).unwrap_or_default())
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let left = map.into_iter().filter(|(key, _)| !LEFT_OUT.contains(&key.as_str()));
            let of = |(key, value): (String, Value)| {
                // The texts of errors differ.
                let value = if key == "denied" { Value::Null } else { sorted(value) };
                (key, value)
            };
            left.map(of).collect()
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(sorted).collect();
            list.sort_by_cached_key(ToString::to_string);
            Value::Array(list)
        }
        other => other,
    }
}

fn differences(path: &str, server: &Value, model: &Value, found: &mut Vec<String>) {
    match (server, model) {
        _ if server == model => {}
        (Value::Object(one), Value::Object(other)) => {
            let keys: std::collections::BTreeSet<&String> =
                one.keys().chain(other.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| {
                    map.get(key).cloned().unwrap_or(Value::Null)
                };
                differences(&format!("{path}/{key}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            let not_in = |list: &[Value], others: &[Value]| -> Vec<String> {
                let new = list.iter().filter(|value| !others.contains(value));
                new.map(ToString::to_string).collect()
            };
            let (one, other) = (not_in(one, other), not_in(other, one));
            found.push(format!("{path}: only the server: {one:?}, only the model: {other:?}"));
        }
        _ => found.push(format!("{path}: the server: {server}, the model: {model}")),
    }
}

#[test]
fn servers_give_the_results_of_the_model() {
    let base = variable("RDSPROV_FUZZ_BASE").unwrap_or(BASE);
    let versions = versions();
    let cases = match variable::<u64>("RDSPROV_FUZZ_SEED") {
        Some(_) => versions.len(),
        None => variable("RDSPROV_MODEL_SERVER_CASES").unwrap_or(6),
    };
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let coverage = Mutex::new(Coverage::default());
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let secrets = tempfile::tempdir().unwrap();
        let mut hosts: BTreeMap<u32, Host> = BTreeMap::new();
        let mut coverage_of_worker = Coverage::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases || failures.lock().unwrap().len() >= max_failures() {
                break;
            }
            let major = versions[number % versions.len()];
            let (seed, _) = seed(base, number);
            let case = Case::generate(seed, major);
            let host =
                hosts.entry(major).or_insert_with(|| runtime.block_on(Host::start(major)).unwrap());
            coverage_of_worker.count(format!("cases: PostgreSQL {major}"));
            let mut pair = Pair {
                host,
                model: Model::new(major),
                case: &case,
                secrets: secrets.path(),
                coverage: &mut coverage_of_worker,
            };
            let result = runtime.block_on(pair.run());
            let cleaned = runtime.block_on(async {
                host.wait_for_sessions().await?;
                host.clean().await
            });
            if cleaned.is_err() {
                hosts.remove(&major);
            }
            if let Err(failure) = result {
                let reproduce = format!("RDSPROV_FUZZ_SEED={seed} RDSPROV_TEST_PG={major}");
                eprintln!("{reproduce} failed, {failure}\n{case}");
                failures.lock().unwrap().push(reproduce);
            }
        }
        coverage.lock().unwrap().add(coverage_of_worker);
    };
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(4) {
            scope.spawn(work);
        }
    });
    println!("{}", coverage.into_inner().unwrap());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{failures:#?} failed, base {base}");
}
