//! What arrives behind the chain: seen by a backend of our own, or by the agent on the real backend's node.

mod agent;
mod backend;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::sync::{Mutex, Notify};

pub use agent::watch;
pub use backend::listen;

/// At most so many arrived requests are kept: more than an audit makes.
const MAX_ARRIVED: usize = 256;

/// A request as it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The target of the request line; without its query when the agent saw it.
    pub target: String,
    /// `GET` from whoever speaks HTTP/1.1.
    pub method: String,
    /// Whether it is HTTP/1.1 and not 1.0.
    pub http11: bool,
    /// Name, as it came, and value of each field, in order.
    pub fields: Vec<(String, String)>,
    /// Everything that came is here; else only what the agent may tell: no query, no names of cookies.
    pub complete: bool,
    /// When, as a text that sorts; empty when only one leg can be seen.
    pub at: String,
}

impl Arrived {
    /// The values of all fields called `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        let named = self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// The values of all fields called `name`, joined as one list; `None` when there is none.
    pub fn joined(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.all(name).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// The elements of the lists called `name` (RFC 9110 section 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|e| !e.is_empty())
    }

    /// Whether the list `name` has this token, compared without case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token))
    }
}

/// Where arrived requests are put and looked for, by mark and by key.
#[derive(Clone, Default)]
pub struct Arrivals {
    shared: Arc<Mutex<HashMap<String, Arrived>>>,
    news: Arc<Notify>,
}

impl Arrivals {
    /// Puts a request under each of its names; when there is no room it is not kept. Of several legs the last one stays.
    async fn put(&self, names: impl IntoIterator<Item = String>, arrived: &Arrived) {
        let mut shared = self.shared.lock().await;
        for name in names {
            let is_later = shared.get(&name).map(|before| before.at < arrived.at);
            if is_later.unwrap_or(shared.len() < MAX_ARRIVED) {
                shared.insert(name, arrived.clone());
            }
        }
        drop(shared);
        self.news.notify_waiters();
    }

    /// The request with one of these names, as soon as it is there, for at most so long.
    pub async fn find(&self, names: &[&str], patience: Duration) -> Option<Arrived> {
        let looking = async {
            loop {
                let news = self.news.notified();
                let shared = self.shared.lock().await;
                if let Some(found) = names.iter().find_map(|name| shared.get(*name)) {
                    return found.clone();
                }
                drop(shared);
                news.await;
            }
        };
        tokio::time::timeout(patience, looking).await.ok()
    }
}
