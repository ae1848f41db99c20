//! Converts the parsed arguments to the options of `rdsprov_core::session`.

use rdsprov_core::config::{Config, TlsSection};
use rdsprov_core::definitions::Definitions;
use rdsprov_core::operations::ConnectionOverrides;
use rdsprov_core::session::{self, DefinitionOptions, Error, ServerOptions, Setup};

use crate::args::{self, CommonArgs};

/// Reads the configuration and the definitions for a command that contacts a server.
/// Contacts nothing itself.
pub fn new(common: &CommonArgs) -> Result<Setup, Error> {
    with_config(common, session::config(common.config.as_deref())?)
}

/// Reads the definitions, for a configuration that is already read.
pub fn with_config(common: &CommonArgs, config: Config) -> Result<Setup, Error> {
    let options = definition_options(common);
    let sources = session::read(&common.definitions, &config, &options)?;
    Setup::new(config, &sources, &options)
}

/// Reads and validates the definitions for `rdsprov validate`, which needs no environment.
pub fn definitions(common: &CommonArgs) -> Result<Definitions, Error> {
    let config = session::config(common.config.as_deref())?;
    let options = definition_options(common);
    let sources = session::read(&common.definitions, &config, &options)?;
    session::validated(&config, &sources, &options)
}

fn definition_options(common: &CommonArgs) -> DefinitionOptions {
    DefinitionOptions {
        environment: common.env.clone(),
        mode: common.mode,
        adopt: common.adopt.clone(),
    }
}

impl From<&args::ServerArgs> for ServerOptions {
    fn from(flags: &args::ServerArgs) -> Self {
        Self {
            secrets: flags.secrets.clone(),
            admin_secret: flags.admin_secret.clone(),
            admin_auth: match flags.admin_auth {
                args::AdminAuthArg::Password => session::AdminAuth::Password,
                args::AdminAuthArg::Iam => session::AdminAuth::Iam,
            },
            admin_user: flags.admin_user.clone(),
            secret_stage: flags.secret_stage,
            region: flags.region.clone(),
            overrides: ConnectionOverrides {
                host: flags.host.clone(),
                port: flags.port,
                database: flags.dbname.clone(),
            },
            tls: TlsSection {
                mode: flags.tls,
                ca_file: flags.ca_file.clone().map(Into::into),
                client_cert: flags.client_cert.clone(),
                client_key: flags.client_key.clone(),
            },
            verify_passwords: flags.verify_passwords,
            build_id: flags.build_id.clone(),
            allow: flags.allow.clone(),
        }
    }
}
