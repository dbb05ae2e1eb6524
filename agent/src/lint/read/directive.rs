//! A directive of a configuration that is no data format: nginx, HAProxy, Apache, Caddy.

use std::{ops::Range, sync::Arc};

use crate::lint::model::{Place, Written};

/// Blocks stand in blocks at most so deep; deeper ones are an error.
pub const MAX_DEPTH: usize = 64;

/// A file's name and text.
#[derive(Clone, Debug)]
pub struct Source {
    /// As the user or an `include` names it.
    pub name: Arc<str>,
    /// What it holds.
    pub text: Arc<str>,
}

impl Source {
    /// A file.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }
}

/// Why a file cannot be read as what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct SyntaxError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
}

/// A name, its arguments, and what stands in its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Where it begins.
    pub place: Place,
    /// Its first word.
    pub name: String,
    /// The other words, unquoted.
    pub args: Vec<String>,
    /// What stands in its block, if it has one.
    pub block: Option<Vec<Directive>>,
    /// The bytes of its words in the file, without the block.
    pub span: Range<usize>,
}

impl Directive {
    /// The argument at `index`, empty when there is none.
    pub fn arg(&self, index: usize) -> &str {
        self.args.get(index).map_or("", String::as_str)
    }

    /// Whether it has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// What stands in its block.
    pub fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// Its words on one line, as evidence.
    pub fn written(&self) -> Written {
        let mut text = self.name.clone();
        for arg in &self.args {
            text.push(' ');
            if arg.is_empty() || arg.contains(char::is_whitespace) {
                text.push('"');
                text.push_str(arg);
                text.push('"');
            } else {
                text.push_str(arg);
            }
        }
        Written { place: self.place.clone(), text }
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for any text and `?` for any character.
pub fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&want) if want == '?' || want == c => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// Seconds of a duration such as `75s`, `1h30m`, `500ms`; a bare number is of `unit` seconds. None when it is no duration.
pub fn seconds(text: &str, unit: f64) -> Option<f64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(end)?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at_checked(end)?;
        let factor = match name.trim() {
            "" => unit,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            "w" => 604_800.0,
            "M" => 2_592_000.0,
            "y" => 31_536_000.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = tail.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, unit, want) in [
            ("60", 1.0, Some(60.0)),
            ("60", 0.001, Some(0.06)),
            ("1h30m", 1.0, Some(5400.0)),
            ("500ms", 1.0, Some(0.5)),
            ("1d", 1.0, Some(86400.0)),
            ("", 1.0, None),
            ("soon", 1.0, None),
            ("5parsecs", 1.0, None),
        ] {
            assert_eq!(seconds(text, unit), want, "{text}");
        }
    }

    #[test]
    fn globs_match_as_a_shell_does() {
        assert!(glob("*.conf", "a.conf"));
        assert!(glob("a*b?d", "axxbcd"));
        assert!(glob("*", ""));
        assert!(!glob("*.conf", "a.conf~"));
        assert!(!glob("?", ""));
    }
}
