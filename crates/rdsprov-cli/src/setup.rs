//! From arguments to what the core works with.

use std::path::{Path, PathBuf};

use rdsprov_core::config::{Approval, Config, TlsMode};
use rdsprov_core::definitions::{Definitions, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::plan::Hazard;
use rdsprov_core::secrets::aws::SecretsManager;
use rdsprov_core::secrets::{SecretId, SecretSource, Templates};
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
        let sources = read(&files)?;
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
                        "--env (or RDSPROV_ENV) says {flag:?} and the definitions say environment = {file:?}; one of them is for another environment"
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
    pub async fn open(&self, options: &ServerOptions) -> Result<Run, Stop> {
        let build_id = options.build_id.as_deref();
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
        let admin_secret = match &options.admin_secret {
            Some(id) => SecretId(id.clone()),
            None => templates
                .admin_secret(&self.environment, build_id)
                .map_err(|error| Stop::new(Exit::Usage, error))?,
        };
        let source = match options.secrets.split_once(':') {
            None if options.secrets == "aws" => {
                let region = options
                    .region
                    .clone()
                    .or_else(|| {
                        std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty())
                    })
                    .or_else(|| self.definitions.aws_region.clone())
                    .or_else(|| self.config.aws_region.clone());
                let manager = SecretsManager::connect(region).await;
                SecretSource::Aws(manager.map_err(|error| Stop::new(Exit::Failed, error))?)
            }
            Some(("file", directory)) if Path::new(directory).is_dir() => {
                SecretSource::Files(PathBuf::from(directory))
            }
            Some(("file", directory)) => {
                let message = format!("--secrets file:{directory}: there is no such directory");
                return Err(Stop::new(Exit::Usage, message));
            }
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
        .map(|config| config.relative_to(path.parent().unwrap_or(Path::new(""))))
        .map_err(|error| Stop::new(Exit::Usage, error))
}

/// The texts of the definitions; all that cannot be read is told at once.
fn read(files: &[String]) -> Result<Vec<SourceText>, Stop> {
    let mut sources: Vec<SourceText> = Vec::new();
    let mut wrong = Vec::new();
    let mut exit = Exit::Failed;
    for path in files {
        let Some(syntax) = Syntax::of_path(path) else {
            exit = Exit::Usage;
            wrong.push(format!(
                "{path}: definitions are *.tfvars, *.tfvars.json, *.json or *.toml files"
            ));
            continue;
        };
        if sources.iter().any(|source| source.path == *path) {
            wrong.push(format!("{path} is given twice"));
            continue;
        }
        match std::fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => sources.push(SourceText { path: path.clone(), text, syntax }),
            Ok(Err(error)) => {
                let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
                wrong.push(format!("{path}:{line}: this is not UTF-8; save the file as UTF-8"));
            }
            Err(error) => wrong.push(format!("{path} cannot be read: {error}")),
        }
    }
    if wrong.is_empty() { Ok(sources) } else { Err(Stop::new(exit, wrong.join("\n  and "))) }
}
