//! Plans, and asks the server what the catalogs do not show of the permissions of the administrator.

use std::collections::BTreeMap;

use super::error::RunError;
use crate::desired::Desired;
use crate::name::DatabaseName;
use crate::observed::Observed;
use crate::plan::{Plan, probe_statements};
use crate::probe::{Probe, ProbeResult};
use crate::server::connect::{Endpoint, Session};
use crate::server::observe::probe;

/// The probes that a run executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeScope {
    /// All of them.
    All,
    /// Those that write no WAL.
    WithoutWrites,
}

impl ProbeScope {
    fn contains(self, probe: &Probe) -> bool {
        self == Self::All || !probe.writes()
    }
}

/// The connections on which probes are executed.
pub(super) struct Probes<'a> {
    pub admin: &'a Endpoint,
    pub session: &'a Session,
    pub scope: ProbeScope,
}

impl Probes<'_> {
    /// Plans, and executes the probes of the plan and plans again until no probe of the scope is left. A
    /// reader or a standby rejects each probe, whatever the administrator may do: none is executed there.
    pub async fn resolve(
        &self,
        desired: &Desired,
        observed: &mut Observed,
        plan: impl Fn(&Observed) -> Plan,
    ) -> Result<Plan, RunError> {
        loop {
            let plan = plan(observed);
            // Without changes to make, no probe is executed: a probe is rolled back, but can write
            // WAL. In a blue/green deployment, it is a change as any other.
            let changes_nothing = plan.is_empty() && plan.refusals.is_empty();
            // The hint of a note must name a role that can execute it all the same: these probes write no WAL.
            let mut probes =
                if changes_nothing { plan.probes_of_hints.clone() } else { plan.probes.clone() };
            probes.retain(|one| self.scope.contains(one) && !(changes_nothing && one.writes()));
            let is_refused =
                !observed.blue_green_in_progress().is_empty() && !desired.may_degrade_blue_green;
            if probes.is_empty() || is_refused || self.session.in_recovery {
                return Ok(plan);
            }
            self.execute(probes, observed).await?;
        }
    }

    /// Executes probes, and adds their results to the observed state.
    async fn execute(
        &self,
        probes: impl IntoIterator<Item = Probe>,
        observed: &mut Observed,
    ) -> Result<(), RunError> {
        let mut by_database: BTreeMap<Option<DatabaseName>, Vec<Probe>> = BTreeMap::new();
        for one in probes {
            let database = one.database().filter(|name| **name != observed.admin_database);
            by_database.entry(database.cloned()).or_default().push(one);
        }
        for (database, probes) in by_database {
            let own;
            let session = match &database {
                None => self.session,
                Some(database) => match self.admin.connect(database).await {
                    Ok(session) => {
                        own = session;
                        &own
                    }
                    // The owner has closed it since it was observed: this concerns its application.
                    Err(error) => {
                        match observed.databases.get_mut(database) {
                            Some(seen) => seen.unreachable = Some(error.to_string()),
                            // The template.
                            None => {
                                let denied = ProbeResult::Denied(error.to_string());
                                let results = &mut observed.probe_results;
                                for one in probes {
                                    results.insert(one, denied.clone());
                                }
                            }
                        }
                        continue;
                    }
                },
            };
            for one in probes {
                let text = probe_statements(&one, &observed.admin_database);
                let result = probe(session, &one, &text).await?;
                observed.probe_results.insert(one, result);
            }
            if database.is_some() {
                session.leave_pool().await;
            }
        }
        Ok(())
    }
}
