//! `rdsprov plan` and `rdsprov check`

use std::path::Path;

use rdsprov_core::plan::{Plan, SavedPlan};

use crate::args::{CheckArgs, CommonArgs, Format, PlanArgs, ServerArgs};
use crate::{CliError, Exit, output, setup};

pub async fn run(options: &PlanArgs) -> Result<Exit, CliError> {
    let PlanArgs { common, server, out, with_verifiers, .. } = options;
    if *with_verifiers && common.format != Format::Sql {
        return Err(CliError::new(Exit::Usage, "--with-verifiers is for --format sql"));
    }
    let plan = show(common, server, *with_verifiers, out.as_deref()).await?;
    Ok(if !plan.refusals.is_empty() {
        Exit::Refused
    } else if options.detailed_exitcode && !plan.is_empty() {
        Exit::Pending
    } else {
        Exit::Done
    })
}

pub async fn check(options: &CheckArgs) -> Result<Exit, CliError> {
    let plan = show(&options.common, &options.server, false, None).await?;
    Ok(if !plan.refusals.is_empty() {
        Exit::Refused
    } else if plan.is_empty() {
        Exit::Done
    } else {
        Exit::Pending
    })
}

async fn show(
    common: &CommonArgs,
    options: &ServerArgs,
    with_verifiers: bool,
    out: Option<&Path>,
) -> Result<Plan, CliError> {
    let setup = setup::new(common)?;
    let run = setup.open(&options.into()).await?;
    let plan = run.plan().await.map_err(|error| CliError::new(Exit::Failed, error))?;
    let text = if with_verifiers {
        let build_id = options.build_id.as_deref().unwrap_or("script");
        run.script(&plan, build_id).map_err(|error| CliError::new(Exit::Failed, error))?
    } else {
        format_plan(&plan, common.format)?
    };
    output::write_stdout(&text);
    if let Some(path) = out {
        let saved = SavedPlan::new(&plan, setup.origin(&run))
            .map_err(|error| CliError::new(Exit::Refused, error))?;
        let failed = |error: &dyn ToString| {
            let error = error.to_string();
            CliError::new(Exit::Failed, format!("{} cannot be written: {error}", path.display()))
        };
        let text = saved.to_json().map_err(|error| failed(&error))?;
        std::fs::write(path, text).map_err(|error| failed(&error))?;
        output::status(&format!("saved: rdsprov apply {} …", path.display()));
    }
    Ok(plan)
}

/// A plan in one of its forms.
pub fn format_plan(plan: &Plan, format: Format) -> Result<String, CliError> {
    Ok(match format {
        Format::Text => plan.to_text(),
        Format::Sql => plan.to_sql(),
        Format::Markdown => plan.to_markdown(),
        Format::Json => plan.to_json().map_err(|error| CliError::new(Exit::Failed, error))? + "\n",
    })
}
