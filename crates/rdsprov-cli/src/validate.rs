//! `rdsprov validate`

use crate::args::{Format, ValidateOptions};
use crate::setup::Setup;
use crate::{Exit, Stop};

pub fn run(options: &ValidateOptions) -> Result<Exit, Stop> {
    let setup = Setup::new(&options.common)?;
    if options.common.format == Format::Json {
        let text = serde_json::to_string_pretty(&setup.definitions)
            .map_err(|error| Stop::new(Exit::Failed, error))?;
        println!("{text}");
        return Ok(Exit::Done);
    }
    let definitions = &setup.definitions;
    println!("environment {}, {} mode", setup.environment, definitions.mode);
    if definitions.applications.is_empty() {
        println!("no applications are declared");
    }
    for app in definitions.applications.values() {
        println!(
            "  {}: {} of database {} as {}",
            app.application, app.access_level, app.database_name, app.username
        );
    }
    Ok(Exit::Done)
}
