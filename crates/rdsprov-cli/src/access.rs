//! Implements `rdsprov access`.

use std::path::Path;

use rdsprov_core::access_report::{AccessDiff, AccessReport, ShownRoles};
use rdsprov_core::audit::{LedgerTime, access_at};
use rdsprov_core::error_code::ErrorCode;
use rdsprov_core::input_file::{self, Input};
use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::operations::AccessQuery;
use rdsprov_core::session;
use rdsprov_core::text::os_reason;

use crate::args::{AccessArgs, AccessFormat};
use crate::audit::{ledger, not_intact, unknown_name, unreadable};
use crate::error::{CliError, Exit};
use crate::{output, setup};

pub async fn run(options: &AccessArgs) -> Result<Exit, CliError> {
    if let [old, new @ ..] = options.diff.as_slice() {
        return compare(options, old, new.first().map(|path| path.as_path())).await;
    }
    if let Some(at) = options.at {
        return granted(options, at);
    }
    let report = report(options).await?;
    output::write_stdout(&format_report(&report, options)?);
    if report.is_complete() { Ok(Exit::Done) } else { Err(incomplete()) }
}

async fn report(options: &AccessArgs) -> Result<AccessReport, CliError> {
    let setup = setup::new(&options.common)?;
    Ok(setup.access(&(&options.server).into(), &query(options)).await?)
}

/// Prints what changed between an old report, and a new one or that of a file.
async fn compare(options: &AccessArgs, old: &Path, new: Option<&Path>) -> Result<Exit, CliError> {
    text_or_json(options, "changes of access are printed as text or JSON only")?;
    let AccessQuery { database, role, .. } = query(options);
    let limited = |report: AccessReport| report.limited_to(database.as_ref(), role.as_ref());
    let before = limited(read(old)?);
    let after = match new {
        Some(path) => limited(read(path)?),
        None => report(options).await?,
    };
    let diff = AccessDiff::new(&before, &after).map_err(|fact| {
        CliError::usage(fact).with_hint(
            "compare reports of one environment: --env NAME selects that of a new report",
        )
    })?;
    output::write_stdout(&match options.format {
        AccessFormat::Json => diff.to_json().map_err(CliError::internal)? + "\n",
        _ => diff.to_text(),
    });
    if !diff.is_complete() {
        Err(incomplete())
    } else if diff.is_empty() {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Pending)
    }
}

/// Prints what rdsprov had granted at a time, as a ledger records it.
fn granted(options: &AccessArgs, at: LedgerTime) -> Result<Exit, CliError> {
    text_or_json(options, "what a ledger contains is printed as text or JSON only")?;
    if at.is_in_the_future() {
        return Err(CliError::usage("the time of --at is in the future")
            .with_hint("name a time in the past, or leave out --at for the access of now"));
    }
    let (role, database) = (options.role.as_deref(), options.database.as_deref());
    let path = match &options.audit_ledger {
        Some(path) => path.clone(),
        None => session::configured_ledger(&session::config(options.common.config.as_deref())?)?
            .ok_or_else(no_ledger)?,
    };
    let ledger = ledger(&path)?;
    let access =
        access_at(&ledger, at, role, database).map_err(|error| unreadable(&path, &error))?;
    if let Some(unknown) = &access.unknown {
        return Err(unknown_name(unknown));
    }
    output::write_stdout(&match options.format {
        AccessFormat::Json => access.to_json().map_err(CliError::internal)? + "\n",
        _ => access.to_text(),
    });
    if !access.is_intact() {
        return Err(not_intact(&path));
    }
    Ok(if access.is_certain() { Exit::Done } else { Exit::Pending })
}

fn no_ledger() -> CliError {
    CliError::usage("the ledger for --at is missing")
        .with_hint("name it with --audit-ledger FILE, or with `[audit] ledger` in rdsprov.toml")
}

fn text_or_json(options: &AccessArgs, fact: &str) -> Result<(), CliError> {
    if matches!(options.format, AccessFormat::Text | AccessFormat::Json) {
        return Ok(());
    }
    Err(CliError::usage(fact).with_hint("use --format text or --format json"))
}

fn read(path: &Path) -> Result<AccessReport, CliError> {
    let unreadable = |reason: String| {
        let fact = format!("{} cannot be read as an access report: {reason}", path.display());
        CliError::new(Exit::Usage, ErrorCode::FileUnreadable, fact)
            .with_hint("name a file that `rdsprov access --format json` has printed")
    };
    let text = input_file::read_text(path, Input::AccessReport)
        .map_err(|error| unreadable(os_reason(&error)))?;
    AccessReport::from_json(&text).map_err(unreadable)
}

fn incomplete() -> CliError {
    let fact = "the report does not cover every database";
    CliError::new(Exit::Failed, ErrorCode::IncompleteAccessReport, fact)
        .with_hint("correct the reasons in the report, then run again")
}

/// Returns what the options ask for.
pub fn query(options: &AccessArgs) -> AccessQuery {
    let mut query = AccessQuery::default();
    query.database = options.database.clone().map(DatabaseName::new_unchecked);
    query.role = options.role.clone().map(RoleName::new_unchecked);
    query.actor.clone_from(&options.actor);
    query
}

/// Renders a report in the selected format.
pub fn format_report(report: &AccessReport, options: &AccessArgs) -> Result<String, CliError> {
    let shown = if options.all || options.role.is_some() {
        ShownRoles::All
    } else {
        ShownRoles::WithoutAdministrators
    };
    Ok(match options.format {
        AccessFormat::Json => report.to_json().map_err(CliError::internal)? + "\n",
        AccessFormat::Markdown => report.to_markdown(shown),
        AccessFormat::Text => report.to_text(shown),
        AccessFormat::Csv => report.to_csv(),
        AccessFormat::Html => report.to_html().map_err(CliError::internal)?,
    })
}
