//! What is declared, for which environment, and what that asks for. Nothing is contacted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Unreadable};
use crate::config::{ApprovalPolicy, Config};
use crate::definitions::{
    self, DefinitionError, DefinitionErrors, Definitions, Mode, Rules, SourceText, Syntax,
};
use crate::name::RoleName;
use crate::plan::{Origin, SavedPlan};
use crate::server::Provisioner;

/// What somebody says of the definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionOptions {
    /// The environment; must agree with the definitions.
    pub environment: Option<String>,
    /// Which mode counts where both are present.
    pub mode: Option<Mode>,
    /// The applications that may take over what is not managed yet.
    pub adopt: Vec<String>,
}

/// A role that is to administer in the master's place.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// The role.
    pub role: String,
    /// Where its password is kept; made where it is not there.
    pub secret: String,
    /// Whether a role that is not managed may be taken for it.
    pub adopt: bool,
}

/// What every session needs.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What `rdsprov.toml` says.
    pub config: Config,
    /// What is declared.
    pub definitions: Definitions,
    /// `sha256:…` of the texts of the definitions.
    pub definitions_sha256: String,
    /// Where.
    pub environment: String,
    /// What that asks for.
    pub approval_policy: ApprovalPolicy,
    /// What is wanted in the place of what is declared.
    pub(super) delegation: Option<(RoleName, Delegation)>,
}

/// How definitions are read.
fn rules(config: &Config, options: &DefinitionOptions) -> Rules {
    let rules = config.rules();
    Rules { mode: options.mode.or(rules.mode), environment: options.environment.clone(), ..rules }
}

/// What sources declare, by the rules of a site.
///
/// # Errors
/// All that is wrong with them; an environment that is not theirs.
pub fn declared(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    // `--definitions` takes all that stands behind it.
    if let Some(plan) = sources.iter().find(|one| SavedPlan::from_json(&one.text).is_ok()) {
        return Err(Error::PlanAmongDefinitions { path: plan.path.clone() });
    }
    let mut definitions = Definitions::parse(sources, &rules(config, options))?;
    for name in &options.adopt {
        definitions.adopt(name)?;
    }
    match (&options.environment, &definitions.environment) {
        (Some(asked), Some(declared)) if asked != declared => {
            Err(Error::OtherEnvironment { asked: asked.clone(), declared: declared.clone() })
        }
        _ => Ok(definitions),
    }
}

/// The same, with the environment asked for where they name none; none at all is well, too.
///
/// # Errors
/// All that is wrong with them; an environment that is not known, or not theirs.
pub fn validated(
    config: &Config,
    sources: &[SourceText],
    options: &DefinitionOptions,
) -> Result<Definitions, Error> {
    let mut definitions = declared(config, sources, options)?;
    definitions.environment = options.environment.clone().or(definitions.environment);
    if let Some(environment) = &definitions.environment {
        approval_policy(config, environment)?;
    }
    Ok(definitions)
}

/// What an environment asks for, where it is known.
fn approval_policy(config: &Config, environment: &str) -> Result<ApprovalPolicy, Error> {
    config.approval_policy(environment).ok_or_else(|| Error::UnknownEnvironment {
        environment: environment.to_owned(),
        known: config.environments_known(),
    })
}

impl Setup {
    /// Reads definitions by the rules of a site.
    ///
    /// # Errors
    /// All that is wrong with the definitions; an environment that is not known, or another one.
    pub fn new(
        config: Config,
        sources: &[SourceText],
        options: &DefinitionOptions,
    ) -> Result<Self, Error> {
        let definitions = declared(&config, sources, options)?;
        let sha256 = definitions::sha256(sources);
        Self::with_definitions(config, definitions, sha256, options.environment.as_deref())
    }

    /// The same, the definitions being read already.
    ///
    /// # Errors
    /// Where the environment is not known.
    pub fn with_definitions(
        config: Config,
        definitions: Definitions,
        definitions_sha256: String,
        environment: Option<&str>,
    ) -> Result<Self, Error> {
        let environment = environment
            .or(definitions.environment.as_deref())
            .ok_or(Error::NoEnvironment)?
            .to_owned();
        let approval_policy = approval_policy(&config, &environment)?;
        let delegation = None;
        Ok(Self {
            config,
            definitions,
            definitions_sha256,
            environment,
            approval_policy,
            delegation,
        })
    }

    /// Wants a role that administers an environment, whatever is declared there.
    ///
    /// # Errors
    /// An environment that is not known, or a role that cannot be called so.
    pub fn delegating(
        config: Config,
        environment: Option<&str>,
        delegation: Delegation,
    ) -> Result<Self, Error> {
        let role = RoleName::new(delegation.role.clone())
            .map_err(|error| Error::Usage(format!("--to: {error}")))?;
        let nothing = Definitions {
            environment: None,
            aws_region: None,
            mode: Mode::Standalone,
            applications: BTreeMap::new(),
        };
        let setup = Self::with_definitions(config, nothing, definitions::sha256(&[]), environment)?;
        Ok(Self { delegation: Some((role, delegation)), ..setup })
    }

    /// What a plan of a run was made from.
    #[must_use]
    pub fn origin(&self, run: &Provisioner) -> Origin {
        self.origin_for(run.server())
    }

    /// What a plan for a server, given as `host:port`, was made from.
    #[must_use]
    pub fn origin_for(&self, server: String) -> Origin {
        Origin { server, definitions: self.definitions_sha256.clone() }
    }
}

/// The text of a `rdsprov.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    /// Where it stands; paths in it are relative to its folder.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl ConfigText {
    /// Reads the file named, else the one in this folder where there is one.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(path: Option<&Path>) -> Result<Option<Self>, Error> {
        let default = Path::new("rdsprov.toml");
        let path = match path {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(None),
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| Error::ConfigUnreadable { path: path.to_owned(), source })?;
        Ok(Some(Self { path: path.to_owned(), text }))
    }

    /// What it says.
    ///
    /// # Errors
    /// Where it is not understood.
    pub fn parse(&self) -> Result<Config, Error> {
        let config = Config::from_toml(&self.path.display().to_string(), &self.text)?;
        Ok(config.relative_to(self.path.parent().unwrap_or(Path::new(""))))
    }
}

/// `rdsprov.toml`: the file named, else the one in this folder where there is one.
///
/// # Errors
/// Where it cannot be read or is not understood.
pub fn config(path: Option<&Path>) -> Result<Config, Error> {
    ConfigText::read(path)?.map_or_else(|| Ok(Config::default()), |text| text.parse())
}

/// The texts of the definitions: of the files named, else of those that `rdsprov.toml` names.
///
/// # Errors
/// Where none is named; where some cannot be read, with all that is wrong with the others.
pub fn read(
    files: &[PathBuf],
    config: &Config,
    options: &DefinitionOptions,
) -> Result<Vec<SourceText>, Error> {
    let configured: Vec<PathBuf> = config.definitions.files.iter().map(PathBuf::from).collect();
    let files = if files.is_empty() { &configured } else { files };
    if files.is_empty() {
        return Err(Error::NoDefinitions);
    }
    let mut sources: Vec<SourceText> = Vec::new();
    let mut unreadable = Vec::new();
    let mut wrong = Vec::new();
    for file in files {
        let path = file.display().to_string();
        let Some(syntax) = Syntax::from_path(&path) else {
            unreadable.push(Unreadable::Syntax { path });
            continue;
        };
        if sources.iter().any(|source| source.path == path) {
            unreadable.push(Unreadable::Twice { path });
            continue;
        }
        match std::fs::read(file).map(String::from_utf8) {
            Ok(Ok(text)) => sources.push(SourceText { path, text, syntax }),
            Ok(Err(error)) => wrong.push(DefinitionError::not_utf8(&path, &error)),
            Err(error) => unreadable.push(Unreadable::System { path, reason: error.to_string() }),
        }
    }
    if unreadable.is_empty() && wrong.is_empty() {
        return Ok(sources);
    }
    wrong.extend(DefinitionErrors::partial(&sources, &rules(config, options)).0);
    let others = DefinitionErrors(wrong);
    Err(if unreadable.is_empty() {
        others.into()
    } else {
        Error::Unreadable { files: unreadable, others }
    })
}
