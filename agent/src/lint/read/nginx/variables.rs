//! nginx's variables: what a value such as `$connection_upgrade` comes to for a request.

use std::collections::HashMap;

use super::super::directive::Directive;
use crate::lint::model::{Request, Value};

/// Variables are made of variables at most so deep.
const MAX_DEPTH: usize = 16;

/// What the configuration says of variables.
#[derive(Default)]
pub(super) struct Variables<'a> {
    /// By name: the directive that makes it.
    made: HashMap<&'a str, &'a Directive>,
}

/// The request for which variables are evaluated, and where it arrived.
pub(super) struct Scene<'a> {
    /// As it came.
    pub request: &'a Request,
    /// `https` or `http`.
    pub scheme: &'a str,
    /// The port that the server listens on.
    pub port: &'a str,
    /// The server's first name.
    pub server_name: &'a str,
    /// What `proxy_pass` names.
    pub proxy_host: &'a str,
    /// Whether it comes from an address that the configuration trusts.
    pub trusted: bool,
    /// The `set` directives that hold here, the later ones win.
    pub sets: &'a [&'a Directive],
}

impl<'a> Variables<'a> {
    /// Those of the blocks `map`, `geo` and their like in `directives`.
    pub(super) fn learn(&mut self, directives: &'a [Directive]) {
        for directive in directives {
            let name = match directive.name.as_str() {
                "map" => directive.arg(1),
                "geo" if directive.args.len() > 1 => directive.arg(1),
                "geo" | "js_set" | "js_var" | "perl_set" => directive.arg(0),
                "split_clients" => directive.arg(1),
                "http" => {
                    self.learn(directive.children());
                    continue;
                }
                _ => continue,
            };
            if let Some(name) = name.strip_prefix('$') {
                self.made.insert(name, directive);
            }
        }
    }

    /// What `text` comes to.
    pub(super) fn value(&self, text: &str, scene: &Scene<'_>) -> Value {
        match self.expand(text, scene, 0) {
            Ok(text) => Value::Text(text),
            Err(why) => Value::Unknown(why),
        }
    }

    fn expand(&self, text: &str, scene: &Scene<'_>, depth: usize) -> Result<String, String> {
        if depth > MAX_DEPTH {
            return Err(format!("{text} is made of itself"));
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, tail) = if let Some(braced) = after.strip_prefix('{') {
                braced.split_once('}').unwrap_or((braced, ""))
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""))
            };
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&self.variable(name, scene, depth)?);
            }
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn variable(&self, name: &str, scene: &Scene<'_>, depth: usize) -> Result<String, String> {
        if let Some(set) =
            scene.sets.iter().rev().find(|set| set.arg(0).strip_prefix('$') == Some(name))
        {
            return self.expand(set.arg(1), scene, depth + 1);
        }
        if let Some(made) = self.made.get(name) {
            return self.made(name, made, scene, depth);
        }
        let host = scene.request.text("host").unwrap_or_default();
        let alone = host.rsplit_once(':').map_or(host, |(name, _)| name);
        Ok(match name {
            "scheme" => scene.scheme.to_owned(),
            "https" if scene.scheme == "https" => "on".to_owned(),
            "https" => String::new(),
            "host" => alone.to_ascii_lowercase(),
            "http_host" => host.to_owned(),
            "server_name" => scene.server_name.to_owned(),
            "server_port" => scene.port.to_owned(),
            "proxy_host" => scene.proxy_host.to_owned(),
            "proxy_port" => {
                scene.proxy_host.rsplit_once(':').map_or("80", |(_, port)| port).to_owned()
            }
            "remote_addr" | "realip_remote_addr" | "proxy_protocol_addr" => {
                "203.0.113.7".to_owned()
            }
            "proxy_add_x_forwarded_for" => "203.0.113.7".to_owned(),
            "server_protocol" => "HTTP/1.1".to_owned(),
            "request_method" => "GET".to_owned(),
            "is_args" | "args" | "query_string" => String::new(),
            "request_uri" | "uri" | "document_uri" | "request_id" | "remote_port" | "hostname"
            | "server_addr" | "msec" | "time_iso8601" | "ssl_client_verify" | "ssl_protocol" => {
                format!("<{name}>")
            }
            _ => match name.strip_prefix("http_") {
                Some(header) => match scene.request.get(&header.replace('_', "-")) {
                    Value::Text(text) => text,
                    Value::Unknown(why) => return Err(why),
                },
                None => return Err(format!("${name} is not set in what was read")),
            },
        })
    }

    fn made(
        &self,
        name: &str,
        made: &Directive,
        scene: &Scene<'_>,
        depth: usize,
    ) -> Result<String, String> {
        match made.name.as_str() {
            "map" => {
                let source = self.expand(made.arg(0), scene, depth + 1)?;
                let value = chosen(made.children(), &source).ok_or_else(|| {
                    format!(
                        "the map of ${name} ({}) holds a pattern that cannot be followed",
                        made.place
                    )
                })?;
                self.expand(value, scene, depth + 1)
            }
            "geo" => {
                let entry = |default| {
                    made.children().iter().find(|entry| (entry.name == "default") == default)
                };
                let default = entry(!scene.trusted).or(entry(true));
                Ok(default.map_or_else(String::new, |entry| entry.arg(0).to_owned()))
            }
            _ => Err(format!("${name} is made by {} ({})", made.name, made.place)),
        }
    }
}

/// The value of the entry that `map` chooses for `source`: text, then the first regular expression, then `default`. None
/// when an expression cannot be read.
fn chosen<'a>(entries: &'a [Directive], source: &str) -> Option<&'a str> {
    let text = |entry: &Directive| {
        let key = entry.name.strip_prefix('\\').unwrap_or(&entry.name);
        !entry.name.starts_with('~') && key.eq_ignore_ascii_case(source) && entry.name != "default"
    };
    if let Some(entry) = entries.iter().find(|entry| text(entry)) {
        return Some(entry.arg(0));
    }
    for entry in entries.iter().filter(|entry| entry.name.starts_with('~')) {
        if pattern(&entry.name)?.is_match(source) {
            return Some(entry.arg(0));
        }
    }
    let default = entries.iter().find(|entry| entry.name == "default");
    Some(default.map_or("", |entry| entry.arg(0)))
}

/// The expression behind `~` or `~*`.
pub(super) fn pattern(text: &str) -> Option<regex::Regex> {
    let (text, insensitive) = match text.strip_prefix("~*") {
        Some(text) => (text, true),
        None => (text.strip_prefix('~')?, false),
    };
    regex::RegexBuilder::new(text).case_insensitive(insensitive).size_limit(1 << 20).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{
        model::Sample,
        read::{directive::Source, nginx::syntax},
    };

    fn value(configuration: &str, text: &str, sample: Sample) -> Value {
        let read = syntax::parse(&Source::new("nginx.conf", configuration)).unwrap();
        let mut variables = Variables::default();
        variables.learn(&read);
        let sets: Vec<_> = read.iter().filter(|directive| directive.name == "set").collect();
        let request = sample.request("app.example:8443");
        let scene = Scene {
            request: &request,
            scheme: "https",
            port: "8443",
            server_name: "app.example",
            proxy_host: "backend",
            trusted: false,
            sets: &sets,
        };
        variables.value(text, &scene)
    }

    #[test]
    fn a_map_follows_the_request() {
        let map = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }";
        let of = |sample| value(map, "$connection_upgrade", sample);
        assert_eq!(of(Sample::Handshake), Value::Text("upgrade".into()));
        assert_eq!(of(Sample::Plain), Value::Text("close".into()));
        let map = "map $http_upgrade $c { ~*^web ok; default no; }";
        assert_eq!(value(map, "${c}!", Sample::Handshake), Value::Text("ok!".into()));
    }

    #[test]
    fn what_is_made_elsewhere_is_unknown() {
        for configuration in
            ["js_set $c m.f;", "", "map $x $c { default 1; }", "map $c $c { default $c; }"]
        {
            assert!(matches!(value(configuration, "$c", Sample::Plain), Value::Unknown(_)));
        }
        let map = "map $http_host $c { '~(?<=a)b' 1; default 2; }";
        assert!(matches!(value(map, "$c", Sample::Plain), Value::Unknown(_)));
    }

    #[test]
    fn own_variables_of_nginx() {
        let of = |text| value("set $x 'a-$scheme';", text, Sample::Forged);
        assert_eq!(of("$host"), Value::Text("app.example".into()));
        assert_eq!(of("$http_host"), Value::Text("app.example:8443".into()));
        assert_eq!(of("$x"), Value::Text("a-https".into()));
        assert_eq!(of("$http_x_forwarded_proto"), Value::Text("forged".into()));
    }
}
