//! What the caller of an execution decides, and what it gets to know meanwhile.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::pin::Pin;

use super::stop::Stop;
use super::wait::StatementWait;
use crate::audit_table::RunNames;
use crate::plan::{Hazard, Step, Transaction};
use crate::step_result::StepResult;

/// A failure that a test injects instead of a statement, to verify how interrupted runs end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "test-faults"), allow(dead_code, reason = "only tests inject faults"))]
pub enum Fault {
    /// The run ends and sends nothing to the server, as after SIGKILL.
    Killed,
    /// This statement, which fails, is sent instead.
    Sent(&'static str),
}

/// A callback before each statement, which receives its text with unfilled slots and
/// can inject a [`Fault`].
pub type Interrupt<'a> = dyn Fn(&str) -> ControlFlow<Fault> + Sync + 'a;

/// Whether a run goes on.
pub type ListenerFuture<'a> = Pin<Box<dyn Future<Output = ControlFlow<()>> + Send + 'a>>;

/// What an execution calls, so that the caller can record and show its progress.
pub trait Listener: Sync {
    /// Called before each transaction. `Break` ends the run before the transaction. Transactions of
    /// different databases are executed at the same time.
    fn before<'a>(&'a self, _transaction: &'a Transaction) -> ListenerFuture<'a> {
        Box::pin(std::future::ready(ControlFlow::Continue(())))
    }

    /// Called with the steps and the results of each transaction in the order of the plan, also of those that
    /// were not executed. A rotation can have executed more steps than its transaction has. `Break` ends the run
    /// before the next transaction.
    fn after<'a>(
        &'a self,
        _transaction: &'a Transaction,
        _steps: &'a [Step],
        _results: &'a [StepResult],
    ) -> ListenerFuture<'a> {
        Box::pin(std::future::ready(ControlFlow::Continue(())))
    }

    /// Called once for a statement that is executed for longer than 5 seconds.
    fn waiting(&self, _wait: &StatementWait) {}
}

impl Listener for () {}

/// Options for the execution of a plan.
#[derive(Default)]
#[non_exhaustive]
pub struct ExecuteOptions<'a> {
    /// Whether the transactions of other databases are executed after one has failed.
    pub keep_going: bool,
    /// Called before each statement. Only tests set it.
    pub(crate) interrupt: Option<&'a Interrupt<'a>>,
    /// Whether each statement is sent after the response to the one before it. Only tests set it.
    pub(crate) one_by_one: bool,
    /// What names the run in the rows of the audit table.
    pub audited: RunNames,
    /// The hazards that are allowed. Without `degrades_blue_green`, a warning that a statement is not
    /// replicated to the green environment ends its transaction.
    pub allowed: BTreeSet<Hazard>,
    /// Called before and after each transaction.
    pub listener: Option<&'a dyn Listener>,
    /// Ends the run: the current statement is cancelled, and its transaction is rolled back.
    pub stop: Option<Stop>,
}

#[cfg(feature = "test-faults")]
#[doc(hidden)]
impl<'a> ExecuteOptions<'a> {
    /// Returns options for a test that injects faults.
    #[must_use]
    pub fn interrupted_by(interrupt: &'a Interrupt<'a>) -> Self {
        Self { interrupt: Some(interrupt), ..Self::default() }
    }

    /// Sends each statement after the response to the one before it, so that a test can change the
    /// server in between.
    #[must_use]
    pub fn one_by_one(self) -> Self {
        Self { one_by_one: true, ..self }
    }
}
