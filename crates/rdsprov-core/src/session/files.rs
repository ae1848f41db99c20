//! Reads the definitions files, `rdsprov.toml` and the site policy.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::error::Error;
use super::unreadable::Unreadable;
use crate::config::Config;
use crate::definitions::{DefinitionError, DefinitionErrors, Mode, Rules, SourceText, Syntax};
use crate::fleet::Fleet;
use crate::input_file::{self, Input};
use crate::name::nearest;
use crate::site_policy::SitePolicy;
use crate::text::os_reason;

/// The configuration file that is read if the caller names none.
const DEFAULT_CONFIG: &str = "rdsprov.toml";

/// The options for the definitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefinitionOptions {
    /// The environment. If the definitions also contain one, both must be equal.
    pub environment: Option<String>,
    /// The mode, which is required if the definitions contain both modes.
    pub mode: Option<Mode>,
    /// The keys of the applications that adopt existing roles and databases.
    pub adopt: Vec<String>,
    /// Whether the files were found in the working directory: see [`find_definitions`]. They must be below
    /// it, and only one of them can declare applications.
    pub found: bool,
}

/// A configuration file that is read but not parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigText {
    /// The path of the file. Paths in the file are relative to its directory.
    pub path: PathBuf,
    /// The content of the file.
    pub text: String,
}

impl ConfigText {
    /// Reads the given file, or else `rdsprov.toml` in the working directory if it exists.
    ///
    /// # Errors
    /// Returns [`Error::ConfigUnreadable`] if the file cannot be read, [`Error::ConfigOutside`]
    /// if `rdsprov.toml` is a symbolic link to a file outside the working directory, and the errors
    /// of [`site_policy`], which can limit its size.
    pub fn read(path: Option<&Path>) -> Result<Option<Self>, Error> {
        let default = Path::new(DEFAULT_CONFIG);
        let path = match path {
            Some(path) => path,
            None if default.symlink_metadata().is_ok() => {
                if leaves(default, Path::new("")) {
                    return Err(Error::ConfigOutside { path: default.to_owned() });
                }
                default
            }
            None => return Ok(None),
        };
        let limit = site_policy()?.configuration_limit();
        let text = input_file::read_text_within(path, Input::Configuration, limit.as_ref())
            .map_err(|source| Error::ConfigUnreadable { path: path.to_owned(), source })?;
        Ok(Some(Self { path: path.to_owned(), text }))
    }

    /// Parses the content, and makes its paths relative to the directory of the file.
    ///
    /// # Errors
    /// Returns [`Error::Config`] if the content is invalid.
    pub fn parse(&self) -> Result<Config, Error> {
        let config = Config::from_toml(&self.path.display().to_string(), &self.text)?;
        Ok(config.relative_to(self.path.parent().unwrap_or(Path::new(""))))
    }
}

/// Reads and parses the configuration: the given file, or else `rdsprov.toml` in the working
/// directory if it exists.
///
/// # Errors
/// Returns the errors of [`ConfigText::read`], or [`Error::Config`].
pub fn config(path: Option<&Path>) -> Result<Config, Error> {
    ConfigText::read(path)?.map_or_else(|| Ok(Config::default()), |text| text.parse())
}

/// The policy file of a machine, which applies if it exists.
pub(super) const MACHINE_POLICY: &str = "/etc/rdsprov/policy.toml";

/// The environment variable that names another policy file, which applies as well.
pub(super) const POLICY_VARIABLE: &str = "RDSPROV_POLICY";

/// Reads and parses a fleet file: TOML, or JSON in a file `*.json`.
///
/// # Errors
/// Returns [`Error::ConfigUnreadable`], [`Error::Fleet`] with all errors of the file, or the errors of
/// [`site_policy`], which can limit its size.
pub fn fleet(path: &Path) -> Result<Fleet, Error> {
    let limit = site_policy()?.configuration_limit();
    let text = input_file::read_text_within(path, Input::Configuration, limit.as_ref())
        .map_err(|source| Error::ConfigUnreadable { path: path.to_owned(), source })?;
    let path = path.display().to_string();
    let syntax = fleet_syntax(&path);
    Fleet::parse(&SourceText { path, text, syntax }).map_err(Error::Fleet)
}

/// Reads and parses a fleet file that must be below the working directory.
///
/// # Errors
/// Returns [`Error::Unreadable`] for a file elsewhere, and the errors of [`fleet`].
pub fn packaged_fleet(path: &Path) -> Result<Fleet, Error> {
    if leaves(path, Path::new("")) {
        return Err(outside(path.display().to_string()));
    }
    fleet(path)
}

/// Returns the error of a file that is not below the directory of the file that names it.
pub(super) fn outside(path: String) -> Error {
    let others = DefinitionErrors::new(Vec::new(), 0);
    Error::Unreadable { files: vec![Unreadable::Outside { path }], others }
}

/// Returns the syntax of a fleet file with a path.
pub(super) fn fleet_syntax(path: &str) -> Syntax {
    Syntax::from_path(path).filter(|syntax| *syntax == Syntax::Json).unwrap_or(Syntax::Toml)
}

/// Reads the site policy: `/etc/rdsprov/policy.toml` if it exists, and the file that the environment
/// variable `RDSPROV_POLICY` names. A run must satisfy both.
///
/// # Errors
/// Returns [`Error::ConfigUnreadable`] or [`Error::Config`].
pub fn site_policy() -> Result<SitePolicy, Error> {
    let named = std::env::var_os(POLICY_VARIABLE).filter(|path| !path.is_empty());
    site_policy_of(Path::new(MACHINE_POLICY), named)
}

/// Reads the policy file of the machine if it exists, and the one that the caller names.
fn site_policy_of(machine: &Path, named: Option<OsString>) -> Result<SitePolicy, Error> {
    let read = |path: PathBuf| match input_file::read_text(&path, Input::Configuration) {
        Ok(text) => Ok(SitePolicy::from_toml(&path.display().to_string(), &text)?),
        Err(source) => Err(Error::ConfigUnreadable { path, source }),
    };
    let machine = match read(machine.to_owned()) {
        // A link without a target, such as a volume that is not mounted, does not count as absent.
        Err(Error::ConfigUnreadable { path, source })
            if source.kind() == ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            SitePolicy::default()
        }
        policy => policy?,
    };
    match named {
        Some(path) => Ok(machine.and(read(path.into())?)),
        None => Ok(machine),
    }
}

/// Returns the files with variables that Terraform itself reads in a directory, in its order:
/// `terraform.tfvars`, `terraform.tfvars.json`, and then `*.auto.tfvars` and `*.auto.tfvars.json`. There are
/// none if the directory cannot be read.
#[must_use]
pub fn find_definitions(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<OsString> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    // Terraform reads also files whose names are not UTF-8.
    let is_automatic = |name: &OsString| {
        let name = name.as_encoded_bytes();
        name.ends_with(b".auto.tfvars") || name.ends_with(b".auto.tfvars.json")
    };
    let first = ["terraform.tfvars", "terraform.tfvars.json"].map(OsString::from);
    let first: Vec<OsString> = first.into_iter().filter(|name| names.contains(name)).collect();
    names.retain(is_automatic);
    names.sort();
    first.into_iter().chain(names).map(PathBuf::from).collect()
}

/// Reads the definitions files: the given ones, or else those in `rdsprov.toml`.
///
/// # Errors
/// Returns [`Error::NoDefinitions`] if no file is given, and the errors of [`site_policy`], which can
/// limit their size. If a file cannot be read, returns [`Error::Unreadable`], which also contains all
/// errors of the other files.
pub fn read(
    files: &[PathBuf],
    config: &Config,
    options: &DefinitionOptions,
) -> Result<Vec<SourceText>, Error> {
    read_within(files, None, config, options, &site_policy()?)
}

/// Reads the definitions files as [`read`] does, within the limits of a site policy. `below` is the
/// directory that must contain the given files.
pub(super) fn read_within(
    files: &[PathBuf],
    below: Option<&Path>,
    config: &Config,
    options: &DefinitionOptions,
    site: &SitePolicy,
) -> Result<Vec<SourceText>, Error> {
    let limit = site.definitions_limit();
    let configured: Vec<PathBuf> = config.definitions.files.iter().map(PathBuf::from).collect();
    // The caller may name any file, but a configuration file only files below its directory: it can
    // come from a repository whose authors may not read the other files of this machine.
    let below = if options.found { Some(Path::new("")) } else { below };
    let (files, directory) = match files {
        [] => (&configured[..], config.directory.as_deref()),
        given => (given, below),
    };
    if files.is_empty() {
        return Err(Error::NoDefinitions);
    }
    let mut sources: Vec<SourceText> = Vec::new();
    let mut unreadable = Vec::new();
    let mut errors = Vec::new();
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
        if directory.is_some_and(|directory| leaves(file, directory)) {
            unreadable.push(Unreadable::Outside { path });
            continue;
        }
        let bytes = input_file::read_within(file, Input::Definitions, limit.as_ref());
        match bytes.map(|bytes| String::from_utf8(bytes.to_vec())) {
            Ok(Ok(text)) => sources.push(SourceText { path, text, syntax }),
            Ok(Err(error)) => errors.push(DefinitionError::not_utf8(&path, &error)),
            Err(error) => unreadable.push(Unreadable::System {
                path,
                reason: os_reason(&error),
                similar: similar_file(file),
            }),
        }
    }
    if unreadable.is_empty() && errors.is_empty() {
        return Ok(sources);
    }
    let partial = DefinitionErrors::partial(&sources, &rules(config, options));
    errors.extend(partial.errors);
    let others = DefinitionErrors::new(errors, partial.omitted);
    Err(if unreadable.is_empty() {
        others.into()
    } else {
        Error::Unreadable { files: unreadable, others }
    })
}

/// Returns whether a path leads out of a directory, directly or through a symbolic link. The file, and
/// directories above it, need not exist.
pub(super) fn leaves(path: &Path, directory: &Path) -> bool {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let (Ok(path), Ok(directory)) = (std::path::absolute(path), directory.canonicalize()) else {
        return true;
    };
    for existing in path.ancestors() {
        if let Ok(found) = existing.canonicalize() {
            // A directory that does not exist can be created before a `..` behind it is resolved.
            let created = path.strip_prefix(existing).unwrap_or(Path::new(""));
            let is_below = |part| matches!(part, Component::Normal(_));
            return !found.starts_with(&directory) || !created.components().all(is_below);
        }
        if existing.symlink_metadata().is_ok() {
            // A link without a target: another program can create the target at any time.
            return true;
        }
    }
    true
}

/// Returns whether a file that is not a saved plan looks like definitions.
pub(super) fn is_definitions(path: &Path, text: &str) -> bool {
    match Syntax::from_path(&path.display().to_string()) {
        Some(Syntax::Json) => text.contains("application_databases"),
        Some(Syntax::Hcl | Syntax::Toml) => true,
        None => false,
    }
}

/// Returns the definitions file in the same directory with the most similar name, if a file does not
/// exist.
fn similar_file(file: &Path) -> Option<String> {
    if file.exists() {
        return None;
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = std::fs::read_dir(directory.unwrap_or(Path::new("."))).ok()?;
    let names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Syntax::from_path(name).is_some())
        .collect();
    let name = nearest(file.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(file.with_file_name(name).display().to_string())
}

/// Returns the rules for definitions: options take precedence over `rdsprov.toml`.
pub(super) fn rules(config: &Config, options: &DefinitionOptions) -> Rules {
    let rules = config.rules();
    Rules {
        mode: options.mode.or(rules.mode),
        environment: options.environment.clone(),
        one_declaration: options.found,
        ..rules
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::TlsMode;

    /// A mount over its directory would replace the policy that is in the image by the files of a team.
    #[test]
    fn no_manifest_mounts_over_the_site_policy() {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let (mut paths, mut mounts) = (vec![deploy], 0);
        while let Some(path) = paths.pop() {
            if path.is_dir() {
                paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            for (_, target) in text.lines().filter_map(|line| line.split_once("mountPath:")) {
                let target = target.trim_start().split([',', '}', ' ']).next().unwrap();
                let target = target.trim_matches('"').trim_end_matches('/');
                assert!(target.starts_with('/'), "{}: {target}", path.display());
                let hides = Path::new(MACHINE_POLICY).starts_with(target);
                assert!(!hides, "{}: {target} hides {MACHINE_POLICY}", path.display());
                mounts += 1;
            }
        }
        assert!(mounts > 4, "{mounts}");
    }

    #[test]
    fn paths_that_leave_a_directory() {
        let outside = tempfile::tempdir().unwrap();
        let directory = outside.path().join("repository");
        fs::create_dir_all(directory.join("records")).unwrap();
        fs::create_dir(outside.path().join("repository-2")).unwrap();
        fs::write(outside.path().join("file"), "").unwrap();
        fs::write(directory.join("file"), "").unwrap();
        symlink("../file", directory.join("link")).unwrap();
        symlink("..", directory.join("up")).unwrap();
        symlink("records", directory.join("inside")).unwrap();
        symlink("../absent", directory.join("dangling")).unwrap();
        for path in ["file", "absent", "records/new/file", "inside/new", "records/../file"] {
            assert!(!leaves(&directory.join(path), &directory), "{path}");
        }
        for path in [
            "../file",
            "../absent",
            "../repository-2/new",
            "link",
            "up/file",
            "up/new/file",
            "inside/../../file",
            "records/../../absent",
            "absent/../../file",
            "absent/../file",
            "/dev/null",
        ] {
            assert!(leaves(&directory.join(path), &directory), "{path}");
        }
        // Its target can be created after the check.
        assert!(leaves(&directory.join("dangling/file"), &directory));
        assert!(leaves(&directory, &outside.path().join("absent")));
    }

    #[test]
    fn policy_of_the_machine_and_the_named_one_apply() {
        let directory = tempfile::tempdir().unwrap();
        let (machine, named) = (directory.path().join("machine"), directory.path().join("named"));
        let requires = |policy: Result<SitePolicy, Error>, mode| policy.unwrap().check_tls(mode);
        let policy = |named: Option<&Path>| site_policy_of(&machine, named.map(Into::into));
        assert!(requires(policy(None), TlsMode::Disable).is_ok());
        assert!(policy(Some(&named)).is_err(), "a file that is named must exist");
        fs::write(&machine, "[tls]\nmode = \"require\"").unwrap();
        assert!(requires(policy(None), TlsMode::Disable).is_err());
        // The named one can only be stricter.
        fs::write(&named, "[tls]\nmode = \"disable\"").unwrap();
        assert!(requires(policy(Some(&named)), TlsMode::Disable).is_err());
        assert!(requires(policy(Some(&named)), TlsMode::Require).is_ok());
        fs::write(&named, "[tls]\nmode = \"verify-full\"").unwrap();
        assert!(requires(policy(Some(&named)), TlsMode::Require).is_err());
        fs::write(&machine, "[tls]\nmod = 1").unwrap();
        assert!(policy(None).is_err());
        // A volume that is not mounted does not remove the policy.
        fs::remove_file(&machine).unwrap();
        symlink("absent", &machine).unwrap();
        assert!(matches!(policy(None), Err(Error::ConfigUnreadable { .. })));
    }
}
