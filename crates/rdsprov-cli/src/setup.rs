//! From arguments to what the core works with.

use std::path::{Path, PathBuf};

use rdsprov_core::config::{Approval, Config, TlsMode};
use rdsprov_core::definitions::{Definitions, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::plan::Hazard;
use rdsprov_core::secrets::{SecretId, SecretSource, Templates, aws};
use rdsprov_core::server::{Place, Run, Tls};

use crate::args::{Common, ServerOptions};
use crate::{Exit, Stop};

/// What every command needs: nothing has been contacted for it.
pub struct Setup {
    pub config: Config,
    pub definitions: Definitions,
    pub environment: String,
    pub approval: Approval,
}

impl Setup {
    pub fn new(common: &Common) -> Result<Self, Stop> {
        Self::with_config(common, config(common.config.as_deref())?)
    }

    /// The same, the configuration being read already.
    pub fn with_config(common: &Common, config: Config) -> Result<Self, Stop> {
        let files = if common.definitions.is_empty() {
            config.definitions.files.clone()
        } else {
            common.definitions.clone()
        };
        if files.is_empty() {
            return Err(Stop::new(
                Exit::Usage,
                "no definitions are given; name them with --definitions FILE, or in rdsprov.toml as [definitions] files",
            ));
        }
        let mut sources = Vec::new();
        for path in files {
            let syntax = Syntax::of_path(&path).ok_or_else(|| {
                Stop::new(
                    Exit::Usage,
                    format!(
                        "{path}: definitions are *.tfvars, *.tfvars.json, *.json or *.toml files"
                    ),
                )
            })?;
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Stop::new(Exit::Failed, format!("{path} cannot be read: {error}"))
            })?;
            sources.push(SourceText { path, text, syntax });
        }
        let mut rules = config.rules();
        rules.mode = common.mode.or(rules.mode);
        rules.environment.clone_from(&common.env);
        let mut definitions = Definitions::parse(&sources, &rules)
            .map_err(|errors| Stop::new(Exit::Failed, errors))?;
        for name in &common.adopt {
            definitions.adopt(name).map_err(|error| Stop::new(Exit::Usage, error))?;
        }
        let environment = match (&common.env, &definitions.environment) {
            (Some(flag), Some(file)) if flag != file => {
                return Err(Stop::new(
                    Exit::Refused,
                    format!(
                        "--env says {flag:?} and the definitions say environment = {file:?}; one of them is for another environment"
                    ),
                ));
            }
            (Some(name), _) | (None, Some(name)) => name.clone(),
            (None, None) => {
                return Err(Stop::new(
                    Exit::Usage,
                    "the environment is not known; give --env, or set `environment` in the definitions",
                ));
            }
        };
        let approval = config.approval(&environment).ok_or_else(|| {
            Stop::new(
                Exit::Usage,
                format!(
                    "environment {environment:?} is not known; the known ones are {}; declare it in rdsprov.toml as [environments.{environment}]",
                    config.environments_known().join(", ")
                ),
            )
        })?;
        Ok(Self { config, definitions, environment, approval })
    }

    /// Fetches the secrets and connects.
    pub async fn open(&self, options: &ServerOptions, build_id: Option<&str>) -> Result<Run, Stop> {
        let mut templates = Templates::default();
        if let Some(admin) = &self.config.secrets.admin {
            templates.admin.clone_from(admin);
        }
        if let Some(application) = &self.config.secrets.application {
            templates.application.clone_from(application);
        }
        let mut desired = Desired::new(&self.definitions, &self.environment, &templates, build_id)
            .map_err(|error| Stop::new(Exit::Usage, error))?;
        desired.may_change_owners = options.allow.contains(&Hazard::ChangesOwner);
        let admin_secret = options.admin_secret.clone().map_or_else(
            || SecretId(templates.admin.replace("{environment}", &self.environment)),
            SecretId,
        );
        let source = match options.secrets.split_once(':') {
            None if options.secrets == "aws" => {
                let region = options
                    .region
                    .clone()
                    .or_else(|| std::env::var("AWS_REGION").ok())
                    .or_else(|| self.definitions.aws_region.clone())
                    .or_else(|| self.config.aws_region.clone());
                SecretSource::Aws(aws::connect(region).await)
            }
            Some(("file", directory)) => SecretSource::Files(PathBuf::from(directory)),
            _ => return Err(Stop::new(Exit::Usage, "--secrets takes `aws` or `file:DIR`")),
        };
        let mode = options.tls.or(self.config.tls.mode).unwrap_or(TlsMode::VerifyFull);
        let ca_file = options.ca_file.clone().or_else(|| self.config.tls.ca_file.clone());
        let tls = Tls::new(mode, ca_file).map_err(|error| Stop::new(Exit::Failed, error))?;
        let place = Place {
            host: options.host.clone(),
            port: options.port,
            database: options.dbname.clone(),
        };
        Run::open(desired, &source, admin_secret, place, tls)
            .await
            .map_err(|error| Stop::new(Exit::Failed, error))
    }
}

/// `rdsprov.toml`, where there is one.
pub fn config(path: Option<&Path>) -> Result<Config, Stop> {
    let default = Path::new("rdsprov.toml");
    let path = match path {
        Some(path) => path,
        None if default.exists() => default,
        None => return Ok(Config::default()),
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Stop::new(Exit::Usage, format!("{} cannot be read: {error}", path.display()))
    })?;
    Config::from_toml(&path.display().to_string(), &text)
        .map_err(|error| Stop::new(Exit::Usage, error))
}
