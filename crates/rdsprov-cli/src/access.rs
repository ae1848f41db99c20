//! `rdsprov access`

use rdsprov_core::name::{DatabaseName, RoleName};
use rdsprov_core::server::Asked;

use crate::args::{AccessOptions, Format};
use crate::{Exit, Stop, say, setup};

pub async fn run(options: &AccessOptions) -> Result<Exit, Stop> {
    let setup = setup::new(&options.common)?;
    let asked = Asked {
        database: options.database.clone().map(DatabaseName::observed),
        role: options.role.clone().map(RoleName::observed),
    };
    if options.common.format == Format::Sql {
        return Err(Stop::new(Exit::Usage, "access has no form in SQL"));
    }
    let holdings = setup.access(&(&options.server).into(), &asked).await?;
    say::result(&match options.common.format {
        Format::Json => holdings.to_json().map_err(|error| Stop::new(Exit::Failed, error))? + "\n",
        Format::Markdown => holdings.to_markdown(),
        Format::Text | Format::Sql => holdings.to_text(),
    });
    if holdings.is_complete() {
        return Ok(Exit::Done);
    }
    Err(Stop::new(Exit::Failed, "not every database could be looked at: see above"))
}
