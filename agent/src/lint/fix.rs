//! The mechanical fixes, as a unified diff: lines that go, lines that change, lines that a block lacks.
//!
//! In: the findings and the files' texts. Nothing is written. A finding whose line holds more than the one directive, or
//! whose fix is a decision (which addresses to trust, which timer is right), is left to its reader.

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use super::{
    Linted,
    model::{Place, Product, Route},
    rules::Rule,
};
use crate::check::Verdict;

/// The map that `$connection_upgrade` needs.
const MAP: &str =
    "map $http_upgrade $connection_upgrade {\n    default upgrade;\n    ''      '';\n}\n";

/// The diff of the mechanical fixes, and for how many findings it has one. `text` gives a file's text by its name.
pub fn diff(
    product: Product,
    linted: &Linted,
    text: &dyn Fn(&str) -> Option<String>,
) -> (String, usize) {
    let (files, count) = edits(product, linted, text);
    let diffs = files.iter().filter(|(_, edits)| edits.any()).map(|(name, edits)| {
        let (old, new) = (&edits.text, edits.applied());
        let path = name.trim_start_matches('/');
        TextDiff::from_lines(old.as_str(), new.as_str())
            .unified_diff()
            .header(&format!("a/{path}"), &format!("b/{path}"))
            .to_string()
    });
    (diffs.collect(), count)
}

/// What is to be done with each file, and how many findings that settles.
fn edits(
    product: Product,
    linted: &Linted,
    text: &dyn Fn(&str) -> Option<String>,
) -> (BTreeMap<String, Edits>, usize) {
    let mut files: BTreeMap<String, Edits> = BTreeMap::new();
    let mut count = 0;
    for finding in linted.findings.iter().filter(|finding| finding.verdict != Verdict::Pass) {
        let Some(place) = &finding.place else { continue };
        let Some(rule) = Rule::ALL.iter().find(|rule| rule.name() == finding.check) else {
            continue;
        };
        let edits = match files.get_mut(&place.file) {
            Some(edits) => edits,
            None => match text(&place.file) {
                Some(text) => files.entry(place.file.clone()).or_insert_with(|| Edits::new(text)),
                None => continue,
            },
        };
        let mut routes = linted.routes.iter().map(|(route, _)| route);
        let route = routes.find(|route| {
            finding.summary.starts_with(&format!("{}:", route.name))
                && *route.place.file == place.file
        });
        let line = place.line as usize;
        let done = match product {
            Product::Nginx => route.is_some_and(|route| nginx(edits, *rule, line, route)),
            _ => other(edits, product, *rule, line),
        };
        count += usize::from(done);
    }
    (files, count)
}

/// What is to be done with the lines of a file, by their numbers.
struct Edits {
    text: String,
    lines: Vec<String>,
    removed: BTreeSet<usize>,
    changed: BTreeMap<usize, String>,
    /// Lines to stand behind this one.
    added: BTreeMap<usize, Vec<String>>,
    /// Text to stand before this line.
    before: BTreeMap<usize, String>,
}

impl Edits {
    fn new(text: String) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        let (removed, changed) = (BTreeSet::new(), BTreeMap::new());
        Self { text, lines, removed, changed, added: BTreeMap::new(), before: BTreeMap::new() }
    }

    fn any(&self) -> bool {
        !(self.removed.is_empty() && self.changed.is_empty() && self.added.is_empty())
    }

    fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.lines.get(index)).map_or("", String::as_str)
    }

    fn indent(&self, number: usize) -> String {
        self.line(number).chars().take_while(|c| c.is_whitespace()).collect()
    }

    /// Takes the line away if it holds nothing but one directive of this name.
    fn remove(&mut self, number: usize, name: &str) -> bool {
        let line = self.line(number).trim();
        let alone = line.split_whitespace().next() == Some(name)
            && line.matches(';').count() <= 1
            && !line.ends_with(['{', '\\'])
            && !line.contains("; }");
        if alone {
            self.removed.insert(number);
        }
        alone
    }

    /// Makes the line another one, with its indent.
    fn change(&mut self, number: usize, text: &str) -> bool {
        let line = format!("{}{text}", self.indent(number));
        self.changed.insert(number, line);
        true
    }

    fn add(&mut self, number: usize, text: String) -> bool {
        let added = self.added.entry(number).or_default();
        if !added.contains(&text) {
            added.push(text);
        }
        true
    }

    fn applied(&self) -> String {
        let mut text = String::new();
        for (line, number) in self.lines.iter().zip(1..) {
            text.extend(self.before.get(&number).map(String::as_str));
            if !self.removed.contains(&number) {
                text.push_str(self.changed.get(&number).unwrap_or(line));
                text.push('\n');
            }
            for line in self.added.get(&number).into_iter().flatten() {
                text.push_str(line);
                text.push('\n');
            }
        }
        if !self.text.ends_with('\n') {
            text.truncate(text.trim_end_matches('\n').len());
        }
        text
    }
}

fn nginx(edits: &mut Edits, rule: Rule, line: usize, route: &Route) -> bool {
    let header = |name, value| Some((name, value));
    let wanted = match rule {
        Rule::UpgradeNotPassed | Rule::UpgradeMangled => header("Upgrade", "$http_upgrade"),
        Rule::ConnectionNotPassed | Rule::UpgradeHardWired => {
            header("Connection", "$connection_upgrade")
        }
        Rule::HostRewritten | Rule::HostPort => header("Host", "$http_host"),
        Rule::ForwardedMissing | Rule::ForwardedForged => header("X-Forwarded-Proto", "$scheme"),
        Rule::OriginRemoved | Rule::OriginRewritten => {
            return edits.remove(line, "proxy_set_header");
        }
        Rule::Http10 => None,
        _ => return false,
    };
    let at = route.place.line as usize;
    let Some((name, value)) = wanted else {
        let set = edits.line(line).trim().starts_with("proxy_http_version");
        return if set {
            edits.change(line, "proxy_http_version 1.1;")
        } else {
            insert(edits, at, "proxy_http_version 1.1;".to_owned())
        };
    };
    let directive = format!("proxy_set_header {name} {value};");
    let done = if edits.line(line).trim().starts_with("proxy_set_header") && line != at {
        let alone = edits.line(line).matches(';').count() == 1;
        alone && edits.change(line, &directive)
    } else {
        // The first of its own cancels those that it inherits.
        let copied = edits.line(at).trim_end().ends_with('{');
        for inherited in route.inherited.iter().filter(|_| copied) {
            let same = inherited
                .text
                .split_whitespace()
                .nth(1)
                .is_some_and(|other| other.eq_ignore_ascii_case(name));
            if !same {
                insert(edits, at, format!("{};", inherited.text));
            }
        }
        insert(edits, at, directive)
    };
    if done && rule == Rule::UpgradeNotPassed {
        let own = route.arrived.handshake.by("connection").is_some();
        if !own {
            insert(edits, at, "proxy_set_header Connection $connection_upgrade;".to_owned());
        }
    }
    if done {
        need_map(edits, &route.place);
    }
    done
}

/// Puts a line at the beginning of the block that begins on a line of its own.
fn insert(edits: &mut Edits, at: usize, directive: String) -> bool {
    if !edits.line(at).trim_end().ends_with('{') {
        return false;
    }
    let indent = format!("{}    ", edits.indent(at));
    edits.add(at, format!("{indent}{directive}"))
}

/// Puts the map before the server, when the file has none and now needs it.
fn need_map(edits: &mut Edits, place: &Place) {
    let uses = |line: &String| line.contains("$connection_upgrade");
    let needed = edits.added.values().flatten().any(uses) || edits.changed.values().any(uses);
    let defined = edits.text.contains("$connection_upgrade");
    if !needed || defined || !edits.before.is_empty() {
        return;
    }
    let server = (1..=place.line as usize).rev().find(|number| {
        edits.line(*number).trim().starts_with("server")
            && edits.line(*number).trim_end().ends_with('{')
    });
    if let Some(server) = server {
        let indent = edits.indent(server);
        let map: Vec<String> = MAP.lines().map(|line| format!("{indent}{line}")).collect();
        edits.before.insert(server, map.join("\n") + "\n");
    }
}

fn other(edits: &mut Edits, product: Product, rule: Rule, line: usize) -> bool {
    let text = edits.line(line).trim().to_owned();
    let about_header = matches!(
        rule,
        Rule::OriginRemoved
            | Rule::OriginRewritten
            | Rule::HostRewritten
            | Rule::HostPort
            | Rule::UpgradeNotPassed
            | Rule::UpgradeMangled
            | Rule::ConnectionNotPassed
    );
    match product {
        Product::Haproxy if about_header && text.starts_with("http-request") => {
            edits.remove(line, "http-request")
        }
        Product::Haproxy if rule == Rule::ConnectionNotPassed && text.starts_with("option") => {
            edits.remove(line, "option")
        }
        Product::Caddy if about_header => edits.remove(line, "header_up"),
        Product::Apache if about_header && text.starts_with("RequestHeader") => {
            edits.remove(line, "RequestHeader")
        }
        Product::Apache if text.eq_ignore_ascii_case("ProxyPreserveHost Off") => {
            edits.change(line, "ProxyPreserveHost On")
        }
        Product::Apache if rule == Rule::HostRewritten && text.starts_with("ProxyPass") => {
            let indent = edits.indent(line);
            edits.before.insert(line, format!("{indent}ProxyPreserveHost On\n"));
            // The line itself stays as it is.
            let same =
                edits.changed.get(&line).cloned().unwrap_or_else(|| edits.line(line).to_owned());
            edits.changed.insert(line, same);
            true
        }
        Product::Apache
            if rule == Rule::UpgradeNotPassed
                && text.starts_with("ProxyPass ")
                && !text.ends_with('\\') =>
        {
            edits.change(line, &format!("{text} upgrade=websocket"))
        }
        Product::IngressNginx
            if text.starts_with("nginx.ingress.kubernetes.io/") && !text.ends_with('|') =>
        {
            let name = text.split_whitespace().next().unwrap_or_default().to_owned();
            matches!(rule, Rule::HostRewritten | Rule::ConnectionNotPassed | Rule::Http10)
                && edits.remove(line, &name)
        }
        Product::Traefik if text == "passHostHeader: false" => {
            edits.change(line, "passHostHeader: true")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
