//! Apache's edits of request headers (mod_headers), and what mod_proxy sends by itself.

use crate::lint::{
    model::{Request, Sample, Tls, Value, Written},
    read::directive::Directive,
};

/// A directive about a request header, and what it depends on.
pub(super) struct Edit<'a> {
    directive: &'a Directive,
    condition: Option<&'a str>,
}

/// Notes what is an edit of a request header, also within `<If>`.
pub(super) fn collect<'a>(directive: &'a Directive, edits: &mut Vec<Edit<'a>>) {
    if directive.is("RequestHeader") {
        edits.push(Edit { directive, condition: None });
    } else if directive.is("If") {
        for inner in directive.children().iter().filter(|inner| inner.is("RequestHeader")) {
            edits.push(Edit { directive: inner, condition: Some(directive.arg(0)) });
        }
    }
}

/// Runs the edits on a request.
pub(super) fn apply(
    request: &mut Request,
    edits: &[Edit<'_>],
    sample: Sample,
    scheme: &str,
    tls: Tls,
    unknown: &mut Vec<Written>,
) {
    for Edit { directive, condition } in edits {
        let (action, header) = (directive.arg(0).to_ascii_lowercase(), directive.arg(1));
        let text = directive.arg(2);
        let own = directive
            .args
            .iter()
            .skip(2)
            .find(|arg| arg.starts_with("expr=") || arg.starts_with("env="));
        let by = Some(directive.written());
        let holds = match (condition, own.filter(|own| *own != text || own.starts_with("env="))) {
            (Some(condition), _) => truth(condition, sample, request, tls),
            (None, Some(own)) => match own.strip_prefix("expr=") {
                Some(expression) => truth(expression, sample, request, tls),
                None => environment(own.trim_start_matches("env="), tls),
            },
            (None, None) => Some(true),
        };
        let value = || value(text, request, scheme, tls);
        match (holds, action.as_str()) {
            (Some(false), _) => {}
            (None, _) => {
                let why =
                    format!("whether \"{}\" is done cannot be told", directive.written().text);
                request.set(header, Value::Unknown(why), by);
            }
            (_, "set") => {
                let value = value();
                request.set(header, value, by);
            }
            (_, "setifempty") => {
                if request.text(&header.to_ascii_lowercase()) == Some("") {
                    let value = value();
                    request.set(header, value, by);
                }
            }
            (_, "add" | "append" | "merge") => {
                let value = value();
                request.add(header, value, by);
            }
            (_, "unset") => request.set(header, Value::Text(String::new()), by),
            (_, "edit" | "edit*") => {
                let held = request.text(&header.to_ascii_lowercase()).map(str::to_owned);
                let pattern = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
                let value = match (held, pattern, directive.args.get(3)) {
                    (Some(held), Ok(pattern), Some(with)) => {
                        let with =
                            with.replace("$0", "${0}").replace("$1", "${1}").replace("$2", "${2}");
                        Value::Text(pattern.replace(&held, with.as_str()).into_owned())
                    }
                    _ => Value::Unknown(format!("{} cannot be followed", directive.written().text)),
                };
                request.set(header, value, by);
            }
            _ => unknown.push(directive.written()),
        }
    }
}

/// What mod_proxy makes of the request by itself.
pub(super) fn send(
    request: &mut Request,
    keeps: Option<&Directive>,
    backend: &str,
    passes: bool,
    host: &str,
) {
    let on = keeps.is_some_and(|keeps| keeps.arg(0).eq_ignore_ascii_case("on"));
    let text = request.text("host").unwrap_or(host).to_owned();
    if request.text("x-forwarded-host") == Some("") {
        request.set("x-forwarded-host", Value::Text(text), None);
    }
    if !on {
        let backend = match backend {
            name if name.contains('$') || name.contains('%') => {
                Value::Unknown(format!("the backend's name is {name}"))
            }
            name => Value::Text(name.to_owned()),
        };
        request.set("host", backend, keeps.map(Directive::written));
    }
    let asked = request.text("upgrade").is_some_and(|text| !text.is_empty());
    if passes && asked {
        // It writes both itself, whatever the edits were about Connection.
        request.set("connection", Value::Text("Upgrade".to_owned()), None);
        if request.by("upgrade").is_none() {
            request.set("upgrade", Value::Text("websocket".to_owned()), None);
        }
    } else {
        request.set("upgrade", Value::Text(String::new()), request.by("upgrade").cloned());
        request.set("connection", Value::Text("Keep-Alive".to_owned()), None);
    }
}

/// The value of a `set`: constants, `expr=` and the formats of mod_headers.
fn value(text: &str, request: &Request, scheme: &str, tls: Tls) -> Value {
    let text = text.strip_prefix("expr=").unwrap_or(text);
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("%{") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            return Value::Unknown(format!("{text} cannot be followed"));
        };
        // `%{NAME}s`, `%{NAME}e`: of TLS, of the environment.
        let (kind, tail) = match tail.chars().next() {
            Some(kind @ ('s' | 'e')) => (Some(kind), tail.get(1..).unwrap_or_default()),
            _ => (None, tail),
        };
        let lower = name.to_ascii_lowercase();
        match (lower.as_str(), kind) {
            ("request_scheme", _) => out.push_str(scheme),
            ("https", _) if tls != Tls::Unknown => {
                out.push_str(if scheme == "https" { "on" } else { "off" });
            }
            ("http_host", _) => out.push_str(request.text("host").unwrap_or_default()),
            ("remote_addr", _) => out.push_str("203.0.113.7"),
            (other, _) => {
                match other.strip_prefix("http:").or_else(|| other.strip_prefix("req:")) {
                    Some(header) => match request.text(header) {
                        Some(held) => out.push_str(held),
                        None => {
                            return Value::Unknown(format!("what {header} holds cannot be told"));
                        }
                    },
                    None => return Value::Unknown(format!("%{{{name}}} cannot be followed")),
                }
            }
        }
        rest = tail;
    }
    out.push_str(rest);
    Value::Text(out)
}

/// Whether an expression holds; none when it cannot be told.
fn truth(expression: &str, sample: Sample, request: &Request, tls: Tls) -> Option<bool> {
    let text = expression.trim();
    if let Some(rest) = text.strip_prefix('!') {
        return truth(rest, sample, request, tls).map(|truth| !truth);
    }
    // By address: the samples come from outside, but for the one from a hop in front.
    if text.starts_with("-R ") || text.contains("REMOTE_ADDR") && text.contains("-ipmatch") {
        return Some(sample == Sample::Behind);
    }
    let lower = text.to_ascii_lowercase().replace(['"', '\'', ' '], "");
    let secure = match tls {
        Tls::Ends | Tls::Both => Some(true),
        Tls::Plain => Some(false),
        Tls::Unknown => None,
    };
    match lower.as_str() {
        "%{https}==on" | "%{https}=on" | "%{request_scheme}==https" => return secure,
        "%{https}!=on" | "%{https}==off" => return secure.map(|secure| !secure),
        _ => {}
    }
    let inner = lower.strip_prefix("%{http:").or_else(|| lower.strip_prefix("-z%{http:"))?;
    let (header, rest) = inner.split_once('}')?;
    let held = request.text(header)?.to_ascii_lowercase();
    if lower.starts_with("-z") {
        return Some(held.is_empty());
    }
    let wanted = rest.trim_start_matches('=');
    match rest.get(..2)? {
        "==" => Some(held == wanted),
        "!=" => Some(held != rest.get(2..)?),
        _ => None,
    }
}

/// Whether the variable of the environment is set.
fn environment(name: &str, tls: Tls) -> Option<bool> {
    match (name, tls) {
        ("HTTPS", Tls::Ends | Tls::Both) | ("!HTTPS", Tls::Plain) => Some(true),
        ("HTTPS", Tls::Plain) | ("!HTTPS", Tls::Ends | Tls::Both) => Some(false),
        _ => None,
    }
}
