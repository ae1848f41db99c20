//! The inputs of an export, and the desired state of the entries that it writes.

use std::collections::BTreeMap;

use super::scope::ExportScope;
use crate::definitions::{Application, Definitions, Mode, Rules};
use crate::desired::Desired;
use crate::name::ApplicationName;
use crate::policy::UndeclaredAccess;
use crate::secret_id::{TemplateError, Templates};

/// The inputs of an export besides the observed state.
#[derive(Debug, Clone, Copy)]
pub struct ExportContext<'a> {
    /// The environment of the definitions.
    pub environment: &'a str,
    /// The templates for the ids of secrets.
    pub templates: &'a Templates,
    /// The rules by which the definitions will be read.
    pub rules: &'a Rules,
    /// The value of the placeholder `{build_id}`.
    pub build_id: Option<&'a str>,
    /// What the export covers.
    pub scope: &'a ExportScope,
    /// Whether access that is not declared is refused.
    pub undeclared_access: UndeclaredAccess,
}

impl ExportContext<'_> {
    /// Returns the desired state of entries of definitions with a scope, with permission to adopt what they
    /// name.
    pub(super) fn desired<'a>(
        &self,
        applications: impl IntoIterator<Item = &'a Application>,
        scope: Option<&str>,
    ) -> Result<Desired, TemplateError> {
        let adopted = |one: &Application| Application { adopt: true, ..one.clone() };
        let applications: BTreeMap<ApplicationName, Application> =
            applications.into_iter().map(|one| (one.application.clone(), adopted(one))).collect();
        let definitions = Definitions {
            environment: None,
            aws_region: None,
            scope: scope.map(str::to_owned),
            mode: Mode::Standalone,
            applications,
        };
        let mut desired =
            Desired::new(&definitions, self.environment, self.templates, self.build_id)?;
        desired.undeclared_access = self.undeclared_access;
        Ok(desired)
    }
}
