//! `rdsprov plan` and `rdsprov check`

use rdsprov_core::plan::Plan;

use crate::args::{Format, PlanOptions};
use crate::{Exit, Stop, say, setup};

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
    let setup = setup::new(&options.common)?;
    let run = setup.open(&(&options.server).into()).await?;
    let plan = run.plan().await.map_err(|error| Stop::new(Exit::Failed, error))?;
    say::result(&shown(&plan, options.common.format)?);
    Ok(plan)
}

/// A plan in one of its forms.
pub fn shown(plan: &Plan, format: Format) -> Result<String, Stop> {
    Ok(match format {
        Format::Text => plan.to_text(),
        Format::Sql => plan.to_sql(),
        Format::Json => plan.to_json().map_err(|error| Stop::new(Exit::Failed, error))? + "\n",
    })
}
