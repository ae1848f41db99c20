//! Makes those checks of a preflight that contact the source of the secrets and the server.
//!
//! Nothing is changed: no lock is taken, and no probe is executed that writes WAL, as a statement that is
//! rolled back does.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::error::SqlState;

use super::connection::{AdminConnection, AdminCredentials, ConnectionOverrides, administrator};
use super::error::RunError;
use super::probes::{ProbeScope, Probes};
use super::run_secrets::RunSecrets;
use crate::config::{ConnectTo, LockTimeout, Passwords};
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::hint;
use crate::hint::{Hint, Operation, Opt};
use crate::name::{DatabaseName, LOCK_DATABASE, TEMPLATE};
use crate::observed::Observed;
use crate::plan::{Action, NoteCode, Plan, RefusalCode, SecretFindings};
use crate::preflight::{Check, CheckName, CheckStatus, Checks};
use crate::probe::Probe;
use crate::secrets::SecretSource;
use crate::secrets::validate::lookup;
use crate::server::capacity::{Capacity, Limit, capacity};
use crate::server::lock::{self, LockError};
use crate::server::observe::observe;
use crate::server::password_check::PasswordChecks;
use crate::server::template::{TemplateWait, advice, in_use};
use crate::server::{ConnectError, Platform, RejectionCause, Tls, TlsState};
use crate::text::counted;

/// The time before its expiry from which on a server certificate is reported.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The number of permissions that a line names.
const NAMED: usize = 3;

/// The connections that a run needs in addition to that of the administrator: that of the lock, and one for
/// the databases, which it then reads one after the other.
const NEEDED: i64 = 2;

/// What a preflight needs to know of the run.
pub(crate) struct Preflight<'a> {
    pub desired: &'a Desired,
    pub source: &'a SecretSource,
    pub login: &'a AdminCredentials,
    /// How to connect, or the check that has found that the options for it are wrong.
    pub connection: Result<(ConnectionOverrides, Tls), CheckName>,
    pub passwords: &'a Passwords,
    /// How long a run waits for the lock.
    pub lock_timeout: LockTimeout,
}

impl Preflight<'_> {
    /// Adds a check for each thing that a run needs. Returns the server as `host:port`, if the run has
    /// reached it.
    pub(crate) async fn run(self, checks: &mut Checks) -> Option<String> {
        let Self { desired, source, login, passwords, .. } = &self;
        let admin_secret = match login {
            AdminCredentials::Secret(id) => Some(id),
            AdminCredentials::Token { .. } => None,
        };
        let fetched =
            RunSecrets::fetch(desired, source, admin_secret, passwords.minimum_length).await;
        let mut secrets = match fetched {
            Ok(secrets) => secrets,
            Err(error) => {
                checks.add(failed(CheckName::AdminCredentials, &error));
                checks.skip_rest(CheckName::AdminCredentials);
                return None;
            }
        };
        rotation(checks, source, &secrets).await;
        let (overrides, tls) = match &self.connection {
            Ok((overrides, tls)) => (overrides, tls),
            Err(check) => {
                let (fetched, findings) = (secrets.fetched(), secrets.findings());
                add_secrets(checks, desired, findings);
                let usable = admin_secret.map(|id| administrator(id, fetched, findings));
                match usable.transpose() {
                    Ok(_) => checks.pass(CheckName::AdminCredentials, usable_credentials(login)),
                    Err(error) => checks.add(failed(CheckName::AdminCredentials, &error)),
                }
                checks.skip_rest(*check);
                return None;
            }
        };
        let (fetched, findings) = (secrets.fetched(), secrets.findings());
        let connected =
            AdminConnection::connect(desired, source, login, overrides, tls, fetched, findings);
        let connection = match connected.await {
            Ok(connection) => connection,
            Err(error) => {
                add_secrets(checks, desired, findings);
                let check = broken_check(&error);
                let server = error.address();
                let secret = admin_secret.and_then(|id| lookup(fetched, id).ok());
                let connect_to = overrides.address(secret.as_ref()).map(|(to, _)| to);
                let target = server.as_deref().map(|server| target(server, connect_to.as_ref()));
                add_connected(checks, login, target.as_deref(), tls, Some(check));
                checks.add(failed(check, &error));
                checks.skip_rest(check);
                return server;
            }
        };
        let server = connection.server();
        secrets.connected_to(desired, &connection.admin);
        add_secrets(checks, desired, secrets.findings());
        let target = target(&server, connection.admin.connect_to.as_ref());
        add_connected(checks, login, Some(&target), tls, None);
        self.check_server(checks, &connection, &secrets).await;
        connection.admin_session.end().await;
        Some(server)
    }

    /// Makes the checks that ask the server.
    async fn check_server(
        &self,
        checks: &mut Checks,
        connection: &AdminConnection,
        secrets: &RunSecrets,
    ) {
        let AdminConnection { admin, admin_session, database, .. } = connection;
        checks.pass(CheckName::Login, format!("as {} in database {database}", admin.user));
        if admin_session.is_pooled {
            let message = "a connection pooler keeps the session of the server for the run";
            checks.add(
                Check::new(CheckName::Session, CheckStatus::Warning, message).with_hints(&[hint![
                    "use the endpoint of the server itself, with ",
                    Opt::Host
                ]]),
            );
        } else {
            checks.pass(
                CheckName::Session,
                "the run shares its sessions with no other client: there is no connection pooler",
            );
        }
        if admin_session.in_recovery {
            checks.add(failed(CheckName::Writer, &RunError::Connect(admin.read_only())));
        } else {
            checks.pass(CheckName::Writer, "the server accepts changes");
        }
        let capacity = capacity(admin_session).await;
        let is_aurora = capacity.as_ref().is_ok_and(|capacity| capacity.aurora);
        let verify = self.passwords.verify.unwrap_or_default();
        let passwords = PasswordChecks { verify, ..PasswordChecks::default() };
        match observe(admin, admin_session, self.desired, secrets.valid(), &passwords, None).await {
            Ok(mut observed) => {
                observed.connection.in_recovery = admin_session.in_recovery;
                checks.pass(CheckName::Server, kind_of_server(&observed, is_aurora));
                self.check_changes(checks, connection, observed, secrets.findings()).await;
            }
            Err(error) => {
                checks.add(failed(CheckName::Server, &RunError::Observe(error)));
                for name in [CheckName::BlueGreen, CheckName::Changes, CheckName::Template] {
                    checks.skip_because_of(name, CheckName::Server);
                }
            }
        }
        match capacity {
            Ok(capacity) => checks.add(connections_left(&capacity, &admin.user.to_string())),
            Err(error) => checks.add(failed(CheckName::Connections, &RunError::Observe(error))),
        }
        self.check_lock(checks, connection).await;
    }

    /// Makes the checks of the plan and of what it depends on.
    async fn check_changes(
        &self,
        checks: &mut Checks,
        connection: &AdminConnection,
        mut observed: Observed,
        findings: &SecretFindings,
    ) {
        let probes = Probes {
            admin: &connection.admin,
            session: &connection.admin_session,
            scope: ProbeScope::WithoutWrites,
        };
        let plan = |observed: &Observed| Plan::new(self.desired, observed, findings.clone());
        let plan = match probes.resolve(self.desired, &mut observed, plan).await {
            Ok(plan) => plan,
            Err(error) => {
                checks.add(failed(CheckName::Changes, &error));
                for name in [CheckName::BlueGreen, CheckName::Template] {
                    checks.skip_because_of(name, CheckName::Changes);
                }
                return;
            }
        };
        checks.add(blue_green(&observed, &plan));
        if checks.has_failed(CheckName::Definitions) {
            checks.skip_because_of(CheckName::Changes, CheckName::Definitions);
            checks.skip_because_of(CheckName::Template, CheckName::Definitions);
            return;
        }
        add_changes(checks, &observed, &plan, findings);
        if plan.steps().any(|step| step.action == Action::CreateDatabase) {
            let wait = TemplateWait::for_own_sessions();
            let sessions = wait.until_free(&connection.admin_session).await;
            checks.add(if sessions.is_empty() {
                let message = format!("no session uses {TEMPLATE}");
                Check::new(CheckName::Template, CheckStatus::Passed, message)
            } else {
                Check::new(CheckName::Template, CheckStatus::Warning, in_use(&sessions))
                    .with_hints(&[advice(&sessions)])
            });
        } else {
            checks.skip(CheckName::Template, "the plan creates no database");
        }
    }

    /// Checks that no other run holds the lock. Takes no lock.
    async fn check_lock(&self, checks: &mut Checks, connection: &AdminConnection) {
        let AdminConnection { admin, admin_session, database, .. } = connection;
        if admin_session.in_recovery {
            checks.skip(CheckName::Lock, "the lock of a reader excludes no run on the writer");
            return;
        }
        let holder = if database.as_str() == LOCK_DATABASE {
            lock::holder(admin_session).await
        } else {
            match admin.connect(&DatabaseName::new_unchecked(LOCK_DATABASE)).await {
                Ok(session) => {
                    let holder = lock::holder(&session).await;
                    session.end().await;
                    holder
                }
                Err(_) if checks.has_failed(CheckName::Connections) => {
                    checks.skip_because_of(CheckName::Lock, CheckName::Connections);
                    return;
                }
                Err(error) => {
                    checks.add(failed(CheckName::Lock, &RunError::Connect(error)));
                    return;
                }
            }
        };
        match holder {
            Ok(None) => checks.pass(CheckName::Lock, "no other run holds it"),
            Ok(Some(holder)) => {
                let message = format!(
                    "another run holds it: {holder}; a run waits for it up to {}",
                    self.lock_timeout
                );
                let (server, timeout) = (connection.server(), self.lock_timeout.0);
                let error = RunError::LockTimeout { server, timeout, holder: Some(holder) };
                checks.add(
                    Check::new(CheckName::Lock, CheckStatus::Warning, message)
                        .with_code(error.code().name())
                        .with_hints(&error.hints()),
                );
            }
            Err(LockError::Timeout(holder)) => {
                let (server, timeout) = (connection.server(), self.lock_timeout.0);
                let error = RunError::LockTimeout { server, timeout, holder };
                checks.add(failed(CheckName::Lock, &error));
            }
            Err(LockError::Server(reason)) => {
                checks.add(failed(CheckName::Lock, &RunError::Lock(reason)));
            }
        }
    }
}

/// Returns the check that an error has failed.
fn failed(name: CheckName, error: &RunError) -> Check {
    let diagnostic = Diagnostic::new(error.code(), error, error.hints());
    Check::from_diagnostic(name, CheckStatus::Failed, &diagnostic)
}

/// Returns the check that a connection has failed. Those before it have passed.
fn broken_check(error: &RunError) -> CheckName {
    let RunError::AdminLogin { error, .. } = error else { return CheckName::AdminCredentials };
    match error {
        ConnectError::Token(_) => CheckName::AdminCredentials,
        ConnectError::TokenWithoutTls { .. }
        | ConnectError::TokenToUnverifiedServer { .. }
        | ConnectError::TlsDisabledForRemoteHost { .. }
        | ConnectError::Tls { .. } => CheckName::Tls,
        ConnectError::CleartextPasswordRequested { .. }
        | ConnectError::WeakAuthenticationRequested { .. } => CheckName::Login,
        ConnectError::ServerReadOnly { .. } => CheckName::Writer,
        ConnectError::Pooled { .. } => CheckName::Session,
        ConnectError::Rejected { code, cause, .. } => match (code, cause) {
            (_, Some(RejectionCause::NameNotResolved)) => CheckName::Dns,
            (_, Some(RejectionCause::TlsRequired)) => CheckName::Tls,
            (None, _) => CheckName::Port,
            (Some(code), _) if *code == SqlState::TOO_MANY_CONNECTIONS => CheckName::Connections,
            (Some(_), _) => CheckName::Login,
        },
    }
}

/// Adds the checks of a connection up to the one that has failed, or all of them. Without a target, nothing
/// was contacted.
fn add_connected(
    checks: &mut Checks,
    login: &AdminCredentials,
    target: Option<&str>,
    tls: &Tls,
    broken: Option<CheckName>,
) {
    let has_passed = |name: CheckName| broken.is_none_or(|broken| name < broken);
    if has_passed(CheckName::AdminCredentials) {
        checks.pass(CheckName::AdminCredentials, usable_credentials(login));
    }
    let Some(target) = target else { return };
    if has_passed(CheckName::Dns) {
        let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
        let message =
            if host.parse::<IpAddr>().is_ok() { "is an IP address" } else { "has an address" };
        checks.pass(CheckName::Dns, format!("{host} {message}"));
    }
    if has_passed(CheckName::Port) {
        checks.pass(CheckName::Port, format!("{target} accepts connections"));
    }
    if has_passed(CheckName::Tls) {
        checks.add(protection(tls));
    }
    if broken == Some(CheckName::Session) {
        checks.pass(CheckName::Login, "the administrator can log in");
    }
}

/// Returns the address to which connections go, as `host:port`.
fn target(server: &str, connect_to: Option<&ConnectTo>) -> String {
    let Some(to) = connect_to else { return server.to_owned() };
    let port = server.rsplit_once(':').map_or("", |(_, port)| port);
    let port = to.port().map_or_else(|| port.to_owned(), |port| port.to_string());
    format!("{}:{port}", to.address())
}

fn usable_credentials(login: &AdminCredentials) -> String {
    match login {
        AdminCredentials::Secret(id) => format!("secret {id} can be used"),
        AdminCredentials::Token { user, .. } => format!("{user} uses IAM tokens"),
    }
}

/// Returns the check of a connection that was opened.
fn protection(tls: &Tls) -> Check {
    let check = |status, message: String| Check::new(CheckName::Tls, status, message);
    match tls.state() {
        TlsState::Disabled => check(
            CheckStatus::Warning,
            "TLS is disabled, which only a server on this machine allows".to_owned(),
        )
        .with_hints(&[hint!["use ", (Opt::Tls, "verify-full")]]),
        TlsState::Unverified => check(
            CheckStatus::Warning,
            "the server certificate is not verified: the server may be any server".to_owned(),
        )
        .with_hints(&[hint!["use ", (Opt::Tls, "verify-full")]]),
        TlsState::Verified(None) => {
            check(CheckStatus::Passed, "the server certificate is trusted".to_owned())
        }
        TlsState::Verified(Some(certificate)) => {
            let (subject, end) = (&certificate.subject, certificate.not_after);
            if end.duration_since(Timestamp::now()) < EXPIRES_SOON {
                let message = format!("certificate {subject} of the server expires at {end}");
                check(CheckStatus::Warning, message).with_hints(&["renew the server certificate \
                    (on Amazon RDS: rotate the certificate of the DB instance)"
                    .into()])
            } else {
                let message = format!(
                    "the server certificate is trusted and names the host; {subject} expires at {end}"
                );
                check(CheckStatus::Passed, message)
            }
        }
    }
}

/// Adds what the validation of the secrets has found.
fn add_secrets(checks: &mut Checks, desired: &Desired, findings: &SecretFindings) {
    if checks.has_failed(CheckName::Definitions) {
        checks.skip_because_of(CheckName::Secrets, CheckName::Definitions);
        return;
    }
    for refusal in &findings.refusals {
        checks.add(
            Check::new(CheckName::Secrets, CheckStatus::Refused, refusal.message())
                .about(refusal.application.as_str())
                .with_code(refusal.code().name())
                .with_hints(&refusal.hints()),
        );
    }
    for note in &findings.notes {
        checks.add(
            Check::new(CheckName::Secrets, CheckStatus::Warning, note.message())
                .with_code(note.code().name()),
        );
    }
    if !checks.contains(CheckName::Secrets) {
        let message = match desired.secrets().len() {
            0 => "no application has a secret".to_owned(),
            1 => "1 secret exists and agrees with the definitions".to_owned(),
            count => format!("{count} secrets exist and agree with the definitions"),
        };
        checks.pass(CheckName::Secrets, message);
    }
}

/// Checks that no secret of the run has a pending version.
#[cfg(feature = "aws")]
async fn rotation(checks: &mut Checks, source: &SecretSource, secrets: &RunSecrets) {
    use futures_util::{StreamExt as _, stream};

    use crate::secrets::VersionsError;

    /// The number of secrets that are described at the same time.
    const PARALLEL: usize = 8;

    let SecretSource::Aws(manager) = source else {
        checks.skip(CheckName::Rotation, "the source of the secrets does not rotate them");
        return;
    };
    let asked = secrets.valid().keys().map(async |id| (id, manager.stages(id).await));
    let mut answers = stream::iter(asked).buffered(PARALLEL);
    let mut unknown = None;
    while let Some((id, stages)) = answers.next().await {
        match stages {
            Ok(stages) if stages.pending.is_some() => checks.add(
                Check::new(
                    CheckName::Rotation,
                    CheckStatus::Warning,
                    "a rotation is in progress: another version has the stage AWSPENDING",
                )
                .about(id.0.as_str())
                .with_hints(&["run again when the rotation has ended".into()]),
            ),
            Ok(_) => {}
            Err(error) => {
                unknown.get_or_insert(error);
            }
        }
    }
    match unknown {
        Some(error) => {
            let message = format!("not checked: {error}");
            let hints = match &error {
                VersionsError::Source(error) => error.hints(),
                VersionsError::Secret(error) => error.hints(),
            };
            let check = Check::new(CheckName::Rotation, CheckStatus::Skipped, message);
            checks.add(check.with_hints(&hints));
        }
        None if checks.contains(CheckName::Rotation) => {}
        None => checks.pass(CheckName::Rotation, "no rotation of a secret is in progress"),
    }
}

#[cfg(not(feature = "aws"))]
#[allow(clippy::unused_async, reason = "as with Secrets Manager")]
async fn rotation(checks: &mut Checks, _: &SecretSource, _: &RunSecrets) {
    checks.skip(CheckName::Rotation, "the source of the secrets does not rotate them");
}

/// Returns the version of the server, and where it runs.
fn kind_of_server(observed: &Observed, is_aurora: bool) -> String {
    let version = observed.server_version;
    let place = match (is_aurora, Platform::of(observed)) {
        (true, _) => " on Amazon Aurora",
        (false, Platform::Rds) => " on Amazon RDS",
        (false, Platform::Other) => ", which is not an Amazon RDS server",
    };
    format!("PostgreSQL {}.{}{place}", version / 10_000, version % 10_000)
}

/// Returns whether the server belongs to a blue/green deployment.
fn blue_green(observed: &Observed, plan: &Plan) -> Check {
    let name = CheckName::BlueGreen;
    let refusal = plan.refusals.iter().find(|one| one.code() == RefusalCode::BlueGreenInProgress);
    if let Some(refusal) = refusal {
        return Check::new(name, CheckStatus::Refused, refusal.message())
            .with_code(refusal.code().name())
            .with_hints(&refusal.hints());
    }
    if let Some(reason) = &observed.blue_green_unknown {
        let message = format!("the server does not report its blue/green deployment: {reason}");
        let code = NoteCode::BlueGreenNotChecked.name();
        return Check::new(name, CheckStatus::Warning, message).with_code(code);
    }
    let statuses = observed.blue_green_in_progress();
    if statuses.is_empty() {
        return Check::new(name, CheckStatus::Passed, "no deployment is in progress");
    }
    let statuses = statuses.into_iter().collect::<Vec<_>>().join(", ");
    let message = format!("a deployment is in progress (status {statuses})");
    Check::new(name, CheckStatus::Warning, message)
}

/// Adds what refuses the changes, or that the administrator may make them.
fn add_changes(checks: &mut Checks, observed: &Observed, plan: &Plan, findings: &SecretFindings) {
    let name = CheckName::Changes;
    let is_new = |code: RefusalCode| code != RefusalCode::BlueGreenInProgress;
    let refusals = plan.refusals.iter().filter(|one| is_new(one.code()));
    for refusal in refusals.filter(|one| !findings.refusals.contains(one)) {
        checks.add(
            Check::new(name, CheckStatus::Refused, refusal.message())
                .about(refusal.application.as_str())
                .with_code(refusal.code().name())
                .with_hints(&refusal.hints()),
        );
    }
    let probes: Vec<&Probe> =
        plan.probes.iter().filter(|probe| probe.is_about_administrator()).collect();
    if !probes.is_empty() && !plan.is_empty() {
        let named: Vec<String> = probes.iter().take(NAMED).map(ToString::to_string).collect();
        let more = match probes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let message = format!(
            "the catalogs do not show whether the administrator may {}{more}",
            named.join(", ")
        );
        let hint: Hint =
            hint!["run ", Operation::Plan, ", which has the server try it and roll back"];
        checks.add(
            Check::new(name, CheckStatus::Warning, message)
                .with_code(NoteCode::PermissionsNotChecked.name())
                .with_hints(&[hint]),
        );
    }
    if checks.contains(name) {
        return;
    }
    let administrator = &observed.administrator.name;
    let message = if plan.is_empty() {
        "there is nothing to change".to_owned()
    } else {
        format!("{administrator} may make them: {}", plan.counts())
    };
    checks.pass(name, message);
}

/// Returns whether a run finds the connections that it needs.
fn connections_left(capacity: &Capacity, administrator: &str) -> Check {
    let Capacity { server, role, lock_database, .. } = capacity;
    let limits = [
        (server, "the server".to_owned()),
        (role, format!("role {administrator}")),
        (lock_database, format!("database {LOCK_DATABASE}")),
    ];
    let left = |(limit, place): &(&Limit, String)| Some((limit.left()?, place.clone()));
    let Some((left, place)) = limits.iter().filter_map(left).min_by_key(|(left, _)| *left) else {
        return Check::new(CheckName::Connections, CheckStatus::Passed, "no limit is set");
    };
    let message = format!("{place} has {} left", counted(left, "connection"));
    if left < NEEDED {
        let message = format!("{message}, and a run needs {NEEDED} more");
        let hint = "end other sessions, or raise the limit";
        return Check::new(CheckName::Connections, CheckStatus::Failed, message)
            .with_hints(&[hint.into()]);
    }
    Check::new(CheckName::Connections, CheckStatus::Passed, message)
}
