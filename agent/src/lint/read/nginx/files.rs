//! nginx's files: the parts of `nginx -T`, and what `include` names.

use std::path::{Path, PathBuf};

use super::syntax;
use crate::lint::read::{
    Disk,
    directive::{Directive, Source, SyntaxError, glob},
};

/// `include` stands in included files at most so deep, and at most so many files are read in all.
const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 1000;

/// What `nginx -T` writes before each file.
const MARK: &str = "# configuration file ";

/// The directives of the main files, with those of the included ones in their places. An `include` that was not found, and
/// may matter, stays.
pub(crate) fn load(sources: &[Source], disk: &dyn Disk) -> Result<Vec<Directive>, SyntaxError> {
    let mut loader = Loader { parts: Vec::new(), disk, files: 0, base: None };
    let mut mains = Vec::new();
    for source in sources {
        let parts = split(source);
        if let [first, rest @ ..] = parts.as_slice() {
            // What `nginx -T` tells of later files is for the first one's includes.
            mains.push(first.clone());
            loader.parts.extend(rest.iter().cloned());
        }
    }
    let mut directives = Vec::new();
    for main in mains {
        loader.base = Path::new(&*main.name).parent().map(Path::to_owned);
        let parsed = syntax::parse(&main)?;
        directives.extend(loader.expand(parsed, 0)?);
    }
    Ok(directives)
}

/// The files that the output of `nginx -T` consists of; a file that is none is one part.
pub(crate) fn split(source: &Source) -> Vec<Source> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for line in source.text.split_inclusive('\n') {
        let name = line.strip_prefix(MARK).and_then(|rest| rest.trim_end().strip_suffix(':'));
        match (name, parts.last_mut()) {
            (Some(name), _) => parts.push((name.to_owned(), String::new())),
            (None, Some((_, text))) => text.push_str(line),
            // Before the first mark there are only the words of `nginx -t`.
            (None, None) => {}
        }
    }
    if parts.is_empty() {
        return vec![source.clone()];
    }
    parts.iter().map(|(name, text)| Source::new(name, text)).collect()
}

/// The text of the file called `name`: the given one, or a part of the output of `nginx -T`.
pub fn part(source: &Source, name: &str) -> Option<String> {
    if *source.name == *name {
        return Some(source.text.to_string());
    }
    split(source).into_iter().find(|part| *part.name == *name).map(|part| part.text.to_string())
}

struct Loader<'a> {
    /// The other files of `nginx -T`.
    parts: Vec<Source>,
    disk: &'a dyn Disk,
    files: usize,
    /// The folder of the main file: relative names are looked up there.
    base: Option<PathBuf>,
}

impl Loader<'_> {
    fn expand(
        &mut self,
        directives: Vec<Directive>,
        depth: usize,
    ) -> Result<Vec<Directive>, SyntaxError> {
        let mut expanded = Vec::with_capacity(directives.len());
        for mut directive in directives {
            if directive.name == "include" && directive.block.is_none() {
                let Some(sources) = self.included(&directive, depth) else {
                    expanded.push(directive);
                    continue;
                };
                for source in sources {
                    let parsed = syntax::parse(&source)?;
                    expanded.extend(self.expand(parsed, depth + 1)?);
                }
                continue;
            }
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.expand(block, depth)?);
            }
            expanded.push(directive);
        }
        Ok(expanded)
    }

    /// The files that an `include` names; none when they are not there and it may matter.
    fn included(&mut self, include: &Directive, depth: usize) -> Option<Vec<Source>> {
        let name = include.arg(0);
        let full = match &self.base {
            Some(base) if !Path::new(name).is_absolute() => base.join(name).display().to_string(),
            _ => name.to_owned(),
        };
        if depth >= MAX_DEPTH || self.files >= MAX_FILES {
            return None;
        }
        let fits = |part: &&Source| glob(&full, &part.name) || glob(name, &part.name);
        let mut found: Vec<Source> = self.parts.iter().filter(fits).cloned().collect();
        if found.is_empty() {
            // `nginx -T` lists every file that matched.
            let listed = !self.parts.is_empty() && name.contains(['*', '?']);
            match self.disk.matching(&full) {
                Some(names) => {
                    for name in names {
                        found.push(Source::new(&name, &self.disk.read(&name)?));
                    }
                }
                None if listed || is_harmless(name) => {}
                None => return None,
            }
        }
        self.files += found.len();
        Some(found)
    }
}

/// Files that the packages bring, about other things.
fn is_harmless(name: &str) -> bool {
    let file = Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    ["mime.types", "fastcgi_params", "fastcgi.conf", "uwsgi_params", "scgi_params"].contains(&file)
        || name.contains("modules-enabled/")
        || file.starts_with("koi-")
        || file.contains("ssl")
        || file.contains("dhparam")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::read::NoDisk;

    #[test]
    fn the_output_of_nginx_t_is_split_and_its_includes_are_found() {
        let text = "nginx: configuration file /etc/nginx/nginx.conf test is successful\n\
                    # configuration file /etc/nginx/nginx.conf:\nhttp {\n  include conf.d/*.conf;\n}\n\
                    # configuration file /etc/nginx/conf.d/a.conf:\n\nserver { }\n";
        let read = load(&[Source::new("out", text)], &NoDisk).unwrap();
        let server = &read[0].children()[0];
        assert_eq!(server.place.to_string(), "/etc/nginx/conf.d/a.conf:2");
    }

    #[test]
    fn an_include_that_is_not_there_is_told() {
        let text = "include mime.types;\ninclude snippets/ws.conf;";
        let read = load(&[Source::new("nginx.conf", text)], &NoDisk).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].place.line, 2);
    }
}
