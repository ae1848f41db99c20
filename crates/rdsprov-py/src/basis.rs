//! The definitions of a plan with the options that belong to them, read and validated.

use pyo3::prelude::*;
use rdsprov_core::desired::Desired;
use rdsprov_core::session::{self, Setup};

use crate::definitions::Definitions;
use crate::errors;
use crate::options::Keywords;

/// The inputs of a plan that are known before a server is contacted.
pub struct Basis {
    pub definitions: Py<Definitions>,
    pub setup: Setup,
    pub desired: Desired,
}

impl Basis {
    pub fn new(definitions: &Bound<'_, Definitions>, keywords: &Keywords<'_>) -> PyResult<Self> {
        let py = definitions.py();
        let (environment, adopt, config) = keywords.reading()?;
        let build_id = keywords.text("build_id")?;
        let allow = keywords.allow()?;
        let only = keywords.only()?;
        let adopt_from = keywords.given("adopt_from")?;
        let additive = keywords.flag("additive")?;
        let definitions = definitions.get();
        let result = py.detach(|| {
            let definitions = definitions.in_environment(environment, &adopt, config)?;
            let setup = definitions.setup(None, &[], None)?;
            let mut desired = setup.desired(build_id.as_deref(), &allow, &only)?;
            setup.take_over(&mut desired, adopt_from)?;
            desired.additive = additive;
            Ok((definitions, setup, desired))
        });
        let (definitions, setup, desired) =
            result.map_err(|error: session::Error| errors::to_exception(py, &error))?;
        Ok(Self { definitions: Py::new(py, definitions)?, setup, desired })
    }
}
