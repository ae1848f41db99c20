//! Converts the keywords of a call to the options of the core.
//!
//! A keyword that is not given gets the value of the environment variable of the command's flag, such as
//! `RDSPROV_REGION`.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use pyo3::basic::CompareOp;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rdsprov_core::audit_table::{AuditTableName, AuditTableNameError};
use rdsprov_core::config::{LockTimeout, SecretTag};
use rdsprov_core::definitions::Auth;
use rdsprov_core::export::ExportFormat;
use rdsprov_core::hint::Opt;
use rdsprov_core::plan::{Finding, Hazard};
use rdsprov_core::server::{OnServerWait, WaitReason};
use rdsprov_core::session::{self, AdminAuth, ConfigText, Secrets, ServerOptions, Setup};

use crate::call::{Call, Cancellation};
use crate::errors;
use crate::event_kind::EventKind;
use crate::secrets::FromCallable;

/// Returns the value of the environment variable of an option; an empty value counts as unset.
pub fn variable(py: Python<'_>, option: &str) -> PyResult<Option<String>> {
    let Some(name) = rdsprov_cli::variable(option) else { return Ok(None) };
    environment_variable(py, &name)
}

/// Returns an environment variable from `os.environ`; an empty value counts as unset.
///
/// Rust's `std::env` does not see the changes that Python code makes to `os.environ` on every platform.
pub fn environment_variable(py: Python<'_>, name: &str) -> PyResult<Option<String>> {
    let value = py.import("os")?.getattr("environ")?.call_method1("get", (name,))?;
    Ok(value.extract::<Option<String>>()?.filter(|text| !text.is_empty()))
}

/// The keywords of one call of a function.
pub struct Keywords<'py>(pub Bound<'py, PyDict>);

impl<'py> Keywords<'py> {
    /// Returns the value of a keyword; `None` counts as not given.
    pub fn given<T: FromPyObjectOwned<'py>>(&self, name: &str) -> PyResult<Option<T>> {
        match self.0.get_item(name)? {
            None => Ok(None),
            Some(value) if value.is_none() => Ok(None),
            Some(value) => value.extract::<T>().map(Some).map_err(|error| {
                let error: PyErr = error.into();
                PyTypeError::new_err(format!("{name}: {}", error.value(self.0.py())))
            }),
        }
    }

    /// Returns a string keyword, or else its environment variable.
    pub fn text(&self, name: &str) -> PyResult<Option<String>> {
        match self.given(name)? {
            Some(text) => Ok(Some(text)),
            None => variable(self.0.py(), name),
        }
    }

    /// Returns a path keyword, or else its environment variable.
    pub fn path(&self, name: &str) -> PyResult<Option<PathBuf>> {
        match self.given(name)? {
            Some(path) => Ok(Some(path)),
            None => Ok(variable(self.0.py(), name)?.map(PathBuf::from)),
        }
    }

    /// Returns a keyword with a closed set of values, or else its environment variable.
    fn word<T: FromStr>(&self, name: &str, known: &str) -> PyResult<Option<T>> {
        let wrong = || errors::usage(self.0.py(), &format!("{name}: {known}"));
        self.text(name)?.map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    /// Returns a keyword that is `True` or `False`.
    pub fn flag(&self, name: &str) -> PyResult<bool> {
        Ok(self.given(name)?.unwrap_or_default())
    }

    /// Returns the name of the environment, or else its environment variable.
    pub fn environment(&self) -> PyResult<Option<String>> {
        match self.given("environment")? {
            Some(name) => Ok(Some(name)),
            None => variable(self.0.py(), "env"),
        }
    }

    /// Returns the approval, or else the environment variable that the command reads.
    pub fn approval(&self) -> PyResult<Option<String>> {
        match self.given("approval")? {
            Some(approval) => Ok(Some(approval)),
            None => environment_variable(self.0.py(), "ALLOW_DB_PROVISION"),
        }
    }

    /// Returns how a delegate authenticates.
    pub fn auth(&self) -> PyResult<Option<Auth>> {
        let Some(text) = self.given::<String>("auth")? else { return Ok(None) };
        let auth = Auth::all().find(|auth| auth.name() == text);
        let wrong = || errors::usage(self.0.py(), "auth: the values are password and iam");
        auth.ok_or_else(wrong).map(Some)
    }

    /// Returns the tags of new secrets.
    pub fn secret_tags(&self) -> PyResult<Vec<SecretTag>> {
        let tags: BTreeMap<String, String> = self.given("secret_tags")?.unwrap_or_default();
        let wrong = |error: String| errors::usage(self.0.py(), &format!("secret_tags: {error}"));
        tags.iter().map(|(key, value)| format!("{key}={value}").parse().map_err(wrong)).collect()
    }

    fn port(&self) -> PyResult<Option<u16>> {
        match self.given("port")? {
            Some(port) => Ok(Some(port)),
            None => {
                let wrong = |_| {
                    errors::usage(self.0.py(), "the value of `RDSPROV_PORT` is not a port number")
                };
                variable(self.0.py(), "port")?.map(|text| text.parse().map_err(wrong)).transpose()
            }
        }
    }

    /// Returns how long to wait for the lock.
    pub fn lock_timeout(&self) -> PyResult<Option<LockTimeout>> {
        self.parsed("lock_timeout")
    }

    /// Begins the call, with the keywords that all calls have.
    pub fn call(&self) -> PyResult<Arc<Call>> {
        let cancellation = self.given::<Bound<'py, Cancellation>>("cancellation")?;
        let requested = cancellation.as_ref().map(|one| one.get());
        Ok(Arc::new(Call::new(requested, self.timeout()?, self.given("on_event")?)))
    }

    /// Returns how long the call may take.
    fn timeout(&self) -> PyResult<Option<Duration>> {
        let Some(seconds) = self.given::<f64>("timeout")? else { return Ok(None) };
        let timeout = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        let wrong =
            || errors::usage(self.0.py(), "timeout: the value is a number of seconds above 0");
        timeout.ok_or_else(wrong).map(Some)
    }

    /// Returns the value of a text, or of a number such as seconds.
    pub fn parsed<T: FromStr<Err = String>>(&self, name: &str) -> PyResult<Option<T>> {
        let text = match self.given::<Bound<'py, PyAny>>(name)? {
            Some(value) => Some(value.str()?.to_string()),
            None => variable(self.0.py(), name)?,
        };
        let wrong = |error: String| errors::usage(self.0.py(), &format!("{name}: {error}"));
        text.map(|text| text.parse().map_err(wrong)).transpose()
    }

    /// Returns the audit table.
    fn audit_table(&self) -> PyResult<Option<AuditTableName>> {
        let wrong = |error: AuditTableNameError| {
            errors::usage(self.0.py(), &format!("audit_table: {error}"))
        };
        self.text("audit_table")?.map(|text| text.parse().map_err(wrong)).transpose()
    }

    /// Returns the hazards that `allow` lists.
    pub fn allow(&self) -> PyResult<Vec<Hazard>> {
        let names: Vec<String> = self.given("allow")?.unwrap_or_default();
        let hazard = |name: String| {
            name.parse().map_err(|error: String| {
                errors::usage(self.0.py(), &format!("allow: {name:?}: {error}"))
            })
        };
        names.into_iter().map(hazard).collect()
    }

    /// Returns the applications that `only` lists.
    pub fn only(&self) -> PyResult<Vec<String>> {
        Ok(self.given("only")?.unwrap_or_default())
    }

    /// Returns the findings that `fail_on` lists.
    pub fn fail_on(&self) -> PyResult<Vec<Finding>> {
        let names: Vec<String> = self.given("fail_on")?.unwrap_or_default();
        let finding = |name: String| {
            name.parse().map_err(|error: String| {
                errors::usage(self.0.py(), &format!("fail_on: {name:?}: {error}"))
            })
        };
        names.into_iter().map(finding).collect()
    }

    /// Returns the environment, the applications in `adopt`, and the text of the file that `config` names.
    pub fn reading(&self) -> PyResult<(Option<String>, Vec<String>, Option<ConfigText>)> {
        let environment = self.environment()?;
        let adopt = self.given("adopt")?.unwrap_or_default();
        let config: Option<PathBuf> = self.given("config")?;
        let config = match config {
            Some(path) => ConfigText::read(Some(&path))
                .map_err(|error| errors::to_exception(self.0.py(), &error))?,
            None => None,
        };
        Ok((environment, adopt, config))
    }

    /// Returns the keywords of `plan` that `apply` needs again: the others are in the definitions.
    pub fn of_plan(&self) -> PyResult<Py<PyDict>> {
        let kept = self.0.copy()?;
        for folded in ["environment", "adopt", "config"] {
            kept.set_item(folded, self.0.py().None())?;
        }
        for of_call in ["cancellation", "timeout", "on_event"] {
            kept.set_item(of_call, self.0.py().None())?;
        }
        kept.set_item("build_id", self.text("build_id")?)?;
        Ok(kept.unbind())
    }

    /// Returns the setup of an operation that reads no definitions.
    pub fn setup_without_definitions(&self) -> PyResult<Setup> {
        let to_exception = |error| errors::to_exception(self.0.py(), &error);
        let config = self.path("config")?;
        let config = session::config(config.as_deref()).map_err(to_exception)?;
        let mut builder = Setup::builder().config(config);
        if let Some(environment) = self.reading()?.0 {
            builder = builder.environment(environment);
        }
        builder.without_definitions().build().map_err(to_exception)
    }

    /// Returns the format of exported definitions.
    pub fn export_format(&self) -> PyResult<ExportFormat> {
        // The variable of the flag is about plans and reports.
        let Some(text) = self.given::<String>("format")? else {
            return Ok(ExportFormat::default());
        };
        let wrong = |_| errors::usage(self.0.py(), "format: the formats are `tfvars` and `toml`");
        text.parse().map_err(wrong)
    }

    fn secrets(&self, call: &Arc<Call>) -> PyResult<Secrets> {
        let py = self.0.py();
        if let Some(given) = self.given::<Bound<'py, PyAny>>("secrets")?
            && !given.is_instance_of::<PyString>()
        {
            if !given.is_callable() {
                return Err(PyTypeError::new_err(
                    "secrets must be \"aws\", \"file:DIR\", or a callable that takes the id of a secret and returns a mapping",
                ));
            }
            let callable = FromCallable { callable: given.unbind(), call: call.clone() };
            return Ok(Secrets::Own(Arc::new(callable)));
        }
        let text = self.text("secrets")?;
        text.map_or_else(|| Ok(Secrets::default()), |text| text.parse())
            .map_err(|error: String| errors::usage(py, &format!("secrets: {error}")))
    }

    /// Returns the options of plans whose values come from environment variables, with the names of
    /// the variables.
    fn variables(&self) -> PyResult<BTreeMap<Opt, String>> {
        let mut variables = BTreeMap::new();
        for option in [
            Opt::AdminSecret,
            Opt::AdminUser,
            Opt::CaFile,
            Opt::ConnectTo,
            Opt::Host,
            Opt::Port,
            Opt::Tls,
        ] {
            let keyword = option.name().replace('-', "_");
            let is_given = self.given::<Bound<'py, PyAny>>(&keyword)?.is_some();
            if !is_given
                && variable(self.0.py(), &keyword)?.is_some()
                && let Some(name) = rdsprov_cli::variable(&keyword)
            {
                variables.insert(option, name);
            }
        }
        Ok(variables)
    }

    /// Returns the options that concern the server and its secrets.
    pub fn server(&self, call: &Arc<Call>) -> PyResult<ServerOptions> {
        let mut options = ServerOptions::default();
        options.secrets = self.secrets(call)?;
        options.admin_secret = self.text("admin_secret")?;
        options.admin_auth = match self.text("admin_auth")?.as_deref() {
            None | Some("password") => AdminAuth::Password,
            Some("iam") => AdminAuth::Iam,
            Some(_) => {
                let message = "admin_auth: the values are password and iam";
                return Err(errors::usage(self.0.py(), message));
            }
        };
        options.admin_user = self.text("admin_user")?;
        options.secret_stage =
            self.word("secret_stage", "the stages are AWSCURRENT and AWSPENDING")?;
        options.region = self.text("region")?;
        options.overrides.host = self.text("host")?;
        options.overrides.port = self.port()?;
        options.overrides.database = self.text("dbname")?;
        options.overrides.connect_to = self.parsed("connect_to")?;
        options.overrides.connect_timeout = self.parsed("connect_timeout")?;
        options.overrides.statement_timeout = self.parsed("statement_timeout")?;
        options.overrides.observation_timeout = self.parsed("observation_timeout")?;
        options.overrides.max_connections = self.parsed("max_connections")?;
        let of_call = call.clone();
        options.overrides.on_wait = OnServerWait::new(move |wait| {
            let kind = match wait.reason {
                WaitReason::Login(_) => EventKind::WaitingForLogin,
                _ => EventKind::WaitingForServer,
            };
            of_call.warn(kind, &wait.to_string());
        });
        options.tls.mode = self.word("tls", "the modes are verify-full, require and disable")?;
        options.tls.ca_file = self.path("ca_file")?.map(Into::into);
        options.tls.client_cert = self.path("client_cert")?;
        options.tls.client_key = self.path("client_key")?;
        options.verify_passwords =
            self.word("verify_passwords", "the values are login, never and always-set")?;
        options.build_id = self.text("build_id")?;
        options.allow = self.allow()?;
        options.adopt_from = self.given("adopt_from")?;
        options.only = self.only()?;
        options.additive = self.flag("additive")?;
        options.audit_table = self.audit_table()?;
        options.strict = self.given("strict")?.unwrap_or_default();
        options.variables = self.variables()?;
        Ok(options)
    }
}

/// Returns a function of this module, by which `pickle` restores an object.
pub fn restore_function<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("rdsprov._rdsprov")?.getattr(name)
}

/// Implements `==` and `!=`. `same` is `None` for another type; other comparisons are not implemented.
pub fn equality(py: Python<'_>, op: CompareOp, same: Option<bool>) -> PyResult<Py<PyAny>> {
    let answer = match (op, same) {
        (CompareOp::Eq, Some(same)) => same,
        (CompareOp::Ne, Some(same)) => !same,
        _ => return Ok(py.NotImplemented()),
    };
    Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
}

/// Returns the hash of a text, for `__hash__`.
pub fn hash_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
