//! HAProxy's own syntax: sections, and lines of words in them.

use crate::lint::{
    model::Place,
    read::directive::{Directive, Source, SyntaxError},
};

/// The words that begin a section.
const SECTIONS: [&str; 16] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "resolvers",
    "peers",
    "userlist",
    "cache",
    "mailers",
    "http-errors",
    "program",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
];

/// The sections of a file, each with its lines as a block.
pub(super) fn parse(source: &Source) -> Result<Vec<Directive>, SyntaxError> {
    let mut sections: Vec<Directive> = Vec::new();
    let mut at = 0;
    for (line, number) in source.text.split_inclusive('\n').zip(1..) {
        let place = Place { file: source.name.clone(), line: number };
        let span = at..at + line.trim_end_matches(['\r', '\n']).len();
        at += line.len();
        let mut words =
            words(line).map_err(|what| SyntaxError { place: place.clone(), what })?.into_iter();
        let Some(name) = words.next() else { continue };
        let is_section = SECTIONS.contains(&name.as_str());
        let block = is_section.then(Vec::new);
        let directive = Directive { place, name, args: words.collect(), block, span };
        match sections.last_mut().and_then(|section| section.block.as_mut()) {
            Some(block) if !is_section => block.push(directive),
            _ if is_section => sections.push(directive),
            // Conditions (`.if`) may stand before the first section.
            _ if directive.name.starts_with('.') => {}
            _ => {
                let what = format!("{}: no section begins so, and none has begun", directive.name);
                return Err(SyntaxError { place: directive.place, what });
            }
        }
    }
    Ok(sections)
}

/// The words of a line: quotes and backslashes as HAProxy takes them, `#` begins a comment.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.trim_end_matches(['\r', '\n']).chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            ' ' | '\t' => words.extend(word.take()),
            '\\' => escape(&mut chars, word.get_or_insert_default()),
            '\'' => loop {
                match chars.next() {
                    None => return Err("the quote has no end".to_owned()),
                    Some('\'') => break word.get_or_insert_default().push_str(""),
                    Some(c) => word.get_or_insert_default().push(c),
                }
            },
            '"' => loop {
                match chars.next() {
                    None => return Err("the quote has no end".to_owned()),
                    Some('"') => break word.get_or_insert_default().push_str(""),
                    Some('\\') => escape(&mut chars, word.get_or_insert_default()),
                    Some(c) => word.get_or_insert_default().push(c),
                }
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// What follows a backslash: before what has a meaning of its own it goes, before all else it stays (`\1` of a replacement).
fn escape(chars: &mut std::str::Chars<'_>, word: &mut String) {
    match chars.next() {
        Some(c @ (' ' | '#' | '\\' | '"' | '\'')) => word.push(c),
        other => {
            word.push('\\');
            word.extend(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_words() {
        let text = "global # no\n\nfrontend web\n  bind :80\n  http-request set-header X \"a b\" if { path /a\\ b '' }\n";
        let read = parse(&Source::new("haproxy.cfg", text)).unwrap();
        assert_eq!(read.len(), 2);
        let rule = &read[1].children()[1];
        assert_eq!(rule.place.line, 5);
        assert_eq!(rule.args, ["set-header", "X", "a b", "if", "{", "path", "/a b", "", "}"]);
        assert_eq!(text.get(read[1].children()[0].span.clone()), Some("  bind :80"));
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        assert_eq!(parse(&Source::new("a", "\nbind :80")).unwrap_err().place.line, 2);
        assert_eq!(parse(&Source::new("a", "global\n a 'b")).unwrap_err().place.line, 2);
    }
}
