//! A bucket of S3, which the same server of moto has as the Secrets Manager.

use ureq::Agent;
use ureq::Body;
use ureq::http::{Response, header::AUTHORIZATION};

use crate::secrets_manager::{REGION, signature};
use crate::{Error, SecretsManager};

/// A bucket with objects.
pub struct Bucket {
    /// The URL of the bucket.
    url: String,
    agent: Agent,
}

impl Bucket {
    /// Creates a bucket without objects.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn create(manager: &SecretsManager, name: &str) -> Result<Self, Error> {
        let direct = Agent::config_builder().proxy(None).http_status_as_error(false).build();
        let url = format!("http://127.0.0.1:{}/{name}", manager.port());
        let bucket = Self { url, agent: direct.into() };
        let region = format!(
            "<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>\
             </CreateBucketConfiguration>"
        );
        let request = bucket.agent.put(&bucket.url).header(AUTHORIZATION, signature("s3"));
        let created = request.send(region);
        bucket.succeeded("CreateBucket", created)?;
        Ok(bucket)
    }

    fn succeeded(
        &self,
        operation: &str,
        response: Result<Response<Body>, ureq::Error>,
    ) -> Result<String, Error> {
        let failed =
            |output| Error::Program { program: format!("moto_server {operation}"), output };
        let mut response = response.map_err(|error| failed(error.to_string()))?;
        let body = response.body_mut().read_to_string();
        let body = body.map_err(|error| failed(error.to_string()))?;
        if response.status().is_success() { Ok(body) } else { Err(failed(body)) }
    }

    /// Writes an object.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn put(&self, key: &str, text: &str) -> Result<(), Error> {
        let response = self
            .agent
            .put(format!("{}/{key}", self.url))
            .header(AUTHORIZATION, signature("s3"))
            .send(text);
        self.succeeded("PutObject", response).map(drop)
    }

    /// Returns the text of an object.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn get(&self, key: &str) -> Result<String, Error> {
        let url = format!("{}/{key}", self.url);
        let response = self.agent.get(url).header(AUTHORIZATION, signature("s3")).call();
        self.succeeded("GetObject", response)
    }

    /// Returns the keys of all objects that begin with a prefix, in order.
    ///
    /// # Errors
    /// Returns the error of the service.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let url = format!("{}?list-type=2&prefix={prefix}", self.url);
        let list = self.agent.get(url).header(AUTHORIZATION, signature("s3")).call();
        let text = self.succeeded("ListObjectsV2", list)?;
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        Ok(keys.map(str::to_owned).collect())
    }
}
