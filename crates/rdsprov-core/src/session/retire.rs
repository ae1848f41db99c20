//! Ends the access of applications, and tears down what a build has created: the order, gates and records
//! are those of [`super::apply`].

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
    let checked = retirement.checked(options.dry_run);
    let checked = checked.map(|retirement| options.server.retirement = retirement);
    let setup = || {
        checked?;
        setup.build()
    };
    run_operation(audit, setup, &options, frontend, cancellation, Operation::Retire).await
}

/// Drops the roles and databases that the build of the options has created in an ephemeral environment,
/// and records the run.
///
/// It reads no definitions: only those of `setup` that concern the environment count.
pub async fn teardown<F: Frontend>(
    setup: SetupBuilder,
    retirement: Retirement,
    options: &RunOptions,
    frontend: &F,
    cancellation: &Cancellation,
) -> Outcome {
    let audit = setup.configured_files();
    let mut options = options.clone();
    let retirement = retirement.of_build(options.server.build_id.as_deref());
    let checked = retirement.map(|retirement| {
        let checked = retirement.checked(options.dry_run);
        checked.map(|retirement| options.server.retirement = retirement)
    });
    let setup = || {
        let has_backup = checked?;
        let setup = setup.without_definitions().build()?;
        setup.policy.check_ephemeral()?;
        setup.site.check_ephemeral(setup.environment())?;
        has_backup?;
        Ok(setup)
    };
    run_operation(audit, setup, &options, frontend, cancellation, Operation::Teardown).await
}
