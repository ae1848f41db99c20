//! Implements `rdsprov plan` and `rdsprov check`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::plan::{Detail, Plan, SavedPlan};
use rdsprov_core::session::{Error, ServerOptions, Setup, check_retired};
use rdsprov_core::text::{os_reason, visible};

use crate::args::{CheckArgs, Format, PlanArgs};
use crate::error::{CliError, Exit};
use crate::metrics::Metrics;
use crate::wording::{CommandWording, path_word};
use crate::{output, setup};

pub async fn run(options: &PlanArgs, detail: Detail) -> Result<Exit, CliError> {
    let PlanArgs { common, output, out, with_verifiers, .. } = options;
    if *with_verifiers && output.format != Format::Sql {
        return Err(CliError::usage("--with-verifiers requires --format sql"));
    }
    let mut server = ServerOptions::from(&options.server);
    server.only.clone_from(&options.selection.only);
    server.adopt_from.clone_from(&options.selection.restored.adopt_from);
    server.additive = options.additive.additive;
    server.audit_ledger.clone_from(&options.audit_ledger);
    let format = (output.format, detail);
    let setup = setup::new(common)?;
    let plan = print_plan(&setup, &server, format, *with_verifiers, out.as_deref()).await?;
    Ok(match Exit::of_plan(&plan) {
        Exit::Done if options.detailed_exitcode && plan.has_changes() => Exit::Pending,
        exit => exit,
    })
}

pub async fn check(options: &CheckArgs, detail: Detail) -> Result<Exit, CliError> {
    let CheckArgs { common, selection, server, strict, metrics, output, .. } = options;
    let mut server = ServerOptions::from(server);
    server.strict = *strict;
    server.fail_on.clone_from(&options.fail_on);
    server.only.clone_from(&selection.only);
    server.adopt_from.clone_from(&selection.restored.adopt_from);
    server.audit_ledger.clone_from(&options.audit_ledger);
    let started = Instant::now();
    let mut known = (common.env.clone(), None);
    let planned = match setup::new(common) {
        Ok(setup) => {
            // Also without a connection.
            known = (Some(setup.environment().to_owned()), setup.scope().map(str::to_owned));
            print_plan(&setup, &server, (output.format, detail), false, None).await
        }
        Err(error) => Err(error.into()),
    };
    let exit = match &planned {
        Ok(plan) => Exit::of_check(plan),
        Err(error) => error.exit,
    };
    if let Some(path) = &metrics.metrics_file {
        let plan = planned.as_ref().ok();
        Metrics::of_check(plan, known, exit).write(path, started.elapsed());
    }
    planned.map(|_| exit)
}

/// Plans, prints the plan, and saves it to `out` if there is one.
pub async fn print_plan(
    setup: &Setup,
    options: &ServerOptions,
    (format, detail): (Format, Detail),
    with_verifiers: bool,
    out: Option<&Path>,
) -> Result<Plan, CliError> {
    let mut run = setup.open(options).await?;
    let planned = run.plan().await.map_err(Error::from)?;
    let plan = planned.plan();
    check_retired(plan).map_err(Error::from)?;
    if with_verifiers {
        let build_id = options.build_id.as_deref().unwrap_or("script");
        let script = planned.script(build_id, &CommandWording).map_err(Error::from)?;
        output::write_stdout(&script);
    } else {
        write_plan(plan, format, detail)?;
    }
    if let Some(path) = out {
        let saved = SavedPlan::new(plan).map_err(Error::from)?;
        let text = saved.to_json().map_err(CliError::internal)?;
        output::replace_file(path, &text, 0o600).map_err(|error| {
            let fact = format!("{} cannot be written: {}", path.display(), os_reason(&error));
            CliError::new(Exit::Failed, ErrorCode::FileUnwritable, fact)
                .with_hint("name another file with --out FILE")
        })?;
        let path = visible(&path_word(path));
        // A plan of `retire` contains its own options.
        let options = match plan.origin.retirement {
            Some(_) => "with the same options for definitions, server and hazards",
            None => "with the same options",
        };
        output::status(&format!(
            "Saved the plan. To apply it, run `rdsprov apply {path}` {options}."
        ));
    }
    Ok(planned.into_parts().2)
}

/// Prints a plan to stdout.
fn write_plan(plan: &Plan, format: Format, detail: Detail) -> Result<(), CliError> {
    let text = format_plan(plan, format, detail)?;
    match format {
        Format::Text => output::write_text(&text),
        Format::Json | Format::Sql | Format::Markdown => output::write_stdout(&text),
        Format::Github => {
            output::write_stdout(&text);
            write_step_summary(&plan.to_markdown_with(&CommandWording, detail))?;
        }
    }
    Ok(())
}

/// Appends Markdown to the summary of a step of a GitHub workflow.
fn write_step_summary(markdown: &str) -> Result<(), CliError> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let opened = OpenOptions::new().append(true).create(true).open(&path);
    opened.and_then(|mut file| file.write_all(markdown.as_bytes())).map_err(|error| {
        let path = Path::new(&path).display();
        CliError::new(
            Exit::Failed,
            ErrorCode::FileUnwritable,
            format!("the step summary {path} cannot be written: {}", os_reason(&error)),
        )
        .with_hint("name a file that can be written in GITHUB_STEP_SUMMARY")
    })
}

/// Renders a plan in the given format.
pub fn format_plan(plan: &Plan, format: Format, detail: Detail) -> Result<String, CliError> {
    Ok(match format {
        Format::Text => plan.to_text_with(&CommandWording, detail),
        Format::Sql => plan.to_sql_worded(&CommandWording),
        Format::Markdown => plan.to_markdown_with(&CommandWording, detail),
        Format::Github => plan.to_github_worded(&CommandWording),
        Format::Json => plan.to_json().map_err(CliError::internal)? + "\n",
    })
}
