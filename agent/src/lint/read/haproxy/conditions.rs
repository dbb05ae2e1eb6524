//! HAProxy's conditions (`if`, `unless`) and formats (`%[...]`), as far as they are about what the samples have.

use crate::lint::{
    hints::names_websocket,
    model::{Paths, Request, Sample, Tls, Value},
    read::directive::Directive,
};

/// What a condition is evaluated for.
pub(super) struct Scene<'a> {
    pub(super) sample: Sample,
    pub(super) request: &'a Request,
    pub(super) tls: Tls,
    pub(super) port: &'a str,
    pub(super) paths: &'a Paths,
    /// The `acl` lines that hold here.
    pub(super) acls: &'a [&'a Directive],
}

/// The words of a rule before its condition, and those of the condition with whether it must hold.
pub(super) fn split(args: &[String]) -> (&[String], Option<(bool, &[String])>) {
    let at = args.iter().position(|word| word == "if" || word == "unless");
    match at.and_then(|at| args.split_at_checked(at)) {
        Some((before, [word, condition @ ..])) => (before, Some((word == "if", condition))),
        _ => (args, None),
    }
}

/// A term of a condition: the words of its test, and whether it is negated.
pub(super) type Term = (Vec<String>, bool);

/// The terms of a condition: alternatives, each of terms that must all hold. Names of `acl` lines are replaced by their tests;
/// an `acl` of several lines is its alternatives.
pub(super) fn alternatives(condition: &[String], acls: &[&Directive]) -> Vec<Vec<Term>> {
    /// More alternatives than these are cut; what remains is then not told as certain by the callers' `None`.
    const MAX: usize = 64;
    let mut all: Vec<Vec<Term>> = Vec::new();
    let mut current: Vec<Vec<Term>> = vec![Vec::new()];
    let mut words = condition.iter();
    let mut negated = false;
    while let Some(word) = words.next() {
        let word = match word.as_str() {
            "or" | "||" => {
                all.append(&mut current);
                current = vec![Vec::new()];
                continue;
            }
            "!" => {
                negated = !negated;
                continue;
            }
            word => word,
        };
        let (word, negative) =
            word.strip_prefix('!').map_or((word, negated), |word| (word, !negated));
        negated = false;
        let tests: Vec<Vec<String>> = if word == "{" {
            vec![words.by_ref().take_while(|word| *word != "}").cloned().collect()]
        } else {
            let named = acls.iter().filter(|acl| acl.arg(0) == word);
            named.map(|acl| acl.args.get(1..).unwrap_or_default().to_vec()).collect()
        };
        let tests = if tests.is_empty() { vec![vec![word.to_owned()]] } else { tests };
        if negative {
            // None of the alternatives may hold.
            for terms in &mut current {
                terms.extend(tests.iter().map(|test| (test.clone(), true)));
            }
        } else {
            current = current
                .iter()
                .flat_map(|terms| {
                    tests.iter().map(|test| {
                        let mut terms = terms.clone();
                        terms.push((test.clone(), false));
                        terms
                    })
                })
                .take(MAX)
                .collect();
        }
    }
    all.append(&mut current);
    all.truncate(MAX);
    all
}

impl Scene<'_> {
    /// Whether a rule with this condition is taken; none when it cannot be told.
    pub(super) fn holds(&self, condition: Option<(bool, &[String])>) -> Option<bool> {
        let Some((wanted, words)) = condition else { return Some(true) };
        let all = alternatives(words, self.acls);
        let each = all.iter().map(|terms| {
            let mut holds = Some(true);
            for (test, negative) in terms {
                match self.test(test) {
                    Some(truth) if truth == *negative => return Some(false),
                    Some(_) => {}
                    None => holds = None,
                }
            }
            holds
        });
        let mut truth = Some(false);
        for one in each {
            match one {
                Some(true) => return Some(wanted),
                Some(false) => {}
                None => truth = None,
            }
        }
        truth.map(|truth| truth == wanted)
    }

    /// Whether one test is true of the sample.
    pub(super) fn test(&self, words: &[String]) -> Option<bool> {
        let fetch = words.first()?.as_str();
        let (flags, values) = flags(words.get(1..).unwrap_or_default());
        match fetch {
            "ssl_fc" => match self.tls {
                Tls::Ends | Tls::Both => Some(true),
                Tls::Plain => Some(false),
                Tls::Unknown => None,
            },
            "src" => Some(self.sample == Sample::Behind),
            "TRUE" | "always_true" | "HTTP" | "HTTP_1.1" | "METH_GET" => Some(true),
            "FALSE" | "always_false" | "LOCALHOST" | "METH_POST" | "METH_CONNECT"
            | "METH_OPTIONS" => Some(false),
            "method" => Some(values.iter().any(|value| value.eq_ignore_ascii_case("GET"))),
            _ if fetch.starts_with("path") || fetch.starts_with("url_beg") => {
                self.path(fetch, &flags, &values)
            }
            _ => {
                let (kind, header) = header(fetch)?;
                if header.eq_ignore_ascii_case("host") {
                    return None;
                }
                let held = self.request.text(&header.to_ascii_lowercase())?;
                let kind = flags.method.unwrap_or(kind);
                if kind == "found" || kind == "cnt" || values.is_empty() {
                    return Some(!held.is_empty());
                }
                let fits = |value: &String| compare(kind, held, value, flags.insensitive);
                values.iter().map(fits).try_fold(false, |any, one| Some(any || one?))
            }
        }
    }

    /// A test of the path, for what the route takes. A route for all paths is judged as its WebSocket's.
    fn path(&self, fetch: &str, flags: &Flags<'_>, values: &[String]) -> Option<bool> {
        let kind = flags.method.or(fetch.split_once('_').map(|(_, kind)| kind)).unwrap_or("str");
        match self.paths {
            Paths::Exact(path) | Paths::Prefix(path) | Paths::Final(path) => {
                let fits = |value: &String| compare(kind, path, value, flags.insensitive);
                values.iter().map(fits).try_fold(false, |any, one| Some(any || one?))
            }
            _ => Some(values.iter().any(|value| names_websocket(value))),
        }
    }

    /// What a log format comes to.
    pub(super) fn format(&self, text: &str) -> Value {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(inner) = after.strip_prefix('[') {
                let Some((expression, tail)) = inner.split_once(']') else {
                    return Value::Unknown(format!("{text} cannot be followed"));
                };
                match self.expression(expression) {
                    Some(value) => out.push_str(&value),
                    None => return Value::Unknown(format!("%[{expression}] cannot be followed")),
                }
                rest = tail;
            } else if let Some(tail) = after.strip_prefix('%') {
                out.push('%');
                rest = tail;
            } else {
                let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
                let (name, tail) = after.split_at_checked(end).unwrap_or((after, ""));
                match name {
                    "ci" | "si" | "bi" => out.push_str("203.0.113.7"),
                    _ => return Value::Unknown(format!("%{name} cannot be followed")),
                }
                rest = tail;
            }
        }
        out.push_str(rest);
        Value::Text(out)
    }

    fn expression(&self, text: &str) -> Option<String> {
        let mut parts = pieces(text).into_iter();
        let fetch = parts.next()?;
        let mut value = match fetch.as_str() {
            "src" => "203.0.113.7".to_owned(),
            "dst_port" | "fc_dst_port" => self.port.to_owned(),
            "ssl_fc" => u8::from(self.test(&[fetch])?).to_string(),
            other => {
                if let Some(text) =
                    other.strip_prefix("str(").and_then(|rest| rest.strip_suffix(')'))
                {
                    text.to_owned()
                } else {
                    self.request.text(&header(other)?.1.to_ascii_lowercase())?.to_owned()
                }
            }
        };
        for converter in parts {
            let (name, args) = converter.split_once('(').unwrap_or((&converter, ""));
            let args: Vec<&str> = args.trim_end_matches(')').split(',').map(str::trim).collect();
            value = match (name, args.as_slice()) {
                ("iif", [yes, no]) => (if value == "1" { *yes } else { *no }).to_owned(),
                ("lower", _) => value.to_ascii_lowercase(),
                ("field", ["1", ":" | "':'"]) => value.split(':').next()?.to_owned(),
                ("host_only", _) => {
                    value.rsplit_once(':').map_or(value.clone(), |(name, _)| name.to_owned())
                }
                _ => return None,
            };
        }
        Some(value)
    }
}

/// A sample expression at the commas outside of parentheses.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match pieces.last_mut() {
            Some(last) if c != ',' || depth > 0 => last.push(c),
            _ => pieces.push(String::new()),
        }
    }
    pieces
}

#[derive(Default)]
struct Flags<'a> {
    insensitive: bool,
    method: Option<&'a str>,
}

fn flags(words: &[String]) -> (Flags<'_>, Vec<String>) {
    let mut flags = Flags::default();
    let mut words = words.iter();
    let mut values = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-i" => flags.insensitive = true,
            "-m" => flags.method = words.next().map(String::as_str),
            "-f" | "-M" | "-n" | "-u" => {
                words.next();
            }
            "--" => {}
            _ => values.push(word.clone()),
        }
    }
    (flags, values)
}

/// The header that a fetch reads, and the way it compares: `hdr_beg(host)`.
fn header(fetch: &str) -> Option<(&str, &str)> {
    let (name, rest) = fetch.split_once('(')?;
    let header = rest.split([')', ',']).next()?;
    let name = name.strip_prefix("req.").unwrap_or(name);
    let name = if let Some(rest) = name.strip_prefix('f') { rest } else { name };
    match name.split_once('_') {
        Some(("hdr", kind)) => Some((kind, header)),
        None if name == "hdr" => Some(("str", header)),
        _ => None,
    }
}

fn compare(kind: &str, held: &str, value: &str, insensitive: bool) -> Option<bool> {
    let (held, value) = if insensitive && kind != "reg" {
        (held.to_ascii_lowercase(), value.to_ascii_lowercase())
    } else {
        (held.to_owned(), value.to_owned())
    };
    Some(match kind {
        "str" => held == value,
        "beg" | "dir" => held.starts_with(&value),
        "end" => held.ends_with(&value),
        "sub" => held.contains(&value),
        "reg" => {
            let built = regex::RegexBuilder::new(&value)
                .case_insensitive(insensitive)
                .size_limit(1 << 20)
                .build();
            built.ok()?.is_match(&held)
        }
        _ => return None,
    })
}
