//! Apache's own syntax: lines of words, sections in angle brackets, and files that `Include` names.

use std::path::Path;

use crate::lint::{
    model::Place,
    read::{
        Disk,
        directive::{Directive, MAX_DEPTH, Source, SyntaxError},
    },
};

/// `Include` stands in included files at most so deep, and at most so many files are read in all.
const MAX_INCLUDES: usize = 16;
const MAX_FILES: usize = 1000;

/// The directives of a file, with those of the files that it includes in their places. An `Include` that was not found stays.
pub(super) fn load(source: &Source, disk: &dyn Disk) -> Result<Vec<Directive>, SyntaxError> {
    let directives = parse(source)?;
    let mut files = 0;
    expand(directives, source, disk, 0, &mut files)
}

fn expand(
    directives: Vec<Directive>,
    main: &Source,
    disk: &dyn Disk,
    depth: usize,
    files: &mut usize,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut expanded = Vec::with_capacity(directives.len());
    for mut directive in directives {
        let optional = directive.is("IncludeOptional");
        if optional || directive.is("Include") {
            let name = directive.arg(0);
            let full = match Path::new(&*main.name).parent() {
                Some(folder) if !Path::new(name).is_absolute() => {
                    folder.join(name).display().to_string()
                }
                _ => name.to_owned(),
            };
            let names = disk.matching(&full).filter(|_| depth < MAX_INCLUDES && *files < MAX_FILES);
            let texts: Option<Vec<Source>> = names.and_then(|names| {
                names.iter().map(|name| Some(Source::new(name, &disk.read(name)?))).collect()
            });
            match texts {
                Some(sources) => {
                    *files += sources.len();
                    for source in sources {
                        expanded.extend(expand(parse(&source)?, main, disk, depth + 1, files)?);
                    }
                }
                None if name.contains("mods-enabled") || name.contains("ports.conf") => {}
                None => expanded.push(directive),
            }
            continue;
        }
        if let Some(block) = directive.block.take() {
            directive.block = Some(expand(block, main, disk, depth, files)?);
        }
        expanded.push(directive);
    }
    Ok(expanded)
}

/// The directives of a file.
pub(super) fn parse(source: &Source) -> Result<Vec<Directive>, SyntaxError> {
    let mut open: Vec<Directive> = Vec::new();
    let mut top = Vec::new();
    for line in lines(source) {
        let error = |what: String| SyntaxError { place: line.place.clone(), what };
        let text = line.text.trim();
        if let Some(name) = text.strip_prefix("</") {
            let name = name.trim_end_matches('>').trim();
            let Some(section) = open.pop().filter(|section| section.is(name)) else {
                return Err(error(format!("</{name}> ends no section that is open")));
            };
            match open.last_mut().and_then(|outer| outer.block.as_mut()) {
                Some(block) => block.push(section),
                None => top.push(section),
            }
            continue;
        }
        let (inner, section) = match text.strip_prefix('<') {
            Some(rest) => (rest.strip_suffix('>').unwrap_or(rest), true),
            None => (text, false),
        };
        let mut words = words(inner).into_iter();
        let Some(name) = words.next() else { continue };
        let directive = Directive {
            place: line.place.clone(),
            name,
            args: words.collect(),
            block: section.then(Vec::new),
            span: line.span,
        };
        if section {
            if open.len() >= MAX_DEPTH {
                return Err(error(format!("more than {MAX_DEPTH} sections in each other")));
            }
            open.push(directive);
        } else {
            match open.last_mut().and_then(|outer| outer.block.as_mut()) {
                Some(block) => block.push(directive),
                None => top.push(directive),
            }
        }
    }
    match open.pop() {
        Some(section) => Err(SyntaxError {
            what: format!("<{}> has no end", section.name),
            place: section.place,
        }),
        None => Ok(top),
    }
}

struct Line {
    place: Place,
    text: String,
    span: std::ops::Range<usize>,
}

/// The lines without comments; those that end in a backslash are one with the next.
fn lines(source: &Source) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut at = 0;
    let mut continued = false;
    for (line, number) in source.text.split_inclusive('\n').zip(1..) {
        let text = line.trim_end_matches(['\r', '\n']);
        let span = at..at + text.len();
        at += line.len();
        let (text, goes_on) = match text.strip_suffix('\\') {
            Some(text) => (text, true),
            None => (text, false),
        };
        match lines.last_mut() {
            Some(last) if continued => {
                last.text.push_str(text);
                last.span.end = span.end;
            }
            _ => {
                let place = Place { file: source.name.clone(), line: number };
                lines.push(Line { place, text: text.to_owned(), span });
            }
        }
        continued = goes_on;
    }
    lines.retain(|line| !line.text.trim_start().starts_with('#') && !line.text.trim().is_empty());
    lines
}

/// The words of a line; quotes of both kinds hold spaces, and a backslash a quote.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(open), '\\') if chars.peek() == Some(&open) => {
                word.get_or_insert_default().extend(chars.next());
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            // A quote within a word is a character of it: `expr=%{REQUEST_SCHEME}` may hold one.
            (None, '"' | '\'') if word.is_none() => {
                quote = Some(c);
                word = Some(String::new());
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_words_and_lines_that_go_on() {
        let text = "# no\nListen 80\n<VirtualHost *:443>\n  ProxyPass \"/ws/\" \\\n    'http://a/ws/' retry=0\n</VirtualHost>\n";
        let read = parse(&Source::new("apache.conf", text)).unwrap();
        let pass = &read[1].children()[0];
        assert_eq!((pass.place.line, pass.args.len()), (4, 3));
        assert_eq!(pass.args, ["/ws/", "http://a/ws/", "retry=0"]);
        assert!(text.get(pass.span.clone()).unwrap().ends_with("retry=0"));
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        assert_eq!(parse(&Source::new("a", "<A>\n")).unwrap_err().place.line, 1);
        assert_eq!(parse(&Source::new("a", "\n</A>\n")).unwrap_err().place.line, 2);
        assert_eq!(parse(&Source::new("a", "<A>\n</B>\n")).unwrap_err().place.line, 2);
    }
}
