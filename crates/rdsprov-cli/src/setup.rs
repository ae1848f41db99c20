//! Converts the parsed arguments to the options of `rdsprov_core::session`.

use std::path::{Path, PathBuf};

use rdsprov_core::config::Config;
use rdsprov_core::definitions::Definitions;
use rdsprov_core::server::OnServerWait;
use rdsprov_core::session::{self, DefinitionOptions, Error, ServerOptions, Setup, SetupBuilder};
use rdsprov_core::text::visible;

use crate::args::{self, CommonArgs};
use crate::output;

/// Reads the configuration and the definitions for a command that contacts a
/// server. Contacts nothing itself.
pub fn new(common: &CommonArgs) -> Result<Setup, Error> {
    builder(common, session::config(common.config.as_deref())?).build()
}

/// Returns the inputs of a command, for a configuration that is already read. The definitions
/// are not read yet.
pub fn builder(common: &CommonArgs, config: Config) -> SetupBuilder {
    let (files, options) = definition_options(common, &config);
    Setup::builder().config(config).options(options).files(files)
}

/// Reads and validates the definitions for `rdsprov validate`, which needs no environment.
pub fn definitions(common: &CommonArgs) -> Result<Definitions, Error> {
    let config = session::config(common.config.as_deref())?;
    let (files, options) = definition_options(common, &config);
    let sources = session::read(&files, &config, &options)?;
    session::parse_for_environment(&config, &sources, &options)
}

/// Returns the definitions files, and how they are read. If nothing names files, those that Terraform reads in
/// the working directory are used, and a line on stderr says so.
fn definition_options(common: &CommonArgs, config: &Config) -> (Vec<PathBuf>, DefinitionOptions) {
    let mut files = common.definitions.clone();
    let mut options = DefinitionOptions::default();
    options.environment.clone_from(&common.env);
    options.mode = common.mode;
    options.adopt.clone_from(&common.adopt);
    if files.is_empty() && config.definitions.files.is_empty() {
        files = session::find_definitions(Path::new("."));
        options.found = !files.is_empty();
    }
    if options.found {
        let names: Vec<String> =
            files.iter().map(|path| visible(&path.display().to_string())).collect();
        output::status(&format!("note: the definitions are read from {}", names.join(", ")));
    }
    (files, options)
}

impl From<&args::ServerArgs> for ServerOptions {
    fn from(flags: &args::ServerArgs) -> Self {
        let mut options = Self::default();
        options.secrets = flags.secrets.clone();
        options.admin_secret.clone_from(&flags.admin_secret);
        options.admin_auth = match flags.admin_auth {
            args::AdminAuthArg::Password => session::AdminAuth::Password,
            args::AdminAuthArg::Iam => session::AdminAuth::Iam,
        };
        options.admin_user.clone_from(&flags.admin_user);
        options.secret_stage = flags.secret_stage;
        options.region.clone_from(&flags.region);
        options.overrides.host.clone_from(&flags.host);
        options.overrides.port = flags.port;
        options.overrides.database.clone_from(&flags.dbname);
        options.overrides.connect_to.clone_from(&flags.connect_to);
        options.overrides.connect_timeout = flags.connect_timeout;
        options.overrides.statement_timeout = flags.statement_timeout;
        options.overrides.observation_timeout = flags.observation_timeout;
        options.overrides.max_connections = flags.max_connections;
        options.overrides.on_wait = OnServerWait::new(|wait| {
            output::status(&format!("note: {}", visible(&wait.to_string())))
        });
        options.tls.mode = flags.tls;
        options.tls.ca_file = flags.ca_file.clone().map(Into::into);
        options.tls.client_cert.clone_from(&flags.client_cert);
        options.tls.client_key.clone_from(&flags.client_key);
        options.verify_passwords = flags.verify_passwords;
        options.build_id.clone_from(&flags.build_id);
        options.allow.clone_from(&flags.allow);
        options.audit_table.clone_from(&flags.audit_table);
        options.variables.clone_from(&flags.variables);
        options
    }
}
