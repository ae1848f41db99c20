//! `rdsprov plan` and `rdsprov check`

use rdsprov_core::plan::Plan;

use crate::args::{Format, PlanOptions};
use crate::setup::Setup;
use crate::{Exit, Stop};

pub async fn run(options: &PlanOptions) -> Result<Exit, Stop> {
    let plan = show(options).await?;
    Ok(if !plan.refusals.is_empty() {
        Exit::Refused
    } else if options.detailed_exitcode && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

pub async fn check(options: &PlanOptions) -> Result<Exit, Stop> {
    let plan = show(options).await?;
    Ok(if !plan.refusals.is_empty() {
        Exit::Refused
    } else if plan.is_empty() {
        Exit::Done
    } else {
        Exit::Pending
    })
}

async fn show(options: &PlanOptions) -> Result<Plan, Stop> {
    let setup = Setup::new(&options.common)?;
    let run = setup.open(&options.server, None).await?;
    let plan = run.plan().await.map_err(|error| Stop::new(Exit::Failed, error))?;
    print(&plan, options.common.format)?;
    Ok(plan)
}

fn print(plan: &Plan, format: Format) -> Result<(), Stop> {
    match format {
        Format::Text => print!("{}", plan.to_text()),
        Format::Sql => print!("{}", plan.to_sql()),
        Format::Json => {
            println!("{}", plan.to_json().map_err(|error| Stop::new(Exit::Failed, error))?);
        }
    }
    Ok(())
}
