//! Implements `rdsprov graph`.

use crate::args::GraphArgs;
use crate::error::{CliError, Exit};
use crate::{output, setup};

pub fn run(options: &GraphArgs) -> Result<Exit, CliError> {
    let definitions = setup::definitions(&options.common)?;
    output::write_stdout(&definitions.to_graph(options.format));
    Ok(Exit::Done)
}
