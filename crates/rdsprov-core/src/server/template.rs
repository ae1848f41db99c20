//! Waits until no session uses `template1`, so that `CREATE DATABASE` can copy it.
//!
//! By default, PUBLIC may connect to `template1`, so that any role can hold a session there. A run
//! waits for such sessions before it changes anything, and all its databases share one limit.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::connect::Session;
use super::parameter::query_one;
use super::snapshot::RawText;
use super::stop::{Stop, stopped};
use super::wait::LockHolder;
use crate::hint;
use crate::hint::Hint;
use crate::name::TEMPLATE;

const TEMPLATE_SESSIONS: &str = include_str!("queries/template_sessions.sql");

/// How long a run waits for sessions in the template, over all databases that it creates.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may take to end sessions that the run has closed.
const OWN_SESSIONS: Duration = Duration::from_secs(1);

/// How often the server is asked for the sessions.
const INTERVAL: Duration = Duration::from_millis(200);

/// The number of sessions that a message names.
const NAMED: usize = 3;

/// The time that a run can still wait for sessions in the template.
pub(crate) struct TemplateWait {
    left: Arc<Mutex<Duration>>,
    stop: Option<Stop>,
    /// The number of sessions that can wait at the same time.
    shares: u32,
}

impl TemplateWait {
    /// Begins a run that `stop` ends.
    pub fn new(stop: Option<Stop>) -> Self {
        Self { left: Arc::new(Mutex::new(TIMEOUT)), stop, shares: 1 }
    }

    /// Returns whether the run has waited for sessions in the template.
    pub fn was_in_use(&self) -> bool {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) < TIMEOUT
    }

    /// Returns whether the run can wait longer.
    pub fn is_possible(&self) -> bool {
        !self.left.lock().unwrap_or_else(PoisonError::into_inner).is_zero()
    }

    /// Begins a short wait, after which only sessions of other clients are left: those of the run end a
    /// moment after they were closed.
    pub fn for_own_sessions() -> Self {
        Self { left: Arc::new(Mutex::new(OWN_SESSIONS)), stop: None, shares: 1 }
    }

    /// Returns the same time for a number of sessions that can wait at the same time.
    pub fn shared_by(&self, sessions: usize) -> Self {
        let shares = u32::try_from(sessions).unwrap_or(1).max(1);
        Self { left: self.left.clone(), stop: self.stop.clone(), shares }
    }

    /// Counts time that a session has waited.
    pub fn spend(&self, waited: Duration) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = left.saturating_sub(waited / self.shares);
    }

    /// Waits until the template has no sessions, or the time is used, or the end of the run is
    /// requested. Returns the sessions that are still there.
    ///
    /// If the server does not show its sessions, `CREATE DATABASE` decides.
    pub async fn until_free(&self, session: &Session) -> Vec<LockHolder> {
        loop {
            let started = Instant::now();
            let sessions = sessions(session).await;
            if sessions.is_empty() || !self.is_possible() {
                return sessions;
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = stopped(self.stop.clone()) => return sessions,
            }
            self.spend(started.elapsed());
        }
    }
}

/// Returns the sessions in the template; none if the server does not show them.
pub(super) async fn sessions(session: &Session) -> Vec<LockHolder> {
    let Ok(row) = query_one(&session.client, TEMPLATE_SESSIONS, &[]).await else {
        return Vec::new();
    };
    let text = row.try_get::<_, RawText<'_>>(0);
    text.ok().and_then(|text| serde_json::from_str(&text.decode()).ok()).unwrap_or_default()
}

/// Returns why no database can be created, with the sessions.
pub(crate) fn in_use(sessions: &[LockHolder]) -> String {
    let named: Vec<String> = sessions.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match sessions.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "no database can be created, because others use {TEMPLATE}, which a new database copies: \
         {}{more}",
        named.join(", ")
    )
}

/// Returns what to do about the sessions.
pub(crate) fn advice(sessions: &[LockHolder]) -> Hint {
    let ended: Vec<String> =
        sessions.iter().take(NAMED).map(|session| format!("`{};`", session.end())).collect();
    hint![
        "end them with ",
        ended.join(" "),
        format!(
            ", and run `REVOKE CONNECT ON DATABASE {TEMPLATE} FROM PUBLIC;` so that no other role \
             connects to it again"
        )
    ]
}
