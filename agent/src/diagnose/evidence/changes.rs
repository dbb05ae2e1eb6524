//! What a proxy changed in a request.

use crate::diagnose::{Change, Evidence, ProxyChange};
use crate::http::{RequestHead, Version};

/// The differences between the request that a proxy received and the one that it sent.
pub(in crate::diagnose) fn between(before: &RequestHead, after: &RequestHead) -> Vec<ProxyChange> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in before.headers.iter().chain(after.headers.iter()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let headers = names.into_iter().map(|name| (name, value(before, name), value(after, name)));
    let lines = [
        ("version", Some(version(before)), Some(version(after))),
        ("path", Some(before.path.to_string()), Some(after.path.to_string())),
    ];
    lines.into_iter().chain(headers).filter_map(|(name, b, a)| change(name, b, a)).collect()
}

fn change(header: &str, before: Option<String>, after: Option<String>) -> Option<ProxyChange> {
    let same = match (&before, &after) {
        // Tokens whose case means nothing.
        (Some(b), Some(a)) if matches!(header, "connection" | "upgrade") => {
            b.eq_ignore_ascii_case(a)
        }
        (b, a) => b == a,
    };
    let change = match (&before, &after) {
        _ if same => return None,
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        _ => Change::Rewrote,
    };
    let cut = |value: Option<String>| value.map(|value| Evidence::quoted(&value));
    Some(ProxyChange { header: header.to_owned(), change, before: cut(before), after: cut(after) })
}

fn value(request: &RequestHead, name: &str) -> Option<String> {
    let values: Vec<&str> = request.headers.all(name).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

fn version(request: &RequestHead) -> String {
    match request.version {
        Version::Http10 => "HTTP/1.0".to_owned(),
        Version::Http11 => "HTTP/1.1".to_owned(),
    }
}
