//! The Caddyfile's own syntax: lines of words, blocks, quotes, heredocs, snippets.

use crate::lint::{
    model::Place,
    read::directive::{Directive, MAX_DEPTH, Source, SyntaxError},
};

/// More directives than these after all imports are cut off, which is an error.
const MAX_DIRECTIVES: usize = 100_000;

/// The blocks of a file. A block without a name is the global one; `import` of a snippet is replaced by its lines, any other
/// stays.
pub(super) fn load(source: &Source) -> Result<Vec<Directive>, SyntaxError> {
    let mut reader = Reader { source, at: 0, line: 1 };
    let parsed = reader.block(0)?;
    let (snippets, others): (Vec<_>, Vec<_>) = parsed
        .into_iter()
        .partition(|directive| directive.name.starts_with('(') && directive.name.ends_with(')'));
    let mut left = MAX_DIRECTIVES;
    let expanded = expand(&others, &snippets, 0, &mut left)?;
    Ok(site_without_braces(expanded))
}

/// A file of one site may leave out its braces: then the first line is its address.
fn site_without_braces(mut directives: Vec<Directive>) -> Vec<Directive> {
    let at = directives.iter().position(|directive| !directive.name.is_empty());
    if let Some(at) = at {
        let loose = directives.iter().skip(at).all(|directive| directive.block.is_none())
            || directives.get(at).is_some_and(|first| first.block.is_none());
        if loose {
            let rest = directives.split_off(at + 1);
            if let Some(site) = directives.last_mut() {
                site.block = Some(rest);
            }
        }
    }
    directives
}

fn expand(
    directives: &[Directive],
    snippets: &[Directive],
    depth: usize,
    left: &mut usize,
) -> Result<Vec<Directive>, SyntaxError> {
    let mut expanded = Vec::new();
    for directive in directives {
        *left = left.saturating_sub(1);
        if depth > MAX_DEPTH || *left == 0 {
            let what = "its imports hold too much, or each other".to_owned();
            return Err(SyntaxError { place: directive.place.clone(), what });
        }
        let snippet = (directive.name == "import")
            .then(|| {
                snippets.iter().find(|one| one.name.trim_matches(['(', ')']) == directive.arg(0))
            })
            .flatten();
        if let Some(snippet) = snippet {
            let filled: Vec<_> = snippet
                .children()
                .iter()
                .map(|child| fill(child, directive.args.get(1..).unwrap_or_default()))
                .collect();
            expanded.extend(expand(&filled, snippets, depth + 1, left)?);
            continue;
        }
        let mut directive = directive.clone();
        if let Some(block) = directive.block.take() {
            directive.block = Some(expand(&block, snippets, depth + 1, left)?);
        }
        expanded.push(directive);
    }
    Ok(expanded)
}

/// A line of a snippet with the arguments of its import.
fn fill(directive: &Directive, args: &[String]) -> Directive {
    let fill_word = |word: &String| {
        let mut word = word.clone();
        for (index, arg) in args.iter().enumerate() {
            word = word
                .replace(&format!("{{args[{index}]}}"), arg)
                .replace(&format!("{{args.{index}}}"), arg);
        }
        word
    };
    Directive {
        name: fill_word(&directive.name),
        args: directive.args.iter().map(fill_word).collect(),
        block: directive
            .block
            .as_ref()
            .map(|block| block.iter().map(|child| fill(child, args)).collect()),
        ..directive.clone()
    }
}

struct Reader<'a> {
    source: &'a Source,
    at: usize,
    line: u32,
}

enum Token {
    Word(String),
    Open,
    Close,
    Newline,
    End,
}

impl Reader<'_> {
    fn error<T>(&self, line: u32, what: &str) -> Result<T, SyntaxError> {
        let place = Place { file: self.source.name.clone(), line };
        Err(SyntaxError { place, what: what.to_owned() })
    }

    fn peek(&self) -> Option<char> {
        self.source.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += u32::from(c == '\n');
        Some(c)
    }

    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let opened = self.line;
        if depth > MAX_DEPTH {
            return self.error(opened, "too many blocks in each other");
        }
        let mut directives = Vec::new();
        let mut current: Option<Directive> = None;
        loop {
            let before = (self.at, self.line);
            match self.token()? {
                Token::Word(text) => {
                    if let Some(directive) = &mut current {
                        directive.args.push(text);
                        directive.span.end = self.at;
                    } else {
                        let start = self.at - self.raw(before.0);
                        let place =
                            Place { file: self.source.name.clone(), line: self.line_of(start) };
                        current = Some(Directive {
                            place,
                            name: text,
                            args: Vec::new(),
                            block: None,
                            span: start..self.at,
                        });
                    }
                }
                Token::Newline => {
                    // Addresses go on after a comma.
                    let goes_on = current.as_ref().is_some_and(|directive| {
                        depth == 0
                            && directive.args.last().unwrap_or(&directive.name).ends_with(',')
                    });
                    if !goes_on {
                        directives.extend(current.take());
                    }
                }
                Token::Open => {
                    let mut directive = current.take().unwrap_or_else(|| Directive {
                        place: Place { file: self.source.name.clone(), line: before.1 },
                        name: String::new(),
                        args: Vec::new(),
                        block: None,
                        span: before.0..self.at,
                    });
                    directive.block = Some(self.block(depth + 1)?);
                    directives.push(directive);
                }
                Token::Close if depth > 0 => {
                    directives.extend(current.take());
                    return Ok(directives);
                }
                Token::Close => return self.error(self.line, "a } without its {"),
                Token::End if depth == 0 => {
                    directives.extend(current.take());
                    return Ok(directives);
                }
                Token::End => return self.error(opened, "the block that begins here has no end"),
            }
        }
    }

    /// How many bytes of the token just read are its own, without the space and comments before it.
    fn raw(&self, from: usize) -> usize {
        let text = self.source.text.get(from..self.at).unwrap_or_default();
        let mut rest = text.trim_start();
        while rest.starts_with('#') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        }
        rest.len()
    }

    /// The line of a place in the text that lies at most one token back.
    fn line_of(&self, start: usize) -> u32 {
        let newlines =
            self.source.text.get(start..self.at).unwrap_or_default().matches('\n').count();
        self.line - u32::try_from(newlines).unwrap_or_default()
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        loop {
            match self.peek() {
                None => return Ok(Token::End),
                Some('\n') => {
                    self.next();
                    return Ok(Token::Newline);
                }
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                Some('\\')
                    if self
                        .source
                        .text
                        .get(self.at..)
                        .is_some_and(|rest| rest.starts_with("\\\n")) =>
                {
                    self.next();
                    self.next();
                }
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                Some(_) => break,
            }
        }
        let line = self.line;
        let mut text = String::new();
        if let Some(quote @ ('"' | '`')) = self.peek() {
            self.next();
            loop {
                match self.next() {
                    None => return self.error(line, "the quote that begins here has no end"),
                    Some('\\') if quote == '"' && self.peek() == Some('"') => {
                        text.extend(self.next());
                    }
                    Some(c) if c == quote => break,
                    Some(c) => text.push(c),
                }
            }
        } else {
            while let Some(c) = self.peek().filter(|c| !c.is_whitespace()) {
                text.push(c);
                self.next();
            }
            match text.as_str() {
                "{" => return Ok(Token::Open),
                "}" => return Ok(Token::Close),
                _ => {}
            }
            if let Some(mark) = text.strip_prefix("<<").filter(|mark| !mark.is_empty()) {
                return self.heredoc(mark, line);
            }
        }
        Ok(Token::Word(text))
    }

    fn heredoc(&mut self, mark: &str, line: u32) -> Result<Token, SyntaxError> {
        let rest = self.source.text.get(self.at..).unwrap_or_default();
        let mut text = String::new();
        let mut length = 0;
        for one in rest.split_inclusive('\n') {
            if one.trim() == mark {
                length += one.trim_end_matches(['\r', '\n']).len();
                self.line += u32::try_from(text.matches('\n').count()).unwrap_or_default();
                self.at += length;
                return Ok(Token::Word(text));
            }
            length += one.len();
            text.push_str(one);
        }
        self.error(line, "the heredoc that begins here has no end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Directive>, SyntaxError> {
        load(&Source::new("Caddyfile", text))
    }

    #[test]
    fn blocks_placeholders_and_snippets() {
        let text = "{\n  admin off\n}\n(up) {\n  header_up Host {args[0]}\n}\n# site\na.example,\nb.example {\n  reverse_proxy /ws/* 127.0.0.1:1 {\n    import up {host}\n  }\n}\n";
        let read = read(text).unwrap();
        assert_eq!(read.len(), 2);
        let site = &read[1];
        assert_eq!(
            (site.name.as_str(), site.args[0].as_str(), site.place.line),
            ("a.example,", "b.example", 8)
        );
        let proxy = &site.children()[0];
        assert_eq!(proxy.args, ["/ws/*", "127.0.0.1:1"]);
        assert_eq!(proxy.children()[0].args, ["Host", "{host}"]);
        assert_eq!(proxy.children()[0].place.line, 5);
    }

    #[test]
    fn a_single_site_needs_no_braces() {
        let read =
            read("localhost\n\nreverse_proxy \"a b\"\nrespond <<END\n  }\n  END\nencode gzip\n")
                .unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].children().len(), 3);
        assert_eq!(read[0].children()[2].place.line, 7);
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        for (text, line) in [("a {\n", 1), ("}\n", 1), ("\nx \"a\n", 2), ("\nrespond <<A\nb", 2)] {
            assert_eq!(read(text).unwrap_err().place.line, line, "{text}");
        }
        assert!(read("(a) {\nimport a\nimport a\n}\nx {\nimport a\n}\n").is_err());
    }
}
