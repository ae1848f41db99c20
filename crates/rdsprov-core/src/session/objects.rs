//! Reads definitions and fleet files from S3, and gives front ends access to S3 for records.

use std::path::Path;

use super::error::Error;
use super::files::{fleet_syntax, outside, site_policy};
use super::fleet_instance::{FleetOptions, InstanceRun};
use super::{credential_sources, fleet_instance, system_certificates};
use crate::config::Config;
use crate::definitions::{SourceText, Syntax};
use crate::fleet::Fleet;
use crate::input_file::Input;
use crate::secrets::{ObjectError, ObjectStore, ObjectUri, aws};

/// Returns S3 in a region, by default in the one that the environment variables of AWS set.
///
/// # Errors
/// Returns [`Error::Source`] if the region is not known, and [`Error::TlsSettings`] if the system has no
/// certificates.
pub async fn object_store(region: Option<String>) -> Result<ObjectStore, Error> {
    system_certificates::check(|name| std::env::var_os(name))?;
    let sources = credential_sources::detect();
    Ok(ObjectStore::new(&aws::configuration(region, sources, None, Default::default()).await)?)
}

/// Reads definitions from an object, whose key has the extension of a definitions file.
///
/// # Errors
/// Returns [`Error::Object`] if the object cannot be read or is not definitions, and the errors of
/// [`site_policy`], which can limit its size.
pub async fn read_object(store: &ObjectStore, uri: &ObjectUri) -> Result<SourceText, Error> {
    let Some(syntax) = Syntax::from_path(uri.key()) else {
        return Err(unreadable(uri, "its key does not end in .tfvars, .json or .toml"));
    };
    let text = read_text(store, uri, Input::Definitions).await?;
    Ok(SourceText { path: uri.to_string(), text, syntax })
}

/// Reads and parses a fleet file that is an object.
///
/// # Errors
/// Returns [`Error::Object`], [`Error::Fleet`], or the errors of [`site_policy`], which can limit its
/// size.
pub async fn fleet_object(store: &ObjectStore, uri: &ObjectUri) -> Result<Fleet, Error> {
    let text = read_text(store, uri, Input::Configuration).await?;
    let syntax = fleet_syntax(uri.key());
    Fleet::parse(&SourceText { path: uri.to_string(), text, syntax }).map_err(Error::Fleet)
}

impl InstanceRun {
    /// Prepares the run of an instance whose fleet file is an object. Its definitions and its
    /// configuration file are objects below the prefix of the fleet file. The certificates that the
    /// configuration file names are below the working directory.
    ///
    /// # Errors
    /// Returns [`UsageError::UnknownInstance`](super::UsageError::UnknownInstance), or the error of an
    /// object.
    pub async fn of_object(
        store: &ObjectStore,
        fleet: &Fleet,
        name: &str,
        options: &FleetOptions,
    ) -> Result<Self, Error> {
        let instance = fleet_instance::instance(fleet, name)?;
        let mut config = options.config.clone();
        let mut definitions = instance.definitions.clone();
        if let Some(path) = &instance.config {
            let uri = below(path)?;
            let text = read_text(store, &uri, Input::Configuration).await?;
            config = Config::from_toml(&uri.to_string(), &text)?;
            let files = std::mem::take(&mut config.definitions.files);
            config = config.relative_to(Path::new(""));
            if definitions.is_empty() {
                let directory = path.parent().unwrap_or(&fleet.directory);
                definitions = files.iter().map(|file| directory.join(file)).collect();
            }
        }
        let mut texts = Vec::new();
        for path in &definitions {
            texts.push(read_object(store, &below(path)?).await?);
        }
        let setup = fleet_instance::setup_with(instance, config);
        let setup = if texts.is_empty() { setup } else { setup.texts(texts) };
        let run_id = fleet_instance::run_id(options);
        let options = fleet_instance::apply_options(fleet, instance, options, &run_id);
        Ok(Self { setup, options })
    }
}

/// Returns the object that a fleet file names. Its path begins with the prefix of the fleet file, unless it
/// is absolute; the type of a URI allows neither that nor a `..`, with which the path could leave the prefix.
fn below(path: &Path) -> Result<ObjectUri, Error> {
    let text = path.display().to_string();
    text.parse().map_err(|_| outside(text))
}

async fn read_text(store: &ObjectStore, uri: &ObjectUri, input: Input) -> Result<String, Error> {
    let site = site_policy()?;
    let limit = match input {
        Input::Definitions => site.definitions_limit(),
        _ => site.configuration_limit(),
    };
    let built_in = input.maximum_size();
    let maximum = limit.map_or(built_in, |limit| limit.bytes.min(built_in));
    let bytes = store.get(uri, maximum).await?;
    String::from_utf8(bytes).map_err(|_| unreadable(uri, "it is not encoded in UTF-8"))
}

fn unreadable(uri: &ObjectUri, reason: &str) -> Error {
    ObjectError::Unreadable { uri: uri.clone(), reason: reason.to_owned() }.into()
}
