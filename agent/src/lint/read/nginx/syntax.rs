//! nginx's own syntax: words, `;`, blocks, comments, and the blocks of Lua that are none of it.

use crate::lint::{
    model::Place,
    read::directive::{Directive, MAX_DEPTH, Source, SyntaxError},
};

/// The directives of a file.
pub(crate) fn parse(source: &Source) -> Result<Vec<Directive>, SyntaxError> {
    let mut reader = Reader { source, at: 0, line: 1 };
    let directives = reader.block(0)?;
    Ok(directives)
}

struct Reader<'a> {
    source: &'a Source,
    at: usize,
    line: u32,
}

enum Token {
    Word { text: String, start: usize, line: u32 },
    Semicolon,
    Open,
    Close,
    End,
}

impl Reader<'_> {
    fn place(&self, line: u32) -> Place {
        Place { file: self.source.name.clone(), line }
    }

    fn error<T>(&self, line: u32, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { place: self.place(line), what: what.into() })
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

    /// The directives up to the `}` that ends the block, or to the end of the file.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, SyntaxError> {
        let opened = self.line;
        if depth > MAX_DEPTH {
            return self.error(opened, format!("more than {MAX_DEPTH} blocks in each other"));
        }
        let mut directives = Vec::new();
        loop {
            match self.token()? {
                Token::Word { text, start, line } => {
                    directives.push(self.directive(text, start, line, depth)?);
                }
                // An empty directive; nginx refuses it, and nothing follows from it.
                Token::Semicolon => {}
                Token::Open => return self.error(self.line, "a block without a name"),
                Token::Close if depth > 0 => return Ok(directives),
                Token::Close => return self.error(self.line, "a } without its {"),
                Token::End if depth == 0 => return Ok(directives),
                Token::End => return self.error(opened, "the block that begins here has no end"),
            }
        }
    }

    fn directive(
        &mut self,
        name: String,
        start: usize,
        line: u32,
        depth: usize,
    ) -> Result<Directive, SyntaxError> {
        let place = self.place(line);
        let mut args = Vec::new();
        loop {
            match self.token()? {
                Token::Word { text, .. } => args.push(text),
                Token::Semicolon => {
                    return Ok(Directive { place, name, args, block: None, span: start..self.at });
                }
                Token::Open if name.ends_with("_by_lua_block") => {
                    let span = start..self.at;
                    self.skip_lua(line)?;
                    return Ok(Directive { place, name, args, block: Some(Vec::new()), span });
                }
                Token::Open => {
                    let span = start..self.at;
                    let block = Some(self.block(depth + 1)?);
                    return Ok(Directive { place, name, args, block, span });
                }
                Token::Close | Token::End => {
                    return self.error(line, format!("{name}: no ; at its end"));
                }
            }
        }
    }

    fn token(&mut self) -> Result<Token, SyntaxError> {
        while let Some(c) = self.peek() {
            if c == '#' {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if !c.is_whitespace() {
                break;
            } else {
                self.next();
            }
        }
        let (start, line) = (self.at, self.line);
        let Some(first) = self.next() else { return Ok(Token::End) };
        let mut text = String::new();
        match first {
            ';' => return Ok(Token::Semicolon),
            '{' => return Ok(Token::Open),
            '}' => return Ok(Token::Close),
            quote @ ('"' | '\'') => loop {
                match self.next() {
                    None => return self.error(line, "the quote that begins here has no end"),
                    Some('\\') => self.escape(&mut text),
                    Some(c) if c == quote => break,
                    Some(c) => text.push(c),
                }
            },
            mut c => loop {
                if c == '\\' {
                    self.escape(&mut text);
                } else {
                    text.push(c);
                    // ${name} is a variable, not a block.
                    if c == '$' && self.peek() == Some('{') {
                        self.next();
                        text.push('{');
                    }
                }
                match self.peek() {
                    None | Some(';' | '{') => break,
                    Some(end) if end.is_whitespace() => break,
                    Some(_) => c = self.next().unwrap_or_default(),
                }
            },
        }
        Ok(Token::Word { text, start, line })
    }

    /// What follows a backslash: quotes lose it, everything else keeps it, as nginx does.
    fn escape(&mut self, text: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => text.push(c),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('n') => text.push('\n'),
            Some(c) => {
                text.push('\\');
                text.push(c);
            }
            None => text.push('\\'),
        }
    }

    /// Goes behind the `}` that ends a block of Lua; knows its strings and comments.
    fn skip_lua(&mut self, opened: u32) -> Result<(), SyntaxError> {
        let mut depth = 1;
        while let Some(c) = self.next() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                '-' if self.peek() == Some('-') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                quote @ ('"' | '\'') => {
                    while let Some(c) = self.next().filter(|c| *c != quote) {
                        if c == '\\' {
                            self.next();
                        }
                    }
                }
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
        self.error(opened, "the block of Lua that begins here has no end")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Directive>, SyntaxError> {
        parse(&Source::new("nginx.conf", text))
    }

    #[test]
    fn words_quotes_comments_and_blocks() {
        let text =
            "user www; # a comment; with { signs\nhttp {\n  map $a ${b}c { '' \"x y\"; }\n}\n";
        let read = read(text).unwrap();
        assert_eq!(read.len(), 2);
        let map = &read[1].children()[0];
        assert_eq!((map.name.as_str(), map.place.line), ("map", 3));
        assert_eq!(map.args, ["$a", "${b}c"]);
        assert_eq!(map.children()[0].name, "");
        assert_eq!(map.children()[0].args, ["x y"]);
        assert_eq!(text.get(read[0].span.clone()), Some("user www;"));
    }

    #[test]
    fn lua_is_passed_over() {
        let read = read("access_by_lua_block { local t = {a = '}'} -- }\n }\nroot /;").unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].place.line, 3);
    }

    #[test]
    fn what_is_no_configuration_is_an_error_with_its_line() {
        for (text, line) in [
            ("a;\nhttp {", 2),
            ("}", 1),
            ("{", 1),
            ("a b", 1),
            ("\n\na 'b", 3),
            ("x_by_lua_block {", 1),
        ] {
            assert_eq!(read(text).unwrap_err().place.line, line, "{text}");
        }
        let deep = "a { ".repeat(MAX_DEPTH + 2);
        assert!(read(&deep).is_err());
    }

    #[test]
    fn a_regular_expression_keeps_its_backslashes() {
        let read = read(r"location ~ \.(js|css)$ { }").unwrap();
        assert_eq!(read[0].args, ["~", r"\.(js|css)$"]);
    }
}
