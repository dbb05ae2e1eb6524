//! Caddy's edits of request headers, and what `reverse_proxy` sends by itself.

use crate::lint::{
    model::{Arrived, Request, Route, Sample, Tls, Value},
    read::directive::Directive,
};

/// Fills in what arrives behind a `reverse_proxy`.
pub(super) fn arrive(
    route: &mut Route,
    before: &[&Directive],
    edits: &[&Directive],
    upstream: &str,
    trusts: bool,
) {
    let (host, tls) = (route.host.clone(), route.tls);
    let scheme = if tls == Tls::Plain { "http" } else { "https" };
    let upstream = upstream.split_once("://").map_or(upstream, |(_, rest)| rest);
    let scene = |request: &Request| Scene {
        request: request.clone(),
        scheme,
        upstream: upstream.to_owned(),
    };
    route.arrived = Arrived::through(&host, |sample, request| {
        for edit in before {
            let words: Vec<&str> = edit.args.iter().map(String::as_str).collect();
            // The matcher, if it has one, was looked at already.
            let words = match words.split_first() {
                Some((first, rest)) if first.starts_with(['/', '@']) || *first == "*" => rest,
                _ => words.as_slice(),
            };
            let scene = scene(request);
            apply(request, edit, words, &scene);
        }
        if !(trusts && sample == Sample::Behind) {
            request.set("x-forwarded-proto", Value::Text(scheme.to_owned()), None);
        }
        let host = request.text("host").unwrap_or_default().to_owned();
        request.set("x-forwarded-host", Value::Text(host), None);
        for edit in edits {
            let words: Vec<&str> = edit.args.iter().map(String::as_str).collect();
            let scene = scene(request);
            apply(request, edit, &words, &scene);
        }
    });
}

struct Scene {
    request: Request,
    scheme: &'static str,
    upstream: String,
}

/// `[+|-]FIELD [VALUE|FIND [REPLACE]]`.
fn apply(request: &mut Request, edit: &Directive, words: &[&str], scene: &Scene) {
    let by = Some(edit.written());
    match words {
        [field] if field.starts_with('-') => {
            let name = field.trim_start_matches('-').to_ascii_lowercase();
            let fitting: Vec<String> = match name.strip_suffix('*') {
                Some(prefix) => request
                    .names()
                    .filter(|held| held.starts_with(prefix))
                    .map(str::to_owned)
                    .collect(),
                None => vec![name],
            };
            for name in fitting {
                request.set(&name, Value::Text(String::new()), by.clone());
            }
        }
        [field, value] => {
            let value = scene.value(value);
            match field.strip_prefix('+') {
                Some(field) => request.add(field, value, by),
                None => request.set(field.trim_start_matches(['?', '>']), value, by),
            }
        }
        [field, find, with] => {
            let name = field.to_ascii_lowercase();
            let held = request.text(&name).map(str::to_owned);
            let pattern = regex::RegexBuilder::new(find).size_limit(1 << 20).build();
            let value = match (held, pattern, scene.value(with)) {
                (Some(held), Ok(pattern), Value::Text(with)) => {
                    Value::Text(pattern.replace_all(&held, with.as_str()).into_owned())
                }
                _ => Value::Unknown(format!("{} cannot be followed", edit.written().text)),
            };
            request.set(&name, value, by);
        }
        _ => {}
    }
}

impl Scene {
    /// What a text with placeholders comes to.
    fn value(&self, text: &str) -> Value {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                out.push('{');
                rest = after;
                break;
            };
            match self.placeholder(name) {
                Some(value) => out.push_str(&value),
                None => return Value::Unknown(format!("{{{name}}} cannot be followed")),
            }
            rest = tail;
        }
        out.push_str(rest);
        Value::Text(out)
    }

    fn placeholder(&self, name: &str) -> Option<String> {
        let host = self.request.text("host").unwrap_or_default();
        let short = name.strip_prefix("http.request.").unwrap_or(name);
        Some(match short {
            "host" => host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned(),
            "hostport" => host.to_owned(),
            "scheme" => self.scheme.to_owned(),
            "remote_host" | "remote" | "client_ip" => "203.0.113.7".to_owned(),
            "upstream_hostport" | "http.reverse_proxy.upstream.hostport" => self.upstream.clone(),
            "http.reverse_proxy.upstream.host" => self
                .upstream
                .rsplit_once(':')
                .map_or(self.upstream.as_str(), |(name, _)| name)
                .to_owned(),
            _ => {
                let header = short.strip_prefix("header.")?;
                self.request.text(&header.to_ascii_lowercase())?.to_owned()
            }
        })
    }
}
