//! From what somebody says of server and secrets to a connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::error::Error;
use super::setup::Setup;
use crate::access_report::AccessReport;
use crate::config::{TlsSection, TlsSettings, VerifyPasswords};
use crate::desired::Desired;
use crate::plan::Hazard;
#[cfg(feature = "aws")]
use crate::secrets::aws;
use crate::secrets::{SecretId, SecretProvider, SecretSource, Stage, Templates};
use crate::server::{
    AccessQuery, AdminConnection, AdminCredentials, ConnectionOverrides, Provisioner, Tls,
};

/// How the administrator logs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg(feature = "aws")]
pub enum AdminAuth {
    /// With the password of its secret.
    #[default]
    Password,
    /// With a token of IAM.
    Iam,
}

/// Where secrets come from.
#[derive(Clone)]
#[cfg_attr(feature = "aws", derive(Default))]
pub enum Secrets {
    /// AWS Secrets Manager.
    #[cfg(feature = "aws")]
    #[default]
    Aws,
    /// A directory of JSON files.
    Files(PathBuf),
    /// Whatever the program around this one has.
    Own(Arc<dyn SecretProvider>),
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "aws")]
            Self::Aws => f.write_str("aws"),
            Self::Files(directory) => write!(f, "file:{}", directory.display()),
            Self::Own(_) => f.write_str("own"),
        }
    }
}

impl FromStr for Secrets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            #[cfg(feature = "aws")]
            None if text == "aws" => Ok(Self::Aws),
            Some(("file", directory)) if Path::new(directory).is_dir() => {
                Ok(Self::Files(PathBuf::from(directory)))
            }
            Some(("file", directory)) => {
                Err(format!("--secrets file:{directory}: there is no such directory"))
            }
            _ => Err("--secrets takes `aws` or `file:DIR`".to_owned()),
        }
    }
}

/// What somebody says of server and secrets. What is not said, the environment, `rdsprov.toml`, the
/// administrator's secret or a default says.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "aws", derive(Default))]
pub struct ServerOptions {
    /// Where secrets come from.
    pub secrets: Secrets,
    /// The administrator's secret.
    pub admin_secret: Option<String>,
    /// How the administrator logs in.
    #[cfg(feature = "aws")]
    pub admin_auth: AdminAuth,
    /// The administrator's role, where it logs in with a token.
    pub admin_user: Option<String>,
    /// Which version of the applications' secrets counts; the current one by default.
    pub secret_stage: Option<Stage>,
    /// The AWS region.
    pub region: Option<String>,
    /// The server's host, port and database.
    pub overrides: ConnectionOverrides,
    /// How the connection is protected.
    pub tls: TlsSection,
    /// How it is found out whether passwords are right.
    pub verify_passwords: Option<VerifyPasswords>,
    /// The build.
    pub build_id: Option<String>,
    /// The hazards that are allowed.
    pub allow: Vec<Hazard>,
}

impl Setup {
    /// What is wanted, in the words of the server.
    ///
    /// # Errors
    /// Where the name of a secret says something unknown.
    pub fn desired(&self, build_id: Option<&str>, allow: &[Hazard]) -> Result<Desired, Error> {
        if let Some((role, delegation)) = &self.delegation {
            let secret = SecretId(delegation.secret.clone());
            let (environment, adopt) = (&self.environment, delegation.adopt);
            return Ok(Desired::delegation(environment, role.clone(), secret, adopt));
        }
        let templates = self.templates();
        let mut desired = Desired::new(&self.definitions, &self.environment, &templates, build_id)?;
        desired.may_change_owners = allow.contains(&Hazard::ChangesOwner);
        Ok(desired)
    }

    /// Fetches the administrator's secret, and no other, and connects.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn administration(&self, options: &ServerOptions) -> Result<AdminConnection, Error> {
        let source = self.secret_source(options).await?;
        let login = self.login(options).await?;
        let tls = self.tls(options)?;
        Ok(AdminConnection::open(&source, login, options.overrides.clone(), tls).await?)
    }

    /// Who can do what in the managed databases, as PostgreSQL says.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn access(
        &self,
        options: &ServerOptions,
        asked: &AccessQuery,
    ) -> Result<AccessReport, Error> {
        let desired = self.desired(options.build_id.as_deref(), &options.allow)?;
        let administration = self.administration(options).await?;
        let access_report = administration.access_report(&desired, asked).await?;
        match &asked.database {
            Some(database) if access_report.databases.is_empty() => Err(Error::NoSuchDatabase {
                database: database.clone(),
                environment: self.environment.clone(),
            }),
            _ => Ok(access_report),
        }
    }

    fn tls(&self, options: &ServerOptions) -> Result<Tls, Error> {
        let libpq = TlsSection::from_libpq(|name| std::env::var_os(name));
        let settings = TlsSettings::new(options.tls.clone(), libpq, self.config.tls.clone())?;
        Ok(Tls::new(&settings)?)
    }

    /// Fetches the secrets and connects.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(&self, options: &ServerOptions) -> Result<Provisioner, Error> {
        let mut desired = self.desired(options.build_id.as_deref(), &options.allow)?;
        desired.secret_stage = options.secret_stage.unwrap_or_default();
        let source = self.secret_source(options).await?;
        self.open_for(options, desired, &source).await
    }

    /// Fetches the secrets of what is wanted, and connects.
    pub(super) async fn open_for(
        &self,
        options: &ServerOptions,
        desired: Desired,
        source: &SecretSource,
    ) -> Result<Provisioner, Error> {
        let login = self.login(options).await?;
        let tls = self.tls(options)?;
        let mut passwords = self.config.passwords.clone();
        passwords.verify = options.verify_passwords.or(passwords.verify);
        Ok(Provisioner::open(desired, source, login, options.overrides.clone(), tls, &passwords)
            .await?)
    }

    fn templates(&self) -> Templates {
        let default = Templates::default();
        let secrets = &self.config.secrets;
        Templates {
            admin: secrets.admin.clone().unwrap_or(default.admin),
            application: secrets.application.clone().unwrap_or(default.application),
        }
    }

    #[cfg(feature = "aws")]
    async fn aws(&self, options: &ServerOptions) -> aws::SdkConfig {
        let region = options
            .region
            .clone()
            .or_else(|| std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty()))
            .or_else(|| self.definitions.aws_region.clone())
            .or_else(|| self.config.aws_region.clone());
        aws::configuration(region).await
    }

    #[cfg_attr(
        not(feature = "aws"),
        allow(clippy::unused_async, reason = "with the feature it waits")
    )]
    pub(super) async fn secret_source(
        &self,
        options: &ServerOptions,
    ) -> Result<SecretSource, Error> {
        Ok(match &options.secrets {
            #[cfg(feature = "aws")]
            Secrets::Aws => SecretSource::Aws(aws::SecretsManager::new(&self.aws(options).await)?),
            Secrets::Files(directory) => SecretSource::Files(directory.clone()),
            Secrets::Own(provider) => SecretSource::Own(provider.clone()),
        })
    }

    fn login_with_secret(&self, options: &ServerOptions) -> Result<AdminCredentials, Error> {
        match (&options.admin_user, &options.admin_secret) {
            (None, Some(id)) => Ok(AdminCredentials::Secret(SecretId(id.clone()))),
            (None, None) => {
                let id = self
                    .templates()
                    .admin_secret(&self.environment, options.build_id.as_deref())?;
                Ok(AdminCredentials::Secret(id))
            }
            (Some(_), _) => Err(Error::Usage(
                "--admin-user goes with --admin-auth iam; with a password the secret says who"
                    .to_owned(),
            )),
        }
    }

    #[cfg(not(feature = "aws"))]
    #[allow(clippy::unused_async, reason = "with the feature it waits")]
    pub(super) async fn login(&self, options: &ServerOptions) -> Result<AdminCredentials, Error> {
        self.login_with_secret(options)
    }

    #[cfg(feature = "aws")]
    pub(super) async fn login(&self, options: &ServerOptions) -> Result<AdminCredentials, Error> {
        match (options.admin_auth, &options.admin_user, &options.admin_secret) {
            (AdminAuth::Password, _, _) => self.login_with_secret(options),
            (AdminAuth::Iam, Some(user), None) => {
                let source = crate::secrets::token::TokenSource::new(&self.aws(options).await)?;
                Ok(AdminCredentials::Token {
                    user: crate::name::RoleName::new_unchecked(user.clone()),
                    source,
                })
            }
            (AdminAuth::Iam, _, _) => Err(Error::Usage(
                "--admin-auth iam wants --admin-user and --host, and no --admin-secret".to_owned(),
            )),
        }
    }
}
