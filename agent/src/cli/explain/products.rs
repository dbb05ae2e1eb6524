//! `wstap explain --server NAME` and `--proxy NAME`: how this very product is told.
//!
//! In: a cause, or none, and names. Out: Markdown, a section for each product, with where that is documented.

use std::fmt::Write as _;

use super::{ExplainError, nearest};
use crate::diagnose::{
    Cause, Told as _,
    products::{self, Product, Proxy},
};

/// The server and the proxy that were asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    server: Option<&'static Product>,
    proxy: Option<&'static Proxy>,
}

impl Asked {
    pub(super) fn find(server: Option<&str>, proxy: Option<&str>) -> Result<Self, ExplainError> {
        let unknown = |kind, name: &str, all: &mut dyn Iterator<Item = &'static str>| {
            let proposals = nearest(&name.to_ascii_lowercase(), all);
            let name = name.to_owned();
            if proposals.is_empty() {
                return ExplainError::NoSuchProduct { kind, name };
            }
            ExplainError::MisspeltProduct { kind, name, proposals }
        };
        let find_server = |name: &str| {
            products::server(name).ok_or_else(|| {
                unknown("server", name, &mut products::servers().flat_map(Product::names))
            })
        };
        let find_proxy = |name: &str| {
            products::proxy(name).ok_or_else(|| {
                unknown("proxy", name, &mut products::proxies().flat_map(Proxy::names))
            })
        };
        Ok(Self {
            server: server.map(find_server).transpose()?,
            proxy: proxy.map(find_proxy).transpose()?,
        })
    }

    pub(super) fn is_empty(self) -> bool {
        self.server.is_none() && self.proxy.is_none()
    }

    /// What they are told about `cause`; without one, all that is known of them.
    pub(super) fn page(self, cause: Option<Cause>) -> String {
        let mut text = String::new();
        if let Some(server) = self.server {
            let lines = match cause {
                Some(cause) => vec![("", server.told(cause))],
                None => server.lines().to_vec(),
            };
            section(&mut text, server.name, &lines, server.sources);
        }
        if let Some(proxy) = self.proxy {
            let lines = match cause {
                Some(cause) => vec![("", proxy.told(cause))],
                None => proxy.lines().to_vec(),
            };
            section(&mut text, proxy.name, &lines, proxy.sources);
        }
        text
    }
}

/// All names, a line for each product, when an option came without one.
pub(super) fn list(server: Option<&str>, proxy: Option<&str>) -> Option<String> {
    let line =
        |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(", ") + "\n";
    let servers = || products::servers().map(|server| line(&mut server.names())).collect();
    let proxies = || products::proxies().map(|proxy| line(&mut proxy.names())).collect();
    match (server, proxy) {
        (Some(""), _) => Some(servers()),
        (_, Some("")) => Some(proxies()),
        _ => None,
    }
}

fn section(
    text: &mut String,
    name: &str,
    lines: &[(&str, Option<&'static str>)],
    sources: &[&str],
) {
    let _ = writeln!(text, "## {name}\n");
    let before = text.len();
    for (about, line) in lines {
        match line {
            Some(line) if about.is_empty() => {
                let _ = writeln!(text, "{line}");
            }
            Some(line) => {
                let _ = writeln!(text, "- {about}: {line}");
            }
            None => {}
        }
    }
    if text.len() == before {
        text.push_str("It has no setting of its own for this.\n");
    }
    let _ = writeln!(text, "\nSource: {}\n", sources.join(", "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cause: Option<Cause>, server: &str, proxy: &str) -> String {
        Asked::find(Some(server), Some(proxy)).unwrap().page(cause)
    }

    #[test]
    fn a_product_is_told_what_the_cause_asks_for() {
        let text = page(Some(Cause::OriginNotAllowed), "Gorilla", "nginx");
        assert!(text.contains("## gorilla/websocket") && text.contains("CheckOrigin"), "{text}");
        assert!(text.contains("no setting of its own"), "a proxy allows no origin: {text}");
        let text = page(Some(Cause::ForwardedProtoMissing), "spring", "caddy");
        assert!(text.contains("forward-headers-strategy") && text.contains("trusted_proxies"));
        assert!(text.contains("Source: https://"), "{text}");
    }

    #[test]
    fn without_a_cause_all_is_told() {
        let text = page(None, "tornado", "envoy");
        for about in ["- origins:", "- proxies:", "- Upgrade:", "- extended CONNECT:"] {
            assert!(text.contains(about), "{about}: {text}");
        }
    }

    #[test]
    fn an_unknown_product_is_answered_with_the_nearest() {
        let error = Asked::find(Some("torando"), None).unwrap_err().to_string();
        assert!(error.contains("did you mean tornado"), "{error}");
        let error = Asked::find(None, Some("zzzzzz")).unwrap_err().to_string();
        assert!(error.contains("`wstap explain --proxy` without a name"), "{error}");
        let names = list(Some(""), None).unwrap();
        assert!(names.lines().any(|line| line.starts_with("gorilla/websocket, gorilla")));
        assert_eq!(list(Some("ws"), None), None);
    }
}
