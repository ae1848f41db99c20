//! Keywords as the core takes them. What is not given, the command's variable says (`RDSPROV_REGION` and its
//! like), under the command's own names.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use pyo3::basic::CompareOp;
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rdsprov_core::config::TlsSection;
use rdsprov_core::plan::Hazard;
use rdsprov_core::server::ConnectionOverrides;
use rdsprov_core::session::{AdminAuth, ConfigText, Secrets, ServerOptions};

use crate::errors;
use crate::secrets::FromCallable;
use crate::wait::PendingException;

/// What the environment says of an option of the command; nothing where the variable is empty.
pub fn variable(py: Python<'_>, option: &str) -> PyResult<Option<String>> {
    let Some(name) = rdsprov_cli::variable(option) else { return Ok(None) };
    environment_variable(py, &name)
}

/// A variable, as Python sees it.
pub fn environment_variable(py: Python<'_>, name: &str) -> PyResult<Option<String>> {
    let value = py.import("os")?.getattr("environ")?.call_method1("get", (name,))?;
    Ok(value.extract::<Option<String>>()?.filter(|text| !text.is_empty()))
}

/// The keywords of one call.
pub struct Keywords<'py>(pub Bound<'py, PyDict>);

impl<'py> Keywords<'py> {
    /// One keyword; `None` is not given.
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

    /// A text, else its variable.
    pub fn text(&self, name: &str) -> PyResult<Option<String>> {
        match self.given(name)? {
            Some(text) => Ok(Some(text)),
            None => variable(self.0.py(), name),
        }
    }

    /// A path, else its variable.
    pub fn path(&self, name: &str) -> PyResult<Option<PathBuf>> {
        match self.given(name)? {
            Some(path) => Ok(Some(path)),
            None => Ok(variable(self.0.py(), name)?.map(PathBuf::from)),
        }
    }

    /// A word of a closed set, else its variable.
    fn word<T: FromStr>(&self, name: &str, known: &str) -> PyResult<Option<T>> {
        let wrong = || errors::usage(self.0.py(), &format!("{name}: {known}"));
        self.text(name)?.map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    fn port(&self) -> PyResult<Option<u16>> {
        match self.given("port")? {
            Some(port) => Ok(Some(port)),
            None => {
                let wrong = |_| errors::usage(self.0.py(), "RDSPROV_PORT is no port number");
                variable(self.0.py(), "port")?.map(|text| text.parse().map_err(wrong)).transpose()
            }
        }
    }

    /// The hazards that are allowed.
    pub fn allow(&self) -> PyResult<Vec<Hazard>> {
        let names: Vec<String> = self.given("allow")?.unwrap_or_default();
        let hazard = |name: String| {
            name.parse().map_err(|error: String| {
                errors::usage(self.0.py(), &format!("allow: {name:?}: {error}"))
            })
        };
        names.into_iter().map(hazard).collect()
    }

    /// The environment, the applications that adopt, and the text of `rdsprov.toml`, where one is named here.
    pub fn reading(&self) -> PyResult<(Option<String>, Vec<String>, Option<ConfigText>)> {
        let environment = match self.given("environment")? {
            Some(name) => Some(name),
            None => variable(self.0.py(), "env")?,
        };
        let adopt = self.given("adopt")?.unwrap_or_default();
        let config: Option<PathBuf> = self.given("config")?;
        let config = match config {
            Some(path) => ConfigText::read(Some(&path))
                .map_err(|error| errors::to_exception(self.0.py(), &error))?,
            None => None,
        };
        Ok((environment, adopt, config))
    }

    fn secrets(&self, pending: &Arc<PendingException>) -> PyResult<Secrets> {
        let py = self.0.py();
        if let Some(given) = self.given::<Bound<'py, PyAny>>("secrets")?
            && !given.is_instance_of::<PyString>()
        {
            if !given.is_callable() {
                return Err(PyTypeError::new_err(
                    "secrets: it is \"aws\", \"file:DIR\", or a callable that takes a secret's id and returns a mapping",
                ));
            }
            let callable = FromCallable { callable: given.unbind(), pending: pending.clone() };
            return Ok(Secrets::Own(Arc::new(callable)));
        }
        let text = self.text("secrets")?;
        text.map_or_else(|| Ok(Secrets::default()), |text| text.parse())
            .map_err(|error: String| errors::usage(py, &error))
    }

    /// What is said of server and secrets.
    pub fn server(&self, pending: &Arc<PendingException>) -> PyResult<ServerOptions> {
        Ok(ServerOptions {
            secrets: self.secrets(pending)?,
            admin_secret: self.text("admin_secret")?,
            admin_auth: match self.text("admin_auth")?.as_deref() {
                None | Some("password") => AdminAuth::Password,
                Some("iam") => AdminAuth::Iam,
                Some(_) => {
                    let message = "admin_auth: the ways are password and iam";
                    return Err(errors::usage(self.0.py(), message));
                }
            },
            admin_user: self.text("admin_user")?,
            secret_stage: self.word("secret_stage", "the stages are AWSCURRENT and AWSPENDING")?,
            region: self.text("region")?,
            overrides: ConnectionOverrides {
                host: self.text("host")?,
                port: self.port()?,
                database: self.text("dbname")?,
            },
            tls: TlsSection {
                mode: self.word("tls", "the modes are verify-full, require and disable")?,
                ca_file: self.path("ca_file")?.map(Into::into),
                client_cert: self.path("client_cert")?,
                client_key: self.path("client_key")?,
            },
            verify_passwords: self
                .word("verify_passwords", "the ways are login, never and always-set")?,
            build_id: self.text("build_id")?,
            allow: self.allow()?,
        })
    }
}

/// A function of this module, for pickle.
pub fn own<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("rdsprov._rdsprov")?.getattr(name)
}

/// `==` and `!=`; nothing else is known, nor what another type is.
pub fn equality(py: Python<'_>, op: CompareOp, same: Option<bool>) -> PyResult<Py<PyAny>> {
    let answer = match (op, same) {
        (CompareOp::Eq, Some(same)) => same,
        (CompareOp::Ne, Some(same)) => !same,
        _ => return Ok(py.NotImplemented()),
    };
    Ok(answer.into_pyobject(py)?.to_owned().into_any().unbind())
}

pub fn hash_text(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
