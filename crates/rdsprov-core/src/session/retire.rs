//! Ends the access of applications: the order, gates and records are those of [`super::apply`].

use super::apply::{Operation, Outcome, run_operation};
use super::cancellation::Cancellation;
use super::frontend::Frontend;
use super::run_options::RunOptions;
use super::setup::{Retirement, SetupBuilder};

/// Ends the access of applications, and records the run.
///
/// This function builds the setup, so that its errors are recorded, too.
pub async fn retire<F: Frontend>(
    setup: SetupBuilder,
    retirement: Retirement,
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let audit = setup.configured_files();
    let mut options = options.clone();
    options.server.retirement = retirement;
    let check = options.server.retirement.check_backup();
    let setup = || {
        check?;
        setup.build()
    };
    run_operation(audit, setup, &options, frontend, cancellation, Operation::Retire).await
}
