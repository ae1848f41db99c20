//! The callbacks of a front end.

use super::notice::Notice;
use crate::audit::Record;
use crate::name::DatabaseName;
use crate::plan::{Plan, Step, Transaction};
use crate::step_result::StepResult;

/// The callbacks with which a front end shows progress and asks for confirmation.
///
/// They are called in the task that awaits [`apply`](super::apply).
pub trait Frontend: Sync {
    /// Called after planning, before the gates are checked.
    fn on_plan(&self, _plan: &Plan) {}

    /// Called after CSV rows are written.
    fn on_records(&self, _records: &[Record]) {}

    /// Called with a fact that the user needs while the run continues, such as what it waits for.
    fn on_notice(&self, _notice: &Notice) {}

    /// Called before the steps of each transaction, with a line about them.
    fn on_begin(&self, _transaction: &Transaction, _message: &str) {}

    /// Called for each step after its transaction has ended.
    fn on_step(&self, _step: &Step, _result: &StepResult) {}

    /// Returns whether the user confirms the plan. By default, no confirmation is required.
    fn confirm(&self, _plan: &Plan) -> impl Future<Output = bool> {
        std::future::ready(true)
    }

    /// Returns whether the user types the name of a database that is to be dropped. By default, the
    /// options must contain the name.
    fn confirm_drop(&self, _database: &DatabaseName) -> impl Future<Output = bool> {
        std::future::ready(false)
    }
}

/// Shows nothing, and confirms each plan.
impl Frontend for () {}
