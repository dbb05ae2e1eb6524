//! The readers, one for each product, and which of them a file is for.

mod alb;
mod apache;
mod caddy;
mod data;
mod detect;
pub mod directive;
mod envoy;
mod gateway;
mod haproxy;
mod ingress;
mod nginx;
mod traefik;

use std::path::Path;

pub use self::{
    detect::detect,
    nginx::{files::part as nginx_part, parse_version},
};

use self::directive::{Source, SyntaxError};
use super::model::{Product, Reading};

/// What the user says of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The version of nginx.
    pub nginx_version: Option<[u32; 3]>,
    /// The name that clients use, for products that do not say it.
    pub host: Option<String>,
    /// Whether a hop in front of the proxy ends TLS.
    pub tls_in_front: bool,
}

impl Options {
    /// The name in the samples, for products that do not say it.
    fn name(&self) -> &str {
        self.host.as_deref().unwrap_or("app.example.com")
    }
}

/// The files that an `include` may name.
pub trait Disk {
    /// The text of a file; none when it cannot be read or is too large.
    fn read(&self, name: &str) -> Option<String>;
    /// The files that a name or a pattern means; none when there cannot be any: the folder or the file is not there.
    fn matching(&self, pattern: &str) -> Option<Vec<String>>;
}

/// No files: for texts of which nothing else is known.
#[derive(Clone, Copy, Debug)]
pub struct NoDisk;

impl Disk for NoDisk {
    fn read(&self, _: &str) -> Option<String> {
        None
    }

    fn matching(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

/// A file of more bytes is not read.
pub const MAX_FILE: u64 = 8 * 1024 * 1024;
/// A pattern stands for at most so many files.
const MAX_MATCHES: usize = 1000;

/// This host's files.
#[derive(Clone, Copy, Debug)]
pub struct Here;

impl Disk for Here {
    fn read(&self, name: &str) -> Option<String> {
        let size = std::fs::metadata(name).ok()?.len();
        let bytes = (size <= MAX_FILE).then(|| std::fs::read(name).ok())??;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn matching(&self, pattern: &str) -> Option<Vec<String>> {
        if !pattern.contains(['*', '?']) {
            return Path::new(pattern).is_file().then(|| vec![pattern.to_owned()]);
        }
        // A pattern in a folder's name: every folder that fits.
        let path = Path::new(pattern);
        let parent = path.parent()?.to_str()?;
        let name = path.file_name()?.to_str()?;
        let folders = if parent.contains(['*', '?']) {
            Self::folders(parent)?
        } else {
            Path::new(parent).is_dir().then(|| vec![parent.to_owned()])?
        };
        let mut found: Vec<String> = Vec::new();
        for folder in folders {
            for entry in std::fs::read_dir(folder).ok()?.flatten() {
                let fits =
                    entry.file_name().to_str().is_some_and(|file| directive::glob(name, file));
                if fits && entry.path().is_file() && found.len() < MAX_MATCHES {
                    found.push(entry.path().display().to_string());
                }
            }
        }
        found.sort();
        Some(found)
    }
}

impl Here {
    fn folders(pattern: &str) -> Option<Vec<String>> {
        let path = Path::new(pattern);
        let (parent, name) = (path.parent()?, path.file_name()?.to_str()?);
        let entries = std::fs::read_dir(parent).ok()?.flatten();
        let fitting = entries.filter(|entry| {
            entry.file_name().to_str().is_some_and(|file| directive::glob(name, file))
                && entry.path().is_dir()
        });
        Some(fitting.take(MAX_MATCHES).map(|entry| entry.path().display().to_string()).collect())
    }
}

/// The routes of files that are one configuration of `product`.
pub fn read(
    product: Product,
    sources: &[Source],
    disk: &dyn Disk,
    options: &Options,
) -> Result<Reading, SyntaxError> {
    match product {
        Product::Nginx => nginx::read(sources, disk, options),
        Product::Haproxy => haproxy::read(sources, options),
        Product::Apache => apache::read(sources, disk, options),
        Product::Caddy => caddy::read(sources),
        Product::IngressNginx => ingress::read(sources),
        Product::GatewayApi => gateway::read(sources),
        Product::Traefik => traefik::read(sources, options),
        Product::Envoy => envoy::read(sources, options),
        Product::Alb => alb::read(sources),
    }
}
