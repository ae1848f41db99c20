//! From arguments to what the core works with.

use std::path::{Path, PathBuf};

use rdsprov_core::config::{Approval, Config, TlsSection, TlsSettings};
use rdsprov_core::definitions::{Definitions, SourceText, Syntax};
use rdsprov_core::desired::Desired;
use rdsprov_core::name::RoleName;
use rdsprov_core::plan::Hazard;
use rdsprov_core::secrets::token::TokenSource;
use rdsprov_core::secrets::{SecretId, SecretSource, Templates, aws};
use rdsprov_core::server::{Login, Place, Run, Tls};

use crate::args::{AdminAuth, Common, ServerOptions};
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
        let source = self.secret_source(options).await?;
        self.connect(options, self.desired(options)?, &source).await
    }

    /// What is wanted.
    pub fn desired(&self, options: &ServerOptions) -> Result<Desired, Stop> {
        let build_id = options.build_id.as_deref();
        let mut desired =
            Desired::new(&self.definitions, &self.environment, &self.templates(), build_id)
                .map_err(|error| Stop::new(Exit::Usage, error))?;
        desired.may_change_owners = options.allow.contains(&Hazard::ChangesOwner);
        desired.secret_stage = options.secret_stage.unwrap_or_default();
        Ok(desired)
    }

    /// How secrets are named.
    fn templates(&self) -> Templates {
        let mut templates = Templates::default();
        if let Some(admin) = &self.config.secrets.admin {
            templates.admin.clone_from(admin);
        }
        if let Some(application) = &self.config.secrets.application {
            templates.application.clone_from(application);
        }
        templates
    }

    /// Fetches the secrets of what is wanted, and connects.
    pub async fn connect(
        &self,
        options: &ServerOptions,
        desired: Desired,
        source: &SecretSource,
    ) -> Result<Run, Stop> {
        let login = self.login(options).await?;
        let libpq = TlsSection::of_libpq(|name| std::env::var_os(name));
        let settings = TlsSettings::new(options.tls(), libpq, self.config.tls.clone())
            .map_err(|error| Stop::new(Exit::Usage, error))?;
        let tls = Tls::new(&settings).map_err(|error| Stop::new(Exit::Failed, error))?;
        let place = Place {
            host: options.host.clone(),
            port: options.port,
            database: options.dbname.clone(),
        };
        let mut passwords = self.config.passwords.clone();
        passwords.verify = options.verify_passwords.or(passwords.verify);
        Run::open(desired, source, login, place, tls, &passwords)
            .await
            .map_err(|error| Stop::new(Exit::Failed, error))
    }

    async fn aws(&self, options: &ServerOptions) -> aws::SdkConfig {
        let region = options
            .region
            .clone()
            .or_else(|| std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty()))
            .or_else(|| self.definitions.aws_region.clone())
            .or_else(|| self.config.aws_region.clone());
        aws::configuration(region).await
    }

    /// Where secrets come from.
    pub async fn secret_source(&self, options: &ServerOptions) -> Result<SecretSource, Stop> {
        let wrong = |message: String| Err(Stop::new(Exit::Usage, message));
        match options.secrets.split_once(':') {
            None if options.secrets == "aws" => aws::SecretsManager::new(&self.aws(options).await)
                .map(SecretSource::Aws)
                .map_err(|error| Stop::new(Exit::Failed, error)),
            Some(("file", directory)) if Path::new(directory).is_dir() => {
                Ok(SecretSource::Files(PathBuf::from(directory)))
            }
            Some(("file", directory)) => {
                wrong(format!("--secrets file:{directory}: there is no such directory"))
            }
            _ => wrong("--secrets takes `aws` or `file:DIR`".to_owned()),
        }
    }

    /// How the administrator logs in.
    pub async fn login(&self, options: &ServerOptions) -> Result<Login, Stop> {
        match (options.admin_auth, &options.admin_user, &options.admin_secret) {
            (AdminAuth::Password, None, Some(id)) => Ok(Login::Secret(SecretId(id.clone()))),
            (AdminAuth::Password, None, None) => self
                .templates()
                .admin_secret(&self.environment, options.build_id.as_deref())
                .map(Login::Secret)
                .map_err(|error| Stop::new(Exit::Usage, error)),
            (AdminAuth::Iam, Some(user), None) => {
                let source = TokenSource::new(&self.aws(options).await)
                    .map_err(|error| Stop::new(Exit::Failed, error))?;
                Ok(Login::Token { user: RoleName::observed(user.clone()), source })
            }
            (AdminAuth::Password, Some(_), _) => Err(Stop::new(
                Exit::Usage,
                "--admin-user goes with --admin-auth iam; with a password the secret says who",
            )),
            (AdminAuth::Iam, _, _) => Err(Stop::new(
                Exit::Usage,
                "--admin-auth iam wants --admin-user and --host, and no --admin-secret",
            )),
        }
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
